// Does the fused copy + CRC run at the speed of the memory, or does the CRC cost a second pass?
//
// `copy` and `crc` are its two halves alone, `copy_then_crc` what two passes would cost, `fused`
// what staging does. Sizes run from cache to memory; threads work on buffers of their own, in huge
// pages where the kernel gives them, touched before the clock runs.
#include <sys/mman.h>

#include <cstring>
#include <memory>

#include <benchmark/benchmark.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/archive/crc32.h"

namespace {

using tintype::ByteView;
using tintype::MutableBytes;

class TouchedMemory {
 public:
  explicit TouchedMemory(size_t size_bytes) : size_bytes_(size_bytes) {
    address_ =
        ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TINTYPE_CHECK(address_ != MAP_FAILED);
    ::madvise(address_, size_bytes, MADV_HUGEPAGE);
    std::memset(address_, 1, size_bytes);
  }
  ~TouchedMemory() { ::munmap(address_, size_bytes_); }
  MutableBytes bytes() { return {static_cast<std::byte*>(address_), size_bytes_}; }

  TouchedMemory(const TouchedMemory&) = delete;
  TouchedMemory& operator=(const TouchedMemory&) = delete;

 private:
  size_t size_bytes_;
  void* address_;
};

uint32_t copy(MutableBytes target, ByteView source) {
  std::memcpy(target.data(), source.data(), source.size());
  return 0;
}

uint32_t crc(MutableBytes, ByteView source) { return tintype::crc32(0, source); }

uint32_t copy_then_crc(MutableBytes target, ByteView source) {
  std::memcpy(target.data(), source.data(), source.size());
  return tintype::crc32(0, target);
}

template <uint32_t (*kPass)(MutableBytes, ByteView)>
void run(benchmark::State& state) {
  const auto size_bytes = static_cast<size_t>(state.range(0));
  TouchedMemory source(size_bytes);
  TouchedMemory target(size_bytes);
  while (state.KeepRunning()) {
    benchmark::DoNotOptimize(kPass(target.bytes(), source.bytes()));
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void sizes_and_threads(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("bytes")->UseRealTime();
  benchmark->Arg(4 << 10)->Arg(64 << 10)->Arg(1 << 20)->Arg(64 << 20);
  benchmark->Threads(1)->Threads(2);
}

BENCHMARK(run<copy>)->Name("copy")->Apply(sizes_and_threads);
BENCHMARK(run<crc>)->Name("crc")->Apply(sizes_and_threads);
BENCHMARK(run<copy_then_crc>)->Name("copy_then_crc")->Apply(sizes_and_threads);
BENCHMARK(run<tintype::copy_with_crc32>)->Name("fused")->Apply(sizes_and_threads);

}  // namespace
