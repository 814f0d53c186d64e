// Writes the inputs that the fuzz targets begin with, one folder a target: what our writers make,
// small, and what no sound writer makes. What lies in tests/fuzz/corpus came from here, but for
// inputs that once failed.
//
//   fuzz_make_corpus FOLDER
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "tests/support/hostile_files.h"
#include "tests/support/small_archive.h"

namespace tintype::fuzzing {
namespace {

using namespace std::string_literals;
using namespace testing_support;

std::string pickle_of_two() {
  return pickle_of({{"weight", "0", 6, 0, {2, 3}, {3, 1}}, {"bias", "1", 4, 1, {3}, {1}}});
}

ByteVector checkpoint() {
  return archive_of({{"data.pkl", pickle_of_two()},
                     {"byteorder", "little"},
                     {"data/0", counting_floats(6)},
                     {"data/1", counting_floats(4)},
                     {"version", "3\n"}});
}

NamedBytes named(const std::string& name, const std::string& text) {
  NamedBytes file{name, {}};
  append_text(file.bytes, text);
  return file;
}

// --- one function a target ---

std::vector<NamedBytes> zips() {
  std::vector<NamedBytes> all = hostile_zips();
  const ByteVector whole = checkpoint();
  all.push_back({"checkpoint", whole});
  all.push_back({"one-empty-record", archive_of({{"data.pkl", ""}})});
  ByteVector shifted(100);
  append_bytes(shifted, whole);
  all.push_back({"bytes-before", shifted});
  ByteVector padded = whole;
  padded.resize(whole.size() + 500);
  all.push_back({"zeros-behind", padded});
  ByteVector commented = whole;
  commented[whole.size() - 2] = std::byte{4};
  append_text(commented, "note");
  all.push_back({"comment", commented});
  all.push_back({"without-descriptors", forged_zip({stored_entry("r/data.pkl", "\x80\x02N."),
                                                    stored_entry("r/version", "3\n")})});
  return all;
}

// Protocol 4, as Python's own pickler writes it where nobody asks for another.
std::string modern_pickle() {
  return "\x80\x04\x95\x30\0\0\0\0\0\0\0}\x94(\x8c\x05"s + "epoch\x94K\x05\x8c\x01x\x94G?\xf0"s +
         std::string(6, '\0') +
         "\x8c\x01s\x94\x8f\x94(K\x01K\x02\x90\x8c\x01"
         "b\x94"
         "C\x02hi\x94\x8c\x01t\x94K\x01\x88\x89\x87\x94u."s;
}

// One of every kind of value, and every way to put them together.
std::string varied_pickle() {
  PickleWriter writer;
  writer.empty_dict();
  writer.mark();
  writer.text("numbers");
  writer.mark();
  for (const int64_t value : {0L, 300L, 70000L, -1L, INT64_MAX}) writer.integer(value);
  writer.real(0.5);
  writer.tuple();
  writer.text("ordered");
  writer.global("collections\nOrderedDict\n");
  writer.empty_tuple();
  writer.reduce();
  const uint32_t memo = writer.memoize();
  writer.text("again");
  writer.get(memo);
  writer.text("rng");
  writer.global("_codecs\nencode\n");
  writer.text("bytes");
  writer.text("latin1");
  writer.short_tuple(2);
  writer.reduce();
  writer.text("args");
  writer.global("argparse\nNamespace\n");
  writer.empty_tuple();
  writer.reduce();
  writer.empty_dict();
  writer.text("lr");
  writer.real(0.1);
  writer.set_item();
  writer.build();
  writer.set_items();
  return std::string(as_text(writer.finish()));
}

std::vector<NamedBytes> pickles() {
  std::vector<NamedBytes> all = hostile_pickles();
  all.push_back(named("state-dict", pickle_of_two()));
  all.push_back(named("protocol-4", modern_pickle()));
  all.push_back(named("varied", varied_pickle()));
  return all;
}

void write_folder(const std::filesystem::path& folder, const std::vector<NamedBytes>& files) {
  std::filesystem::create_directories(folder);
  size_t total_bytes = 0;
  for (const auto& [name, bytes] : files) {
    std::ofstream stream(folder / name, std::ios::binary | std::ios::trunc);
    stream << as_text(bytes);
    stream.close();
    TINTYPE_CHECK(stream.good());
    total_bytes += bytes.size();
  }
  fmt::print("{}: {} inputs, {} bytes\n", folder.filename().string(), files.size(), total_bytes);
}

}  // namespace
}  // namespace tintype::fuzzing

int main(int argument_count, char** arguments) {
  using namespace tintype::fuzzing;
  if (argument_count != 2) {
    fmt::print(stderr, "usage: fuzz_make_corpus FOLDER\n");
    return 2;
  }
  const std::filesystem::path root = arguments[1];
  write_folder(root / "zip", zips());
  write_folder(root / "pickle", pickles());
  return 0;
}
