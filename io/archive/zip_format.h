// Numbers of the zip format that its writer and its readers share. See APPNOTE.TXT, 4.3 to 4.5.
#pragma once

#include <cstdint>

namespace tintype::zip {

inline constexpr uint64_t kLocalHeaderBytes = 30;     // before name and extra field
inline constexpr uint64_t kDirectoryEntryBytes = 46;  // likewise
inline constexpr uint64_t kDescriptorBytes = 16;      // with its signature
inline constexpr uint64_t kWideDescriptorBytes = 24;  // of records with a zip64 extra field
inline constexpr uint32_t kSaturated32 = 0xFFFFFFFF;  // the value stands in the zip64 extra field
inline constexpr uint16_t kFlagDescriptor = 0x0008;   // sizes and CRC stand behind the payload
inline constexpr uint16_t kFlagUtf8 = 0x0800;

}  // namespace tintype::zip
