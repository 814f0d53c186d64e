"""``tintype ls`` and ``tintype clean``: a run's directory, looked at and tidied from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tintype
from program import CORRUPT, IO_ERROR, LOCKED, OK, run_command, run_json

WRITER = """
import os, sys, torch, tintype
callback = tintype.CheckpointCallback(sys.argv[1], model=torch.nn.Linear(4, 4))
callback.__enter__()
callback.on_stage_start("train")
callback.on_epoch_end("train", 1, {"loss": 0.5}).wait_published()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def logdir(tmp_path: Path) -> Path:
    model = torch.nn.Linear(64, 64)
    optimizer = torch.optim.AdamW(model.parameters())
    with tintype.CheckpointCallback(
        tmp_path / "run", model=model, optimizer=optimizer, save_n_best=2
    ) as callback:
        callback.on_stage_start("train")
        for epoch, loss in enumerate([0.5, 0.25, 1.0], start=1):
            callback.on_epoch_end("train", epoch, {"loss": loss, "accuracy": 1 - loss})
    return tmp_path / "run"


def put_orphan(folder: Path, name: str = "gone.pth") -> Path:
    orphan = folder / f".{name}.tintype-{os.uname().nodename}-1-0123456789abcdef"
    orphan.write_bytes(b"x" * 2048)
    return orphan


def snapshot_of(folder: Path) -> dict[str, tuple[int, int]]:
    paths = sorted(folder.rglob("*"))
    return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in paths}


def test_ls_shows_each_epoch_with_its_rank_files_and_links(logdir: Path) -> None:
    before = snapshot_of(logdir)
    done = run_command("ls", logdir)
    assert done.returncode == OK, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["CHECKPOINT", "loss", "FULL", "LIGHT", "LINKS", "STATE"]
    assert lines[1][:2] == ["train.2", "0.25"] and lines[1][-2:] == ["best", "sound"]
    assert lines[2][:2] == ["train.1", "0.5"] and lines[2][-1] == "sound"
    assert lines[3][:2] == ["train.3", "1"] and lines[3][-2:] == ["last", "sound"]
    assert "3 checkpoints" in done.stdout
    assert snapshot_of(logdir) == before


def test_ls_json_has_the_documented_form(logdir: Path) -> None:
    report = run_json("ls", logdir)
    assert list(report) == [
        "schema", "version", "path", "index", "holder", "disk_bytes", "checkpoints", "orphans",
        "notes",
    ]  # fmt: skip
    assert (report["schema"], report["version"]) == ("tintype.ls", 1)
    assert report["path"] == str(logdir / "checkpoints")
    assert report["index"]["main_metric"] == "loss" and report["index"]["save_n_best"] == 2
    assert report["holder"] is None and report["orphans"] == [] and report["notes"] == []
    best = report["checkpoints"][0]
    assert list(best) == [
        "name", "standing", "state", "best", "last", "stage", "epoch", "score", "metrics", "full",
        "light",
    ]  # fmt: skip
    assert (best["name"], best["standing"], best["state"]) == ("train.2", "kept", "sound")
    assert (best["stage"], best["epoch"], best["score"]) == ("train", 2, 0.25)
    assert best["metrics"] == {"loss": 0.25, "accuracy": 0.75}
    size_bytes = (logdir / "checkpoints/train.2_full.pth").stat().st_size
    assert best["full"] == {"name": "train.2_full.pth", "size_bytes": size_bytes, "problem": None}
    assert [one["standing"] for one in report["checkpoints"]] == ["kept", "kept", "linked"]


def test_ls_answers_3_where_a_checkpoint_is_damaged_or_missing(logdir: Path) -> None:
    folder = logdir / "checkpoints"
    os.truncate(folder / "train.2_full.pth", 3000)
    (folder / "train.1.pth").unlink()
    done = run_command("ls", logdir)
    assert done.returncode == CORRUPT
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert rows["train.2"].endswith("damaged")
    assert rows["train.1"].endswith("missing")
    assert "train.2_full.pth: " in done.stdout
    report = run_json("ls", logdir, expect=CORRUPT)
    states = {one["name"]: one["state"] for one in report["checkpoints"]}
    assert states == {"train.2": "damaged", "train.1": "missing", "train.3": "sound"}


def test_ls_reads_a_directory_that_catalyst_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("train.0_full.pth", "train.1_full.pth", "train.1.pth", "best_full.pth"):
        torch.save({"name": 0 if "0" in name else 1}, folder / name)
    (folder / "best_full.pth").write_bytes((folder / "train.1_full.pth").read_bytes())
    report = run_json("ls", tmp_path)
    assert report["index"] is None
    (one,) = report["checkpoints"]  # Catalyst's epoch 0 has no name that Tintype could have given
    assert (one["name"], one["standing"], one["best"]) == ("train.1", "unindexed", True)
    assert "no index" in run_command("ls", tmp_path).stdout


def test_ls_of_an_empty_run_begins_with_its_one_line(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    done = run_command("ls", tmp_path)
    assert done.returncode == OK
    assert done.stdout.startswith(f"{tmp_path}/checkpoints: 0 checkpoints, 0 B on the disk\n")


def test_ls_of_no_run_says_what_to_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    for name, error in ((".", "ENOENT"), ("missing", "ENOENT"), ("file", "ENOTDIR")):
        done = run_command("ls", tmp_path / name)
        assert done.returncode == IO_ERROR and done.stdout == ""
        assert f"'{tmp_path / name}'" in done.stderr and error in done.stderr
        assert "name the folder of a run" in done.stderr


def test_clean_shows_then_removes_what_dead_writers_left(logdir: Path) -> None:
    before = snapshot_of(logdir)
    orphans = [put_orphan(logdir), put_orphan(logdir / "checkpoints")]
    assert "1 temporary files" in run_command("ls", logdir).stdout
    done = run_command("clean", "--dry-run", logdir)
    assert done.returncode == OK
    assert done.stdout.splitlines()[:2] == [f"would remove {path} (2 KiB)" for path in orphans]
    assert all(path.exists() for path in orphans)
    report = run_json("clean", logdir)
    assert list(report) == ["schema", "version", "dry_run", "removed"]
    assert (report["schema"], report["version"], report["dry_run"]) == ("tintype.clean", 1, False)
    assert report["removed"] == [{"path": str(path), "size_bytes": 2048} for path in orphans]
    after = snapshot_of(logdir)
    assert after.keys() == before.keys()
    assert run_command("clean", logdir).stdout == "nothing to remove\n"


def test_clean_keeps_away_from_a_directory_in_use_until_its_writer_dies(tmp_path: Path) -> None:
    logdir = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(logdir)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as writer:  # fmt: skip
        try:
            assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
            orphan = put_orphan(logdir / "checkpoints")
            for words in (["clean"], ["clean", "-n"]):
                done = run_command(*words, logdir)
                assert done.returncode == LOCKED
                assert f"process {writer.pid}" in done.stderr
            assert orphan.exists()
            assert f"In use by process {writer.pid}" in run_command("ls", logdir).stdout
        finally:
            writer.send_signal(signal.SIGKILL)
    assert run_command("clean", logdir).returncode == OK
    assert not orphan.exists()
