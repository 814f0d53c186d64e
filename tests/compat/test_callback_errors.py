"""What a CheckpointCallback refuses: stages, epochs, calls out of order, a second writer."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

import tintype
from checkpoint_jobs import (
    every_file,
    names,
    no_warnings,
    open_callback,
    pairs,
    save_epoch,
    weight_in,
)
from tintype import UnsupportedError
from tintype._capture import StorageTable, capture
from tintype._readable import ReadableCheck

# --- stages and epochs ---

BAD_STAGES = ["", ".", "..", ".hidden", "a/b", "/a", "../a", "a\\b", "a b", "a\0b", "a\n", "ä"]
BAD_STAGES += ["-x", "_x", "x" * 129, "best", "last", "train_full", "\ud800", "a\udcff"]


@pytest.mark.parametrize("stage", BAD_STAGES)
def test_a_stage_name_that_makes_no_file_name_is_refused(tmp_path: Path, stage: str) -> None:
    with open_callback(tmp_path) as callback:
        with pytest.raises(ValueError, match="stage name"):
            callback.on_stage_start(stage)
        with pytest.raises(ValueError, match="stage name"):
            callback.on_epoch_end(stage, 1, {"loss": 1.0})
    assert names(tmp_path) == {"_metrics.json"}


BAD_EPOCHS: list[tuple[str, Any, Any, dict[str, Any], type[Exception], str]] = [
    ("epoch 0", 0, {"loss": 1.0}, {}, ValueError, "from 1"),
    ("epoch -1", -1, {"loss": 1.0}, {}, ValueError, "from 1"),
    ("epoch 2**63", 2**63, {"loss": 1.0}, {}, ValueError, "over the largest, 9223372036854775807"),
    ("epoch True", True, {"loss": 1.0}, {}, TypeError, "bool"),
    ("epoch 1.0", 1.0, {"loss": 1.0}, {}, TypeError, "float"),
    ("epoch text", "1", {"loss": 1.0}, {}, TypeError, "str"),
    ("no main metric", 1, {"f1": 1.0}, {}, ValueError, "'loss' is not among the metrics .f1"),
    ("no metrics", 1, {}, {}, ValueError, "set main_metric"),
    ("None as metrics", 1, None, {}, TypeError, "dict"),
    ("text", 1, {"loss": "0.5"}, {}, TypeError, "'loss' is a str"),
    ("bytes", 1, {"loss": b"0.5"}, {}, TypeError, "'loss' is a bytes"),
    ("None", 1, {"loss": None}, {}, TypeError, "'loss' is a NoneType"),
    ("list", 1, {"loss": [1.0]}, {}, TypeError, "'loss' is a list"),
    ("complex", 1, {"loss": 1j}, {}, TypeError, "'loss' is a complex"),
    ("huge", 1, {"loss": 10**400}, {}, TypeError, "'loss' is a int"),
    ("other metric", 1, {"loss": 1.0, "f1": "x"}, {}, TypeError, "'f1' is a str"),
    ("nested", 1, {"loss": {"train": 1.0}}, {}, TypeError, "'loss' is a dict"),
    ("tensor", 1, {"loss": torch.ones(2)}, {}, TypeError, "2 elements"),
    ("empty tensor", 1, {"loss": torch.ones(0)}, {}, TypeError, "0 elements"),
    ("array", 1, {"loss": numpy.ones(3)}, {}, TypeError, "3 elements"),
    ("meta", 1, {"loss": torch.ones((), device="meta")}, {}, TypeError, "'loss' is a Tensor"),
    ("metric name", 1, {"loss": 1.0, 3: 1.0}, {}, TypeError, "metric names"),
    ("metric that is no text", 1, {"loss": 1.0, "\ud800": 1.0}, {}, ValueError, "no UTF-8"),
    ("reserved", 1, {"loss": 1.0}, {"run_id": 3}, ValueError, "run_id"),
    ("part", 1, {"loss": 1.0}, {"model_state_dict": 3}, ValueError, "model_state_dict"),
    ("object", 1, {"loss": 1.0}, {"x": [object()]}, UnsupportedError, r"x\[0\] is a .*object"),
    ("numpy", 1, {"loss": 1.0}, {"x": {"y": numpy.float64(1)}}, UnsupportedError, r"x\['y'\]"),
]


@pytest.mark.parametrize("case", BAD_EPOCHS, ids=[case[0] for case in BAD_EPOCHS])
def test_what_cannot_be_saved_is_refused_before_anything_is_written(
    tmp_path: Path, case: tuple[str, Any, Any, dict[str, Any], type[Exception], str]
) -> None:
    _, epoch, metrics, extra, error, text = case
    model = nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path, model) as callback:
        callback.on_stage_start("train")
        save_epoch(callback, model, "train", 1, 0.5).wait_published()
        before = every_file(tmp_path)
        with pytest.raises(error, match=text):
            callback.on_epoch_end("train", epoch, metrics, **extra)
        assert callback.next_epoch == 2
        callback.wait()
        assert every_file(tmp_path) == before
        save_epoch(callback, model, "train", 2, 0.4)
    assert names(tmp_path) == pairs("train.2")


class Setting:
    """A type that only a job knows."""


def test_a_type_that_the_job_declared_safe_is_saved_and_resumed(tmp_path: Path) -> None:
    with torch.serialization.safe_globals([Setting]):
        with open_callback(tmp_path) as callback:
            callback.on_stage_start("train")
            callback.on_epoch_end("train", 1, {"loss": 1.0}, setting=Setting())
        with open_callback(tmp_path, resume="last") as callback:
            assert callback.on_stage_start("train") == 2
            assert type(callback.resumed["setting"]) is Setting


def test_a_state_that_could_not_be_resumed_from_is_refused(tmp_path: Path) -> None:
    class Remembering(nn.Linear):
        def get_extra_state(self) -> object:
            return Setting()

        def set_extra_state(self, state: object) -> None: ...

    with open_callback(tmp_path, Remembering(1, 1)) as callback:
        callback.on_stage_start("train")
        with pytest.raises(UnsupportedError, match="model_state_dict.*_extra_state.*Setting"):
            callback.on_epoch_end("train", 1, {"loss": 1.0})
    assert names(tmp_path) == {"_metrics.json"}


class Counting(nn.Linear):
    """Remembers what torch's safe unpickler refuses, from the second epoch on."""

    count: Any = 1

    def get_extra_state(self) -> object:
        return {"count": self.count}

    def set_extra_state(self, state: object) -> None: ...


