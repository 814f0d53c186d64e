// What hostile files may cost: each is refused within 64 MiB of memory. What each took is printed;
// the time is that of the processor, and bounded loosely.
#include <sys/resource.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "engine/directory/checkpoint_index.h"
#include "engine/restore/archive.h"
#include "engine/restore/verify.h"
#include "io/archive/compressed_layout.h"
#include "tests/support/child_process.h"
#include "tests/support/compressed_file.h"
#include "tests/support/hostile_files.h"
#include "tests/support/small_archive.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using namespace std::string_literals;
using namespace testing_support;
using testing::AnyOf;

constexpr double kMiB = 1 << 20;
constexpr double kMemoryMibMax = 64;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kIsMemoryOurs = false;  // the sanitizer's own counts too
constexpr double kSecondsMax = 20;
#else
constexpr bool kIsMemoryOurs = true;
constexpr double kSecondsMax = 1;
#endif

struct Usage {
  double peak_mib = 0;
  double seconds = 0;
};

Usage usage_so_far() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return {.peak_mib = static_cast<double>(usage.ru_maxrss) * 1024 / kMiB,
          .seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime)};
}

// In a child, whose peak begins where the test's memory is now.
void expect_cheap(const std::string& what, const std::function<Status()>& read) {
  SCOPED_TRACE(what);
  EXPECT_TRUE(passes_in_child([&] {
    const Usage before = usage_so_far();
    const Status status = read();
    const Usage after = usage_so_far();
    const double used_mib = after.peak_mib - before.peak_mib;
    const double seconds = after.seconds - before.seconds;
    fmt::print("{}: {:.1f} MiB, {:.1f} ms: {}\n", what, used_mib, seconds * 1000,
               status.message().substr(0, 110));
    EXPECT_THAT(status.code(), AnyOf(StatusCode::corruption, StatusCode::unsupported));
    EXPECT_LE(seconds, kSecondsMax);
    if (kIsMemoryOurs) {
      EXPECT_LE(used_mib, kMemoryMibMax);
    }
  }));
}

Status open(ByteView file) {
  auto image = image_of(std::make_unique<MemorySource>(file, "x.pth"));
  if (!image.is_ok()) return image.status();
  return Archive::open(std::move(*image)).status();
}

ByteVector checkpoint_of(const std::string& pickle) {
  return archive_of({{"data.pkl", pickle}, {"version", "3\n"}});
}

void expect_cheap_pickle(const std::string& what, const std::string& pickle) {
  const ByteVector file = checkpoint_of(pickle);
  expect_cheap(fmt::format("{}, {} bytes", what, file.size()), [&] { return open(file); });
}

TEST(HostileFiles, forged_zips_are_refused_cheaply) {
  for (const auto& [name, bytes] : hostile_zips()) {
    expect_cheap(name, [&] { return open(bytes); });
  }
  ForgedEntry bomb{.payload = deflated_zeros(256u << 20), .method = 8, .size_bytes = 256u << 20};
  bomb.stored_bytes = bomb.payload.size();
  const ByteVector file = forged_zip({bomb, stored_entry("archive/version", "3\n")});
  expect_cheap("256 MiB deflated 1000 to 1", [&] { return open(file); });
}

