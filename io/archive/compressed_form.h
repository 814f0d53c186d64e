// Numbers and structures of the compressed forms, as io/archive/FORMAT.md has them: what writer and
// reader share.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/page_sizes.h"

namespace tintype {

// --- both forms ---

// Encoded extents begin and end at multiples of this: each is one aligned write.
inline constexpr uint64_t kEncodedAlignmentBytes = kDirectAlignmentBytes;
inline constexpr uint64_t kPlainExtentBytesMax = uint64_t{64} << 20;
// An encoded extent has at least this part of its plain size, filled up where need be. So a file
// expands to a bounded multiple of itself, also one of zeros only: 8 MiB of them, an extent, make
// one aligned write, which is the least that an extent can have anyway.
inline constexpr uint64_t kExpansionMax = 2048;

// What a table may list: the seekable format of zstd allows no more frames, and an extent may take
// two, one for its padding. Writers keep to it, and readers take all that writers make.
inline constexpr uint64_t kFrameCountMax = uint64_t{1} << 27;
inline constexpr uint64_t kExtentCountMax = kFrameCountMax / 2;

// --- zstd ---

inline constexpr uint32_t kZstdMagic = 0xFD2FB528u;
inline constexpr uint32_t kSkippableMagic = 0x184D2A50u;  // of padding frames; the last 4 bits vary
inline constexpr uint32_t kSeekTableMagic = 0x184D2A5Eu;  // of the frame that holds the seek table
inline constexpr uint32_t kSeekFooterMagic = 0x8F92EAB1u;  // the file's last 4 bytes
inline constexpr uint64_t kFrameHeaderBytes = 8;           // of a skippable frame
inline constexpr uint64_t kSeekFooterBytes = 9;
inline constexpr uint64_t kSeekEntryBytes = 12;  // 8 without checksums
inline constexpr std::byte kSeekChecksumFlag{0x80};
inline constexpr uint32_t kChecksumOfNothing = 0x51D8E999u;  // XXH64's low half

constexpr bool is_skippable_magic(uint32_t magic) { return (magic & ~15u) == kSkippableMagic; }

// --- planes ---

inline constexpr std::string_view kPlanesMagic = "\x89TTZ\r\n\x1a\n";  // shows text-mode copies
inline constexpr std::string_view kPlanesEndMagic = "TTZtable";
inline constexpr uint32_t kPlanesVersion = 1;
inline constexpr uint64_t kPlanesHeadBytes = 4096;
inline constexpr uint64_t kPlanesEntryBytes = 12;
inline constexpr uint64_t kPlanesFooterBytes = 40;

inline constexpr uint32_t kExtentMagic = 0x455A5454u;  // "TTZE"
inline constexpr uint64_t kExtentHeaderBytes = 32;
inline constexpr uint64_t kRunEntryBytes = 12;
inline constexpr uint64_t kPlaneEntryBytes = 4;
inline constexpr uint32_t kPlanesPerElementMax = 8;
inline constexpr uint64_t kRunElementsMax = uint64_t{256} << 10;  // of runs with several planes

// How one plane of a run is stored. huffman and matches are frames of zstd and read alike.
enum class PlaneKind : uint8_t {
  raw = 0,
  huffman = 1,   // coded by the frequencies of bytes alone
  matches = 2,   // level 1
  constant = 3,  // one byte, which all of the plane's are
};

// One run of an encoded extent.
struct PlaneRun {
  uint32_t offset = 0;  // of its first plain byte in the extent
  uint32_t size_bytes = 0;
  uint32_t width = 1;  // bytes of an element, and so the number of planes
  bool is_rotated = false;
};

}  // namespace tintype
