// A front end's view of the storages that a guarded save copies in the background: whether the job
// changed them, or gave them other memory, since the call.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tintype {

// Made by the front end at the instant of the snapshot (version counters, pointers and sizes of the
// lazy storages); owned by the save, and destroyed by any thread once the save's staging is over
// (the destructor must not need the GIL either).
class MutationWitness {
 public:
  virtual ~MutationWitness() = default;

  // The lazy storages, as positions in SaveRequest::storages, that changed since the capture by all
  // that the front end can see. Called once per save, when the copies were made, or started where
  // devices make them: before Engine::before_mutation() returns, and at the end of copying at the
  // latest; on the thread that comes first (a caller's, or one of the engine's), with no lock and
  // no slot held. A Python front end takes the GIL in it, and waits for an operation of the saving
  // thread that runs meanwhile; so no thread may call into the engine while it holds the GIL, and
  // where the interpreter is ending it answers without the GIL that nothing changed: probes still
  // compare bytes.
  virtual std::vector<uint32_t> changed() = 0;

  // Told of every storage that was found torn, by changed() or by the probes, just before its save
  // fails with StatusCode::torn; not called otherwise. This is all of on_torn="eager_next": the
  // front end captures these storages as eager ones from then on. On an engine thread; must not
  // need the GIL.
  virtual void see_torn(std::span<const uint32_t> storages) { static_cast<void>(storages); }
};

}  // namespace tintype
