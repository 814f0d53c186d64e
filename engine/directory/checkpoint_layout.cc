#include "engine/directory/checkpoint_layout.h"

#include <algorithm>
#include <charconv>

namespace tintype {
namespace {

constexpr std::string_view kLightEnding = ".pth";
constexpr std::string_view kFullMark = "_full";
constexpr size_t kMaxStageCharacters = 128;

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_stage_character(char c) {
  return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-';
}

Status bad_stage(std::string_view stage, std::string_view reason) {
  return Status::invalid_argument("stage name '" + std::string(stage) + "' " + std::string(reason),
                                  "it becomes part of file names, so use 1 to 128 letters, "
                                  "digits, '.', '_' or '-', beginning with a letter or digit");
}

}  // namespace

Status check_stage_name(std::string_view stage) {
  if (stage.empty()) return bad_stage(stage, "is empty");
  if (stage.size() > kMaxStageCharacters) return bad_stage(stage, "is too long");
  if (!std::all_of(stage.begin(), stage.end(), is_stage_character)) {
    return bad_stage(stage, "has a character that is not allowed");
  }
  if (!is_letter_or_digit(stage.front())) return bad_stage(stage, "begins with a punctuation mark");
  if (stage == kBestBase || stage == kLastBase || stage.ends_with(kFullMark)) {
    return bad_stage(stage, "is reserved (best, last and names that end in _full)");
  }
  return Status::ok();
}

Status check_metrics_filename(std::string_view name) {
  constexpr std::string_view ending = ".json";
  const bool is_plain = name.find('/') == std::string_view::npos && name.size() <= 128 &&
                        name.find('\0') == std::string_view::npos;
  if (is_plain && name.size() > ending.size() && name.ends_with(ending) && name != kIndexName) {
    return Status::ok();
  }
  return Status::invalid_argument("metrics file name '" + std::string(name) +
                                  "' must be a plain file name that ends in .json, and not " +
                                  std::string(kIndexName));
}

std::string stem_of(std::string_view stage, uint64_t epoch) {
  return std::string(stage) + "." + std::to_string(epoch);
}

std::string full_name(std::string_view base, FileForm form) {
  return light_name(std::string(base) + std::string(kFullMark), form);
}

std::string light_name(std::string_view base, FileForm form) {
  return std::string(base) + std::string(kLightEnding) + std::string(suffix_of(form));
}

bool is_link_name(std::string_view file_name) {
  const FileForm form = form_of_name(file_name);
  for (const std::string_view base : {kBestBase, kLastBase}) {
    if (file_name == full_name(base, form) || file_name == light_name(base, form)) return true;
  }
  return false;
}

std::optional<NumberedName> parse_stem(std::string_view stem) {
  const size_t dot = stem.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  NumberedName name;
  const std::string_view digits = stem.substr(dot + 1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), name.epoch);
  name.stage = stem.substr(0, dot);
  name.stem = stem;
  const bool is_exact = error == std::errc() && end == digits.data() + digits.size() &&
                        name.epoch >= 1 && stem_of(name.stage, name.epoch) == stem;
  if (!is_exact || !check_stage_name(name.stage).is_ok()) return std::nullopt;
  return name;
}

std::optional<NumberedName> parse_numbered_name(std::string_view file_name) {
  const FileForm form = form_of_name(file_name);
  const std::string ending = light_name("", form);  // exact, where form_of_name takes either case
  if (!file_name.ends_with(ending)) return std::nullopt;
  file_name.remove_suffix(ending.size());
  const bool is_full = file_name.ends_with(kFullMark);
  if (is_full) file_name.remove_suffix(kFullMark.size());
  std::optional<NumberedName> name = parse_stem(file_name);
  if (!name.has_value()) return std::nullopt;
  name->is_full = is_full;
  name->form = form;
  return name;
}

}  // namespace tintype
