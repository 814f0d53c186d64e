"""Who waits for whom: `before_mutation()` of several threads, with signals in the middle."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
import torch
from torch import nn, optim

import tintype
from guarded_jobs import SLOW, torch_bytes
from states import MakeEngine

ROWS = 16384
LAZY_BYTES = ROWS * 64 * 4  # a disk of 8 MiB/s takes half a second


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.pth"


@pytest.fixture
def weight() -> nn.Parameter:
    return nn.Parameter(torch.zeros(ROWS, 64))


@pytest.fixture
def engine(make_engine: MakeEngine, weight: nn.Parameter) -> Iterator[tintype.Engine]:
    engine = make_engine(**SLOW)
    optimizer = optim.SGD([weight], 0.1)  # kept: a guard does not
    engine.guard(optimizer)
    yield engine
    engine.before_mutation()


@pytest.fixture(autouse=True)
def restored_handlers() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def change_unprobed(weight: nn.Parameter) -> None:
    """As torch counts it, where no probe need look."""
    with torch.no_grad():
        weight[-1000] += 1


def send(number: signal.Signals, after_s: float) -> None:
    threading.Timer(after_s, os.kill, (os.getpid(), number)).start()


def test_a_change_while_another_thread_waits_is_seen(
    path: Path, weight: nn.Parameter, engine: tintype.Engine
) -> None:
    snapshot = engine.save_async([weight], path)
    assert snapshot.report()["lazy_bytes"] == LAZY_BYTES
    waiting = threading.Thread(target=engine.before_mutation)
    waiting.start()
    time.sleep(0.05)
    change_unprobed(weight)
    waiting.join()
    with pytest.raises(tintype.TornSnapshotError):
        snapshot.wait_durable()


def test_an_operation_under_way_is_waited_for_by_other_threads(
    path: Path, make_engine: MakeEngine
) -> None:
    """torch counts a change when it is over: who asks too early sees none."""
    weight = nn.Parameter(torch.zeros(32768, 64))
    optimizer = optim.SGD([weight], 0.1)
    engine = make_engine(staging_bytes=16 << 20)
    engine.guard(optimizer)
    rows, ones = torch.full((400_000,), len(weight) - 1), torch.ones(400_000, 64)
    torn = 0
    for _ in range(6):
        with torch.no_grad():
            weight.zero_()
        begun = threading.Event()

        def wait(begun: threading.Event = begun) -> None:
            begun.wait()
            time.sleep(0.0005)
            engine.before_mutation()

        waiting = threading.Thread(target=wait)
        waiting.start()
        snapshot = engine.save_async([weight], path)
        begun.set()
        with torch.no_grad():
            weight.index_put_((rows,), ones, accumulate=True)
        waiting.join()
        try:
            snapshot.wait_durable()
        except tintype.TornSnapshotError:
            torn += 1
        else:
            assert not torch.load(path)[0][-1].any()
    print(f"{torn} of 6 torn")


def test_a_change_after_a_wait_that_was_interrupted_is_seen(
    path: Path, weight: nn.Parameter, engine: tintype.Engine
) -> None:
    snapshot = engine.save_async([weight], path)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    send(signal.SIGINT, 0.05)
    with pytest.raises(KeyboardInterrupt):
        engine.before_mutation()
    assert snapshot.report()["state"] == "staging"
    change_unprobed(weight)
    with pytest.raises(tintype.TornSnapshotError):
        snapshot.wait_durable()


def test_a_save_by_a_signal_handler_in_the_wait_is_waited_for(
    path: Path, weight: nn.Parameter, engine: tintype.Engine
) -> None:
    started: list[tintype.Snapshot] = []
    second = path.with_name("second.pth")

    def handler(number: int, frame: FrameType | None) -> None:
        started.append(engine.save_async([weight], second))

    expected = torch_bytes([weight])
    signal.signal(signal.SIGUSR1, handler)
    first = engine.save_async([weight], path)
    send(signal.SIGUSR1, 0.05)
    engine.before_mutation()
    assert started[0].report()["lazy_bytes"] == LAZY_BYTES
    change_unprobed(weight)
    for snapshot, saved in ((first, path), (started[0], second)):
        snapshot.wait_durable()
        assert saved.read_bytes() == expected


def compute(until: threading.Event) -> None:
    """Operations of microseconds."""
    small = torch.zeros(8)
    while not until.is_set():
        small + 1


def test_a_thread_that_goes_on_computing_holds_nobody(
    path: Path, weight: nn.Parameter, engine: tintype.Engine
) -> None:
    """It runs operation after operation, none of which began before the copying was over."""
    saved, is_over = threading.Event(), threading.Event()
    started: list[tintype.Snapshot] = []

    def save_and_compute() -> None:
        started.append(engine.save_async([weight], path))
        saved.set()
        compute(is_over)

    worker = threading.Thread(target=save_and_compute)
    worker.start()
    saved.wait()
    begin = time.monotonic()
    engine.before_mutation()
    waited_s = time.monotonic() - begin
    is_over.set()
    worker.join()
    started[0].wait_durable()
    assert waited_s < 9, "the limit is 10 s for an operation, and the disk takes half a second"


def test_a_guard_that_is_removed_covers_no_save_that_begins_meanwhile(
    path: Path, weight: nn.Parameter, engine: tintype.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (optimizer,) = engine._guards.optimizers()
    guard = engine.guard(optimizer)  # the one that it has
    wait = engine.before_mutation
    begun: list[tintype.Snapshot] = []

    def wait_and_save() -> None:
        wait()
        begun.append(engine.save_async([weight], path))

    monkeypatch.setattr(engine, "before_mutation", wait_and_save)
    guard.remove()
    assert begun[0].report()["lazy_bytes"] == 0


def test_an_operation_may_sleep_while_other_threads_do_its_work(
    path: Path, make_engine: MakeEngine, weight: nn.Parameter
) -> None:
    """So is taken what sleeps in a call that is not known to do nothing but wait."""
    optimizer = optim.SGD([weight], 0.1)
    engine = make_engine()
    engine.guard(optimizer)
    saved, work = threading.Event(), threading.Lock()
    started: list[tintype.Snapshot] = []

    def save_and_work() -> None:
        started.append(engine.save_async([weight], path))
        saved.set()
        with work:
            pass

    with work:
        worker = threading.Thread(target=save_and_work)
        worker.start()
        saved.wait()
        time.sleep(0.5)
        assert started[0].report()["state"] == "staging"
    worker.join()
    started[0].wait_durable()
