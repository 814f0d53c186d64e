// Which form of a checkpoint a name says: the same rule as in Python, bindings/tintype/_target.py.
#pragma once

#include <string>

#include "base/status.h"

namespace tintype::command {

// Unsupported for a name that ends in .zst or .ttz, in either case, whatever the file holds: these
// names are of the compressed forms, which this version does not have.
Status check_form(const std::string& path);

}  // namespace tintype::command
