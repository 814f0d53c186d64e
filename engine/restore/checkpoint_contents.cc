#include "engine/restore/checkpoint_contents.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "engine/restore/container.h"
#include "engine/restore/tensor_reader.h"
#include "engine/restore/value_fingerprint.h"
#include "engine/restore/value_text.h"

namespace tintype {
namespace {

// A graph may reach one value by many paths (two names of one state dict), but a hostile one by
// exponentially many. A step looks at one value, or at one item of a container.
constexpr uint64_t kStepsPerValue = 16;
constexpr uint64_t kFreeSteps = 10'000;
constexpr size_t kMaxNameBytes = 16u << 10;
// What is found has names of its own, made of keys that the pickle holds once.
constexpr uint64_t kFoundBytesPerByte = 64;
constexpr uint64_t kFreeFoundBytes = 16u << 20;

// Further entries of a name ("a/b" of two dicts) become "a/b~2", "a/b~3" and so on, without what is
// itself a name in the pickle.
template <typename Entry>
void name_apart(std::vector<Entry>& entries) {
  std::unordered_map<std::string_view, uint64_t> counts;  // views of the first entries' names
  std::vector<Entry*> repeated;
  for (Entry& entry : entries) {
    if (!counts.try_emplace(entry.name, 1).second) repeated.push_back(&entry);
  }
  for (Entry* entry : repeated) {
    uint64_t& count = counts.find(entry->name)->second;
    std::string name;
    do {
      name = fmt::format("{}~{}", entry->name, ++count);
    } while (counts.contains(name));
    entry->name = std::move(name);
  }
}

class ContentsFinder {
 public:
  ContentsFinder(const PickleTree& tree, const ReadLimits& limits)
      : tree_(tree),
        limits_(limits),
        is_on_path_(tree.value_count()),
        step_budget_((tree.value_count() + tree.item_count()) * kStepsPerValue + kFreeSteps),
        found_budget_bytes_(std::min(limits.contents_bytes,
                                     tree.pickle_bytes() * kFoundBytesPerByte + kFreeFoundBytes)),
        fingerprints_(tree) {}

  Result<CheckpointContents> run() {
    TINTYPE_RETURN_IF_ERROR(visit(tree_.root()));
    name_apart(contents_.tensors);
    name_apart(contents_.values);
    return std::move(contents_);
  }

 private:
  Status over_limit(std::string_view what) const {
    return Status::unsupported(fmt::format("the pickle {} at '{}'", what, name_.substr(0, 200)));
  }

  Status take_steps(uint64_t count) {
    if (count > step_budget_) return over_limit("has far more paths than values; stopped");
    step_budget_ -= count;
    return Status::ok();
  }

  // What may be looked at to understand this value: its items; of a call the arguments and theirs.
  Status take_steps_for(ValueId value) {
    TINTYPE_RETURN_IF_ERROR(take_steps(1 + tree_.items(value).size()));
    if (tree_.kind(value) != PickleKind::call) return Status::ok();
    const auto arguments = tree_.items(tree_.argument(value));
    TINTYPE_RETURN_IF_ERROR(take_steps(arguments.size()));
    for (const ValueId argument : arguments) {
      TINTYPE_RETURN_IF_ERROR(take_steps(tree_.items(argument).size()));
    }
    return Status::ok();
  }

  Status visit(ValueId value) {
    TINTYPE_RETURN_IF_ERROR(take_steps_for(value));
    if (depth_ > limits_.nesting_depth) return over_limit("is nested too deeply");
    if (is_on_path_[value]) return Status::ok();  // it holds itself
    is_on_path_[value] = true;
    ++depth_;
    Status visited = visit_new(value);
    --depth_;
    is_on_path_[value] = false;
    return visited;
  }

  Status visit_new(ValueId value) {
    auto found = read_tensor(tree_, value);
    if (!found.is_ok()) return found.status().with_context(fmt::format("'{}'", name_));
    if (found->has_value()) {
      TINTYPE_RETURN_IF_ERROR(take_bytes(sizeof(TensorEntry)));
      (*found)->tensor.name = name_;
      (*found)->tensor.path = path_;
      contents_.tensors.push_back(std::move((*found)->tensor));
      return (*found)->attributes.has_value() ? visit(*(*found)->attributes) : Status::ok();
    }
    const auto container = container_of(tree_, value);
    if (auto entry = value_entry(tree_, value); entry.has_value()) {
      if (!is_inside_opaque_) TINTYPE_RETURN_IF_ERROR(add_value(value, std::move(*entry)));
      return container.has_value() && container->is_set() ? visit_set(*container) : Status::ok();
    }
    if (!container.has_value()) return visit_object(value);
    if (!is_inside_opaque_) TINTYPE_RETURN_IF_ERROR(add_container(*container));
    return visit_items(container->holder);  // an OrderedDict's state is its _metadata: no values
  }

