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
from tintype._archive import Archive, damage_in, verify_source
from tintype._errors import CorruptCheckpointError, TintypeIOError, UnsupportedError
from tintype._image import native_source
from tintype._left_out import LeftOut, UnknownObjectError
from tintype._partial import NameFilter
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
        mmap: maps the storages instead of reading them; needs a path of a plain file.
        verify: compares every CRC, in the same pass and without the GIL: no byte reaches torch
            before its record was checked, and no object is returned before all were. Without it
            only the file's structure is checked, and of a compressed file what is decoded.
        weights_only: torch's safe unpickler; None means True, as in ``torch.load``. False lets the
            pickle run any code it names.
        keys: load only parts: names as ``inspect`` gives them, or what they begin with, up to a
            ``/`` or ``.`` (``"model_state_dict/encoder"``). The result has the same nesting; other
            dict entries are left out, other list and tuple items are None. Only the parts' storages
            are read and checked; all, if it holds more than containers, values, strided tensors.

    Raises:
        CorruptCheckpointError: damaged, cut off or no checkpoint; names record and tensors.
        UnsupportedError: legacy (not zip), TorchScript or other formats, a file object that cannot
            seek or read, ``mmap`` of a compressed file, ``keys`` that cannot be loaded alone, and
            (also a ``pickle.UnpicklingError``) pickles that need ``weights_only=False``.
        TintypeIOError: the system's errors, also ``FileNotFoundError`` and the like.
        KeyError: ``keys`` names nothing in the file.
    """
    names = None if keys is None else NameFilter(keys)
    source = _source_of(f, mmap)
    is_safe = weights_only is None or bool(weights_only)
    return _load(source, _name_of(f), names, _How(map_location, mmap, verify, is_safe))


class _How(NamedTuple):
    """What the caller said about the way to load."""

    map_location: Any
    mmap: bool
    verify: bool
    weights_only: bool


def _load(source: bytes | BinaryIO, name: str, names: NameFilter | None, how: _How) -> Any:
    rewind = _rewinder(source)
    storage_keys: set[str] | None = None
    try:
        if names is not None:
            archive = Archive(_tintype.Archive.open(source), name)
            if parts := _load_named(names, archive, how):
                return parts[0]
            storage_keys = _storages_of(names, archive)
            rewind()
        opened = source if storage_keys is None else archive._native
        check = _Check(opened, storage_keys, how)
        obj, left_out = _load_mapped(source, check) if how.mmap else _load_checked(check)
        return obj if names is None else _cut(names, obj, left_out, archive)
    except pickle.UnpicklingError as error:
        rewind()
        damage = None if how.verify else _damage_of(source, storage_keys)
        raise (damage or _refusal(name, str(error), how.weights_only)) from error
    except (EOFError, zlib.error) as error:  # of a gzip.GzipFile or the like
        raise CorruptCheckpointError(_explain_end(name, str(error))) from error
    except (KeyError, TintypeIOError, MemoryError):
        raise
    except Exception as error:
        rewind()
        if how.verify and (damage := _damage_of(source, storage_keys)):
            raise damage from error
        raise


def _source_of(f: PathLike | BinaryIO, mmap: bool) -> bytes | BinaryIO:
    source = native_source(f)
    if mmap and not isinstance(source, bytes):
        raise ValueError("mmap=True needs a path, not a file object")
    return source


class _Check(NamedTuple):
    """What to read, and what of it to compare with its CRC."""

    opened: bytes | BinaryIO | _tintype.Archive  # the source, or what has it open
    storage_keys: set[str] | None
    how: _How


def _load_named(names: NameFilter, archive: Archive, how: _How) -> tuple[Any] | tuple[()]:
    """The parts, by unpickling once, where the tensors' names show every storage that they hold.
    Nothing for files and parts of which more has to be known, and where anything fails."""
    is_packed = any(record.method != 0 for record in archive.records)
    runs_code = not how.weights_only or callable(how.map_location)  # and that once
    if how.mmap or runs_code or is_packed or _is_meta(how) or _has_opaque(archive):
        return ()
    chosen = (tensor for tensor in archive.tensors.values() if names.chooses(tensor.name))
    check = _Check(archive._native, {tensor.storage_key for tensor in chosen}, how)
    try:
        obj, left_out = _load_checked(check)
        cast(LeftOut, left_out).keys_in(obj)  # objects that are not chosen: of nothing unknown
        part = names.cut(obj, archive)
        return () if cast(LeftOut, left_out).keys_in(part) else (part,)
    except Exception:  # noqa: BLE001 - loading by two passes says what is wrong, if anything
        return ()


def _is_meta(how: _How) -> bool:
    return str(how.map_location) == "meta"


def _has_opaque(archive: Archive) -> bool:
    return any(value.is_opaque for value in archive.values.values())


def _storages_of(names: NameFilter, archive: Archive) -> set[str] | None:
    """The storages that the parts hold, found by loading everything without its bytes and looking
    at what is kept; None: all, where that does not show all that loading makes of the file."""
    if _has_opaque(archive):
        return None
    file = _tintype.ArchiveFile(archive._native, True, set())
    left_out = LeftOut(file, None)
    try:
        where = cast(Any, left_out)
        obj = torch.load(cast(BinaryIO, file), map_location=where, mmap=False, weights_only=True)
        left_out.keys_in(obj)  # objects that are not chosen are made too: of nothing unknown
    except Exception:  # noqa: BLE001 - loading all of it says what is wrong, if anything
        return None
    return None if left_out.has_read else left_out.keys_in(names.cut(obj, archive))


def _cut(names: NameFilter, obj: Any, left_out: LeftOut | None, archive: Archive) -> Any:
    """The parts. Whatever a pickle does: nothing that was not read is handed out."""
    part = names.cut(obj, archive)
    try:
        if left_out is None or not left_out.keys_in(part):
            return part
    except UnknownObjectError:
        pass
    raise UnsupportedError(f"{archive.path} cannot be loaded in parts: load it without keys=")


_Loaded = tuple[Any, LeftOut | None]


def _load_checked(check: _Check) -> _Loaded:
    """Each record is checked while torch reads it, before torch sees a byte of it; the pickle too,
    so that nothing runs of a damaged one. Then what torch did not read."""
    how = check.how
    file = _tintype.ArchiveFile(check.opened, how.verify, check.storage_keys)
    is_partial = check.storage_keys is not None and not _is_meta(how)
    left_out = LeftOut(file, how.map_location) if is_partial else None
    where = cast(Any, left_out or how.map_location)
    opened = cast(BinaryIO, file)
    # mmap: torch would take it from its config, for a path alone
    obj = torch.load(opened, map_location=where, mmap=False, weights_only=how.weights_only)
    file.finish()
    return obj, left_out


def _load_mapped(source: bytes | BinaryIO, check: _Check) -> _Loaded:
    """torch maps the file by itself, so that everything is checked before."""
    path = os.fsdecode(cast(bytes, source))
    if (form := _tintype.form_of(source)) != "plain":
        raise UnsupportedError(f"{path} is of the {form} form: load it without mmap")
    how = check.how
    if how.verify and (damage := _damage_of(source, check.storage_keys)):
        raise damage
    if obstacle := _obstacle_to_mapping(source, path):
        raise UnsupportedError(f"{path} {obstacle}: load it without mmap")
    where = cast(Any, how.map_location)
    obj = torch.load(path, map_location=where, mmap=True, weights_only=how.weights_only)
    return obj, None


def _obstacle_to_mapping(source: bytes | BinaryIO, path: str) -> str:
    """Why torch would fail on the file or map what it does not hold; empty: it would not."""
    file = _tintype.ArchiveFile(source, False)
    if compressed := file.compressed_storages():
        return f"holds {compressed[0]} in compressed form, which mmap=True cannot expand"
    if file.start_offset != 0:
        return f"has {file.start_offset} bytes before its archive, which mmap=True cannot skip"
    bytes_behind = os.path.getsize(path) - file.seek(0, os.SEEK_END)
    if bytes_behind > 0:
        return f"has {bytes_behind} bytes behind its archive, which mmap=True cannot skip"
    return ""


def _damage_of(source: bytes | BinaryIO, storage_keys: set[str] | None) -> BaseException | None:
    """All that is wrong, with the tensors it costs, as an error; None for a sound file."""
    return damage_in(verify_source(source, storage_keys))


def _rewinder(source: bytes | BinaryIO) -> Callable[[], None]:
    """Takes a file object back to where it stands now."""
    if isinstance(source, bytes):
        return lambda: None
    position = source.tell()
    return lambda: cast(None, source.seek(position))


def _refusal(name: str, message: str, weights_only: bool) -> Exception:
    """What an unpickler's message means, of a file that is whole."""
    if not weights_only:
        return CorruptCheckpointError(f"{name}: {message}")
    return UnsafeCheckpointError(_explain(name, message))


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


def _explain_end(name: str, message: str) -> str:
    return f"{name} cannot be read: {message or 'it ends too early'}"


def _name_of(f: object) -> str:
    if isinstance(f, (str, bytes, os.PathLike)):
        return os.fsdecode(f)
    name = getattr(f, "name", None)
    return name if isinstance(name, str) else f"<{type(f).__name__}>"


__all__ = ["UnsafeCheckpointError", "load"]
