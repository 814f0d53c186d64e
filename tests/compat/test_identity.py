"""The promise of the plain form: byte for byte what ``torch.save`` writes to a buffer."""

from __future__ import annotations

import functools
import gc
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.serialization import config

import tintype
from dtype_objects import NATIVE_DTYPES, QUANTIZED_DTYPES, UNSAVEABLE
from objects import FALLBACK, NATIVE
from odd_objects import ODD
from random_objects import RandomObjects
from reading_support import records_of
from tintype._capture import StorageTable, capture, capture_by_pickler
from training_objects import TRAINING

IS_FULL = bool(os.environ.get("TINTYPE_FULL"))
RANDOM_COUNT = 10_000 if IS_FULL else 1_000
ALL_NATIVE = {**NATIVE, **TRAINING, **NATIVE_DTYPES}
ALL_FALLBACK = {**FALLBACK, **ODD, **QUANTIZED_DTYPES}
CASES = {**ALL_NATIVE, **ALL_FALLBACK}

pytestmark = pytest.mark.skipif(
    torch.__version__.split("+")[0].rsplit(".", 1)[0] != "2.11",
    reason="byte identity is promised with torch 2.11",
)


def saved_by(save: Callable[[Any, io.BytesIO], object], obj: object) -> bytes:
    buffer = io.BytesIO()
    save(obj, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("alignment", [64, 4096])
@pytest.mark.parametrize("name", CASES)
def test_object_is_saved_as_torch_saves_it(tmp_path: Path, name: str, alignment: int) -> None:
    obj = CASES[name]()
    with config.patch({"save.storage_alignment": alignment}):
        expected = saved_by(torch.save, obj)
        assert saved_by(tintype.save, obj) == expected
        tintype.save(obj, tmp_path / "x.pth")
    assert (tmp_path / "x.pth").read_bytes() == expected


@pytest.mark.parametrize("name", ALL_NATIVE)
def test_listed_object_needs_no_python_pickler(name: str) -> None:
    obj = ALL_NATIVE[name]()
    table = StorageTable()
    native = capture(obj, table)
    assert native.path == "native"
    assert native.pickle == capture_by_pickler(obj, StorageTable(), "for comparison").pickle


@pytest.mark.parametrize("name", ALL_FALLBACK)
def test_other_object_says_what_forced_the_pickler(name: str) -> None:
    path = capture(ALL_FALLBACK[name](), StorageTable()).path
    assert path.startswith("pickler: ") and len(path) > len("pickler: ")


def test_type_under_a_byte_is_not_taken_for_a_byte() -> None:
    """DLPack calls both unsigned, 8 bits; torch cannot save this one."""
    obj = [torch.zeros(3, dtype=torch.uint8), torch.zeros(3, dtype=torch.uint8).view(torch.uint4)]
    with pytest.raises(KeyError, match="uint4"):
        saved_by(torch.save, obj)
    with pytest.raises(KeyError, match="uint4"):
        saved_by(tintype.save, obj)


def test_storages_are_the_collectors_again_after_a_save() -> None:
    tensor = torch.ones(3)
    storage = tensor.untyped_storage()
    table = StorageTable()
    captured = capture([tensor, tensor[1:]], table)
    assert captured.path == "native" and not gc.is_tracked(storage)
    del captured, table
    assert gc.is_tracked(storage)


def test_random_objects_are_captured_alike_by_both_paths() -> None:
    native_count = 0
    for seed in range(RANDOM_COUNT):
        obj = RandomObjects(seed).make()
        native = capture(obj, StorageTable())
        by_pickler = capture_by_pickler(obj, StorageTable(), "for comparison")
        assert native.pickle == by_pickler.pickle, f"seed {seed}: {native.path}"
        native_count += native.path == "native"
        if seed % 10 == 0 or IS_FULL:
            assert saved_by(tintype.save, obj) == saved_by(torch.save, obj), f"seed {seed}"
    print(f"{RANDOM_COUNT} random objects, {native_count} by the native walk")
    assert native_count == RANDOM_COUNT


def test_the_report_names_the_capture_path(tmp_path: Path) -> None:
    def path_of(obj: object) -> str:
        snapshot = tintype.save_async(obj, tmp_path / "x.pth")
        snapshot.wait_durable()
        return str(snapshot.report()["capture_path"])

    assert path_of({"a": torch.ones(2)}) == "native"
    assert path_of({"a": range(3)}) == "pickler: range"


def test_a_users_own_reducer_is_obeyed() -> None:
    import copyreg

    def reduce_size(size: torch.Size) -> tuple[Any, ...]:
        return (list, (list(size),))

    copyreg.pickle(torch.Size, reduce_size)  # type: ignore[arg-type]
    try:
        obj = [torch.Size([1, 2])]
        assert saved_by(tintype.save, obj) == saved_by(torch.save, obj)
    finally:
        del copyreg.dispatch_table[torch.Size]


def test_a_default_device_mode_changes_no_byte() -> None:
    obj = NATIVE["adamw_after_a_step"]()
    expected = saved_by(torch.save, obj)
    with torch.device("cpu"):
        assert saved_by(tintype.save, obj) == expected


def test_one_memory_as_two_dtypes_is_refused_as_torch_refuses_it() -> None:
    x = torch.zeros(4)
    for save in (torch.save, tintype.save):
        with pytest.raises(RuntimeError, match="view the same data as different types"):
            save([x, x.view(torch.int32)], io.BytesIO())


def test_a_storage_of_odd_size_loads_where_torchs_own_does_not() -> None:
    odd = torch.arange(10, dtype=torch.uint8)[:8].view(torch.int32)
    theirs, ours = saved_by(torch.save, odd), saved_by(tintype.save, odd)
    with pytest.raises(RuntimeError):
        torch.load(io.BytesIO(theirs))
    assert torch.load(io.BytesIO(ours)).equal(odd)
    assert (len(records_of(theirs)["data/0"]), len(records_of(ours)["data/0"])) == (10, 8)


@pytest.mark.parametrize("dtype", UNSAVEABLE, ids=str)
def test_dtype_without_a_storage_is_refused_as_torch_refuses_it(dtype: torch.dtype) -> None:
    for save in (torch.save, tintype.save):
        with pytest.raises(KeyError, match=f"dtype {dtype} is not recognized"):
            save([torch.ones(2), torch.empty(4, dtype=dtype)], io.BytesIO())


@pytest.mark.parametrize("alignment", [8, 512, 32768])
@pytest.mark.parametrize("name", ["model_state_dict", "zero_size", "views_of_one_storage"])
def test_other_alignments_are_torchs_too(name: str, alignment: int) -> None:
    obj = NATIVE[name]()
    with config.patch({"save.storage_alignment": alignment}):
        assert saved_by(tintype.save, obj) == saved_by(torch.save, obj)


def test_the_same_object_gives_the_same_bytes_at_any_path_and_time(tmp_path: Path) -> None:
    state = NATIVE["adamw_after_a_step"]()
    paths = [tmp_path / "a.pth", tmp_path / "ünï" / "another name"]
    paths[1].parent.mkdir()
    for path in paths:
        tintype.save(state, path)
    assert paths[0].read_bytes() == paths[1].read_bytes() == saved_by(tintype.save, state)


def test_too_deep_nesting_is_refused_as_python_refuses_it() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        torch.save(deep, io.BytesIO())
    with pytest.raises(tintype.UnpicklableError, match="nested too deep") as caught:
        tintype.save(deep, io.BytesIO())
    assert isinstance(caught.value.__cause__, RecursionError)


def test_one_engine_saves_changing_structures_as_torch_does(tmp_path: Path) -> None:
    """Plans are kept for the next save; scalars, names, dtypes and shapes change under them."""
    shared = torch.arange(6.0)

    def state(**changes: Any) -> dict[str, Any]:
        return {"step": 1, "name": "a", "x": shared, "y": torch.ones(3), **changes}

    variants = [
        state(),
        state(step=2),
        state(step=2, name="b"),
        state(y=torch.ones(3, dtype=torch.int32)),
        state(y=torch.ones(4)),
        state(y=shared),
        state(y=torch.ones(3, 1)),
        {"y": torch.ones(3), "step": 1, "name": "a", "x": shared},
        state(step=300),
        state(),
    ]
    with tintype.Engine() as engine:
        for number, obj in enumerate(variants):
            for alignment in (64, 4096):
                with config.patch({"save.storage_alignment": alignment}):
                    expected = saved_by(torch.save, obj)
                    for _ in range(2):
                        engine.save(obj, tmp_path / "x.pth")
                        assert (tmp_path / "x.pth").read_bytes() == expected, number


@pytest.mark.parametrize("cls", [torch.Tensor, torch.nn.Parameter])
def test_a_patched_reducer_is_obeyed(cls: type, monkeypatch: pytest.MonkeyPatch) -> None:
    stock = cls.__reduce_ex__

    @functools.wraps(stock)
    def reduced(tensor: torch.Tensor, protocol: int) -> Any:
        if tensor.numel() == 7:
            return str, ("replaced",)
        return stock(tensor, protocol)

    tensors = [torch.ones(7), torch.ones(3)]
    state = tensors if cls is torch.Tensor else [torch.nn.Parameter(t) for t in tensors]
    table = StorageTable()
    assert capture(state, table).path == "native"
    monkeypatch.setattr(cls, "__reduce_ex__", reduced)
    expected, ours = io.BytesIO(), io.BytesIO()
    torch.save(state, expected)
    tintype.save(state, ours)
    assert ours.getvalue() == expected.getvalue()
    assert b"replaced" in ours.getvalue()
