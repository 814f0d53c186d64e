"""Waiting: time-outs, cancel, failures, progress and the report."""

from __future__ import annotations

import concurrent.futures
import errno
import io
import math
import pickle
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tintype
from states import MakeEngine, failing_save, number_in, numbered_state, temps_in

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
WAITS = ["wait_staged", "wait_durable", "wait_published"]


@pytest.mark.parametrize("wait", ["wait_durable", "wait_published"])
@pytest.mark.parametrize("timeout", [0, 0.05])
def test_timeout_raises_and_changes_nothing(
    tmp_path: Path, slow_engine: tintype.Engine, wait: str, timeout: float
) -> None:
    snapshot = slow_engine.save_async(numbered_state(1), tmp_path / "x.pth")
    start = time.perf_counter()
    with pytest.raises(TimeoutError, match="x.pth"):
        getattr(snapshot, wait)(timeout)
    assert time.perf_counter() - start >= timeout
    assert not snapshot.done() and snapshot.exception() is None
    snapshot.wait_durable(60)
    assert number_in(tmp_path / "x.pth") == 1


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize(
    "timeout, error",
    [
        (math.nan, ValueError),
        (-1, ValueError),
        (-math.inf, ValueError),
        ("1", TypeError),
        ([], TypeError),
        (1j, TypeError),
    ],
)
def test_a_timeout_that_is_no_time_is_refused(
    tmp_path: Path, wait: str, timeout: Any, error: type[Exception]
) -> None:
    snapshot = tintype.save_async(numbered_state(1, 10), tmp_path / "x.pth")
    with pytest.raises(error, match=f"timeout={re.escape(repr(timeout))} must be .*or None"):
        getattr(snapshot, wait)(timeout)
    snapshot.wait_published(math.inf)


