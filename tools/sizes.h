// Amounts of bytes as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace tintype {

// "17 B", "256 MiB", "1.5 GiB": binary units, one digit after the point where there is a rest.
std::string format_size(uint64_t size_bytes);

}  // namespace tintype
