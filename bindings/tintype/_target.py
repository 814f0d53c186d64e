"""What a save's arguments say about its target: path, form, alignment."""

from __future__ import annotations

import errno
import io
import os
import pickle
import warnings
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple

from tintype import _tintype
from tintype._errors import TintypeIOError, UnsupportedError, io_error

if TYPE_CHECKING:
    from tintype._capture import Captured

Compression = Literal["by-name", "zstd", "planes", "auto"]
PathLike = str | os.PathLike[str]


class FileForm(NamedTuple):
    """How a file lies on the disk; ``is_adaptive``: coded only while the disk is behind."""

    name: str = "plain"  # or "zstd", "planes"
    is_adaptive: bool = False

    @property
    def is_compressed(self) -> bool:
        return self.name != "plain"

    @property
    def suffix(self) -> str:
        return _tintype.suffix_of_form(self.name)


class Target(NamedTuple):
    """One file of a save."""

    path: str  # absolute
    content: Captured
    is_symlink_followed: bool = True
    form: FileForm = FileForm()


_TORCH_DEFAULTS = {
    "pickle_module": pickle,
    "pickle_protocol": 2,
    "_use_new_zipfile_serialization": True,
    "_disable_byteorder_record": False,
}
_warned_about_crc = False


def absolute_path(path: PathLike) -> str:
    """The path as it stands now: a later ``chdir`` changes nothing. ``..`` stays: behind a symlink
    only the kernel knows what it means."""
    text = os.fspath(path)
    if isinstance(text, bytes):
        raise TypeError("the path must be str or os.PathLike, not bytes: use os.fsdecode(path)")
    if not text:
        raise ValueError("the path is empty: give the name of a file")
    return text if os.path.isabs(text) else os.path.join(_working_directory(text), text)


def _working_directory(path: str) -> str:
    try:
        return os.getcwd()
    except OSError as error:
        reason = f"the working directory, from which it counts, is not there ({error.strerror})"
        remedy = "give an absolute path, or os.chdir to a directory that exists"
        raise io_error(error.errno or 0, f"{path!r}: {reason}", path, remedy) from None


def form_of(path: PathLike, compression: Compression | None) -> FileForm:
    """The form that name and ``compression`` ask for; ValueError where they contradict."""
    _check_compression(compression)
    named = FileForm(_tintype.form_of_name(os.fsdecode(path)), is_adaptive=compression == "auto")
    if compression is None and named.is_compressed:
        raise ValueError(f"compression=None contradicts the name {path!s}: end it in .pth")
    if compression in ("zstd", "planes") and named.name != compression:
        wanted = FileForm(compression).suffix
        raise ValueError(f"compression={compression!r} needs a name that ends in {wanted}")
    if compression == "auto" and not named.is_compressed:
        raise ValueError("compression='auto' needs a name that ends in .zst or .ttz")
    return named


def check_plain(compression: Compression | None) -> None:
    """For file objects, which have no name to choose by; ValueError for a compressed form."""
    _check_compression(compression)
    if compression not in (None, "by-name"):
        raise ValueError(
            f"compression={compression!r}: file objects get the plain form; save to a path that "
            "ends in .zst or .ttz, or leave the argument out"
        )


def form_without_name(compression: object) -> FileForm:
    """The form that ``compression`` alone asks for, where names follow from it; ``auto`` codes
    planes."""
    if compression not in (None, "zstd", "planes", "auto"):
        raise ValueError(f"compression={compression!r} is not None, 'zstd', 'planes' or 'auto'")
    if compression == "auto":
        return FileForm("planes", is_adaptive=True)
    return FileForm(str(compression or "plain"))


def _check_compression(compression: object) -> None:
    if compression not in (None, "by-name", "zstd", "planes", "auto"):
        raise ValueError(
            f"compression={compression!r} is not None, 'by-name', 'zstd', 'planes' or 'auto'"
        )


def check_torch_arguments(arguments: dict[str, Any]) -> None:
    """``torch.save``'s other arguments are taken at their defaults, else refused by name."""
    for name, value in arguments.items():
        if name not in _TORCH_DEFAULTS:
            raise TypeError(f"save() got an unexpected keyword argument {name!r}")
        default = _TORCH_DEFAULTS[name]
        if value is not default and value != default:
            raise UnsupportedError(
                f"{name}={value!r}: tintype writes what torch.save writes with {name}={default!r}; "
                "leave the argument out, or use torch.save for this object"
            )


def write_fully(f: BinaryIO, piece: memoryview) -> None:
    """Writes all of ``piece``. A raw file may take less than it was given; an object that returns
    no count took everything."""
    rest = piece
    while len(rest) > 0:
        written = f.write(rest)
        if written is None and isinstance(f, io.RawIOBase):
            raise BlockingIOError(errno.EAGAIN, "the file is non-blocking and took nothing")
        if written is None or written == len(rest):
            return
        if not 0 < written < len(rest):
            raise TintypeIOError(
                errno.EIO,
                f"write to {f!r}: it says that it took {written} of {len(rest)} bytes; its write() "
                "must return how many bytes it took, or None for all",
            )
        rest = rest[written:]


def storage_alignment() -> int:
    """torch's ``storage_alignment`` setting, read at each call; 64 where torch has none."""
    global _warned_about_crc
    try:
        from torch.utils.serialization import config
    except ImportError:
        return 64
    save = config.save
    if not getattr(save, "compute_crc32", True) and not _warned_about_crc:
        _warned_about_crc = True
        warnings.warn(
            "torch.utils.serialization.config.save.compute_crc32=False is ignored: tintype always "
            "writes checksums (they cost nothing here)",
            stacklevel=4,
        )
    alignment = int(getattr(save, "storage_alignment", 64))
    if not 0 <= alignment < 1 << 32:  # the native side knows the exact bounds
        raise ValueError(f"torch's config.save.storage_alignment={alignment} is outside 1..32768")
    return alignment
