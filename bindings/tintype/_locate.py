"""Where in an object the part is that Python cannot pickle: for the error's text."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from typing import Any

import torch

_KEY_LENGTH_MAX = 60


def locate_unpicklable(obj: object) -> tuple[str, str]:
    """(place, type name) of the innermost part that cannot be pickled, the place as an expression
    on ``obj``: ``['model'].hooks[0]``. Pickles parts again and again, so only for errors."""
    place, part = "", obj
    seen: set[int] = set()
    while id(part) not in seen:
        seen.add(id(part))
        for step, child in _children(part):
            if not _is_picklable(child):
                place, part = place + step, child
                break
    return place or "the object itself", type(part).__qualname__


def place_of(obj: object, wanted: object) -> str:
    """The place of ``wanted`` in ``obj``, as above."""
    waiting, seen = [("", obj)], {id(obj)}
    while waiting:
        place, part = waiting.pop()
        if part is wanted:
            return place or "the object itself"
        for step, child in _children(part):
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append((place + step, child))
    return "a part of it"


def _children(part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict):
        for key, value in part.items():
            yield f"[{repr(key)[:_KEY_LENGTH_MAX]}]", value
    elif isinstance(part, (list, tuple)):
        for index, value in enumerate(part):
            yield f"[{index}]", value
    if not isinstance(part, type):
        for name, value in getattr(part, "__dict__", {}).items():
            yield f".{name}", value


class _Probe(pickle.Pickler):
    def persistent_id(self, part: Any) -> Any:
        is_storage = isinstance(part, torch.storage.TypedStorage) or torch.is_storage(part)
        return "storage" if is_storage else None


def _is_picklable(part: object) -> bool:
    try:
        _Probe(io.BytesIO(), protocol=2).dump(part)
    except Exception:  # noqa: BLE001 - whatever it is, the caller has the first one
        return False
    return True
