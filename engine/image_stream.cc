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
      : request(std::move(request_in)), plan(std::move(plan_in)), filler(plan, request.storages) {}

  SaveRequest request;
  SavePlan plan;
  ImageFiller filler;
  ByteVector buffer = ByteVector(kPieceBytes);
  size_t position = 0;
};

Result<std::unique_ptr<ImageStream>> ImageStream::open(SaveRequest request) {
  request.files.resize(1);
  TINTYPE_ASSIGN_OR_RETURN(SavePlan plan, plan_save(request, kPieceBytes));
  return std::unique_ptr<ImageStream>(
      new ImageStream(std::make_unique<State>(std::move(request), std::move(plan))));
}

ImageStream::ImageStream(std::unique_ptr<State> state) : state_(std::move(state)) {}
ImageStream::~ImageStream() = default;

uint64_t ImageStream::total_bytes() const { return state_->plan.total_bytes; }

ByteView ImageStream::next() {
  if (state_->position == state_->filler.extent_count()) return {};
  const size_t position = state_->position++;
  state_->filler.fill(position, state_->buffer);
  state_->filler.seal(position, state_->buffer);
  return ByteView(state_->buffer).first(state_->filler.extent(position).size_bytes);
}

}  // namespace tintype
