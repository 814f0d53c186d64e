#include "engine/job_targets.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "engine/element_runs.h"
#include "engine/file_closer.h"

namespace tintype {
namespace {

// For files that earlier saves have replaced to be gone: seconds on a slow disk.
constexpr std::chrono::seconds kRoomPatience{30};

Result<JobFile> open_target(FileSystem& file_system, const TargetFile& file, const FileImage& image,
                            const std::vector<SourceStorage>& storages) {
  JobFile opened{.planned_bytes = image.layout.total_bytes};
  TINTYPE_ASSIGN_OR_RETURN(
      opened.target,
      AtomicFile::open(file_system, file.path,
                       {.is_symlink_followed = file.is_symlink_followed,
                        .wait_for_room = [] { FileCloser::wait_for_all(kRoomPatience); }}));
  TINTYPE_RETURN_IF_ERROR(
      check_form_of_link(file.path, opened.target->path())
          .with_remedy("save to that name, or let the link lead to one that ends as its own does"));
  if (file.form.form != FileForm::plain) {
    opened.encoding = std::make_unique<FileEncoding>(file.form, element_map(image, storages));
  }
  return opened;
}

}  // namespace

Status open_targets(FileSystem& file_system, SaveJob& job) {
  for (const TargetFile& file : job.request.files) {
    const FileImage& image = job.plan->images[job.files.size()];
    auto opened = open_target(file_system, file, image, job.request.storages);
    if (!opened.is_ok()) return opened.status().of_file(file.path, "save");
    job.files.push_back(std::move(opened).value());
  }
  return Status::ok();
}

}  // namespace tintype
