// Decides which operation fails, and keeps a record of all. One may serve several wrappers.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tintype {

// Thread-safe.
class FaultInjector {
 public:
  // In the place of an errno: a write takes half of what it was given.
  static constexpr int kShortWrite = -1;

  struct Operation {
    std::string name;  // as the method of File, Directory or FileSystem is called
    std::string path;
  };

  // Every operation from now on counts from 0; forgets faults and record.
  void reset();
  // The operation with this index fails once.
  void fail_at(size_t index, int error_number);
  // Operations of this name fail, from the `first`-th (0-based) on, `count` times.
  void fail_named(std::string name, int error_number, size_t first = 0, size_t count = 1);
  // What files say of the page cache, instead of the truth.
  void pretend_cached_share(double share);
  std::optional<double> cached_share() const;
  // Called before each operation, with the injector unlocked.
  void set_observer(std::function<void(const Operation&)> observer);

  std::vector<Operation> trace() const;
  size_t fired() const { return failed().size(); }
  std::vector<Operation> failed() const;  // the operations that were made to fail

  // Called by the wrappers: what this operation is to answer.
  Status check(std::string_view name, std::string_view path);
  // The same as an errno, kShortWrite, or 0.
  int fire(std::string_view name, std::string_view path);

 private:
  struct Fault {
    std::string name;  // empty: by index
    int error_number = 0;
    size_t first = 0;
    size_t count = 1;
    size_t seen = 0;
  };

  mutable std::mutex mutex_;
  std::vector<Operation> trace_;
  std::vector<Fault> faults_;
  std::function<void(const Operation&)> observer_;
  std::optional<double> cached_share_;
  std::vector<Operation> failed_;
};

}  // namespace tintype
