#include "tools/command/progress.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "tools/sizes.h"

namespace tintype::command {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(100);
constexpr double kGuessSeconds = 0.5;  // before, a rate says little

std::string clock_text(double seconds) {
  const auto whole = static_cast<uint64_t>(seconds + 0.5);
  return whole < 3600 ? fmt::format("{}:{:02}", whole / 60, whole % 60)
                      : fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

std::string progress_text(const std::string& name, uint64_t done_bytes, uint64_t total_bytes,
                          double seconds) {
  const auto done = static_cast<double>(done_bytes);
  const auto total = static_cast<double>(total_bytes);
  std::string text = total_bytes == 0
                         ? fmt::format("{}: {}", name, format_size(done_bytes))
                         : fmt::format("{}: {:.0f} %", name, std::min(100.0, 100 * done / total));
  if (seconds < kGuessSeconds || done_bytes == 0) return text;
  text += fmt::format(", {}/s", format_size(static_cast<uint64_t>(done / seconds)));
  if (total_bytes == 0) return text;
  return text +
         fmt::format(", {} left", clock_text(std::max(0.0, (total - done) * seconds / done)));
}

Progress::Progress(Output& output, std::string name, uint64_t total_bytes)
    : output_(output), name_(std::move(name)), total_bytes_(total_bytes) {}

void Progress::show(uint64_t done_bytes) {
  const auto now = Clock::now();
  if (now - shown_ < kInterval) return;
  shown_ = now;
  output_.show_progress(progress_text(name_, done_bytes, total_bytes_, seconds()));
}

double Progress::seconds() const {
  return std::chrono::duration<double>(Clock::now() - begin_).count();
}

}  // namespace tintype::command
