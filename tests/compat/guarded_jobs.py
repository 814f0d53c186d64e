"""Training jobs whose every tensor is of 4 KiB or more, so that a guard makes it lazy."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn, optim

import tintype

WIDTH = 64  # a weight has 16 KiB
# Copies of some MiB wait for a disk of 8 MiB/s, which frees a slot of 64 KiB after another.
SLOW = {"staging_bytes": 512 << 10, "byte_rate_limit": 8 << 20}

Variant = Callable[[list[nn.Parameter]], optim.Optimizer]


def weights(count: int, seed: int = 0) -> list[nn.Parameter]:
    torch.manual_seed(seed)
    return [nn.Parameter(torch.randn(WIDTH, WIDTH)) for _ in range(count)]


class Job:
    """Parameters and one optimizer over them; each step changes every element."""

    def __init__(self, make: Variant, count: int = 8) -> None:
        self.parameters = weights(count)
        self.optimizer = make(self.parameters)

    def step(self) -> None:
        def closure() -> float:
            for parameter in self.parameters:
                parameter.grad = torch.sin(parameter.detach()) + 0.5
            return sum(float(p.detach().square().sum()) for p in self.parameters)

        closure()
        self.optimizer.step(closure)

    def state(self) -> dict[str, Any]:
        return {
            "parameters": [parameter.detach() for parameter in self.parameters],
            "optimizer": self.optimizer.state_dict(),
        }


def torch_bytes(state: object) -> bytes:
    """The file that holds the state of now."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def outcome_of(snapshot: tintype.Snapshot, path: Path, at_call: bytes, before: bytes) -> str:
    """ "torn" or "whole"; AssertionError for a file that is neither the old nor the right one."""
    try:
        snapshot.wait_durable()
    except tintype.TornSnapshotError:
        assert path.read_bytes() == before, "a torn save changed the file"
        return "torn"
    assert path.read_bytes() == at_call, "a torn file was accepted"
    return "whole"


def _adamw(**options: Any) -> Variant:
    return lambda parameters: optim.AdamW(parameters, lr=0.01, **options)


ADAMW = _adamw()
# Every optimizer of torch, and the ways its step is computed on the host.
VARIANTS: dict[str, Variant] = {
    "Adadelta": lambda p: optim.Adadelta(p),
    "Adafactor": lambda p: optim.Adafactor(p),
    "Adagrad": lambda p: optim.Adagrad(p),
    "Adagrad fused": lambda p: optim.Adagrad(p, fused=True),
    "Adam": lambda p: optim.Adam(p, amsgrad=True),
    "Adam fused": lambda p: optim.Adam(p, fused=True),
    "Adamax": lambda p: optim.Adamax(p),
    "AdamW loop": _adamw(foreach=False),
    "AdamW foreach": _adamw(foreach=True),
    "AdamW fused": _adamw(fused=True),
    "ASGD": lambda p: optim.ASGD(p),
    "LBFGS": lambda p: optim.LBFGS(p, max_iter=3, history_size=2),
    "Muon": lambda p: optim.Muon(p),
    "NAdam foreach": lambda p: optim.NAdam(p, foreach=True),
    "RAdam": lambda p: optim.RAdam(p),
    "RMSprop": lambda p: optim.RMSprop(p, centered=True, momentum=0.1),
    "Rprop": lambda p: optim.Rprop(p),
    "SGD": lambda p: optim.SGD(p, 0.1),
    "SGD momentum foreach": lambda p: optim.SGD(p, 0.1, momentum=0.9, foreach=True),
    "SGD momentum fused": lambda p: optim.SGD(p, 0.1, momentum=0.9, fused=True),
}
VARIANTS = {name: make for name, make in VARIANTS.items() if hasattr(optim, name.split()[0])}
