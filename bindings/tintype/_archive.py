"""Looking into checkpoints without executing their pickles: ``inspect`` and ``verify``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO, Literal, cast

import torch

from tintype import _tintype
from tintype._errors import UnsupportedError, make_error, printable
from tintype._image import native_path, native_source
from tintype._target import PathLike

Form = Literal["plain", "zstd", "planes"]


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a checkpoint, as its pickle describes it. Sizes ending in ``_bytes`` are bytes,
    all others elements."""

    name: str
    """The keys that lead to it, joined by ``/``; empty where the file is one bare tensor."""
    dtype: torch.dtype
    shape: torch.Size
    stride: tuple[int, ...]
    storage_offset: int
    size_bytes: int
    """Of the elements without gaps."""
    storage_key: str
    """Its bytes are the record ``data/<storage_key>``; empty for a meta tensor."""
    storage_bytes: int
    device: str
    """The tag it was saved with: ``cpu``, ``cuda:0``, ``meta``."""
    requires_grad: bool
    python_type: str
    """``Tensor``, ``Parameter``, ``Storage``, or a subclass's full name."""
    form: Literal["strided", "quantized", "meta", "storage"]
    is_conjugate: bool = False
    is_negative: bool = False


@dataclass(frozen=True)
class ValueEntry:
    """One value that is no tensor. ``text`` is for people: long values are cut."""

    name: str
    type: str
    text: str
    is_opaque: bool
    """An object of a class that only its own code can build; it stays unread."""


@dataclass(frozen=True)
class RecordEntry:
    """One record of the archive. Offsets in bytes from the start of the plain image."""

    name: str
    header_offset: int
    stored_bytes: int
    size_bytes: int
    crc32: int
    """0 on a record that is not empty: not computed."""
    method: int
    """0 stored, 8 deflated, 93 zstd."""
    limit_offset: int
    """Where the next record begins, or the directory."""


class Archive:
    """A checkpoint opened for looking; made by ``inspect``. May be used by several threads."""

    def __init__(self, native: _tintype.Archive, path: str) -> None:
        self._native = native
        self._path = path
        self._positions: dict[str, int] = {}
        tensors: dict[str, TensorEntry] = {}
        for position, fields in enumerate(native.tensors()):
            entry = _tensor_entry(fields)
            tensors[entry.name] = entry
            self._positions[entry.name] = position
        self._tensors = MappingProxyType(tensors)
        values = [ValueEntry(*fields) for fields in native.values()]
        self._values = MappingProxyType({value.name: value for value in values})
        self._records = tuple(RecordEntry(*fields) for fields in native.records())

    @property
    def path(self) -> str:
        """As it was given to ``inspect``."""
        return self._path

    @property
    def form(self) -> Form:
        """How the file holds it, told by its first bytes."""
        return cast(Form, self._native.form)

    @property
    def file_bytes(self) -> int:
        """Of the file."""
        return self._native.file_bytes

    @property
    def size_bytes(self) -> int:
        """Of the plain image, which all offsets count from: for a plain file the same."""
        return self._native.size_bytes

    @property
    def tensors(self) -> Mapping[str, TensorEntry]:
        """All tensors by name, in the checkpoint's order."""
        return self._tensors

    @property
    def values(self) -> Mapping[str, ValueEntry]:
        """Everything else by name: numbers, texts, opaque objects."""
        return self._values

    @property
    def records(self) -> tuple[RecordEntry, ...]:
        """The records in file order."""
        return self._records

    def read(self, name: str) -> torch.Tensor:
        """The tensor of this name, on the CPU (a meta tensor on ``meta``), with the shape and
        stride it was saved with, without gradient. Its whole storage is read and its CRC checked.

        Raises KeyError for an unknown name, CorruptCheckpointError for a damaged record,
        UnsupportedError for quantized tensors.
        """
        entry = self._tensors.get(name)
        if entry is None:
            raise KeyError(f"{self._path} has no tensor {name!r}; .tensors lists the names")
        if entry.form == "quantized":
            raise UnsupportedError(f"{name}: quantized tensors are read by tintype.load only")
        if entry.form == "meta":
            return torch.empty_strided(entry.shape, entry.stride, dtype=entry.dtype, device="meta")
        if self._native.byte_order == "big" and entry.dtype.itemsize > 1:
            raise UnsupportedError(
                f"{self._path} was written on a big-endian machine: read it with tintype.load"
            )
        # Said outright: torch's default device may be another, whose memory has no address here.
        raw = torch.empty(entry.storage_bytes, dtype=torch.uint8, device="cpu")
        self._native.read_storage(self._positions[name], raw.data_ptr())
        tensor = torch.empty(0, dtype=entry.dtype, device="cpu")
        tensor.set_(raw.untyped_storage(), entry.storage_offset, entry.shape, entry.stride)
        if entry.is_negative:
            tensor = torch._neg_view(tensor)
        return tensor.conj() if entry.is_conjugate else tensor

    def __repr__(self) -> str:
        total = sum(record.size_bytes for record in self._records)
        return f"<tintype.Archive {self._path!r}: {len(self._tensors)} tensors, {total} bytes>"


