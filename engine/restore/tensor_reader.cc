#include "engine/restore/tensor_reader.h"

#include <algorithm>

#include <fmt/format.h>

#include "io/archive/tensor_types.h"

namespace tintype {
namespace {

using Arguments = std::span<const ValueId>;
using Found = Result<std::optional<FoundTensor>>;

constexpr size_t kMaxDimensions = 1000;  // torch's own limit is 64
constexpr size_t kMaxFlags = 16;         // torch knows two

Status impossible(std::string_view what) {
  return Status::corruption(fmt::format("the pickle describes an impossible tensor: {}", what));
}

class TensorReader {
 public:
  explicit TensorReader(const PickleTree& tree) : tree_(tree) {}

  Found read(ValueId value) const {
    if (tree_.kind(value) == PickleKind::persistent) return read_bare_storage(value);
    if (tree_.kind(value) != PickleKind::call) return std::optional<FoundTensor>();
    if (is_legacy(value)) {
      FoundTensor found;
      return strided(tree_.items(tree_.states(value).front()), found, TensorEntry::Form::strided);
    }
    return read_call(tree_.callee_name(value), tree_.items(tree_.argument(value)));
  }

 private:
  Found read_call(std::string_view callee, Arguments arguments) const {
    FoundTensor found;
    found.tensor.python_type = "Tensor";
    if (callee == "torch._utils._rebuild_tensor_v2" || callee == "torch._utils._rebuild_tensor") {
      if (arguments.size() > 4) found.tensor.requires_grad = is_true(arguments[4]);
      read_flags(arguments, 6, found.tensor);
      return strided(arguments, found, TensorEntry::Form::strided);
    }
    if (callee == "torch._utils._rebuild_tensor_v3") return read_v3(arguments, found);
    if (callee == "torch._utils._rebuild_qtensor") {
      if (arguments.size() > 5) found.tensor.requires_grad = is_true(arguments[5]);
      return strided(arguments, found, TensorEntry::Form::quantized);
    }
    if (callee == "torch._utils._rebuild_meta_tensor_no_storage")
      return read_meta(arguments, found);
    if (callee == "torch._utils._rebuild_parameter") return read_parameter(arguments);
    if (callee == "torch._utils._rebuild_parameter_with_state") {
      auto parameter = read_parameter(arguments);
      if (parameter.is_ok() && parameter->has_value() && arguments.size() > 3) {
        (*parameter)->attributes = arguments[3];
      }
      return parameter;
    }
    if (callee == "torch._tensor._rebuild_from_type_v2") return read_from_type(arguments);
    return std::optional<FoundTensor>();
  }

  bool is_true(ValueId value) const {
    return tree_.kind(value) == PickleKind::boolean && tree_.boolean(value);
  }

  // torch.FloatTensor and the like, whose state is (storage, offset, size, stride).
  bool is_legacy(ValueId value) const {
    const std::string_view callee = tree_.callee_name(value);
    const auto states = tree_.states(value);
    return callee.starts_with("torch.") && callee.ends_with("Tensor") && states.size() == 1 &&
           tree_.kind(states.front()) == PickleKind::tuple &&
           tree_.items(states.front()).size() == 4 &&
           tree_.kind(tree_.items(states.front()).front()) == PickleKind::persistent;
  }

  // The optional dict with 'conj' and 'neg'.
  void read_flags(Arguments arguments, size_t at, TensorEntry& tensor) const {
    if (arguments.size() <= at || tree_.kind(arguments[at]) != PickleKind::dict) return;
    const Arguments pairs = tree_.items(arguments[at]);
    if (pairs.size() > 2 * kMaxFlags) return;  // many tensors may share it
    for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
      if (!tree_.is_text(pairs[i]) || !is_true(pairs[i + 1])) continue;
      if (tree_.text(pairs[i]) == "conj") tensor.is_conjugate = true;
      if (tree_.text(pairs[i]) == "neg") tensor.is_negative = true;
    }
  }

  // ('storage', class, key, device tag, element count).
  Status read_storage(ValueId storage, TensorEntry& tensor) const {
    const Status malformed = impossible("its storage is not described as torch does");
    if (tree_.kind(storage) != PickleKind::persistent) return malformed;
    const ValueId id = tree_.argument(storage);
    if (tree_.kind(id) != PickleKind::tuple) return malformed;
    const Arguments parts = tree_.items(id);
    if (parts.size() != 5 || !tree_.is_text(parts[0]) || tree_.text(parts[0]) != "storage" ||
        tree_.kind(parts[1]) != PickleKind::global || !tree_.is_text(parts[2]) ||
        !tree_.is_text(parts[3]) || tree_.kind(parts[4]) != PickleKind::integer) {
      return malformed;
    }
    const auto type = element_type_of_storage(tree_.text(parts[1]));
    if (!type.has_value()) {
      return Status::unsupported(
          fmt::format("the storage class {} is unknown to this version", tree_.text(parts[1])));
    }
    const int64_t count = tree_.integer(parts[4]);
    if (count < 0 || __builtin_mul_overflow(static_cast<uint64_t>(count), type->size_bytes,
                                            &tensor.storage_bytes)) {
      return impossible(fmt::format("its storage has {} elements", count));
    }
    tensor.dtype = type->name;
    tensor.element_bytes = type->size_bytes;
    tensor.storage_key = tree_.text(parts[2]);
    tensor.device = tree_.text(parts[3]);
    return Status::ok();
  }

