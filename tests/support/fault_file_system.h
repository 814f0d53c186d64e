// Wraps another FileSystem; every operation asks a FaultInjector first.
#pragma once

#include <memory>
#include <string>

#include "io/disk/file_system.h"
#include "tests/support/fault_injector.h"

namespace tintype {

class FaultFileSystem final : public FileSystem {
 public:
  // Both outlive this object and every file and directory opened through it.
  FaultFileSystem(FileSystem& inner, FaultInjector& injector)
      : inner_(inner), injector_(injector) {}

  Result<std::unique_ptr<Directory>> open_directory(const std::string& path) override;
  Status create_directories(const std::string& path) override;

 private:
  FileSystem& inner_;
  FaultInjector& injector_;
};

}  // namespace tintype
