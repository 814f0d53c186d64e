// An encoded extent of the planes form: header, run table, planes. Its CRCs would stop nearly every
// mutated input at the door, so it is decoded as it is and with CRCs that fit.
#include <algorithm>

#include "io/archive/compressed_form.h"
#include "io/archive/crc32.h"
#include "io/archive/extent_decoder.h"
#include "tests/fuzz/target.h"

namespace tintype::fuzzing {
namespace {

constexpr uint64_t kPlainBytesMax = 2u << 20;  // the longest run of the widest elements
constexpr size_t kCrcOffset = 4;
constexpr size_t kPlainCrcOffset = 8;
constexpr size_t kPlainBytesOffset = 12;
constexpr size_t kEncodedBytesOffset = 16;
constexpr size_t kPlanesOffset = 20;

uint32_t word(ByteView bytes, size_t offset) { return load_little_endian<uint32_t>(bytes, offset); }

// Kept, as a reader keeps it for all extents of a file: what one leaves must not reach the next.
ExtentDecoder& decoder() {
  static const auto kDecoder = ExtentDecoder::create(FileForm::planes, true);
  return *kDecoder;
}

Status decode(ByteView encoded, MutableBytes plain, std::byte fill) {
  std::fill(plain.begin(), plain.end(), fill);
  const IndexedExtent extent{.plain_bytes = static_cast<uint32_t>(plain.size()),
                             .encoded_bytes = static_cast<uint32_t>(encoded.size()),
                             .payload_bytes = static_cast<uint32_t>(encoded.size()),
                             .checksum = word(encoded, kPlainCrcOffset)};
  const Status status = decoder().decode(extent, encoded, plain);
  if (status.is_ok()) {
    TINTYPE_CHECK(crc32(0, plain) == extent.checksum);
  } else {
    check_refusal(status);
  }
  return status;
}

void fit_tables(MutableBytes encoded) {
  store_little_endian(encoded, kEncodedBytesOffset, static_cast<uint32_t>(encoded.size()));
  const size_t tables_end =
      std::clamp<size_t>(word(encoded, kPlanesOffset), kExtentHeaderBytes, encoded.size());
  const ByteView tables = encoded.first(tables_end).subspan(kPlainCrcOffset);
  store_little_endian(encoded, kCrcOffset, crc32(0, tables));
}

// Where a byte were left unwritten, the two CRCs in the texts would differ.
void check_decoding(MutableBytes encoded, MutableBytes plain) {
  fit_tables(encoded);
  const Status zeros = decode(encoded, plain, std::byte{0});
  const uint32_t crc = crc32(0, plain);
  check_same(zeros, decode(encoded, plain, std::byte{0xFF}));
  if (zeros.is_ok()) return;
  store_little_endian(encoded, kPlainCrcOffset, crc);
  fit_tables(encoded);
  if (decode(encoded, plain, std::byte{0xFF}).is_ok()) TINTYPE_CHECK(crc32(0, plain) == crc);
}

}  // namespace
}  // namespace tintype::fuzzing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  using namespace tintype::fuzzing;
  if (size < kExtentHeaderBytes) return 0;
  ByteVector encoded = copy_of(input_of(data, size));
  if (const auto peeked = peek_planes_extent(encoded); peeked.has_value()) {
    TINTYPE_CHECK(is_possible(*peeked));
  }
  const uint64_t plain_bytes = word(encoded, kPlainBytesOffset);
  if (plain_bytes == 0 || plain_bytes > kPlainBytesMax) return 0;
  ByteVector plain(plain_bytes);
  static_cast<void>(decode(encoded, plain, std::byte{0}));
  check_decoding(encoded, plain);
  return 0;
}
