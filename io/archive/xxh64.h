// XXH64, the checksum of zstd's frames and seek tables (RFC 8878, 3.1.1; the algorithm is specified
// at github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md).
#pragma once

#include <cstdint>
#include <memory>

#include "base/bytes.h"

namespace tintype {

// Of all of `bytes`, with seed 0.
uint64_t xxh64(ByteView bytes);

// The same of bytes that come piece by piece.
class Xxh64 {
 public:
  Xxh64();

  void restart();
  void add(ByteView piece);
  uint64_t value() const;  // of the pieces since the start

 private:
  struct State;
  struct Free {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Free> state_;
};

}  // namespace tintype
