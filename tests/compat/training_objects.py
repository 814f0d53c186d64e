"""What a training job saves beside the model: every optimizer and scheduler of torch after steps.

A class that torch adds later has no recipe here, and ``test_training_objects.py`` says so.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn, optim
from torch.optim import lr_scheduler, swa_utils

Maker = Callable[[], Any]
MakeOptimizer = Callable[[nn.Module], optim.Optimizer]
MakeScheduler = Callable[[optim.Optimizer], Any]


def take_steps(model: nn.Module, optimizer: optim.Optimizer, seed: int = 0) -> None:
    """Two steps on batches that ``seed`` makes."""
    generator = torch.Generator().manual_seed(seed)

    def closure(batch: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = model(batch).square().mean()
        loss.backward()
        return loss

    for batch in torch.randn(2, 8, 6, generator=generator):
        optimizer.step(functools.partial(closure, batch))  # type: ignore[arg-type]


def fresh(make: MakeOptimizer, seed: int = 0) -> tuple[nn.Module, optim.Optimizer]:
    """A small model with its optimizer."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2))
    return model, make(model)


def after_steps(make: MakeOptimizer) -> tuple[nn.Module, optim.Optimizer]:
    model, optimizer = fresh(make)
    take_steps(model, optimizer)
    return model, optimizer


def optimizer_state(name: str) -> dict[str, Any]:
    return after_steps(OPTIMIZERS[name])[1].state_dict()


def sparse_adam_state() -> dict[str, Any]:
    """SparseAdam steps over sparse gradients alone."""
    torch.manual_seed(0)
    table = nn.Embedding(10, 3, sparse=True)
    optimizer = optim.SparseAdam(table.parameters())
    for rows in ([1, 2], [2, 5]):
        optimizer.zero_grad()
        table(torch.tensor(rows)).sum().backward()
        optimizer.step()
    return optimizer.state_dict()


def matrices(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.dim() == 2]


def two_groups(model: nn.Module) -> list[dict[str, Any]]:
    first, _, last = model
    return [
        {"params": first.parameters(), "lr": 0.1},
        {"params": last.parameters(), "weight_decay": 0.2, "note": "of the user"},
    ]


OPTIMIZERS: dict[str, MakeOptimizer] = {
    "Adadelta": lambda m: optim.Adadelta(m.parameters()),
    "Adafactor": lambda m: optim.Adafactor(m.parameters()),
    "Adagrad": lambda m: optim.Adagrad(m.parameters()),
    "Adam": lambda m: optim.Adam(m.parameters()),
    "Adam amsgrad": lambda m: optim.Adam(m.parameters(), amsgrad=True),
    "Adam fused": lambda m: optim.Adam(m.parameters(), fused=True),
    "Adam tensor lr": lambda m: optim.Adam(m.parameters(), lr=torch.tensor(0.1), foreach=False),
    "Adam named": lambda m: optim.Adam(m.named_parameters()),
    "Adamax": lambda m: optim.Adamax(m.parameters()),
    "AdamW": lambda m: optim.AdamW(m.parameters()),
    "AdamW two groups": lambda m: optim.AdamW(two_groups(m)),
    "ASGD": lambda m: optim.ASGD(m.parameters()),
    "LBFGS": lambda m: optim.LBFGS(m.parameters(), max_iter=3),
    "Muon": lambda m: optim.Muon(matrices(m)),
    "NAdam": lambda m: optim.NAdam(m.parameters()),
    "RAdam": lambda m: optim.RAdam(m.parameters()),
    "RMSprop": lambda m: optim.RMSprop(m.parameters(), centered=True, momentum=0.1),
    "Rprop": lambda m: optim.Rprop(m.parameters()),
    "SGD": lambda m: optim.SGD(m.parameters(), 0.1),
    "SGD momentum": lambda m: optim.SGD(m.parameters(), 0.1, momentum=0.9, nesterov=True),
}
OPTIMIZERS = {name: make for name, make in OPTIMIZERS.items() if hasattr(optim, name.split()[0])}


class Decay:
    """A learning rate rule with values of its own, which the scheduler's state holds."""

    def __init__(self) -> None:
        self.base = 0.9
        self.table = [1, 2.5, None]

    def __call__(self, step: int) -> float:
        return float(self.base**step)


def with_scheduler(make: MakeScheduler) -> Any:
    """The scheduler after two steps."""
    _, optimizer = after_steps(lambda m: optim.SGD(m.parameters(), 0.1, momentum=0.9))
    scheduler = make(optimizer)
    for loss in (0.5, 0.7):
        optimizer.step()
        is_plateau = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
        scheduler.step(*([loss] if is_plateau else []))
    return scheduler


def _sequential(optimizer: optim.Optimizer) -> Any:
    parts = [lr_scheduler.ConstantLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    return lr_scheduler.SequentialLR(optimizer, parts, [1])


def _chained(optimizer: optim.Optimizer) -> Any:
    parts = [lr_scheduler.LinearLR(optimizer), lr_scheduler.StepLR(optimizer, 3)]
    return lr_scheduler.ChainedScheduler(parts)


SCHEDULERS: dict[str, MakeScheduler] = {
    "ChainedScheduler": _chained,
    "ConstantLR": lr_scheduler.ConstantLR,
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.2),
    "CyclicLR own scale": lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.2, scale_fn=Decay()),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "LambdaLR lambda": lambda o: lr_scheduler.LambdaLR(o, lambda _: 1.0),
    "LambdaLR callable object": lambda o: lr_scheduler.LambdaLR(o, Decay()),
    "LinearLR": lr_scheduler.LinearLR,
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, Decay()),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [3, 4, 4]),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, 100),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 4),
    "ReduceLROnPlateau": lr_scheduler.ReduceLROnPlateau,
    "SequentialLR": _sequential,
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3),
    "SWALR": lambda o: swa_utils.SWALR(o, 0.05),
}


def scheduler_state(name: str) -> dict[str, Any]:
    return dict(with_scheduler(SCHEDULERS[name]).state_dict())


def averaged_model() -> dict[str, Any]:
    average = swa_utils.AveragedModel(nn.Linear(3, 2))
    average.update_parameters(nn.Linear(3, 2))
    return average.state_dict()


def grad_scaler() -> dict[str, Any]:
    """The scaler's state after one step under it."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(model(torch.ones(1, 3)).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    return scaler.state_dict()


def _maker(make: Callable[[str], Any], name: str) -> Maker:
    return lambda: make(name)


# All of it goes through the native walk.
TRAINING: dict[str, Maker] = {
    **{name: _maker(optimizer_state, name) for name in OPTIMIZERS},
    "AdamW without a step": lambda: optim.AdamW(nn.Linear(2, 2).parameters()).state_dict(),
    "SparseAdam": sparse_adam_state,
    **{name: _maker(scheduler_state, name) for name in SCHEDULERS},
    "AveragedModel": averaged_model,
    "GradScaler": grad_scaler,
    "random states": lambda: {
        "torch": torch.get_rng_state(),
        "generator": torch.Generator().manual_seed(5).get_state(),
        "python": random.Random(3).getstate(),
    },
}
