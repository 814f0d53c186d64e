"""Small jobs under a CheckpointCallback, for the tests of the checkpoint directory."""

from __future__ import annotations

import os
import resource
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

import tintype

PARTS = ("model", "criterion", "optimizer", "scheduler")


def make_parts() -> dict[str, Any]:
    """A tiny model with dropout, so that training draws random numbers, and all other parts."""
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return {
        "model": model,
        "criterion": nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0])),
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5),
    }


def open_callback(logdir: Path | str, model: Any = None, **options: Any) -> Any:
    """A callback over one weight, which tests set to mark an epoch."""
    if model is None:
        model = nn.Linear(1, 1, bias=False)
    return tintype.CheckpointCallback(logdir, model=model, **options)


@contextmanager
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextmanager
def files_limited_to(size_bytes: int) -> Iterator[None]:
    """Saves that write a larger file fail with EFBIG, after they have started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save_epoch(callback: Any, model: nn.Module, stage: str, epoch: int, loss: float) -> Any:
    """Saves an epoch whose weight tells which one it was."""
    mark(model, epoch)
    return callback.on_epoch_end(stage, epoch, {"loss": loss})


def mark(model: nn.Module, value: float) -> None:
    with torch.no_grad():
        model.weight.fill_(value)


def weight_in(path: Path | str) -> float:
    """The mark of the light or full file."""
    loaded = torch.load(path, weights_only=True)
    return float(loaded["model_state_dict"]["weight"])


def run_stage(callback: Any, model: nn.Module, stage: str, losses: list[float]) -> None:
    first = callback.on_stage_start(stage)
    for epoch in range(first, len(losses) + 1):
        save_epoch(callback, model, stage, epoch, losses[epoch - 1])
    callback.on_stage_end(stage)


def names(logdir: Path | str) -> set[str]:
    """The files in the checkpoints folder without those that begin with a dot."""
    return {n for n in os.listdir(Path(logdir) / "checkpoints") if not n.startswith(".")}


def pairs(*bases: str) -> set[str]:
    """The names of a finished run that keeps these stems."""
    every = (*bases, "best", "last")
    return {f"{b}.pth" for b in every} | {f"{b}_full.pth" for b in every} | {"_metrics.json"}


def every_file(logdir: Path) -> dict[str, bytes]:
    """All files but the lock, by content."""
    folder = logdir / "checkpoints"
    found = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    return {name: content for name, content in found.items() if name != ".tintype.lock"}
