"""What stands in a checkpoint directory: names, contents, top-K, best, last, metrics."""

from __future__ import annotations

import json
import math
import os
import random
from fractions import Fraction
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


def run(logdir: Path, losses: list[float], **options: Any) -> Path:
    """One stage "train" with these losses; the folder with the files."""
    model = nn.Linear(1, 1, bias=False)
    with no_warnings(), open_callback(logdir, model, **options) as callback:
        run_stage(callback, model, "train", losses)
    return logdir / "checkpoints"


def strict_json(path: Path) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


# --- contents ---


def test_a_full_file_holds_the_parts_and_what_resume_needs(tmp_path: Path) -> None:
    parts = make_parts()
    with open_callback(tmp_path, **parts) as callback:
        callback.on_stage_start("train")
        expected_states = {
            "torch": torch.get_rng_state(),
            "python": random.getstate(),
            "numpy": numpy.random.get_state(),
        }
        callback.on_epoch_end("train", 1, {"loss": torch.tensor(0.5), "f1": 1}, note=[1, "a"])
    full = torch.load(tmp_path / "checkpoints" / "train.1_full.pth", weights_only=True)
    state_dicts = [f"{part}_state_dict" for part in parts]
    assert list(full) == [*state_dicts, "stage", "epoch", "metrics", "rng_state", "run_id", "note"]
    assert (full["stage"], full["epoch"], full["note"]) == ("train", 1, [1, "a"])
    assert full["metrics"] == {"loss": 0.5, "f1": 1.0}
    assert all(type(value) is float for value in full["metrics"].values())
    assert len(full["run_id"]) == 32
    rng = full["rng_state"]
    assert list(rng) == ["torch", "python", "numpy"]
    assert torch.equal(rng["torch"], expected_states["torch"]) and rng["torch"].dtype == torch.uint8
    assert rng["python"] == expected_states["python"]
    name, keys, *rest = expected_states["numpy"]
    assert rng["numpy"] == (name, keys.tolist(), *rest)
    assert [type(part) for part in rng["numpy"]] == [str, list, int, int, float]


def test_a_light_file_holds_the_model_and_nothing_else(tmp_path: Path) -> None:
    parts = make_parts()
    with open_callback(tmp_path, **parts) as callback:
        callback.on_stage_start("train")
        callback.on_epoch_end("train", 1, {"loss": 1.0}, model_ema_state_dict={"w": torch.ones(1)})
    for name in ("train.1", "best", "last"):
        light = torch.load(tmp_path / "checkpoints" / f"{name}.pth", weights_only=True)
        assert list(light) == ["model_state_dict"]
        make_parts()["model"].load_state_dict(light["model_state_dict"])


def test_a_bare_light_file_is_the_state_dict(tmp_path: Path) -> None:
    folder = run(tmp_path, [1.0], light_layout="bare")
    light = torch.load(folder / "best.pth", weights_only=True)
    assert list(light) == ["weight"]
    assert next(iter(torch.load(folder / "best_full.pth", weights_only=True))) == "model_state_dict"


def test_dicts_of_parts_have_a_key_each_in_both_forms(tmp_path: Path) -> None:
    models = {"optimizer": nn.Linear(1, 1), "critic": nn.Linear(1, 1)}
    with open_callback(tmp_path, models, criterion={"a": nn.L1Loss(), "b": None}) as callback:
        callback.on_stage_start("train")
        callback.on_epoch_end("train", 1, {"loss": 1.0})
    light = torch.load(tmp_path / "checkpoints" / "last.pth", weights_only=True)
    full = torch.load(tmp_path / "checkpoints" / "last_full.pth", weights_only=True)
    assert list(light) == ["model_optimizer_state_dict", "model_critic_state_dict"]
    assert [key for key in full if key.endswith("_dict")] == [*light, "criterion_a_state_dict"]


def test_every_file_is_what_torch_save_writes(tmp_path: Path) -> None:
    import io

    folder = run(tmp_path, [0.5, 0.4])
    for name in names(tmp_path) - {"_metrics.json"}:
        buffer = io.BytesIO()
        torch.save(torch.load(folder / name, weights_only=True), buffer)
        assert buffer.getbuffer().nbytes == (folder / name).stat().st_size, name


# --- selection ---


def test_names_are_one_based_and_unpadded_and_evicting_train_1_leaves_train_10(
    tmp_path: Path,
) -> None:
    losses = [0.5] + [0.9] * 8 + [0.1, 0.2, 0.3]
    folder = run(tmp_path, losses, save_n_best=3)
    assert names(tmp_path) == pairs("train.10", "train.11", "train.12")
    assert list(strict_json(folder / "_metrics.json"))[2:] == ["train.10", "train.11", "train.12"]


