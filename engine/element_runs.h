// The elements of a checkpoint's plain image, for its compressed forms.
#pragma once

#include <span>

#include "engine/plan.h"
#include "engine/restore/archive.h"
#include "engine/save_request.h"
#include "io/archive/element_map.h"

namespace tintype {

// Of an image that is about to be written: its storages, by what SourceStorage says of its numbers.
ElementMap element_map(const FileImage& image, std::span<const SourceStorage> storages);

// Of a plain file: its stored records, by the tensors that lie in them (the widest, where they
// differ). Payloads that cannot be found hold none.
ElementMap element_map(const Archive& archive);

}  // namespace tintype
