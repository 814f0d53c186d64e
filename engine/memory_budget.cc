#include "engine/memory_budget.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

namespace tintype {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

uint64_t machine_memory_bytes() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  uint64_t kibibytes = 0;
  std::string unit;
  while (meminfo >> key >> kibibytes) {
    std::getline(meminfo, unit);
    if (key == "MemAvailable:") return kibibytes << 10;
  }
  return kUnlimited;
}

// A file that holds one number, or "max"; kUnlimited for anything else.
uint64_t read_number(const std::string& path) {
  std::ifstream file(path);
  uint64_t value = 0;
  return file >> value ? value : kUnlimited;
}

// The tightest limit less usage on the way from this process's cgroup (version 2) to the root.
uint64_t cgroup_room_bytes() {
  std::ifstream membership("/proc/self/cgroup");
  std::string line;
  std::string group;
  while (std::getline(membership, line)) {
    if (line.starts_with("0::")) group = line.substr(3);
  }
  uint64_t room = kUnlimited;
  while (!group.empty()) {
    const std::string folder = "/sys/fs/cgroup" + group + "/";
    const uint64_t limit = read_number(folder + "memory.max");
    const uint64_t usage = read_number(folder + "memory.current");
    if (limit != kUnlimited && usage != kUnlimited) {
      room = std::min(room, limit > usage ? limit - usage : 0);
    }
    group.resize(group.find_last_of('/') == std::string::npos ? 0 : group.find_last_of('/'));
  }
  return room;
}

uint64_t local_world_size() {
  const char* text = std::getenv("LOCAL_WORLD_SIZE");  // NOLINT(concurrency-mt-unsafe)
  const long value = text != nullptr ? std::strtol(text, nullptr, 10) : 1;
  return value > 0 ? static_cast<uint64_t>(value) : 1;
}

}  // namespace

uint64_t available_memory_bytes() { return std::min(machine_memory_bytes(), cgroup_room_bytes()); }

uint64_t staging_budget_bytes() { return available_memory_bytes() / 4 / local_world_size(); }

uint64_t staging_bytes_for(uint64_t image_bytes, uint64_t budget_bytes) {
  constexpr uint64_t kMinimum = 256ull << 20;
  return std::min(std::max(image_bytes + image_bytes / 4, kMinimum), budget_bytes);
}

}  // namespace tintype
