#include "engine/restore/parallel_read.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <new>
#include <thread>

#include "base/crc32_combine.h"
#include "base/no_memory.h"
#include "base/threads.h"

namespace tintype {
namespace {

constexpr uint64_t kBytesPerThread = uint64_t{2} << 20;  // starting a thread is worth that much
constexpr uint32_t kMaxThreads = 16;
constexpr auto kAskInterval = std::chrono::milliseconds(20);

}  // namespace

uint32_t threads_that_pay(const ByteSource& source, uint64_t total_bytes,
                          const ReadOptions& options) {
  if (source.is_serial()) return 1;
  const uint64_t useful = std::min<uint64_t>(total_bytes / kBytesPerThread + 1, kMaxThreads);
  static const uint32_t processors = std::max(1u, std::thread::hardware_concurrency());
  const uint32_t available = options.thread_count != 0 ? options.thread_count : processors;
  return static_cast<uint32_t>(std::min<uint64_t>(useful, available));
}

Status for_each_piece(size_t piece_count, uint32_t thread_count, const ReadOptions& options,
                      const std::function<void(size_t, uint32_t)>& work) {
  std::atomic<size_t> next{0};
  std::atomic<bool> is_stopped{false};
  std::atomic<bool> is_memory_refused{false};
  const auto try_work = [&](size_t piece, uint32_t thread) {
    try {
      work(piece, thread);
    } catch (const std::bad_alloc&) {  // would end the program
      is_memory_refused = true;
      is_stopped = true;
    }
  };
  ThreadGroup helpers;  // as many as there are: this thread does what is left
  for (uint32_t thread = 1; thread < std::min<size_t>(thread_count, piece_count); ++thread) {
    const Status status = helpers.start("tintype-read", [&, thread] {
      for (size_t i; (i = next++) < piece_count && !is_stopped;) try_work(i, thread);
    });
    if (!status.is_ok()) break;
  }
  auto asked = std::chrono::steady_clock::now();
  for (size_t i; (i = next++) < piece_count && !is_stopped;) {
    try_work(i, 0);
    const auto now = std::chrono::steady_clock::now();
    if (!options.is_interrupted || now - asked < kAskInterval) continue;
    asked = now;
    if (options.is_interrupted()) is_stopped = true;
  }
  helpers.join();
  if (is_memory_refused) return no_memory("reading");
  return is_stopped ? Status(StatusCode::interrupted, "reading was interrupted") : Status::ok();
}

namespace {

// Where the pieces of a range end: at the source's blocks, where it has some.
std::vector<uint64_t> piece_ends(const ByteSource& source, uint64_t begin, uint64_t end) {
  std::vector<uint64_t> ends;
  while (begin < end) {
    const uint64_t block_end = source.block_end(begin);
    begin = std::min(end, block_end != 0 ? block_end : begin + kPieceBytes);
    ends.push_back(begin);
  }
  return ends;
}

}  // namespace

Result<uint32_t> read_in_parallel(const ByteSource& source, uint64_t offset, MutableBytes target,
                                  const ReadOptions& options) {
  if (target.size() <= kPieceBytes) return source.read_with_crc(target, offset);
  const std::vector<uint64_t> ends = piece_ends(source, offset, offset + target.size());
  const auto begin_of = [&](size_t i) { return i == 0 ? offset : ends[i - 1]; };
  std::vector<Result<uint32_t>> crcs(ends.size(), uint32_t{0});
  const auto read_piece = [&](size_t i, uint32_t) {
    const MutableBytes piece = target.subspan(begin_of(i) - offset, ends[i] - begin_of(i));
    crcs[i] = source.read_with_crc(piece, begin_of(i));
  };
  TINTYPE_RETURN_IF_ERROR(for_each_piece(
      crcs.size(), threads_that_pay(source, target.size(), options), options, read_piece));
  uint32_t crc = 0;
  for (size_t i = 0; i < crcs.size(); ++i) {
    if (!crcs[i].is_ok()) return crcs[i].status();
    crc = crc32_combine(crc, *crcs[i], ends[i] - begin_of(i));
  }
  return crc;
}

}  // namespace tintype
