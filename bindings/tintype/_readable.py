"""What may stand in a checkpoint that is resumed from: what ``weights_only`` loads back."""

from __future__ import annotations

import collections
import io
import pickle
from typing import Any

import torch

from tintype._errors import UnpicklableError, UnsupportedError

_PLAIN_LEAVES = {type(None), bool, int, float, complex, str, bytes, bytearray, torch.Size}
_PLAIN_LEAVES |= {torch.dtype, torch.device, torch.Tensor, torch.nn.Parameter}


def check_readable(value: Any, name: str) -> None:
    """Refuses what could not be loaded back, naming place and type.

    UnsupportedError where ``torch.load(weights_only=True)`` would refuse ``value``,
    UnpicklableError where it cannot even be written. Types that the job gave to
    ``torch.serialization.add_safe_globals`` pass.
    """
    _check(value, name, set())


def _check(value: Any, name: str, seen: set[int]) -> None:
    kind = type(value)
    if kind in _PLAIN_LEAVES:
        return
    if kind not in (dict, collections.OrderedDict, list, tuple):
        _check_by_loading(value, name)
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict):
        for key, member in value.items():
            _check(key, f"{name}: key {key!r}", seen)
            _check(member, f"{name}[{key!r}]", seen)
    else:
        for index, member in enumerate(value):
            _check(member, f"{name}[{index}]", seen)


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
