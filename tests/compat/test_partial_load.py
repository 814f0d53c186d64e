"""``load(keys=...)``: parts of a checkpoint by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from reading_support import equal, training_state


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "x.pth"
    torch.save(training_state(), path)
    return path


def test_keys_load_only_these_parts(checkpoint: Path) -> None:
    whole = torch.load(checkpoint)
    names = ["model_state_dict/0", "optimizer_state_dict/state/1", "epoch"]
    part = tintype.load(checkpoint, keys=names)
    assert list(part) == ["model_state_dict", "optimizer_state_dict", "epoch"]
    assert list(part["model_state_dict"]) == ["0.weight", "0.bias"]
    assert part["model_state_dict"]._metadata == whole["model_state_dict"]._metadata
    assert equal(part["model_state_dict"]["0.weight"], whole["model_state_dict"]["0.weight"])
    optimizer_state = whole["optimizer_state_dict"]["state"]
    assert equal(part["optimizer_state_dict"]["state"], {1: optimizer_state[1]})
    model_only = {"model_state_dict": whole["model_state_dict"]}
    assert equal(tintype.load(checkpoint, keys="model_state_dict"), model_only)


def test_keys_do_not_choose_by_half_a_word(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    lists = [torch.ones(3), torch.ones(4)]
    torch.save({"train.1": torch.ones(1), "train.10": torch.ones(2), "l": lists}, path)
    assert list(tintype.load(path, keys="train.1")) == ["train.1"]
    assert equal(tintype.load(path, keys="l/1"), {"l": [None, torch.ones(4)]})
    with pytest.raises(KeyError, match="names nothing"):
        tintype.load(path, keys="train.2")


@pytest.mark.parametrize(
    "keys, error, text",
    [
        (3, TypeError, "keys=3 is of type int: give a name"),
        (b"a", TypeError, "keys=b'a' is of type bytes"),
        ({"a": 1}, TypeError, "is of type dict"),
        ([3], TypeError, "keys holds 3 of type int"),
        (["epoch", None], TypeError, "keys holds None"),
        ("", ValueError, "keys holds an empty name"),
        (["epoch", ""], ValueError, "keys holds an empty name"),
        ("a", KeyError, "'a' names nothing in .*x.pth; tintype.inspect lists the names"),
        (["epoch", "a"], KeyError, "'a' names nothing"),
    ],
)
def test_keys_that_are_no_names_are_refused(
    checkpoint: Path, keys: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        tintype.load(checkpoint, keys=keys)


def test_keys_read_and_check_only_what_they_need(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.arange(1000), "b": torch.arange(1000)}, path)
    content = bytearray(path.read_bytes())
    content[content.rindex((777).to_bytes(8, "little"))] ^= 1  # in b
    path.write_bytes(content)
    assert equal(tintype.load(path, keys="a"), {"a": torch.arange(1000)})
    with pytest.raises(tintype.CorruptCheckpointError, match="data/1.*tensor b"):
        tintype.load(path, keys="b")


def test_keys_keep_shared_storages_shared(tmp_path: Path) -> None:
    base = torch.arange(10.0)
    torch.save({"a": base, "v": base[2:4], "other": torch.ones(3)}, tmp_path / "x.pth")
    part = tintype.load(tmp_path / "x.pth", keys=["a", "v"])
    part["a"][2] = 99
    assert part["v"][0].item() == 99
