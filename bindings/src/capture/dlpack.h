// The part of DLPack's C exchange interface that capture reads tensors through: one call tells what
// takes seven attributes, and makes no Python objects. Layouts by dlpack.h 1.3
// (github.com/dmlc/dlpack); within a major version they only grow at the end.
#pragma once

#include <cstdint>

namespace tintype::python::dlpack {

inline constexpr uint32_t kMajorVersion = 1;
inline constexpr int32_t kDeviceCpu = 1;  // pinned memory too, as torch reports it
inline constexpr int32_t kDeviceCuda = 2;

enum TypeCode : uint8_t {
  signed_integer = 0,
  unsigned_integer = 1,
  floating = 2,
  bfloat = 4,
  complex = 5,
  boolean = 6
};

struct DataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};

struct Tensor {
  void* data;
  int32_t device_type;
  int32_t device_id;
  int32_t dimension_count;
  DataType dtype;
  const int64_t* shape;
  const int64_t* strides;  // in elements
  uint64_t byte_offset;
};
static_assert(sizeof(Tensor) == 48);

// Fills `view` with borrowed facts, true until the tensor changes. 0, or -1 with a Python exception
// set. Needs the GIL.
using ViewTensor = int (*)(void* object, Tensor* view);

// What the capsule "dlpack_exchange_api" of a tensor class points to.
struct ExchangeApi {
  uint32_t major_version;
  uint32_t minor_version;
  const ExchangeApi* older;
  void (*allocate)();  // this and the next two have other types: not called here
  void (*from_object)();
  void (*to_object)();
  ViewTensor view_tensor;  // may be null
};

}  // namespace tintype::python::dlpack
