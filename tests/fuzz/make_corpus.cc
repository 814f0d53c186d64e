// Writes the inputs that the fuzz targets begin with, one folder a target: what our writers make,
// small, and what no sound writer makes. What lies in tests/fuzz/corpus came from here, but for
// inputs that once failed.
//
//   fuzz_make_corpus FOLDER
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "engine/directory/checkpoint_index.h"
#include "engine/directory/checkpoint_layout.h"
#include "io/archive/compressed_form.h"
#include "io/archive/extent_encoder.h"
#include "io/archive/zstd_context.h"
#include "tests/fuzz/target.h"
#include "tests/support/codec_data.h"
#include "tests/support/compressed_file.h"
#include "tests/support/hostile_files.h"
#include "tests/support/small_archive.h"

namespace tintype::fuzzing {
namespace {

using namespace std::string_literals;
using namespace testing_support;
using Literals = ZstdCompressor::Literals;

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

ByteVector compress(ByteView plain, int level, Literals literals, bool is_checked) {
  ByteVector frame(plain.size() + 64);
  frame.resize(ZstdCompressor(level, literals, is_checked).compress(plain, frame).value());
  return frame;
}

std::vector<NamedBytes> frames() {
  std::vector<NamedBytes> all = hostile_frames();
  const ByteVector text = content_bytes(Content::text, 3000, 1);
  const ByteVector weights = content_bytes(Content::weights_fp32, 1500, 2);
  const ByteVector random = content_bytes(Content::random, 300, 3);
  all.push_back({"text", compress(text, 3, Literals::by_level, false)});
  all.push_back({"text-level-19", compress(text, 19, Literals::by_level, false)});
  all.push_back(
      {"weights-huffman", compress(weights, kZstdFastestLevel, Literals::huffman, false)});
  all.push_back({"random-checked", compress(random, 1, Literals::by_level, true)});
  all.push_back({"zeros", compress(ByteVector(9000), 1, Literals::by_level, false)});
  all.push_back({"empty", compress({}, 1, Literals::by_level, true)});
  ByteVector several = compress(text, 1, Literals::by_level, false);
  append_little_endian(several, kSkippableMagic);
  append_little_endian<uint32_t>(several, 5);
  append_text(several, "12345");
  append_bytes(several, compress(weights, 1, Literals::by_level, true));
  all.push_back({"several-and-skipped", several});
  return all;
}

// Without the zeros that fill it up to whole pages: the target fits its sizes.
ByteVector trimmed_extent(Content content, size_t size_bytes, std::vector<ElementRun> runs) {
  const auto encoder = ExtentEncoder::create({.form = FileForm::planes}).value();
  const ByteVector plain = content_bytes(content, size_bytes, 4);
  ByteVector encoded(encoded_bound_bytes(size_bytes));
  encoded.resize(encoder->encode(plain, runs, encoded).value().payload_bytes);
  return encoded;
}

std::vector<NamedBytes> extents() {
  std::vector<NamedBytes> all;
  for (const auto& [name, content] :
       {std::pair("zeros", Content::zeros), std::pair("text", Content::text),
        std::pair("random", Content::random), std::pair("weights-fp32", Content::weights_fp32),
        std::pair("weights-bf16", Content::weights_bf16),
        std::pair("counters-int64", Content::counters_int64)}) {
    const uint32_t width = element_bytes_of(content);
    all.push_back({name, trimmed_extent(content, 4096, {{0, 4096, width, is_floating(content)}})});
  }
  all.push_back({"runs-of-two-widths",
                 trimmed_extent(Content::text, 60'000, {{0, 20'000, 4}, {20'002, 39'996, 2}})});
  return all;
}

// Of files with these contents, in small extents.
ByteVector tail_of(FileForm form, size_t plain_bytes, uint64_t extent_bytes) {
  const ByteVector plain = content_bytes(Content::weights_fp32, plain_bytes, 5);
  const ByteVector file = compressed_file(form, plain, {}, extent_bytes);
  const FrameIndex index = read_frame_index(MemorySource(file), form).value();
  const IndexedExtent& last = index.extents.back();
  return copy_of(ByteView(file).subspan(last.file_offset + last.encoded_bytes));
}

