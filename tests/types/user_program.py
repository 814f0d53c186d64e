"""What users write, as mypy --strict sees it: ctest types.package checks it, nothing runs it."""

from pathlib import Path
from typing import Any

import torch

import tintype


def read(path: Path) -> list[Any]:
    with tintype.open(path) as file:
        content: bytes = file.read()
    return [torch.load(tintype.open(path)), tintype.load(tintype.open(path)), content]


def save(model: torch.nn.Module, path: Path) -> float:
    tintype.save(model.state_dict(), path)
    with path.open("wb") as file:
        tintype.save(model.state_dict(), file)
    snapshot: tintype.Snapshot = tintype.save_async(model.state_dict(), str(path))
    snapshot.wait_durable()
    return snapshot.progress()


def train(logdir: Path, model: torch.nn.Module) -> None:
    with tintype.CheckpointCallback(logdir, model=model, on_error="warn") as checkpoints:
        for epoch in range(checkpoints.on_stage_start("train"), 3):
            checkpoints.on_epoch_end("train", epoch, {"loss": torch.ones(())}, order=[1])
        checkpoints.on_stage_end("train")
