"""The promise of the plain form: byte for byte what ``torch.save`` writes to a buffer."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

import tintype


def make_training_state() -> dict[str, object]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(100, 100), torch.nn.BatchNorm1d(100))
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    model(torch.randn(4, 100)).sum().backward()
    optimizer.step()
    scheduler.step()
    return {
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler_state_dict": scheduler.state_dict(),
        "epoch": 3,
    }


def torch_bytes(obj: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(obj, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("alignment", [64, 4096])
def test_training_state_is_saved_as_torch_saves_it(tmp_path: Path, alignment: int) -> None:
    from torch.utils.serialization import config

    state = make_training_state()
    with config.patch({"save.storage_alignment": alignment}):
        expected = torch_bytes(state)
        tintype.save(state, tmp_path / "x.pth")
        buffer = io.BytesIO()
        tintype.save(state, buffer)
    assert (tmp_path / "x.pth").read_bytes() == expected
    assert buffer.getvalue() == expected
