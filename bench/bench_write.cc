// Which write path reaches the disk's rate? io_uring against pwrite threads, direct against
// buffered, by size of one write.
//
// Each iteration writes one new file in extents from touched memory through the queue and syncs it.
// The file lies in $TINTYPE_BENCH_DIR (default: the working directory). TINTYPE_FULL=1 writes
// 512 MiB a file in place of 16 MiB.
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/check.h"
#include "io/disk/backend.h"
#include "io/disk/file_system.h"
#include "io/disk/resuming_writer.h"

namespace tintype {
namespace {

constexpr uint32_t kDepth = 8;
constexpr uint32_t kPwriteThreads = 4;

uint64_t file_bytes() {
  const bool is_full = std::getenv("TINTYPE_FULL") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  return is_full ? 512ull << 20 : 16ull << 20;
}

std::unique_ptr<File> make_file(Directory& directory, bool is_direct) {
  auto file = directory.create_unnamed("bench", 0600);
  TINTYPE_CHECK(file.is_ok() && (*file)->allocate(file_bytes()).is_ok());
  TINTYPE_CHECK((*file)->set_direct(is_direct).is_ok());
  return std::move(file).value();
}

// Extent i comes from slot i modulo the depth.
void write_file(WriteQueue& queue, File& file, ByteView memory, uint64_t extent_bytes) {
  ResumingWriter writer(queue);
  std::vector<FinishedWrite> finished;
  uint64_t in_flight = 0;
  for (uint64_t offset = 0; offset < file_bytes() || in_flight > 0;) {
    for (; writer.has_room() && offset < file_bytes(); offset += extent_bytes, ++in_flight) {
      const auto data = memory.subspan(offset % memory.size(), extent_bytes);
      writer.start({.file = &file, .data = data, .offset = offset, .token = offset}, false);
    }
    TINTYPE_CHECK(writer.poll(finished, std::chrono::milliseconds(1000)).is_ok());
    for (const FinishedWrite& write : finished) TINTYPE_CHECK(write.status.is_ok());
    in_flight -= finished.size();
    finished.clear();
  }
}

void write(benchmark::State& state, bool is_ring, bool is_direct) {
  const auto extent_bytes = static_cast<uint64_t>(state.range(0));
  const char* folder = std::getenv("TINTYPE_BENCH_DIR");  // NOLINT(concurrency-mt-unsafe)
  auto directory = posix_file_system().open_directory(folder != nullptr ? folder : ".");
  TINTYPE_CHECK(directory.is_ok());
  auto queue =
      is_ring ? make_uring_write_queue(kDepth) : Result(make_pwrite_queue(kDepth, kPwriteThreads));
  if (!queue.is_ok()) {
    state.SkipWithError(std::string(queue.status().message()).c_str());
    return;
  }
  std::unique_ptr<std::byte, decltype(&std::free)> memory(
      static_cast<std::byte*>(std::aligned_alloc(4096, kDepth * extent_bytes)), &std::free);
  const MutableBytes bytes(memory.get(), kDepth * extent_bytes);
  std::fill(bytes.begin(), bytes.end(), std::byte{1});
  while (state.KeepRunning()) {
    state.PauseTiming();
    auto file = make_file(**directory, is_direct);
    state.ResumeTiming();
    write_file(**queue, *file, bytes, extent_bytes);
    TINTYPE_CHECK(file->sync_data().is_ok());
    state.PauseTiming();
    file.reset();
    TINTYPE_CHECK((*directory)->sync().is_ok());  // the blocks are free again
    state.ResumeTiming();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(file_bytes()));
}

void extent_sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("extent")->UseRealTime()->Unit(benchmark::kMillisecond);
  benchmark->Arg(1 << 20)->Arg(4 << 20)->Arg(8 << 20)->MinTime(0.01);
}

BENCHMARK_CAPTURE(write, io_uring_direct, true, true)->Apply(extent_sizes);
BENCHMARK_CAPTURE(write, io_uring_buffered, true, false)->Apply(extent_sizes);
BENCHMARK_CAPTURE(write, pwrite_direct, false, true)->Apply(extent_sizes);
BENCHMARK_CAPTURE(write, pwrite_buffered, false, false)->Apply(extent_sizes);

}  // namespace
}  // namespace tintype
