#include "engine/torn_status.h"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "engine/restore/checkpoint_contents.h"
#include "io/archive/pickle_reader.h"

namespace tintype {
namespace {

constexpr size_t kNamesMax = 3;

// The tensors of one file that lie over the storage.
std::vector<std::string> names_in(const CapturedObject& object, const CheckpointContents& contents,
                                  uint32_t storage) {
  std::vector<std::string> names;
  for (const TensorEntry& tensor : contents.tensors) {
    for (size_t key = 0; key < object.storages.size(); ++key) {
      if (object.storages[key] == storage && tensor.storage_key == std::to_string(key)) {
        names.push_back(tensor.name);
      }
    }
  }
  return names;
}

Result<CheckpointContents> contents_of(const CapturedObject& object) {
  TINTYPE_ASSIGN_OR_RETURN(const PickleTree tree, read_pickle(object.pickle));
  return find_contents(tree);
}

// As the first file that has it calls it; by its place where the pickle cannot be read as data.
std::string name_of(const SaveRequest& request, uint32_t storage) {
  for (const TargetFile& file : request.files) {
    const auto contents = contents_of(file.object);
    if (!contents.is_ok()) continue;
    const auto names = names_in(file.object, *contents, storage);
    if (!names.empty()) return fmt::format("'{}'", names.front());
  }
  return fmt::format("storage {}", storage);
}

}  // namespace

Status torn_status(const SaveRequest& request, std::span<const uint32_t> torn) {
  std::string names;
  for (const uint32_t storage : torn.first(std::min(torn.size(), kNamesMax))) {
    names += (names.empty() ? "" : ", ") + name_of(request, storage);
  }
  if (torn.size() > kNamesMax) names += fmt::format(" and {} more", torn.size() - kNamesMax);
  return Status(StatusCode::torn,
                fmt::format("the snapshot is torn, the old file stands: {} changed before it was "
                            "copied",
                            names))
      .with_remedy(
          "call before_mutation() before anything but the guarded optimizer's step changes it, or "
          "save it unguarded");
}

}  // namespace tintype
