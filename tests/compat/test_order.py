"""Order: saves to one path, the limit of saves in flight, threads, closing."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest

import children
import tintype
from states import MakeEngine, number_in, numbered_state, temps_in


def test_two_saves_to_one_path_in_flight_both_succeed_and_the_newest_wins(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    path = tmp_path / "x.pth"
    first = slow_engine.save_async(numbered_state(1), path)
    second = slow_engine.save_async(numbered_state(2, size_bytes=1000), path)
    assert not first.done() and not second.done()
    first.wait_durable()
    second.wait_durable()
    assert number_in(path) == 2
    assert temps_in(tmp_path) == []


def test_saves_become_durable_in_the_order_of_their_calls(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    big = slow_engine.save_async(numbered_state(1), tmp_path / "big.pth")
    small = slow_engine.save_async(numbered_state(2, size_bytes=1000), tmp_path / "small.pth")
    small.wait_durable()
    assert big.done()
    assert number_in(tmp_path / "big.pth") == 1


def test_newest_wins_through_a_symlink_too(tmp_path: Path, slow_engine: tintype.Engine) -> None:
    (tmp_path / "link.pth").symlink_to("x.pth")
    snapshots = [
        slow_engine.save_async(numbered_state(i, size_bytes=300_000), tmp_path / name)
        for i, name in enumerate(["x.pth", "link.pth", "x.pth", "link.pth"])
    ]
    for snapshot in snapshots:
        snapshot.wait_published()
    assert number_in(tmp_path / "x.pth") == 3


def test_further_save_waits_at_max_in_flight_and_the_wait_is_counted(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(max_in_flight=1, byte_rate_limit=4 << 20)
    first = engine.save_async(numbered_state(1), tmp_path / "1.pth")
    second = engine.save_async(numbered_state(2), tmp_path / "2.pth")
    first.wait_published()  # its place is free a moment before its state shows it
    assert not second.done()
    report = second.report()
    second.wait_durable()
    assert report["busy_wait_ns"] > 50e6
    assert report["blocking_ns"] >= report["busy_wait_ns"]


def test_two_saves_overlap_by_default(tmp_path: Path) -> None:
    with tintype.Engine(byte_rate_limit=4 << 20, extent_bytes=64 << 10) as engine:
        first = engine.save_async(numbered_state(1), tmp_path / "1.pth")
        second = engine.save_async(numbered_state(2), tmp_path / "2.pth")
        assert not first.done()
        third = engine.save_async(numbered_state(3), tmp_path / "3.pth")
        first.wait_published()  # its place is free a moment before its state shows it
        assert not second.done()
        third.wait_durable()


def test_busy_engine_skips_when_asked_and_the_skipped_snapshot_is_done(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(max_in_flight=1, when_busy="skip", byte_rate_limit=4 << 20)
    first = engine.save_async(numbered_state(1), tmp_path / "1.pth")
    second = engine.save_async(numbered_state(2), tmp_path / "2.pth")
    assert second.skipped and second.done() and not first.skipped
    second.wait_staged(0)
    second.wait_durable(0)
    second.wait_published(0)
    assert not second.cancel()
    assert second.progress() == 1.0 and second.report()["state"] == "skipped"
    report = second.report()
    assert report["blocking_ns"] >= report["capture_ns"] > 0
    assert report["written_bytes"] == 0 < report["total_bytes"]
    called: list[tintype.Snapshot] = []
    second.add_done_callback(called.append)
    assert called == [second]
    first.wait_durable()
    assert not (tmp_path / "2.pth").exists()
    assert engine.stats()["saves_skipped"] == 1
    assert not engine.save_async(numbered_state(3), tmp_path / "3.pth").skipped


def test_busy_engine_raises_when_asked_and_the_running_save_is_not_harmed(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(max_in_flight=1, when_busy="raise", byte_rate_limit=4 << 20)
    first = engine.save_async(numbered_state(1), tmp_path / "1.pth")
    with pytest.raises(tintype.BusyError, match="max_in_flight"):
        engine.save_async(numbered_state(2), tmp_path / "2.pth")
    with pytest.raises(tintype.BusyError):
        engine.save(numbered_state(2), tmp_path / "2.pth")
    first.wait_durable()
    engine.save(numbered_state(2), tmp_path / "2.pth")
    assert (number_in(tmp_path / "1.pth"), number_in(tmp_path / "2.pth")) == (1, 2)


@pytest.mark.parametrize("when_busy", ["skip", "raise"])
def test_who_does_not_wait_is_told_while_another_thread_still_copies(
    tmp_path: Path, make_engine: MakeEngine, when_busy: Literal["skip", "raise"]
) -> None:
    engine = make_engine(
        max_in_flight=1, when_busy=when_busy, byte_rate_limit=4 << 20, staging_bytes=512 << 10
    )  # a pool smaller than the state: copying lasts nearly as long as writing
    state = numbered_state(1, 2 << 20)
    copying = threading.Thread(target=engine.save, args=(state, tmp_path / "1.pth"))
    copying.start()
    while engine.stats()["in_flight"] == 0:
        time.sleep(0.001)
    start = time.perf_counter()
    if when_busy == "skip":
        assert engine.save_async(numbered_state(2), tmp_path / "2.pth").skipped
    else:
        with pytest.raises(tintype.BusyError):
            engine.save_async(numbered_state(2), tmp_path / "2.pth")
    assert engine.stats()["in_flight"] == 1, f"told after {time.perf_counter() - start:.3f} s"
    copying.join()


@pytest.mark.parametrize("is_async", [True, False])
def test_several_threads_save_at_once_and_every_file_is_valid(
    tmp_path: Path, make_engine: MakeEngine, is_async: bool
) -> None:
    engine = make_engine(max_in_flight=3)
    per_thread, threads = 40, 6

    def save_many(thread: int) -> int:
        for i in range(per_thread):
            number = thread * per_thread + i
            state = numbered_state(number, size_bytes=40_000 + 1000 * thread)
            path = tmp_path / f"{thread}-{i % 8}.pth"
            if is_async:
                engine.save_async(state, path).wait_durable()
            else:
                engine.save(state, path)
            assert number_in(path) == number
        return per_thread

    with ThreadPoolExecutor(threads) as pool:
        saved = sum(pool.map(save_many, range(threads)))
    files = sorted(tmp_path.iterdir())
    numbers = [number_in(path) for path in files]
    print(f"{saved} saves by {threads} threads, {len(files)} files valid")
    assert saved == engine.stats()["saves_published"] == 240
    assert len(files) == threads * 8
    assert sorted(numbers) == sorted(
        t * per_thread + i for t in range(threads) for i in range(per_thread - 8, per_thread)
    )


def test_threads_share_the_default_engine_and_one_path(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"

    def save_one(number: int) -> int:
        tintype.save_async(numbered_state(number, size_bytes=20_000), path).wait_durable()
        return number_in(path)

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(save_one, range(100)))
    assert set(seen) <= set(range(100))
    assert number_in(path) in seen
    assert temps_in(tmp_path) == []


def test_closed_engine_refuses_saves_and_says_so(tmp_path: Path) -> None:
    engine = tintype.Engine()
    engine.save(numbered_state(1), tmp_path / "x.pth")
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.save(numbered_state(2), tmp_path / "x.pth")
    with pytest.raises(ValueError, match="closed"):
        engine.save_async(numbered_state(2), tmp_path / "x.pth")
    assert number_in(tmp_path / "x.pth") == 1


def test_close_waits_for_pending_saves_while_another_thread_keeps_saving(tmp_path: Path) -> None:
    engine = tintype.Engine(byte_rate_limit=32 << 20, extent_bytes=64 << 10)
    refused = threading.Event()

    def save_until_refused() -> None:
        for i in range(10_000):
            try:
                engine.save_async(numbered_state(i, 200_000), tmp_path / f"{i % 3}.pth")
            except ValueError:
                refused.set()
                return

    thread = threading.Thread(target=save_until_refused)
    thread.start()
    time.sleep(0.2)
    engine.close()
    assert engine.stats()["in_flight"] == 0
    thread.join()
    assert refused.is_set()
    assert [number_in(path) >= 0 for path in tmp_path.iterdir()] == [True] * 3


def test_leaving_the_context_manager_waits_for_pending_saves(tmp_path: Path) -> None:
    with tintype.Engine(byte_rate_limit=4 << 20, extent_bytes=64 << 10) as engine:
        snapshot = engine.save_async(numbered_state(7), tmp_path / "x.pth")
        assert not snapshot.done()
    assert snapshot.done() and number_in(tmp_path / "x.pth") == 7


def test_engine_wait_waits_for_all_saves_so_far(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    snapshots = [slow_engine.save_async(numbered_state(i), tmp_path / f"{i}.pth") for i in range(3)]
    slow_engine.wait()
    assert all(snapshot.done() for snapshot in snapshots)


def test_dropped_engine_still_finishes_its_saves_while_other_threads_run(tmp_path: Path) -> None:
    engine = tintype.Engine(byte_rate_limit=2 << 20, extent_bytes=64 << 10)
    snapshot = engine.save_async(numbered_state(9), tmp_path / "x.pth")
    ticks: list[float] = []
    is_over = threading.Event()

    def tick() -> None:
        while not is_over.wait(0.005):
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    del engine
    end = time.perf_counter()
    is_over.set()
    thread.join()
    assert snapshot.done() and number_in(tmp_path / "x.pth") == 9
    assert end - start > 0.1
    assert sum(start < t < end for t in ticks) > 5, "the GIL was held while the engine drained"


def test_save_on_an_engine_that_skips_never_returns_without_a_file(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(max_in_flight=1, when_busy="skip", byte_rate_limit=4 << 20)
    running = engine.save_async(numbered_state(1), tmp_path / "slow.pth")
    with pytest.raises(tintype.BusyError, match="nothing was saved"):
        engine.save(numbered_state(2), tmp_path / "x.pth")
    running.wait_durable()
    engine.wait()
    engine.save(numbered_state(3), tmp_path / "x.pth")
    assert number_in(tmp_path / "x.pth") == 3


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"staging_bytes": -1}, ValueError),
        ({"staging_bytes": "1GB"}, TypeError),
        ({"staging_bytes": 1 << 50}, ValueError),
        ({"byte_rate_limit": -5}, ValueError),
        ({"byte_rate_limit": 1.5}, TypeError),
        ({"queue_depth": 2**40}, ValueError),
        ({"max_in_flight": 0}, ValueError),
    ],
)
def test_wrong_engine_option_is_named(options: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        tintype.Engine(**options)  # type: ignore[arg-type]


def test_threads_run_on_while_a_save_waits_for_its_disk(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    ticks = 0
    is_saved = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not is_saved.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    slow_engine.save(numbered_state(1, 2 << 20), tmp_path / "x.pth")  # half a second
    is_saved.set()
    thread.join()
    assert ticks >= 50


def test_two_processes_save_to_one_path_and_a_reader_sees_whole_files_alone(
    tmp_path: Path,
) -> None:
    code = """
    number = int(sys.argv[2])
    while not os.path.exists(sys.argv[3]):
        tintype.save(numbered_state(number, 400_000), sys.argv[1])
        number += 2
    """
    path, stop = tmp_path / "x.pth", tmp_path / "stop"
    tintype.save(numbered_state(0, 400_000), path)
    writers = [children.start(code, path, first, stop) for first in (1, 2)]
    seen: dict[int, set[int]] = {0: set(), 1: set()}  # by writer
    try:
        while min(len(numbers) for numbers in seen.values()) < 5:
            assert [writer.poll() for writer in writers] == [None, None]
            number = number_in(path)
            seen[number % 2].add(number)
    finally:
        stop.touch()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    print(f"{sum(len(numbers) for numbers in seen.values())} different files read")
    assert temps_in(tmp_path) == []
