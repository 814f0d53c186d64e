// Host memory as a device: its copies are over when copy() returns, fused with the CRC.
#pragma once

#include "engine/device/device.h"

namespace tintype {

// One for the process; streams mean nothing to it, events are null.
Device& host_device();

}  // namespace tintype
