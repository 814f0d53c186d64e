// The distinct storages of one save. Files of one save share them.
#pragma once

#include <vector>

#include <nanobind/nanobind.h>

#include "bindings/src/capture/identity_map.h"
#include "engine/save_request.h"

namespace tintype::python {

// Keeps the storages alive. Needs the GIL; not thread-safe.
//
// A storage is known by the address of its Python object: torch makes one per StorageImpl and hands
// it out again while it lives. Meanwhile the objects are hidden from Python's garbage collector:
// they are many and young, and none of them is garbage, so it would look at all of them for
// nothing.
class StorageTable {
 public:
  StorageTable() = default;
  ~StorageTable();

  // What its first sight shows of a storage's bytes.
  struct Content {
    uint64_t size_bytes = 0;
    uint32_t element_bytes = 1;
    bool is_floating = false;
  };

  // The index of a storage, which is added at its first sight. Throws python_error when Python
  // raises.
  uint32_t add(nanobind::handle untyped_storage, Content content);

  // The storage's number in the order of first sight, whatever its sizes.
  uint32_t number_of(nanobind::handle untyped_storage);

  // As add(), for the storage with that number, whose memory is the host's.
  uint32_t add_host(uint32_t number, uint64_t address, Content content);

  // The same on a CUDA device. Where the engine cannot use that (a build without CUDA, a driver
  // that is too old), torch copies it to the host, blocking.
  uint32_t add_cuda(uint32_t number, uint64_t address, Content content, int device);

  // Whether every storage still lies where it did at its first sight, and is as large: Python code
  // that ran since, a __reduce__ say, may have freed it.
  bool is_unmoved() const;

  // With the streams that are current where the first of their storages is added.
  const std::vector<SourceDevice>& devices() const { return devices_; }
  // As CUDA counts; parallel to devices().
  const std::vector<int>& device_indices() const { return device_indices_; }

  const std::vector<SourceStorage>& storages() const { return storages_; }

  // The torch.UntypedStorage that storages()[index] is. Borrowed.
  PyObject* storage_object(uint32_t index) const { return owners_[numbers_[index]].ptr(); }

  StorageTable(const StorageTable&) = delete;
  StorageTable& operator=(const StorageTable&) = delete;

 private:
  // The index of the storage as one of that size, or IdentityMap::kAbsent. One storage has two
  // sizes when files of one save see it as two dtypes and its bytes are no multiple of one of them.
  uint32_t find(uint32_t number, uint64_t size_bytes) const;
  uint32_t append(uint32_t number, uint64_t address, Content content, uint32_t device);
  uint32_t append_host_copy(uint32_t number, Content content);
  uint32_t position_of(int device);

  std::vector<SourceDevice> devices_;
  std::vector<int> device_indices_;
  std::vector<SourceStorage> storages_;
  std::vector<uint32_t> numbers_;         // of storages_
  std::vector<nanobind::object> owners_;  // by number; they keep the memory and the identity
  std::vector<nanobind::object> copies_;  // host copies of memory that the engine cannot read
  std::vector<uint32_t> first_index_;     // by number, into storages_
  IdentityMap number_by_object_;
};

}  // namespace tintype::python
