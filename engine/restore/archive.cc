#include "engine/restore/archive.h"

#include <cstring>

#include <fmt/format.h>

#include "engine/restore/checkpoint_marks.h"
#include "engine/restore/record_reader.h"
#include "io/archive/pickle_reader.h"
#include "io/archive/record_names.h"

namespace tintype {
namespace {

// Copies a strided tensor's elements in row-major order. Its geometry was checked when found.
class Gather {
 public:
  Gather(const TensorEntry& tensor, ByteView storage, MutableBytes target)
      : tensor_(tensor), storage_(storage), target_(target) {}

  void run() {
    if (target_.empty()) return;
    if (tensor_.is_contiguous()) {
      copy(tensor_.first_byte(), target_.size());
    } else {
      dimension(0, tensor_.storage_offset);
    }
  }

 private:
  void copy(uint64_t offset, size_t size_bytes) {
    std::memcpy(target_.data() + filled_, storage_.data() + offset, size_bytes);
    filled_ += size_bytes;
  }

  void dimension(size_t axis, uint64_t element) {
    if (axis == tensor_.shape.size()) {
      return copy(element * tensor_.element_bytes, tensor_.element_bytes);
    }
    for (uint64_t i = 0; i < tensor_.shape[axis]; ++i) {
      dimension(axis + 1, element + i * tensor_.stride[axis]);
    }
  }

  const TensorEntry& tensor_;
  ByteView storage_;
  MutableBytes target_;
  size_t filled_ = 0;
};

}  // namespace

Result<std::unique_ptr<Archive>> Archive::open(FileSystem& file_system, const std::string& path,
                                               const ReadLimits& limits) {
  TINTYPE_ASSIGN_OR_RETURN(Image image, open_image(file_system, path, Access::random, limits));
  return open(std::move(image), limits);
}

Result<std::unique_ptr<Archive>> Archive::open(Image image, const ReadLimits& limits) {
  std::unique_ptr<Archive> archive(new Archive(std::move(image), limits));
  TINTYPE_RETURN_IF_ERROR(archive->load());
  return archive;
}

Status Archive::load() {
  const ReadLimits limits = limits_.in_proportion_to(file_bytes());
  TINTYPE_ASSIGN_OR_RETURN(index_, read_zip_index(*image_.source, limits));
  TINTYPE_ASSIGN_OR_RETURN(byte_order_, check_kind(*image_.source, index_));
  const ArchiveRecord& record = *index_.find(kPickleRecord);
  auto pickle = read_small_payload(*image_.source, index_, record, limits.pickle_bytes);
  if (!pickle.is_ok()) return pickle.status().of_file(path());
  const auto tree = read_pickle(std::move(*pickle), limits);
  if (!tree.is_ok()) return tree.status().of_file(path());
  auto contents = find_contents(*tree, limits);
  if (!contents.is_ok()) return contents.status().of_file(path());
  contents_ = std::move(*contents);
  for (size_t i = 0; i < contents_.tensors.size(); ++i) {
    tensors_by_name_.emplace(contents_.tensors[i].name, i);
  }
  return Status::ok();
}

const TensorEntry* Archive::find_tensor(std::string_view name) const {
  const auto found = tensors_by_name_.find(name);
  return found == tensors_by_name_.end() ? nullptr : &contents_.tensors[found->second];
}

Result<const ArchiveRecord*> Archive::record_of(const TensorEntry& tensor) const {
  if (tensor.form == TensorEntry::Form::meta) {
    return Status::invalid_argument(
        fmt::format("'{}': tensor '{}' is a meta tensor, which has no bytes", path(), tensor.name));
  }
  const ArchiveRecord* record = index_.find(storage_record(tensor.storage_key));
  if (record == nullptr || record->size_bytes != tensor.storage_bytes) {
    return Status::corruption(
        fmt::format("'{}': tensor '{}' needs record '{}' of {} bytes, and the file has {}", path(),
                    tensor.name, storage_record(tensor.storage_key), tensor.storage_bytes,
                    record == nullptr ? "none of this name"
                                      : fmt::format("one of {} bytes", record->size_bytes)));
  }
  return record;
}

Result<uint64_t> Archive::payload_offset(const ArchiveRecord& record) const {
  auto offset = locate_payload(*image_.source, index_, record);
  if (!offset.is_ok()) return offset.status().of_file(path());
  return offset;
}

Result<ByteVector> Archive::read_tensor(const TensorEntry& tensor) const {
  TINTYPE_ASSIGN_OR_RETURN(const ArchiveRecord* record, record_of(tensor));
  if (byte_order_ == ByteOrder::big && tensor.element_bytes > 1) {
    return Status::unsupported(fmt::format("'{}' was written on a big-endian machine", path()),
                               "read it with tintype.load and save it again");
  }
  if (tensor.size_bytes > tensor.storage_bytes &&
      tensor.size_bytes > limits_.expanded_tensor_bytes) {
    return Status::unsupported(fmt::format(
        "'{}': tensor '{}' repeats {} bytes to {}, over the limit of {}", path(), tensor.name,
        tensor.storage_bytes, tensor.size_bytes, limits_.expanded_tensor_bytes));
  }
  if (tensor.elements_per_byte() > 1 && !tensor.is_contiguous()) {
    return Status::unsupported(fmt::format("'{}': tensor '{}' of {} shares bytes with others",
                                           path(), tensor.name, tensor.dtype),
                               "make it contiguous and save it again");
  }
  TINTYPE_RETURN_IF_ERROR(check_method(*record, limits_));
  ByteVector storage(record->size_bytes);
  TINTYPE_RETURN_IF_ERROR(read_record(*record, storage));
  if (tensor.size_bytes == storage.size() && tensor.is_contiguous()) return storage;
  ByteVector elements(tensor.size_bytes);
  Gather(tensor, storage, elements).run();
  return elements;
}

Status Archive::read_record(const ArchiveRecord& record, MutableBytes target) const {
  const auto read = [&] {
    TINTYPE_RETURN_IF_ERROR(check_method(record, limits_));
    TINTYPE_ASSIGN_OR_RETURN(const uint64_t payload,
                             locate_payload(*image_.source, index_, record));
    return read_payload(*image_.source, payload, record, target);
  };
  return read().of_file(path());
}

}  // namespace tintype
