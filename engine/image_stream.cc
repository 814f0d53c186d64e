#include "engine/image_stream.h"

#include <utility>

#include "engine/image_filler.h"
#include "engine/plan.h"

namespace tintype {
namespace {

constexpr uint64_t kPieceBytes = 1u << 20;

}  // namespace

struct ImageStream::State {
  State(SaveRequest request_in, SavePlan plan_in)
      : request(std::move(request_in)),
        plan(std::move(plan_in)),
        filler(plan, request.storages),
        copies(request.devices) {}

  // Sleeps while devices copy.
  Status fill() {
    SourcePieces pieces;
    CopiesInFlight in_flight;
    filler.fill(position, buffer, pieces);
    const Status started = copies.copy(pieces, in_flight);
    const Status ended = in_flight.wait();
    return started.is_ok() ? ended : started;
  }

  SaveRequest request;
  SavePlan plan;
  ImageFiller filler;
  SourceCopies copies;
  ByteVector buffer = ByteVector(kPieceBytes);
  size_t position = 0;
  Status status;
};

Result<std::unique_ptr<ImageStream>> ImageStream::open(SaveRequest request) {
  request.files.resize(1);
  TINTYPE_ASSIGN_OR_RETURN(SavePlan plan, plan_save(request, kPieceBytes));
  auto state = std::make_unique<State>(std::move(request), std::move(plan));
  TINTYPE_RETURN_IF_ERROR(state->copies.record_start());
  return std::unique_ptr<ImageStream>(new ImageStream(std::move(state)));
}

ImageStream::ImageStream(std::unique_ptr<State> state) : state_(std::move(state)) {}
ImageStream::~ImageStream() = default;

const Status& ImageStream::status() const { return state_->status; }

uint64_t ImageStream::total_bytes() const { return state_->plan.total_bytes; }

ByteView ImageStream::next() {
  State& state = *state_;
  if (!state.status.is_ok() || state.position == state.filler.extent_count()) return {};
  state.status = state.fill();
  if (!state.status.is_ok()) return {};
  state.filler.seal(state.position, state.buffer);
  return ByteView(state.buffer).first(state.filler.extent(state.position++).size_bytes);
}

}  // namespace tintype