def test_a_state_that_turns_bad_in_a_later_epoch_is_refused_before_it_is_written(
    tmp_path: Path,
) -> None:
    model = Counting(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with open_callback(tmp_path, model, optimizer=optimizer) as callback:
        callback.on_stage_start("train")
        callback.on_epoch_end("train", 1, {"loss": 1.0}).wait_published()
        before = every_file(tmp_path)
        optimizer.param_groups[0]["lr"] = 0.05 * (1 + numpy.cos(numpy.pi * 2 / 10))
        with pytest.raises(UnsupportedError, match=r"optimizer_.*\['lr'\] is a numpy.float64"):
            callback.on_epoch_end("train", 2, {"loss": 0.5})
        optimizer.param_groups[0]["lr"] = 0.1
        model.count = numpy.float64(2)
        with pytest.raises(UnsupportedError, match=r"_extra_state.*\['count'\] is a numpy.float64"):
            callback.on_epoch_end("train", 2, {"loss": 0.5})
        model.count = {numpy.int64(3): 3}
        with pytest.raises(UnsupportedError, match=r"\['count'\]: key .*numpy.int64"):
            callback.on_epoch_end("train", 2, {"loss": 0.5})
        assert every_file(tmp_path) == before
        model.count = 3
        callback.on_epoch_end("train", 2, {"loss": 0.5})
    assert names(tmp_path) == pairs("train.2")


class Tagged(torch.Tensor):
    """A tensor of a class that the job declared safe."""


def test_looking_through_a_state_costs_little_beside_its_capture() -> None:
    model = nn.ParameterList([nn.Parameter(torch.zeros(2)) for _ in range(10_000)])
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    for parameter in model:
        parameter.grad = torch.zeros(2)
    optimizer.step()
    full = tintype.pack_checkpoint(model, optimizer=optimizer)
    tagged = [torch.zeros(2).as_subclass(Tagged) for _ in range(1_000)]
    readable = ReadableCheck()
    with torch.serialization.safe_globals([Tagged]):
        readable.check({"tagged": tagged[0]})  # one of the subclass is tried
    checked_ns = fastest_ns(lambda: readable.check({**full, "tagged": tagged}))
    captured_ns = fastest_ns(lambda: capture(full, StorageTable()))
    print(f"10,000 parameters: check {checked_ns / 1e6:.1f} ms, capture {captured_ns / 1e6:.1f} ms")
    assert checked_ns < captured_ns


def fastest_ns(call: Callable[[], object]) -> int:
    times = []
    for _ in range(7):
        start_ns = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start_ns)
    return min(times)


# --- order of the calls ---


def test_calls_outside_of_their_stage_are_refused(tmp_path: Path) -> None:
    with open_callback(tmp_path) as callback:
        with pytest.raises(RuntimeError, match="no stage is open.*on_stage_start"):
            callback.on_epoch_end("train", 1, {"loss": 1.0})
        callback.on_stage_start("train")
        with pytest.raises(RuntimeError, match="open stage is 'train'"):
            callback.on_epoch_end("tune", 1, {"loss": 1.0})
        with pytest.raises(RuntimeError, match="open stage is 'train'"):
            callback.on_stage_end("tune")
        callback.on_stage_end("train")
        for late in (
            lambda: callback.on_stage_end("train"),
            lambda: callback.on_epoch_end("train", 1, {"loss": 1.0}),
        ):
            with pytest.raises(RuntimeError, match="no stage is open"):
                late()
    assert names(tmp_path) == {"_metrics.json"}


