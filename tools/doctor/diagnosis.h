// The whole examination, in the order it is shown.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "tools/doctor/finding.h"

namespace tintype::doctor {

struct Diagnosis {
  std::string directory;    // absolute
  Status directory_status;  // why no save can succeed there; ok where it can
  std::vector<Section> sections;
};

// Writes a few small files of its own to the directory and removes them. Takes and gives back as
// much memory as the engine's smallest pool has.
Diagnosis diagnose(const std::string& directory);

}  // namespace tintype::doctor
