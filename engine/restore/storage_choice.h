// Which storages a partial load needs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "io/archive/record_names.h"

namespace tintype {

class StorageChoice {
 public:
  StorageChoice() = default;  // all
  explicit StorageChoice(std::optional<std::unordered_set<std::string>> keys)
      : keys_(std::move(keys)) {}

  bool is_all() const { return !keys_.has_value(); }
  // True for every record that is no storage.
  bool wants(std::string_view record_name) const {
    if (is_all() || !record_name.starts_with(kStoragePrefix)) return true;
    return keys_->contains(std::string(record_name.substr(kStoragePrefix.size())));
  }

 private:
  std::optional<std::unordered_set<std::string>> keys_;
};

}  // namespace tintype
