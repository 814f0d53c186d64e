// A pickle as data: the stack machine, and what is found in its tree, tensors by name.
#include <unordered_set>

#include "engine/restore/checkpoint_contents.h"
#include "io/archive/pickle_reader.h"
#include "tests/fuzz/target.h"

namespace tintype::fuzzing {
namespace {

// Every link of the tree leads to a value of it, and every text into the pickle or the tree.
void check_tree(const PickleTree& tree) {
  const auto check_link = [&](ValueId value) { TINTYPE_CHECK(value < tree.value_count()); };
  check_link(tree.root());
  for (ValueId value = 0; value < tree.value_count(); ++value) {
    const PickleKind kind = tree.kind(value);
    for (const ValueId item : tree.items(value)) check_link(item);
    for (const ValueId state : tree.states(value)) check_link(state);
    if (tree.has_pairs(value)) TINTYPE_CHECK(tree.items(value).size() % 2 == 0);
    if (kind == PickleKind::call) check_link(tree.callee(value));
    if (kind == PickleKind::call || kind == PickleKind::persistent) {
      check_link(tree.argument(value));
    }
    if (kind == PickleKind::text || kind == PickleKind::global) {
      TINTYPE_CHECK(std::hash<std::string_view>()(tree.text(value)) != 1);  // reads all of it
    }
  }
}

// As read_tensor relies on it when it gathers elements out of a storage.
void check_tensor(const TensorEntry& tensor) {
  TINTYPE_CHECK(tensor.shape.size() == tensor.stride.size());
  TINTYPE_CHECK(tensor.element_bytes >= 1 && tensor.element_bytes <= 16);
  TINTYPE_CHECK(tensor.size_bytes == divide_up(tensor.element_count() * tensor.element_bytes,
                                               tensor.elements_per_byte()) ||
                tensor.form == TensorEntry::Form::storage);
  if (tensor.form == TensorEntry::Form::meta || tensor.size_bytes == 0) return;
  uint64_t last = tensor.storage_offset;
  for (size_t i = 0; i < tensor.shape.size(); ++i) last += (tensor.shape[i] - 1) * tensor.stride[i];
  last /= tensor.elements_per_byte();
  TINTYPE_CHECK(last < tensor.storage_bytes / tensor.element_bytes);
}

void check_contents(const CheckpointContents& contents, const CheckpointContents& again) {
  std::unordered_set<std::string_view> names;
  for (const TensorEntry& tensor : contents.tensors) {
    check_tensor(tensor);
    TINTYPE_CHECK(names.insert(tensor.name).second);
  }
  TINTYPE_CHECK(contents.tensors.size() == again.tensors.size());
  TINTYPE_CHECK(contents.values.size() == again.values.size());
  for (size_t i = 0; i < contents.values.size(); ++i) {
    TINTYPE_CHECK(contents.values[i].fingerprint == again.values[i].fingerprint);
    TINTYPE_CHECK(contents.values[i].text == again.values[i].text);
  }
}

}  // namespace
}  // namespace tintype::fuzzing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  using namespace tintype::fuzzing;
  const ByteView input = input_of(data, size);
  const auto tree = read_pickle(copy_of(input));
  if (!tree.is_ok()) {
    check_refusal(tree.status());
    return 0;
  }
  check_tree(*tree);
  const auto contents = find_contents(*tree, {});
  const auto again = find_contents(*tree, {});
  check_same(contents.status(), again.status());
  if (contents.is_ok()) {
    check_contents(*contents, *again);
  } else {
    check_refusal(contents.status());
  }
  return 0;
}
