#include "bindings/src/capture/pickle_sink.h"

#include <cstdint>
#include <string_view>

#include <nanobind/stl/string.h>

namespace nb = nanobind;

namespace tintype::python {

NotNative not_native(PyObject* object) {
  const nb::object type = nb::borrow(reinterpret_cast<PyObject*>(Py_TYPE(object)));
  return {nb::cast<std::string>(nb::str(type.attr("__qualname__")))};
}

bool PickleSink::get_if_known(PyObject* object) {
  const uint32_t memo = memo_.find(reinterpret_cast<uint64_t>(object));
  if (memo == IdentityMap::kAbsent) return false;
  out_.get(memo);
  return true;
}

void PickleSink::memoize(PyObject* object) {
  memo_.insert(reinterpret_cast<uint64_t>(object), out_.memoize());
  kept_.push_back(nb::borrow(object));
}

void PickleSink::global(const GlobalName& name) {
  if (name.number >= global_memos_.size()) {
    global_memos_.resize(name.number + 1, IdentityMap::kAbsent);
  }
  uint32_t& memo = global_memos_[name.number];
  if (memo != IdentityMap::kAbsent) return out_.get(memo);
  if (!get_if_known(name.object)) {
    out_.global(name.qualified);
    memoize(name.object);
  }
  memo = memo_of(name.object);
}

void PickleSink::text(PyObject* text) {
  if (!get_if_known(text)) new_text(text);
}

void PickleSink::text(ConstantText& constant) {
  if (constant.memo != IdentityMap::kAbsent) return out_.get(constant.memo);
  text(constant.object);
  constant.memo = memo_of(constant.object);
}

void PickleSink::new_text(PyObject* text) {
  nb::object encoded;  // owns what `utf8` views, unless the str itself does
  std::string_view utf8;
  if (PyUnicode_IS_COMPACT_ASCII(text)) {
    utf8 = {static_cast<const char*>(PyUnicode_DATA(text)),
            static_cast<size_t>(PyUnicode_GET_LENGTH(text))};
  } else {
    encoded = nb::steal(PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass"));
    if (!encoded.is_valid()) throw nb::python_error();
    utf8 = {PyBytes_AS_STRING(encoded.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(encoded.ptr()))};
  }
  if (utf8.size() > UINT32_MAX) throw NotNative{"a str of over 4 GiB"};
  out_.text(utf8);
  memoize(text);
}

}  // namespace tintype::python
