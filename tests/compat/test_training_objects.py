"""States of optimizers, schedulers, scalers: none is forgotten, and training continues by them."""

from __future__ import annotations

import inspect
import io
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import optim
from torch.optim import lr_scheduler

import tintype
from reading_support import equal
from training_objects import (
    OPTIMIZERS,
    SCHEDULERS,
    TRAINING,
    after_steps,
    fresh,
    take_steps,
    with_scheduler,
)


def classes_of(module: Any, *bases: type) -> set[str]:
    abstract = {base.__name__ for base in bases} | {"_LRScheduler"}
    classes = [c for c in vars(module).values() if inspect.isclass(c) and issubclass(c, bases)]
    return {c.__name__ for c in classes} - abstract


def test_every_optimizer_of_torch_has_a_case() -> None:
    assert classes_of(optim, optim.Optimizer) == {name.split()[0] for name in OPTIMIZERS} | {
        "SparseAdam"
    }


def test_every_scheduler_of_torch_has_a_case() -> None:
    schedulers = classes_of(lr_scheduler, lr_scheduler.LRScheduler) | {"ReduceLROnPlateau"}
    assert schedulers | {"SWALR"} == {name.split()[0] for name in SCHEDULERS}


@pytest.mark.parametrize("name", TRAINING)
def test_state_comes_back_equal_and_by_weights_only(tmp_path: Path, name: str) -> None:
    state = TRAINING[name]()
    tintype.save(state, tmp_path / "x.pth")
    for load in (torch.load, tintype.load):
        assert equal(load(tmp_path / "x.pth", weights_only=True), state)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_continues_to_the_last_digit(tmp_path: Path, name: str) -> None:
    model, optimizer = after_steps(OPTIMIZERS[name])
    path = tmp_path / "x.pth"
    tintype.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
    other_model, other_optimizer = fresh(OPTIMIZERS[name], seed=5)
    state = torch.load(path, weights_only=True)
    other_model.load_state_dict(state["model"])
    other_optimizer.load_state_dict(state["optimizer"])
    take_steps(model, optimizer, seed=7)
    take_steps(other_model, other_optimizer, seed=7)
    assert equal(other_model.state_dict(), model.state_dict())
    assert equal(other_optimizer.state_dict(), optimizer.state_dict())


@pytest.mark.parametrize("name", SCHEDULERS)
def test_scheduler_object_is_saved_or_refused_as_torch_does_it(name: str) -> None:
    scheduler = with_scheduler(SCHEDULERS[name])
    expected = io.BytesIO()
    refusal = None
    try:
        torch.save(scheduler, expected)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        refusal = str(error)
    ours = io.BytesIO()
    if refusal is None:
        tintype.save(scheduler, ours)
        assert ours.getvalue() == expected.getvalue()
        return
    with pytest.raises(tintype.UnpicklableError) as caught:
        tintype.save(scheduler, ours)
    assert type(caught.value.__cause__).__name__ in ("PicklingError", "AttributeError", "TypeError")
    assert ours.getvalue() == b""


def test_scheduler_with_a_lambda_is_refused_and_the_lambda_named() -> None:
    scheduler = with_scheduler(SCHEDULERS["LambdaLR lambda"])
    with pytest.raises(tintype.UnpicklableError, match=r"\.lr_lambdas\[0\], a function"):
        tintype.save({"scheduler": scheduler}, io.BytesIO())


def test_one_cycle_does_not_drag_tensors_along(tmp_path: Path) -> None:
    tintype.save(TRAINING["OneCycleLR"](), tmp_path / "x.pth")
    assert (tmp_path / "x.pth").stat().st_size < 1 << 20


def drawn_by_torch() -> list[float]:
    return [float(x) for x in torch.rand(5)]


def drawn_by_python() -> list[float]:
    return [random.random() for _ in range(5)]


@pytest.mark.parametrize(
    ("get", "put", "draw"),
    [
        (torch.get_rng_state, torch.set_rng_state, drawn_by_torch),
        (random.getstate, random.setstate, drawn_by_python),
    ],
    ids=["torch", "python"],
)
def test_random_numbers_go_on_where_they_were(
    tmp_path: Path, get: Callable[[], Any], put: Callable[[Any], None], draw: Callable[[], Any]
) -> None:
    tintype.save(get(), tmp_path / "x.pth")
    expected = draw()
    assert draw() != expected
    put(torch.load(tmp_path / "x.pth", weights_only=True))
    assert draw() == expected
