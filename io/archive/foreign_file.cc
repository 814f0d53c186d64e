#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "io/archive/file_faults.h"
#include "io/archive/zip_end.h"

namespace tintype {
namespace {

using namespace std::string_view_literals;

struct KnownBeginning {
  std::string_view bytes;
  std::string_view what;
  std::string_view remedy;
};

// torch's pickled magic number 0x1950a86a20f9469cfc6c, as LONG1 of protocol 2.
constexpr std::string_view kLegacyMagic = "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8\x50\x19."sv;

constexpr std::array kKnownBeginnings = {
    KnownBeginning{kLegacyMagic, "a torch file of the format before 1.6 (not a zip)",
                   "read it with torch.load and save it again with tintype.save"},
    KnownBeginning{"\x1f\x8b"sv, "compressed by gzip",
                   "decompress it with `gunzip`, or pass gzip.open(path)"},
    KnownBeginning{"\x28\xb5\x2f\xfd"sv, "compressed by zstd", "decompress it with `zstd -d`"},
    KnownBeginning{"\xfd\x37zXZ"sv, "compressed by xz", "decompress it with `unxz`"},
    KnownBeginning{"BZh"sv, "compressed by bzip2", "decompress it with `bunzip2`"},
    KnownBeginning{"\x89HDF\r\n"sv, "an HDF5 file", "read it with h5py"},
    KnownBeginning{"\x93NUMPY"sv, "a NumPy array file", "read it with numpy.load"},
    KnownBeginning{"GGUF"sv, "a GGUF model", "read it with the gguf package"},
    KnownBeginning{"\x80"sv, "a bare pickle, not a torch archive",
                   "read it with pickle.load if you trust it, and save it again with tintype.save"},
};

constexpr uint64_t kHeadBytes = 512;
constexpr size_t kTarMagicOffset = 257;
constexpr size_t kSafetensorsHeaderOffset = 8;

Status of_another_kind(const ByteSource& source, std::string_view what, std::string_view remedy) {
  return Status::unsupported(fmt::format("'{}' is {}", source.name(), what), std::string(remedy))
      .with_path(source.name());
}

}  // namespace

Status explain_foreign_file(const ByteSource& source) {
  const uint64_t size_bytes = source.size_bytes();
  if (size_bytes == 0) {
    return damaged_file(source.name(),
                        "is empty (0 bytes): its writer or a copy of it did not finish");
  }
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector bytes,
                           read_range(source, 0, std::min(size_bytes, kHeadBytes)));
  const std::string_view head = as_text(bytes);
  if (head.starts_with("PK\x03\x04")) {
    return damaged_file(source.name(),
                        fmt::format("begins as an archive, but no end record stands at the end of "
                                    "its {} bytes: it is cut off, or bytes were appended",
                                    size_bytes));
  }
  for (const KnownBeginning& known : kKnownBeginnings) {
    if (head.starts_with(known.bytes)) return of_another_kind(source, known.what, known.remedy);
  }
  if (head.size() > kTarMagicOffset && head.substr(kTarMagicOffset).starts_with("ustar")) {
    return of_another_kind(source, "a tar file, torch's format before 0.1.10 perhaps",
                           "read it with torch.load and save it again with tintype.save");
  }
  if (head.substr(std::min(head.size(), kSafetensorsHeaderOffset)).starts_with("{\"")) {
    return of_another_kind(source, "a safetensors file",
                           "read it with safetensors.torch.load_file");
  }
  return damaged_file(source.name(), "is no checkpoint: it neither begins nor ends as one")
      .with_remedy("check the path, or copy it again");
}

Status explain_ordinary_zip(const ByteSource& source) {
  return of_another_kind(source, "a zip file but no torch checkpoint: it has no record 'data.pkl'",
                         "check the path, or unpack it if the checkpoint is one of its files");
}

}  // namespace tintype
