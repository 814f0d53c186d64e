"""What is told where a directory, or a checkpoint, holds more than this callback has to do with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from checkpoint_jobs import open_callback, save_epoch, weight_in
from test_callback_resume import new_model, run_unended


def test_a_run_without_resume_says_that_it_takes_the_names_of_the_earlier(tmp_path: Path) -> None:
    folder = run_unended(tmp_path, [0.01, 0.02], save_n_best=3)
    kept = (folder / "train.2_full.pth").read_bytes()
    model = new_model()
    with pytest.warns(UserWarning, match="the names of the same stage and epoch; take another"):
        with open_callback(tmp_path, model, save_n_best=3) as callback:
            callback.on_stage_start("train")
            save_epoch(callback, model, "train", 1, 5.0)
            callback.wait()
            assert [entry["stem"] for entry in callback.entries] == ["train.1"]
    assert weight_in(folder / "train.1.pth") == 1
    assert (folder / "train.2_full.pth").read_bytes() == kept


def test_states_that_no_part_takes_are_told_when_resuming(tmp_path: Path) -> None:
    model = new_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with open_callback(tmp_path, model, optimizer=optimizer) as callback:
        callback.on_stage_start("train")
        save_epoch(callback, model, "train", 1, 0.5)
    with open_callback(tmp_path, model, resume="last") as callback:
        with pytest.warns(
            UserWarning, match="optimizer_state_dict, for which this callback has no"
        ):
            callback.on_stage_start("train")
        assert callback.resumed is not None and "optimizer_state_dict" in callback.resumed
