// Power cuts at every operation of random histories of saves, links and evictions, on a simulated
// disk. TINTYPE_FULL=1 in the environment makes it ten times longer.
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "io/disk/atomic_file.h"
#include "io/disk/temp_names.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

constexpr const char* kFolder = "/logdir/checkpoints";

uint64_t checksum(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char letter : text) {
    hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3u;
  }
  return hash;
}

// Content that shows by itself whether it is whole: "VERSION:filler:CHECKSUM".
std::string content_of(uint64_t version, size_t size_bytes) {
  std::string content = std::to_string(version) + ":";
  std::mt19937_64 random(version);
  while (content.size() < size_bytes) content += static_cast<char>('a' + random() % 26);
  return content + ":" + std::to_string(checksum(content));
}

// The version of a whole file; nothing for a torn one.
std::optional<uint64_t> version_of(std::string_view content) {
  const size_t mark = content.rfind(':');
  if (mark == std::string_view::npos) return {};
  if (content.substr(mark + 1) != std::to_string(checksum(content.substr(0, mark)))) return {};
  return std::strtoull(std::string(content).c_str(), nullptr, 10);
}

bool is_whole(File& file) {
  const auto content = read_whole(file, uint64_t{1} << 30);
  return content.is_ok() && version_of(as_text(*content)).has_value();
}

constexpr uint64_t kAbsent = 0;

// What the history has promised so far, and the check of one disk against it.
class Promises {
 public:
  // From now on `name` may also hold `version`.
  void may_become(const std::string& name, uint64_t version) {
    auto& allowed = allowed_[name];
    if (allowed.empty()) allowed.insert(kAbsent);
    allowed.insert(version);
  }
  // From now on nothing else.
  void acknowledge(const std::string& name, uint64_t version) { allowed_[name] = {version}; }

  uint64_t latest(const std::string& name) const {
    const auto place = allowed_.find(name);
    return place == allowed_.end() ? kAbsent : *place->second.rbegin();
  }

  // Empty if the disk keeps every promise, else what it breaks.
  std::string broken_by(const SimulatedDisk& disk) const {
    std::map<std::string, uint64_t> found;
    for (const auto& [path, content] : disk.files()) {
      const std::string name = path.substr(path.rfind('/') + 1);
      if (is_temp_name(name)) continue;
      const auto version = version_of(content);
      if (!version.has_value()) return name + " is torn";
      found[name] = *version;
    }
    for (const auto& [name, allowed] : allowed_) {
      const uint64_t version = found.contains(name) ? found.at(name) : kAbsent;
      if (!allowed.contains(version)) return name + " holds version " + std::to_string(version);
      found.erase(name);
    }
    return found.empty() ? "" : found.begin()->first + " came from nowhere";
  }

 private:
  std::map<std::string, std::set<uint64_t>> allowed_;
};

struct Totals {
  uint64_t histories = 0, operations = 0, states = 0, violations = 0, orphans = 0, resaves = 0;
  std::unordered_set<uint64_t> distinct;
  std::string first_violation;
};

class History {
 public:
  History(uint64_t seed, SimulatedDiskOptions options, Totals& totals)
      : random_(seed), disk_(options), faulty_(disk_, injector_), totals_(totals) {
    EXPECT_OK(disk_.create_directories(kFolder));
    injector_.set_observer([this](const FaultInjector::Operation&) { cut_power(); });
  }

  void run(int steps) {
    ++totals_.histories;
    directory_ = faulty_.open_directory(kFolder).value();
    for (int i = 0; i < steps; ++i) step();
    cut_power();
    totals_.operations += injector_.trace().size();
  }

 private:
  void step() {
    const uint64_t choice = random_() % 10;
    const std::string name = "train." + std::to_string(1 + random_() % 3) + ".pth";
    if (choice < 6) {
      save(name, random_() % 4 == 0);
    } else if (choice < 7) {
      save_without_directory_sync("index.json");
    } else if (promises_.latest(name) == kAbsent) {
      save(name, false);
    } else if (choice < 9) {
      link(name, random_() % 2 == 0 ? "best.pth" : "last.pth");
    } else {
      evict(name);
    }
  }

