#include "bindings/src/capture/storage_table.h"

#include <string>

#include <nanobind/stl/string.h>

namespace nb = nanobind;

namespace tintype::python {

uint32_t StorageTable::add(nb::handle untyped_storage, uint64_t size_bytes) {
  const auto identity = nb::cast<uint64_t>(untyped_storage.attr("_cdata"));
  const uint32_t known = find(identity, size_bytes);
  if (known != IdentityMap::kAbsent) return known;
  nb::object host = nb::borrow(untyped_storage);
  const bool is_host = nb::cast<std::string>(host.attr("device").attr("type")) == "cpu";
  if (!is_host) {
    owners_.push_back(host);  // the copy does not keep the identity taken
    host = host.attr("cpu")();
  }
  return append(host, identity, nb::cast<uint64_t>(host.attr("data_ptr")()), size_bytes);
}

uint32_t StorageTable::add_host(nb::handle owner, uint64_t identity, uint64_t address,
                                uint64_t size_bytes) {
  const uint32_t known = find(identity, size_bytes);
  return known != IdentityMap::kAbsent ? known : append(owner, identity, address, size_bytes);
}

uint32_t StorageTable::find(uint64_t identity, uint64_t size_bytes) const {
  const uint32_t first = first_by_identity_.find(identity);
  if (first == IdentityMap::kAbsent || storages_[first].size_bytes == size_bytes) return first;
  for (uint32_t i = first + 1; i < storages_.size(); ++i) {
    if (identities_[i] == identity && storages_[i].size_bytes == size_bytes) return i;
  }
  return IdentityMap::kAbsent;
}

uint32_t StorageTable::append(nb::handle owner, uint64_t identity, uint64_t address,
                              uint64_t size_bytes) {
  const auto index = static_cast<uint32_t>(storages_.size());
  storages_.push_back({reinterpret_cast<const std::byte*>(address), size_bytes});
  identities_.push_back(identity);
  owners_.push_back(nb::borrow(owner));
  if (first_by_identity_.find(identity) == IdentityMap::kAbsent) {
    first_by_identity_.insert(identity, index);
  }
  return index;
}

}  // namespace tintype::python
