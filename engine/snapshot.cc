#include "engine/snapshot.h"

#include <utility>

#include "engine/snapshot_core.h"

namespace tintype {

std::string_view to_string(SnapshotState state) {
  switch (state) {
    case SnapshotState::staging: return "staging";
    case SnapshotState::writing: return "writing";
    case SnapshotState::durable: return "durable";
    case SnapshotState::published: return "published";
    case SnapshotState::failed: return "failed";
    case SnapshotState::cancelled: return "cancelled";
    case SnapshotState::skipped: return "skipped";
  }
  return "unknown";
}

using Timeout = std::optional<std::chrono::nanoseconds>;

std::optional<Status> Snapshot::wait_staged(Timeout timeout) {
  return core_->wait(SnapshotCore::Milestone::staged, timeout);
}
std::optional<Status> Snapshot::wait_durable(Timeout timeout) {
  return core_->wait(SnapshotCore::Milestone::durable, timeout);
}
std::optional<Status> Snapshot::wait_published(Timeout timeout) {
  return core_->wait(SnapshotCore::Milestone::published, timeout);
}
bool Snapshot::is_done() const { return core_->is_done(); }
bool Snapshot::wait_done(std::chrono::nanoseconds timeout) const {
  return core_->wait_done(timeout);
}
bool Snapshot::cancel() { return core_->request_cancel(); }
double Snapshot::progress() const { return core_->progress(); }
SnapshotReport Snapshot::report() const { return core_->report(); }
bool Snapshot::is_skipped() const { return core_->is_skipped(); }
const std::string& Snapshot::path() const { return core_->path(); }
Status Snapshot::error() const { return core_->error(); }
void Snapshot::mark_seen() { core_->mark_seen(); }
void Snapshot::when_done(std::function<void()> fn) { core_->when_done(std::move(fn)); }

}  // namespace tintype
