#include "bindings/src/capture/tensor_writer.h"

#include <array>
#include <charconv>

namespace nb = nanobind;

namespace tintype::python {

void TensorWriter::write_tensor(PyObject* tensor) {
  check_plain(tensor);
  write_body(tensor, torch_.requires_grad.is_true(tensor));
  sink_.memoize(tensor);
}

// The parameter's data is written as a tensor of its own; torch makes that tensor for the pickle.
void TensorWriter::write_parameter(PyObject* parameter) {
  check_plain(parameter);
  sink_.global(torch_.rebuild_parameter);
  write_body(parameter, false);
  sink_.memoize_fresh();
  sink_.out().boolean(torch_.requires_grad.is_true(parameter));
  write_hooks();
  sink_.out().short_tuple(3);
  sink_.memoize_fresh();
  sink_.out().reduce();
  sink_.memoize(parameter);
}

// Python attributes, hooks and names take other paths through torch.
void TensorWriter::check_plain(PyObject* tensor) const {
  if (!torch_.state(tensor).is_none()) throw NotNative{"a tensor with Python attributes"};
  if (torch_.has_names && torch_.has_names->is_true(tensor)) {
    throw NotNative{"a tensor with named dimensions"};
  }
  const nb::object hooks = torch_.backward_hooks(tensor);
  if (!hooks.is_none() && PyObject_IsTrue(hooks.ptr()) != 0) throw NotNative{"a tensor with hooks"};
}

void TensorWriter::write_body(PyObject* tensor, bool requires_grad) {
  const TensorFacts facts = facts_.read(tensor);
  if (facts.place == TensorFacts::Place::meta) {
    write_meta(facts, requires_grad);
  } else {
    write_strided(tensor, facts, requires_grad);
  }
  sink_.memoize_fresh();  // the tuple of arguments
  sink_.out().reduce();
}

void TensorWriter::write_strided(PyObject* tensor, const TensorFacts& facts, bool requires_grad) {
  const DtypeInfo& dtype = *facts.dtype;
  if (dtype.storage_class == nullptr) throw NotNative{"a tensor of a quantized or odd dtype"};
  sink_.global(dtype.is_untyped ? torch_.rebuild_tensor_untyped : torch_.rebuild_tensor);
  sink_.out().mark();
  write_persistent_id(facts);
  sink_.out().integer(facts.storage_offset);
  write_integers(facts.shape);
  write_integers(facts.stride);
  sink_.out().boolean(requires_grad);
  write_hooks();
  if (dtype.is_untyped) sink_.global(dtype.name);
  write_metadata(tensor, dtype);
  sink_.out().tuple();
}

void TensorWriter::write_meta(const TensorFacts& facts, bool requires_grad) {
  sink_.global(torch_.rebuild_meta_tensor);
  sink_.out().mark();
  sink_.global(facts.dtype->name);
  write_integers(facts.shape);
  write_integers(facts.stride);
  sink_.out().boolean(requires_grad);
  sink_.out().tuple();
}

// As a tuple.
void TensorWriter::write_integers(std::span<const int64_t> integers) {
  PickleWriter& out = sink_.out();
  if (integers.empty()) return out.empty_tuple();  // a singleton, which the pickler never memoizes
  const bool is_short = integers.size() <= 3;
  if (!is_short) out.mark();
  for (const int64_t integer : integers) out.integer(integer);
  is_short ? out.short_tuple(static_cast<int>(integers.size())) : out.tuple();
  sink_.memoize_fresh();
}

// torch stores no hooks: always an empty OrderedDict.
void TensorWriter::write_hooks() {
  sink_.global(torch_.ordered_dict);
  sink_.out().empty_tuple();
  sink_.out().reduce();
  sink_.memoize_fresh();
}

// The lazy conjugation and negation bits; only complex tensors and views of them have any.
void TensorWriter::write_metadata(PyObject* tensor, const DtypeInfo& dtype) {
  const bool is_conj = dtype.is_complex && torch_.is_conj.is_true(tensor);
  if (!is_conj && !torch_.is_neg.is_true(tensor)) return;
  const nb::dict bits =
      nb::borrow<nb::dict>(nb::borrow(torch_.tensor_metadata)(nb::handle(tensor)));
  PickleWriter& out = sink_.out();
  out.empty_dict();
  sink_.memoize_fresh();
  if (bits.size() > 1) out.mark();
  for (const auto& [key, value] : bits) {
    sink_.text(key.ptr());
    out.boolean(nb::cast<bool>(value));
  }
  bits.size() > 1 ? out.set_items() : out.set_item();
}

void TensorWriter::write_persistent_id(const TensorFacts& facts) {
  Key& key = key_of(facts);
  sink_.out().mark();
  sink_.text(storage_text_);
  sink_.global(*facts.dtype->storage_class);
  write_key(key);
  if (facts.place == TensorFacts::Place::host) {
    sink_.text(cpu_text_);
  } else {
    const nb::object tag = nb::borrow(torch_.location_tag)(facts.storage);
    sink_.text(tag.ptr());
  }
  const uint64_t item_count = facts.storage_size_bytes / facts.dtype->item_bytes;
  sink_.out().integer(static_cast<int64_t>(item_count));
  sink_.out().tuple();
  sink_.memoize_fresh();
  sink_.out().persistent_id();
}

// torch uses one str for a storage each time. Python may hand out one object for every str of a
// single digit, and the user's may be the same: that one is looked for as the pickler would.
void TensorWriter::write_key(Key& key) {
  if (key.memo != IdentityMap::kAbsent) return sink_.out().get(key.memo);
  if (key.number < 10) {
    const nb::object digit = nb::steal(PyObject_Str(nb::int_(key.number).ptr()));
    if (!digit.is_valid()) throw nb::python_error();
    sink_.text(digit.ptr());
    key.memo = sink_.memo_of(digit.ptr());
  } else {
    std::array<char, 10> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), key.number).ptr;
    sink_.out().text({digits.begin(), end});
    key.memo = sink_.out().memoize();
  }
}

