#include "engine/restore/huge_pages.h"

#include <sys/mman.h>

#include "base/page_sizes.h"

namespace tintype {
namespace {

constexpr size_t kWorthBytes = size_t{4} << 20;

}  // namespace

void advise_huge_pages(MutableBytes target) {
  if (target.size() < kWorthBytes) return;
  const auto begin = reinterpret_cast<uintptr_t>(target.data());
  const size_t head = align_up(begin, kHugePageBytes) - begin;
  const size_t size = (target.size() - head) / kHugePageBytes * kHugePageBytes;
  if (size != 0) ::madvise(target.data() + head, size, MADV_HUGEPAGE);  // refused: no harm
}

void resize_in_huge_pages(ByteVector& bytes, size_t size_bytes) {
  bytes.reserve(size_bytes);
  advise_huge_pages({bytes.data(), size_bytes});  // before they are touched
  bytes.resize(size_bytes);
}

}  // namespace tintype
