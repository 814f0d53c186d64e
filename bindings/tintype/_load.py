"""Loading: torch's own unpickler over a file object that checks what it hands out."""

from __future__ import annotations

import os
import pickle
import re
import zlib
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, NamedTuple, cast

import torch

from tintype import _tintype
from tintype._archive import Archive, verify_source
from tintype._errors import CorruptCheckpointError, TintypeIOError, UnsupportedError
from tintype._image import native_source
from tintype._partial import NameFilter, prune
from tintype._target import PathLike


class UnsafeCheckpointError(UnsupportedError, pickle.UnpicklingError):
    """The pickle asks for a class or function that ``weights_only`` does not allow. Nothing of it
    was called."""


def load(
    f: PathLike | BinaryIO,
    map_location: Any = None,
    *,
    mmap: bool = False,
    verify: bool = True,
    weights_only: bool | None = True,
    keys: str | Iterable[str] | None = None,
) -> Any:
    """Loads a checkpoint as ``torch.load`` does, after checking that it is whole.

    Args:
        f: a path, or a binary file object that can seek, placed at the archive's first byte.
        map_location: as ``torch.load`` takes it.
        mmap: maps the storages instead of reading them; needs a path.
        verify: compares every CRC, in the same pass and without the GIL: no byte reaches torch
            before its record was checked, and no object is returned before all were. Without it
            only the file's structure is checked.
        weights_only: torch's safe unpickler; None means True, as in ``torch.load``. False lets the
            pickle run any code it names.
        keys: load only parts: names as ``inspect`` gives them, or what they begin with, up to a
            ``/`` or ``.`` (``"model_state_dict"``, ``"model_state_dict/encoder"``). The result has
            the same nesting; other dict entries are left out, other list and tuple items are None.
            Only the parts' storages are read and checked.

    Raises:
        CorruptCheckpointError: damaged, cut off or no checkpoint; names record and tensors.
        UnsupportedError: legacy (not zip), TorchScript or other formats, compressed forms, streams
            that cannot seek, and (also a ``pickle.UnpicklingError``) pickles that need
            ``weights_only=False``.
        TintypeIOError: the system's errors, also ``FileNotFoundError`` and the like.
        KeyError: ``keys`` names nothing in the file.
    """
    weights_only = weights_only is None or bool(weights_only)
    names = None if keys is None else NameFilter(keys)
    source = native_source(f)
    if mmap and not isinstance(source, bytes):
        raise ValueError("mmap=True needs a path, not a file object")
    rewind = _rewinder(source)
    storage_keys: set[str] | None = None
    try:
        if names is not None:
            storage_keys = names.storages(Archive(_tintype.Archive.open(source), _name_of(f)))
            rewind()
        check = _Check(source, storage_keys, verify)
        obj = (_load_mapped if mmap else _load_checked)(check, map_location, weights_only)
    except pickle.UnpicklingError as error:
        if not weights_only:
            raise CorruptCheckpointError(f"{_name_of(f)}: {error}") from error
        raise UnsafeCheckpointError(_explain(_name_of(f), str(error))) from error
    except (EOFError, zlib.error) as error:  # of a gzip.GzipFile or the like
        raise CorruptCheckpointError(f"{_name_of(f)} cannot be read to its end: {error}") from error
    except (KeyError, TintypeIOError, MemoryError):
        raise
    except Exception as error:
        rewind()
        if verify and (damage := _damage_of(source, storage_keys)):
            raise CorruptCheckpointError(damage) from error
        raise
    return obj if names is None else prune(obj, names)


class _Check(NamedTuple):
    """What to read, and what of it to compare with its CRC."""

    source: bytes | BinaryIO
    storage_keys: set[str] | None
    verify: bool


def _load_checked(check: _Check, map_location: Any, weights_only: bool) -> Any:
    """Each record is checked while torch reads it, before torch sees a byte of it; the pickle too,
    so that nothing runs of a damaged one. Then what torch did not read."""
    file = _tintype.ArchiveFile(check.source, check.verify, check.storage_keys)
    obj = torch.load(cast(BinaryIO, file), map_location=map_location, weights_only=weights_only)
    file.finish()
    return obj


def _load_mapped(check: _Check, map_location: Any, weights_only: bool) -> Any:
    """torch maps the file by itself, so that everything is checked before."""
    path = os.fsdecode(cast(bytes, check.source))
    damage = _damage_of(check.source, check.storage_keys) if check.verify else ""
    if damage:
        raise CorruptCheckpointError(damage)
    start_offset = _tintype.ArchiveFile(check.source, False).start_offset
    if start_offset != 0:
        raise UnsupportedError(
            f"{path} has {start_offset} bytes before its archive, which mmap=True cannot skip: "
            "load it without mmap"
        )
    return torch.load(path, map_location=map_location, mmap=True, weights_only=weights_only)


def _damage_of(source: bytes | BinaryIO, storage_keys: set[str] | None) -> str:
    """All that is wrong, with the tensors it costs; empty for a sound file."""
    return verify_source(source, storage_keys).summary


def _rewinder(source: bytes | BinaryIO) -> Callable[[], None]:
    """Takes a file object back to where it stands now."""
    if isinstance(source, bytes):
        return lambda: None
    position = source.tell()
    return lambda: cast(None, source.seek(position))


def _explain(name: str, message: str) -> str:
    found = re.search(r"GLOBAL (\S+)", message)
    if found is None:
        lines = [line.strip() for line in message.splitlines() if line.strip()]
        reason = next((line for line in reversed(lines) if "nsupported" in line), lines[0])
        return (
            f"{name}: torch's weights_only unpickler refuses it: {reason}. "
            "If you trust its origin, load it with weights_only=False"
        )
    return (
        f"{name} needs {found.group(1)}, which weights_only=True does not allow (nothing ran). "
        "If you trust its origin: torch.serialization.add_safe_globals([...]) or weights_only=False"
    )


def _name_of(f: object) -> str:
    if isinstance(f, (str, bytes, os.PathLike)):
        return os.fsdecode(f)
    name = getattr(f, "name", None)
    return name if isinstance(name, str) else f"<{type(f).__name__}>"


__all__ = ["UnsafeCheckpointError", "load"]
