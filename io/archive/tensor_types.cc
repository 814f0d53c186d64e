#include "io/archive/tensor_types.h"

#include <array>

namespace tintype {
namespace {

struct NamedType {
  std::string_view global;
  ElementType type;
};

constexpr std::array kStorageClasses = {
    NamedType{"torch.DoubleStorage", {"float64", 8}},
    NamedType{"torch.FloatStorage", {"float32", 4}},
    NamedType{"torch.HalfStorage", {"float16", 2}},
    NamedType{"torch.BFloat16Storage", {"bfloat16", 2}},
    NamedType{"torch.LongStorage", {"int64", 8}},
    NamedType{"torch.IntStorage", {"int32", 4}},
    NamedType{"torch.ShortStorage", {"int16", 2}},
    NamedType{"torch.CharStorage", {"int8", 1}},
    NamedType{"torch.ByteStorage", {"uint8", 1}},
    NamedType{"torch.BoolStorage", {"bool", 1}},
    NamedType{"torch.ComplexDoubleStorage", {"complex128", 16}},
    NamedType{"torch.ComplexFloatStorage", {"complex64", 8}},
    NamedType{"torch.QInt8Storage", {"qint8", 1}},
    NamedType{"torch.QUInt8Storage", {"quint8", 1}},
    NamedType{"torch.QInt32Storage", {"qint32", 4}},
    NamedType{"torch.QUInt4x2Storage", {"quint4x2", 1}},
    NamedType{"torch.QUInt2x4Storage", {"quint2x4", 1}},
    NamedType{"torch.storage.UntypedStorage", {"uint8", 1}},
    NamedType{"torch.UntypedStorage", {"uint8", 1}},
};

constexpr std::array kElementTypes = {
    ElementType{"float64", 8},
    ElementType{"double", 8},
    ElementType{"float32", 4},
    ElementType{"float", 4},
    ElementType{"float16", 2},
    ElementType{"half", 2},
    ElementType{"bfloat16", 2},
    ElementType{"int64", 8},
    ElementType{"int32", 4},
    ElementType{"int16", 2},
    ElementType{"int8", 1},
    ElementType{"uint8", 1},
    ElementType{"uint16", 2},
    ElementType{"uint32", 4},
    ElementType{"uint64", 8},
    ElementType{"bool", 1},
    ElementType{"complex32", 4},
    ElementType{"complex64", 8},
    ElementType{"complex128", 16},
    ElementType{"float8_e4m3fn", 1},
    ElementType{"float8_e4m3fnuz", 1},
    ElementType{"float8_e5m2", 1},
    ElementType{"float8_e5m2fnuz", 1},
    ElementType{"float8_e8m0fnu", 1},
    ElementType{"float4_e2m1fn_x2", 1},
    ElementType{"qint8", 1},
    ElementType{"quint8", 1},
    ElementType{"qint32", 4},
    ElementType{"quint4x2", 1},
    ElementType{"quint2x4", 1},
    ElementType{"bits8", 1},
    ElementType{"bits16", 2},
    ElementType{"bits1x8", 1},
    ElementType{"bits2x4", 1},
    ElementType{"bits4x2", 1},
};

}  // namespace

std::optional<ElementType> element_type_of_storage(std::string_view global) {
  for (const NamedType& named : kStorageClasses) {
    if (named.global == global) return named.type;
  }
  return std::nullopt;
}

std::optional<ElementType> element_type_of_dtype(std::string_view global) {
  constexpr std::string_view kModule = "torch.";
  if (!global.starts_with(kModule)) return std::nullopt;
  for (const ElementType& type : kElementTypes) {
    if (type.name == global.substr(kModule.size())) return type;
  }
  return std::nullopt;
}

}  // namespace tintype
