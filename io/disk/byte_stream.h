// Pipes, terminals and standard streams: bytes that come and go in order.
//
// A call that waits for the other end gives up when `is_stopped` says so, looked at ten times a
// second, with `interrupted`. Thread rule: one thread at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "base/bytes.h"
#include "base/status.h"

namespace tintype {

using StopQuestion = std::function<bool()>;

class InputStream {
 public:
  virtual ~InputStream() = default;
  // Fills `target` unless the stream ends before; what it got is returned.
  virtual Result<size_t> read(MutableBytes target) = 0;
};

class OutputStream {
 public:
  virtual ~OutputStream() = default;
  // All of it. io_error with EPIPE where the reader has gone away.
  virtual Status write(ByteView data) = 0;
};

// Over a descriptor that stays its owner's. `name` is for error texts.
class DescriptorInput final : public InputStream {
 public:
  DescriptorInput(int descriptor, std::string name, StopQuestion is_stopped = {});
  Result<size_t> read(MutableBytes target) override;

 private:
  const int descriptor_;
  const std::string name_;
  const StopQuestion is_stopped_;
};

class DescriptorOutput final : public OutputStream {
 public:
  DescriptorOutput(int descriptor, std::string name, StopQuestion is_stopped = {});
  Status write(ByteView data) override;

 private:
  const int descriptor_;
  const std::string name_;
  const StopQuestion is_stopped_;
  const size_t write_bytes_max_;  // of one call
};

}  // namespace tintype
