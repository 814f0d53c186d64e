"""Objects that Python cannot pickle, or whose own code fails at it."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import tintype


class Holder:
    def __init__(self, part: object) -> None:
        self.part = part


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    ("obj", "type_name", "where"),
    [
        ({"a": [1, threading.Lock()]}, "lock", "['a'][1]"),
        ({"model": {"hook": lambda x: x}}, "function", "['model']['hook']"),
        ([(torch.ones(2), (n for n in range(3)))], "generator", "[0][1]"),
        ({"holder": Holder(threading.Lock())}, "lock", "['holder'].part"),
        ({"batches": iter(DataLoader([1, 2]))}, "_SingleProcessDataLoaderIter", "['batches']"),
        (threading.Lock(), "lock", "the object itself"),
    ],
)
def test_unpicklable_part_is_named_by_its_type_and_place(
    tmp_path: Path, obj: object, type_name: str, where: str, is_async: bool
) -> None:
    with pytest.raises(tintype.UnpicklableError) as caught:
        (tintype.save_async if is_async else tintype.save)(obj, tmp_path / "x.pth")
    assert isinstance(caught.value, pickle.PicklingError)
    assert type_name in str(caught.value) and where in str(caught.value)
    assert str(caught.value).endswith("; leave it out, or save its state_dict()")
    assert caught.value.__cause__ is not None
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", [list, dict])
def test_what_is_nested_too_deep_for_pickle_is_unpicklable(tmp_path: Path, kind: type) -> None:
    nested: Any = kind()
    for _ in range(100_000):
        nested = [nested] if kind is list else {"a": nested}
    for save in (tintype.save, tintype.save_async):
        with pytest.raises(tintype.UnpicklableError, match="nested too deep for Python's pickler"):
            save({"a": nested}, tmp_path / "x.pth")
    with tintype.CheckpointCallback(tmp_path / "run", model=torch.nn.Linear(1, 1)) as callback:
        callback.on_stage_start("train")
        with pytest.raises(tintype.UnpicklableError, match="extra holds .* nested too deep"):
            callback.on_epoch_end("train", 1, {"loss": 1.0}, extra=nested)
    assert os.listdir(tmp_path) == ["run"]


def test_error_that_an_objects_own_reduce_raises_is_passed_on(tmp_path: Path) -> None:
    class Broken:
        def __reduce__(self) -> Any:
            raise ZeroDivisionError("in the user's own code")

    with pytest.raises(ZeroDivisionError, match="own code"):
        tintype.save({"x": Broken()}, tmp_path / "x.pth")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("size_bytes", [0, 16, 1 << 30])
def test_memory_that_pickling_frees_is_not_read(tmp_path: Path, size_bytes: int) -> None:
    storage = torch.ones(1 << 22).untyped_storage()

    class Releasing:
        def __reduce__(self) -> Any:
            storage.resize_(0)
            storage.resize_(size_bytes)
            return int, ()

    state = [torch.empty(0).set_(storage, 0, (1 << 22,)), Releasing()]
    with pytest.raises(RuntimeError, match="pickling it resized or replaced the memory"):
        tintype.save(state, tmp_path / "x.pth")
    assert os.listdir(tmp_path) == []
