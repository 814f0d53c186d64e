"""Resuming: from what, with what, and what happens to what stands in the directory."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

import tintype
from checkpoint_jobs import (
    make_parts,
    mark,
    names,
    no_warnings,
    open_callback,
    pairs,
    run_stage,
    save_epoch,
    weight_in,
)


def new_model() -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    mark(model, -1)
    return model


def run(logdir: Path, losses: list[float], **options: Any) -> Path:
    """A stage "train" that ended; the folder with the files."""
    model = new_model()
    with open_callback(logdir, model, **options) as callback:
        run_stage(callback, model, "train", losses)
    return logdir / "checkpoints"


def run_unended(logdir: Path, losses: list[float], **options: Any) -> Path:
    """As :func:`run`, for a job that ended in the middle of its stage."""
    model = new_model()
    with open_callback(logdir, model, **options) as callback:
        callback.on_stage_start("train")
        for epoch, loss in enumerate(losses, 1):
            save_epoch(callback, model, "train", epoch, loss)
    return logdir / "checkpoints"


def resume(
    logdir: Path, what: str | Path, stage: str = "train", **options: Any
) -> tuple[int, float]:
    """(first epoch, the mark of the loaded weights)."""
    model = new_model()
    with open_callback(logdir, model, resume=what, **options) as callback:
        first = callback.on_stage_start(stage)
        assert callback.next_epoch == first
        return first, model.weight.item()


# --- training goes on bit-equal ---


def train_epoch(parts: dict[str, Any]) -> float:
    """An epoch that draws from all three generators; its loss to the last bit."""
    noise = torch.tensor([random.random(), float(numpy.random.standard_normal())])
    inputs = torch.randn(16, 6) + noise.sum()
    loss = parts["criterion"](parts["model"](inputs), torch.ones(16, 1))
    parts["optimizer"].zero_grad()
    loss.backward()
    parts["optimizer"].step()
    parts["scheduler"].step()
    return loss.item()


def seed_all(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed)


JOB = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[1])
from checkpoint_jobs import make_parts
from test_callback_resume import seed_all, train_epoch
import tintype

logdir, resume, kill_at = sys.argv[2], sys.argv[3] or None, int(sys.argv[4])
parts = make_parts()
seed_all(1 if resume is None else 99)  # what a resumed job seeds must not matter
engine = tintype.Engine(byte_rate_limit=20_000 if kill_at else None)
with tintype.CheckpointCallback(logdir, resume=resume, engine=engine, **parts) as callback:
    for epoch in range(callback.on_stage_start("train"), 9):
        loss = train_epoch(parts)
        print(json.dumps([epoch, loss.hex()]), flush=True)
        snapshot = callback.on_epoch_end("train", epoch, {"loss": loss})
        if epoch == kill_at:
            while not 0.1 < snapshot.progress() < 0.9:
                assert not snapshot.done()
            os.kill(os.getpid(), signal.SIGKILL)
        snapshot.wait_published()
    callback.on_stage_end("train")
engine.close()
"""


def run_job(logdir: Path, resume: str = "", kill_at: int = 0) -> dict[int, str]:
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", JOB, here, str(logdir), resume, str(kill_at)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    expected = -signal.SIGKILL if kill_at else 0
    assert done.returncode == expected, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


def test_training_killed_in_mid_save_goes_on_bit_equal(tmp_path: Path) -> None:
    expected = run_job(tmp_path / "whole")
    assert len(expected) == 8 and len(set(expected.values())) == 8
    losses = run_job(tmp_path / "killed", kill_at=3)
    assert sorted(losses) == [1, 2, 3]
    for kill_at in (6, 0):
        again = run_job(tmp_path / "killed", "last", kill_at)
        assert min(again) in losses  # the epoch whose save was killed is run again
        losses |= again
    assert losses == expected
    folder = tmp_path / "killed" / "checkpoints"
    assert [n for n in os.listdir(folder) if ".tintype-" in n] == []


def test_all_parts_and_generators_come_back(tmp_path: Path) -> None:
    seed_all(3)
    parts = make_parts()
    with open_callback(tmp_path, **parts) as callback:
        callback.on_stage_start("train")
        callback.on_epoch_end("train", 1, {"loss": train_epoch(parts)}, order=[3, 1, 2])
    expected = [train_epoch(parts) for _ in range(3)]
    seed_all(4)
    parts = make_parts()
    with no_warnings(), open_callback(tmp_path, resume="last", **parts) as callback:
        assert callback.resumed is None
        assert callback.on_stage_start("train") == 2
        assert callback.resumed["order"] == [3, 1, 2] and callback.resumed["epoch"] == 1
        assert not [key for key in callback.resumed if key.endswith("state_dict")]
    assert [train_epoch(parts) for _ in range(3)] == expected