def test_the_start_of_the_next_stage_ends_the_one_before(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    with no_warnings(), open_callback(tmp_path, model) as callback:
        callback.on_stage_start("warm")
        save_epoch(callback, model, "warm", 1, 0.5)
        callback.on_stage_start("warm")  # no other one: it goes on
        snapshot = save_epoch(callback, model, "warm", 2, 0.5)
        callback.on_stage_start("main")
        assert snapshot.done()
        save_epoch(callback, model, "main", 1, 0.4)
    with open_callback(tmp_path, model, resume="last") as callback:
        assert callback.on_stage_start("warm") == 3, "it has ended: nothing is left to run"
        assert callback.on_stage_start("main") == 2


def test_epochs_may_have_gaps_and_go_back(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path, model, save_n_best=9) as callback:
        callback.on_stage_start("train")
        for epoch in (5, 10, 7):
            save_epoch(callback, model, "train", epoch, 0.5)
            assert callback.next_epoch == epoch + 1
    assert names(tmp_path) == pairs("train.5", "train.7", "train.10")
    assert weight_in(tmp_path / "checkpoints" / "last.pth") == 7


def test_close_is_idempotent_and_ends_everything(tmp_path: Path) -> None:
    callback = open_callback(tmp_path)
    callback.on_stage_start("train")
    callback.close()
    callback.close()
    for late in (
        lambda: callback.on_stage_start("train"),
        lambda: callback.on_epoch_end("train", 1, {"loss": 1.0}),
        lambda: callback.on_stage_end("train"),
        lambda: callback.on_exception(KeyError()),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            late()
    assert callback.entries == [] and callback.checkpoints == str(tmp_path / "checkpoints")


# --- the lock ---


HOLDER = """
import sys, torch, tintype
callback = tintype.CheckpointCallback(sys.argv[1], model=torch.nn.Linear(1, 1))
print("held", flush=True)
sys.stdin.readline()
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    holder = start(HOLDER, str(tmp_path))
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(tintype.LockedError, match=f"process {holder.pid} on ") as caught:
            open_callback(tmp_path)
        assert isinstance(caught.value, OSError) and caught.value.filename.endswith("checkpoints")
        holder.kill()
        holder.wait()
        open_callback(tmp_path).close()  # a kernel lock: nothing stale to remove
    finally:
        holder.kill()
        holder.communicate()


def test_a_second_callback_of_one_process_closes_the_older(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    older = open_callback(tmp_path / "run", model)
    older.on_stage_start("train")
    save_epoch(older, model, "train", 1, 0.5)
    os.symlink(tmp_path / "run", tmp_path / "alias")
    with pytest.warns(UserWarning, match="is closed"):
        newer = open_callback(tmp_path / "alias", model, resume="last")
    with pytest.raises(RuntimeError, match="closed"):
        older.on_epoch_end("train", 2, {"loss": 1.0})
    older.close()
    assert newer.on_stage_start("train") == 2
    with pytest.raises(tintype.LockedError):
        tintype._tintype.CheckpointDirectory.open(
            str(tmp_path / "run"),
            1,
            "loss",
            True,
            "_metrics.json",
            False,
            ("plain", False),
            (print, print, print),
        )
    newer.close()


def test_a_forked_child_neither_holds_nor_releases_the_lock(tmp_path: Path) -> None:
    output = run(
        """
        import os, sys, torch, tintype
        parts = {"model": torch.nn.Linear(1, 1)}
        callback = tintype.CheckpointCallback(sys.argv[1], **parts)
        callback.on_stage_start("train")
        callback.on_epoch_end("train", 1, {"loss": 1.0})

        def in_child(act):
            # As multiprocessing does it: the child may unwind and destroy all that it inherited.
            child = os.fork()
            if child == 0:
                try:
                    act()
                except Exception as error:
                    print(type(error).__name__, flush=True)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0

        in_child(callback.close)
        in_child(lambda: callback.on_epoch_end("train", 2, {"loss": 1.0}))
        in_child(lambda: tintype.CheckpointCallback(sys.argv[1], **parts))
        callback.on_epoch_end("train", 2, {"loss": 0.5})
        callback.on_stage_end("train")
        # A child that lives on does not keep the directory from the next run.
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        callback.close()
        tintype.CheckpointCallback(sys.argv[1], resume="last", **parts).close()
        os.write(write, b"x")
        os.waitpid(child, 0)
        """,
        str(tmp_path),
    )
    assert output.split() == ["RuntimeError", "LockedError"]
    assert names(tmp_path) == pairs("train.2")


def test_a_callback_that_is_never_closed_publishes_at_exit(tmp_path: Path) -> None:
    run(
        """
        import sys, torch, tintype
        callback = tintype.CheckpointCallback(sys.argv[1], model=torch.nn.Linear(1, 1))
        callback.on_stage_start("train")
        callback.on_epoch_end("train", 1, {"loss": 1.0})
        """,
        str(tmp_path),
    )
    assert names(tmp_path) == pairs("train.1")
