#include "tools/doctor/machine.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include <fmt/format.h>

#include "engine/memory_budget.h"
#include "io/archive/crc32.h"
#include "io/archive/extent_encoder.h"
#include "tools/sizes.h"

namespace tintype::doctor {
namespace {

constexpr uint64_t kSmallStagingBytes = uint64_t{1} << 30;
constexpr rlim_t kFewOpenFiles = 256;

// The largest state whose image fits the pool that the engine would make for it.
uint64_t largest_whole_state(uint64_t budget_bytes) { return budget_bytes / 5 * 4; }

Finding examine_memory() {
  const uint64_t budget_bytes = staging_budget_bytes();
  const std::string detail =
      fmt::format("{} for staging; states up to {} fit whole", format_size(budget_bytes),
                  format_size(largest_whole_state(budget_bytes)));
  if (budget_bytes >= kSmallStagingBytes) {
    return found_amount("staging_memory", budget_bytes, detail);
  }
  Finding finding = missing("staging_memory", detail,
                            {"a larger state is staged in parts: the caller waits for the disk",
                             "free memory, raise the memory limit of the container, or start fewer "
                             "ranks per machine"});
  finding.size_bytes = budget_bytes;
  return finding;
}

Finding examine_file_size(const ProcessLimits& limits) {
  if (limits.file_size_bytes == RLIM_INFINITY) return found("file_size_limit", "none");
  Finding finding = missing("file_size_limit", format_size(limits.file_size_bytes) + " per file",
                            {"a larger checkpoint fails with EFBIG", "`ulimit -f unlimited`"});
  finding.size_bytes = limits.file_size_bytes;
  return finding;
}

Finding examine_open_files(const ProcessLimits& limits) {
  if (limits.open_file_count == RLIM_INFINITY) return found("open_files", "no limit");
  const std::string detail = fmt::format("{} at once", limits.open_file_count);
  if (limits.open_file_count >= kFewOpenFiles) return found("open_files", detail);
  return missing(
      "open_files", detail,
      {"data loaders and saves together may run out of them (EMFILE)", "`ulimit -n 4096`"});
}

// What the CRC's library chooses by.
std::string_view crc_instructions() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq")) {
    return "AVX-512 carry-less multiplication";
  }
  if (__builtin_cpu_supports("pclmul")) return "carry-less multiplication";
  return "";
#else
  return "instructions that the library chooses";
#endif
}

double crc_bytes_per_second() {
  constexpr size_t kSampleBytes = size_t{4} << 20;
  constexpr int kRounds = 5;
  const ByteVector sample(kSampleBytes);
  uint32_t crc = 0;
  double best_seconds = std::numeric_limits<double>::max();
  for (int i = 0; i < kRounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    crc = crc32(crc, sample);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    best_seconds = std::min(best_seconds, passed.count());
  }
  static_cast<void>(crc);
  return kSampleBytes / std::max(best_seconds, 1e-9);
}

Finding examine_crc() {
  const std::string_view instructions = crc_instructions();
  const double rate = crc_bytes_per_second();
  const std::string measured = fmt::format("{:.1f} GB/s on one core", rate / 1e9);
  if (!instructions.empty()) {
    return found("crc32", fmt::format("{}, {}", measured, instructions));
  }
  return missing("crc32", measured + ", without carry-less multiplication",
                 {"checksums cost more than the copies they come with",
                  "on a virtual machine, choose a CPU model with pclmulqdq"});
}

// The command links no CUDA: whether the driver fits the extension, only a save can tell.
Finding examine_gpu() {
  if (::access("/dev/nvidiactl", F_OK) != 0) {
    return missing("gpu", "no device is visible", {"nothing while all tensors are on the CPU", ""});
  }
  if constexpr (TINTYPE_HAS_CUDA)
    return found("gpu", "a device is visible, and this build has a CUDA part");
  return missing("gpu", "a device is visible, but this build has no CUDA part",
                 {"torch copies CUDA tensors to the host before they are saved; the caller waits",
                  "build where there is nvcc"});
}

}  // namespace

Finding judge_zstd(std::string_view version, bool has_huffman_mode) {
  if (has_huffman_mode) {
    return found("zstd", fmt::format("libzstd {}, with the mode that planes need", version));
  }
  return missing("zstd", fmt::format("libzstd {}, without the mode that planes need", version),
                 {kNoHuffmanModeNote, "use libzstd 1.5 or later, as its project releases it"});
}

std::vector<Finding> examine_machine(const ProcessLimits& limits) {
  return {examine_memory(),
          examine_crc(),
          judge_zstd(zstd_version(), has_huffman_mode()),
          examine_open_files(limits),
          examine_file_size(limits),
          examine_gpu()};
}

}  // namespace tintype::doctor
