// Makes new inputs out of known ones, for runs without libFuzzer: blind to what the target does,
// but the same on every machine for the same seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>

#include "base/bytes.h"

namespace tintype::fuzzing {

class Mutator {
 public:
  // `corpus` outlives this. REQUIRES: it is not empty.
  Mutator(std::span<const ByteVector> corpus, uint64_t seed) : corpus_(corpus), random_(seed) {}

  // One of the corpus with one to four changes.
  ByteVector next();

 private:
  size_t below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }
  const ByteVector& any() { return corpus_[below(corpus_.size())]; }
  void change(ByteVector& bytes);
  void flip_bit(ByteVector& bytes);
  void set_byte(ByteVector& bytes);
  void set_integer(ByteVector& bytes);
  void add_to_integer(ByteVector& bytes);
  void erase(ByteVector& bytes);
  void repeat(ByteVector& bytes);
  void copy_within(ByteVector& bytes);
  void splice(ByteVector& bytes);

  std::span<const ByteVector> corpus_;
  std::mt19937_64 random_;
};

}  // namespace tintype::fuzzing
