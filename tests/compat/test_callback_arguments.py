"""Wrong arguments of a CheckpointCallback: each is named, with what to give instead."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tintype
from checkpoint_jobs import open_callback, save_epoch

WRONG_OPTIONS: list[tuple[str, Any, type[Exception], str]] = [
    ("logdir", None, ValueError, "logdir is None: give the directory"),
    ("logdir", "", ValueError, "logdir is empty: give the directory"),
    ("logdir", 3, TypeError, "logdir=3 is of type int: give the directory"),
    ("logdir", b"r", TypeError, "logdir=b'r' is of type bytes: give the directory .* str"),
    ("logdir", "a\0b", ValueError, "logdir=.* NUL"),
    ("logdir", "a\udcff", ValueError, "logdir=.* no UTF-8"),
    ("model", {}, ValueError, "model holds nothing"),
    ("model", {"a": None}, ValueError, "model holds nothing"),
    ("save_n_best", -1, ValueError, "save_n_best=-1 must be between 0 and"),
    ("save_n_best", 2**32, ValueError, "save_n_best=4294967296 must be between 0 and 4294967295"),
    ("save_n_best", 2**40, ValueError, "save_n_best=1099511627776 must be between 0 and"),
    ("save_n_best", True, TypeError, "save_n_best=True must be a whole number"),
    ("save_n_best", 1.0, TypeError, "save_n_best=1.0 must be a whole number"),
    ("save_n_best", None, TypeError, "save_n_best=None must be a whole number"),
    ("main_metric", "", ValueError, "main_metric is empty: give the key"),
    ("main_metric", None, TypeError, "main_metric=None is of type NoneType: give the key"),
    ("main_metric", ["loss"], TypeError, "main_metric=.'loss'. is of type list: give the key"),
    ("minimize_metric", None, TypeError, "minimize_metric=None must be True .* or False"),
    ("minimize_metric", "loss", TypeError, "minimize_metric='loss' must be True .* or False"),
    ("on_error", "ignore", ValueError, "on_error='ignore' is neither 'raise' nor 'warn'"),
    ("on_error", None, ValueError, "on_error=None is neither"),
    ("light_layout", "flat", ValueError, "light_layout='flat' is neither"),
    ("metrics_filename", None, TypeError, "metrics_filename=None is of type NoneType: give a"),
    ("metrics_filename", "", ValueError, "metrics"),
    ("metrics_filename", "metrics.yml", ValueError, "metrics"),
    ("metrics_filename", "a/metrics.json", ValueError, "metrics"),
    ("metrics_filename", ".tintype.json", ValueError, "metrics"),
    ("resume", "", ValueError, "resume is empty: give 'last'"),
    ("resume", 3, TypeError, "resume=3 is of type int: give 'last'"),
    ("resume", True, TypeError, "resume=True is of type bool: give 'last'"),
    ("resume", b"last", TypeError, "resume=b'last' is of type bytes: give 'last'"),
    ("engine", 3, TypeError, "engine=3 is no tintype.Engine: make one"),
    ("engine", tintype.Engine, TypeError, "is no tintype.Engine: make one"),
]


@pytest.mark.parametrize("case", WRONG_OPTIONS, ids=[f"{c[0]}={c[1]!r}" for c in WRONG_OPTIONS])
def test_wrong_options_are_refused_by_name(
    tmp_path: Path, case: tuple[str, Any, type[Exception], str]
) -> None:
    option, value, error, text = case
    options: dict[str, Any] = {"logdir": tmp_path / "run", option: value}
    with pytest.raises(error, match=text):
        open_callback(options.pop("logdir"), **options)
    assert os.listdir(tmp_path) == []


class Stateful:
    """The least that a part needs to be saved."""

    def state_dict(self) -> dict[str, int]:
        return {"step": 3}


WRONG_PARTS: list[tuple[str, Any, str]] = [
    ("model", "x", "model is of type str, which has no state_dict"),
    ("model", 3, "model is of type int"),
    ("model", nn.Linear, "model is the class Linear: give an object of it"),
    ("model", [nn.Linear(1, 1)], "model is of type list.*a dict of such objects"),
    ("model", nn.Linear(1, 1).state_dict(), r"model\['weight'\] is of type .*not its state dict"),
    ("model", {"a": nn.Linear(1, 1), "b": "x"}, r"model\['b'\] is of type str"),
    ("criterion", torch.nn.functional.mse_loss, "criterion is of type function"),
    ("optimizer", [], "optimizer is of type list, which has no state_dict.*or None"),
    ("optimizer", torch.optim.SGD, "optimizer is the class SGD"),
    ("scheduler", {"a": 0.1}, r"scheduler\['a'\] is of type float"),
]


@pytest.mark.parametrize("case", WRONG_PARTS, ids=[f"{c[0]} {c[2][:30]}" for c in WRONG_PARTS])
def test_parts_without_a_state_are_refused_at_once(
    tmp_path: Path, case: tuple[str, Any, str]
) -> None:
    part, value, text = case
    parts: dict[str, Any] = {"model": nn.Linear(1, 1), part: value}
    with pytest.raises(TypeError, match=text):
        tintype.CheckpointCallback(tmp_path / "run", **parts)
    with pytest.raises(TypeError, match=text):
        tintype.pack_checkpoint(**parts)
    assert os.listdir(tmp_path) == []


def test_a_part_that_cannot_take_a_state_back_is_refused_where_a_run_is_resumed(
    tmp_path: Path,
) -> None:
    with pytest.raises(TypeError, match=r"scheduler is of type Stateful.*no load_state_dict\(\)"):
        open_callback(tmp_path, scheduler=Stateful(), resume="last")
    assert os.listdir(tmp_path) == []
    with open_callback(tmp_path, scheduler={"a": Stateful(), "b": None}) as callback:
        callback.on_stage_start("train")
        callback.on_epoch_end("train", 1, {"loss": 1.0}).wait_published()
    saved = torch.load(tmp_path / "checkpoints/last_full.pth")
    assert saved["scheduler_a_state_dict"] == {"step": 3}


def test_two_members_with_one_name_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two members of model are both named 'model_0_state"):
        open_callback(tmp_path, {0: nn.Linear(1, 1), "0": nn.Linear(1, 1)})
    assert os.listdir(tmp_path) == []


def test_no_model_or_two_bare_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model holds nothing"):
        tintype.CheckpointCallback(tmp_path, model=None)
    with pytest.raises(ValueError, match="one model"):
        open_callback(tmp_path, {"a": nn.Linear(1, 1)}, light_layout="bare")


MISSING_NAMES = {
    "train.99": "resume from '.*/run/checkpoints/train.99_full.pth': .*ENOENT.* the directory's "
    "checkpoints are train.1: name one of them, or start without resume",
    "tune.1_full": "resume from '.*/run/checkpoints/tune.1_full.pth': .*train.1",
    "train.99.pth": "resume from '.*/run/checkpoints/train.99.pth': .*checkpoints are train.1",
    "newest": "resume from '.*/run/checkpoints/newest': .*checkpoints are train.1: name one",
    "no/train.1_full.pth": "read '.*/no/train.1_full.pth': .*ENOENT.*there is no directory '.*/no'",
}


@pytest.mark.parametrize("what", MISSING_NAMES)
def test_a_missing_name_is_told_with_those_that_are_there(tmp_path: Path, what: str) -> None:
    model = nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path / "run", model) as callback:
        callback.on_stage_start("train")
        save_epoch(callback, model, "train", 1, 0.5)
    with open_callback(tmp_path / "run", model, resume=what) as callback:
        with pytest.raises(FileNotFoundError, match=MISSING_NAMES[what]):
            callback.on_stage_start("train")
    with pytest.raises(FileNotFoundError, match="read '.*ENOENT.*check the spelling"):
        tintype.load_checkpoint(tmp_path / "run" / "checkpoints" / what)
