"""``map_location`` and ``mmap`` of ``torch.load`` over our files, from tags to memory pages."""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from objects import FALLBACK, NATIVE
from reading_support import equal, training_state
from test_torch_reads import tensors_of


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tintype.save(training_state(), tmp_path / "x.pth")
    return tmp_path / "x.pth"


@pytest.fixture
def of_two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as a machine with GPUs writes it: the tags alone make the difference."""
    tags = iter(["cuda:0", "cuda:1"])
    monkeypatch.setattr("tintype._capture.location_tag", lambda _: next(tags))
    first, second = torch.ones(2), torch.full((3,), 2.0)
    tintype.save([first, second, first, range(0)], tmp_path / "x.pth")  # range: Python's pickler
    return tmp_path / "x.pth"


@pytest.fixture
def shared_mappings() -> Iterator[None]:
    before = torch.serialization.get_default_mmap_options()
    torch.serialization.set_default_mmap_options(mmap.MAP_SHARED)
    yield
    torch.serialization.set_default_mmap_options(before)


def _filled_with_ones(storage: torch.UntypedStorage, tag: str) -> torch.UntypedStorage:
    assert tag == "cpu"
    return torch.UntypedStorage([1] * storage.nbytes())


TO_META: dict[str, Any] = {
    "text": "meta",
    "device": torch.device("meta"),
    "table": {"cpu": "meta"},
    "callable": lambda storage, tag: torch.UntypedStorage(storage.nbytes(), device="meta"),
}
TO_HOST: dict[str, Any] = {
    "none": None,
    "text": "cpu",
    "device": torch.device("cpu"),
    "table": {"cpu": "cpu"},
    "other table": {"cuda:0": "meta"},
    "no answer": lambda storage, tag: None,
    "callable": lambda storage, tag: storage,
}


@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("form", TO_META)
def test_every_form_of_map_location_is_obeyed(saved: Path, form: str, is_mapped: bool) -> None:
    for load in (torch.load, tintype.load):
        loaded = load(saved, map_location=TO_META[form], mmap=is_mapped, weights_only=True)
        devices = [tensor.device.type for tensor in tensors_of(loaded)]
        assert devices == ["meta"] * len(list(tensors_of(training_state())))


@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("form", TO_HOST)
def test_tensors_of_the_host_stay_as_they_are(saved: Path, form: str, is_mapped: bool) -> None:
    for load in (torch.load, tintype.load):
        loaded = load(saved, map_location=TO_HOST[form], mmap=is_mapped, weights_only=True)
        assert equal(loaded, training_state())


@pytest.mark.parametrize("is_mapped", [False, True])
def test_storage_that_a_callable_gives_is_the_tensors(saved: Path, is_mapped: bool) -> None:
    for load in (torch.load, tintype.load):
        loaded = load(saved, map_location=_filled_with_ones, mmap=is_mapped, weights_only=True)
        weight = loaded["model_state_dict"]["0.weight"]
        assert set(weight.view(torch.uint8).flatten().tolist()) == {1}


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("is_mapped", [False, True])
def test_missing_device_is_torchs_error_and_the_host_is_the_way_out(
    of_two_gpus: Path, is_mapped: bool
) -> None:
    for load in (torch.load, tintype.load):
        with pytest.raises(RuntimeError, match=r"CUDA device but torch.cuda.is_available"):
            load(of_two_gpus, mmap=is_mapped, weights_only=False)
        for where in ("cpu", {"cuda:0": "cpu", "cuda:1": "cpu"}, lambda storage, _: storage):
            loaded = load(of_two_gpus, map_location=where, mmap=is_mapped, weights_only=False)
            assert loaded[0].tolist() == [1, 1] and loaded[1].tolist() == [2, 2, 2]
            assert loaded[2] is loaded[0]


def test_callable_sees_each_storages_tag_once(of_two_gpus: Path) -> None:
    tags: list[str] = []

    def to_host(storage: torch.UntypedStorage, tag: str) -> torch.UntypedStorage:
        tags.append(tag)
        return storage

    for load in (torch.load, tintype.load):
        tags.clear()
        load(of_two_gpus, map_location=to_host, weights_only=False)
        assert tags == ["cuda:0", "cuda:1"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tensors_of_a_cuda_device_are_saved_as_torch_saves_them(tmp_path: Path) -> None:
    state = {"w": torch.arange(5, device="cuda"), "host": torch.ones(2)}
    expected, ours = io.BytesIO(), io.BytesIO()
    torch.save(state, expected)
    tintype.save(state, ours)
    assert ours.getvalue() == expected.getvalue()
    (tmp_path / "x.pth").write_bytes(ours.getvalue())
    assert torch.load(tmp_path / "x.pth", mmap=True)["w"].device == state["w"].device


def test_private_mapping_leaves_the_file_as_it_is(saved: Path) -> None:
    before = saved.read_bytes()
    loaded = torch.load(saved, mmap=True)
    loaded["model_state_dict"]["0.weight"].fill_(7)
    del loaded
    assert saved.read_bytes() == before


def test_shared_mapping_changes_the_payload_alone_and_verify_sees_it(
    saved: Path, shared_mappings: None
) -> None:
    before = saved.read_bytes()
    weight = torch.load(saved, mmap=True)["model_state_dict"]["0.weight"]
    size_bytes = weight.untyped_storage().nbytes()
    weight.fill_(7)
    after = saved.read_bytes()
    begin = torch._C.PyTorchFileReader(str(saved)).get_record_offset("data/0")
    assert after[begin : begin + size_bytes] == bytes(weight.untyped_storage())
    assert (after[:begin], after[begin + size_bytes :]) == (
        before[:begin],
        before[begin + size_bytes :],
    )
    report = tintype.verify(saved)
    assert [problem.record for problem in report.problems] == ["data/0"]


@pytest.mark.parametrize("name", ["meta", "views_of_one_storage", "plain_dtypes"])
def test_tensors_on_meta_have_shapes_and_no_memory(tmp_path: Path, name: str) -> None:
    saved = NATIVE[name]()
    tintype.save(saved, tmp_path / "x.pth")
    loaded = torch.load(tmp_path / "x.pth", map_location="meta", weights_only=True)
    for on_meta, original in zip(tensors_of(loaded), tensors_of(saved), strict=True):
        assert on_meta.device.type == "meta"
        facts = [(t.dtype, t.shape, t.stride()) for t in (on_meta, original)]
        assert facts[0] == facts[1]


@pytest.mark.parametrize("name", ["sparse", "sparse_csr", "quantized", "buffer_object"])
def test_tensors_of_unusual_make_load(tmp_path: Path, name: str) -> None:
    saved = FALLBACK[name]()
    tintype.save(saved, tmp_path / "x.pth")
    loaded = torch.load(tmp_path / "x.pth", weights_only=name != "buffer_object")
    assert equal(loaded, saved) and type(loaded) is type(saved)
