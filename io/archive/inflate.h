// Expands deflated records. torch never writes them, but reads them.
#pragma once

#include <cstdint>
#include <functional>

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/byte_source.h"

namespace tintype {

// Expands [offset, offset + stored_bytes) of the source and hands the result to `sink` piece by
// piece, in order. corruption unless it is one whole deflate stream of exactly size_bytes. Memory
// is constant. `sink` may end it with an error of its own.
Status inflate(const ByteSource& source, uint64_t offset, uint64_t stored_bytes,
               uint64_t size_bytes, const std::function<Status(ByteView)>& sink);

}  // namespace tintype
