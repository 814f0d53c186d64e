// File names between Python and bytes. A name is any bytes: what is no UTF-8 is surrogates in
// Python, as os.fsencode and os.fsdecode do it.
#pragma once

#include <string>
#include <string_view>

#include <nanobind/nanobind.h>

namespace tintype::python {

nanobind::str path_to_python(std::string_view path);
std::string path_from_python(const nanobind::str& path);

}  // namespace tintype::python
