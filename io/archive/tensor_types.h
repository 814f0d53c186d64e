// Names of element types and storage classes as they stand in torch's pickles.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tintype {

struct ElementType {
  std::string_view name;  // "float32", as torch prints it without "torch."
  uint32_t size_bytes = 1;
};

// Of "torch.FloatStorage" and so on; "torch.storage.UntypedStorage" is uint8, counted in bytes.
std::optional<ElementType> element_type_of_storage(std::string_view global);
// Of "torch.float8_e5m2" and so on.
std::optional<ElementType> element_type_of_dtype(std::string_view global);

}  // namespace tintype
