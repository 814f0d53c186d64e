"""The plain image of a checkpoint as a binary file."""

from __future__ import annotations

import io
import operator
import os
from typing import TYPE_CHECKING, BinaryIO, NoReturn, SupportsIndex, cast

from tintype import _tintype
from tintype._errors import UnsupportedError
from tintype._target import PathLike

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def native_source(f: PathLike | BinaryIO) -> bytes | BinaryIO:
    """What the native side opens: a path as bytes, or a file object, which must seek.

    Raises UnsupportedError for a stream or a file that cannot be read, TypeError for a file opened
    as text and for what is neither path nor file object.
    """
    if isinstance(f, (str, os.PathLike)):
        return native_path(f)
    if not (hasattr(f, "read") or hasattr(f, "readinto")):
        hint = ": use os.fsdecode(path), or io.BytesIO(content)" if isinstance(f, bytes) else ""
        raise TypeError(
            f"give a path (str or os.PathLike) or a binary file object, not {_kind_of(f)}{hint}"
        )
    if isinstance(f, io.TextIOBase):
        raise TypeError(f"a {_kind_of(f)} gives text: open the file in binary mode, by 'rb'")
    for method in ("seek", "tell"):
        if not hasattr(f, method):
            raise UnsupportedError(
                f"a {type(f).__name__} has no {method}(): give a path or a binary file object that "
                "can seek, such as io.BytesIO(stream.read())"
            )
    if hasattr(f, "seekable") and not f.seekable():
        raise UnsupportedError(
            f"a {type(f).__name__} cannot seek: read it whole into an io.BytesIO first"
        )
    if hasattr(f, "readable") and not f.readable():
        raise UnsupportedError(f"a {type(f).__name__} opened to write only: open the file by 'rb'")
    return f


def native_path(path: PathLike) -> bytes:
    """As ``native_source``, for what takes paths only."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"give a path (str or os.PathLike), not {_kind_of(path)}")
    return os.fsencode(path)


def _kind_of(value: object) -> str:
    return "None" if value is None else type(value).__qualname__


class ImageFile(io.RawIOBase):
    """The plain image, read-only: position 0 is its first byte, whatever the file on disk holds
    around it. Reads fill the buffer except at the end, and let other Python threads run. Closing
    frees the file's descriptor and, of a compressed one, the threads and memory that decode it.
    Several threads may call it, and share its one position."""

    def __init__(self, native: _tintype.ArchiveFile, name: str) -> None:
        super().__init__()
        self.name = name
        self.mode = "rb"
        self._native: _tintype.ArchiveFile | None = native

    def close(self) -> None:
        self._native = None
        super().close()

    def readable(self) -> bool:
        self._opened()
        return True

    def seekable(self) -> bool:
        self._opened()
        return True

    def writable(self) -> bool:
        self._opened()
        return False

    def write(self, data: object, /) -> NoReturn:
        self._opened()
        raise io.UnsupportedOperation(f"{self.name} is open for reading only")

    def tell(self) -> int:
        return self._opened().tell()

    def seek(self, offset: SupportsIndex, whence: SupportsIndex = os.SEEK_SET, /) -> int:
        native = self._opened()
        return native.seek(_as_int64(offset, "offset"), _as_int64(whence, "whence"))

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._opened().readinto(buffer)

    def read(self, size: int | None = -1, /) -> bytes:
        native = self._opened()
        return native.read(-1 if size is None else _as_int64(size, "size"))

    def readall(self) -> bytes:
        return self._opened().read()

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise TypeError(f"{self.name} is open, and cannot be copied or pickled: open it again")

    def _opened(self) -> _tintype.ArchiveFile:
        if self._native is None:
            raise ValueError(f"{self.name} is closed")
        return self._native


def _as_int64(value: SupportsIndex, name: str) -> int:
    number = operator.index(value)
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError(f"{name}={number} is not within 64 bits")
    return number


def open(path: PathLike) -> BinaryIO:
    """Opens a checkpoint of any form as a read-only, seekable binary file that holds its plain
    image: ``torch.load(tintype.open(path))`` works.

    The file's structure is checked, the bytes of a plain file are not: see ``verify``. Of a
    compressed one, each extent is checked when it is read. Of several threads' calls each is whole,
    but they share one position: a thread that seeks and then reads opens a file of its own, and so
    does a forked child, in which what the parent opened is closed. Raises TintypeIOError
    (FileNotFoundError and so on), CorruptCheckpointError for a file that is cut off or no
    checkpoint, UnsupportedError for legacy and TorchScript files.
    """
    file = ImageFile(_tintype.ArchiveFile(native_path(path), False), os.fspath(path))
    return cast(BinaryIO, file)  # it is one in all but its bases
