// What stands before and behind the encoded extents of a file: made for writing, and read back,
// strictly.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/byte_source.h"
#include "io/archive/extent_encoder.h"
#include "io/archive/file_form.h"
#include "io/archive/read_limits.h"

namespace tintype {

// unsupported where a file would have more extents than a table may list; with what to do.
Status check_extent_count(uint64_t extent_count);

// The bytes in front of the first extent: a multiple of kEncodedAlignmentBytes; none for zstd.
ByteVector file_head(FileForm form);

// Of what a file or stream of the planes form begins with. corruption where it contradicts its own
// checksum, whatever else it says; unsupported for another version. REQUIRES: kPlanesHeadBytes.
Status check_planes_head(ByteView head, std::string_view name);

// The bytes behind the last extent. `extents` are in file order and follow each other without a
// gap. unsupported where they are too many (check_extent_count).
Result<ByteVector> file_tail(FileForm form, std::span<const EncodedExtent> extents);

struct IndexedExtent {
  uint64_t plain_offset = 0;  // in the plain image
  uint64_t file_offset = 0;
  uint32_t plain_bytes = 0;    // 1 to kPlainExtentBytesMax
  uint32_t encoded_bytes = 0;  // with padding
  uint32_t payload_bytes = 0;  // without, where the table tells (zstd); else as encoded_bytes
  uint32_t checksum = 0;
};

// The most bytes of a file, padding counted, that an extent of that plain size may have where the
// file is read by its tables: they are read at once. Other programs' frames may be somewhat larger
// than ours.
uint64_t encoded_limit_bytes(uint64_t plain_bytes);

// Whether an extent of the planes form can have these sizes.
bool is_possible(const IndexedExtent& extent);

struct FrameIndex {
  FileForm form = FileForm::planes;
  bool has_checksums = true;  // false: a seek table that another program wrote without them
  uint64_t plain_bytes = 0;
  std::vector<IndexedExtent> extents;  // ascending, without gaps

  // The position of the extent that holds this byte of the plain image. REQUIRES: it is in it.
  size_t extent_at(uint64_t plain_offset) const;
  uint64_t largest_plain_bytes() const;
  uint64_t largest_encoded_bytes() const;  // with padding
  // How many bytes of the file hold this part of the image: within an extent in proportion.
  uint64_t encoded_bytes_of(uint64_t plain_offset, uint64_t size_bytes) const;
};

// True where a seek table stands at the end: then the file can be read at any place. A `.zst` that
// the zstd command made has none (see ZstdStream). Always true for planes.
Result<bool> has_frame_index(const ByteSource& source, FileForm form);

// Reads the tables of a compressed file; the payload is neither read nor trusted. corruption for
// what is cut off or contradicts itself; unsupported over a limit, and for a seek table that does
// not show all of its file. Memory stays below a small multiple of the tables. REQUIRES: form is
// not plain.
Result<FrameIndex> read_frame_index(const ByteSource& source, FileForm form,
                                    const ReadLimits& limits = {});

}  // namespace tintype
