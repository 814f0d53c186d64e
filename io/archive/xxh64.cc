#include "io/archive/xxh64.h"

#include <xxhash.h>

namespace tintype {

uint64_t xxh64(ByteView bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

struct Xxh64::State {
  XXH64_state_t state;
};

void Xxh64::Free::operator()(State* state) const {
  delete state;  // NOLINT(cppcoreguidelines-owning-memory): the deleter of its owner
}

Xxh64::Xxh64() : state_(new State) { restart(); }

void Xxh64::restart() { XXH64_reset(&state_->state, 0); }

void Xxh64::add(ByteView piece) { XXH64_update(&state_->state, piece.data(), piece.size()); }

uint64_t Xxh64::value() const { return XXH64_digest(&state_->state); }

}  // namespace tintype
