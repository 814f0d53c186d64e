#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "io/archive/pickle_writer.h"
#include "tests/support/hostile_files.h"
#include "tests/support/small_archive.h"

namespace tintype::testing_support {

using namespace std::string_literals;

std::string nested_pickle(size_t depth) {
  return "\x80\x02" + std::string(depth, ']') + std::string(depth - 1, 'a') + ".";
}

std::string billion_laughs_pickle(size_t depth, size_t width) {
  PickleWriter writer;
  writer.mark();
  writer.empty_dict();
  uint32_t below = writer.memoize();
  for (size_t level = 0; level < depth; ++level) {
    writer.empty_list();
    const uint32_t memo = writer.memoize();
    writer.mark();
    for (size_t i = 0; i < width; ++i) writer.get(below);
    writer.appends();
    below = memo;
  }
  writer.tuple();
  return std::string(as_text(writer.finish()));
}

std::string long_names_pickle(size_t key_bytes, size_t count) {
  PickleWriter writer;
  writer.empty_dict();
  writer.text(std::string(key_bytes, 'k'));
  writer.empty_list();
  writer.mark();
  for (size_t i = 0; i < count; ++i) writer.empty_list();
  writer.empty_dict();
  writer.text("not a scalar");
  writer.empty_list();
  writer.empty_list();
  writer.append();
  writer.set_item();
  writer.appends();
  writer.set_item();
  return std::string(as_text(writer.finish()));
}

std::string repeated_list_pickle(size_t item_count, size_t repeat_count) {
  PickleWriter writer;
  writer.mark();
  writer.empty_list();
  const uint32_t memo = writer.memoize();
  writer.mark();
  for (size_t i = 0; i < item_count; ++i) writer.integer(1);
  writer.appends();
  writer.empty_list();
  writer.mark();
  for (size_t i = 0; i < repeat_count; ++i) writer.get(memo);
  writer.appends();
  writer.tuple();
  return std::string(as_text(writer.finish()));
}

namespace {

// A tuple of so many numbers; returns its memo number.
uint32_t write_many(PickleWriter& writer, size_t item_count) {
  writer.mark();
  for (size_t i = 0; i < item_count; ++i) writer.integer(1);
  writer.tuple();
  return writer.memoize();
}

std::string finished(PickleWriter& writer) {
  writer.tuple();
  return std::string(as_text(writer.finish()));
}

// Calls `callee` with the memoized arguments, each result being a value of its own.
void write_calls(PickleWriter& writer, std::string_view callee, uint32_t arguments, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    writer.global(callee);
    writer.get(arguments);
    writer.reduce();
  }
}

}  // namespace

std::string shared_flags_pickle(size_t item_count, size_t repeat_count) {
  PickleWriter writer;
  writer.mark();
  writer.mark();
  writer.mark();
  writer.text("storage");
  writer.global("torch\nFloatStorage\n");
  writer.text("0");
  writer.text("cpu");
  writer.integer(1);
  writer.tuple();
  writer.persistent_id();
  writer.integer(0);
  writer.empty_tuple();
  writer.empty_tuple();
  writer.boolean(false);
  writer.none();
  writer.empty_dict();
  writer.mark();
  for (size_t i = 0; i < item_count; ++i) writer.integer(1);
  writer.set_items();
  writer.tuple();
  const uint32_t arguments = writer.memoize();
  write_calls(writer, "torch._utils\n_rebuild_tensor_v2\n", arguments, repeat_count);
  return finished(writer);
}

std::string shared_arguments_pickle(size_t item_count, size_t repeat_count) {
  PickleWriter writer;
  writer.mark();
  const uint32_t arguments = write_many(writer, item_count);
  write_calls(writer, "torch\nSize\n", arguments, repeat_count);
  return finished(writer);
}

std::string shared_keys_pickle(size_t item_count, size_t repeat_count) {
  PickleWriter writer;
  writer.mark();
  const uint32_t key = write_many(writer, item_count);
  writer.empty_dict();
  writer.mark();
  for (size_t i = 0; i < repeat_count; ++i) {
    writer.get(key);
    writer.none();
  }
  writer.set_items();
  return finished(writer);
}

std::string class_names_pickle(size_t count, size_t text_bytes) {
  std::vector<uint32_t> texts;
  PickleWriter writer;
  writer.mark();
  for (size_t i = 0; i < count; ++i) {
    writer.text(fmt::format("{:0>{}}", i, text_bytes));
    texts.push_back(writer.memoize());
  }
  const ByteVector head = writer.finish();
  std::string pickle(as_text(head).substr(0, head.size() - 1));  // without STOP
  for (size_t i = 0; i < count * count; ++i) {
    for (const size_t text : {i / count, i % count}) {
      pickle += 'j';
      const uint32_t memo = texts[text];
      pickle.append(reinterpret_cast<const char*>(&memo), sizeof(memo));
    }
    pickle += '\x93';
  }
  return pickle + "t.";
}

std::vector<NamedBytes> hostile_pickles() {
  std::vector<NamedBytes> all;
  const auto add = [&](const std::string& name, const std::string& pickle) {
    all.push_back({name, {}});
    append_text(all.back().bytes, pickle);
  };
  add("nested-1100-deep", nested_pickle(1100));
  add("billion-laughs", billion_laughs_pickle(12, 4));
  add("names-long", long_names_pickle(500, 50));
  add("list-repeated", repeated_list_pickle(50, 50));
  add("flags-shared", shared_flags_pickle(40, 20));
  add("arguments-shared", shared_arguments_pickle(40, 20));
  add("keys-shared", shared_keys_pickle(40, 20));
  add("class-names-of-pairs", class_names_pickle(5, 20));
  add("memo-number-huge", "\x80\x02Nr\xff\xff\xff\xff.");
  add("text-longer-than-the-pickle", "\x80\x02X\xff\xff\xff\xffx.");
  add("text-of-64-bits", "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx.");
  add("frame-of-64-bits", "\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.");
  add("holds-itself", "\x80\x02]q\x00h\x00"s + "a.");
  add("calls-system", "\x80\x02"s + "cposix\nsystem\nX\x02\0\0\0ls\x85R."s);
  add("storage-of-2-to-the-62", pickle_of({{"a", "0", int64_t{1} << 62, 0, {1}, {1}}}));
  add("tensor-beyond-its-storage", pickle_of({{"a", "0", 10, 5, {6}, {1}}}));
  add("packed-tensor-beyond-its-storage",
      pickle_of({{"a", "0", 10, 0, {1 << 20}, {1}, "QUInt4x2Storage"}}));
  add("shape-overflows", pickle_of({{"a", "0", 10, 0, {1 << 30, 1 << 30, 1 << 30}, {0, 0, 0}}}));
  add("stride-repeats-one-element", pickle_of({{"a", "0", 1, 0, {1 << 20, 1 << 20}, {0, 0}}}));
  return all;
}

}  // namespace tintype::testing_support
