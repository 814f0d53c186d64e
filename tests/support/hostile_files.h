// Files that no sound writer makes, made to cost their reader memory or time: what the fuzz targets
// begin with and the tests of limits measure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace tintype::testing_support {

struct NamedBytes {
  std::string name;  // says what it is, as a file name
  ByteVector bytes;
};

// One entry of a zip that is written as it is told, true or not.
struct ForgedEntry {
  std::string name = "archive/data.pkl";
  ByteVector payload;
  uint16_t method = 0;
  uint32_t crc = 0;  // 0: "not computed"
  uint64_t size_bytes = 0;
  uint64_t stored_bytes = 0;
  uint64_t header_offset = UINT64_MAX;  // that the directory names; UINT64_MAX: the true one
};

// An entry whose sizes are true.
ForgedEntry stored_entry(const std::string& name, const std::string& payload);
// Local headers without descriptors, a directory, an end record that counts `stated_count` entries
// (0: the true number). Sizes of 32 bits and more go into zip64 extras.
ByteVector forged_zip(const std::vector<ForgedEntry>& entries, uint16_t stated_count = 0);

// A deflate stream that expands to `size_bytes` zeros at the method's best, about 1000:1.
ByteVector deflated_zeros(size_t size_bytes);

// Nested lists: `depth` bytes that open one each, and as many that close it.
std::string nested_pickle(size_t depth);
// Each level holds the level below `width` times: width^depth paths to the innermost.
std::string billion_laughs_pickle(size_t depth, size_t width);
// A dict whose one key has `key_bytes`, over a list of `count` values: each is named by the key.
std::string long_names_pickle(size_t key_bytes, size_t count);
// A list of `item_count` small integers, which another holds `repeat_count` times.
std::string repeated_list_pickle(size_t item_count, size_t repeat_count);

// `repeat_count` tensors, or torch.Size objects, of the same tuple of arguments, which holds
// `item_count` items; and a dict of `repeat_count` keys that are such a tuple.
std::string shared_flags_pickle(size_t item_count, size_t repeat_count);
std::string shared_arguments_pickle(size_t item_count, size_t repeat_count);
std::string shared_keys_pickle(size_t item_count, size_t repeat_count);
// Classes by every pair of `count` texts of `text_bytes` each.
std::string class_names_pickle(size_t count, size_t text_bytes);

// A frame of zstd: its header says this content and window; then blocks of one repeated byte, 128
// KiB each.
ByteVector forged_frame(uint64_t content_bytes, uint8_t window_descriptor, size_t block_count);

std::vector<NamedBytes> hostile_zips();
std::vector<NamedBytes> hostile_pickles();
std::vector<NamedBytes> hostile_frames();
std::vector<NamedBytes> hostile_tables();
std::vector<NamedBytes> hostile_indexes();

}  // namespace tintype::testing_support
