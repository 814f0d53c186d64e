"""Files that are no sound checkpoint, with the exit code and a word of the error that each gets."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from program import CORRUPT, IO_ERROR, UNSUPPORTED


def make_legacy(path: Path) -> None:
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=False)


def make_torchscript(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


def make_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "x")
        archive.writestr("folder/more.txt", "y")


def make_truncated(path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(1000)}, buffer)
    path.write_bytes(buffer.getvalue()[:2000])


BAD_FILES: list[tuple[str, Any, int, str]] = [
    ("missing", lambda path: None, IO_ERROR, "ENOENT, errno 2]; check the spelling"),
    ("directory", lambda path: path.mkdir(), IO_ERROR, "EISDIR, errno 21]; name one of the"),
    ("garbage", lambda path: path.write_bytes(bytes(range(256)) * 40), CORRUPT, ""),
    ("empty", lambda path: path.write_bytes(b""), CORRUPT, ""),
    ("truncated", make_truncated, CORRUPT, ""),
    ("zip", make_zip, UNSUPPORTED, "a zip file but no torch checkpoint"),
    ("legacy", make_legacy, UNSUPPORTED, "torch"),
    ("torchscript", make_torchscript, UNSUPPORTED, "torch.jit"),
    ("pipe", lambda path: os.mkfifo(path), UNSUPPORTED, "it is a device, pipe or socket"),
]
