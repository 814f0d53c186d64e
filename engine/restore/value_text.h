// How a value of a pickle is shown in one line.
#pragma once

#include <complex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/restore/container.h"
#include "engine/restore/tensor_entry.h"
#include "io/archive/pickle_tree.h"

namespace tintype {

// Characters of a text that are shown before it is cut, and items of a list of scalars.
inline constexpr size_t kShownTextBytes = 200;
inline constexpr size_t kShownItems = 8;
// Of an int, whose digits are shown; of a longer one only this.
inline constexpr size_t kShownIntegerBytes = 64;

// Type and text of numbers, texts, bytes, dtypes, devices, ranges, classes, empty containers, sets,
// and tuples and lists of scalars; nullopt for what has parts to be named one by one, and for
// objects. The name is left empty.
std::optional<ValueEntry> value_entry(const PickleTree& tree, ValueId value);

// Type and text, without the members.
ValueEntry container_entry(const PickleTree& tree, const Container& container);

// A dict's key as a part of a name: a text as it is, anything else as Python would show it.
std::string key_text(const PickleTree& tree, ValueId key);

// Numbers, texts, bytes, names: all that holds no other value.
bool are_scalars(const PickleTree& tree, std::span<const ValueId> values);

// nullopt for what is no complex number.
std::optional<std::complex<double>> complex_of(const PickleTree& tree, ValueId value);

// The class that a call makes or the function that it calls, for the opaque.
std::string type_name(const PickleTree& tree, ValueId call);

}  // namespace tintype
