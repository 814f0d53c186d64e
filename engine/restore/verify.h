// Checks a whole checkpoint: structure, every record's CRC, the pickle, and that every storage it
// names is there with the right size; of a compressed file, every extent too. Nothing is executed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/restore/parallel_read.h"
#include "engine/restore/storage_choice.h"
#include "io/archive/byte_source.h"
#include "io/archive/file_form.h"
#include "io/archive/read_limits.h"
#include "io/disk/file_system.h"

namespace tintype {

struct VerifyOptions {
  ReadOptions reading;
  ReadLimits limits;
  StorageChoice storages;  // which are read; all other records always are
};

struct VerifyProblem {
  std::string record;            // "data/3"; empty for the file's structure and for an extent
  std::optional<size_t> extent;  // of a compressed file: its number
  uint64_t offset = 0;           // of what is damaged: an extent's in the file, else in the image
  std::string text;              // what is wrong
  std::string remedy;            // what to do about it; empty where nothing is known
  std::vector<std::string> tensors;  // what it costs: names as Archive::tensors has them
};

struct VerifyReport {
  std::string path;
  FileForm form = FileForm::plain;
  uint64_t file_bytes = 0;
  uint64_t size_bytes = 0;     // of the plain image
  uint64_t extent_count = 0;   // checked, of a compressed file
  uint64_t record_count = 0;   // checked
  uint64_t checked_bytes = 0;  // payload bytes whose CRC was compared
  std::vector<VerifyProblem> problems;
  std::vector<std::string> notes;  // odd but tolerated: CRC 0 (not computed), comment, zeros behind

  bool is_ok() const { return problems.empty(); }
  // All problems as one error, the first few in full; ok where there is none.
  Status status() const;
};

// A damaged or cut off file is a report with problems. A Status only for what cannot be judged: the
// system's errors (with errno), `unsupported` (legacy, TorchScript, another format, over a limit),
// `interrupted`.
Result<VerifyReport> verify(FileSystem& file_system, const std::string& path,
                            const VerifyOptions& options = {});
Result<VerifyReport> verify(std::unique_ptr<ByteSource> file, const VerifyOptions& options = {});

}  // namespace tintype