@pytest.mark.parametrize("save_n_best", [0, 1, 3, 100])
@pytest.mark.parametrize("is_minimized", [True, False])
def test_the_best_k_stay(tmp_path: Path, save_n_best: int, is_minimized: bool) -> None:
    scores = [0.3, 0.1, 0.5, 0.0, 0.4]
    ranks = sorted(range(5), key=lambda i: scores[i], reverse=not is_minimized)
    folder = run(tmp_path, scores, save_n_best=save_n_best, minimize_metric=is_minimized)
    kept = [f"train.{i + 1}" for i in ranks[:save_n_best]]
    assert names(tmp_path) == pairs(*kept)
    assert list(strict_json(folder / "_metrics.json")) == ["best", "last", *kept]
    assert weight_in(folder / "best.pth") == weight_in(folder / "best_full.pth") == ranks[0] + 1
    assert weight_in(folder / "last.pth") == weight_in(folder / "last_full.pth") == 5


@pytest.mark.parametrize("is_minimized", [True, False])
def test_ties_keep_the_older(tmp_path: Path, is_minimized: bool) -> None:
    folder = run(tmp_path, [0.5] * 4, save_n_best=2, minimize_metric=is_minimized)
    assert names(tmp_path) == pairs("train.1", "train.2")
    assert weight_in(folder / "best.pth") == 1


@pytest.mark.parametrize("is_minimized", [True, False])
def test_nan_is_worst_in_both_directions(tmp_path: Path, is_minimized: bool) -> None:
    worst = math.inf if is_minimized else -math.inf
    losses = [math.nan, worst, -worst, math.nan]
    folder = run(tmp_path, losses, save_n_best=2, minimize_metric=is_minimized)
    assert names(tmp_path) == pairs("train.2", "train.3")
    assert weight_in(folder / "best_full.pth") == 3
    metrics = strict_json(folder / "_metrics.json")
    assert metrics["best"] == metrics["last"] == {"loss": None}


def test_a_run_of_nans_has_a_best(tmp_path: Path) -> None:
    folder = run(tmp_path, [math.nan, math.nan])
    assert names(tmp_path) == pairs("train.1")
    assert weight_in(folder / "best.pth") == 1 and weight_in(folder / "last.pth") == 2


def test_an_epoch_that_would_be_evicted_at_once_is_written_as_last_only(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path, model) as callback:
        callback.on_stage_start("train")
        paths = [save_epoch(callback, model, "train", 1, 0.1).path]
        paths.append(save_epoch(callback, model, "train", 2, 0.2).path)
    assert [os.path.basename(path) for path in paths] == ["train.1_full.pth", "last_full.pth"]


def test_best_and_last_are_links_to_one_written_file(tmp_path: Path) -> None:
    folder = run(tmp_path, [0.2, 0.1])
    for form in (".pth", "_full.pth"):
        inodes = {os.stat(folder / f"{n}{form}").st_ino for n in ("train.2", "best", "last")}
        assert len(inodes) == 1
    model = nn.Linear(1000, 1000)
    with open_callback(tmp_path / "b", model) as callback:
        callback.on_stage_start("train")
        snapshot = callback.on_epoch_end("train", 1, {"loss": 1.0})
        snapshot.wait_published()
    written = snapshot.report()["written_bytes"]
    assert 2 * 4_004_000 < written < 2 * 4_100_000  # light and full once, best and last not at all


def test_best_keeps_its_weights_when_the_model_goes_on(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path, model, save_n_best=0) as callback:
        callback.on_stage_start("train")
        for epoch, loss in ((1, 0.1), (2, 0.9), (3, 0.8)):
            save_epoch(callback, model, "train", epoch, loss)
            mark(model, -1)  # right after the call: the file has the state at the call
    folder = tmp_path / "checkpoints"
    assert [weight_in(folder / f"{n}_full.pth") for n in ("best", "last")] == [1, 3]
    assert names(tmp_path) == pairs()


