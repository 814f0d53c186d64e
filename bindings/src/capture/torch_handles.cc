#include "bindings/src/capture/torch_handles.h"

#include <cstring>
#include <memory>
#include <optional>

namespace nb = nanobind;

namespace tintype::python {
namespace {

// A reference that is never given back.
PyObject* keep(nb::object object) { return object.release().ptr(); }

PyTypeObject* keep_class(nb::object cls) {
  if (!PyType_Check(cls.ptr())) throw nb::type_error("not a class");
  return reinterpret_cast<PyTypeObject*>(keep(std::move(cls)));
}

// Asks the pickler itself: PROTO 2, GLOBAL module name, BINPUT 0, STOP.
GlobalName global_name(nb::object object) {
  constexpr size_t kHeaderBytes = 3;
  constexpr size_t kTrailerBytes = 3;
  const nb::bytes pickle(nb::module_::import_("pickle").attr("dumps")(object, 2));
  if (pickle.size() < kHeaderBytes + kTrailerBytes || pickle.c_str()[2] != 'c') {
    throw nb::type_error("does not pickle as a name");
  }
  std::string qualified(pickle.c_str() + kHeaderBytes,
                        pickle.size() - kHeaderBytes - kTrailerBytes);
  static uint32_t next_number = 0;
  return {keep(std::move(object)), std::move(qualified), next_number++};
}

// Null where torch has none, or one of another major version.
dlpack::ViewTensor find_view_tensor(nb::handle tensor_class) {
  const nb::object capsule = nb::getattr(tensor_class, "__dlpack_c_exchange_api__", nb::none());
  if (!PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) return nullptr;
  const auto* api = static_cast<const dlpack::ExchangeApi*>(
      PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  while (api != nullptr && api->major_version > dlpack::kMajorVersion) api = api->older;
  return api != nullptr && api->major_version == dlpack::kMajorVersion ? api->view_tensor : nullptr;
}

// StorageTable knows a storage by its Python object.
void check_storage_objects(nb::handle torch) {
  const nb::object tensor = torch.attr("empty")(1);
  const nb::object storage = tensor.attr("untyped_storage")();
  if (!storage.is(tensor.attr("untyped_storage")())) throw nb::type_error("no fixed storage");
}

nb::object builtin(const char* name) { return nb::module_::import_("builtins").attr(name); }

nb::object reducer_of(PyTypeObject* cls) {
  return nb::borrow(reinterpret_cast<PyObject*>(cls)).attr("__reduce_ex__");
}

// The class's __reduce_ex__; null where it is not a function of this module.
PyObject* stock_reducer(PyTypeObject* cls, const char* module) {
  const nb::object reducer = reducer_of(cls);
  const nb::object globals = nb::getattr(reducer, "__globals__", nb::none());
  return globals.is(nb::module_::import_(module).attr("__dict__")) ? keep(reducer) : nullptr;
}

bool has_reducer(PyTypeObject* cls, PyObject* stock) { return reducer_of(cls).is(stock); }

}  // namespace

Attribute::Attribute(nb::handle cls, const char* name) : name_(PyUnicode_InternFromString(name)) {
  const nb::object descriptor = cls.attr(name);
  is_method_ = PyCallable_Check(descriptor.ptr()) != 0;
  if (Py_TYPE(descriptor.ptr()) == &PyGetSetDescr_Type) {
    const PyGetSetDef* def = reinterpret_cast<PyGetSetDescrObject*>(descriptor.ptr())->d_getset;
    kind_ = Kind::getter;
    getter_ = def->get;
    closure_ = def->closure;
  } else if (Py_TYPE(descriptor.ptr()) == &PyMethodDescr_Type) {
    const PyMethodDef* def = reinterpret_cast<PyMethodDescrObject*>(descriptor.ptr())->d_method;
    function_ = def->ml_meth;
    if (def->ml_flags == METH_NOARGS) kind_ = Kind::no_arguments;
    if (def->ml_flags == (METH_VARARGS | METH_KEYWORDS)) kind_ = Kind::keywords;
  }
}

nb::object Attribute::operator()(PyObject* self) const {
  PyObject* value = nullptr;
  switch (kind_) {
    case Kind::getter: value = getter_(self, closure_); break;
    case Kind::no_arguments: value = function_(self, nullptr); break;
    case Kind::keywords: {
      static PyObject* const kNoArguments = PyTuple_New(0);
      const auto function = reinterpret_cast<PyCFunctionWithKeywords>(  // as the flags say
          reinterpret_cast<void (*)()>(function_));
      value = function(self, kNoArguments, nullptr);
      break;
    }
    case Kind::named:
      value = is_method_ ? PyObject_CallMethodNoArgs(self, name_) : PyObject_GetAttr(self, name_);
      break;
  }
  if (value == nullptr) throw nb::python_error();
  return nb::steal(value);
}

int64_t Attribute::as_int64(PyObject* self) const {
  const int64_t value = PyLong_AsLongLong((*this)(self).ptr());
  if (value == -1 && PyErr_Occurred() != nullptr) throw nb::python_error();
  return value;
}

uint64_t Attribute::as_uint64(PyObject* self) const {
  return static_cast<uint64_t>(as_int64(self));
}

const TorchHandles* TorchHandles::try_make() {
  try {
    return new TorchHandles();
  } catch (const nb::python_error&) {
    return nullptr;
  } catch (const nb::builtin_exception&) {
    return nullptr;
  }
}

// The GIL guards what is kept, not the guard of a static that is initialized: making the handles
// runs Python, which may give the GIL to a thread that would wait for such a guard and keep the
// GIL.
const TorchHandles* TorchHandles::get() {
  constinit static std::optional<const TorchHandles*> kept;
  if (!kept.has_value()) {
    const TorchHandles* const made = try_make();
    if (!kept.has_value()) kept = made;  // else another thread was first, and this one is left
  }
  return *kept;
}

TorchHandles::TorchHandles() {
  find_globals();
  find_attributes();
  const nb::module_ torch = nb::module_::import_("torch");
  check_storage_objects(torch);
  const nb::module_ serialization = nb::module_::import_("torch.serialization");
  const nb::module_ copyreg = nb::module_::import_("copyreg");
  strided = keep(torch.attr("strided"));
  tensor_metadata = keep(torch.attr("_C").attr("_get_tensor_metadata"));
  location_tag = keep(serialization.attr("location_tag"));
  storage_text = PyUnicode_InternFromString("storage");
  cpu_text = PyUnicode_InternFromString("cpu");
  latin1_text = PyUnicode_InternFromString("latin1");
  step_text = PyUnicode_InternFromString("step");
  dispatch_table_ = keep(copyreg.attr("dispatch_table"));
  reduce_complex_ = keep(copyreg.attr("pickle_complex"));
  reduce_tensor_ = stock_reducer(tensor_class, "torch._tensor");
  reduce_parameter_ = stock_reducer(parameter_class, "torch.nn.parameter");
  package_registry_ = keep(serialization.attr("_package_registry"));
  cpu_tagger_ = keep(serialization.attr("_cpu_tag"));
}

void TorchHandles::find_globals() {
  const nb::module_ torch = nb::module_::import_("torch");
  const nb::object rebuild = torch.attr("_utils");
  const nb::module_ collections = nb::module_::import_("collections");
  tensor_class = keep_class(torch.attr("Tensor"));
  parameter_class = keep_class(torch.attr("nn").attr("Parameter"));
  untyped_storage_class = keep_class(torch.attr("UntypedStorage"));
  ordered_dict_class = keep_class(collections.attr("OrderedDict"));
  counter_class = keep_class(collections.attr("Counter"));
  size_class = keep_class(torch.attr("Size"));
  device_class = keep_class(torch.attr("device"));
  dtype_class = keep_class(torch.attr("dtype"));
  rebuild_tensor = global_name(rebuild.attr("_rebuild_tensor_v2"));
  rebuild_tensor_untyped = global_name(rebuild.attr("_rebuild_tensor_v3"));
  rebuild_meta_tensor = global_name(rebuild.attr("_rebuild_meta_tensor_no_storage"));
  rebuild_parameter = global_name(rebuild.attr("_rebuild_parameter"));
  ordered_dict = global_name(collections.attr("OrderedDict"));
  counter = global_name(collections.attr("Counter"));
  complex_number = global_name(builtin("complex"));
  byte_string = global_name(builtin("bytes"));
  byte_array = global_name(builtin("bytearray"));
  set = global_name(builtin("set"));
  frozen_set = global_name(builtin("frozenset"));
  encode = global_name(nb::module_::import_("_codecs").attr("encode"));
  size = global_name(torch.attr("Size"));
  device = global_name(torch.attr("device"));
  untyped_storage = global_name(torch.attr("UntypedStorage"));
}

void TorchHandles::find_attributes() {
  const nb::object tensor = nb::borrow(reinterpret_cast<PyObject*>(tensor_class));
  state = Attribute(tensor, "__getstate__");
  layout = Attribute(tensor, "layout");
  if (nb::hasattr(tensor, "has_names")) has_names = Attribute(tensor, "has_names");
  dtype_of = Attribute(tensor, "dtype");
  is_cpu = Attribute(tensor, "is_cpu");
  is_cuda = Attribute(tensor, "is_cuda");
  is_meta = Attribute(tensor, "is_meta");
  requires_grad = Attribute(tensor, "requires_grad");
  backward_hooks = Attribute(tensor, "_backward_hooks");
  shape = Attribute(tensor, "shape");
  stride = Attribute(tensor, "stride");
  storage_offset = Attribute(tensor, "storage_offset");
  storage_of = Attribute(tensor, "untyped_storage");
  is_conj = Attribute(tensor, "is_conj");
  is_neg = Attribute(tensor, "is_neg");
  version = Attribute(tensor, "_version");
  data_address = Attribute(tensor, "data_ptr");
  data_size_bytes = Attribute(tensor, "nbytes");
  is_contiguous = Attribute(tensor, "is_contiguous");
  view_tensor = find_view_tensor(tensor);
  const nb::object storage = nb::borrow(reinterpret_cast<PyObject*>(untyped_storage_class));
  storage_address = Attribute(storage, "data_ptr");
  storage_size_bytes = Attribute(storage, "nbytes");
  is_resizable_storage = Attribute(storage, "resizable");
  is_shared_storage = Attribute(storage, "is_shared");
}

bool TorchHandles::is_stock() const {
  PyTypeObject* const reduced[] = {tensor_class, parameter_class, ordered_dict_class, counter_class,
                                   size_class,   device_class,    dtype_class};
  for (PyTypeObject* cls : reduced) {
    if (PyDict_GetItem(dispatch_table_, reinterpret_cast<PyObject*>(cls)) != nullptr) return false;
  }
  auto* complex_class = reinterpret_cast<PyObject*>(&PyComplex_Type);
  if (PyDict_GetItem(dispatch_table_, complex_class) != reduce_complex_) return false;
  if (!has_reducer(tensor_class, reduce_tensor_)) return false;
  if (!has_reducer(parameter_class, reduce_parameter_)) return false;
  // Taggers are asked in order: with the stock one first, every host storage is tagged "cpu".
  const nb::object first = nb::borrow(package_registry_)[0];
  return nb::object(first[1]).is(cpu_tagger_);
}

const DtypeInfo& TorchHandles::dtype(PyObject* dtype) const {
  const auto known = dtypes_.find(dtype);
  if (known != dtypes_.end()) return known->second;
  const nb::object object = nb::borrow(dtype);
  const nb::module_ storage = nb::module_::import_("torch.storage");
  DtypeInfo info;
  info.name = global_name(object);
  info.is_complex = nb::cast<bool>(object.attr("is_complex"));
  info.is_floating = info.is_complex || nb::cast<bool>(object.attr("is_floating_point"));
  info.checked_as = dtype;
  const auto item_bytes = nb::cast<uint32_t>(object.attr("itemsize"));
  info.number_bytes = info.is_complex ? item_bytes / 2 : item_bytes;
  const std::string text = nb::str(object).c_str();
  if (nb::cast<bool>(storage.attr("_new_dtypes")().attr("__contains__")(object))) {
    info.is_untyped = true;
    info.storage_class = &untyped_storage;
    info.checked_as = keep(nb::module_::import_("torch").attr("uint8"));
  } else if (text.starts_with("torch.q") == false) {  // quantized tensors are the pickler's
    info.storage_class = storage_class(dtype);
    info.item_bytes = item_bytes;
  }
  return dtypes_.emplace(dtype, std::move(info)).first->second;
}

const GlobalName* TorchHandles::storage_class(PyObject* dtype) const {
  const nb::module_ storage = nb::module_::import_("torch.storage");
  const nb::object name =
      storage.attr("_dtype_to_storage_type_map")().attr("get")(nb::borrow(dtype));
  if (name.is_none()) return nullptr;
  const nb::object cls = nb::module_::import_("torch").attr(nb::str(name).c_str());
  return &(storage_classes_[dtype] = global_name(cls));
}

}  // namespace tintype::python
