// Asking the kernel for large pages under memory that is about to be filled.
#pragma once

#include "base/bytes.h"

namespace tintype {

// Where `target` was just allocated, its first filling costs a page fault every 4 KiB, which takes
// longer than the copy; with large pages one every 2 MiB. A hint: it changes neither content nor
// size, and does nothing to memory that has its pages, nor below 4 MiB (the bound of NumPy, which
// does the same to its arrays).
void advise_huge_pages(MutableBytes target);

// Gives an empty vector this size, in large pages where the kernel has them. For memory that is
// used again and again: zeroing it costs once.
void resize_in_huge_pages(ByteVector& bytes, size_t size_bytes);

}  // namespace tintype
