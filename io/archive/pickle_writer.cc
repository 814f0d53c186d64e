#include "io/archive/pickle_writer.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace tintype {
namespace {

constexpr size_t kFirstRoomBytes = size_t{64} << 10;
constexpr char kBinInt1 = 'K';
constexpr char kBinInt2 = 'M';
constexpr char kBinInt = 'J';
constexpr char kLong1 = '\x8a';
constexpr char kLong4 = '\x8b';
constexpr char kBinFloat = 'G';
constexpr char kBinUnicode = 'X';
constexpr char kGlobal = 'c';
constexpr char kBinPut = 'q';
constexpr char kLongBinPut = 'r';
constexpr char kBinGet = 'h';
constexpr char kLongBinGet = 'j';
constexpr char kStop = '.';

// Bytes of the shortest two's complement of `value`.
size_t minimal_bytes(int64_t value) {
  size_t count = 1;
  while (count < sizeof(value) && value >> (8 * count - 1) != 0 && value >> (8 * count - 1) != -1) {
    ++count;
  }
  return count;
}

}  // namespace

PickleWriter::PickleWriter() : bytes_(kFirstRoomBytes) { put("\x80\x02"); }

void PickleWriter::integer(int64_t value) {
  if (value >= 0 && value <= 0xff) {
    opcode(kBinInt1);
    put_little_endian(static_cast<uint8_t>(value));
  } else if (value >= 0 && value <= 0xffff) {
    opcode(kBinInt2);
    put_little_endian(static_cast<uint16_t>(value));
  } else if (value >= std::numeric_limits<int32_t>::min() &&
             value <= std::numeric_limits<int32_t>::max()) {
    opcode(kBinInt);
    put_little_endian(static_cast<int32_t>(value));
  } else {
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    big_integer({first, minimal_bytes(value)});
  }
}

void PickleWriter::big_integer(ByteView twos_complement) {
  if (twos_complement.size() < 256) {
    opcode(kLong1);
    put_little_endian(static_cast<uint8_t>(twos_complement.size()));
  } else {
    TINTYPE_CHECK(twos_complement.size() <= std::numeric_limits<int32_t>::max());
    opcode(kLong4);
    put_little_endian(static_cast<uint32_t>(twos_complement.size()));
  }
  put(as_text(twos_complement));
}

void PickleWriter::real(double value) {
  opcode(kBinFloat);
  put_little_endian(__builtin_bswap64(std::bit_cast<uint64_t>(value)));
}

void PickleWriter::text(std::string_view utf8) {
  TINTYPE_CHECK(utf8.size() <= std::numeric_limits<uint32_t>::max());
  opcode(kBinUnicode);
  put_little_endian(static_cast<uint32_t>(utf8.size()));
  put(utf8);
}

void PickleWriter::global(std::string_view qualified) {
  opcode(kGlobal);
  put(qualified);
}

uint32_t PickleWriter::memoize() {
  const uint32_t memo = memo_count_++;
  if (memo < 256) {
    opcode(kBinPut);
    put_little_endian(static_cast<uint8_t>(memo));
  } else {
    opcode(kLongBinPut);
    put_little_endian(memo);
  }
  return memo;
}

void PickleWriter::get(uint32_t memo) {
  if (memo < 256) {
    opcode(kBinGet);
    put_little_endian(static_cast<uint8_t>(memo));
  } else {
    opcode(kLongBinGet);
    put_little_endian(memo);
  }
}

ByteVector PickleWriter::finish() {
  opcode(kStop);
  bytes_.resize(size_);
  size_ = 0;
  return std::move(bytes_);
}

void PickleWriter::grow(size_t more) { bytes_.resize(std::max(2 * bytes_.size(), size_ + more)); }

void PickleWriter::put(std::string_view raw) {
  reserve(raw.size());
  std::memcpy(bytes_.data() + size_, raw.data(), raw.size());
  size_ += raw.size();
}

}  // namespace tintype
