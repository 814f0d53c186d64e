// Saves of one file over one storage whose bytes depend on a seed, for tests of the surroundings.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "engine/engine.h"
#include "engine/image_stream.h"
#include "tests/support/temp_dir.h"

namespace tintype {

class SeededSave {
 public:
  explicit SeededSave(uint64_t seed, size_t storage_bytes = 300'000, TargetForm form = {})
      : seed_(seed), form_(form), memory_(storage_bytes) {
    std::mt19937_64 random(seed);
    for (std::byte& byte : memory_) byte = static_cast<std::byte>(random());
  }

  Result<std::shared_ptr<Snapshot>> start(Engine& engine, const std::string& path) const {
    return engine.save_async(request(path));
  }

  Status run(Engine& engine, const std::string& path) const {
    TINTYPE_ASSIGN_OR_RETURN(const auto snapshot, start(engine, path));
    return *snapshot->wait_durable(std::nullopt);
  }

  bool is_held_by(const std::string& path) const { return read_text(path) == image(); }

  // The plain file.
  std::string image() const {
    const auto stream = ImageStream::open(request("image")).value();
    std::string whole;
    for (auto piece = stream->next(); !piece.empty(); piece = stream->next()) {
      whole += as_text(piece);
    }
    return whole;
  }

 private:
  SaveRequest request(const std::string& path) const {
    SaveRequest made;
    made.storages.push_back({memory_.data(), memory_.size()});
    TargetFile file;
    file.path = path;
    append_text(file.object.pickle, "pickle " + std::to_string(seed_));
    file.object.storages = {0};
    file.form = form_;
    made.files.push_back(std::move(file));
    return made;
  }

  uint64_t seed_;
  TargetForm form_;
  ByteVector memory_;
};

inline std::unique_ptr<Engine> make_small_engine(EngineOptions options = {}) {
  options.staging_bytes = 2 << 20;
  options.extent_bytes = 64 << 10;
  return std::move(Engine::create(std::move(options)).value());
}

}  // namespace tintype
