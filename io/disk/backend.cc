#include "io/disk/backend.h"

#include <utility>

namespace tintype {
namespace {

constexpr uint32_t kPwriteThreads = 4;

}  // namespace

ChosenBackend choose_write_queue(uint32_t depth) {
  auto ring = make_uring_write_queue(depth);
  if (ring.is_ok()) return {std::move(ring).value(), ""};
  return {make_pwrite_queue(depth, kPwriteThreads),
          ring.status().to_string() + "; writing with pwrite threads"};
}

}  // namespace tintype
