#include "tools/command/output.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "tools/command/text.h"

namespace tintype::command {
namespace {

bool is_terminal(int descriptor) {
  const char* terminal = std::getenv("TERM");
  return ::isatty(descriptor) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

// https://no-color.org: any value but the empty one.
bool is_colour_unwanted() {
  const char* value = std::getenv("NO_COLOR");
  return value != nullptr && *value != '\0';
}

constexpr std::string_view kBackToLineStart = "\r\x1b[K";

void write_to(std::FILE* stream, std::string_view text) {
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), stream));
}

}  // namespace

Output::Output()
    : has_colour_(is_terminal(STDOUT_FILENO) && !is_colour_unwanted()),
      has_progress_(is_terminal(STDERR_FILENO)) {}

void Output::print(std::string_view text) {
  if (first_error_ != 0) return;
  clear_progress();
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) first_error_ = errno;
}

// Names in a checkpoint need not be UTF-8, JSON must be.
void Output::print_json(const nlohmann::ordered_json& json) {
  print(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

std::string Output::styled(const fmt::text_style& style, std::string_view text) const {
  return has_colour_ ? fmt::format(style, "{}", text) : std::string(text);
}

void Output::show_progress(std::string_view text) {
  if (!has_progress_) return;
  write_to(stderr, kBackToLineStart);
  write_to(stderr, text);
  std::fflush(stderr);
  is_progress_shown_ = true;
}

void Output::clear_progress() {
  if (!is_progress_shown_) return;
  write_to(stderr, kBackToLineStart);
  is_progress_shown_ = false;
}

void Output::print_error(std::string_view text) {
  clear_progress();
  write_to(stderr, fmt::format("tintype: {}\n", text));
}

void Output::print_error(const Status& status) { print_error(printable(status.to_string())); }

Status Output::finish() {
  clear_progress();
  if (first_error_ == 0 && std::fflush(stdout) != 0) first_error_ = errno;
  if (first_error_ == 0 || first_error_ == EPIPE) return Status::ok();
  return errno_status(first_error_, "write", "standard output");
}

void prepare_standard_streams() {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    // The wrong way round, so that using what was closed fails as it would have.
    const int direction = descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    static_cast<void>(::open("/dev/null", direction));
  }
}

}  // namespace tintype::command
