// The distinct storages of one save. Files of one save share them.
#pragma once

#include <vector>

#include <nanobind/nanobind.h>

#include "bindings/src/capture/identity_map.h"
#include "engine/save_request.h"

namespace tintype::python {

// Keeps the storages alive. Needs the GIL; not thread-safe.
class StorageTable {
 public:
  // The index of a storage, which is added at its first sight. Memory that is not the host's is
  // copied there by torch, blocking. Throws python_error when Python raises.
  uint32_t add(nanobind::handle untyped_storage, uint64_t size_bytes);

  // The same for what is known to lie in host memory. `identity` is torch's StorageImpl.
  uint32_t add_host(nanobind::handle owner, uint64_t identity, uint64_t address,
                    uint64_t size_bytes);

  const std::vector<SourceStorage>& storages() const { return storages_; }

 private:
  // The index of (identity, size), or IdentityMap::kAbsent. One storage has two sizes when files of
  // one save see it as two dtypes and its bytes are no multiple of one of them.
  uint32_t find(uint64_t identity, uint64_t size_bytes) const;
  uint32_t append(nanobind::handle owner, uint64_t identity, uint64_t address, uint64_t size_bytes);

  std::vector<SourceStorage> storages_;
  std::vector<uint64_t> identities_;      // of storages_
  std::vector<nanobind::object> owners_;  // keep the memory and the identities alive
  IdentityMap first_by_identity_;
};

}  // namespace tintype::python