def test_a_closed_engine_refuses_everything_but_waiting(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    engine.close()
    stream = io.BytesIO()
    calls: list[Callable[[], object]] = [
        engine.__enter__,
        lambda: engine.prepare({}),
        lambda: engine.save({}, tmp_path / "x.pth"),
        lambda: engine.save({}, stream),
        lambda: engine.save_async({}, tmp_path / "x.pth"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="engine is closed: make a new one"):
            call()
    engine.wait()
    engine.close()
    assert list(tmp_path.iterdir()) == [] and stream.getvalue() == b""


def test_staged_is_reached_when_the_call_returns(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    snapshot = slow_engine.save_async(numbered_state(1), tmp_path / "x.pth")
    snapshot.wait_staged(0)
    assert not snapshot.done()
    snapshot.wait_durable()


def test_published_equals_durable_without_a_checkpoint_directory(tmp_path: Path) -> None:
    snapshot = tintype.save_async(numbered_state(1), tmp_path / "x.pth")
    snapshot.wait_durable()
    snapshot.wait_published(5)
    assert snapshot.done()
    assert snapshot.report()["state"] == "published"


@pytest.mark.parametrize("wait", WAITS)
def test_cancelled_save_raises_from_each_wait_and_the_old_file_stands(
    tmp_path: Path, slow_engine: tintype.Engine, wait: str
) -> None:
    path = tmp_path / "x.pth"
    slow_engine.save(numbered_state(1, 1000), path)
    snapshot = slow_engine.save_async(numbered_state(2), path)
    assert snapshot.cancel() is True
    assert snapshot.cancel() is True
    for _ in range(2):
        with pytest.raises(concurrent.futures.CancelledError):
            getattr(snapshot, wait)(60)
    assert isinstance(snapshot.exception(), concurrent.futures.CancelledError)
    assert snapshot.done() and snapshot.report()["state"] == "cancelled"
    assert number_in(path) == 1
    assert temps_in(tmp_path) == []


def test_cancelled_save_raises_nowhere_else(tmp_path: Path, slow_engine: tintype.Engine) -> None:
    assert slow_engine.save_async(numbered_state(1), tmp_path / "x.pth").cancel()
    slow_engine.wait()
    slow_engine.save(numbered_state(2, 1000), tmp_path / "y.pth")
    slow_engine.close()
    assert [path.name for path in tmp_path.iterdir()] == ["y.pth"]


def test_finished_save_can_no_longer_be_cancelled(tmp_path: Path) -> None:
    snapshot = tintype.save_async(numbered_state(1), tmp_path / "x.pth")
    snapshot.wait_durable()
    assert snapshot.cancel() is False
    snapshot.wait_durable()
    assert number_in(tmp_path / "x.pth") == 1


def test_cancel_at_random_moments_is_either_whole_or_nothing(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    path = tmp_path / "x.pth"
    engine.save(numbered_state(0, 100_000), path)
    standing, cancelled = 0, 0
    for i in range(1, 101):
        snapshot = engine.save_async(numbered_state(i, 100_000), path)
        time.sleep(i % 10 * 0.0003)
        if snapshot.cancel():
            cancelled += 1
            with pytest.raises(concurrent.futures.CancelledError):
                snapshot.wait_durable()
        else:
            snapshot.wait_durable()
            standing = i
        assert number_in(path) == standing
    print(f"100 cancels: {cancelled} in time, {100 - cancelled} too late")
    assert temps_in(tmp_path) == []


def test_cancelled_save_is_final_before_an_earlier_slow_one(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(byte_rate_limit=1 << 20)
    slow = engine.save_async(numbered_state(1), tmp_path / "slow.pth")
    snapshot = engine.save_async(numbered_state(2), tmp_path / "x.pth")
    assert snapshot.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        snapshot.wait_published()
    assert not slow.done()
    slow.wait_durable()


@pytest.mark.parametrize("wait", WAITS)
def test_failed_save_raises_the_same_error_from_each_wait(
    tmp_path: Path, slow_engine: tintype.Engine, wait: str
) -> None:
    snapshot = failing_save(slow_engine, tmp_path)
    texts = set()
    for name in ["wait_durable", wait, wait]:
        with pytest.raises(IsADirectoryError) as caught:
            getattr(snapshot, name)()
        assert isinstance(caught.value, tintype.TintypeIOError)
        assert caught.value.filename == str(tmp_path / "late.pth")
        texts.add(str(caught.value))
    assert len(texts) == 1 and "step 8b" in texts.pop()
    assert snapshot.done() and not snapshot.cancel()
    assert snapshot.report()["state"] == "failed"
    assert type(snapshot.exception()) is type(caught.value)


def test_several_threads_wait_for_one_save(tmp_path: Path, slow_engine: tintype.Engine) -> None:
    snapshot = slow_engine.save_async(numbered_state(1), tmp_path / "x.pth")
    woken = []

    def wait() -> None:
        snapshot.wait_durable()
        woken.append(snapshot.done() or snapshot.report()["state"] == "durable")

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert woken == [True] * 8


def test_progress_grows_from_0_to_1(tmp_path: Path, slow_engine: tintype.Engine) -> None:
    snapshot = slow_engine.save_async(numbered_state(1), tmp_path / "x.pth")
    seen = []
    while not snapshot.done():
        seen.append(snapshot.progress())
        time.sleep(0.01)
    assert seen == sorted(seen)
    assert 0 <= seen[0] < 0.5
    assert any(0.2 < part < 0.9 for part in seen)
    assert snapshot.progress() == 1.0


def test_report_says_what_the_save_cost(tmp_path: Path, slow_engine: tintype.Engine) -> None:
    path = tmp_path / "x.pth"
    snapshot = slow_engine.save_async(numbered_state(1), path)
    assert snapshot.report()["durable_ns"] == 0
    snapshot.wait_published()
    report = snapshot.report()
    size = path.stat().st_size
    assert report["total_bytes"] == report["written_bytes"] == size
    assert report["storage_bytes"] == 1 << 20
    assert report["file_count"] == 1
    assert 0 < report["capture_ns"] + report["plan_ns"] + report["stage_ns"] < report["blocking_ns"]
    assert report["blocking_ns"] < report["durable_ns"] <= report["published_ns"]
    assert 0 < report["commit_ns"] < report["published_ns"]
    assert report["backend"] == slow_engine.stats()["backend"]
    assert report["capture_path"]
    explained = (DOCS / "report.md").read_text("utf-8")
    assert re.findall(r"^\| `(\w+)` \|", explained, re.MULTILINE) != []
    assert set(re.findall(r"^\| `(\w+)` \|", explained, re.MULTILINE)) == set(report)


def test_path_is_absolute_and_a_snapshot_has_a_readable_repr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    snapshot = tintype.save_async(numbered_state(1), "x.pth")
    snapshot.wait_durable()
    assert snapshot.path == str(tmp_path / "x.pth")
    assert snapshot.path in repr(snapshot) and "100 %" in repr(snapshot)


def test_a_snapshot_outlives_its_engine(tmp_path: Path) -> None:
    engine = tintype.Engine()
    snapshot = engine.save_async(numbered_state(1), tmp_path / "x.pth")
    engine.close()
    del engine
    snapshot.wait_durable(0)
    assert snapshot.done() and snapshot.progress() == 1.0 and not snapshot.cancel()


def test_errors_survive_pickling_to_another_process(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    error = failing_save(slow_engine, tmp_path)
    with pytest.raises(tintype.TintypeIOError) as caught:
        error.wait_durable()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(copy, tintype.TintypeIOError) and isinstance(copy, IsADirectoryError)
    assert str(copy) == str(caught.value) and copy.errno == caught.value.errno
    assert copy.remedy == "give a file name, not a directory"
    assert str(copy) == f"{copy.message}; {copy.remedy}"


def test_save_whose_disk_does_nothing_fails_in_time_and_the_program_goes_on(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    path = tmp_path / "x.pth"
    tintype.save(numbered_state(1, 1000), path)
    # After its first write this engine waits for most of a day.
    engine = make_engine(extent_bytes=64 << 10, byte_rate_limit=1, stall_timeout_s=0.3)
    snapshot = engine.save_async(numbered_state(2), path)
    with pytest.raises(tintype.TintypeIOError, match=r"no progress for 0\.3 s") as caught:
        snapshot.wait_durable(30)
    assert isinstance(caught.value, TimeoutError) and caught.value.errno == errno.ETIMEDOUT
    assert snapshot.done() and snapshot.report()["state"] == "failed"
    assert number_in(path) == 1
    engine.close()
    assert temps_in(tmp_path) == []


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "1", True])
def test_stall_timeout_is_a_time_or_none(make_engine: MakeEngine, seconds: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="stall_timeout_s"):
        make_engine(stall_timeout_s=seconds)
    make_engine(stall_timeout_s=None)
