// Compressed forms made of plain images, and the way back: in memory of a fixed size, by several
// threads, in order.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "engine/transcode/piece_output.h"
#include "io/archive/byte_source.h"
#include "io/archive/element_map.h"
#include "io/archive/extent_encoder.h"
#include "io/archive/file_form.h"
#include "io/archive/read_limits.h"
#include "io/disk/byte_stream.h"

namespace tintype {

// Counts while the work goes on; any thread may look.
struct TranscodeMeter {
  std::atomic<uint64_t> input_bytes{0};
  std::atomic<uint64_t> output_bytes{0};
};

struct TranscodeOptions {
  uint32_t thread_count = 0;  // that code at once; 0: one for each processor, at most 8
  uint64_t memory_bytes = uint64_t{144} << 20;  // of all pieces; at least one is held
  // Asked on the calling thread several times a second; true ends with `interrupted`.
  std::function<bool()> is_interrupted;
  ReadLimits limits;
  TranscodeMeter* meter = nullptr;
};

struct Transcoded {
  uint64_t input_bytes = 0;
  uint64_t output_bytes = 0;  // what the file is to be cut to
};

struct CompressOptions {
  EncoderOptions encoder;
  uint64_t extent_bytes = uint64_t{8} << 20;  // a multiple of kDirectAlignmentBytes
};

// `elements` are those of the plain image, for the ratio of the planes form; none is fine.
Result<Transcoded> compress(InputStream& input, const ElementMap& elements,
                            const CompressOptions& compress_options, PieceOutput& output,
                            const TranscodeOptions& options);

// A compressed file. corruption for any damage: then the output is not to be used. unsupported for
// a file that is not compressed, and over a limit.
Result<Transcoded> decompress(const ByteSource& source, PieceOutput& output,
                              const TranscodeOptions& options);

// The same of a stream, front to back: every extent of the planes form has its own sizes and CRC,
// and the tables at the end must be those of the extents that came.
Result<Transcoded> decompress(InputStream& stream, const std::string& name, PieceOutput& output,
                              const TranscodeOptions& options);

// How large the result will be; 0 where only decoding will tell (a `.zst` without a seek table).
Result<uint64_t> plain_bytes_of(const ByteSource& source, const ReadLimits& limits);

}  // namespace tintype
