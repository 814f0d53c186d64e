// Writes pickles of protocol 2, opcode by opcode, as CPython's C pickler would: the same choice of
// opcodes for the same values, and memo numbers in the order of memoize() calls. What to memoize
// and how to batch is the caller's: it depends on the objects, and this knows none.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace tintype {

// Not thread-safe. Starts with the protocol header. The stack discipline is the caller's: a misused
// sequence gives bytes that no unpickler accepts.
class PickleWriter {
 public:
  // Items between a mark and its set_items() or appends().
  static constexpr int64_t kBatchItems = 1000;

  PickleWriter();

  void none() { opcode('N'); }
  void boolean(bool value) { opcode(value ? '\x88' : '\x89'); }
  // The shortest of BININT1, BININT2, BININT and LONG1, as Python chooses.
  void integer(int64_t value);
  // Little-endian two's complement of minimal length. For what int64_t cannot hold.
  void big_integer(ByteView twos_complement);
  void real(double value);
  // UTF-8; lone surrogates as three bytes. REQUIRES: at most 2^32 - 1 bytes.
  void text(std::string_view utf8);

  void mark() { opcode('('); }
  void empty_tuple() { opcode(')'); }
  // The topmost one to three objects, or all down to the mark, as a tuple.
  void short_tuple(int count) { opcode(static_cast<char>('\x84' + count)); }
  void tuple() { opcode('t'); }
  void empty_list() { opcode(']'); }
  void append() { opcode('a'); }
  void appends() { opcode('e'); }
  void empty_dict() { opcode('}'); }
  void set_item() { opcode('s'); }
  void set_items() { opcode('u'); }

  // `qualified` is "module\nname\n", with Python 2 names for Python 2's modules.
  void global(std::string_view qualified);
  void reduce() { opcode('R'); }
  void build() { opcode('b'); }
  void persistent_id() { opcode('Q'); }
  void pop() { opcode('0'); }
  void pop_mark() { opcode('1'); }

  // Gives the topmost object the next memo number and returns it.
  uint32_t memoize();
  // Pushes a memoized object again.
  void get(uint32_t memo);

  // Ends the pickle and hands it out. The writer is of no further use.
  ByteVector finish();

 private:
  void opcode(char code) {
    reserve(1);
    bytes_[size_++] = static_cast<std::byte>(code);
  }
  void reserve(size_t more) {
    if (bytes_.size() - size_ < more) [[unlikely]]
      grow(more);
  }
  void grow(size_t more);
  void put(std::string_view raw);
  template <typename Integer>
  void put_little_endian(Integer value) {
    reserve(sizeof(Integer));
    std::memcpy(bytes_.data() + size_, &value, sizeof(Integer));
    size_ += sizeof(Integer);
  }

  ByteVector bytes_;  // [0, size_) is written, the rest is room
  size_t size_ = 0;
  uint32_t memo_count_ = 0;
};

}  // namespace tintype
