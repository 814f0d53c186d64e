#include "engine/diff/archive_diff.h"

#include <map>
#include <span>
#include <utility>

#include "engine/diff/tensor_comparison.h"

namespace tintype {
namespace {

using Kind = TensorDifference::Kind;

bool is_meta(const TensorEntry& tensor) { return tensor.form == TensorEntry::Form::meta; }

enum class Agreement { equal, tolerated, none };

Agreement agreement_of(const ValueEntry& first, const ValueEntry& second,
                       const Tolerance& tolerance) {
  if (first.fingerprint != second.fingerprint) return Agreement::none;
  if (first.numbers.size() != second.numbers.size()) return Agreement::none;
  const ElementDifference numbers = compare_elements(
      "complex128", sizeof(first.numbers[0]), std::as_bytes(std::span(first.numbers)), {},
      std::as_bytes(std::span(second.numbers)), {}, tolerance);
  if (numbers.differing_count != 0) return Agreement::none;
  return numbers.max_absolute == 0 ? Agreement::equal : Agreement::tolerated;
}

// Entries of two files that the same keys lead to. Should the same keys lead to several, as those
// of an object's items and attributes may, they meet in their order.
template <typename Entry>
struct Pairing {
  using Pair = std::pair<const Entry*, const Entry*>;
  std::vector<Pair> pairs;         // each of the first's, and the second's or null
  std::vector<const Entry*> left;  // of the second alone

  Pairing(const std::vector<Entry>& first, const std::vector<Entry>& second) {
    std::multimap<uint64_t, size_t> by_path;  // equal ones stay in their order
    for (size_t i = 0; i < second.size(); ++i) by_path.emplace(second[i].path, i);
    std::vector<bool> has_met(second.size());
    for (const Entry& entry : first) {
      const auto found = by_path.lower_bound(entry.path);  // the first of them
      if (found == by_path.end() || found->first != entry.path) {
        pairs.emplace_back(&entry, nullptr);
        continue;
      }
      pairs.emplace_back(&entry, &second[found->second]);
      has_met[found->second] = true;
      by_path.erase(found);
    }
    for (size_t i = 0; i < second.size(); ++i) {
      if (!has_met[i]) left.push_back(&second[i]);
    }
  }
};

class Differ {
 public:
  Differ(const Archive& first, const Archive& second, const DiffOptions& options)
      : first_(first), second_(second), options_(options) {}

  Result<ArchiveDiff> run() {
    TINTYPE_RETURN_IF_ERROR(compare_all_tensors());
    compare_all_containers();
    compare_all_values();
    return std::move(diff_);
  }

 private:
  Status compare_all_tensors() {
    const Pairing<TensorEntry> found(first_.archive().tensors(), second_.archive().tensors());
    for (size_t i = 0; i < found.pairs.size(); ++i) {
      const auto [first, second] = found.pairs[i];
      if (second == nullptr) {
        add(Kind::only_in_first, first, nullptr);
        continue;
      }
      if (options_.on_tensor) options_.on_tensor(i, found.pairs.size(), first->name);
      TINTYPE_RETURN_IF_ERROR(compare(*first, *second));
    }
    for (const TensorEntry* tensor : found.left) add(Kind::only_in_second, nullptr, tensor);
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

  // What lies in a container of another kind may be the same: a list's items in a tuple.
  void compare_all_containers() {
    const Pairing<ValueEntry> found(first_.archive().containers(), second_.archive().containers());
    for (const auto& [first, second] : found.pairs) {
      if (second == nullptr || first->fingerprint == second->fingerprint) continue;
      ++diff_.common_value_count;
      diff_.values.push_back({first->name, *first, *second});
    }
  }

  void compare_all_values() {
    const Pairing<ValueEntry> found(first_.archive().values(), second_.archive().values());
    for (const auto& [first, second] : found.pairs) {
      if (second == nullptr) {
        diff_.values.push_back({first->name, *first, std::nullopt});
        continue;
      }
      ++diff_.common_value_count;
      const Agreement agreement = agreement_of(*first, *second, options_.tolerance);
      if (agreement == Agreement::tolerated) ++diff_.tolerated_value_count;
      if (agreement == Agreement::none) diff_.values.push_back({first->name, *first, *second});
    }
    for (const ValueEntry* value : found.left) {
      diff_.values.push_back({value->name, std::nullopt, *value});
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
