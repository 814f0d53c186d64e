"""What may stand in a checkpoint that is resumed from: what ``weights_only`` loads back."""

from __future__ import annotations

import collections
import io
import pickle
from collections.abc import Mapping
from typing import Any

import torch

from tintype._capture import TOO_DEEP
from tintype._errors import UnpicklableError, UnsupportedError

# Loaded back whatever the value. bytes and int are not: see _is_leaf.
_PLAIN_LEAVES = {type(None), bool, float, complex, str, bytearray}
_PLAIN_LEAVES |= {torch.Size, torch.dtype, torch.device}
_CONTAINERS = (dict, collections.OrderedDict, list, tuple)
_TENSORS = (torch.Tensor, torch.nn.Parameter)
_LONG_BITS = 2040  # pickle has another opcode for an int that takes more than 255 bytes
_REFUSED = "torch.load(weights_only=True) refuses, so that the checkpoint could not be resumed from"


class ReadableCheck:
    """Looks through the same checkpoint again and again, at a few ms per 10,000 tensors."""

    def __init__(self) -> None:
        # With the subclasses that could be loaded back once: they are not tried each time.
        self._tensors: set[type] = set(_TENSORS)

    def check(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuses values that could not be loaded back, naming place and type.

        UnsupportedError where ``torch.load(weights_only=True)`` would refuse one, UnpicklableError
        where it cannot even be written. Types that the job gave to
        ``torch.serialization.add_safe_globals`` pass.
        """
        seen: dict[int, bool] = {}
        for name, value in checkpoint.items():
            try:
                self._check(value, name, seen)
            except RecursionError as error:
                raise UnpicklableError(f"{name} holds {TOO_DEEP}") from error

    def _check(self, value: Any, name: str, seen: dict[int, bool]) -> None:
        """``seen``: in the order of pickle, by id; True while one is open that pickle can refer to
        only when all of it is written."""
        if self._is_leaf(value):
            return
        if id(value) in seen:
            if seen[id(value)]:
                raise UnsupportedError(
                    f"{name} is a {_kind(value)} that holds itself, which {_REFUSED}: break the "
                    "cycle"
                )
            return
        if type(value) in _CONTAINERS or type(value) in self._tensors:
            seen[id(value)] = isinstance(value, (tuple, torch.Tensor))
            self._check_members(value, name, seen)
            seen[id(value)] = False
            return
        _check_by_loading(value, name)
        if isinstance(value, torch.Tensor) and _is_pickled_as_torch_does(type(value)):
            self._tensors.add(type(value))

    def _check_members(self, value: Any, name: str, seen: dict[int, bool]) -> None:
        is_dict = isinstance(value, dict)
        members: Any = () if isinstance(value, torch.Tensor) else value
        for key, member in members.items() if is_dict else enumerate(members):
            if is_dict and type(key) is not str:
                self._check(key, f"{name}: key {key!r}", seen)
            if not self._is_plain(member):
                self._check(member, f"{name}[{key!r}]", seen)
        for key, member in getattr(value, "__dict__", {}).items():
            if not self._is_plain(member):
                self._check(member, f"{name}.{key}", seen)

    def _is_plain(self, value: Any) -> bool:
        """Seen without a name for the place: leaves and flat dicts of them."""
        if type(value) is dict:
            has_plain_keys = _PLAIN_LEAVES.issuperset(map(type, value))
            return has_plain_keys and all(map(self._is_leaf, value.values()))
        return self._is_leaf(value)

    def _is_leaf(self, value: Any) -> bool:
        kind: type = type(value)
        if kind in self._tensors:
            return not value.__dict__
        if kind is int:
            return int.bit_length(value) < _LONG_BITS
        if kind is bytes:
            return len(value) > 0  # pickle calls bytes() for the empty one, which is not allowed
        return kind in _PLAIN_LEAVES


def _is_pickled_as_torch_does(kind: type) -> bool:
    """Whether such tensors differ in their attributes alone, so that one stands for all."""
    has_own_state = getattr(kind, "__getstate__", None) is not getattr(
        object, "__getstate__", None
    ) or any("__slots__" in vars(base) for base in kind.__mro__)
    reducers: list[Any] = [tensor.__reduce_ex__ for tensor in _TENSORS]
    return not has_own_state and kind.__reduce_ex__ in reducers


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _check_by_loading(value: Any, name: str) -> None:
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UnpicklableError(
            f"{name} is a {_kind(value)}, which cannot be pickled: {error}"
        ) from error
    buffer.seek(0)
    try:
        torch.load(buffer, map_location="cpu", weights_only=True)
    except Exception as error:
        what, remedy = _described(value)
        raise UnsupportedError(f"{name} is {what}, which {_REFUSED}: {remedy}") from error


def _described(value: Any) -> tuple[str, str]:
    """(what it is, what to do instead) of a refused value."""
    if type(value) is bytes:
        return "empty bytes", "leave it out, or pass None"
    if type(value) is int:
        return f"an int of {value.bit_length()} bits", "pass it as a str, by hex()"
    return f"a {_kind(value)}", (
        "pass plain values (for NumPy .item() or .tolist()), or name the type to "
        "torch.serialization.add_safe_globals"
    )
