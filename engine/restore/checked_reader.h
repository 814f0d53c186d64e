// An archive's bytes for a reader that knows nothing of CRCs (torch's): each record is compared
// with its CRC in the same pass that hands its bytes out, before the reader sees one of them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/restore/parallel_read.h"
#include "engine/restore/storage_choice.h"
#include "engine/restore/window_source.h"
#include "io/archive/byte_source.h"
#include "io/archive/read_limits.h"
#include "io/archive/zip_reader.h"

namespace tintype {

struct CheckedReadOptions {
  ReadOptions reading;
  StorageChoice storages;
  bool is_checking = true;  // false: only the structure is looked at
  ReadLimits limits;        // in proportion to the file
};

// Offsets are from the start of the archive, whatever stands before it in the source. It ends with
// its end record, which is shown without a comment: torch's reader looks for it backwards from the
// end and fails on small files with much behind it. Not for several threads at once.
class CheckedReader {
 public:
  // Reads the structure and the marks by which check_kind knows a checkpoint; errors as there.
  static Result<std::unique_ptr<CheckedReader>> open(std::shared_ptr<const ByteSource> source,
                                                     CheckedReadOptions options);

  const std::string& name() const { return source_->name(); }
  uint64_t size_bytes() const { return index_.end_offset - index_.start_offset; }
  uint64_t start_offset() const { return index_.start_offset; }

  // The storages that do not lie in the file as they are: deflated ones.
  std::vector<std::string> compressed_storages() const;

  // Fills `target`. A read of exactly one stored payload goes straight into `target`, by several
  // threads where that pays, and is compared with its CRC before it returns. A read of a part of
  // an unchecked payload has the whole record checked first, and so read twice. A read across the
  // bounds of a payload is a look at the structure (torch searches the file's end for its end
  // record): what it holds of payloads is not checked. A storage that nobody chose is left out:
  // `target` keeps what it had, which nobody may look at, and take_left_out tells; it is read and
  // checked after all where only a part of it is asked for. Its local header is not read either:
  // one made of what the directory says stands in. corruption names the record; `target` is then
  // not to be looked at.
  Status read(MutableBytes target, uint64_t offset);

  // The key of a storage that was asked for and left out since the last call; nullopt: none was.
  std::optional<std::string> take_left_out();

  // Checks what was not read so far. After ok, every chosen record is what its CRC says.
  Status finish();

 private:
  enum class RecordState : uint8_t { unchecked, checked, left_out };

  CheckedReader(std::shared_ptr<const ByteSource> source, ZipIndex index,
                CheckedReadOptions options);
  void expect_wanted() const;
  Status read_as_it_is(MutableBytes target, uint64_t offset);
  std::optional<size_t> record_at(uint64_t offset) const;  // position of the one it lies in
  Result<uint64_t> payload_of(size_t position);
  Result<uint64_t> shown_payload_of(size_t position);  // where the reader is told that it lies
  Status read_payload_of(size_t position, MutableBytes target);
  Status check(const std::vector<uint32_t>& positions);

  const std::shared_ptr<const ByteSource> source_;
  const WindowSource structure_;  // for headers, descriptors and other small reads
  const ZipIndex index_;
  const CheckedReadOptions options_;
  std::vector<RecordState> states_;  // by the index's positions
  std::vector<bool> has_stand_in_;   // for the header
  std::vector<uint64_t> payloads_;   // offsets in the source; 0: not looked for yet
  std::optional<size_t> left_out_;   // position; see take_left_out
};

}  // namespace tintype
