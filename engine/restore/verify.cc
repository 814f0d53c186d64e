#include "engine/restore/verify.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/restore/checkpoint_contents.h"
#include "engine/restore/checkpoint_marks.h"
#include "engine/restore/crc_pass.h"
#include "engine/restore/image.h"
#include "engine/restore/record_reader.h"
#include "io/archive/compressed_form.h"
#include "io/archive/pickle_reader.h"
#include "io/archive/record_names.h"

namespace tintype {
namespace {

constexpr size_t kShownProblems = 3;
constexpr size_t kShownTensors = 5;

class Verification {
 public:
  Verification(const Image& image, const VerifyOptions& options)
      : image_(image),
        source_(*image.source),
        options_(options),
        limits_(options.limits.in_proportion_to(image.file_bytes)) {
    report_.path = source_.name();
    report_.file_bytes = image.file_bytes;
    report_.size_bytes = source_.size_bytes();
  }

  Result<VerifyReport> run() {
    auto index = read_zip_index(source_, limits_);
    if (!index.is_ok()) return structural_damage(index.status());
    index_ = std::move(*index);
    report_.notes = index_.notes;
    for (uint32_t i = 0; i < index_.records.size(); ++i) {
      if (options_.storages.wants(index_.records[i].name)) wanted_.push_back(i);
    }
    auto checks = check_records(source_, index_, wanted_, options_.reading, options_.limits);
    if (!checks.is_ok()) return checks.status();
    TINTYPE_RETURN_IF_ERROR(refuse_unreadable(*checks));
    TINTYPE_RETURN_IF_ERROR(judge_kind(*checks));
    TINTYPE_RETURN_IF_ERROR(read_contents());
    TINTYPE_RETURN_IF_ERROR(judge_extents());
    judge_records(*checks);
    judge_storages();
    note_oddities(*checks);
    return std::move(report_);
  }

 private:
  // Damage is reported; anything else is not for a report to say.
  Result<VerifyReport> structural_damage(const Status& status) {
    if (status.code() != StatusCode::corruption) return status;
    TINTYPE_RETURN_IF_ERROR(judge_extents());
    if (damaged_.empty()) add_problem("", 0, status);
    return std::move(report_);
  }

  // All of a compressed file's extents, unless parts of it are of no interest. What lies in a
  // damaged one is told with it.
  Status judge_extents() {
    if (image_.compressed == nullptr || !options_.storages.is_all()) return Status::ok();
    TINTYPE_ASSIGN_OR_RETURN(damaged_, image_.compressed->find_damaged_extents(options_.reading));
    report_.extent_count = image_.compressed->frames().extents.size() - damaged_.size();
    for (const DamagedExtent& damaged : damaged_) {
      VerifyProblem problem{.extent = damaged.index,
                            .offset = damaged.extent.file_offset,
                            .text = std::string(damaged.status.message()),
                            .remedy = std::string(damaged.status.remedy())};
      for (const ArchiveRecord& record : index_.records) {
        if (!overlaps(record, damaged)) continue;
        const auto found = tensors_by_record_.find(record.name);
        if (found == tensors_by_record_.end()) continue;
        problem.tensors.insert(problem.tensors.end(), found->second.begin(), found->second.end());
      }
      report_.problems.push_back(std::move(problem));
    }
    return Status::ok();
  }

  static bool overlaps(const ArchiveRecord& record, const DamagedExtent& damaged) {
    const uint64_t begin = damaged.extent.plain_offset;
    return record.header_offset < begin + damaged.extent.plain_bytes && begin < record.limit_offset;
  }

  bool is_in_damaged_extent(const ArchiveRecord& record) const {
    return std::any_of(damaged_.begin(), damaged_.end(),
                       [&](const DamagedExtent& damaged) { return overlaps(record, damaged); });
  }

  void add_problem(std::string record, uint64_t offset, const Status& status) {
    VerifyProblem problem{.record = std::move(record),
                          .offset = offset,
                          .text = std::string(status.message()),
                          .remedy = std::string(status.remedy())};
    const auto found = tensors_by_record_.find(problem.record);
    if (found != tensors_by_record_.end()) problem.tensors = found->second;
    report_.problems.push_back(std::move(problem));
  }

