"""What a CheckpointCallback does when a save fails, and ``on_exception``."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tintype
from checkpoint_jobs import (
    every_file,
    files_limited_to,
    make_parts,
    mark,
    names,
    no_warnings,
    open_callback,
    pairs,
    save_epoch,
    weight_in,
)

# --- saves that fail ---


def save_failing(callback: Any, model: nn.Module, epoch: int) -> Any:
    """The snapshot of an epoch whose save fails on the disk, which nobody has looked at."""
    with files_limited_to(1000):
        snapshot = save_epoch(callback, model, "train", epoch, 1 / epoch)
        while not snapshot.done():
            pass
    return snapshot


def open_failing(logdir: Path, model: nn.Module, **options: Any) -> tuple[Any, Any]:
    """A callback whose epoch 1 has failed."""
    callback = open_callback(logdir, model, **options)
    callback.on_stage_start("train")
    return callback, save_failing(callback, model, 1)


def test_the_next_epoch_raises_the_failure_and_saves_itself(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    callback, failed = open_failing(tmp_path, model)
    with pytest.raises(tintype.TintypeIOError, match="train.1_full.pth") as caught:
        save_epoch(callback, model, "train", 2, 0.6)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.snapshot is not failed
    caught.value.snapshot.wait_published()
    assert callback.next_epoch == 3
    save_epoch(callback, model, "train", 3, 0.7)
    callback.close()  # told once
    assert [e["stem"] for e in callback.entries] == ["train.2"]
    assert names(tmp_path) == pairs("train.2")
    assert weight_in(tmp_path / "checkpoints" / "best.pth") == 2


@pytest.mark.parametrize("method", ["wait", "on_stage_end", "close"])
def test_a_failure_is_raised_by_what_waits(tmp_path: Path, method: str) -> None:
    callback, _ = open_failing(tmp_path, nn.Linear(1, 1, bias=False))
    with pytest.raises(tintype.TintypeIOError, match="train.1_full.pth"):
        getattr(callback, method)(*(["train"] if method == "on_stage_end" else []))
    callback.close()
    open_callback(tmp_path).close()  # the lock is free


@pytest.mark.parametrize("how", ["wait", "callback", "await"])
@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_a_failure_that_was_seen_is_not_told_again(tmp_path: Path, how: str, on_error: str) -> None:
    model = nn.Linear(1, 1, bias=False)
    callback, snapshot = open_failing(tmp_path, model, on_error=on_error)

    async def awaited() -> None:
        await snapshot

    if how == "callback":
        seen: list[Any] = []
        snapshot.add_done_callback(lambda done: seen.append(done.exception()))
        assert isinstance(seen[0], tintype.TintypeIOError)
    else:
        with pytest.raises(tintype.TintypeIOError, match="train.1_full.pth"):
            asyncio.run(awaited()) if how == "await" else snapshot.wait_published()
    with no_warnings():
        save_epoch(callback, model, "train", 2, 0.5)
        callback.close()
    assert names(tmp_path) == pairs("train.2")


def test_a_wait_that_a_signal_handler_ends_leaves_the_callbacks_claim(tmp_path: Path) -> None:
    def interrupt(*_: Any) -> None:
        raise ValueError("by the handler")

    with tintype.Engine(byte_rate_limit=200_000, extent_bytes=4096) as engine:
        snapshot = engine.save_async({"a": torch.zeros(100_000)}, tmp_path / "x.pth")
        snapshot.add_done_callback(lambda _: None)
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(ValueError, match="by the handler"):
                snapshot.wait_durable()
        finally:
            signal.signal(signal.SIGALRM, before)
        assert not snapshot.done() and snapshot._is_seen
        snapshot.cancel()


def test_a_failure_that_only_a_look_found_is_told(tmp_path: Path) -> None:
    callback, snapshot = open_failing(tmp_path, nn.Linear(1, 1, bias=False))
    assert isinstance(snapshot.exception(), tintype.TintypeIOError)
    with pytest.raises(tintype.TintypeIOError, match="train.1_full.pth"):
        callback.close()


def test_a_failure_during_the_next_epochs_call_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Linear(300, 300)
    with tintype.Engine(byte_rate_limit=2_000_000) as engine:
        callback = open_callback(tmp_path, model, engine=engine)
        callback.on_stage_start("train")
        first = callback.on_epoch_end("train", 1, {"loss": 0.6})
        start = engine._start

        def start_after_the_failure(*arguments: Any, **options: Any) -> tintype.Snapshot:
            assert not first.done()
            os.mkdir(tmp_path / "checkpoints" / "train.1.pth")
            while not first.done():
                pass
            return start(*arguments, **options)

        monkeypatch.setattr(engine, "_start", start_after_the_failure)
        with pytest.raises(tintype.TintypeIOError, match="train.1.pth"):
            callback.on_epoch_end("train", 2, {"loss": 0.5})
        callback.close()
    assert names(tmp_path) == pairs("train.2") | {"train.1.pth"}


def test_a_stage_whose_last_save_failed_is_run_again(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path, model) as callback:
        callback.on_stage_start("train")
        save_epoch(callback, model, "train", 1, 1.0).wait_published()
        save_failing(callback, model, 2)
        with pytest.raises(tintype.TintypeIOError):
            callback.on_stage_end("train")
    with open_callback(tmp_path, model, resume="last") as callback:
        assert callback.on_stage_start("train") == 2


def test_warn_lets_training_go_on(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    callback, _ = open_failing(tmp_path, model, on_error="warn")
    with pytest.warns(UserWarning, match="train.1_full.pth"):
        save_epoch(callback, model, "train", 2, 0.4)
    with no_warnings():
        callback.on_stage_end("train")
        callback.close()
    assert weight_in(tmp_path / "checkpoints" / "best.pth") == 2


def test_every_failure_is_told_once(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    callback, _ = open_failing(tmp_path, model)
    with files_limited_to(1000):
        with pytest.raises(tintype.TintypeIOError, match="train.1_full.pth") as caught:
            save_epoch(callback, model, "train", 2, 0.5)
        while not caught.value.snapshot.done():
            pass
        with pytest.raises(tintype.TintypeIOError, match="train.2_full.pth") as caught:
            save_epoch(callback, model, "train", 3, 0.5)
        while not caught.value.snapshot.done():
            pass
    with pytest.raises(tintype.TintypeIOError, match="train.3_full.pth"):
        callback.close()


def test_a_save_of_the_jobs_own_that_failed_does_not_cost_the_epoch(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    callback = open_callback(tmp_path, model)
    callback.on_stage_start("train")
    with files_limited_to(100):
        snapshot = tintype.save_async({}, tmp_path / "own.pth")
        while not snapshot.done():
            pass
    with pytest.raises(tintype.TintypeIOError, match="own.pth") as caught:
        save_epoch(callback, model, "train", 1, 0.5)
    assert caught.value.snapshot.path.endswith("train.1_full.pth")
    callback.close()
    assert names(tmp_path) == pairs("train.1")


def test_a_cancelled_save_raises_nowhere(tmp_path: Path) -> None:
    model = nn.Linear(300, 300)
    with tintype.Engine(byte_rate_limit=200_000) as engine:
        with no_warnings(), open_callback(tmp_path, model, engine=engine) as callback:
            callback.on_stage_start("train")
            assert callback.on_epoch_end("train", 1, {"loss": 0.5}).cancel()
            callback.on_stage_end("train")
    assert names(tmp_path) == {"_metrics.json"}


def test_a_publish_that_fails_leaves_a_durable_file_that_the_next_one_enters(
    tmp_path: Path,
) -> None:
    model = nn.Linear(1, 1, bias=False)
    metrics = tmp_path / "checkpoints" / "_metrics.json"
    callback = open_callback(tmp_path, model, save_n_best=2)
    callback.on_stage_start("train")
    os.unlink(metrics)
    os.mkdir(metrics)
    snapshot = save_epoch(callback, model, "train", 1, 0.5)
    snapshot.wait_durable()
    with pytest.raises(tintype.TintypeIOError, match="_metrics.json"):
        callback.wait()
    os.rmdir(metrics)
    save_epoch(callback, model, "train", 2, 0.6)
    callback.close()
    assert names(tmp_path) == pairs("train.1", "train.2")
    assert weight_in(tmp_path / "checkpoints" / "best.pth") == 1


@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_a_folder_that_is_gone_fails_the_save_and_says_so(tmp_path: Path, on_error: str) -> None:
    model = nn.Linear(1, 1, bias=False)
    callback = open_callback(tmp_path, model, on_error=on_error)
    callback.on_stage_start("train")
    os.rename(tmp_path / "checkpoints", tmp_path / "away")
    if on_error == "raise":
        with pytest.raises(FileNotFoundError, match="checkpoints"):
            save_epoch(callback, model, "train", 1, 0.5)
    else:
        with pytest.warns(UserWarning, match="checkpoints"):
            snapshot = save_epoch(callback, model, "train", 1, 0.5)
        with pytest.raises(FileNotFoundError):
            snapshot.wait_published()
        assert snapshot.done() and not snapshot.cancel() and snapshot.progress() == 0
        assert snapshot.report()["state"] == "failed" and snapshot.report()["blocking_ns"] == 0
        assert snapshot.path.endswith("train.1_full.pth") and "failed" in repr(snapshot)
    os.rename(tmp_path / "away", tmp_path / "checkpoints")
    with no_warnings():
        save_epoch(callback, model, "train", 2, 0.6)
        callback.close()
    assert names(tmp_path) == pairs("train.2")


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path, model) as callback:
        callback.on_stage_start("train")
        save_epoch(callback, model, "train", 1, 1.0).wait_published()
        before = every_file(tmp_path)
        save_failing(callback, model, 2)
        assert every_file(tmp_path) == before
        with pytest.raises(tintype.TintypeIOError, match="EFBIG"):
            callback.wait()
        save_epoch(callback, model, "train", 3, 0.4)
    assert names(tmp_path) == pairs("train.3")


def test_leaving_by_an_exception_passes_it_on(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    with pytest.raises(ZeroDivisionError), open_callback(tmp_path, model) as callback:
        callback.on_stage_start("train")
        save_epoch(callback, model, "train", 1, 0.5)
        raise ZeroDivisionError
    assert names(tmp_path) == pairs("train.1")  # waited for
    with pytest.warns(UserWarning, match="train.1_full.pth"), pytest.raises(ZeroDivisionError):
        callback, _ = open_failing(tmp_path / "b", model)
        with callback:
            raise ZeroDivisionError
    open_callback(tmp_path / "b").close()


# --- on_exception ---


def test_on_exception_saves_everything_durably_beside_the_index(tmp_path: Path) -> None:
    parts = make_parts()
    with open_callback(tmp_path, **parts) as callback:
        callback.on_stage_start("train")
        callback.on_epoch_end("train", 1, {"loss": 0.5})
        callback.wait()
        before = every_file(tmp_path)
        path = callback.on_exception(KeyboardInterrupt())
        assert path == str(tmp_path / "checkpoints" / "train.2.exception_KeyboardInterrupt.pth")
        full = torch.load(path, weights_only=True)
        after = every_file(tmp_path)
        assert len(after) == len(before) + 1 and before.items() <= after.items()
    state_dicts = [f"{part}_state_dict" for part in parts]
    assert list(full) == [*state_dicts, "stage", "epoch", "rng_state", "run_id"]
    assert (full["stage"], full["epoch"]) == ("train", 1)
    with open_callback(tmp_path, **make_parts(), resume=path) as callback:
        assert callback.on_stage_start("train") == 2  # the epoch that was interrupted


def test_on_exception_in_the_first_epoch_and_with_an_odd_class(tmp_path: Path) -> None:
    odd = type("a/b c" + "x" * 300, (Exception,), {})
    with open_callback(tmp_path) as callback:
        callback.on_stage_start("train")
        path = callback.on_exception(odd())
        assert path == str(tmp_path / "checkpoints" / f"train.1.exception_a_b_c{'x' * 59}.pth")
    with open_callback(tmp_path, resume=path) as callback:
        assert callback.on_stage_start("train") == 1


@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_on_exception_reports_its_failure(tmp_path: Path, on_error: str) -> None:
    with open_callback(tmp_path, on_error=on_error) as callback:
        callback.on_stage_start("train")
        os.mkdir(tmp_path / "checkpoints" / "train.1.exception_KeyError.pth")
        if on_error == "raise":
            with pytest.raises(IsADirectoryError):
                callback.on_exception(KeyError())
        else:
            with pytest.warns(UserWarning, match="exception_KeyError.pth"):
                assert callback.on_exception(KeyError()) is None


def test_on_exception_saves_although_an_epoch_failed(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    callback, _ = open_failing(tmp_path, model)
    mark(model, 9)
    path = callback.on_exception(KeyError())
    assert weight_in(path) == 9
    with pytest.raises(tintype.TintypeIOError, match="train.1_full.pth"):
        callback.close()


def test_exception_file_is_written_also_by_an_engine_that_skips(tmp_path: Path) -> None:
    engine = tintype.Engine(max_in_flight=1, when_busy="skip", byte_rate_limit=1 << 20)
    model = torch.nn.Linear(100, 1000)
    with engine, tintype.CheckpointCallback(tmp_path, model=model, engine=engine) as callback:
        callback.on_stage_start("train")
        callback.on_epoch_end("train", 1, {"loss": 1.0})
        path = callback.on_exception(ValueError())
        assert path is not None and Path(path).exists()


def test_extra_value_that_cannot_be_pickled_is_named(tmp_path: Path) -> None:
    with tintype.CheckpointCallback(tmp_path, model=torch.nn.Linear(2, 2)) as callback:
        callback.on_stage_start("train")
        with pytest.raises(tintype.UnpicklableError, match="hook"):
            callback.on_epoch_end("train", 1, {"loss": 1.0}, hook=lambda: 1)
