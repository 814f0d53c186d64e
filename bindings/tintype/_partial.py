"""Parts of a checkpoint, chosen by the names that ``inspect`` gives."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tintype._archive import Archive
from tintype._errors import UnsupportedError

_DICTS = (dict, OrderedDict, Counter, defaultdict)
_CUTTABLE = (*_DICTS, list, tuple)  # these types alone: a subclass may hold more than its items
_NAMED_KEYS = (int, float, bool, bytes, type(None))  # besides str: by their repr, as inspect does
_NAMED_BYTES, _NAMED_INTS = 200, 1 << 511  # inspect cuts what is larger
_SEPARATOR = re.compile(r"[/.]")


class NameFilter:
    """Chooses names that equal one of ``keys`` or go on behind it with ``/`` or ``.``.

    A name is looked up by what it begins with: how many keys there are does not matter.
    """

    def __init__(self, keys: str | Iterable[str]) -> None:
        wanted = "give a name as tintype.inspect lists them, or several"
        if isinstance(keys, (bytes, Mapping)) or not isinstance(keys, (str, Iterable)):
            raise TypeError(f"keys={keys!r} is of type {type(keys).__qualname__}: {wanted}")
        self._keys = (keys,) if isinstance(keys, str) else tuple(keys)
        for key in self._keys:
            if not isinstance(key, str):
                raise TypeError(f"keys holds {key!r} of type {type(key).__qualname__}: {wanted}")
            if not key:
                raise ValueError(f"keys holds an empty name: {wanted}, or no keys for everything")
        self._key_set = frozenset(self._keys)
        self._longest = max(map(len, self._keys), default=0)
        self._ways = {key[: end.start()] for key in self._keys for end in re.finditer("/", key)}
        self._cut_out: set[str] = set()

    def chooses(self, name: str) -> bool:
        """Whether this name is one of those, wherever it may lie."""
        return any(True for _ in self._leading_to(name))

    def cut(self, obj: Any, archive: Archive) -> Any:
        """``obj`` without what is not chosen: dicts lose entries, lists and tuples hold None there.

        Raises KeyError for a key that names nothing, UnsupportedError for one that names what can
        only be had with what it lies in.
        """
        kept = self._prune(obj, None) if type(obj) in _CUTTABLE else None
        left = [key for key in self._keys if key not in self._cut_out]
        known = self._keys_that_name(archive) if left else set()
        for key in left:
            is_within_another = not self._cut_out.isdisjoint(self._leading_to(key))
            if key not in known or not is_within_another:
                raise _nothing_cut_out(key, archive, key in known)
        return kept

    def _keys_that_name(self, archive: Archive) -> set[str]:
        """Those that lead to anything in the file."""
        names = (*archive.tensors, *archive.values)
        return {key for name in names for key in self._leading_to(name)}

    def _prune(self, obj: Any, name: str | None) -> Any:
        if type(obj) in (list, tuple):
            return type(obj)(self._item(item, name, str(i)) for i, item in enumerate(obj))
        kept = _empty_like(obj)
        for key, value in obj.items():
            item_name = _name_of_key(name, key)
            if item_name is None:
                continue
            if self._chooses(item_name, name):
                kept[key] = value
            elif item_name in self._ways and type(value) in _CUTTABLE:
                kept[key] = self._prune(value, item_name)
        return kept

    def _item(self, item: Any, parent: str | None, part: str) -> Any:
        name = _join(parent, part)
        if self._chooses(name, parent):
            return item
        is_cuttable = name in self._ways and type(item) in _CUTTABLE
        return self._prune(item, name) if is_cuttable else None

    def _chooses(self, name: str, parent: str | None) -> bool:
        """REQUIRES: the parent, which this lies in, was not chosen."""
        chosen_by = list(self._leading_to(name, 0 if parent is None else len(parent)))
        self._cut_out.update(chosen_by)
        return bool(chosen_by)

    def _leading_to(self, name: str, start: int = 0) -> Iterator[str]:
        """The keys that choose this name and, but for itself, end at its character ``start`` or
        behind."""
        if name in self._key_set:
            yield name
        for separator in _SEPARATOR.finditer(name, start, self._longest + 1):
            for end in separator.span():  # a key may bring the separator
                if end < len(name) and name[:end] in self._key_set:
                    yield name[:end]


def _empty_like(obj: Any) -> Any:
    kept = defaultdict(obj.default_factory) if type(obj) is defaultdict else type(obj)()
    if hasattr(obj, "__dict__"):  # _metadata of a module's state dict
        kept.__dict__.update(obj.__dict__)
    return kept


def _name_of_key(name: str | None, key: object) -> str | None:
    """None: a key that no name stands for."""
    if isinstance(key, str):
        return _join(name, key)
    is_cut = (type(key) is bytes and len(key) > _NAMED_BYTES) or (
        type(key) is int and not -_NAMED_INTS <= key < _NAMED_INTS
    )
    return _join(name, repr(key)) if type(key) in _NAMED_KEYS and not is_cut else None


def _join(name: str | None, part: str) -> str:
    return part if name is None else f"{name}/{part}"


def _nothing_cut_out(key: str, archive: Archive, is_known: bool) -> Exception:
    if is_known:
        return UnsupportedError(
            f"{archive.path}: {key!r} cannot be loaded alone, since what it names has no place of "
            "its own among nested dicts, lists and tuples, or a key that is neither a text nor a "
            "number or short bytes: choose what it lies in"
        )
    return KeyError(f"{key!r} names nothing in {archive.path}; tintype.inspect lists the names")
