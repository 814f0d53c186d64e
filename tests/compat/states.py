"""States whose files say which save they are of, and what a directory may hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import tintype

State = dict[str, Any]
MakeEngine = Callable[..., tintype.Engine]


def numbered_state(number: int, size_bytes: int = 1 << 20, tensors: int = 4) -> State:
    """Every element and the Python value are ``number``: a mixture of two saves shows."""
    count = size_bytes // 4 // tensors
    return {
        "tensors": [torch.full((count,), float(number)) for _ in range(tensors)],
        "number": number,
    }


def renumber(state: State, number: int) -> None:
    """Overwrites every tensor and the Python value in place."""
    for tensor in state["tensors"]:
        tensor.fill_(float(number))
    state["number"] = number


def number_in(path: str | os.PathLike[str]) -> int:
    """The number of the one save whose state the whole file holds; AssertionError if it is torn."""
    state = torch.load(path, weights_only=True)
    number = int(state["number"])
    for index, tensor in enumerate(state["tensors"]):
        low, high = float(tensor.min()), float(tensor.max())
        assert low == high == number, f"{path}: tensor {index} holds {low} to {high}, not {number}"
    return number


def temps_in(folder: Path) -> list[str]:
    """Names of temporary files of this package."""
    return sorted(name for name in os.listdir(folder) if ".tintype-" in name)


def failing_save(engine: tintype.Engine, folder: Path, name: str = "late.pth") -> tintype.Snapshot:
    """A save that starts well and fails at step 8b: a directory appears under its name. Needs an
    engine with a byte_rate_limit."""
    snapshot = engine.save_async(numbered_state(1), folder / name)
    assert not snapshot.done()
    (folder / name).mkdir()
    return snapshot
