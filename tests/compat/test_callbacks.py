"""Done-callbacks and ``await``."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import tintype
from states import failing_save, number_in, numbered_state


@pytest.mark.parametrize("fn", [None, 3, "print"])
def test_what_cannot_be_called_is_no_callback(tmp_path: Path, fn: Any) -> None:
    snapshot = tintype.save_async(numbered_state(1, 10), tmp_path / "x.pth")
    with pytest.raises(TypeError, match=f"add_done_callback needs a function .*not {fn!r}"):
        snapshot.add_done_callback(fn)
    snapshot.wait_durable()


def test_callback_added_before_the_end_runs_once_in_the_final_state(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    snapshot = slow_engine.save_async(numbered_state(1), tmp_path / "x.pth")
    calls: list[tuple[tintype.Snapshot, bool, int]] = []
    has_run = threading.Event()

    def note(done: tintype.Snapshot) -> None:
        calls.append((done, done.done(), threading.get_ident()))
        has_run.set()

    snapshot.add_done_callback(note)
    assert calls == []
    snapshot.wait_published()
    assert has_run.wait(10)
    time.sleep(0.1)
    assert len(calls) == 1
    assert calls[0][:2] == (snapshot, True)
    assert calls[0][2] != threading.get_ident()


def test_callback_added_after_the_end_runs_at_once(tmp_path: Path) -> None:
    snapshot = tintype.save_async(numbered_state(1), tmp_path / "x.pth")
    snapshot.wait_published()
    called: list[tintype.Snapshot] = []
    snapshot.add_done_callback(called.append)
    snapshot.add_done_callback(called.append)
    assert called == [snapshot, snapshot]


def test_raising_callback_is_printed_and_harms_neither_the_others_nor_the_save(
    tmp_path: Path, slow_engine: tintype.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = slow_engine.save_async(numbered_state(1), tmp_path / "x.pth")
    has_run = threading.Event()

    def fail(_: tintype.Snapshot) -> None:
        raise RuntimeError("a callback's own mistake")

    def leave(_: tintype.Snapshot) -> None:
        raise SystemExit(3)

    snapshot.add_done_callback(fail)
    snapshot.add_done_callback(leave)
    snapshot.add_done_callback(lambda _: has_run.set())
    snapshot.wait_published()
    assert has_run.wait(10)
    later = threading.Event()
    slow_engine.save_async(numbered_state(2, 300_000), tmp_path / "y.pth").add_done_callback(
        lambda _: later.set()
    )
    assert later.wait(10)
    assert "a callback's own mistake" in capsys.readouterr().err
    assert number_in(tmp_path / "x.pth") == 1


class Incomparable:
    """A callback like a dataclass that holds tensors: to compare two of them raises."""

    def __init__(self) -> None:
        self.has_run = threading.Event()

    def __call__(self, _: tintype.Snapshot) -> None:
        self.has_run.set()

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")

    __hash__ = None  # type: ignore[assignment]


def test_callbacks_are_not_compared(tmp_path: Path, slow_engine: tintype.Engine) -> None:
    """Two of one save, and one of a later save, which still waits when they are called."""
    callbacks = [Incomparable() for _ in range(3)]
    first = slow_engine.save_async(numbered_state(1), tmp_path / "x.pth")
    later = slow_engine.save_async(numbered_state(2), tmp_path / "y.pth")
    for snapshot, callback in zip([first, first, later], callbacks, strict=True):
        snapshot.add_done_callback(callback)
    assert all(callback.has_run.wait(10) for callback in callbacks)

    async def wait() -> tintype.Snapshot:
        return await slow_engine.save_async(numbered_state(3), tmp_path / "z.pth")

    assert asyncio.run(asyncio.wait_for(wait(), 60)).done()


def test_callback_whose_error_cannot_be_printed_does_not_stop_the_others(
    tmp_path: Path, slow_engine: tintype.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)

    def fail(_: tintype.Snapshot) -> None:
        raise SystemExit("a callback's own mistake")

    for name in ("x.pth", "y.pth"):
        has_run = threading.Event()
        snapshot = slow_engine.save_async(numbered_state(1), tmp_path / name)
        snapshot.add_done_callback(fail)
        snapshot.add_done_callback(lambda _, event=has_run: event.set())
        assert has_run.wait(10)


def test_callback_may_use_the_engine(tmp_path: Path, slow_engine: tintype.Engine) -> None:
    saved = threading.Event()

    def save_next(_: tintype.Snapshot) -> None:
        slow_engine.save(numbered_state(2, 1000), tmp_path / "next.pth")
        saved.set()

    slow_engine.save_async(numbered_state(1), tmp_path / "x.pth").add_done_callback(save_next)
    assert saved.wait(10)
    assert number_in(tmp_path / "next.pth") == 2


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_callback_runs_for_a_save_that_did_not_succeed(
    tmp_path: Path, slow_engine: tintype.Engine, outcome: str
) -> None:
    if outcome == "failed":
        snapshot = failing_save(slow_engine, tmp_path)
    else:
        snapshot = slow_engine.save_async(numbered_state(1), tmp_path / "x.pth")
    states: list[str] = []
    has_run = threading.Event()

    def note(done: tintype.Snapshot) -> None:
        states.append(done.report()["state"])
        has_run.set()

    snapshot.add_done_callback(note)
    if outcome == "cancelled":
        assert snapshot.cancel()
    assert has_run.wait(10)
    assert states == [outcome]


def test_await_gives_the_snapshot_when_it_is_final(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    async def train() -> int:
        snapshot = slow_engine.save_async(numbered_state(1), tmp_path / "x.pth")
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticking = asyncio.create_task(tick())
        assert await snapshot is snapshot
        assert snapshot.done()
        ticking.cancel()
        assert await snapshot is snapshot
        return ticks

    assert asyncio.run(train()) > 5
    assert number_in(tmp_path / "x.pth") == 1


def test_several_saves_are_awaited_together(tmp_path: Path) -> None:
    async def train() -> None:
        snapshots = [
            tintype.save_async(numbered_state(i, 10_000), tmp_path / f"{i}.pth") for i in range(5)
        ]
        assert await asyncio.gather(*snapshots) == snapshots

    asyncio.run(train())
    assert [number_in(tmp_path / f"{i}.pth") for i in range(5)] == list(range(5))


def test_await_raises_the_error_and_it_counts_as_seen(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    async def train() -> None:
        with pytest.raises(IsADirectoryError):
            await failing_save(slow_engine, tmp_path)

    asyncio.run(train())
    slow_engine.wait()


def test_await_of_a_cancelled_save_raises_the_cancelled_error_of_futures(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    async def train() -> None:
        snapshot = slow_engine.save_async(numbered_state(1), tmp_path / "x.pth")
        assert snapshot.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            await snapshot

    asyncio.run(train())


def test_cancelling_the_awaiting_task_leaves_the_save_alone(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    async def train() -> tintype.Snapshot:
        snapshot = slow_engine.save_async(numbered_state(1), tmp_path / "x.pth")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_await(snapshot), timeout=0.02)
        assert not snapshot.done() and snapshot.exception() is None
        return snapshot

    asyncio.run(train()).wait_durable()
    assert number_in(tmp_path / "x.pth") == 1


def test_error_that_a_cancelled_task_never_got_is_still_unseen(
    tmp_path: Path, slow_engine: tintype.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    async def train() -> tintype.Snapshot:
        snapshot = failing_save(slow_engine, tmp_path)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_await(snapshot), timeout=0.02)
        assert not snapshot.done()
        return snapshot

    asyncio.run(train())
    with pytest.raises(IsADirectoryError):
        slow_engine.wait()
    time.sleep(0.1)
    assert capsys.readouterr().err == "", "a closed loop is no news"


async def _await(snapshot: tintype.Snapshot) -> None:
    await snapshot
