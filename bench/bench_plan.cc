// What does planning cost per tensor? It runs while the caller is held, after capture.
//
// One file over 1 to 10,000 storages, small ones (256 B: record bookkeeping only) and large ones
// (1 MiB: cut into extents); and a light and a full file over the same storages. No storage is
// read. "plan_again": the same structure was saved before.
#include <numeric>

#include <benchmark/benchmark.h>

#include "base/check.h"
#include "engine/plan_cache.h"

namespace tintype {
namespace {

constexpr uint64_t kExtentBytes = 8ull << 20;
constexpr size_t kPickleBytesPerTensor = 120;  // about what a state dict's entry takes

SaveRequest make_request(size_t storage_count, uint64_t storage_bytes, size_t file_count) {
  SaveRequest request;
  request.storages.assign(storage_count, {.address = nullptr, .size_bytes = storage_bytes});
  for (size_t i = 0; i < file_count; ++i) {
    TargetFile file{.path = "never opened"};
    file.object.pickle.resize(storage_count * kPickleBytesPerTensor);
    file.object.storages.resize(storage_count >> i);  // the second file holds half of them
    std::iota(file.object.storages.begin(), file.object.storages.end(), 0u);
    request.files.push_back(std::move(file));
  }
  return request;
}

void plan(benchmark::State& state) {
  const auto storage_count = static_cast<size_t>(state.range(0));
  const SaveRequest request = make_request(storage_count, static_cast<uint64_t>(state.range(1)),
                                           static_cast<size_t>(state.range(2)));
  while (state.KeepRunning()) {
    auto planned = plan_save(request, kExtentBytes);
    TINTYPE_CHECK(planned.is_ok());
    benchmark::DoNotOptimize(planned);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void plan_again(benchmark::State& state) {
  const auto storage_count = static_cast<size_t>(state.range(0));
  const SaveRequest request = make_request(storage_count, static_cast<uint64_t>(state.range(1)),
                                           static_cast<size_t>(state.range(2)));
  PlanCache cache;
  while (state.KeepRunning()) {
    auto planned = cache.plan(request, kExtentBytes);
    TINTYPE_CHECK(planned.is_ok());
    benchmark::DoNotOptimize(planned);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

BENCHMARK(plan)
    ->ArgNames({"tensors", "bytes", "files"})
    ->ArgsProduct({{1, 1'000, 10'000}, {256, 1 << 20}, {1, 2}})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(plan_again)
    ->ArgNames({"tensors", "bytes", "files"})
    ->ArgsProduct({{1, 1'000, 10'000}, {256, 1 << 20}, {1, 2}})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tintype
