"""Parts of a checkpoint, chosen by the names that ``inspect`` gives."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from tintype._archive import Archive
from tintype._errors import UnsupportedError

_DICTS = (dict, OrderedDict, Counter, defaultdict)
_CUTTABLE = (*_DICTS, list, tuple)  # these types alone: a subclass may hold more than its items
_NAMED_KEYS = (int, float, bool, bytes, type(None))  # besides str: by their repr, as inspect does
_NAMED_BYTES, _NAMED_INTS = 200, 1 << 511  # inspect cuts what is larger


class NameFilter:
    """Chooses names that equal one of ``keys`` or go on behind it with ``/`` or ``.``."""

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
        self._cut_out: set[str] = set()

    def cut(self, obj: Any, archive: Archive) -> Any:
        """``obj`` without what is not chosen: dicts lose entries, lists and tuples hold None there.

        Raises KeyError for a key that names nothing, UnsupportedError for one that names what can
        only be had with what it lies in.
        """
        kept = self._prune(obj, None) if type(obj) in _CUTTABLE else None
        for key in self._keys:
            if key not in self._cut_out and not self._is_within_another(key, archive):
                raise _nothing_cut_out(key, archive)
        return kept

    def _is_within_another(self, key: str, archive: Archive) -> bool:
        return any(_leads_to(other, key) for other in self._cut_out) and _has(archive, key)

    def _prune(self, obj: Any, name: str | None) -> Any:
        if type(obj) in (list, tuple):
            items = ((_join(name, str(i)), item) for i, item in enumerate(obj))
            return type(obj)(self._item(item, item_name) for item_name, item in items)
        kept = _empty_like(obj)
        for key, value in obj.items():
            item_name = _name_of_key(name, key)
            if item_name is None:
                continue
            if self._chooses(item_name):
                kept[key] = value
            elif self._leads_deeper(item_name) and type(value) in _CUTTABLE:
                kept[key] = self._prune(value, item_name)
        return kept

    def _item(self, item: Any, name: str) -> Any:
        if self._chooses(name):
            return item
        is_cuttable = self._leads_deeper(name) and type(item) in _CUTTABLE
        return self._prune(item, name) if is_cuttable else None

    def _chooses(self, name: str) -> bool:
        chosen_by = [key for key in self._keys if _leads_to(key, name)]
        self._cut_out.update(chosen_by)
        return bool(chosen_by)

    def _leads_deeper(self, name: str) -> bool:
        """Whether something below this name may be chosen."""
        return any(key.startswith(name + "/") for key in self._keys)


def _leads_to(key: str, name: str) -> bool:
    return name == key or (name.startswith(key) and (key[-1] in "/." or name[len(key)] in "/."))


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


def _has(archive: Archive, key: str) -> bool:
    return any(_leads_to(key, name) for name in (*archive.tensors, *archive.values))


def _nothing_cut_out(key: str, archive: Archive) -> Exception:
    if _has(archive, key):
        return UnsupportedError(
            f"{archive.path}: {key!r} cannot be loaded alone, since what it names has no place of "
            "its own among nested dicts, lists and tuples, or a key that is neither a text nor a "
            "number or short bytes: choose what it lies in"
        )
    return KeyError(f"{key!r} names nothing in {archive.path}; tintype.inspect lists the names")
