#include "engine/element_runs.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "io/archive/record_names.h"

namespace tintype {
namespace {

// A complex number is two.
uint32_t number_bytes(const TensorEntry& tensor) {
  return tensor.dtype.starts_with("complex") ? tensor.element_bytes / 2 : tensor.element_bytes;
}

}  // namespace

ElementMap element_map(const FileImage& image, std::span<const SourceStorage> storages) {
  ElementMap map;
  for (size_t i = 0; i < image.layout.records.size(); ++i) {
    const ZipRecord& record = image.layout.records[i];
    const uint32_t storage = image.record_storages[i];
    if (storage == kNoStorage) continue;
    map.add(record.data_offset, record.size_bytes, storages[storage].element_bytes);
  }
  return map;
}

ElementMap element_map(const Archive& archive) {
  std::unordered_map<std::string, uint32_t> widths;
  for (const TensorEntry& tensor : archive.tensors()) {
    if (tensor.form == TensorEntry::Form::meta) continue;
    uint32_t& width = widths[storage_record(tensor.storage_key)];
    width = std::max(width, number_bytes(tensor));
  }
  ElementMap map;
  for (const ArchiveRecord& record : archive.records()) {
    const auto width = widths.find(record.name);
    if (width == widths.end() || record.method != ZipMethod::stored) continue;
    const auto payload = archive.payload_offset(record);
    if (payload.is_ok()) map.add(*payload, record.size_bytes, width->second);
  }
  return map;
}

}  // namespace tintype
