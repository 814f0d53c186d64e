// A SaveRequest as Python builds it: storages by address, then files over them, then one use.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/save_request.h"

namespace tintype::python {

// Not thread-safe; needs the GIL. The Python side keeps the storages alive until the call that
// takes the request returns.
class NativeRequest {
 public:
  // Returns the storage's index in the request.
  uint32_t add_storage(uint64_t address, uint64_t size_bytes);
  void add_file(const std::string& path, nanobind::bytes pickle,
                const std::vector<uint32_t>& storages, uint64_t alignment, bool is_symlink_followed);
  void set_capture(uint64_t capture_ns, const std::string& capture_path);
  void set_publisher(std::unique_ptr<Publisher> publisher);
  uint64_t storage_bytes() const;

  SaveRequest take() { return std::move(request_); }

 private:
  SaveRequest request_;
};

void bind_request(nanobind::module_& module);

}  // namespace tintype::python
