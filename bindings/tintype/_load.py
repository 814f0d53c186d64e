"""Loading: torch's own unpickler over files that were checked first."""

from __future__ import annotations

import os
import pickle
import re
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO, cast

import torch

from tintype import _tintype
from tintype._archive import Archive, verify_source
from tintype._errors import CorruptCheckpointError, UnsupportedError
from tintype._image import ImageFile, native_source
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
    weights_only: bool = True,
    keys: str | Iterable[str] | None = None,
) -> Any:
    """Loads a checkpoint as ``torch.load`` does, after checking that it is whole.

    Args:
        f: a path, or a binary file object that can seek, placed at the archive's first byte.
        map_location: as ``torch.load`` takes it.
        mmap: maps the storages instead of reading them; needs a path.
        verify: compares every CRC first, by several threads without the GIL. Without it only the
            file's structure is checked.
        weights_only: torch's safe unpickler. False lets the pickle run any code it names.
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
    names = None if keys is None else NameFilter(keys)
    source = native_source(f)
    if mmap and not isinstance(source, bytes):
        raise ValueError("mmap=True needs a path, not a file object")
    position = 0 if isinstance(source, bytes) else source.tell()
    try:
        target = _open_checked(source, position, names, verify, mmap)
        obj = _unpickle(target, map_location, mmap, weights_only)
    except (EOFError, zlib.error) as error:  # of a gzip.GzipFile or the like
        raise CorruptCheckpointError(f"{_name_of(f)} cannot be read to its end: {error}") from error
    return obj if names is None else prune(obj, names)


def _open_checked(
    source: bytes | BinaryIO, position: int, names: NameFilter | None, verify: bool, mmap: bool
) -> str | BinaryIO:
    """Checks the file and returns what torch.load shall read."""

    def rewind() -> None:
        if not isinstance(source, bytes):
            source.seek(position)

    skipped: list[tuple[int, int]] = []
    storage_keys: set[str] | None = None
    if names is not None:
        archive = Archive(_tintype.Archive.open(source), _name_of(source))
        rewind()
        storage_keys = names.storages(archive)
        skipped = _skipped_ranges(archive, storage_keys)
    if verify:
        report = verify_source(source, storage_keys)
        rewind()
        if not report.ok:
            raise CorruptCheckpointError(report.summary)
    image = _tintype.Image(source)
    rewind()
    if mmap or (isinstance(source, bytes) and image.start_offset == 0 and not skipped):
        if mmap and image.start_offset != 0:
            raise UnsupportedError(
                f"{_name_of(source)} has {image.start_offset} bytes before its archive, which "
                "mmap=True cannot skip: load it without mmap"
            )
        return os.fsdecode(cast(bytes, source))
    if isinstance(source, bytes) or skipped or image.start_offset != 0:
        return cast(BinaryIO, ImageFile(image, _name_of(source), skipped))
    return source


def _skipped_ranges(archive: Archive, wanted: set[str]) -> list[tuple[int, int]]:
    """Where unwanted storages lie. torch reads nothing between a header's name and the payload."""
    native = archive._native
    ranges = []
    for record in archive.records:
        prefix, _, key = record.name.rpartition("data/")
        if prefix or not record.name.startswith("data/") or key in wanted or record.method != 0:
            continue
        name_bytes = len(f"{native.root}/{record.name}".encode("utf-8", "surrogatepass"))
        begin = record.header_offset + 30 + name_bytes - native.start_offset
        ranges.append((begin, record.limit_offset - native.start_offset))
    return ranges


def _unpickle(target: str | BinaryIO, map_location: Any, mmap: bool, weights_only: bool) -> Any:
    try:
        return torch.load(target, map_location=map_location, mmap=mmap, weights_only=weights_only)
    except pickle.UnpicklingError as error:
        if not weights_only:
            raise CorruptCheckpointError(f"{_name_of(target)}: {error}") from error
        raise UnsafeCheckpointError(_explain(_name_of(target), str(error))) from error


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