  // A record over a limit, in a form that is not read here, or for which there is no memory, is no
  // damage.
  static bool leaves_unjudged(const Status& status) {
    return status.code() == StatusCode::unsupported ||
           status.code() == StatusCode::resource_exhausted;
  }

  // Damage of another record is told all the same.
  static Status refuse_unreadable(const std::vector<RecordCheck>& checks) {
    Status first;
    for (const RecordCheck& check : checks) {
      if (check.status.code() == StatusCode::corruption) return Status::ok();
      if (first.is_ok() && leaves_unjudged(check.status)) first = check.status;
    }
    return first;
  }

  // A pickle that cannot be understood leaves records without tensors. Damage of it is told by its
  // CRC where it has one; what is sound but unknown to us is a note, since torch may know it.
  Status read_contents() {
    const ArchiveRecord* record = index_.find(kPickleRecord);
    if (record == nullptr) return Status::ok();
    auto pickle = read_small_payload(source_, index_, *record, limits_.pickle_bytes);
    if (!pickle.is_ok()) {
      if (pickle.status().code() == StatusCode::unsupported) return note_unknown(pickle.status());
      return leaves_unjudged(pickle.status()) ? pickle.status() : Status::ok();
    }
    const auto tree = read_pickle(std::move(*pickle), limits_);
    auto contents =
        tree.is_ok() ? find_contents(*tree, limits_) : Result<CheckpointContents>(tree.status());
    if (!contents.is_ok()) {
      if (contents.status().code() != StatusCode::corruption)
        return note_unknown(contents.status());
      add_problem(record->name, record->header_offset, contents.status());
      return Status::ok();
    }
    contents_ = std::move(*contents);
    for (const TensorEntry& tensor : contents_.tensors) {
      if (tensor.form == TensorEntry::Form::meta) continue;
      tensors_by_record_[storage_record(tensor.storage_key)].push_back(tensor.name);
    }
    return Status::ok();
  }

  Status note_unknown(const Status& reason) {
    report_.notes.push_back("which tensors the records hold is unknown: " +
                            std::string(reason.message()));
    return Status::ok();
  }

  void judge_records(const std::vector<RecordCheck>& checks) {
    for (size_t i = 0; i < checks.size(); ++i) {
      const ArchiveRecord& record = index_.records[wanted_[i]];
      if (!checks[i].status.is_ok()) {
        if (is_in_damaged_extent(record)) continue;
        add_problem(record.name, record.header_offset, checks[i].status);
        if (record.name == kPickleRecord)
          report_.problems.back().text += "; no tensor can be named";
      } else {
        ++report_.record_count;
        if (record.is_crc_known()) report_.checked_bytes += record.size_bytes;
      }
    }
  }

  // A file of another kind is no damaged checkpoint, unless damage made it look like one.
  Status judge_kind(const std::vector<RecordCheck>& checks) {
    const auto order = check_kind(source_, index_);
    if (order.is_ok()) {
      if (*order == ByteOrder::big) {
        report_.notes.push_back("the storages are big-endian; torch swaps their bytes on load");
      }
      return Status::ok();
    }
    const bool is_sound = std::all_of(checks.begin(), checks.end(), [](const RecordCheck& check) {
      return check.status.is_ok();
    });
    if (is_sound && order.status().code() != StatusCode::corruption) return order.status();
    if (is_sound) add_problem("", 0, order.status());  // else the damaged record says it better
    return Status::ok();
  }

  // Every storage that the pickle names must be there in its size.
  void judge_storages() {
    std::unordered_map<std::string, bool> seen;
    for (const TensorEntry& tensor : contents_.tensors) {
      if (tensor.form == TensorEntry::Form::meta) continue;
      const std::string name = storage_record(tensor.storage_key);
      if (!seen.emplace(name, true).second) continue;
      const ArchiveRecord* record = index_.find(name);
      if (record == nullptr) {
        add_problem(name, 0,
                    Status::corruption(
                        fmt::format("record '{}' is missing, though the pickle names it", name)));
      } else if (record->size_bytes != tensor.storage_bytes) {
        add_problem(
            name, record->header_offset,
            Status::corruption(fmt::format("record '{}' has {} bytes, the pickle says {}", name,
                                           record->size_bytes, tensor.storage_bytes)));
      }
    }
  }

