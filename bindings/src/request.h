// A SaveRequest as Python builds it: over a table of storages, then its files, then one use.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <nanobind/nanobind.h>

#include "bindings/src/capture/capture.h"
#include "bindings/src/capture/storage_table.h"
#include "bindings/src/guard/python_witness.h"
#include "bindings/src/guard/retired_references.h"
#include "engine/save_request.h"

namespace tintype::python {

// "plain", "zstd" or "planes"; ValueError for others.
FileForm form_named(std::string_view name);

// Not thread-safe; needs the GIL. The Python side keeps the table alive until the call that takes
// the request returns; lazy storages, and all storages of devices, are kept for as long as the
// engine reads them.
class NativeRequest {
 public:
  // REQUIRES: everything was captured into the table. Keeps the storages of devices.
  explicit NativeRequest(const StorageTable& table);

  // Takes the captured pickle: one file per Captured.
  void add_file(const std::string& path, Captured& captured, uint64_t alignment,
                bool is_symlink_followed, const TargetForm& form);
  void set_capture(uint64_t capture_ns, const std::string& capture_path);
  // Lets save_async() return before those storages are copied that belong to guarded optimizers
  // alone: pairs of (param_groups, state). `table`: the one this request was made of. `torn` may be
  // null.
  void guard(const StorageTable& table, const nanobind::list& optimizers,
             const std::shared_ptr<TornTensors>& torn);
  // Device memory for the save to use, of devices()[position]. Kept until it is staged.
  void set_slab(uint32_t position, const nanobind::object& tensor);
  void set_publisher(std::unique_ptr<Publisher> publisher);
  uint64_t storage_bytes() const;
  bool is_any_compressed() const { return request_.is_any_compressed(); }
  // As CUDA counts, of those that hold storages.
  const std::vector<int>& cuda_devices() const { return cuda_devices_; }
  // Null where all of it is in host memory.
  Device* first_device() const {
    return request_.devices.empty() ? nullptr : request_.devices.front().device;
  }

  SaveRequest take();

 private:
  SaveRequest request_;
  std::vector<int> cuda_devices_;
  HeldReferences held_;  // becomes the request's storage_owner
};

void bind_request(nanobind::module_& module);

}  // namespace tintype::python
