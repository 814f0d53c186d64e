"""Guarded saves at special moments: amid an operation, within a step, before a sleep."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn, optim

import tintype
from guarded_jobs import SLOW, VARIANTS, WIDTH, Job, torch_bytes
from states import MakeEngine

WEIGHT_BYTES = WIDTH * WIDTH * 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.pth"


def last_row(path: Path) -> torch.Tensor:
    row: torch.Tensor = torch.load(path)[-1][-1]
    return row


def run_in_main(call: Callable[[], None]) -> None:
    call()


def run_in_a_thread(call: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as threads:
        threads.submit(call).result()


@pytest.mark.parametrize("run", [run_in_main, run_in_a_thread])
def test_an_operation_that_is_under_way_at_the_end_of_copying_is_seen(
    path: Path, make_engine: MakeEngine, run: Callable[[Callable[[], None]], None]
) -> None:
    """torch counts a change when it is over, and gives the GIL away while it runs."""
    weight = nn.Parameter(torch.zeros(32768, WIDTH))
    optimizer = optim.SGD([weight], 0.1)
    engine = make_engine(staging_bytes=16 << 20)
    engine.guard(optimizer)
    rows, ones = torch.full((400_000,), len(weight) - 1), torch.ones(400_000, WIDTH)

    def change_while_it_copies() -> None:
        torn = 0
        for _ in range(6):
            with torch.no_grad():
                weight.zero_()
            snapshot = engine.save_async([weight], path)
            with torch.no_grad():
                weight.index_put_((rows,), ones, accumulate=True)
            try:
                snapshot.wait_durable()
            except tintype.TornSnapshotError:
                torn += 1
            else:
                assert not last_row(path).any()
        print(f"{torn} of 6 torn")

    run(change_while_it_copies)


@pytest.mark.parametrize("run", [run_in_main, run_in_a_thread])
def test_a_thread_that_sleeps_does_not_hold_its_save(
    path: Path, make_engine: MakeEngine, run: Callable[[Callable[[], None]], None]
) -> None:
    """Who sleeps in a call that is none of the package's runs no operation of torch: it is not
    waited for, as one that computes is for up to 10 s."""
    engine = make_engine()
    job = Job(VARIANTS["SGD"], count=64)
    engine.guard(job.optimizer)

    def save_and_sleep() -> None:
        staged = threading.Event()
        snapshot = engine.save_async(job.parameters, path)
        assert snapshot.report()["lazy_bytes"] == 64 * WEIGHT_BYTES
        threading.Thread(target=lambda: (snapshot.wait_staged(), staged.set())).start()
        assert staged.wait(9)

    run(save_and_sleep)


def save_in_the_closure(engine: tintype.Engine, job: Job, path: Path) -> tintype.Snapshot:
    started: list[tintype.Snapshot] = []

    def closure() -> float:
        started.append(engine.save_async(job.state()["parameters"], path))
        return 0.0

    job.optimizer.step(closure)
    return started[0]


def save_in_a_hook(engine: tintype.Engine, job: Job, path: Path) -> tintype.Snapshot:
    started: list[tintype.Snapshot] = []

    def hook(*_: object) -> None:
        started.append(engine.save_async(job.state()["parameters"], path))

    handle = job.optimizer.register_step_pre_hook(hook)
    job.optimizer.step()
    handle.remove()
    return started[0]


@pytest.mark.parametrize("save", [save_in_the_closure, save_in_a_hook])
@pytest.mark.parametrize("variant", ["SGD momentum foreach", "SGD momentum fused"])
def test_a_save_within_a_step_holds_the_state_at_its_call(
    path: Path,
    make_engine: MakeEngine,
    save: Callable[[tintype.Engine, Job, Path], tintype.Snapshot],
    variant: str,
) -> None:
    engine = make_engine(**SLOW)
    job = Job(VARIANTS[variant], count=64)
    engine.guard(job.optimizer)
    for parameter in job.parameters:
        parameter.grad = torch.zeros_like(parameter)
        parameter.grad[-1] = 1  # what no probe need touch
    expected = torch_bytes(job.state()["parameters"])
    snapshot = save(engine, job, path)
    assert torch_bytes(job.state()["parameters"]) != expected
    snapshot.wait_durable()
    assert path.read_bytes() == expected
    assert snapshot.report()["lazy_bytes"] == 0
    after = engine.save_async(job.parameters, path)
    assert after.report()["lazy_bytes"] == 64 * WEIGHT_BYTES
    engine.before_mutation()


def test_a_step_that_raised_leaves_saves_eager_until_the_next(
    path: Path, make_engine: MakeEngine
) -> None:
    def closure() -> float:
        raise ValueError("no loss")

    engine = make_engine(**SLOW)
    job = Job(VARIANTS["SGD"])
    engine.guard(job.optimizer)
    with pytest.raises(ValueError, match="no loss"):
        job.optimizer.step(closure)
    assert engine.save_async(job.parameters, path).report()["lazy_bytes"] == 0
    job.step()
    assert engine.save_async(job.parameters, path).report()["lazy_bytes"] == 8 * WEIGHT_BYTES
