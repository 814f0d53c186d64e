#include "bindings/src/guard/guarded_tensors.h"

#include <algorithm>
#include <numeric>
#include <ranges>

namespace nb = nanobind;

namespace tintype::python {
namespace {

constexpr int kDepthMax = 16;  // of containers in an optimizer's state; deeper tensors stay eager

bool is_plain_tensor(const TorchHandles& torch, PyObject* object) {
  return Py_TYPE(object) == torch.tensor_class || Py_TYPE(object) == torch.parameter_class;
}

// Whether the strides are those of a contiguous tensor, its dimensions taken in this order.
template <typename Order>
bool is_contiguous(const dlpack::Tensor& view, const Order& order) {
  int64_t stride = 1;
  for (const int32_t i : order) {
    if (view.shape[i] == 1) continue;
    if (view.strides[i] != stride) return false;
    stride *= view.shape[i];
  }
  return true;
}

// Whether the elements fill their memory, each one once: no hole is left that another tensor may
// own. So it is where some order of the dimensions makes them contiguous.
bool is_dense(const dlpack::Tensor& view) {
  const auto dimensions = std::views::iota(0, view.dimension_count);
  if (is_contiguous(view, dimensions | std::views::reverse)) return true;
  std::vector<int32_t> order(dimensions.begin(), dimensions.end());
  std::ranges::sort(order, {}, [&](int32_t i) { return view.strides[i]; });
  return is_contiguous(view, order);
}

// False where DLPack cannot tell.
bool locate_by_view(const TorchHandles& torch, GuardedTensor& found) {
  dlpack::Tensor view;
  if (torch.view_tensor == nullptr) return false;
  if (torch.view_tensor(found.tensor, &view) != 0) {
    PyErr_Clear();
    return false;
  }
  if (view.device_type != dlpack::kDeviceCpu && view.device_type != dlpack::kDeviceCuda)
    return true;
  uint64_t item_count = 1;
  for (int32_t i = 0; i < view.dimension_count; ++i) {
    item_count *= static_cast<uint64_t>(view.shape[i]);
  }
  if (item_count == 0 || !is_dense(view)) return true;
  found.address = reinterpret_cast<uint64_t>(view.data);
  found.size_bytes = item_count * view.dtype.bits * view.dtype.lanes / 8;
  return true;
}

void locate_by_attributes(const TorchHandles& torch, GuardedTensor& found) {
  const auto strided = [&] { return torch.layout(found.tensor).is(torch.strided); };
  const bool is_readable =
      torch.is_cpu.is_true(found.tensor) || torch.is_cuda.is_true(found.tensor);
  if (!is_readable || !strided()) return;
  if (!torch.is_contiguous.is_true(found.tensor)) return;
  found.address = torch.data_address.as_uint64(found.tensor);
  found.size_bytes = torch.data_size_bytes.as_uint64(found.tensor);
}

}  // namespace

GuardedTensor look_at(const TorchHandles& torch, PyObject* tensor) {
  GuardedTensor found{.tensor = tensor};
  if (!is_plain_tensor(torch, tensor)) return found;
  if (!locate_by_view(torch, found)) locate_by_attributes(torch, found);
  try {
    if (found.size_bytes != 0) found.version = torch.version.as_uint64(tensor);
  } catch (nb::python_error& error) {
    if (!error.matches(PyExc_RuntimeError)) throw;
    found.size_bytes = 0;
  }
  return found;
}

void GuardedTensors::add_optimizer(nb::handle param_groups, nb::handle state) {
  for (const nb::handle group : param_groups) add_nested(nb::object(group["params"]).ptr(), 0);
  add_nested(state.ptr(), 0);
}

// Keys of dicts are the parameters, which stand in the groups too, and names. A count of steps is
// too small to be lazy: a fourth of AdamW's tensors need not be looked at.
void GuardedTensors::add_nested(PyObject* object, int depth) {
  if (is_plain_tensor(torch_, object)) return add(object);
  if (depth == kDepthMax) return;
  if (PyDict_Check(object)) {
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(object, &at, &key, &value) != 0;) {
      if (key != torch_.step_text) add_nested(value, depth + 1);
    }
  } else if (PyList_Check(object) || PyTuple_Check(object)) {
    PyObject** items = PySequence_Fast_ITEMS(object);
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(object);
    for (Py_ssize_t i = 0; i < count; ++i) add_nested(items[i], depth + 1);
  }
}

void GuardedTensors::add(PyObject* tensor) {
  const GuardedTensor found = look_at(torch_, tensor);
  if (found.size_bytes == 0) return;
  const auto index = static_cast<uint32_t>(tensors_.size());
  const uint32_t first = first_at_address_.find_or_insert(found.address, index);
  tensors_.push_back(found);
  next_at_address_.push_back(IdentityMap::kAbsent);
  if (first == index) return;
  next_at_address_[index] = std::exchange(next_at_address_[first], index);
}

const std::vector<GuardedTensor>& GuardedTensors::owners_of(uint64_t address, uint64_t size_bytes) {
  owners_.clear();
  const uint32_t first = first_at_address_.find(address);
  bool is_covered = false;
  for (uint32_t i = first; i != IdentityMap::kAbsent; i = next_at_address_[i]) {
    owners_.push_back(tensors_[i]);
    is_covered = is_covered || tensors_[i].size_bytes >= size_bytes;
  }
  if (first != IdentityMap::kAbsent && !is_covered) add_owners_in_parts(address, size_bytes);
  return owners_;
}

// One storage for the tensors of many parameters, say. All of them are owners.
void GuardedTensors::add_owners_in_parts(uint64_t address, uint64_t size_bytes) {
  owners_.clear();
  const auto address_of = [this](uint32_t i) { return tensors_[i].address; };
  if (by_address_.size() != tensors_.size()) {
    by_address_.resize(tensors_.size());
    std::iota(by_address_.begin(), by_address_.end(), 0u);
    std::ranges::sort(by_address_, {}, address_of);
  }
  const uint64_t end = address + size_bytes;
  uint64_t covered_to = address;
  for (auto i = std::ranges::lower_bound(by_address_, address, {}, address_of);
       i != by_address_.end() && address_of(*i) < end && address_of(*i) <= covered_to; ++i) {
    owners_.push_back(tensors_[*i]);
    covered_to = std::max(covered_to, address_of(*i) + tensors_[*i].size_bytes);
  }
  if (covered_to < end) owners_.clear();
}

}  // namespace tintype::python
