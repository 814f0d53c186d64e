#include "bindings/src/capture/storage_table.h"

#include <string>

#include <nanobind/stl/string.h>

namespace nb = nanobind;

namespace tintype::python {

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
  nb::object host = nb::borrow(untyped_storage);
  const bool is_host = nb::cast<std::string>(host.attr("device").attr("type")) == "cpu";
  if (!is_host) {
    host = host.attr("cpu")();
    copies_.push_back(host);
  }
  return append(number, nb::cast<uint64_t>(host.attr("data_ptr")()), content);
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
  return known != IdentityMap::kAbsent ? known : append(number, address, content);
}

uint32_t StorageTable::find(uint32_t number, uint64_t size_bytes) const {
  const uint32_t first = first_index_[number];
  if (first == IdentityMap::kAbsent || storages_[first].size_bytes == size_bytes) return first;
  for (uint32_t i = first + 1; i < storages_.size(); ++i) {
    if (numbers_[i] == number && storages_[i].size_bytes == size_bytes) return i;
  }
  return IdentityMap::kAbsent;
}

uint32_t StorageTable::append(uint32_t number, uint64_t address, Content content) {
  const auto index = static_cast<uint32_t>(storages_.size());
  storages_.push_back({.address = reinterpret_cast<const std::byte*>(address),
                       .size_bytes = content.size_bytes,
                       .element_bytes = content.element_bytes});
  numbers_.push_back(number);
  if (first_index_[number] == IdentityMap::kAbsent) first_index_[number] = index;
  return index;
}

}  // namespace tintype::python
