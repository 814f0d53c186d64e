"""Parts of a checkpoint, chosen by the names that ``inspect`` gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tintype._archive import Archive


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
                raise ValueError(f"keys holds an empty name: {wanted}")

    def chooses(self, name: str) -> bool:
        return any(_leads_to(key, name) for key in self._keys)

    def leads_deeper(self, name: str) -> bool:
        """Whether something below this name is chosen."""
        return name == "" or any(key.startswith(name + "/") for key in self._keys)

    def storages(self, archive: Archive) -> set[str]:
        """The keys of the storages that the chosen tensors need. KeyError where none is chosen."""
        names = [*archive.tensors, *archive.values]
        for key in self._keys:
            if not any(_leads_to(key, name) for name in names):
                raise KeyError(
                    f"{key!r} names nothing in {archive.path}; tintype.inspect lists the names"
                )
        chosen = (entry for name, entry in archive.tensors.items() if self.chooses(name))
        return {entry.storage_key for entry in chosen}


def _leads_to(key: str, name: str) -> bool:
    return name == key or (name.startswith(key) and (key[-1] in "/." or name[len(key)] in "/."))


def prune(obj: Any, names: NameFilter, name: str = "") -> Any:
    """``obj`` without what is not chosen: dicts lose entries, lists and tuples hold None there."""
    if isinstance(obj, dict):
        kept = type(obj)() if type(obj) is not dict else {}
        if hasattr(obj, "__dict__"):  # _metadata of a module's state dict
            kept.__dict__.update(obj.__dict__)
        for key, value in obj.items():
            _add_chosen(kept, key, value, names, _join(name, key))
        return kept
    if type(obj) in (list, tuple):
        items = [_chosen_item(item, names, _join(name, i)) for i, item in enumerate(obj)]
        return type(obj)(items)
    return None


def _add_chosen(kept: dict[Any, Any], key: Any, value: Any, names: NameFilter, name: str) -> None:
    if names.chooses(name):
        kept[key] = value
    elif names.leads_deeper(name) and isinstance(value, (dict, list, tuple)):
        kept[key] = prune(value, names, name)


def _chosen_item(item: Any, names: NameFilter, name: str) -> Any:
    if names.chooses(name):
        return item
    return prune(item, names, name) if names.leads_deeper(name) else None


def _join(name: str, key: object) -> str:
    part = key if isinstance(key, str) else repr(key)
    return f"{name}/{part}" if name else part