def test_numpy_is_only_imported_for_a_job_that_used_it(tmp_path: Path) -> None:
    script = """
    import sys, torch, tintype
    sys.modules["numpy"] = None  # as where it is not installed
    model, resume = torch.nn.Linear(1, 1), sys.argv[2] or None
    with tintype.CheckpointCallback(sys.argv[1], model=model, resume=resume) as callback:
        callback.on_stage_start("train")
        callback.on_epoch_end("train", 1, {"loss": 1.0})
    """
    for what in ("", "last"):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), what],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        rng = torch.load(tmp_path / "checkpoints" / "last_full.pth", weights_only=True)["rng_state"]
        assert sorted(rng) == ["python", "torch"]


def test_missing_numpy_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_unended(tmp_path, [0.5])
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.warns(UserWarning, match="NumPy is not installed"):
        assert resume(tmp_path, "last") == (2, 1)


def test_another_numpy_generator_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(legacy: bool = True) -> dict[str, Any]:
        return {"bit_generator": "PCG64", "state": {"state": 1, "inc": 2}}

    monkeypatch.setattr(numpy.random, "get_state", other)
    run_unended(tmp_path, [0.5])
    full = torch.load(tmp_path / "checkpoints" / "last_full.pth", weights_only=True)
    assert sorted(full["rng_state"]) == ["python", "torch"]


# --- what is resumed from ---


def test_every_way_to_name_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_unended(tmp_path / "run", [0.3, 0.1, 0.2], save_n_best=3)
    monkeypatch.chdir(tmp_path)
    os.symlink(tmp_path / "run", tmp_path / "alias")
    for what, epoch in {
        "last": 3,
        "last_full": 3,
        "best": 2,
        "best_full": 2,
        "train.1": 1,
        "train.1_full": 1,
        "train.1_full.pth": 1,
        "best_full.pth": 2,
        str(folder / "train.1_full.pth"): 1,
        "run/checkpoints/last_full.pth": 3,
        "alias/checkpoints/train.1_full.pth": 1,
    }.items():
        with no_warnings():
            assert resume(tmp_path / "run", what, save_n_best=3) == (epoch + 1, epoch), what
        assert len(names(tmp_path / "run")) == 11


def test_a_relative_path_is_that_of_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_unended(tmp_path / "a", [0.5])
    monkeypatch.chdir(tmp_path)
    model = new_model()
    with open_callback("b", model, resume="a/checkpoints/best_full.pth") as callback:
        os.mkdir("elsewhere")
        os.chdir("elsewhere")
        assert callback.on_stage_start("train") == 2
        save_epoch(callback, model, "train", 2, 0.4)
    assert names(tmp_path / "b") == pairs("train.2")
    assert names(tmp_path / "a") == pairs("train.1")


@pytest.mark.parametrize(
    "what", ["last", "best", "train.7", "train.7_full.pth", "not_existing_file.pth", "/no/x.pth"]
)
def test_a_missing_checkpoint_is_file_not_found(tmp_path: Path, what: str) -> None:
    model = new_model()
    with open_callback(tmp_path, model, resume=what) as callback:
        with pytest.raises(FileNotFoundError, match="start without resume|check the spelling") as e:
            callback.on_stage_start("train")
        assert isinstance(e.value, tintype.TintypeIOError)
        with pytest.raises(FileNotFoundError):  # nothing was begun by the first try
            callback.on_stage_start("train")
        with pytest.raises(RuntimeError, match="no stage is open"):
            save_epoch(callback, model, "train", 1, 0.5)


def test_a_file_without_stage_and_epoch_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = run_unended(tmp_path / "run", [0.5])
    torch.save({"model_state_dict": new_model().state_dict()}, tmp_path / "own.pth")
    torch.save([1], tmp_path / "list.pth")
    torch.save({"stage": 3, "epoch": "x"}, tmp_path / "other.pth")
    own = [tmp_path / f"{name}.pth" for name in ("own", "list", "other")]
    for path in (folder / "train.1.pth", folder / "best.pth", *own):
        with pytest.raises(ValueError, match="_full.pth|of another program") as caught:
            resume(tmp_path / "new", path)
        assert "Traceback" not in str(caught.value)
    (tmp_path / "garbage.pth").write_bytes(b"garbage" * 100)
    with pytest.raises(tintype.CorruptCheckpointError, match="garbage.pth"):
        resume(tmp_path / "new", tmp_path / "garbage.pth")


def test_a_catalyst_file_resumes(tmp_path: Path) -> None:
    """The keys of Catalyst 20.12; it stored the finished epoch, as we do."""
    model = new_model()
    mark(model, 4)
    own = {"stage": "stage1", "epoch": 4, "global_epoch": 4, "valid_metrics": {"loss": 0.5}}
    parts = tintype.pack_checkpoint(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.5))
    torch.save({**own, **parts}, tmp_path / "catalyst_full.pth")
    what = tmp_path / "catalyst_full.pth"
    assert resume(tmp_path / "run", what, "stage1") == (5, 4)
    assert resume(tmp_path / "run2", what, "stage2") == (1, 4)