// Checks that the storage is seen as one dtype; adds it at the first sight in this file.
TensorWriter::Key& TensorWriter::key_of(const TensorFacts& facts) {
  const uint32_t number = table_.number_of(facts.storage);
  if (number >= keys_.size()) keys_.resize(number + 1);
  Key& key = keys_[number];
  if (key.number == IdentityMap::kAbsent) {
    add_key(key, number, facts);
  } else if (facts.storage_address != 0 && key.checked_as != facts.dtype->checked_as) {
    throw NotNative{"one storage as two dtypes"};
  }
  return key;
}

void TensorWriter::add_key(Key& key, uint32_t number, const TensorFacts& facts) {
  const DtypeInfo& dtype = *facts.dtype;
  key.number = static_cast<uint32_t>(storages_.size());
  key.checked_as = dtype.checked_as;
  check_dtype(facts.storage_address, dtype.checked_as);
  const StorageTable::Content content{
      .size_bytes = facts.storage_size_bytes / dtype.item_bytes * dtype.item_bytes,
      .element_bytes = dtype.number_bytes,
      .is_floating = dtype.is_floating};
  storages_.push_back(
      facts.place == TensorFacts::Place::host
          ? table_.add_host(number, facts.storage_address, content)
          : table_.add_cuda(number, facts.storage_address, content, facts.device_index));
}

// torch refuses one memory seen as two dtypes, also through two storages; its own words come from
// Python's path.
void TensorWriter::check_dtype(uint64_t address, PyObject* checked_as) {
  if (address == 0) return;
  const auto next = static_cast<uint32_t>(checked_dtypes_.size());
  const uint32_t known = dtype_by_address_.find_or_insert(address, next);
  if (known == next) {
    checked_dtypes_.push_back(checked_as);
  } else if (checked_dtypes_[known] != checked_as) {
    throw NotNative{"one storage as two dtypes"};
  }
}

}  // namespace tintype::python
