#include "base/log.h"

#include <mutex>
#include <utility>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace tintype {
namespace {

std::mutex sink_mutex;
std::function<void(std::string_view)> current_sink;  // guarded by sink_mutex

spdlog::logger& stderr_logger() {
  static auto logger = [] {
    auto made = std::make_shared<spdlog::logger>(
        "tintype", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("tintype: %l: %v");
    return made;
  }();
  return *logger;
}

}  // namespace

void log_warning(std::string_view message) {
  std::lock_guard lock(sink_mutex);
  if (current_sink) {
    current_sink(message);
  } else {
    stderr_logger().warn("{}", message);
  }
}

void set_log_sink(std::function<void(std::string_view)> sink) {
  std::lock_guard lock(sink_mutex);
  current_sink = std::move(sink);
}

}  // namespace tintype