  Found read_bare_storage(ValueId value) const {
    FoundTensor found;
    TensorEntry& tensor = found.tensor;
    TINTYPE_RETURN_IF_ERROR(read_storage(value, tensor));
    tensor.form = TensorEntry::Form::storage;
    tensor.python_type = "Storage";
    tensor.shape = {tensor.storage_bytes / tensor.element_bytes};
    tensor.stride = {1};
    tensor.size_bytes = tensor.storage_bytes;
    return std::optional(std::move(found));
  }

  Status read_numbers(ValueId value, std::vector<uint64_t>& numbers) const {
    // torch.Size reaches the pickle as a tuple or as a call with one.
    if (tree_.kind(value) == PickleKind::call && tree_.callee_name(value) == "torch.Size" &&
        tree_.items(tree_.argument(value)).size() == 1) {
      value = tree_.items(tree_.argument(value)).front();
    }
    const PickleKind kind = tree_.kind(value);
    const Arguments items = tree_.items(value);
    if ((kind != PickleKind::tuple && kind != PickleKind::list) || items.size() > kMaxDimensions) {
      return impossible("its shape or stride is no tuple");
    }
    for (const ValueId item : items) {
      if (tree_.kind(item) != PickleKind::integer || tree_.integer(item) < 0) {
        return impossible("its shape or stride holds what is no size");
      }
      numbers.push_back(static_cast<uint64_t>(tree_.integer(item)));
    }
    return Status::ok();
  }

  Status read_geometry(ValueId shape, ValueId stride, TensorEntry& tensor) const {
    TINTYPE_RETURN_IF_ERROR(read_numbers(shape, tensor.shape));
    TINTYPE_RETURN_IF_ERROR(read_numbers(stride, tensor.stride));
    if (tensor.shape.size() != tensor.stride.size()) {
      return impossible("its shape and stride have different lengths");
    }
    const bool is_empty =
        std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
    tensor.size_bytes = is_empty ? 0 : tensor.element_bytes;
    for (const uint64_t extent : tensor.shape) {
      if (__builtin_mul_overflow(tensor.size_bytes, extent, &tensor.size_bytes)) {
        return impossible("its size overflows");
      }
    }
    tensor.size_bytes = divide_up(tensor.size_bytes, tensor.elements_per_byte());
    return Status::ok();
  }

  // The last element must lie in the storage.
  static Status check_extent(const TensorEntry& tensor) {
    if (tensor.size_bytes == 0) return Status::ok();
    uint64_t last = tensor.storage_offset;
    bool overflows = false;
    for (size_t i = 0; i < tensor.shape.size(); ++i) {
      uint64_t span = 0;
      overflows |= __builtin_mul_overflow(tensor.shape[i] - 1, tensor.stride[i], &span);
      overflows |= __builtin_add_overflow(last, span, &last);
    }
    last /= tensor.elements_per_byte();
    if (overflows || last >= tensor.storage_bytes / tensor.element_bytes) {
      // torch.save takes tensors whose storage was freed by resize_(0).
      return impossible(fmt::format("it reaches beyond its storage '{}' of {} bytes",
                                    tensor.storage_key, tensor.storage_bytes))
          .with_remedy(
              "it was saved with a storage too small for it, or is damaged: save it again "
              "with all of its storage, or load an older checkpoint");
    }
    return Status::ok();
  }

  // (storage, offset, size, stride, ...); `found` has the rest.
  Found strided(Arguments arguments, FoundTensor& found, TensorEntry::Form form) const {
    if (arguments.size() < 4) return impossible("its call has too few arguments");
    TensorEntry& tensor = found.tensor;
    std::string exact_dtype = std::move(tensor.dtype);  // set by _rebuild_tensor_v3
    const uint32_t exact_bytes = tensor.element_bytes;
    TINTYPE_RETURN_IF_ERROR(read_storage(arguments[0], tensor));
    if (!exact_dtype.empty()) {
      tensor.dtype = std::move(exact_dtype);
      tensor.element_bytes = exact_bytes;
    }
    if (tensor.python_type.empty()) tensor.python_type = "Tensor";
    tensor.form = form;
    if (tree_.kind(arguments[1]) != PickleKind::integer || tree_.integer(arguments[1]) < 0) {
      return impossible("its offset is no size");
    }
    tensor.storage_offset = static_cast<uint64_t>(tree_.integer(arguments[1]));
    TINTYPE_RETURN_IF_ERROR(read_geometry(arguments[2], arguments[3], tensor));
    TINTYPE_RETURN_IF_ERROR(check_extent(tensor));
    return std::optional(std::move(found));
  }

