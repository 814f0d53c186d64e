"""Reading: torch's own unpickler over the plain form."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import torch

from tintype._target import PathLike


def load(
    f: PathLike | BinaryIO, map_location: Any = None, *, mmap: bool = False, weights_only: bool = True
) -> Any:
    """Loads a checkpoint as ``torch.load`` does, ``weights_only`` by default."""
    return torch.load(
        f if not isinstance(f, os.PathLike) else os.fspath(f),
        map_location=map_location,
        mmap=mmap,
        weights_only=weights_only,
    )
