#include "tools/doctor/mount.h"

#include <fcntl.h>

#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "io/disk/process_registry.h"

namespace tintype::doctor {
namespace {

// The line "mnt_id:\tNUMBER" of /proc/self/fdinfo/N, see proc(5).
std::string mount_id_of(const std::string& directory_path) {
  const Descriptor directory(
      [&] { return ::open(directory_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC); });
  if (!directory.is_open()) return "";
  std::ifstream facts(fmt::format("/proc/self/fdinfo/{}", directory.number()));
  std::string key;
  std::string value;
  while (facts >> key >> value) {
    if (key == "mnt_id:") return value;
  }
  return "";
}

}  // namespace

// A line of /proc/self/mountinfo: the id first; the type is the first field after a lone "-".
std::string file_system_type_of(const std::string& directory_path) {
  const std::string mount_id = mount_id_of(directory_path);
  std::ifstream mounts("/proc/self/mountinfo");
  std::string line;
  while (!mount_id.empty() && std::getline(mounts, line)) {
    std::istringstream fields(line);
    std::string field;
    fields >> field;
    if (field != mount_id) continue;
    while (fields >> field && field != "-") {
    }
    fields >> field;
    return field;
  }
  return "";
}

Finding judge_file_system(std::string_view type) {
  const std::string name = type.empty() ? "of an unknown type" : std::string(type);
  if (type == "tmpfs" || type == "ramfs") {
    return missing("file_system", name + ": it lives in memory",
                   {"whatever is saved here is lost at the next reboot, and takes memory",
                    "save to a directory on a disk"});
  }
  if (type == "overlay") {
    return missing("file_system", name + ": the writable layer of a container",
                   {"whatever is saved here goes with the container, and writes are slower",
                    "mount a volume and save there"});
  }
  if (type.starts_with("nfs") || type == "cifs" || type == "smb3") {
    return missing("file_system", name + ": a network file system",
                   {"durable means what the server makes of it; locks hold if it keeps them",
                    "export it with `sync`, and mount it with locks"});
  }
  return found("file_system", name);
}

}  // namespace tintype::doctor