  void note_oddities(const std::vector<RecordCheck>& checks) {
    size_t unknown_count = 0;
    uint64_t gap_bytes = 0;
    for (size_t i = 0; i < checks.size(); ++i) {
      const ArchiveRecord& record = index_.records[wanted_[i]];
      if (!record.is_crc_known()) ++unknown_count;
      if (checks[i].status.is_ok() && record.limit_offset > checks[i].end_offset) {
        gap_bytes += record.limit_offset - checks[i].end_offset;
      }
    }
    if (unknown_count != 0) {
      report_.notes.push_back(
          fmt::format("{} records have no CRC (0: not computed), so their bytes "
                      "were not checked",
                      unknown_count));
    }
    if (gap_bytes != 0) {
      report_.notes.push_back(fmt::format("{} bytes between records belong to none", gap_bytes));
    }
  }

  const Image& image_;
  const ByteSource& source_;
  const VerifyOptions& options_;
  const ReadLimits limits_;
  ZipIndex index_;
  std::vector<DamagedExtent> damaged_;
  std::vector<uint32_t> wanted_;  // positions of the records that are checked
  CheckpointContents contents_;
  std::unordered_map<std::string, std::vector<std::string>> tensors_by_record_;
  VerifyReport report_;
};

std::string problem_text(const VerifyProblem& problem) {
  if (problem.tensors.empty()) return problem.text;
  const size_t shown = std::min(problem.tensors.size(), kShownTensors);
  std::string text = fmt::format(
      "{}; it costs the tensor{} {}", problem.text, problem.tensors.size() == 1 ? "" : "s",
      fmt::join(problem.tensors.begin(),
                problem.tensors.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (shown < problem.tensors.size()) {
    text += fmt::format(" and {} more", problem.tensors.size() - shown);
  }
  return text;
}

}  // namespace

Status VerifyReport::status() const {
  if (problems.empty()) return Status::ok();
  const VerifyProblem& first = problems.front();
  if (problems.size() == 1 && first.record.empty() && !first.extent.has_value()) {
    return Status::corruption(first.text).with_remedy(first.remedy);
  }
  std::string text = fmt::format("'{}' is damaged", path);
  for (size_t i = 0; i < std::min(problems.size(), kShownProblems); ++i) {
    text += (i == 0 ? ": " : "; ") + problem_text(problems[i]);
  }
  if (problems.size() > kShownProblems) {
    text += fmt::format("; and {} more problems", problems.size() - kShownProblems);
  }
  return Status::corruption(text).with_remedy(first.remedy);
}

Result<VerifyReport> verify(FileSystem& file_system, const std::string& path,
                            const VerifyOptions& options) {
  TINTYPE_ASSIGN_OR_RETURN(auto file, open_file(file_system, path, Access::one_pass));
  return verify(std::move(file), options);
}

Result<VerifyReport> verify(std::unique_ptr<ByteSource> file, const VerifyOptions& options) {
  TINTYPE_ASSIGN_OR_RETURN(FileForm form, detect_form(*file));
  // What is cut off before the end of the longest magic number may have begun as its name says.
  if (file->size_bytes() < kPlanesMagic.size()) form = form_of_name(file->name());
  const std::string path = file->name();
  const uint64_t file_bytes = file->size_bytes();
  const auto image = image_of(std::move(file), options.limits, options.reading.is_interrupted);
  if (image.is_ok()) {
    auto report = Verification(*image, options).run();
    if (!report.is_ok()) return report.status().of_file(path);
    report->form = form;
    return report;
  }
  if (image.status().code() != StatusCode::corruption) return image.status();
  VerifyReport unreadable{.path = path, .form = form, .file_bytes = file_bytes};
  unreadable.problems.push_back({.text = std::string(image.status().message()),
                                 .remedy = std::string(image.status().remedy())});
  return unreadable;
}

}  // namespace tintype
