"""The states that are saved: shaped like a training job's, filled with noise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import tintype

TENSORS_PER_PARAMETER = 4  # AdamW: the parameter, exp_avg, exp_avg_sq, step
_FLOATS_PER_PARAMETER = 3  # tensors as large as the parameter


def adamw(total_bytes: int, parameter_count: int) -> tuple[torch.nn.Module, torch.optim.AdamW]:
    """A model and its optimizer whose state dicts together hold about `total_bytes`."""
    elements = max(1, total_bytes // parameter_count // _FLOATS_PER_PARAMETER // 4)
    torch.manual_seed(0)
    model = torch.nn.ParameterDict(
        {f"layer_{i}": torch.nn.Parameter(torch.rand(elements)) for i in range(parameter_count)}
    )
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        optimizer.state[parameter] = {
            "step": torch.tensor(1.0),
            "exp_avg": torch.rand(elements),
            "exp_avg_sq": torch.rand(elements),
        }
    return model, optimizer


def adamw_state(total_bytes: int, parameter_count: int = 32) -> dict[str, Any]:
    model, optimizer = adamw(total_bytes, parameter_count)
    return {
        "model_state_dict": dict(model.state_dict()),
        "optimizer_state_dict": optimizer.state_dict(),
    }


def flat_state(total_bytes: int, tensor_count: int) -> dict[str, torch.Tensor]:
    """Equal tensors that fill `total_bytes`."""
    torch.manual_seed(0)
    elements = max(1, total_bytes // tensor_count // 4)
    return {f"tensor_{i}": torch.rand(elements) for i in range(tensor_count)}


def trained(seconds: float, width: int) -> dict[str, Any]:
    """The full checkpoint of the transformer of examples/, trained for so long."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
    from model import CharTransformer, TextBatches
    from train_transformer import DEFAULT_TEXT, train_step

    torch.manual_seed(0)
    batches = TextBatches(DEFAULT_TEXT)
    model = CharTransformer(len(batches.alphabet), width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        train_step(model, optimizer, batches, "cpu")
    return tintype.pack_checkpoint(model, None, optimizer, None)


def tensors_in(state: Any) -> Iterator[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, dict):
        for part in state.values():
            yield from tensors_in(part)
    elif isinstance(state, (list, tuple)):
        for part in state:
            yield from tensors_in(part)


def storage_bytes(state: Any) -> int:
    """REQUIRES: no two tensors share a storage."""
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors_in(state))