def test_what_does_not_fit_leaves_everything_as_it_was(tmp_path: Path) -> None:
    run_unended(tmp_path, [0.5])
    model = nn.Linear(2, 1, bias=False)
    before = model.weight.tolist()
    generator = torch.get_rng_state()
    with open_callback(tmp_path, model, resume="last") as callback:
        with pytest.raises(RuntimeError, match="weight"):
            callback.on_stage_start("train")
        assert callback.resumed is None
    assert model.weight.tolist() == before and torch.equal(torch.get_rng_state(), generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with open_callback(tmp_path, new_model(), optimizer=optimizer, resume="last") as callback:
        with pytest.raises(KeyError, match="optimizer_state_dict"):
            callback.on_stage_start("train")


# --- stages ---


def test_an_ended_stage_has_nothing_left_to_run(tmp_path: Path) -> None:
    run(tmp_path, [0.5, 0.4])
    model = new_model()
    with open_callback(tmp_path, model, resume="last") as callback:
        run_stage(callback, model, "train", [0.5, 0.4])
        assert callback.next_epoch == 3
        run_stage(callback, model, "tune", [0.3])
    # A job that always goes through all of its stages.
    for _ in range(2):
        model = new_model()
        with no_warnings(), open_callback(tmp_path, model, resume="last") as callback:
            assert callback.on_stage_start("train") == 3
            callback.on_stage_end("train")
            assert callback.on_stage_start("tune") == 2
            callback.on_stage_end("tune")
            assert model.weight.item() == 1
    assert names(tmp_path) == pairs("train.2", "tune.1")


def test_a_stage_goes_back_with_what_is_resumed(tmp_path: Path) -> None:
    run(tmp_path, [0.1, 0.4, 0.5], save_n_best=3)
    assert resume(tmp_path, "best", save_n_best=3) == (2, 1)


# --- the directory ---


def test_the_top_goes_on_over_resumes(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.3, 0.1], save_n_best=2)
    model = new_model()
    with no_warnings(), open_callback(tmp_path, model, resume="last", save_n_best=2) as callback:
        assert callback.on_stage_start("train") == 3
        for epoch, loss in ((3, 0.3), (4, 0.2), (5, 0.9)):
            save_epoch(callback, model, "train", epoch, loss)
    assert names(tmp_path) == pairs("train.2", "train.4")
    assert weight_in(folder / "best.pth") == 2 and weight_in(folder / "last_full.pth") == 5
    metrics = json.loads((folder / "_metrics.json").read_text())
    assert list(metrics) == ["best", "last", "train.2", "train.4"]


def test_the_metrics_file_is_written_from_the_index_at_the_start(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.3, 0.1], save_n_best=2)
    before = (folder / "_metrics.json").read_bytes()
    (folder / "_metrics.json").write_bytes(b"{torn")
    with no_warnings():
        open_callback(tmp_path, resume="last", save_n_best=2).close()
    assert (folder / "_metrics.json").read_bytes() == before


def test_a_run_without_resume_evicts_nothing_of_the_earlier_and_warns_once(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.01, 0.02, 0.03], save_n_best=3)
    old = {n: (folder / n).read_bytes() for n in names(tmp_path) if n.startswith("train.")}
    model = new_model()
    with pytest.warns(UserWarning) as caught:
        with open_callback(tmp_path, model) as callback:
            assert callback.on_stage_start("train") == 1
            assert callback.entries == []
            for epoch in (7, 8, 9):
                save_epoch(callback, model, "train", epoch, 1 / epoch)
    assert len(caught) == 1 and "another run" in str(caught[0].message)
    assert names(tmp_path) == pairs("train.1", "train.2", "train.3", "train.9")
    assert {n: (folder / n).read_bytes() for n in old} == old
    assert weight_in(folder / "best.pth") == 9  # of this run


def test_other_files_are_never_deleted(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.5])
    others = ["train.1.pth.bak", "train.01.pth", "train.x_full.pth", "notes.txt", ".hidden"]
    others += ["train.1.exception_KeyError.pth", "train.9.pth", "train.9_full.pth"]
    for name in others:
        (folder / name).write_text("mine")
    model = new_model()
    with open_callback(tmp_path, model, resume="last") as callback:
        callback.on_stage_start("train")
        for epoch in range(2, 6):
            save_epoch(callback, model, "train", epoch, 1 / epoch)
    assert [(folder / name).read_text() for name in others] == ["mine"] * len(others)
    assert not (folder / "train.1.pth").exists()


@pytest.mark.parametrize("what", ["train.1", "alias/checkpoints/train.1_full.pth"])
def test_the_file_resumed_from_by_name_is_not_deleted(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_unended(tmp_path, [0.5, 0.6], save_n_best=2)
    os.symlink(tmp_path, tmp_path / "alias")
    monkeypatch.chdir(tmp_path)
    model = new_model()
    for what_now in (what, "last"):
        with open_callback(tmp_path, model, resume=what_now) as callback:
            first = callback.on_stage_start("train")
            for epoch in range(first, first + 3):
                save_epoch(callback, model, "train", epoch, 1 / epoch)
    assert names(tmp_path) == pairs("train.1", "train.7")
