// Checkpoints in memory, as torch writes them, for tests of the reading side.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "io/archive/crc32.h"
#include "io/archive/pickle_writer.h"
#include "io/archive/zip_layout.h"

namespace tintype::testing_support {

struct NamedPayload {
  std::string name;
  std::string payload;
};

// Records in this order.
inline ByteVector archive_of(const std::vector<NamedPayload>& records) {
  std::vector<RecordSize> sizes;
  std::vector<uint32_t> crcs;
  for (const auto& [name, payload] : records) {
    sizes.push_back({name, payload.size()});
    crcs.push_back(crc32(0, as_bytes(payload)));
  }
  const ZipLayout layout = lay_out_zip(sizes, 64).value();
  ByteVector bytes;
  for (size_t i = 0; i < records.size(); ++i) {
    append_local_header(layout.records[i], bytes);
    append_text(bytes, records[i].payload);
    append_descriptor(layout.records[i], crcs[i], bytes);
  }
  append_directory(layout, crcs, bytes);
  return bytes;
}

struct SmallTensor {
  std::string key;  // in the dict
  std::string storage_key;
  int64_t storage_count = 0;  // elements
  int64_t offset = 0;
  std::vector<int64_t> shape;
  std::vector<int64_t> stride;
  std::string storage_class = "FloatStorage";
};

inline void write_numbers(PickleWriter& writer, const std::vector<int64_t>& numbers) {
  writer.mark();
  for (const int64_t number : numbers) writer.integer(number);
  writer.tuple();
}

// {"model": {key: tensor, ...}, "epoch": 3}
inline std::string pickle_of(const std::vector<SmallTensor>& tensors) {
  PickleWriter writer;
  writer.empty_dict();
  writer.text("model");
  writer.empty_dict();
  for (const SmallTensor& tensor : tensors) {
    writer.text(tensor.key);
    writer.global("torch._utils\n_rebuild_tensor_v2\n");
    writer.mark();
    writer.mark();
    writer.text("storage");
    writer.global("torch\n" + tensor.storage_class + "\n");
    writer.text(tensor.storage_key);
    writer.text("cpu");
    writer.integer(tensor.storage_count);
    writer.tuple();
    writer.persistent_id();
    writer.integer(tensor.offset);
    write_numbers(writer, tensor.shape);
    write_numbers(writer, tensor.stride);
    writer.boolean(false);
    writer.none();
    writer.tuple();
    writer.reduce();
    writer.set_item();
  }
  writer.set_item();
  writer.text("epoch");
  writer.integer(3);
  writer.set_item();
  const ByteVector pickle = writer.finish();
  return std::string(as_text(pickle));
}

// Elements 0, 1, 2, ... as float32.
inline std::string counting_floats(size_t count) {
  std::string bytes(count * sizeof(float), '\0');
  for (size_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(i);
    std::memcpy(bytes.data() + i * sizeof(float), &value, sizeof(float));
  }
  return bytes;
}

}  // namespace tintype::testing_support
