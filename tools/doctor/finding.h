// What an examination of this machine says: one finding per thing that the engine can make use of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace tintype::doctor {

enum class Verdict {
  found,
  missing,   // saves work without it, at the cost that is told
  unusable,  // saves fail here until it is fixed
};

struct Finding {
  std::string topic;  // stable: scripts look for it
  Verdict verdict = Verdict::found;
  std::string detail;
  std::string cost;    // of what is missing; empty for what was found
  std::string remedy;  // empty where nothing need or can be done
  int error_number = 0;
  std::optional<uint64_t> size_bytes;  // where the finding is an amount
};

struct Section {
  std::string title;
  std::vector<Finding> findings;
};

struct Consequence {
  std::string_view cost;
  std::string_view remedy;
};

inline Finding found(std::string topic, std::string detail) {
  return {.topic = std::move(topic), .detail = std::move(detail)};
}

inline Finding found_amount(std::string topic, uint64_t size_bytes, std::string detail) {
  return {.topic = std::move(topic), .detail = std::move(detail), .size_bytes = size_bytes};
}

inline Finding missing(std::string topic, std::string detail, Consequence consequence) {
  return {.topic = std::move(topic),
          .verdict = Verdict::missing,
          .detail = std::move(detail),
          .cost = std::string(consequence.cost),
          .remedy = std::string(consequence.remedy)};
}

inline Finding unusable(std::string topic, const Status& status) {
  return {.topic = std::move(topic),
          .verdict = Verdict::unusable,
          .detail = std::string(status.message()),
          .cost = "saves to this directory fail",
          .remedy = std::string(status.remedy()),
          .error_number = status.error_number()};
}

}  // namespace tintype::doctor
