#include "engine/diff/archive_diff.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <utility>

#include "engine/diff/tensor_comparison.h"

namespace tintype {
namespace {

using Kind = TensorDifference::Kind;

bool is_meta(const TensorEntry& tensor) { return tensor.form == TensorEntry::Form::meta; }

// As Archive shows floats; nothing for what is none.
std::optional<double> real_of(const ValueEntry& value) {
  if (value.type != "float") return std::nullopt;
  double number = 0;
  const char* end = value.text.data() + value.text.size();
  const auto [stopped, error] = std::from_chars(value.text.data(), end, number);
  return error == std::errc() && stopped == end ? std::optional(number) : std::nullopt;
}

enum class Agreement { equal, tolerated, none };

Agreement agreement_of(const ValueEntry& first, const ValueEntry& second,
                       const Tolerance& tolerance) {
  if (first.fingerprint == second.fingerprint) return Agreement::equal;
  const auto a = real_of(first);
  const auto b = real_of(second);
  if (!a.has_value() || !b.has_value()) return Agreement::none;
  if (*a == *b || (std::isnan(*a) && std::isnan(*b))) return Agreement::equal;
  if (!std::isfinite(*a) || !std::isfinite(*b)) return Agreement::none;
  const double limit =
      std::max(tolerance.absolute, tolerance.relative * std::max(std::abs(*a), std::abs(*b)));
  return std::abs(*a - *b) <= limit ? Agreement::tolerated : Agreement::none;
}

class Differ {
 public:
  Differ(const Archive& first, const Archive& second, const DiffOptions& options)
      : first_(first), second_(second), options_(options) {}

  Result<ArchiveDiff> run() {
    TINTYPE_RETURN_IF_ERROR(compare_all_tensors());
    compare_all_values();
    return std::move(diff_);
  }

 private:
  Status compare_all_tensors() {
    const auto& tensors = first_.archive().tensors();
    for (size_t i = 0; i < tensors.size(); ++i) {
      const TensorEntry* other = second_.archive().find_tensor(tensors[i].name);
      if (other == nullptr) {
        add(Kind::only_in_first, &tensors[i], nullptr);
        continue;
      }
      if (options_.on_tensor) options_.on_tensor(i, tensors.size(), tensors[i].name);
      TINTYPE_RETURN_IF_ERROR(compare(tensors[i], *other));
    }
    for (const TensorEntry& tensor : second_.archive().tensors()) {
      const bool is_common = first_.archive().find_tensor(tensor.name) != nullptr;
      if (!is_common) add(Kind::only_in_second, nullptr, &tensor);
    }
    return Status::ok();
  }

  Status compare(const TensorEntry& first, const TensorEntry& second) {
    ++diff_.common_tensor_count;
    if (first.dtype != second.dtype || is_meta(first) != is_meta(second)) {
      add(Kind::type, &first, &second);
      return Status::ok();
    }
    if (first.shape != second.shape) {
      add(Kind::shape, &first, &second);
      return Status::ok();
    }
    if (is_meta(first)) return Status::ok();
    if (first.form == TensorEntry::Form::quantized) ++diff_.quantized_count;
    TINTYPE_ASSIGN_OR_RETURN(
        const ElementDifference elements,
        compare_tensors(first_, first, second_, second, options_.tolerance, options_.reading));
    diff_.elements.add(elements);
    if (elements.differing_count != 0) add(Kind::values, &first, &second).elements = elements;
    return Status::ok();
  }

  TensorDifference& add(Kind kind, const TensorEntry* first, const TensorEntry* second) {
    TensorDifference& difference = diff_.tensors.emplace_back();
    difference.kind = kind;
    difference.name = first != nullptr ? first->name : second->name;
    if (first != nullptr) difference.first = *first;
    if (second != nullptr) difference.second = *second;
    return difference;
  }

  // Names of values may occur twice (keys 0 and "0"): equals meet in their order.
  void compare_all_values() {
    std::multimap<std::string_view, const ValueEntry*> others;
    for (const ValueEntry& value : second_.archive().values()) others.emplace(value.name, &value);
    for (const ValueEntry& value : first_.archive().values()) {
      const auto found = others.lower_bound(value.name);  // the first of them
      if (found == others.end() || found->first != value.name) {
        diff_.values.push_back({value.name, value, std::nullopt});
        continue;
      }
      ++diff_.common_value_count;
      const ValueEntry& other = *found->second;
      const Agreement agreement = agreement_of(value, other, options_.tolerance);
      if (agreement == Agreement::tolerated) ++diff_.tolerated_value_count;
      if (agreement == Agreement::none) diff_.values.push_back({value.name, value, other});
      others.erase(found);
    }
    for (const ValueEntry& value : second_.archive().values()) {
      const auto [begin, end] = others.equal_range(value.name);
      const bool is_left =
          std::any_of(begin, end, [&](const auto& one) { return one.second == &value; });
      if (is_left) diff_.values.push_back({value.name, std::nullopt, value});
    }
  }

  ComparedArchive first_;
  ComparedArchive second_;
  const DiffOptions& options_;
  ArchiveDiff diff_;
};

}  // namespace

Result<ArchiveDiff> diff_archives(const Archive& first, const Archive& second,
                                  const DiffOptions& options) {
  return Differ(first, second, options).run();
}

}  // namespace tintype