def _tensor_entry(fields: dict[str, Any]) -> TensorEntry:
    fields["dtype"] = getattr(torch, fields["dtype"])
    fields["shape"] = torch.Size(fields["shape"])
    return TensorEntry(**fields)


def inspect(path: PathLike) -> Archive:
    """Opens a checkpoint for looking: names, shapes, values, single tensors. Its pickle is read as
    data and never executed, so this is safe on files of unknown origin.

    Raises TintypeIOError (FileNotFoundError and so on), CorruptCheckpointError for a file whose
    structure or pickle is damaged, UnsupportedError for legacy and TorchScript files.
    """
    return Archive(_tintype.Archive.open(native_path(path)), os.fspath(path))


@dataclass(frozen=True)
class VerifyProblem:
    """One thing that is wrong with a file."""

    record: str
    """``data/3``; empty for the file's structure and for an extent."""
    offset: int
    """In bytes: of a damaged extent from the start of the file, of a record's header from the start
    of the plain image."""
    text: str
    tensors: tuple[str, ...]
    """What it costs, by name."""
    extent: int | None = None
    """Of a compressed file: the number of the extent, counted from 0."""
    remedy: str = ""
    """What to do about it; empty where nothing is known."""


@dataclass(frozen=True)
class VerifyReport:
    """What ``verify`` found."""

    path: str
    form: Form
    file_bytes: int
    size_bytes: int
    """Of the plain image: for a plain file the same."""
    extent_count: int
    """Extents found sound, of a compressed file."""
    record_count: int
    """Records found sound."""
    checked_bytes: int
    """Payload bytes whose CRC was compared and right."""
    problems: tuple[VerifyProblem, ...]
    notes: tuple[str, ...]
    """What is odd but no damage: records without CRC, a zip comment, zeros behind the end."""
    summary: str
    """All problems in one text; empty where there is none."""
    remedy: str
    """What to do about them; empty where there are none."""

    @property
    def ok(self) -> bool:
        """Whether the file is whole."""
        return not self.problems

    def __str__(self) -> str:
        sound = f"{self.path}: ok, {self.record_count} records, {self.checked_bytes} bytes"
        return printable("; ".join(filter(None, (self.summary or sound, self.remedy, *self.notes))))


def verify(path: PathLike | BinaryIO) -> VerifyReport:
    """Reads a whole checkpoint, a path or a file object as ``load`` takes it, and compares every
    CRC, by several threads, without the GIL; checks its structure, and that all storages its pickle
    names are there. Nothing is executed.

    A damaged or cut off file gives a report with problems. Raises only for what cannot be judged:
    TintypeIOError (a missing file, a directory), UnsupportedError (legacy, TorchScript or another
    format).
    """
    return verify_source(native_source(path), None)


def damage_in(report: VerifyReport) -> BaseException | None:
    """What to raise for a file that is not whole."""
    return None if report.ok else make_error("corruption", report.summary, report.remedy)


def verify_source(source: object, storage_keys: set[str] | None) -> VerifyReport:
    """As ``verify``, of what ``native_source`` gave; only these storages unless None."""
    found = _tintype.verify(source, storage_keys)
    found["problems"] = tuple(VerifyProblem(*fields) for fields in found["problems"])
    found["notes"] = tuple(found["notes"])
    return VerifyReport(**found)
