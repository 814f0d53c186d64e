// What the compressed forms cost one core and what they save, beside zstd -1 and -3 over the same
// bytes in the same run, and what libzstd alone takes of the planes form (planes_limit). `ratio` is
// plain ÷ encoded bytes; rates are of plain bytes.
//
// TINTYPE_BENCH_STATE=FILE.pth adds the image of a real checkpoint, extent by extent, and its
// floats in bfloat16. Memory is in huge pages where the kernel gives them, as the engine's staging
// is.
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/bytes.h"
#include "base/check.h"
#include "bench/coded_planes.h"
#include "engine/element_runs.h"
#include "engine/restore/archive.h"
#include "engine/restore/file_source.h"
#include "engine/restore/huge_pages.h"
#include "io/archive/byte_planes.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/extent_decoder.h"
#include "io/archive/extent_encoder.h"
#include "io/disk/file_system.h"

namespace tintype {
namespace {

constexpr uint64_t kExtentBytes = uint64_t{8} << 20;
constexpr uint64_t kStateBytes = 4 * kExtentBytes;  // more than a core's caches

struct State {
  std::string name;
  ByteVector plain;
  ElementMap elements;
};

ByteVector huge_bytes(size_t size_bytes) {
  ByteVector bytes;
  resize_in_huge_pages(bytes, size_bytes);
  return bytes;
}

template <typename Number, typename Draw>
State state_of(std::string name, bool is_floating, const Draw& draw) {
  State state{std::move(name), huge_bytes(kStateBytes), {}};
  for (uint64_t offset = 0; offset < kStateBytes; offset += sizeof(Number)) {
    store_little_endian(MutableBytes(state.plain), offset, static_cast<Number>(draw()));
  }
  state.elements.add(0, kStateBytes, sizeof(Number), is_floating);
  return state;
}

// Made weights are normally distributed, as layers are when they begin to learn.
std::vector<State> made_states() {
  std::mt19937_64 random(1);
  std::normal_distribution<float> weight(0.0F, 0.02F);
  const auto weight_bits = [&] { return std::bit_cast<uint32_t>(weight(random)); };
  std::vector<State> states;
  states.push_back(state_of<uint32_t>("fp32", true, weight_bits));
  states.push_back(state_of<uint16_t>("bf16", true, [&] { return weight_bits() >> 16; }));
  states.push_back(state_of<uint64_t>("random", false, [&] { return random(); }));
  states.push_back(state_of<uint32_t>("zero", true, [] { return 0; }));
  states.push_back(state_of<uint64_t>("int64", false, [&] { return random() % 50'000; }));
  return states;
}

// The floats' upper halves, rounded to the nearest.
State in_bfloat16(const State& state) {
  State half{state.name + "_bf16", {}, {}};
  for (const ElementRun& run : state.elements.runs_in(0, state.plain.size())) {
    if (!run.is_floating || run.element_bytes != sizeof(uint32_t)) continue;
    for (uint64_t offset = 0; offset < run.size_bytes; offset += sizeof(uint32_t)) {
      const auto bits = load_little_endian<uint32_t>(state.plain, run.offset_bytes + offset);
      const uint32_t rounding = 0x7FFF + ((bits >> 16) & 1u);
      append_little_endian(half.plain, static_cast<uint16_t>((bits + rounding) >> 16));
    }
  }
  half.elements.add(0, half.plain.size(), sizeof(uint16_t), true);
  return half;
}

void add_real_state(std::vector<State>& states) {
  const char* path = std::getenv("TINTYPE_BENCH_STATE");  // NOLINT(concurrency-mt-unsafe)
  if (path == nullptr) return;
  const auto file = FileSource::open(posix_file_system(), path).value();
  const auto archive = Archive::open(posix_file_system(), path).value();
  State real{"real", huge_bytes(file->size_bytes()), element_map(*archive)};
  TINTYPE_CHECK(file->read_at(real.plain, 0).is_ok());
  states.push_back(in_bfloat16(real));
  states.push_back(std::move(real));
}

// One way to encode and decode an extent. Sizes in bytes.
class Coder {
 public:
  virtual ~Coder() = default;
  virtual size_t encode(ByteView plain, std::span<const ElementRun> runs, MutableBytes target) = 0;
  virtual void decode(ByteView encoded, MutableBytes plain) = 0;
  // False for what is only a part of coding.
  virtual bool restores_plain() const { return true; }
};

class FormCoder final : public Coder {
 public:
  FormCoder(FileForm form, Coding coding)
      : coding_(coding),
        encoder_(ExtentEncoder::create({.form = form}).value()),
        decoder_(ExtentDecoder::create(form, false)) {}

  size_t encode(ByteView plain, std::span<const ElementRun> runs, MutableBytes target) override {
    const EncodedExtent extent = encoder_->encode(plain, runs, target, coding_).value();
    indexed_[target.data()] = {.plain_bytes = static_cast<uint32_t>(extent.plain_bytes),
                               .encoded_bytes = static_cast<uint32_t>(extent.encoded_bytes),
                               .payload_bytes = static_cast<uint32_t>(extent.payload_bytes),
                               .checksum = extent.checksum};
    return extent.encoded_bytes;
  }

  void decode(ByteView encoded, MutableBytes plain) override {
    const Status status = decoder_->decode(indexed_.at(encoded.data()), encoded, plain);
    TINTYPE_CHECK(status.is_ok());
  }

 private:
  Coding coding_;
  std::unique_ptr<ExtentEncoder> encoder_;
  std::unique_ptr<ExtentDecoder> decoder_;
  std::map<const std::byte*, IndexedExtent> indexed_;  // by where they were encoded to
};

// As the zstd command does by default, with its checksum.
class ZstdCoder final : public Coder {
 public:
  explicit ZstdCoder(int level) : level_(level) {}

  size_t encode(ByteView plain, std::span<const ElementRun>, MutableBytes target) override {
    ZSTD_CCtx_setParameter(compressor_.get(), ZSTD_c_compressionLevel, level_);
    ZSTD_CCtx_setParameter(compressor_.get(), ZSTD_c_checksumFlag, 1);
    const size_t size =
        ZSTD_compress2(compressor_.get(), target.data(), target.size(), plain.data(), plain.size());
    TINTYPE_CHECK(ZSTD_isError(size) == 0);
    return size;
  }

  void decode(ByteView encoded, MutableBytes plain) override {
    const size_t size = ZSTD_decompressDCtx(decompressor_.get(), plain.data(), plain.size(),
                                            encoded.data(), encoded.size());
    TINTYPE_CHECK(size == plain.size());
  }

 private:
  int level_;
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> compressor_{ZSTD_createCCtx(),
                                                                   &ZSTD_freeCCtx};
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> decompressor_{ZSTD_createDCtx(),
                                                                     &ZSTD_freeDCtx};
};

// Of the planes form only what libzstd does: the limit of the rest.
class LimitCoder final : public Coder {
 public:
  size_t encode(ByteView plain, std::span<const ElementRun> runs, MutableBytes target) override {
    if (!planes_.is_prepared(plain)) planes_.prepare(plain, runs);
    sources_[target.data()] = plain;
    return planes_.encode(plain, target);
  }

  void decode(ByteView encoded, MutableBytes) override {
    planes_.decode(sources_.at(encoded.data()));
  }

  bool restores_plain() const override { return false; }

 private:
  CodedPlanes planes_;
  std::map<const std::byte*, ByteView> sources_;  // by where they were encoded to
};

// A state cut into extents, with room for each when encoded.
class Extents {
 public:
  explicit Extents(const State& state) : plain_(state.plain) {
    const size_t room = ZSTD_compressBound(kExtentBytes);
    for (uint64_t offset = 0; offset < plain_.size(); offset += kExtentBytes) {
      const uint64_t size_bytes = std::min(kExtentBytes, plain_.size() - offset);
      pieces_.push_back({plain_.subspan(offset, size_bytes),
                         state.elements.runs_in(offset, size_bytes), huge_bytes(room), 0});
    }
  }

  uint64_t encode(Coder& coder) {
    uint64_t encoded_bytes = 0;
    for (Piece& piece : pieces_) {
      piece.encoded_bytes = coder.encode(piece.plain, piece.runs, piece.memory);
      encoded_bytes += piece.encoded_bytes;
    }
    return encoded_bytes;
  }

  void decode(Coder& coder, MutableBytes plain) const {
    for (const Piece& piece : pieces_) {
      const auto offset = static_cast<size_t>(piece.plain.data() - plain_.data());
      coder.decode(ByteView(piece.memory).first(piece.encoded_bytes),
                   plain.subspan(offset, piece.plain.size()));
    }
  }

  ByteView plain() const { return plain_; }

 private:
  struct Piece {
    ByteView plain;
    std::vector<ElementRun> runs;
    ByteVector memory;
    size_t encoded_bytes;
  };
  ByteView plain_;
  std::vector<Piece> pieces_;
};

using MakeCoder = std::unique_ptr<Coder> (*)();

void encode(benchmark::State& run, const State& state, MakeCoder make_coder) {
  const auto coder = make_coder();
  Extents extents(state);
  uint64_t encoded_bytes = extents.encode(*coder);  // touches its memory
  while (run.KeepRunning()) encoded_bytes = extents.encode(*coder);
  run.SetBytesProcessed(run.iterations() * static_cast<int64_t>(state.plain.size()));
  run.counters["ratio"] =
      static_cast<double>(state.plain.size()) / static_cast<double>(encoded_bytes);
}

void decode(benchmark::State& run, const State& state, MakeCoder make_coder) {
  const auto coder = make_coder();
  Extents extents(state);
  extents.encode(*coder);
  ByteVector plain = huge_bytes(state.plain.size());
  while (run.KeepRunning()) extents.decode(*coder, plain);
  TINTYPE_CHECK(!coder->restores_plain() ||
                std::equal(plain.begin(), plain.end(), state.plain.begin()));
  run.SetBytesProcessed(run.iterations() * static_cast<int64_t>(state.plain.size()));
}

struct NamedCoder {
  const char* name;
  MakeCoder make;
};

constexpr NamedCoder kCoders[] = {
    {"planes",
     [] { return std::unique_ptr<Coder>(new FormCoder(FileForm::planes, Coding::best)); }},
    {"planes_raw",
     [] { return std::unique_ptr<Coder>(new FormCoder(FileForm::planes, Coding::raw)); }},
    {"planes_limit", [] { return std::unique_ptr<Coder>(new LimitCoder()); }},
    {"zstd", [] { return std::unique_ptr<Coder>(new FormCoder(FileForm::zstd, Coding::best)); }},
    {"zstd_raw", [] { return std::unique_ptr<Coder>(new FormCoder(FileForm::zstd, Coding::raw)); }},
    {"zstd_-1", [] { return std::unique_ptr<Coder>(new ZstdCoder(1)); }},
    {"zstd_-3", [] { return std::unique_ptr<Coder>(new ZstdCoder(3)); }}};

void split_and_join(benchmark::State& run, uint32_t width, bool is_joining) {
  constexpr size_t kCount = size_t{128} << 10;
  constexpr size_t kStride = kCount + 192;  // as the encoder has it
  ByteVector elements(kCount * width);
  ByteVector memory(kStride * width);
  std::vector<std::byte*> planes;
  for (uint32_t b = 0; b < width; ++b) planes.push_back(memory.data() + b * kStride);
  const std::vector<const std::byte*> sources(planes.begin(), planes.end());
  while (run.KeepRunning()) {
    is_joining ? join_planes(sources, true, elements) : split_planes(elements, true, planes);
    benchmark::ClobberMemory();
  }
  run.SetBytesProcessed(run.iterations() * static_cast<int64_t>(elements.size()));
}

// The states live as long as the program: they are made at its start.
const bool kIsRegistered = [] {
  static const std::vector<State> kStates = [] {
    std::vector<State> made = made_states();
    add_real_state(made);
    return made;
  }();
  for (const uint32_t width : {2u, 4u, 8u}) {
    const std::string name = std::to_string(width);
    benchmark::RegisterBenchmark(("split/" + name).c_str(), split_and_join, width, false);
    benchmark::RegisterBenchmark(("join/" + name).c_str(), split_and_join, width, true);
  }
  for (const State& state : kStates) {
    for (const NamedCoder& coder : kCoders) {
      const std::string name = state.name + "/" + coder.name;
      benchmark::RegisterBenchmark(("encode/" + name).c_str(), encode, state, coder.make);
      benchmark::RegisterBenchmark(("decode/" + name).c_str(), decode, state, coder.make);
    }
  }
  return true;
}();

}  // namespace
}  // namespace tintype
