// One tensor of a checkpoint, and one value beside it: what a listing shows.
#pragma once

#include <complex>
#include <cstdint>
#include <string>
#include <vector>

namespace tintype {

struct TensorEntry {
  enum class Form : uint8_t {
    strided,    // shape and stride over a storage
    quantized,  // the same, over quantized elements
    meta,       // no storage
    storage,    // a bare storage, shown as one dimension
  };

  // The keys that lead to it, joined by '/': "model_state_dict/layer.weight",
  // "optimizer_state_dict/state/0/exp_avg". Empty where the file holds one bare tensor. Unique: a
  // name that occurs again (keys 0 and "0", say) gets "~2" and so on behind it.
  std::string name;
  Form form = Form::strided;
  std::string dtype;  // "float32"
  uint32_t element_bytes = 1;
  std::vector<uint64_t> shape;   // in elements
  std::vector<uint64_t> stride;  // in elements
  uint64_t storage_offset = 0;   // in elements
  uint64_t size_bytes = 0;       // of the elements, laid out without gaps
  std::string storage_key;       // "0": its bytes are the record "data/0"; empty for meta
  uint64_t storage_bytes = 0;    // what the pickle says the storage has
  std::string device;            // the tag it was saved with: "cpu", "cuda:0", "meta"
  std::string python_type;       // "Tensor", "Parameter", or the subclass's full name
  bool requires_grad = false;
  bool is_conjugate = false;  // the stored bytes are the conjugate's
  bool is_negative = false;   // the stored bytes are negated
  uint64_t path = 0;          // fingerprint of the keys that lead to it; see value_fingerprint.h

  uint64_t element_count() const;  // REQUIRES: as checked by find_tensors, it does not overflow
  // Not 1 for quint4x2 and quint2x4, whose element_bytes is 1.
  uint32_t elements_per_byte() const;
  // Row by row without gaps, from a whole byte on: then the elements are the size_bytes at
  // first_byte() of the storage.
  bool is_contiguous() const;
  uint64_t first_byte() const { return storage_offset * element_bytes / elements_per_byte(); }
};

struct ValueEntry {
  std::string name;  // as a tensor's
  std::string type;  // "int", "float", "str", "bool", "NoneType", "bytes", or a global's full name
  std::string text;  // as Python would show it, long texts cut; "…" in brackets for the opaque
  bool is_opaque = false;    // an object of a class that only Python can build
  uint64_t fingerprint = 0;  // over all of it but `numbers`; see value_fingerprint.h
  // The floats of a float, a complex, a list or a tuple, which may agree within a tolerance.
  std::vector<std::complex<double>> numbers;
  uint64_t path = 0;  // as a tensor's
};

}  // namespace tintype
