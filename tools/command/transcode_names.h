// What `tintype compress` and `decompress` are asked for, settled before anything is read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "io/archive/file_form.h"

namespace tintype::command {

inline constexpr const char* kStandardStream = "-";

struct TranscodeArguments {
  bool is_compressing = false;
  std::vector<std::string> inputs;
  std::string output;  // empty: beside the input
  bool is_to_stdout = false;
  std::string form;  // "zstd", "planes"; empty: by the output's name
  int level = 0;     // 0: the usual one
  bool may_replace = false;
  bool is_input_removed = false;
  uint32_t thread_count = 0;
  bool is_quiet = false;
  bool is_json = false;
};

// One input, and what becomes of it.
struct TranscodeTask {
  std::string input;                 // kStandardStream for standard input
  std::string output;                // kStandardStream for standard output
  FileForm form = FileForm::planes;  // of the compressed side; not used when decompressing
};

// Some output is standard output: then nothing else may be written there.
bool has_data_on_stdout(const TranscodeArguments& arguments);

// invalid_argument for what contradicts itself: a name of another form, one output for several
// inputs, JSON and data on one standard output.
Status check(const TranscodeArguments& arguments);
// The same for what concerns this input alone: no ending to take away, a name that is compressed
// already.
Result<TranscodeTask> task_for(const TranscodeArguments& arguments, const std::string& input);

}  // namespace tintype::command
