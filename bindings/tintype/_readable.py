"""What may stand in a checkpoint that is resumed from: what ``weights_only`` loads back."""

from __future__ import annotations

import collections
import io
import pickle
from typing import Any

import torch

from tintype._capture import TOO_DEEP
from tintype._errors import UnpicklableError, UnsupportedError

_PLAIN_LEAVES = {type(None), bool, int, float, complex, str, bytes, bytearray, torch.Size}
_PLAIN_LEAVES |= {torch.dtype, torch.device, torch.Tensor, torch.nn.Parameter}


_CONTAINERS = (dict, collections.OrderedDict, list, tuple)


class ReadableCheck:
    """Looks through the same checkpoint again and again, at a few ms per 10,000 tensors."""

    def __init__(self) -> None:
        # With the tensor subclasses that could be loaded back once: they are not tried each time.
        self._leaves: set[type] = set(_PLAIN_LEAVES)

    def check(self, value: Any, name: str) -> None:
        """Refuses what could not be loaded back, naming place and type.

        UnsupportedError where ``torch.load(weights_only=True)`` would refuse ``value``,
        UnpicklableError where it cannot even be written. Types that the job gave to
        ``torch.serialization.add_safe_globals`` pass.
        """
        try:
            self._check(value, name, set())
        except RecursionError as error:
            raise UnpicklableError(f"{name} holds {TOO_DEEP}") from error

    def _check(self, value: Any, name: str, seen: set[int]) -> None:
        if type(value) in self._leaves or id(value) in seen:
            return
        if type(value) not in _CONTAINERS:
            _check_by_loading(value, name)
            if isinstance(value, torch.Tensor):
                self._leaves.add(type(value))
            return
        seen.add(id(value))
        is_dict = isinstance(value, dict)
        if is_dict:
            for key in value:
                if type(key) not in self._leaves:
                    self._check(key, f"{name}: key {key!r}", seen)
        for key, member in value.items() if is_dict else enumerate(value):
            if not self._is_plain(member):
                self._check(member, f"{name}[{key!r}]", seen)

    def _is_plain(self, value: Any) -> bool:
        """Seen by the types alone, without a name for the place: leaves and flat dicts of them."""
        kind = type(value)
        if kind is dict:
            return self._leaves.issuperset(map(type, value.values())) and self._leaves.issuperset(
                map(type, value)
            )
        return kind in self._leaves


def _check_by_loading(value: Any, name: str) -> None:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UnpicklableError(f"{name} is a {kind}, which cannot be pickled: {error}") from error
    buffer.seek(0)
    try:
        torch.load(buffer, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UnsupportedError(
            f"{name} is a {kind}, which torch.load(weights_only=True) refuses, so that the "
            "checkpoint could not be resumed from: pass plain values (for NumPy .item() or "
            ".tolist()), or name the type to torch.serialization.add_safe_globals"
        ) from error
