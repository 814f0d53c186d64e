#include "tests/support/checkpoint_run.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <sstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/directory/checkpoint_layout.h"
#include "engine/image_stream.h"
#include "io/disk/atomic_file.h"
#include "io/disk/temp_names.h"

namespace tintype {
namespace {

// Everything that the two files of one save are made of.
struct Payload {
  std::string run_id;
  Version version;

  std::string full_text() const {
    std::ostringstream text;
    text.precision(17);
    text << "FACTS " << run_id << ' ' << version.epoch << ' ' << version.loss << ' '
         << version.number << " END";
    return text.str();
  }
  std::string light_text() const { return "light of " + full_text(); }
};

Result<Payload> payload_in(const std::string& content) {
  const size_t begin = content.find("FACTS ");
  std::istringstream text(begin == std::string::npos ? "" : content.substr(begin, 256));
  Payload payload;
  std::string mark;
  std::string end;
  text >> mark >> payload.run_id >> payload.version.epoch >> payload.version.loss >>
      payload.version.number >> end;
  if (!end.starts_with("END")) return Status::corruption("this file holds no facts");
  return payload;
}

void fill_memory(ByteVector& memory, uint64_t number, size_t storage_bytes) {
  std::mt19937_64 random(number);
  memory.resize(storage_bytes);
  for (size_t start = 0; start < memory.size(); start += sizeof(uint64_t)) {
    const uint64_t word = random();
    std::memcpy(&memory[start], &word, std::min(sizeof word, memory.size() - start));
  }
}

TargetFile target_of(std::string path, std::string_view pickle) {
  TargetFile file;
  file.path = std::move(path);
  append_text(file.object.pickle, pickle);
  file.object.storages = {0};
  file.is_symlink_followed = false;
  return file;
}

std::string make_image(std::string_view pickle, const ByteVector& memory) {
  SaveRequest request;
  request.storages.push_back({memory.data(), memory.size()});
  request.files.push_back(target_of("image", pickle));
  const auto stream = ImageStream::open(std::move(request)).value();
  std::string image;
  for (auto piece = stream->next(); !piece.empty(); piece = stream->next()) {
    image += as_text(piece);
  }
  return image;
}

// Tests look at the same few files again and again.
class ImageCache {
 public:
  std::shared_ptr<const std::string> image_of(const std::string& pickle, uint64_t number,
                                              size_t storage_bytes) {
    std::lock_guard lock(mutex_);
    if (images_.size() > kImagesMax) images_.clear();
    auto& image = images_[{pickle, storage_bytes}];
    if (image == nullptr) {
      ByteVector memory;
      fill_memory(memory, number, storage_bytes);
      image = std::make_shared<const std::string>(make_image(pickle, memory));
    }
    return image;
  }

 private:
  static constexpr size_t kImagesMax = 64;
  std::mutex mutex_;
  std::map<std::pair<std::string, size_t>, std::shared_ptr<const std::string>> images_;
};

std::shared_ptr<const std::string> image_of(const std::string& pickle, const Payload& payload,
                                            size_t storage_bytes) {
  static ImageCache cache;
  return cache.image_of(pickle, payload.version.number, storage_bytes);
}

Result<std::string> content_of(FileSystem& file_system, const std::string& path) {
  const size_t slash = path.rfind('/');
  TINTYPE_ASSIGN_OR_RETURN(const auto directory, file_system.open_directory(path.substr(0, slash)));
  TINTYPE_ASSIGN_OR_RETURN(const auto file, directory->open(path.substr(slash + 1), false));
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector content, read_whole(*file, uint64_t{1} << 30));
  return std::string(as_text(content));
}

Status check_file(FileSystem& file_system, const std::string& path, size_t storage_bytes) {
  TINTYPE_ASSIGN_OR_RETURN(const std::string content, content_of(file_system, path));
  if (label_of(content, storage_bytes).starts_with("full ")) return Status::ok();
  return Status::corruption("'" + path + "' is no whole full file");
}

Result<FullFileFacts> facts_in(FileSystem& file_system, const std::string& path) {
  TINTYPE_ASSIGN_OR_RETURN(const std::string content, content_of(file_system, path));
  TINTYPE_ASSIGN_OR_RETURN(const Payload payload, payload_in(content));
  return FullFileFacts{.run_id = payload.run_id,
                       .stage = "train",
                       .epoch = payload.version.epoch,
                       .metrics = {{"loss", payload.version.loss}}};
}

Status make_light(FileSystem& file_system, const std::string& full, const std::string& light,
                  size_t storage_bytes) {
  TINTYPE_ASSIGN_OR_RETURN(const std::string content, content_of(file_system, full));
  TINTYPE_ASSIGN_OR_RETURN(const Payload payload, payload_in(content));
  const auto image = image_of(payload.light_text(), payload, storage_bytes);
  return replace_file(file_system, light, as_bytes(*image));
}

std::string label_of_name(const std::string& name, const std::string& content,
                          size_t storage_bytes) {
  if (name.ends_with(".json")) return nlohmann::json::accept(content) ? "document" : "torn";
  if (!name.ends_with(".pth")) return "other";
  const std::string label = label_of(content, storage_bytes);
  return label.empty() ? "torn" : label;
}

}  // namespace

