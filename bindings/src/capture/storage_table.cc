#include "bindings/src/capture/storage_table.h"

#include <atomic>
#include <string>

#include <nanobind/stl/string.h>

#include "base/log.h"
#include "engine/device/cuda_device.h"

namespace nb = nanobind;

namespace tintype::python {
namespace {

// Of a build without CUDA the documents say it.
void tell_once(const Status& reason) {
  static std::atomic<bool> is_told = false;
  if (!is_built_with_cuda() || is_told.exchange(true)) return;
  log_warning("tensors of CUDA devices are copied to the host by torch, which holds the job: " +
              reason.to_string());
}

}  // namespace

StorageTable::~StorageTable() {
  for (const nb::object& owner : owners_) {
    if (PyObject_IS_GC(owner.ptr()) && PyObject_GC_IsTracked(owner.ptr()) == 0) {
      PyObject_GC_Track(owner.ptr());
    }
  }
}

uint32_t StorageTable::add(nb::handle untyped_storage, Content content) {
  const uint32_t number = number_of(untyped_storage);
  const uint32_t known = find(number, content.size_bytes);
  if (known != IdentityMap::kAbsent) return known;
  const nb::object device = untyped_storage.attr("device");
  const auto type = nb::cast<std::string>(device.attr("type"));
  if (type != "cpu" && type != "cuda") return append_host_copy(number, content);
  const auto address = nb::cast<uint64_t>(untyped_storage.attr("data_ptr")());
  if (type == "cpu") return append(number, address, content, kHostMemory);
  return add_cuda(number, address, content, nb::cast<int>(device.attr("index")));
}

uint32_t StorageTable::number_of(nb::handle untyped_storage) {
  const auto next = static_cast<uint32_t>(owners_.size());
  const auto identity = reinterpret_cast<uint64_t>(untyped_storage.ptr());
  const uint32_t number = number_by_object_.find_or_insert(identity, next);
  if (number == next) {
    owners_.push_back(nb::borrow(untyped_storage));
    if (PyObject_GC_IsTracked(untyped_storage.ptr()) != 0) {
      PyObject_GC_UnTrack(untyped_storage.ptr());
    }
    first_index_.push_back(IdentityMap::kAbsent);
  }
  return number;
}

uint32_t StorageTable::add_host(uint32_t number, uint64_t address, Content content) {
  const uint32_t known = find(number, content.size_bytes);
  return known != IdentityMap::kAbsent ? known : append(number, address, content, kHostMemory);
}

uint32_t StorageTable::add_cuda(uint32_t number, uint64_t address, Content content, int device) {
  const uint32_t known = find(number, content.size_bytes);
  if (known != IdentityMap::kAbsent) return known;
  const uint32_t position = position_of(device);
  if (position == kHostMemory) return append_host_copy(number, content);
  return append(number, address, content, position);
}

bool StorageTable::is_unmoved() const {
  for (uint32_t i = 0; i < storages_.size(); ++i) {
    const nb::handle owner = owners_[numbers_[i]];
    const bool is_on_host = nb::cast<std::string>(owner.attr("device").attr("type")) == "cpu";
    if (storages_[i].device == kHostMemory && !is_on_host) continue;  // a copy
    const auto address = reinterpret_cast<uint64_t>(storages_[i].address);
    if (nb::cast<uint64_t>(owner.attr("data_ptr")()) != address ||
        nb::cast<uint64_t>(owner.attr("nbytes")()) < storages_[i].size_bytes) {
      return false;
    }
  }
  return true;
}

uint32_t StorageTable::append_host_copy(uint32_t number, Content content) {
  const nb::object copy = owners_[number].attr("cpu")();
  copies_.push_back(copy);
  return append(number, nb::cast<uint64_t>(copy.attr("data_ptr")()), content, kHostMemory);
}

// In devices_, to which it is added at its first sight; kHostMemory where the engine cannot use it.
uint32_t StorageTable::position_of(int device) {
  for (uint32_t i = 0; i < devices_.size(); ++i) {
    if (device_indices_[i] == device) return i;
  }
  const auto found = cuda_device(device);
  if (!found.is_ok()) {
    tell_once(found.status());
    return kHostMemory;
  }
  const nb::object stream = nb::module_::import_("tintype._cuda").attr("current_stream")(device);
  devices_.push_back({.device = *found, .stream = nb::cast<StreamHandle>(stream), .slab = {}});
  device_indices_.push_back(device);
  return static_cast<uint32_t>(devices_.size() - 1);
}

uint32_t StorageTable::find(uint32_t number, uint64_t size_bytes) const {
  const uint32_t first = first_index_[number];
  if (first == IdentityMap::kAbsent || storages_[first].size_bytes == size_bytes) return first;
  for (uint32_t i = first + 1; i < storages_.size(); ++i) {
    if (numbers_[i] == number && storages_[i].size_bytes == size_bytes) return i;
  }
  return IdentityMap::kAbsent;
}

uint32_t StorageTable::append(uint32_t number, uint64_t address, Content content, uint32_t device) {
  const auto index = static_cast<uint32_t>(storages_.size());
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  storages_.push_back({.address = reinterpret_cast<const std::byte*>(address),
                       .size_bytes = content.size_bytes,
                       .device = device,
                       .element_bytes = content.element_bytes,
                       .is_floating = content.is_floating});
  numbers_.push_back(number);
  if (first_index_[number] == IdentityMap::kAbsent) first_index_[number] = index;
  return index;
}

}  // namespace tintype::python
