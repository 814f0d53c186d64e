#include "engine/engine.h"

#include <utility>

#include "base/log.h"
#include "engine/engine_impl.h"
#include "engine/engine_options.h"

namespace tintype {
namespace {

Status forked_status() {
  return Status::invalid_argument(
      "this engine belongs to the parent process: a forked child makes its own");
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(EngineOptions options) {
  TINTYPE_RETURN_IF_ERROR(check_options(options));
  TINTYPE_ASSIGN_OR_RETURN(ChosenBackend backend, make_backend(options));
  if (!backend.note.empty()) log_warning(backend.note);
  std::unique_ptr<Trace> trace;
  if (!options.trace_path.empty()) {
    TINTYPE_ASSIGN_OR_RETURN(trace, Trace::create(options.trace_path));
  }
  auto impl = std::make_unique<Impl>(std::move(options), std::move(backend), std::move(trace));
  TINTYPE_RETURN_IF_ERROR(impl->start().with_context("make an engine"));
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Engine::~Engine() {
  if (impl_ != nullptr && impl_->is_forked_child()) {
    static_cast<void>(impl_.release());  // its threads live in the parent: nothing to join
    return;
  }
  static_cast<void>(close());
  if (impl_ == nullptr || !impl_->is_stalled()) return;
  log_warning("an engine is left behind: the disk has not answered for a save that was given up");
  static_cast<void>(impl_.release());  // joining its threads would hang as well
}

Result<std::shared_ptr<Snapshot>> Engine::save_async(SaveRequest request,
                                                     const InterruptCheck& is_interrupted) {
  if (impl_ == nullptr) return closed_status();
  if (impl_->is_forked_child()) return forked_status();
  return impl_->save_async(std::move(request), is_interrupted);
}

Status Engine::before_mutation(const InterruptCheck& is_interrupted,
                               std::span<const DeviceStream> streams) {
  if (impl_ == nullptr || impl_->is_forked_child()) return Status::ok();
  return impl_->before_mutation(is_interrupted, streams);
}

Status Engine::prepare(uint64_t storage_bytes, Device* device, bool is_compressed,
                       const InterruptCheck& is_interrupted) {
  if (impl_ == nullptr) return closed_status();
  if (impl_->is_forked_child()) return forked_status();
  return impl_->prepare(storage_bytes, device, is_compressed, is_interrupted);
}

Status Engine::wait(const InterruptCheck& is_interrupted) {
  if (impl_ == nullptr) return Status::ok();
  if (impl_->is_forked_child()) return forked_status();
  return impl_->wait(is_interrupted);
}

Status Engine::close() {
  if (impl_ == nullptr) return Status::ok();
  if (impl_->is_forked_child()) return forked_status();
  impl_->refuse_new_saves();
  return impl_->wait({});
}

void Engine::refuse_new_saves() {
  if (impl_ != nullptr && !impl_->is_forked_child()) impl_->refuse_new_saves();
}

EngineStats Engine::stats() const { return impl_ == nullptr ? EngineStats{} : impl_->stats(); }

std::vector<std::shared_ptr<Snapshot>> Engine::take_unseen_failures(const Snapshot* except) {
  if (impl_ == nullptr || impl_->is_forked_child()) return {};
  return impl_->take_unseen_failures(except);
}

}  // namespace tintype
