// Standard output for results, standard error for everything else.
#pragma once

#include <string>
#include <string_view>

#include <fmt/color.h>
#include <nlohmann/json_fwd.hpp>

#include "base/status.h"

namespace tintype::command {

// Thread rule: one thread.
class Output {
 public:
  // Colour and progress go to terminals only, and colour not where NO_COLOR is set or TERM is dumb.
  Output();

  void print(std::string_view text);
  void print_json(const nlohmann::ordered_json& json);
  // `text` in this style, or as it is where colour is off.
  std::string styled(const fmt::text_style& style, std::string_view text) const;

  // One line on standard error that the next one, or clear_progress(), replaces.
  void show_progress(std::string_view text);
  void clear_progress();
  void print_error(std::string_view text);
  void print_error(const Status& status);

  // Flushes standard output. A reader that has gone away (`| head`) is no error; a full disk is.
  Status finish();

 private:
  bool has_colour_ = false;
  bool has_progress_ = false;
  bool is_progress_shown_ = false;
  int first_error_ = 0;  // errno of the first write to standard output that failed
};

// Call before any file is opened: it would get the number of a standard stream that the caller
// closed, and what is printed with it. A reader that goes away and a file size limit become errors
// of the call, not signals.
void prepare_standard_streams();

}  // namespace tintype::command
