"""Loading without some storages, so that nobody can take what memory held for what a file holds."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable
from typing import Any

import torch

from tintype import _tintype

_LEAVES = (
    int, float, complex, bool, type(None), str, bytes, bytearray,
    torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size,
)  # fmt: skip
_DICTS = (dict, OrderedDict, Counter, defaultdict)
_SEQUENCES = (list, tuple, set, frozenset)
_TENSORS = (torch.Tensor, torch.nn.Parameter)


class UnknownObjectError(Exception):
    """An object that may hold storages where nobody can see them."""


class LeftOut:
    """A ``map_location`` for ``torch.load`` over ``file``: what the file left out becomes a storage
    on ``meta``, which has no bytes to look at; the rest goes where ``map_location`` says."""

    def __init__(self, file: _tintype.ArchiveFile, map_location: Any) -> None:
        self._file = file
        self._restore = torch.serialization._get_restore_location(map_location)
        self.has_read = False  # whether any storage was read: deflated ones always are
        self._keys: dict[int, str] = {}  # by the storage's _cdata
        self._storages: list[torch.UntypedStorage] = []  # alive, so that no _cdata comes twice

    def __call__(self, storage: torch.UntypedStorage, tag: str) -> Any:
        key = self._file.take_left_out()
        if key is None or storage.nbytes() == 0:
            self.has_read = self.has_read or storage.nbytes() != 0
            return self._restore(storage, tag)
        empty = torch.UntypedStorage(storage.nbytes(), device="meta")
        self._keys[empty._cdata] = key
        self._storages.append(empty)
        return empty

    def keys_in(self, obj: Any) -> set[str]:
        """The keys of all left out storages that ``obj`` holds. UnknownObjectError where that
        cannot be told."""
        found = set()
        for storage in _storages_in(obj):
            if storage._cdata in self._keys:
                found.add(self._keys[storage._cdata])
        return found


def _storages_in(obj: Any) -> Iterable[torch.UntypedStorage]:
    """Every storage that hangs on ``obj``, at any depth."""
    waiting, seen = [obj], {id(obj)}
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.UntypedStorage):
            yield value
            continue
        for part in _parts_of(value):
            if id(part) not in seen or isinstance(part, torch.UntypedStorage):
                seen.add(id(part))
                waiting.append(part)


def _parts_of(value: Any) -> list[Any]:
    kind = type(value)
    if kind in _LEAVES:
        return []
    if kind in _DICTS:
        factory = getattr(value, "default_factory", None)
        if factory is None or isinstance(factory, type):
            return [*value.keys(), *value.values(), *getattr(value, "__dict__", {}).values()]
    if kind in _SEQUENCES:
        return list(value)
    if kind is torch.storage.TypedStorage:
        return [value._untyped_storage]
    is_plain = kind in _TENSORS and value.layout == torch.strided and not value.is_quantized
    if is_plain and not value._backward_hooks:
        return [value.untyped_storage(), *value.__dict__.values()]
    raise UnknownObjectError(f"{kind.__module__}.{kind.__qualname__}")