  void write_new_version(const std::string& name, AtomicFileOptions options, uint64_t& version) {
    version = ++version_;
    promises_.may_become(name, version);
    const std::string content = content_of(version, 1 + random_() % 12'000);
    options.is_sound = is_whole;
    const std::string path = std::string(kFolder) + "/" + name;
    auto file = AtomicFile::open(faulty_, path, options).value();
    ASSERT_OK(file->begin(content.size()));
    for (size_t start = 0; start < content.size(); start += 4096) {
      const auto part = std::string_view(content).substr(start, 4096);
      ASSERT_OK(write_fully(file->file(), as_bytes(part), start));
    }
    ASSERT_OK(file->commit(content.size()));
  }

  void save(const std::string& name, bool is_named_temp) {
    uint64_t version = 0;
    write_new_version(name, {.is_named_temp = is_named_temp}, version);
    promises_.acknowledge(name, version);
  }

  void save_without_directory_sync(const std::string& name) {
    uint64_t version = 0;
    write_new_version(name, {.is_directory_synced = false}, version);
    cut_power();
    ASSERT_OK(directory_->sync());
    promises_.acknowledge(name, version);
  }

  void link(const std::string& name, const std::string& link_name) {
    const uint64_t version = promises_.latest(name);
    promises_.may_become(link_name, version);
    ASSERT_OK(move_link(*directory_, name, link_name));
    cut_power();
    ASSERT_OK(directory_->sync());
    promises_.acknowledge(link_name, version);
  }

  void evict(const std::string& name) {
    promises_.may_become(name, kAbsent);
    ASSERT_OK(evict_file(*directory_, name));
    cut_power();
    ASSERT_OK(directory_->sync());
    promises_.acknowledge(name, kAbsent);
  }

  // Two of the disks that a power cut at this moment may leave.
  void cut_power() {
    for (int i = 0; i < 2; ++i) {
      const auto after = disk_.crash(random_());
      ++totals_.states;
      totals_.distinct.insert(after->hash());
      report(promises_.broken_by(*after));
      start_again(*after);
    }
  }

  // The next process: no orphan is left, nothing else changed, and it can save.
  void start_again(SimulatedDisk& disk) {
    size_t temps = 0;
    for (const auto& [path, content] : disk.files()) {
      if (is_temp_name(path.substr(path.rfind('/') + 1))) ++temps;
    }
    const auto removed = remove_orphans(disk, kFolder, is_whole);
    if (!removed.is_ok() || removed->size() != temps) report("an orphan stays");
    totals_.orphans += temps;
    report(promises_.broken_by(disk));
    if (random_() % 16 != 0) return;
    const std::string path = std::string(kFolder) + "/last.pth";
    const std::string content = content_of(1'000'000, 5000);
    const Status status = replace_file(disk, path, as_bytes(content));
    if (!status.is_ok() || disk.files().at(path) != content) report("saving again fails");
    ++totals_.resaves;
  }

  void report(const std::string& violation) {
    if (violation.empty()) return;
    ++totals_.violations;
    if (totals_.first_violation.empty()) totals_.first_violation = violation;
  }

  std::mt19937_64 random_;
  SimulatedDisk disk_;
  FaultInjector injector_;
  FaultFileSystem faulty_;
  Totals& totals_;
  Promises promises_;
  std::unique_ptr<Directory> directory_;
  uint64_t version_ = 0;
};

int scale() { return std::getenv("TINTYPE_FULL") != nullptr ? 10 : 1; }

Totals run_histories(SimulatedDiskOptions options, uint64_t first_seed, int count) {
  Totals totals;
  for (int i = 0; i < count; ++i) {
    History(first_seed + static_cast<uint64_t>(i), options, totals).run(12);
  }
  return totals;
}

void print(const char* what, const Totals& totals) {
  std::cout << what << ": " << totals.states << " crash states (" << totals.distinct.size()
            << " distinct) at " << totals.operations << " operations of " << totals.histories
            << " histories, " << totals.orphans << " orphans removed, " << totals.resaves
            << " saves afterwards, " << totals.violations << " violations\n";
}

void expect_every_promise_kept(const char* what, SimulatedDiskOptions options, uint64_t seed) {
  const Totals totals = run_histories(options, seed, 45 * scale());
  print(what, totals);
  EXPECT_EQ(totals.violations, 0u) << totals.first_violation;
  EXPECT_GE(totals.distinct.size(), 1000u * static_cast<size_t>(scale()));
  EXPECT_GT(totals.orphans, 0u);
  EXPECT_GT(totals.resaves, 0u);
}

TEST(CrashStates, nothing_acknowledged_is_lost_on_a_file_system_with_everything) {
  expect_every_promise_kept("exchange, hard links", {}, 1000);
}

TEST(CrashStates, nothing_acknowledged_is_lost_without_unnamed_files) {
  expect_every_promise_kept("named temps", {.has_unnamed_files = false}, 2000);
}

TEST(CrashStates, nothing_acknowledged_is_lost_without_exchange_and_hard_links) {
  expect_every_promise_kept("plain rename, copies",
                            {.has_exchange = false, .has_hard_links = false}, 3000);
}

TEST(CrashStates, nothing_acknowledged_is_lost_with_clones) {
  expect_every_promise_kept("clones", {.has_clones = true}, 4000);
}

// The model itself is put to the test: a disk that lies must be found out.
TEST(CrashStates, a_disk_that_forgets_synced_data_is_found_out) {
  const Totals totals = run_histories({.is_sync_data_honest = false}, 5000, 2);
  print("lying fdatasync", totals);
  EXPECT_GT(totals.violations, 0u);
}

TEST(CrashStates, a_disk_that_forgets_synced_names_is_found_out) {
  const Totals totals = run_histories({.is_directory_sync_honest = false}, 6000, 2);
  print("lying directory fsync", totals);
  EXPECT_GT(totals.violations, 0u);
}

}  // namespace
}  // namespace tintype
