"""Guarded saves in training loops: every file is the state at the call."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch import nn, optim

import tintype
from guarded_jobs import ADAMW, SLOW, VARIANTS, WIDTH, Job, torch_bytes
from states import MakeEngine
from training_objects import OPTIMIZERS


def check_saves(engine: tintype.Engine, path: Path, job: Job, saves: int = 3) -> int:
    """Saves and steps at once, again and again. The lazy bytes of the last save."""
    for _ in range(saves):
        state = job.state()
        expected = torch_bytes(state)
        snapshot = engine.save_async(state, path)
        job.step()
        snapshot.wait_durable()
        assert path.read_bytes() == expected
    lazy_bytes: int = snapshot.report()["lazy_bytes"]
    return lazy_bytes


def test_every_optimizer_of_torch_has_a_variant() -> None:
    assert {name.split()[0] for name in OPTIMIZERS} == {name.split()[0] for name in VARIANTS}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_file_is_the_state_at_the_call(
    tmp_path: Path, make_engine: MakeEngine, name: str
) -> None:
    engine = make_engine(**SLOW)
    job = Job(VARIANTS[name])
    with engine.guard(job.optimizer):
        lazy_bytes = check_saves(engine, tmp_path / "x.pth", job)
    assert lazy_bytes >= len(job.parameters) * WIDTH * WIDTH * 4


@pytest.mark.parametrize(
    "options",
    [{}, SLOW, {"staging_bytes": 16 << 10, "extent_bytes": 4096}],
    ids=["pool holds the state", "slow disk, small pool", "smallest pool"],
)
def test_a_step_waits_for_what_is_left_alone(
    tmp_path: Path, make_engine: MakeEngine, options: dict[str, int]
) -> None:
    engine = make_engine(**options)
    job = Job(ADAMW, count=24)
    job.step()
    engine.guard(job.optimizer)
    snapshot = engine.save_async(job.state(), tmp_path / "x.pth")
    job.step()
    report = snapshot.report()
    assert report["lazy_bytes"] == 3 * 24 * WIDTH * WIDTH * 4  # parameters and two averages
    assert report["eager_bytes"] == 24 * 4  # the steps
    if options == SLOW:  # 1.1 MiB, of which the pool takes half
        assert report["guard_wait_ns"] > 10_000_000
        assert report["blocking_ns"] >= report["guard_wait_ns"]
    snapshot.wait_durable()


def test_save_async_returns_before_the_tensors_are_copied(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(**SLOW)
    job = Job(ADAMW, count=64)
    engine.guard(job.optimizer)
    snapshot = engine.save_async(job.state(), tmp_path / "x.pth")
    with pytest.raises(TimeoutError):
        snapshot.wait_staged(timeout=0)
    snapshot.wait_staged()
    assert not snapshot.done()
    engine.before_mutation()  # at once: staged
    snapshot.wait_durable()
    assert snapshot.report()["guard_wait_ns"] == 0


def test_gradients_may_accumulate_while_a_save_copies(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(**SLOW)
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(WIDTH, WIDTH) for _ in range(24)])
    optimizer = optim.AdamW(model.parameters())
    engine.guard(optimizer)
    for batch in torch.randn(3, 4, WIDTH):
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        expected = torch_bytes(state)
        snapshot = engine.save_async(state, tmp_path / "x.pth")
        for part in batch.split(1):
            model(part).sum().backward()
        assert snapshot.report()["guard_wait_ns"] == 0
        optimizer.step()
        optimizer.zero_grad()
        snapshot.wait_durable()
        assert (tmp_path / "x.pth").read_bytes() == expected


def test_two_optimizers_of_one_model_are_both_waited_for(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(**SLOW)
    first, second = Job(ADAMW), Job(VARIANTS["SGD momentum fused"])
    for job in (first, second):
        job.step()
        engine.guard(job.optimizer)
    for _ in range(3):
        state = [first.state(), second.state()]
        expected = torch_bytes(state)
        snapshot = engine.save_async(state, tmp_path / "x.pth")
        second.step()
        first.step()
        snapshot.wait_durable()
        assert (tmp_path / "x.pth").read_bytes() == expected
        assert snapshot.report()["lazy_bytes"] == (3 + 2) * 8 * WIDTH * WIDTH * 4


def test_an_optimizer_deleted_while_its_save_copies_changes_nothing(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(**SLOW)
    job = Job(ADAMW, count=24)
    job.step()
    engine.guard(job.optimizer)
    state = job.state()
    expected = torch_bytes(state)
    snapshot = engine.save_async(state, tmp_path / "x.pth")
    del job, state
    engine.before_mutation()
    snapshot.wait_durable()
    assert (tmp_path / "x.pth").read_bytes() == expected
    engine.save_async(Job(ADAMW).state(), tmp_path / "x.pth").wait_durable()


def test_a_removed_guard_waits_and_later_saves_are_unguarded(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(**SLOW)
    job = Job(ADAMW, count=24)
    guard = engine.guard(job.optimizer)
    state = job.state()
    expected = torch_bytes(state)
    snapshot = engine.save_async(state, tmp_path / "x.pth")
    guard.remove()
    guard.remove()
    job.step()
    snapshot.wait_durable()
    assert (tmp_path / "x.pth").read_bytes() == expected
    again = engine.save_async(job.state(), tmp_path / "x.pth")
    assert again.report()["lazy_bytes"] == 0


def test_several_threads_train_and_save_with_one_engine(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(staging_bytes=1 << 20)
    failures: list[BaseException] = []

    def train(number: int) -> None:
        try:
            job = Job(ADAMW)
            with engine.guard(job.optimizer):
                check_saves(engine, tmp_path / f"{number}.pth", job, saves=6)
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=train, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_callback_saves_guarded_with_a_guarded_engine(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(**SLOW)
    job = Job(ADAMW)
    model = nn.ParameterList(job.parameters)
    engine.guard(job.optimizer)
    with tintype.CheckpointCallback(
        tmp_path, model=model, optimizer=job.optimizer, engine=engine
    ) as callback:
        callback.on_stage_start("train")
        for epoch in range(1, 4):
            job.step()
            weight = job.parameters[0].detach().clone()
            snapshot = callback.on_epoch_end("train", epoch, {"loss": 1.0 / epoch})
            job.step()
            snapshot.wait_published()
            assert snapshot.report()["lazy_bytes"] > 0
            saved = tintype.load_checkpoint(tmp_path / "checkpoints" / "last_full.pth")
            assert torch.equal(saved["model_state_dict"]["0"], weight)
        callback.on_stage_end("train")
