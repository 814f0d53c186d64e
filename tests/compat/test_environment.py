"""Saves go on while the process forks, as data loaders and multiprocessing do all the time."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import tintype

FORK = multiprocessing.get_context("fork")
STATE_FLOATS = 1 << 20


def make_state(value: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((STATE_FLOATS,), value)}


def slow_engine() -> tintype.Engine:
    """About half a second for one state, so that forks fall into a save."""
    return tintype.Engine(byte_rate_limit=8 << 20, extent_bytes=256 << 10)


class Squares(Dataset):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor(index**2)


def test_data_loader_workers_start_and_end_during_a_save(tmp_path: Path) -> None:
    with slow_engine() as engine:
        pending = engine.save_async(make_state(1.0), tmp_path / "x.pth")
        rounds = 0
        while not pending.done() or rounds == 0:
            loader = DataLoader(Squares(), num_workers=2, multiprocessing_context=FORK)
            assert sum(int(batch) for batch in loader) == sum(i**2 for i in range(64))
            rounds += 1
        pending.wait_durable()
    print(f"{rounds} data loaders during one save")
    assert torch.load(tmp_path / "x.pth")["weight"].eq(1.0).all()
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def refuses_its_parents_engine(
    engine: tintype.Engine, pending: tintype.Snapshot, path: str
) -> None:
    for call in (
        lambda: engine.save({"x": 1}, path),
        engine.wait,
        pending.wait_durable,
        engine.close,
        lambda: engine.prepare({"x": torch.ones(3)}),
    ):
        with pytest.raises(Exception, match="parent process"):
            call()


def test_children_are_refused_the_engine_of_their_parent(tmp_path: Path) -> None:
    with slow_engine() as engine:
        pending = engine.save_async(make_state(2.0), tmp_path / "x.pth")
        children = [
            FORK.Process(target=refuses_its_parents_engine, args=(engine, pending, tmp_path / "c"))
            for _ in range(4)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
        assert [child.exitcode for child in children] == [0] * 4
        pending.wait_durable()
    assert torch.load(tmp_path / "x.pth")["weight"].eq(2.0).all()


# Given the state: libgomp, and so a large torch.full, hangs in children of a threaded parent.
def saves_by_itself(state: dict[str, torch.Tensor], path: str) -> None:
    tintype.save(state, path)


def test_children_have_a_default_engine_of_their_own(tmp_path: Path) -> None:
    pending = tintype.save_async(make_state(4.0), tmp_path / "parent.pth")
    child_path = str(tmp_path / "child.pth")
    child = FORK.Process(target=saves_by_itself, args=(make_state(3.0), child_path))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    pending.wait_durable()
    assert torch.load(child_path)["weight"].eq(3.0).all()
    assert torch.load(tmp_path / "parent.pth")["weight"].eq(4.0).all()


def test_a_child_that_leaves_by_exit_neither_waits_nor_complains(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import os, sys, torch, tintype
        engine = tintype.Engine(byte_rate_limit=1 << 20, extent_bytes=256 << 10)
        pending = engine.save_async({"weight": torch.ones(1 << 20)}, sys.argv[1])
        child = os.fork()
        if child == 0:
            sys.exit(0)  # runs the exit handlers of the parent's copy
        assert not pending.done()
        assert os.waitpid(child, 0)[1] == 0
    """)
    path = tmp_path / "x.pth"
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert torch.load(path)["weight"].eq(1.0).all(), "the exit drains the pending save"
