// Planning and filling: for any cut into extents the image is the same bytes.
#include <algorithm>
#include <random>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/device/host_device.h"
#include "engine/image_filler.h"
#include "engine/image_stream.h"
#include "engine/plan.h"
#include "io/archive/crc32.h"
#include "io/archive/serialization_id.h"

namespace tintype {
namespace {

ByteVector random_bytes(std::mt19937_64& random, size_t size_bytes) {
  ByteVector bytes(size_bytes);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// The image as a plain loop would write it: no extents, no segments, no deferred parts.
ByteVector reference_image(const SaveRequest& request, size_t file_index) {
  const TargetFile& file = request.files[file_index];
  std::vector<std::pair<std::string, ByteView>> records;
  const std::string alignment = std::to_string(file.alignment);
  records.emplace_back("data.pkl", file.object.pickle);
  records.emplace_back(".format_version", as_bytes("1"));
  records.emplace_back(".storage_alignment", as_bytes(alignment));
  records.emplace_back("byteorder", as_bytes("little"));
  for (size_t i = 0; i < file.object.storages.size(); ++i) {
    const SourceStorage& storage = request.storages[file.object.storages[i]];
    records.emplace_back("data/" + std::to_string(i),
                         ByteView(storage.address, storage.size_bytes));
  }
  records.emplace_back("version", as_bytes("3\n"));
  std::vector<RecordSize> sizes;
  std::vector<std::string> names;
  std::vector<uint32_t> crcs;
  uint64_t content_hash = 0;
  for (const auto& [name, payload] : records) {
    sizes.push_back({name, payload.size()});
    names.push_back(name);
    crcs.push_back(crc32(0, payload));
    if (!payload.empty()) content_hash = hash_record_crc(content_hash, crcs.back());
  }
  const std::string id = serialization_id(hash_record_names(names), content_hash);
  records.emplace_back(".data/serialization_id", as_bytes(id));
  sizes.push_back({".data/serialization_id", id.size()});
  crcs.push_back(crc32(0, as_bytes(id)));
  const ZipLayout layout = lay_out_zip(sizes, file.alignment).value();
  ByteVector image;
  for (size_t i = 0; i < records.size(); ++i) {
    append_local_header(layout.records[i], image);
    append_bytes(image, records[i].second);
    append_descriptor(layout.records[i], crcs[i], image);
  }
  append_directory(layout, crcs, image);
  return image;
}

std::vector<ByteVector> filled_images(const SaveRequest& request, uint64_t extent_bytes,
                                      std::mt19937_64& random) {
  const SavePlan plan = plan_save(request, extent_bytes).value();
  ImageFiller filler(plan, request.storages);
  std::vector<ByteVector> slots(filler.extent_count(), ByteVector(extent_bytes, std::byte{0xEE}));
  std::vector<size_t> order(slots.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  for (size_t position : order) {  // any order
    SourcePieces pieces;
    filler.fill(position, slots[position], pieces);
    EXPECT_TRUE(host_device().copy(pieces.host, nullptr).is_ok());
  }
  for (size_t i = 0; i < slots.size(); ++i) filler.seal(i, slots[i]);  // file order
  std::vector<ByteVector> images(plan.images.size());
  for (size_t i = 0; i < slots.size(); ++i) {
    const Extent& extent = filler.extent(i);
    ByteVector& image = images[plan.order[i].image];
    EXPECT_EQ(image.size(), extent.offset);
    append_bytes(image, ByteView(slots[i]).first(extent.size_bytes));
    const auto padding =
        ByteView(slots[i]).subspan(extent.size_bytes, padded_bytes(extent) - extent.size_bytes);
    EXPECT_TRUE(std::all_of(padding.begin(), padding.end(),
                            [](std::byte byte) { return byte == std::byte{0}; }));
  }
  return images;
}

struct RandomRequest {
  std::vector<ByteVector> memory;
  SaveRequest request;
};

RandomRequest random_request(std::mt19937_64& random) {
  RandomRequest made;
  const size_t storage_count = random() % 20;
  for (size_t i = 0; i < storage_count; ++i) {
    const size_t scale = 1u << (random() % 15);
    made.memory.push_back(random_bytes(random, random() % 4 == 0 ? 0 : random() % scale));
  }
  for (const auto& memory : made.memory) {
    made.request.storages.push_back({memory.data(), memory.size()});
  }
  const size_t file_count = 1 + random() % 2;
  for (size_t f = 0; f < file_count; ++f) {
    TargetFile file;
    file.path = "unused";
    file.alignment = std::array<uint64_t, 4>{64, 4096, 1, 512}[random() % 4];
    file.object.pickle = random_bytes(random, 1 + random() % 5000);
    for (uint32_t s = 0; s < storage_count; ++s) {
      if (f == 0 || random() % 3 != 0) file.object.storages.push_back(s);
    }
    made.request.files.push_back(std::move(file));
  }
  return made;
}

TEST(Plan, image_is_the_same_bytes_for_every_extent_size_and_copy_order) {
  std::mt19937_64 random(20261124);
  size_t extents = 0;
  for (int round = 0; round < 200; ++round) {
    const RandomRequest made = random_request(random);
    for (uint64_t extent_bytes : {4096u, 8192u, 65536u}) {
      const auto images = filled_images(made.request, extent_bytes, random);
      ASSERT_EQ(images.size(), made.request.files.size());
      for (size_t f = 0; f < images.size(); ++f) {
        ASSERT_EQ(images[f], reference_image(made.request, f)) << "round " << round;
        extents += images[f].size() / extent_bytes + 1;
      }
    }
  }
  fmt::print("extents filled: {}\n", extents);
}

TEST(Plan, image_stream_yields_the_image_in_order) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20; ++round) {
    RandomRequest made = random_request(random);
    const ByteVector expected = reference_image(made.request, 0);
    auto stream = ImageStream::open(std::move(made.request)).value();
    ByteVector image;
    for (ByteView piece = stream->next(); !piece.empty(); piece = stream->next()) {
      append_bytes(image, piece);
    }
    ASSERT_EQ(image, expected);
    EXPECT_EQ(stream->total_bytes(), expected.size());
  }
}

TEST(Plan, storages_of_a_second_image_follow_the_first_closely) {
  std::mt19937_64 random(3);
  RandomRequest made;
  made.memory.push_back(random_bytes(random, 1u << 20));
  made.request.storages.push_back({made.memory[0].data(), made.memory[0].size()});
  for (int f = 0; f < 2; ++f) {
    TargetFile file;
    file.object.pickle = ByteVector(100);
    file.object.storages = {0};
    made.request.files.push_back(file);
  }
  const SavePlan plan = plan_save(made.request, 4096).value();
  EXPECT_EQ(plan.storage_bytes, 1u << 20);
  uint32_t first_seen = 0;
  for (const ExtentRef& ref : plan.order) {
    if (ref.image == 0) first_seen = ref.extent;
    if (ref.image == 1) {
      EXPECT_LE(ref.extent, first_seen);
    }
  }
}

// Nothing of a state of this size is touched, nor is memory taken for so many extents.
TEST(Plan, a_compressed_file_of_more_extents_than_readers_take_is_refused) {
  SaveRequest request;
  request.storages.push_back({nullptr, uint64_t{1} << 40});
  request.files.resize(1);
  request.files[0].object.storages = {0};
  request.files[0].form = {.form = FileForm::zstd};
  const Status status = plan_save(request, 4096).status();
  EXPECT_EQ(status.code(), StatusCode::unsupported);
  EXPECT_THAT(status.to_string(), testing::HasSubstr("raise extent_bytes"));
  EXPECT_TRUE(plan_save(request, uint64_t{8} << 20).is_ok());
}

TEST(Plan, alignment_out_of_range_is_refused_with_the_setting_to_change) {
  SaveRequest request;
  request.files.push_back({.path = "x.pth", .object = {}, .alignment = 131072});
  const auto plan = plan_save(request, 4096);
  ASSERT_FALSE(plan.is_ok());
  EXPECT_EQ(plan.status().code(), StatusCode::invalid_argument);
  EXPECT_THAT(plan.status().to_string(), testing::HasSubstr("storage_alignment"));
}

}  // namespace
}  // namespace tintype
