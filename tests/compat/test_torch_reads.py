"""Stock ``torch.load`` reads our files, in every mode."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from objects import NATIVE

# weights_only refuses these whoever wrote them (torch's own rules).
_NOT_WEIGHTS = {"bytes", "sets", "integers"}


def tensors_of(obj: Any) -> list[torch.Tensor]:
    """Every tensor, in the order of the walk; containers that hold themselves are left out."""
    if isinstance(obj, torch.Tensor):
        return [obj]
    if isinstance(obj, dict):
        return [t for value in obj.values() for t in tensors_of(value)]
    if isinstance(obj, (list, tuple)):
        return [t for value in obj for t in tensors_of(value)]
    return []


def assert_same_tensors(loaded: Any, saved: Any) -> None:
    pairs = list(zip(tensors_of(loaded), tensors_of(saved), strict=True))
    for got, expected in pairs:
        assert got.dtype == expected.dtype and got.shape == expected.shape
        assert got.stride() == expected.stride()
        if expected.device.type != "meta":
            assert content_of(got) == content_of(expected)


def content_of(tensor: torch.Tensor) -> bytes:
    """The elements' bytes, NaN payloads and all; lazy bits resolved."""
    plain = (
        tensor.detach().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)
    )
    return bytes(plain.untyped_storage())


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", [n for n in NATIVE if n != "recursion"])
def test_torch_loads_what_was_saved(tmp_path: Path, name: str, mmap: bool) -> None:
    saved = NATIVE[name]()
    path = tmp_path / "x.pth"
    tintype.save(saved, path)
    loaded = torch.load(path, mmap=mmap, weights_only=name not in _NOT_WEIGHTS)
    assert_same_tensors(loaded, saved)
    assert type(loaded) is type(saved)


@pytest.mark.parametrize("name", ["model_state_dict", "adamw_after_a_step", "views_of_one_storage"])
def test_meta_offsets_are_those_of_the_records(tmp_path: Path, name: str) -> None:
    saved = NATIVE[name]()
    path = tmp_path / "x.pth"
    tintype.save(saved, path)
    content = path.read_bytes()
    on_meta = tensors_of(torch.load(path, map_location="meta"))
    for tensor, expected in zip(on_meta, tensors_of(saved), strict=True):
        assert tensor.device.type == "meta"
        storage = expected.untyped_storage()
        offset = tensor.untyped_storage()._checkpoint_offset
        assert content[offset : offset + storage.nbytes()] == bytes(storage)


def test_sharing_survives(tmp_path: Path) -> None:
    x = torch.zeros(4)
    tintype.save([x, x[2:], x], tmp_path / "x.pth")
    whole, part, again = torch.load(tmp_path / "x.pth")
    assert whole is again
    whole[3] = 7
    assert part[1] == 7


def test_metadata_of_a_state_dict_survives(tmp_path: Path) -> None:
    state = torch.nn.BatchNorm1d(3).state_dict()
    tintype.save(state, tmp_path / "x.pth")
    assert torch.load(tmp_path / "x.pth")._metadata == state._metadata


def test_a_file_object_gets_a_file_that_loads() -> None:
    buffer = io.BytesIO()
    tintype.save({"a": torch.arange(5)}, buffer)
    buffer.seek(0)
    assert torch.load(buffer)["a"].equal(torch.arange(5))


def test_no_global_is_unsafe(tmp_path: Path) -> None:
    tintype.save(NATIVE["adamw_after_a_step"](), tmp_path / "x.pth")
    assert torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / "x.pth") == []
