#include "tools/doctor/diagnosis.h"

#include <stdlib.h>

#include <memory>
#include <utility>

#include "tools/doctor/directory.h"
#include "tools/doctor/machine.h"
#include "tools/doctor/mount.h"
#include "tools/doctor/ring.h"

namespace tintype::doctor {
namespace {

// As given where it cannot be resolved: the error then speaks of what was typed.
std::string absolute_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> resolved(::realpath(path.c_str(), nullptr),
                                                          &::free);
  return resolved != nullptr ? resolved.get() : path;
}

Status examine_path(const std::string& path, WriteQueue& queue, std::vector<Finding>& findings) {
  auto directory = posix_file_system().open_directory(path);
  if (!directory.is_ok()) {
    findings.push_back(unusable("directory", directory.status()));
    return directory.status();
  }
  findings.push_back(judge_file_system(file_system_type_of(path)));
  return examine_directory(**directory, queue, findings);
}

}  // namespace

Diagnosis diagnose(const std::string& directory) {
  const ProcessLimits limits = read_process_limits();
  Diagnosis diagnosis{.directory = absolute_path(directory)};
  RingExamination ring = examine_ring(limits);
  std::vector<Finding> findings;
  diagnosis.directory_status = examine_path(diagnosis.directory, *ring.queue, findings);
  diagnosis.sections.push_back({"Writing", std::move(ring.findings)});
  diagnosis.sections.push_back({"Directory " + diagnosis.directory, std::move(findings)});
  diagnosis.sections.push_back({"Machine", examine_machine(limits)});
  return diagnosis;
}

}  // namespace tintype::doctor
