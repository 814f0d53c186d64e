#include "io/disk/orphans.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "io/disk/temp_names.h"

namespace tintype {
namespace {

constexpr int64_t kForeignAgeNs = int64_t{24} * 3600 * 1'000'000'000;

int64_t now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

class OrphanSearch {
 public:
  OrphanSearch(Directory& directory, const SoundnessCheck& is_sound, bool is_removing)
      : directory_(directory), is_sound_(is_sound), is_removing_(is_removing), host_(temp_host()) {}

  Result<std::vector<Orphan>> run() {
    TINTYPE_ASSIGN_OR_RETURN(names_, directory_.list());
    std::vector<Orphan> orphans;
    for (const std::string& name : names_) {
      const auto parts = parse_temp_name(name);
      if (!parts.has_value()) continue;
      const auto info = directory_.info(name);
      if (!info.is_ok()) continue;
      if (auto removal = take(name, *parts, *info)) {
        orphans.push_back({name, info->size_bytes, std::move(*removal)});
      }
    }
    return orphans;
  }

 private:
  // How its removal went, where it is an orphan.
  std::optional<Status> take(const std::string& name, const TempName& parts, const FileInfo& info) {
    const int64_t touched_ns = std::max(info.modified_ns, info.changed_ns);
    if (parts.host != host_ && now_ns() - touched_ns < kForeignAgeNs) return std::nullopt;
    if (info.kind == FileInfo::Kind::symlink) return dispose_of(name, parts);  // it holds no lock
    if (info.kind != FileInfo::Kind::regular) return std::nullopt;
    auto file = open_for_lock(name);
    if (!file.is_ok() || !(*file)->try_lock().is_ok()) return std::nullopt;
    // A living writer exchanges names: what was locked must be what the name means now.
    const auto locked = (*file)->info();
    const auto named = directory_.info(name);
    const bool is_same = locked.is_ok() && named.is_ok() && locked->inode == named->inode;
    return is_same ? dispose_of(name, parts) : std::nullopt;
  }

  std::optional<Status> dispose_of(const std::string& name, const TempName& parts) {
    if (!may_be_spared(parts)) return std::nullopt;
    return is_removing_ ? directory_.remove(name) : Status::ok();
  }

  // Network file systems want a writable descriptor for an exclusive lock; a read-only file gets
  // none from others.
  Result<std::unique_ptr<File>> open_for_lock(const std::string& name) {
    auto file = directory_.open(name, true);
    return file.is_ok() ? std::move(file) : directory_.open(name, false);
  }

  bool may_be_spared(const TempName& parts) {
    for (const std::string& name : names_) {
      if (temp_stem_for(name) == parts.stem && !is_standing_file_sound(name)) return false;
    }
    return true;
  }

  // Nothing standing there is fine: an exchange never leaves a name empty, so the temp was never
  // anything but an unfinished save.
  bool is_standing_file_sound(const std::string& name) {
    const auto info = directory_.info(name);
    if (!info.is_ok()) return info.status().code() == StatusCode::not_found;
    if (info->kind == FileInfo::Kind::symlink) return true;
    if (info->kind != FileInfo::Kind::regular) return false;
    if (!is_sound_) return info->size_bytes > 0;
    auto file = directory_.open(name, false);
    return file.is_ok() && is_sound_(**file);
  }

  Directory& directory_;
  const SoundnessCheck& is_sound_;
  const bool is_removing_;
  const std::string host_;
  std::vector<std::string> names_;
};

}  // namespace

Result<std::vector<Orphan>> find_orphans(Directory& directory, const SoundnessCheck& is_sound) {
  return OrphanSearch(directory, is_sound, false).run();
}

Result<std::vector<Orphan>> remove_orphans(Directory& directory, const SoundnessCheck& is_sound) {
  return OrphanSearch(directory, is_sound, true).run();
}

Result<std::vector<Orphan>> remove_orphans(FileSystem& file_system,
                                           const std::string& directory_path,
                                           const SoundnessCheck& is_sound) {
  TINTYPE_ASSIGN_OR_RETURN(const auto directory, file_system.open_directory(directory_path));
  return remove_orphans(*directory, is_sound);
}

}  // namespace tintype