std::vector<NamedBytes> tables() {
  std::vector<NamedBytes> all = hostile_tables();
  all.push_back({"seek-table", tail_of(FileForm::zstd, 20'000, 6000)});
  all.push_back({"seek-table-of-one", tail_of(FileForm::zstd, 100, 100)});
  all.push_back({"planes-table", tail_of(FileForm::planes, 20'000, 6000)});
  all.push_back({"planes-table-of-one", tail_of(FileForm::planes, 100, 100)});
  all.push_back({"planes-table-of-none", file_tail(FileForm::planes, {}).value()});
  return all;
}

CheckpointEntry entry(const std::string& stage, uint64_t epoch, double score) {
  return {.stem = stem_of(stage, epoch),
          .stage = stage,
          .epoch = epoch,
          .sequence = epoch + 10,
          .score = score,
          .metrics = {{"loss", score}, {"accuracy", 0.5}},
          .full = {.size_bytes = 1000, .tail_crc32 = 0xFFFFFFFF},
          .light = {.size_bytes = 7, .tail_crc32 = 0}};
}

std::vector<NamedBytes> indexes() {
  std::vector<NamedBytes> all = hostile_indexes();
  CheckpointIndex index{.run_id = "0123456789abcdef", .main_metric = "loss"};
  all.push_back(named("nothing-yet", render_index(index)));
  index.form = FileForm::planes;
  index.next_sequence = 20;
  index.kept = {entry("train", 3, 0.1), entry("train", 1, std::nan(""))};
  index.best = entry("train", 3, 0.1);
  index.last = entry("fine-tune_2.x", 4, HUGE_VAL);
  index.resumed_at = {.stage = "train", .epoch = 2};
  index.ended_stages = {{.stage = "warmup", .epoch = 2, .sequence = 5}};
  index.evicting = {entry("train", 2, -HUGE_VAL)};
  all.push_back(named("everything", render_index(index)));
  return all;
}

// No CRC stands in its way: 0 means that none was computed.
ByteVector unchecked_checkpoint(const std::string& pickle, const std::string& storage) {
  return forged_zip({stored_entry("r/data.pkl", pickle), stored_entry("r/data/0", storage),
                     stored_entry("r/version", "3\n")});
}

std::vector<NamedBytes> checkpoints() {
  std::vector<NamedBytes> all;
  const ByteVector plain = checkpoint();
  all.push_back({"plain", plain});
  all.push_back({"zstd", compressed_file(FileForm::zstd, plain, {}, 500)});
  all.push_back({"planes", compressed_file(FileForm::planes, plain, {}, 8192)});
  all.push_back({"zstd-by-its-command", compress(plain, 3, Literals::by_level, true)});
  all.push_back({"unchecked", unchecked_checkpoint(pickle_of_two(), counting_floats(6))});
  all.push_back({"unchecked-strided",
                 unchecked_checkpoint(pickle_of({{"a", "0", 9, 1, {2, 2, 2}, {4, 0, 1}}}),
                                      counting_floats(9))});
  all.push_back({"unchecked-varied", unchecked_checkpoint(varied_pickle(), "")});
  all.push_back(
      {"packed-beyond-its-storage",
       unchecked_checkpoint(pickle_of({{"a", "0", 36, 0, {1 << 20}, {1}, "QUInt4x2Storage"}}),
                            counting_floats(9))});
  all.push_back(
      {"packed", unchecked_checkpoint(pickle_of({{"a", "0", 36, 2, {7}, {1}, "QUInt4x2Storage"}}),
                                      counting_floats(9))});
  ForgedEntry deflated{
      .name = "r/data/0", .payload = deflated_zeros(4000), .method = 8, .size_bytes = 4000};
  deflated.stored_bytes = deflated.payload.size();
  const std::string pickle = pickle_of({{"a", "0", 1000, 0, {1000}, {1}}});
  all.push_back({"deflated", forged_zip({stored_entry("r/data.pkl", pickle), deflated,
                                         stored_entry("r/version", "3\n")})});
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
  write_folder(root / "checkpoint", checkpoints());
  write_folder(root / "checkpoint_index", indexes());
  write_folder(root / "frame_index", tables());
  write_folder(root / "pickle", pickles());
  write_folder(root / "planes", extents());
  write_folder(root / "zip", zips());
  write_folder(root / "zstd", frames());
  return 0;
}
