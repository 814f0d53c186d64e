// Decodes single extents of a compressed file.
#pragma once

#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/compressed_layout.h"

namespace tintype {

// Not for several threads at once: one per thread.
class ExtentDecoder {
 public:
  virtual ~ExtentDecoder() = default;

  static std::unique_ptr<ExtentDecoder> create(FileForm form, bool has_checksums);

  // Fills `plain` from the extent's bytes in the file. corruption, naming the offset in the file,
  // where they are not what was written; `plain` is then not to be looked at. Any bytes are safe to
  // give. REQUIRES: the sizes are those of `extent`.
  virtual Status decode(const IndexedExtent& extent, ByteView encoded, MutableBytes plain) = 0;
};

// For reading the planes form front to back, without the tables at its end: the sizes and the
// checksum of the extent that begins with these kExtentHeaderBytes, its offsets 0. nullopt where
// they are of no extent: there the tables begin, or the file is damaged. The CRC over the numbers
// is compared later, by decode().
std::optional<IndexedExtent> peek_planes_extent(ByteView header);

}  // namespace tintype
