// Decodes single extents of a compressed file.
#pragma once

#include <memory>

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

}  // namespace tintype
