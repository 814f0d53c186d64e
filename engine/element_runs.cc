#include "engine/element_runs.h"

#include <string>
#include <unordered_map>

#include "io/archive/record_names.h"

namespace tintype {
namespace {

struct NumberType {
  uint32_t size_bytes = 1;
  bool is_floating = false;
};

// A complex number is two.
NumberType number_type(const TensorEntry& tensor) {
  if (tensor.dtype.starts_with("complex")) return {tensor.element_bytes / 2, true};
  const bool is_floating = tensor.dtype.starts_with("float") || tensor.dtype.starts_with("bfloat");
  return {tensor.element_bytes, is_floating};
}

}  // namespace

ElementMap element_map(const FileImage& image, std::span<const SourceStorage> storages) {
  ElementMap map;
  for (size_t i = 0; i < image.layout.records.size(); ++i) {
    const ZipRecord& record = image.layout.records[i];
    const uint32_t storage = image.record_storages[i];
    if (storage == kNoStorage) continue;
    map.add(record.data_offset, record.size_bytes, storages[storage].element_bytes,
            storages[storage].is_floating);
  }
  return map;
}

ElementMap element_map(const Archive& archive) {
  std::unordered_map<std::string, NumberType> types;
  for (const TensorEntry& tensor : archive.tensors()) {
    if (tensor.form == TensorEntry::Form::meta) continue;
    NumberType& widest = types[storage_record(tensor.storage_key)];
    const NumberType type = number_type(tensor);
    if (type.size_bytes > widest.size_bytes) widest = type;
  }
  ElementMap map;
  for (const ArchiveRecord& record : archive.records()) {
    const auto type = types.find(record.name);
    if (type == types.end() || record.method != ZipMethod::stored) continue;
    const auto payload = archive.payload_offset(record);
    if (!payload.is_ok()) continue;
    map.add(*payload, record.size_bytes, type->second.size_bytes, type->second.is_floating);
  }
  return map;
}

}  // namespace tintype
