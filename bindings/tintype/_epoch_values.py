"""What a job tells of an epoch, in the exact types that a checkpoint holds."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch

_EPOCH_MAX = 2**63 - 1
_RESERVED = ("stage", "epoch", "metrics", "rng_state", "run_id")


def as_stage(stage: Any) -> str:
    """The name as an exact str; which names are allowed is checked where file names are made."""
    if not isinstance(stage, str):
        raise TypeError(f"the stage name must be str, not {type(stage).__qualname__}")
    if not _is_text(stage):
        raise ValueError(
            f"stage name {stage!r} has a character that is not allowed; it becomes part of file "
            "names, so use letters, digits, '.', '_' or '-'"
        )
    return str.__str__(stage)


def as_epoch(epoch: Any) -> int:
    """The epoch as an exact int (NumPy's integers become one)."""
    if isinstance(epoch, bool):
        raise TypeError("the epoch must be an int, not bool")
    try:
        number = operator.index(epoch)
    except TypeError:
        raise TypeError(f"the epoch must be an int, not {type(epoch).__qualname__}") from None
    if number < 1:
        raise ValueError(f"epoch {number}: epochs are counted from 1")
    if number > _EPOCH_MAX:
        raise ValueError(f"epoch {number} is over the largest, {_EPOCH_MAX} (2**63 - 1)")
    return number


def as_numbers(metrics: Any) -> dict[str, float]:
    """Metrics as floats: numbers, NumPy scalars, tensors and arrays of one element."""
    if not isinstance(metrics, Mapping):
        raise TypeError(f"metrics must be a dict, not {type(metrics).__qualname__}")
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        if not isinstance(name, str):
            raise TypeError(f"metric names must be str, not {type(name).__qualname__}: {name!r}")
        if not _is_text(name):
            raise ValueError(f"metric {name!r} has a name that cannot be written: no UTF-8")
        numbers[str.__str__(name)] = _as_float(name, value)
    return numbers


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _as_float(name: str, value: Any) -> float:
    kind = type(value).__qualname__
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"metric {name!r} is a {kind}, not a number: {value!r}")
    count = value.numel() if isinstance(value, torch.Tensor) else getattr(value, "size", 1)
    if count != 1:
        raise TypeError(f"metric {name!r} is a {kind} of {count} elements, not a number")
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise TypeError(f"metric {name!r} is a {kind}, not a number: {error}") from error


def check_extra(extra: Mapping[str, Any]) -> None:
    """ValueError where an extra value has the name of one of the checkpoint's own."""
    taken = [name for name in extra if name in _RESERVED]
    if taken:
        raise ValueError(f"extra names {taken} are used by the checkpoint itself: choose others")


def facts_of(checkpoint: Any, path: str) -> tuple[str, str, int, list[tuple[str, float]]]:
    """(run id, stage, finished epoch, metrics) of a loaded full file; ValueError for another."""
    if not isinstance(checkpoint, Mapping) or not {"stage", "epoch"} <= checkpoint.keys():
        raise ValueError(
            f"{path} holds no stage and epoch, so no run can be resumed from it: name the "
            "'_full.pth' file, or load the weights with load_checkpoint and unpack_checkpoint"
        )
    stage, epoch = checkpoint["stage"], checkpoint["epoch"]
    if not isinstance(stage, str) or not isinstance(epoch, int) or epoch < 0:
        raise ValueError(f"{path} has stage {stage!r}, epoch {epoch!r}: it is of another program")
    run_id = checkpoint.get("run_id", "")
    metrics = checkpoint.get("metrics")
    numbers = as_numbers(metrics) if isinstance(metrics, Mapping) else {}
    return run_id if isinstance(run_id, str) else "", stage, epoch, list(numbers.items())
