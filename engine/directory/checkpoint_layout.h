// The names in a checkpoint directory: the only place that builds or takes apart a file name.
//
//   {stage}.{epoch}.pth   {stage}.{epoch}_full.pth   best.pth   best_full.pth   last.pth
//   last_full.pth
//
// with .zst or .ttz behind in a compressed form. A base is what stands in front of the endings: a
// stem ("train.3"), "best" or "last".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "io/archive/file_form.h"

namespace tintype {

inline constexpr std::string_view kCheckpointsFolder = "checkpoints";
inline constexpr std::string_view kIndexName = ".tintype.json";
inline constexpr std::string_view kLockName = ".tintype.lock";
inline constexpr std::string_view kBestBase = "best";
inline constexpr std::string_view kLastBase = "last";

// invalid_argument unless the name is 1 to 128 letters, digits, '.', '_' or '-', begins with a
// letter or digit, and is not best, last or something that ends in "_full".
Status check_stage_name(std::string_view stage);
// invalid_argument unless it is a plain file name that ends in ".json" and is not one of ours.
Status check_metrics_filename(std::string_view name);

std::string stem_of(std::string_view stage, uint64_t epoch);
std::string full_name(std::string_view base, FileForm form);
std::string light_name(std::string_view base, FileForm form);

// True for what full_name and light_name make of best and last, in any form.
bool is_link_name(std::string_view file_name);

struct NumberedName {
  std::string stem;
  std::string stage;
  uint64_t epoch = 0;
  bool is_full = false;
  FileForm form = FileForm::plain;
};

// Exact: only what stem_of and full_name or light_name can have made from a valid stage name.
std::optional<NumberedName> parse_numbered_name(std::string_view file_name);
// "train.3" without an ending; is_full is false, the form is plain.
std::optional<NumberedName> parse_stem(std::string_view stem);

}  // namespace tintype
