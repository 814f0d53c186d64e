#include "io/archive/plane_runs.h"

#include <algorithm>

namespace tintype {
namespace {

// Bytes that are taken for elements of one type. `anchor` is where an element begins.
struct Block {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint32_t width = 1;
  bool is_floating = false;
  uint64_t anchor = 0;

  uint64_t size_bytes() const { return end - begin; }
  bool fits(const Block& other) const {
    return width == other.width && is_floating == other.is_floating &&
           (other.begin - begin) % width == 0;
  }
};

// 8 for complex numbers of 16 bytes: they are two.
uint32_t plane_width(uint32_t element_bytes) {
  uint32_t width = kPlanesPerElementMax;
  while (element_bytes % width != 0) width /= 2;
  return width;
}

Block block_of(const ElementRun& run) {
  return {run.offset_bytes, run.offset_bytes + run.size_bytes, plane_width(run.element_bytes),
          run.is_floating, run.offset_bytes};
}

// Runs of one type with little else between them as one: less than they have themselves and less
// than the smallest run.
std::vector<Block> join_neighbours(std::span<const ElementRun> runs) {
  std::vector<Block> blocks;
  for (size_t i = 0; i < runs.size();) {
    Block block = block_of(runs[i]);
    uint64_t own_bytes = block.size_bytes();
    size_t next = i + 1;
    for (size_t j = next; j < runs.size(); ++j) {
      const Block other = block_of(runs[j]);
      if (other.begin - block.end >= std::min(own_bytes, kRunBytesMin)) break;
      if (!block.fits(other)) continue;
      block.end = other.end;
      own_bytes += other.size_bytes();
      next = j + 1;
    }
    blocks.push_back(block);
    i = next;
  }
  return blocks;
}

// Appends what follows the last block: to it, where one of the two is small.
void append(std::vector<Block>& blocks, const Block& block) {
  if (block.begin == block.end) return;
  const bool is_joined = !blocks.empty() && (block.size_bytes() < kRunBytesMin ||
                                             blocks.back().size_bytes() < kRunBytesMin);
  if (!is_joined) {
    blocks.push_back(block);
    return;
  }
  Block& last = blocks.back();
  if (block.size_bytes() > last.size_bytes()) {
    last.width = block.width;
    last.is_floating = block.is_floating;
    last.anchor = block.anchor;
  }
  last.end = block.end;
}

std::vector<Block> cover(uint64_t size_bytes, std::span<const Block> blocks) {
  std::vector<Block> all;
  uint64_t end = 0;
  for (const Block& block : blocks) {
    append(all, {end, block.begin, 1, false, end});
    append(all, block);
    end = block.end;
  }
  append(all, {end, size_bytes, 1, false, end});
  return all;
}

// Turned by one bit, the exponent of a float has a byte of its own. That of a double has 11 bits:
// nothing would be won, and the sign would be alone among zeros where the last bits are zero.
constexpr uint32_t kRotatedWidthMax = 4;

void add_run(std::vector<PlaneRun>& runs, uint64_t begin, uint64_t end, uint32_t width,
             bool is_floating) {
  if (begin == end) return;
  runs.push_back({.offset = static_cast<uint32_t>(begin),
                  .size_bytes = static_cast<uint32_t>(end - begin),
                  .width = width,
                  .is_rotated = is_floating && width > 1 && width <= kRotatedWidthMax});
}

// Broken elements at either end become runs of single bytes.
void cut(std::vector<PlaneRun>& runs, const Block& block) {
  const uint64_t width = block.width;
  // From the start of the block to the first element, which may begin before the anchor.
  const uint64_t head = (block.anchor % width + width - block.begin % width) % width;
  uint64_t begin = std::min(block.begin + head, block.end);
  const uint64_t end = block.end - (block.end - begin) % width;
  add_run(runs, block.begin, begin, 1, false);
  const uint64_t piece_bytes = kRunElements * width;
  for (; end - begin > piece_bytes + piece_bytes / 2; begin += piece_bytes) {
    add_run(runs, begin, begin + piece_bytes, block.width, block.is_floating);
  }
  add_run(runs, begin, end, block.width, block.is_floating);
  add_run(runs, end, block.end, 1, false);
}

}  // namespace

std::vector<PlaneRun> cut_plane_runs(uint64_t size_bytes, std::span<const ElementRun> runs) {
  std::vector<PlaneRun> cut_runs;
  for (const Block& block : cover(size_bytes, join_neighbours(runs))) cut(cut_runs, block);
  return cut_runs;
}

}  // namespace tintype
