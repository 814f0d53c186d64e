// A SaveRequest as Python builds it: over a table of storages, then its files, then one use.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <nanobind/nanobind.h>

#include "bindings/src/capture/capture.h"
#include "bindings/src/capture/storage_table.h"
#include "bindings/src/guard/python_witness.h"
#include "engine/save_request.h"

namespace tintype::python {

// Not thread-safe; needs the GIL. The Python side keeps the table alive until the call that takes
// the request returns; lazy storages are kept for as long as the engine reads them.
// "plain", "zstd" or "planes"; ValueError for others.
FileForm form_named(std::string_view name);

class NativeRequest {
 public:
  // REQUIRES: everything was captured into the table.
  explicit NativeRequest(const StorageTable& table) { request_.storages = table.storages(); }

  // Takes the captured pickle: one file per Captured.
  void add_file(const std::string& path, Captured& captured, uint64_t alignment,
                bool is_symlink_followed, const TargetForm& form);
  void set_capture(uint64_t capture_ns, const std::string& capture_path);
  // Lets save_async() return before those storages are copied that belong to guarded optimizers
  // alone: pairs of (param_groups, state). `table`: the one this request was made of. `torn` may be
  // null.
  void guard(const StorageTable& table, const nanobind::list& optimizers,
             const std::shared_ptr<TornTensors>& torn);
  void set_publisher(std::unique_ptr<Publisher> publisher);
  uint64_t storage_bytes() const;

  SaveRequest take() { return std::move(request_); }

 private:
  SaveRequest request_;
};

void bind_request(nanobind::module_& module);

}  // namespace tintype::python
