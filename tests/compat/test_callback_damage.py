"""Resuming where files or the index are damaged, missing or newer than the index."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch

import tintype
from checkpoint_jobs import (
    names,
    no_warnings,
    open_callback,
    pairs,
    save_epoch,
    weight_in,
)
from test_callback_resume import new_model, resume, run_unended


def flip_a_byte(path: Path, at: int | None = None) -> None:
    """Damages the payload of the first tensor, for every name of the file."""
    content = bytearray(path.read_bytes())
    if at is None:
        weight = torch.load(path, weights_only=True)["model_state_dict"]["weight"]
        at = content.index(weight.numpy().tobytes())
    content[at] ^= 0x10
    with open(path, "r+b") as file:
        file.write(content)


# --- damage ---


def test_a_damaged_last_sends_resume_to_an_older_one_and_says_why(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.3, 0.2, 0.1], save_n_best=3)
    flip_a_byte(folder / "last_full.pth")  # and train.3_full.pth and best_full.pth, one file
    with pytest.warns(UserWarning, match="train.3.*(CRC|crc|corrupt|damaged).*") as caught:
        assert resume(tmp_path, "last", save_n_best=3) == (3, 2)
    (warning,) = (str(one.message) for one in caught)
    assert warning.count(str(tmp_path)) == 1
    assert warning.endswith("model_state_dict/weight; last is now train.2, best train.2")
    assert weight_in(folder / "last_full.pth") == weight_in(folder / "best.pth") == 2


def test_damage_after_the_start_is_walked_around_too(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.3, 0.2], save_n_best=2)
    model = new_model()
    with open_callback(tmp_path, model, resume="best", save_n_best=2) as callback:
        flip_a_byte(folder / "best_full.pth")
        with pytest.warns(UserWarning, match="; resuming from train.1 instead$") as caught:
            assert callback.on_stage_start("train") == 2
    assert model.weight.item() == 1
    (warning,) = (str(one.message) for one in caught)  # of one file with three names
    assert re.search("best_full.pth, [^:]*last_full.pth[^:]* cannot be used: ", warning)
    assert "train.2_full.pth" in warning.partition(" cannot be used: ")[0]


def test_a_truncated_and_a_missing_file_are_walked_around(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.3, 0.2, 0.1, 0.05], save_n_best=4)
    os.truncate(folder / "last_full.pth", 1000)
    for name in ("train.3_full.pth", "train.3.pth"):
        os.unlink(folder / name)
    with pytest.warns(UserWarning, match="train.[34]") as caught:
        assert resume(tmp_path, "last", save_n_best=4) == (3, 2)
    assert len(caught) == 2


def test_a_named_file_that_is_damaged_is_an_error(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.3, 0.2], save_n_best=2)
    model = new_model()
    for what in ("train.2", folder / "train.2_full.pth"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_callback(tmp_path, model, resume=what, save_n_best=2) as callback:
                if what == "train.2":
                    flip_a_byte(folder / "train.2_full.pth")
                with pytest.raises(tintype.CorruptCheckpointError, match="train.2_full.pth"):
                    callback.on_stage_start("train")
    assert model.weight.item() == -1


@pytest.mark.parametrize("damage", ["missing", "tail", "middle"])
def test_a_damaged_light_file_is_made_again(tmp_path: Path, damage: str) -> None:
    folder = run_unended(tmp_path, [0.3])
    for name in ("train.1.pth", "best.pth", "last.pth"):
        if damage == "missing":
            os.unlink(folder / name)
    if damage != "missing":
        flip_a_byte(folder / "train.1.pth", at=-10 if damage == "tail" else None)
    with pytest.warns(UserWarning, match="made again"):
        assert resume(tmp_path, "last") == (2, 1)
    assert [weight_in(folder / f"{n}.pth") for n in ("train.1", "best", "last")] == [1, 1, 1]


def test_without_any_valid_file_there_is_nothing_to_resume_from(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.3])
    os.truncate(folder / "last_full.pth", 100)
    with pytest.warns(UserWarning), pytest.raises(FileNotFoundError, match="no checkpoint"):
        resume(tmp_path, "last")


def test_a_damaged_or_newer_index_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.3])
    index = folder / ".tintype.json"
    good = json.loads(index.read_text())
    for text, error in (
        ("{", tintype.CorruptCheckpointError),
        (json.dumps({**good, "kept": 3}), tintype.CorruptCheckpointError),
        (json.dumps({**good, "version": 99}), tintype.UnsupportedError),
    ):
        index.write_text(text)
        with pytest.raises(error, match="move it away"):
            open_callback(tmp_path, resume="last")
        assert index.read_text() == text
    assert names(tmp_path) == pairs("train.1")
    index.unlink()
    with pytest.warns(UserWarning):
        assert resume(tmp_path, "last") == (2, 1)


def test_a_lost_index_is_made_again_from_the_files_of_the_run(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.3, 0.1, 0.2], save_n_best=2)
    (folder / ".tintype.json").unlink()
    model = new_model()
    with pytest.warns(UserWarning, match="index"):
        callback = open_callback(tmp_path, model, resume="last", save_n_best=2)
    with callback:
        assert callback.on_stage_start("train") == 4
        assert [e["stem"] for e in callback.entries] == ["train.2", "train.3"]
        save_epoch(callback, model, "train", 4, 0.15)
    assert names(tmp_path) == pairs("train.2", "train.4")
    assert weight_in(folder / "best.pth") == 2


# --- files that the index does not know ---


def test_a_newer_file_of_the_run_is_taken_up_and_its_light_file_made(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.3], save_n_best=2)
    shutil.copy(folder / ".tintype.json", tmp_path / "index")
    model = new_model()
    with open_callback(tmp_path, model, resume="last", save_n_best=2) as callback:
        callback.on_stage_start("train")
        save_epoch(callback, model, "train", 2, 0.1)
    # As after a kill between the commit of the full file and everything after it.
    shutil.copy(tmp_path / "index", folder / ".tintype.json")
    os.unlink(folder / "train.2.pth")
    for name in ("best", "last"):
        for form in (".pth", "_full.pth"):
            os.unlink(folder / f"{name}{form}")
            os.link(folder / f"train.1{form}", folder / f"{name}{form}")
    with pytest.warns(UserWarning) as caught:
        assert resume(tmp_path, "last", save_n_best=2) == (3, 2)
    assert [str(w.message).split(": ")[1].split()[0] for w in caught] == ["train.2_full.pth"]
    assert weight_in(folder / "train.2.pth") == 2
    assert names(tmp_path) == pairs("train.1", "train.2")
    assert {weight_in(folder / f"{n}.pth") for n in ("train.2", "best", "last")} == {2}


def test_a_directory_that_was_copied_resumes(tmp_path: Path) -> None:
    run_unended(tmp_path / "a", [0.3, 0.2], save_n_best=2)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with no_warnings():
        assert resume(tmp_path / "b", "last", save_n_best=2) == (3, 2)
    assert names(tmp_path / "b") == pairs("train.1", "train.2")


def test_a_bare_light_file_is_made_again_as_one(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.3], light_layout="bare")
    os.unlink(folder / "train.1.pth")
    with pytest.warns(UserWarning, match="made again"):
        resume(tmp_path, "last", light_layout="bare")
    assert list(torch.load(folder / "train.1.pth", weights_only=True)) == ["weight"]
