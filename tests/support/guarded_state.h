// A training state for guarded saves: some storages lazy, some eager, in host memory; a front end's
// witness whose answer the test decides.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/image_stream.h"
#include "tests/support/small_archive.h"
#include "tests/support/temp_dir.h"

namespace tintype {

// What a witness answers and was told. Shared by the witnesses of a test's saves.
struct WitnessRecord {
  std::function<std::vector<uint32_t>()> changed = [] { return std::vector<uint32_t>{}; };
  std::atomic<int> asked{0};
  std::vector<uint32_t> torn;
};

class RecordingWitness final : public MutationWitness {
 public:
  explicit RecordingWitness(WitnessRecord& record) : record_(record) {}
  std::vector<uint32_t> changed() override {
    ++record_.asked;
    return record_.changed();
  }
  void see_torn(std::span<const uint32_t> storages) override {
    record_.torn.assign(storages.begin(), storages.end());
  }

 private:
  WitnessRecord& record_;
};

// Tensor i is "model/t<i>" over storage i; the even ones are lazy. Sizes are multiples of 4 bytes.
class GuardedState {
 public:
  GuardedState(uint64_t seed, const std::vector<size_t>& sizes) : random_(seed) {
    for (const size_t size : sizes) memory_.emplace_back(size);
    for (size_t i = 0; i < memory_.size(); ++i) mutate(i);
  }

  size_t size() const { return memory_.size(); }
  ByteVector& memory(size_t i) { return memory_[i]; }
  static bool is_lazy(size_t i) { return i % 2 == 0; }

  void mutate(size_t i) {
    for (std::byte& byte : memory_[i]) byte = static_cast<std::byte>(random_());
  }
  void mutate_eager() {
    mutate_if([](size_t i) { return !is_lazy(i); });
  }
  void mutate_lazy() { mutate_if(is_lazy); }

  SaveRequest request(const std::string& path, WitnessRecord* record) const {
    SaveRequest made;
    TargetFile file;
    std::vector<testing_support::SmallTensor> tensors;
    for (uint32_t i = 0; i < memory_.size(); ++i) {
      made.storages.push_back({.address = memory_[i].data(),
                               .size_bytes = memory_[i].size(),
                               .is_lazy = record != nullptr && is_lazy(i)});
      file.object.storages.push_back(i);
      const auto count = static_cast<int64_t>(memory_[i].size() / 4);
      tensors.push_back({"t" + std::to_string(i), std::to_string(i), count, 0, {count}, {1}});
    }
    file.path = path;
    append_text(file.object.pickle, testing_support::pickle_of(tensors));
    made.files.push_back(std::move(file));
    if (record != nullptr) made.witness = std::make_unique<RecordingWitness>(*record);
    return made;
  }

  // The file of the state as it is now.
  std::string image() const {
    const auto stream = ImageStream::open(request("image", nullptr)).value();
    std::string whole;
    for (auto piece = stream->next(); !piece.empty(); piece = stream->next()) {
      whole += as_text(piece);
    }
    return whole;
  }

 private:
  template <typename Choice>
  void mutate_if(const Choice& choice) {
    for (size_t i = 0; i < memory_.size(); ++i) {
      if (choice(i)) mutate(i);
    }
  }

  std::mt19937_64 random_;
  std::vector<ByteVector> memory_;
};

}  // namespace tintype
