// A checkpoint opened for looking: its records, tensors and values, without executing its pickle
// and without torch. C++'s `inspect`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/restore/checkpoint_contents.h"
#include "engine/restore/checkpoint_marks.h"
#include "engine/restore/image.h"
#include "engine/restore/tensor_entry.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/read_limits.h"
#include "io/archive/zip_reader.h"
#include "io/disk/file_system.h"

namespace tintype {

// Immutable after open; all methods may be called from several threads.
class Archive {
 public:
  // Reads the structure and the pickle, no payload, of a file of any form. Errors: the system's
  // (missing file, directory, no permission) with their errno; corruption; unsupported for legacy
  // files, TorchScript, other formats and exceeded limits. Each text names the file and says what
  // to do.
  static Result<std::unique_ptr<Archive>> open(FileSystem& file_system, const std::string& path,
                                               const ReadLimits& limits = {});
  static Result<std::unique_ptr<Archive>> open(Image image, const ReadLimits& limits = {});

  const std::string& path() const { return image_.source->name(); }
  FileForm form() const { return image_.form; }
  // Of the file, and of the plain image: all offsets are in the latter.
  uint64_t file_bytes() const { return image_.file_bytes; }
  uint64_t size_bytes() const { return image_.source->size_bytes(); }
  // The extents of a compressed file; null for a plain one, and for a `.zst` without a seek table.
  const FrameIndex* frames() const {
    return image_.compressed == nullptr ? nullptr : &image_.compressed->frames();
  }
  const ZipIndex& index() const { return index_; }
  // The plain image that all offsets are in.
  const ByteSource& source() const { return *image_.source; }
  // Of the storages; read_tensor gives only little ones.
  ByteOrder byte_order() const { return byte_order_; }
  // In file order.
  const std::vector<ArchiveRecord>& records() const { return index_.records; }
  // In the order in which the checkpoint holds them.
  const std::vector<TensorEntry>& tensors() const { return contents_.tensors; }
  // Everything else that has a value of its own: numbers, texts, opaque objects.
  const std::vector<ValueEntry>& values() const { return contents_.values; }

  // What tensors and values lie in, as CheckpointContents has it.
  const std::vector<ValueEntry>& containers() const { return contents_.containers; }

  // Null where there is none.
  const TensorEntry* find_tensor(std::string_view name) const;
  // The tensor's record; invalid_argument for a meta tensor, corruption where it is missing.
  Result<const ArchiveRecord*> record_of(const TensorEntry& tensor) const;

  // Where the record's payload begins in the plain image; errors as locate_payload.
  Result<uint64_t> payload_offset(const ArchiveRecord& record) const;

  // The elements in row-major order without gaps, tensor.size_bytes of them, as stored (conjugate
  // and negative flags not applied). CRC checked over the whole record. invalid_argument for meta.
  Result<ByteVector> read_tensor(const TensorEntry& tensor) const;
  // A record's expanded payload. `target` has record.size_bytes bytes. CRC checked.
  Status read_record(const ArchiveRecord& record, MutableBytes target) const;

 private:
  Archive(Image image, ReadLimits limits) : image_(std::move(image)), limits_(limits) {}
  Status load();

  Image image_;
  ReadLimits limits_;
  ZipIndex index_;
  ByteOrder byte_order_ = ByteOrder::little;
  CheckpointContents contents_;
  std::unordered_map<std::string_view, size_t> tensors_by_name_;
};

}  // namespace tintype
