// Encodes extents of a plain image, each by itself, into one of the compressed forms.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/element_map.h"
#include "io/archive/file_form.h"
#include "io/archive/split_extent.h"

namespace tintype {

struct EncoderOptions {
  FileForm form = FileForm::planes;  // or zstd
  int zstd_level = 1;                // of the zstd form, as the zstd command counts: 1 to 22
};

// What the file's tail says of an extent.
struct EncodedExtent {
  uint64_t plain_bytes = 0;
  uint64_t encoded_bytes = 0;  // with padding: a multiple of kEncodedAlignmentBytes
  uint64_t payload_bytes = 0;  // without
  uint32_t checksum = 0;       // of the plain bytes: zstd: XXH64's low half; planes: CRC-32
  bool is_raw = false;         // stored as it is: it would not have shrunk, or was not to be coded
};

enum class Coding {
  best,
  raw,  // as fast as possible: for `auto` while the disk waits for the CPU
};

// The capacity that `target` needs for an extent of this size: less than 64 KiB more, a multiple of
// kEncodedAlignmentBytes.
uint64_t encoded_bound_bytes(uint64_t plain_bytes);

// What an encoder holds at most while it encodes extents of up to 8 MiB: at high levels zstd's
// tables are larger than they are.
uint64_t encoder_memory_bytes(const EncoderOptions& options);

// Not for several threads at once: one per thread.
class ExtentEncoder {
 public:
  virtual ~ExtentEncoder() = default;

  // invalid_argument for the plain form, or a level that zstd does not have.
  static Result<std::unique_ptr<ExtentEncoder>> create(const EncoderOptions& options);

  // Writes the encoded extent to the start of `target`. `runs` are as ElementMap::runs_in gives
  // them; they matter to the ratio alone. REQUIRES: plain has 1 to kPlainExtentBytesMax bytes;
  // target has encoded_bound_bytes(plain.size()).
  virtual Result<EncodedExtent> encode(ByteView plain, std::span<const ElementRun> runs,
                                       MutableBytes target, Coding coding = Coding::best) = 0;

  // The same bytes from an extent that arrived split; what arrived plain is split here. REQUIRES:
  // the planes form.
  virtual Result<EncodedExtent> encode_split(ByteView bytes, const SplitExtent& split,
                                             MutableBytes target, Coding coding = Coding::best);
};

// False where the libzstd at hand lacks the mode by which planes are coded fastest (it is
// experimental there); the planes form is then coded by level 1, slower and somewhat worse.
bool has_huffman_mode();
// What it costs that this is false.
inline constexpr std::string_view kNoHuffmanModeNote =
    "libzstd lacks its mode for literals alone: planes (.ttz) are coded slower, by level 1, and "
    "somewhat larger";

// Of the libzstd at hand, as "1.5.4".
std::string_view zstd_version();

}  // namespace tintype
