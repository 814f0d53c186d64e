// What to say of a save whose storages were changed too early.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "engine/save_request.h"

namespace tintype {

// StatusCode::torn, with the names of tensors over these storages, found by reading the request's
// own pickles. REQUIRES: `torn` (positions in the request's storages) is not empty.
Status torn_status(const SaveRequest& request, std::span<const uint32_t> torn);

}  // namespace tintype