TEST(HostileFiles, pickles_that_unfold_are_refused_cheaply) {
  expect_cheap_pickle("nested 100,000 deep", nested_pickle(100'000));
  expect_cheap_pickle("15,000,000 tuples, each in the next",
                      "\x80\x02N" + std::string(15'000'000, '\x85') + ".");
  expect_cheap_pickle("billion laughs", billion_laughs_pickle(100, 10));
  expect_cheap_pickle("20,000 values under a key of 16,000 bytes",
                      long_names_pickle(16'000, 20'000));
  expect_cheap_pickle("a list of 100,000 numbers, 10,000 times",
                      repeated_list_pickle(100'000, 10'000));
  expect_cheap_pickle("20,000 tensors with the same 200,000 flags",
                      shared_flags_pickle(400'000, 20'000));
  expect_cheap_pickle("20,000 calls with the same 200,000 arguments",
                      shared_arguments_pickle(200'000, 20'000));
  expect_cheap_pickle("20,000 keys that are one tuple of 200,000",
                      shared_keys_pickle(200'000, 20'000));
  expect_cheap_pickle("90,000 class names of 300 texts", class_names_pickle(300, 200));
  expect_cheap_pickle("class names of 100,000 bytes", class_names_pickle(5, 100'000));
  for (const std::string& pickle : {"\x80\x02Nr\xff\xff\xff\xff."s, "\x80\x02X\xff\xff\xff\xffx."s,
                                    "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx."s}) {
    expect_cheap_pickle("a number or length too large", pickle);
  }
}

// Compressed, a pickle of a few MiB is a file of a few KiB.
TEST(HostileFiles, compressed_pickles_of_many_values_are_refused_cheaply) {
  const ByteVector plain = checkpoint_of("\x80\x02(" + std::string(8u << 20, ']') + "t.");
  for (const FileForm form : {FileForm::zstd, FileForm::planes}) {
    const ByteVector file = compressed_file(form, plain, {}, 1u << 20);
    expect_cheap(fmt::format("8,388,608 lists in {} bytes of {}", file.size(), to_string(form)),
                 [&] { return open(file); });
  }
}

TEST(HostileFiles, frames_that_expand_are_refused_cheaply) {
  for (const auto& [name, bytes] : hostile_frames()) {
    expect_cheap(name, [&] { return open(bytes); });
  }
  constexpr uint8_t kWindow128Mib = 17 << 3;
  const ByteVector bomb = forged_frame(uint64_t{1} << 40, kWindow128Mib, 100'000);
  expect_cheap(fmt::format("12 GiB in {} bytes", bomb.size()), [&] { return open(bomb); });
}

// By their first bytes archives, so that more of them is decoded than their size allows.
TEST(HostileFiles, archives_that_expand_are_refused_cheaply) {
  constexpr uint8_t kWindow128Kib = 7 << 3;
  constexpr size_t kBlocks = 16 << 10;
  const std::string begin = "PK\x03\x04" + std::string(600, '\0');
  ByteVector bomb;
  append_text(bomb, "\x28\xb5\x2f\xfd\x00\x38"s);  // a frame without a size, the same window
  append_little_endian(bomb, static_cast<uint16_t>(begin.size() << 3 | 1));  // one block, as it is
  bomb.push_back(std::byte{0});
  append_text(bomb, begin);
  append_bytes(bomb, forged_frame(uint64_t{kBlocks} << 17, kWindow128Kib, kBlocks));
  expect_cheap(fmt::format("2 GiB in {} bytes", bomb.size()), [&] { return open(bomb); });
}

TEST(HostileFiles, forged_tables_are_refused_cheaply) {
  for (const auto& [name, bytes] : hostile_tables()) {
    expect_cheap(name, [&] {
      return read_frame_index(MemorySource(bytes, "x.pth.zst"), FileForm::zstd).status();
    });
  }
}

TEST(HostileFiles, forged_indexes_are_refused_cheaply) {
  const auto expect_cheap_index = [](const std::string& what, const std::string& text) {
    expect_cheap(fmt::format("{}, {} bytes", what, text.size()),
                 [&] { return parse_index(text).status(); });
  };
  for (const auto& [name, bytes] : hostile_indexes()) {
    expect_cheap_index(name, std::string(as_text(bytes)));
  }
  expect_cheap_index("nested 8,000,000 deep", std::string(8'000'000, '['));
  std::string keys;
  for (int i = 0; i < 100'000; ++i) keys += fmt::format("\"{}\":0,", i);
  expect_cheap_index("an object of 100,000 keys", "{" + keys + "\"format\":\"other\"}");
}

}  // namespace
}  // namespace tintype
