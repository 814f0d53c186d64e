"""Where the payloads lie: torch computes offsets instead of reading them, and has to be right."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.serialization import config

import tintype
from dtype_objects import STRIDED, views_of
from objects import NATIVE
from reading_support import equal
from test_torch_reads import tensors_of
from training_objects import optimizer_state

ALIGNMENTS = [64, 512, 4096, 32768]


def every_dtype() -> list[list[torch.Tensor]]:
    return [views_of(dtype) for dtype in STRIDED]


STATES = {
    "model": NATIVE["model_state_dict"],
    "optimizer": lambda: optimizer_state("AdamW"),
    "views": NATIVE["views_of_one_storage"],
    "empty and full": lambda: [torch.empty(0), torch.ones(3), torch.empty(0, 2), torch.ones(1)],
    "every dtype": every_dtype,
}


@pytest.fixture(params=[(name, a) for name in STATES for a in ALIGNMENTS], ids=str)
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Path, int]]:
    """(object, its file, the alignment in it)."""
    name, alignment = request.param
    obj, path = STATES[name](), tmp_path / "x.pth"
    with config.patch({"save.storage_alignment": alignment}):
        tintype.save(obj, path)
    yield obj, path, alignment


@pytest.fixture
def by_key(saved: tuple[Any, Path, int]) -> list[torch.UntypedStorage]:
    """The saved object's storages by key: in the order in which the tensors are met."""
    storages: dict[int, torch.UntypedStorage] = {}
    for tensor in tensors_of(saved[0]):
        storages.setdefault(tensor.untyped_storage()._cdata, tensor.untyped_storage())
    return list(storages.values())


def test_computed_offsets_and_mmap_give_what_was_saved(saved: tuple[Any, Path, int]) -> None:
    obj, path, _ = saved
    with config.patch({"load.calculate_storage_offsets": True}):
        for mmap in (True, False):
            assert equal(torch.load(path, mmap=mmap, weights_only=True), obj)


def test_torchs_own_check_of_every_offset_passes(
    saved: tuple[Any, Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    obj, path, _ = saved
    monkeypatch.setenv("TORCH_SERIALIZATION_DEBUG", "1")
    for mmap in (True, False):
        assert equal(torch.load(path, mmap=mmap, weights_only=True), obj)


def test_torchs_own_check_of_offsets_sees_a_moved_payload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with config.patch({"save.storage_alignment": 4096}):
        tintype.save([torch.ones(3), torch.ones(3)], tmp_path / "x.pth")
    content = (tmp_path / "x.pth").read_bytes()
    lying = content.replace(b"4096", b"0064")  # the record .storage_alignment
    assert content.count(b"4096") == 1
    (tmp_path / "x.pth").write_bytes(lying)
    monkeypatch.setenv("TORCH_SERIALIZATION_DEBUG", "1")
    with pytest.raises(RuntimeError, match="Incorrect offset for data/1"):
        torch.load(tmp_path / "x.pth")


def test_payloads_are_aligned_in_the_file_and_in_mapped_memory(
    saved: tuple[Any, Path, int], by_key: list[torch.UntypedStorage]
) -> None:
    _, path, alignment = saved
    reader = torch._C.PyTorchFileReader(str(path))
    for key in range(len(by_key)):
        assert reader.get_record_offset(f"data/{key}") % alignment == 0
    mapped_alignment = min(alignment, os.sysconf("SC_PAGE_SIZE"))
    for tensor in tensors_of(torch.load(path, mmap=True, weights_only=True)):
        assert tensor.untyped_storage().data_ptr() % mapped_alignment == 0


@pytest.mark.parametrize("kind", ["fake", "meta"])
def test_checkpoint_offset_is_the_records_and_pread_there_gives_the_payload(
    saved: tuple[Any, Path, int], by_key: list[torch.UntypedStorage], kind: str
) -> None:
    obj, path, _ = saved
    if kind == "meta":
        loaded = torch.load(path, map_location="meta", weights_only=True)
    else:
        with FakeTensorMode():
            loaded = torch.load(path, weights_only=True)
    reader = torch._C.PyTorchFileReader(str(path))
    key_of = {storage._cdata: key for key, storage in enumerate(by_key)}
    checked = set()
    with path.open("rb") as file:
        for tensor, original in zip(tensors_of(loaded), tensors_of(obj), strict=True):
            storage = original.untyped_storage()
            key = key_of[storage._cdata]
            offset = tensor.untyped_storage()._checkpoint_offset
            assert offset == reader.get_record_offset(f"data/{key}")
            assert os.pread(file.fileno(), storage.nbytes(), offset) == bytes(storage)
            checked.add(key)
    assert len(checked) == len(by_key) > 0


@pytest.mark.parametrize("alignment", [-1, 0, 32769, 1 << 70])
def test_storage_alignment_out_of_range_is_refused(alignment: int) -> None:
    refused = pytest.raises(
        ValueError, match=rf"storage_alignment.*{alignment} is outside 1..32768"
    )
    with config.patch({"save.storage_alignment": alignment}), refused as error:
        tintype.save({}, io.BytesIO())
    assert "save :" not in str(error.value)
