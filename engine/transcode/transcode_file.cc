#include "engine/transcode/transcode_file.h"

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "engine/element_runs.h"
#include "engine/restore/archive.h"
#include "engine/restore/file_source.h"
#include "engine/transcode/input_file.h"
#include "engine/transcode/source_stream.h"
#include "io/disk/atomic_file.h"
#include "io/disk/target_path.h"

namespace tintype {
namespace {

using Work = std::function<Result<Transcoded>(PieceOutput&)>;

// A file in the place of its own source: whoever removes the input afterwards has nothing left.
Status check_distinct(const InputFile& input, const TranscodeOutput& output,
                      const TargetPath& target) {
  const FileInfo& read = input.info();
  const auto standing = target.directory->info(target.name);
  if (standing.status().code() == StatusCode::not_found) return Status::ok();
  TINTYPE_RETURN_IF_ERROR(standing.status());
  if (standing->device != read.device || standing->inode != read.inode) return Status::ok();
  return Status::invalid_argument(fmt::format("'{}' and '{}': input and output are the same file",
                                              input.path(), output.path),
                                  "name another output")
      .with_path(target.path);
}

// Where the output leads to, before anything is touched.
Status check_target(FileSystem& file_system, const InputFile* input,
                    const TranscodeOutput& output) {
  TINTYPE_ASSIGN_OR_RETURN(const TargetPath target, resolve_target(file_system, output.path, true));
  if (input != nullptr) TINTYPE_RETURN_IF_ERROR(check_distinct(*input, output, target));
  return check_form_of_link(output.path, target.path)
      .with_remedy("name another output, or let the link lead to one that ends as its own does")
      .of_file(output.path, "write");
}

// The input may be readable for less people than a new file would be.
Status take_over_mode(const InputFile* input, File& file) {
  if (input == nullptr) return Status::ok();
  const Status status = file.set_mode(input->info().mode);
  return status.code() == StatusCode::unsupported ? Status::ok() : status;
}

// What was made of an input that changed meanwhile is worth nothing, and damage found in it may be
// none.
Result<Transcoded> from_unchanged(const InputFile* input, const Work& work, PieceOutput& pieces) {
  Result<Transcoded> total = work(pieces);
  const StatusCode code = total.status().code();
  const bool is_judged_by_content = code == StatusCode::ok || code == StatusCode::corruption;
  if (input != nullptr && is_judged_by_content) TINTYPE_RETURN_IF_ERROR(input->check_unchanged());
  return total;
}

// Runs `work` into a file that appears when all is well.
Result<Transcoded> into_file(FileSystem& file_system, const InputFile* input,
                             const TranscodeOutput& output, uint64_t planned_bytes,
                             const TranscodeOptions& options, const Work& work) {
  TINTYPE_RETURN_IF_ERROR(check_target(file_system, input, output));
  TINTYPE_ASSIGN_OR_RETURN(
      const auto target,
      AtomicFile::open(file_system, output.path, {.may_replace = output.may_replace}));
  TINTYPE_RETURN_IF_ERROR(target->begin(planned_bytes));
  TINTYPE_RETURN_IF_ERROR(take_over_mode(input, target->file()));
  FileOutput pieces(target->file(), planned_bytes);
  TINTYPE_ASSIGN_OR_RETURN(const Transcoded total, from_unchanged(input, work, pieces));
  TINTYPE_RETURN_IF_ERROR(pieces.finish());
  const auto may_pass = [&] { return !options.is_interrupted || !options.is_interrupted(); };
  TINTYPE_RETURN_IF_ERROR(
      target->commit(total.output_bytes, {.verify = {}, .may_pass_8b = may_pass}));
  return total;
}

Result<Transcoded> into(FileSystem& file_system, const InputFile* input,
                        const TranscodeOutput& output, uint64_t planned_bytes,
                        const TranscodeOptions& options, const Work& work) {
  if (output.stream == nullptr) {
    return into_file(file_system, input, output, planned_bytes, options, work);
  }
  StreamOutput pieces(*output.stream);
  return from_unchanged(input, work, pieces);
}

Status check_plain(const ByteSource& source) {
  TINTYPE_ASSIGN_OR_RETURN(const FileForm form, detect_form(source));
  if (form == FileForm::plain) return Status::ok();
  return Status::invalid_argument(
      fmt::format("'{}' is compressed already, in the {} form", source.name(), to_string(form)));
}

Result<std::unique_ptr<Archive>> archive_in(File& file) {
  TINTYPE_ASSIGN_OR_RETURN(auto source, FileSource::over(file));
  TINTYPE_ASSIGN_OR_RETURN(Image image, image_of(std::move(source)));
  return Archive::open(std::move(image));
}

// For the planes form, by the tensors of a checkpoint; anything else can be compressed too, but not
// as well.
Result<ElementMap> elements_of(File& file, std::vector<std::string>& notes) {
  const auto archive = archive_in(file);
  if (archive.is_ok()) return element_map(**archive);
  const StatusCode code = archive.status().code();
  if (code != StatusCode::corruption && code != StatusCode::unsupported) return archive.status();
  notes.push_back(
      fmt::format("compressed as plain bytes, as no checkpoint: {}", archive.status().message()));
  return ElementMap();
}

}  // namespace

Result<FileTranscoded> compress_file(FileSystem& file_system, const TranscodeInput& input,
                                     const TranscodeOutput& output,
                                     const CompressOptions& compress_options,
                                     const TranscodeOptions& options) {
  const bool is_planes = compress_options.encoder.form == FileForm::planes;
  FileTranscoded done;
  std::unique_ptr<InputFile> file;
  std::optional<SourceStream> from_source;
  ElementMap elements;
  if (input.stream != nullptr) {
    if (is_planes) {
      done.notes.push_back(input.path +
                           ": a stream cannot be looked through for tensors first, and is "
                           "compressed as plain bytes; name the file for a better ratio");
    }
  } else {
    TINTYPE_ASSIGN_OR_RETURN(file, InputFile::open(file_system, input.path));
    TINTYPE_RETURN_IF_ERROR(check_plain(file->source()));
    from_source.emplace(file->source());
    if (is_planes) {
      TINTYPE_ASSIGN_OR_RETURN(elements, elements_of(file->file(), done.notes));
    }
  }
  InputStream& stream = input.stream != nullptr ? *input.stream : *from_source;
  const Work work = [&](PieceOutput& target) {
    return compress(stream, elements, compress_options, target, options);
  };
  TINTYPE_ASSIGN_OR_RETURN(done.total, into(file_system, file.get(), output, 0, options, work));
  if (input.is_removed) done.removal = file->remove_name();
  return done;
}

Result<FileTranscoded> decompress_file(FileSystem& file_system, const TranscodeInput& input,
                                       const TranscodeOutput& output,
                                       const TranscodeOptions& options) {
  FileTranscoded done;
  uint64_t planned_bytes = 0;
  std::unique_ptr<InputFile> file;
  if (input.stream == nullptr) {
    TINTYPE_ASSIGN_OR_RETURN(file, InputFile::open(file_system, input.path));
    TINTYPE_ASSIGN_OR_RETURN(planned_bytes, plain_bytes_of(file->source(), options.limits));
  }
  const Work work = [&](PieceOutput& target) {
    return file != nullptr ? decompress(file->source(), target, options)
                           : decompress(*input.stream, input.path, target, options);
  };
  TINTYPE_ASSIGN_OR_RETURN(done.total,
                           into(file_system, file.get(), output, planned_bytes, options, work));
  if (input.is_removed) done.removal = file->remove_name();
  return done;
}

}  // namespace tintype