def test_stages_keep_their_own_and_share_one_best(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path, model, save_n_best=2) as callback:
        for stage, losses in (("warm-up", [0.3, 0.2, 0.1]), ("stage_2.b", [0.9, 0.8, 0.95])):
            run_stage(callback, model, stage, losses)
        entries = [(e["stem"], e["stage"], e["epoch"], e["score"]) for e in callback.entries]
    stems = ["warm-up.3", "warm-up.2", "stage_2.b.2", "stage_2.b.1"]
    assert names(tmp_path) == pairs(*stems)
    folder = tmp_path / "checkpoints"
    assert torch.load(folder / "best_full.pth", weights_only=True)["stage"] == "warm-up"
    assert torch.load(folder / "last_full.pth", weights_only=True)["stage"] == "stage_2.b"
    assert list(strict_json(folder / "_metrics.json")) == ["best", "last", *stems]
    assert entries[0] == ("warm-up.3", "warm-up", 3, 0.1) and len(entries) == 4


@pytest.mark.parametrize(
    "stages, save_n_best, count", [(1, 1, 7), (3, 1, 11), (1, 3, 11), (3, 3, 23), (3, 0, 5)]
)
def test_file_counts_are_those_of_catalysts_own_tests(
    tmp_path: Path, stages: int, save_n_best: int, count: int
) -> None:
    model = nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path, model, save_n_best=save_n_best) as callback:
        for stage in range(1, stages + 1):
            run_stage(callback, model, f"stage{stage}", [0.5, 0.4, 0.3, 0.2, 0.1])
    assert len(names(tmp_path)) == count


def test_a_repeated_epoch_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path, model, save_n_best=2) as callback:
        callback.on_stage_start("train")
        for mark_value, epoch, loss in ((1, 1, 0.1), (2, 2, 0.2), (30, 1, 0.9), (4, 3, 0.5)):
            mark(model, mark_value)
            callback.on_epoch_end("train", epoch, {"loss": loss})
        assert callback.next_epoch == 4
    folder = tmp_path / "checkpoints"
    assert names(tmp_path) == pairs("train.2", "train.3")
    assert weight_in(folder / "best.pth") == 1  # the best that ever was
    assert strict_json(folder / "_metrics.json")["best"] == {"loss": 0.1}


# --- metrics ---


METRICS = {
    "int": (3, 3.0),
    "bool": (True, 1.0),
    "fraction": (Fraction(1, 4), 0.25),
    "tensor": (torch.tensor(0.5), 0.5),
    "tensor with gradient": (torch.tensor(0.5, requires_grad=True), 0.5),
    "bfloat16": (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
    "integer tensor": (torch.tensor(2), 2.0),
    "tensor of one element": (torch.tensor([0.5]), 0.5),
    "numpy float32": (numpy.float32(0.5), 0.5),
    "numpy float64": (numpy.float64(0.5), 0.5),
    "numpy int": (numpy.int64(4), 4.0),
    "numpy array": (numpy.array([[0.5]]), 0.5),
}


@pytest.mark.parametrize("kind", METRICS)
def test_metrics_become_floats(tmp_path: Path, kind: str) -> None:
    value, expected = METRICS[kind]
    with no_warnings(), open_callback(tmp_path) as callback:
        callback.on_stage_start("train")
        callback.on_epoch_end("train", numpy.int64(1), {"loss": value})
    full = torch.load(tmp_path / "checkpoints" / "best_full.pth", weights_only=True)
    assert full["metrics"] == {"loss": expected} and type(full["epoch"]) is int
    assert strict_json(tmp_path / "checkpoints" / "_metrics.json")["last"] == {"loss": expected}


def test_another_main_metric_and_metrics_file(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    options = {"main_metric": "gelöst 1", "minimize_metric": False, "metrics_filename": "m.json"}
    with open_callback(tmp_path, model, **options) as callback:
        callback.on_stage_start("train")
        callback.on_epoch_end("train", 1, {"loss": 1.0, "gelöst 1": 0.0})
        callback.on_epoch_end("train", 2, {"loss": 2.0, "gelöst 1": -0.5})
    metrics = strict_json(tmp_path / "checkpoints" / "m.json")
    assert list(metrics) == ["best", "last", "train.1"]
    assert metrics["best"] == {"loss": 1.0, "gelöst 1": 0.0}


def test_the_run_is_told_at_every_publish_and_read_back(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    path = tmp_path / "checkpoints" / "_metrics.json"
    with open_callback(tmp_path, model) as callback:
        callback.on_stage_start("train")
        assert strict_json(path) == {}
        for epoch in (1, 2):
            save_epoch(callback, model, "train", epoch, epoch / 10).wait_published()
            assert strict_json(path)["last"] == {"loss": epoch / 10}
    assert isinstance(callback, tintype.CheckpointCallback)
