// The bytes of one file image in order, for targets that are not files (a Python file object).
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/save_request.h"

namespace tintype {

// The caller's storages must not change until the stream has ended. One thread.
class ImageStream {
 public:
  // Uses request.files[0]; its path is ignored.
  static Result<std::unique_ptr<ImageStream>> open(SaveRequest request);
  ~ImageStream();

  uint64_t total_bytes() const;
  // The next piece, valid until the next call; empty at the end, which comes too early where a
  // device fails: ask status() then.
  ByteView next();
  const Status& status() const;

  ImageStream(const ImageStream&) = delete;
  ImageStream& operator=(const ImageStream&) = delete;

 private:
  struct State;
  explicit ImageStream(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tintype