Result<std::unique_ptr<CheckpointRun>> CheckpointRun::open(CheckpointRunOptions options) {
  FileSystem& disk = *options.file_system;
  const size_t storage_bytes = options.storage_bytes;
  CheckpointDirectoryOptions wanted;
  wanted.logdir = options.logdir;
  wanted.save_n_best = options.save_n_best;
  wanted.is_resumed = options.is_resumed;
  wanted.file_system = &disk;
  wanted.read_facts = [&disk](const std::string& path) { return facts_in(disk, path); };
  wanted.check_file = [&disk, storage_bytes](const std::string& path) {
    return check_file(disk, path, storage_bytes);
  };
  wanted.make_light = [&disk, storage_bytes](const std::string& full, const std::string& light) {
    return make_light(disk, full, light, storage_bytes);
  };
  TINTYPE_ASSIGN_OR_RETURN(auto directory, CheckpointDirectory::open(std::move(wanted)));
  return std::unique_ptr<CheckpointRun>(
      new CheckpointRun(std::move(options), std::move(directory)));
}

Result<std::shared_ptr<Snapshot>> CheckpointRun::save_async(Engine& engine,
                                                            const Version& version) {
  TINTYPE_ASSIGN_OR_RETURN(
      EpochPlan plan, directory_->plan_epoch("train", version.epoch, {{"loss", version.loss}}));
  const Payload payload{directory_->run_id(), version};
  fill_memory(memory_, version.number, options_.storage_bytes);
  SaveRequest request;
  request.storages.push_back({memory_.data(), memory_.size()});
  request.files.push_back(target_of(plan.full_path, payload.full_text()));
  request.files.push_back(target_of(plan.light_path, payload.light_text()));
  request.publisher = std::move(plan.publisher);
  return engine.save_async(std::move(request));
}

Status CheckpointRun::save(Engine& engine, const Version& version) {
  TINTYPE_ASSIGN_OR_RETURN(const auto snapshot, save_async(engine, version));
  return *snapshot->wait_published(std::nullopt);
}

std::string label_of(const std::string& content, size_t storage_bytes) {
  const auto payload = payload_in(content);
  if (!payload.is_ok()) return "";
  const std::string number = std::to_string(payload->version.number);
  const auto is_image_of = [&](const std::string& text) {
    return content == *image_of(text, *payload, storage_bytes);
  };
  if (is_image_of(payload->full_text())) return "full " + number;
  return is_image_of(payload->light_text()) ? "light " + number : "";
}

uint64_t version_of_label(const std::string& label) {
  const size_t space = label.find(' ');
  return space == std::string::npos ? 0 : std::strtoull(label.c_str() + space, nullptr, 10);
}

std::map<std::string, std::string> labels_in(FileSystem& file_system, const std::string& folder,
                                             size_t storage_bytes) {
  std::map<std::string, std::string> labels;
  const auto directory = file_system.open_directory(folder).value();
  const auto names = directory->list().value();
  for (const std::string& name : names) {
    if (name == kLockName) continue;
    if (is_temp_name(name)) {
      labels[name] = "temp";
    } else {
      const auto content = content_of(file_system, folder + "/" + name).value();
      labels[name] = label_of_name(name, content, storage_bytes);
    }
  }
  return labels;
}

}  // namespace tintype
