"""What a save's arguments say about its target: path, form, alignment."""

from __future__ import annotations

import os
import warnings
from typing import Literal

from tintype._errors import UnsupportedError

Compression = Literal["by-name", "zstd", "planes", "auto"]
PathLike = str | os.PathLike[str]

_COMPRESSED_SUFFIXES = {".zst": "zstd", ".ttz": "planes"}
_warned_about_crc = False


def absolute_path(path: PathLike) -> str:
    """The path as it stands now: a later ``chdir`` changes nothing."""
    text = os.fspath(path)
    if isinstance(text, bytes):
        raise TypeError("the path must be str or os.PathLike[str], not bytes")
    if not text:
        raise ValueError("the path is empty")
    return os.path.abspath(text) if not text.endswith(os.sep) else text


def check_form(path: PathLike | None, compression: Compression | None) -> None:
    """ValueError where name and ``compression`` contradict; UnsupportedError for what is to come."""
    suffix = os.path.splitext(os.fspath(path))[1] if path is not None else ""
    named = _COMPRESSED_SUFFIXES.get(suffix)
    if compression not in (None, "by-name", "zstd", "planes", "auto"):
        raise ValueError(f"compression={compression!r} is not None, 'by-name', 'zstd', 'planes' or 'auto'")
    if compression is None and named:
        raise ValueError(f"compression=None contradicts the name {path!s}: end it in .pth")
    if compression in ("zstd", "planes") and named != compression:
        wanted = ".zst" if compression == "zstd" else ".ttz"
        raise ValueError(f"compression={compression!r} needs a name that ends in {wanted}")
    if compression == "auto" and not named:
        raise ValueError("compression='auto' needs a name that ends in .zst or .ttz")
    if named:
        raise UnsupportedError(
            f"{path!s}: compressed forms are not in this version; save to a name that ends in .pth"
        )


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
    return int(getattr(save, "storage_alignment", 64))
