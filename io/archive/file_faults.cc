#include "io/archive/file_faults.h"

#include <fmt/format.h>

#include "io/archive/compressed_form.h"
#include "io/archive/file_form.h"

namespace tintype {

Status damaged_file(std::string_view name, std::string_view what) {
  return Status::corruption(fmt::format("'{}' {}", name, what)).with_path(std::string(name));
}

Status check_not_at_end(const ByteSource& source) {
  if (source.size_bytes() != 0 || source.skipped_bytes() == 0) return Status::ok();
  return damaged_file(source.name(),
                      fmt::format("stands at byte {}, and nothing follows: a file object is read "
                                  "from its position on",
                                  source.skipped_bytes()))
      .with_remedy("call its seek(0) first");
}

Status check_not_cut_short(const ByteSource& source) {
  const FileForm named = form_of_name(source.name());
  if (named == FileForm::plain || source.size_bytes() >= kPlanesMagic.size()) return Status::ok();
  return damaged_file(source.name(),
                      fmt::format("is cut off: it has {} bytes, and no file of the {} form, which "
                                  "its name asks for, is so short",
                                  source.size_bytes(), to_string(named)));
}

Status newer_planes_form(std::string_view name, uint32_t version) {
  return Status::unsupported(
      fmt::format("'{}' has version {} of the planes form, and this program reads {}", name,
                  version, kPlanesVersion),
      "read it with a newer one");
}

}  // namespace tintype