  // `key`: its fingerprint.
  Status visit_part(std::string_view part, uint64_t key, ValueId value) {
    if (name_.size() + part.size() > kMaxNameBytes) return over_limit("has too long names");
    const size_t before = name_.size();
    if (depth_ > 1) name_ += '/';
    name_ += part;
    const uint64_t path = std::exchange(path_, ValueFingerprints::of_path(path_, key));
    Status visited = visit(value);
    path_ = path;
    name_.resize(before);
    return visited;
  }

  Status visit_items(ValueId value) {
    const auto items = tree_.items(value);
    if (!tree_.has_pairs(value)) {
      for (size_t i = 0; i < items.size(); ++i) {
        const uint64_t key = ValueFingerprints::of_integer(static_cast<int64_t>(i));
        TINTYPE_RETURN_IF_ERROR(visit_part(std::to_string(i), key, items[i]));
      }
      return Status::ok();
    }
    for (size_t i = 0; i + 2 <= items.size(); i += 2) {
      TINTYPE_RETURN_IF_ERROR(take_steps_for(items[i]));
      const uint64_t key = fingerprints_.of(items[i]);
      TINTYPE_RETURN_IF_ERROR(visit_part(key_text(tree_, items[i]), key, items[i + 1]));
    }
    return Status::ok();
  }

  // A set is one value, as its members have no order to be named by; tensors among them are named.
  Status visit_set(const Container& set) {
    if (are_scalars(tree_, set.members(tree_))) return Status::ok();
    const bool was_inside = std::exchange(is_inside_opaque_, true);
    Status visited = visit_items(set.holder);
    is_inside_opaque_ = was_inside;
    return visited;
  }

  Status visit_object(ValueId call) {
    const auto arguments = tree_.items(tree_.argument(call));
    if (!is_inside_opaque_) {
      ValueEntry entry;
      entry.type = type_name(tree_, call);
      entry.text = "[…]";
      entry.is_opaque = true;
      TINTYPE_RETURN_IF_ERROR(add_value(call, std::move(entry)));
    }
    TINTYPE_RETURN_IF_ERROR(visit_arguments(arguments));
    TINTYPE_RETURN_IF_ERROR(visit_items(call));
    for (const ValueId state : tree_.states(call)) TINTYPE_RETURN_IF_ERROR(visit_state(state));
    return Status::ok();
  }

  // Only tensors are of interest in them, under "(0)", "(1)".
  Status visit_arguments(std::span<const ValueId> arguments) {
    const bool was_inside = std::exchange(is_inside_opaque_, true);
    Status visited;
    for (size_t i = 0; i < arguments.size() && visited.is_ok(); ++i) {
      const std::string part = fmt::format("({})", i);
      visited = visit_part(part, ValueFingerprints::of_text(part), arguments[i]);
    }
    is_inside_opaque_ = was_inside;
    return visited;
  }

  // An object's attributes are named like a dict's keys.
  Status visit_state(ValueId state) {
    if (tree_.kind(state) == PickleKind::dict) return visit_items(state);
    return visit_arguments(std::span(&state, 1));
  }

  // For an entry of this size with the name that leads to it.
  Status take_bytes(uint64_t entry_bytes) {
    const uint64_t size_bytes = entry_bytes + name_.size();
    if (size_bytes > found_budget_bytes_) return over_limit("names far more than it holds");
    found_budget_bytes_ -= size_bytes;
    return Status::ok();
  }

  Status add_value(ValueId value, ValueEntry entry) {
    entry.fingerprint = fingerprints_.of_all_but_numbers(value, entry.numbers);
    return add(contents_.values, std::move(entry));
  }

  Status add_container(const Container& container) {
    ValueEntry entry = container_entry(tree_, container);
    entry.fingerprint = fingerprints_.of_kind(container);
    return add(contents_.containers, std::move(entry));
  }

  Status add(std::vector<ValueEntry>& entries, ValueEntry entry) {
    const uint64_t numbers_bytes = entry.numbers.size() * sizeof(entry.numbers[0]);
    TINTYPE_RETURN_IF_ERROR(take_bytes(sizeof(ValueEntry) + numbers_bytes));
    entry.name = name_;
    entry.path = path_;
    entries.push_back(std::move(entry));
    return Status::ok();
  }

  const PickleTree& tree_;
  const ReadLimits& limits_;
  CheckpointContents contents_;
  std::vector<bool> is_on_path_;
  uint64_t step_budget_;
  uint64_t found_budget_bytes_;
  ValueFingerprints fingerprints_;
  uint64_t depth_ = 0;
  bool is_inside_opaque_ = false;
  std::string name_;
  uint64_t path_ = 0;
};

}  // namespace

Result<CheckpointContents> find_contents(const PickleTree& tree, const ReadLimits& limits) {
  return ContentsFinder(tree, limits).run();
}

}  // namespace tintype