  // As v2, with the dtype behind the hooks: the storage is untyped.
  Found read_v3(Arguments arguments, FoundTensor& found) const {
    if (arguments.size() < 7) return impossible("its call has too few arguments");
    const auto type = tree_.kind(arguments[6]) == PickleKind::global
                          ? element_type_of_dtype(tree_.text(arguments[6]))
                          : std::nullopt;
    if (!type.has_value())
      return Status::unsupported("a tensor's dtype is unknown to this version");
    found.tensor.dtype = type->name;
    found.tensor.element_bytes = type->size_bytes;
    found.tensor.requires_grad = is_true(arguments[4]);
    read_flags(arguments, 7, found.tensor);
    return strided(arguments, found, TensorEntry::Form::strided);
  }

  Found read_meta(Arguments arguments, FoundTensor& found) const {
    if (arguments.size() < 4) return impossible("its call has too few arguments");
    const auto type = tree_.kind(arguments[0]) == PickleKind::global
                          ? element_type_of_dtype(tree_.text(arguments[0]))
                          : std::nullopt;
    if (!type.has_value())
      return Status::unsupported("a tensor's dtype is unknown to this version");
    TensorEntry& tensor = found.tensor;
    tensor.form = TensorEntry::Form::meta;
    tensor.dtype = type->name;
    tensor.element_bytes = type->size_bytes;
    tensor.device = "meta";
    tensor.requires_grad = is_true(arguments[3]);
    TINTYPE_RETURN_IF_ERROR(read_geometry(arguments[1], arguments[2], tensor));
    return std::optional(std::move(found));
  }

  // (tensor, requires_grad, hooks[, attributes]). The data is a plain tensor: no further wrapping.
  Found read_parameter(Arguments arguments) const {
    if (arguments.size() < 2 || tree_.kind(arguments[0]) != PickleKind::call) {
      return std::optional<FoundTensor>();
    }
    const std::string_view inner = tree_.callee_name(arguments[0]);
    if (inner.starts_with("torch._utils._rebuild_parameter")) return std::optional<FoundTensor>();
    auto found = read(arguments[0]);
    if (!found.is_ok() || !found->has_value()) return found;
    TensorEntry& tensor = (*found)->tensor;
    tensor.requires_grad = is_true(arguments[1]);
    tensor.python_type = "Parameter";
    return found;
  }

  // (function, type, its arguments, attributes).
  Found read_from_type(Arguments arguments) const {
    if (arguments.size() < 4 || tree_.kind(arguments[0]) != PickleKind::global ||
        tree_.kind(arguments[2]) != PickleKind::tuple) {
      return std::optional<FoundTensor>();
    }
    const std::string_view function = tree_.text(arguments[0]);
    constexpr std::string_view kRebuild = "torch._utils._rebuild_";
    if (!function.starts_with(kRebuild) ||
        function.substr(kRebuild.size()).starts_with("parameter")) {
      return std::optional<FoundTensor>();  // torch nests no further
    }
    auto found = read_call(function, tree_.items(arguments[2]));
    if (!found.is_ok() || !found->has_value()) return found;
    const bool is_named = tree_.kind(arguments[1]) == PickleKind::global &&
                          tree_.text(arguments[1]) != "torch.Tensor";
    if (is_named) (*found)->tensor.python_type = tree_.text(arguments[1]);
    (*found)->attributes = arguments[3];
    return found;
  }

  const PickleTree& tree_;
};

}  // namespace

uint64_t TensorEntry::element_count() const {
  uint64_t count = 1;
  for (const uint64_t extent : shape) count *= extent;
  return count;
}

uint32_t TensorEntry::elements_per_byte() const {
  if (dtype == "quint4x2") return 2;
  return dtype == "quint2x4" ? 4 : 1;
}

bool TensorEntry::is_contiguous() const {
  if (storage_offset % elements_per_byte() != 0) return false;
  uint64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 0) return true;
    if (shape[i] != 1 && stride[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

Result<std::optional<FoundTensor>> read_tensor(const PickleTree& tree, ValueId value) {
  return TensorReader(tree).read(value);
}

}  // namespace tintype
