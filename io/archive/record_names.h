// What torch calls the records of a checkpoint, without the archive's root (FORMAT.md).
#pragma once

#include <string>
#include <string_view>

namespace tintype {

inline constexpr std::string_view kPickleRecord = "data.pkl";
inline constexpr std::string_view kFormatVersionRecord = ".format_version";
inline constexpr std::string_view kStorageAlignmentRecord = ".storage_alignment";
inline constexpr std::string_view kByteOrderRecord = "byteorder";
inline constexpr std::string_view kStoragePrefix = "data/";  // before a storage's key
inline constexpr std::string_view kVersionRecord = "version";
inline constexpr std::string_view kSerializationIdRecord = ".data/serialization_id";

inline std::string storage_record(std::string_view key) {
  return std::string(kStoragePrefix).append(key);
}

}  // namespace tintype
