// Checks a whole checkpoint: structure, every record's CRC, the pickle, and that every storage it
// names is there with the right size. Nothing is executed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/restore/parallel_read.h"
#include "engine/restore/storage_choice.h"
#include "io/archive/byte_source.h"
#include "io/archive/read_limits.h"
#include "io/disk/file_system.h"

namespace tintype {

struct VerifyOptions {
  ReadOptions reading;
  ReadLimits limits;
  StorageChoice storages;  // which are read; all other records always are
};

struct VerifyProblem {
  std::string record;                // "data/3"; empty for the file's structure
  uint64_t offset = 0;               // in the file, of what is damaged
  std::string text;                  // what is wrong, and what to do where that is known
  std::vector<std::string> tensors;  // what it costs: names as Archive::tensors has them
};

struct VerifyReport {
  std::string path;
  uint64_t size_bytes = 0;
  uint64_t record_count = 0;   // checked
  uint64_t checked_bytes = 0;  // payload bytes whose CRC was compared
  std::vector<VerifyProblem> problems;
  std::vector<std::string> notes;  // odd but tolerated: CRC 0 (not computed), comment, zeros behind

  bool is_ok() const { return problems.empty(); }
  // All problems in one text for an error, the first few in full; empty where there is none.
  std::string summary() const;
};

// A damaged or cut off file is a report with problems. A Status only for what cannot be judged: the
// system's errors (with errno), `unsupported` (legacy, TorchScript, another format, over a limit),
// `interrupted`.
Result<VerifyReport> verify(FileSystem& file_system, const std::string& path,
                            const VerifyOptions& options = {});
Result<VerifyReport> verify(const ByteSource& source, const VerifyOptions& options = {});

}  // namespace tintype
