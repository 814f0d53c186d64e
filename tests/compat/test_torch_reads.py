"""Stock ``torch.load`` reads our files, in every mode."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from dtype_objects import NATIVE_DTYPES
from objects import NATIVE
from odd_objects import storages_and_views
from reading_support import equal

CASES = {**NATIVE, **NATIVE_DTYPES}

# weights_only refuses these whoever wrote them (torch's own rules).
_NOT_WEIGHTS = {"bytes", "sets", "integers", "keys_of_every_kind"}
_NOT_COMPARED = {"keys_of_every_kind"}  # a tensor as a key equals itself alone


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


@pytest.mark.parametrize("source", ["path", "mapped path", "file object"])
@pytest.mark.parametrize("name", [n for n in CASES if n not in ("recursion", "long_memo_ids")])
def test_torch_loads_what_was_saved(tmp_path: Path, name: str, source: str) -> None:
    saved = CASES[name]()
    path = tmp_path / "x.pth"
    tintype.save(saved, path)
    for weights_only in [False, True][: 1 if name in _NOT_WEIGHTS else 2]:
        f: Any = io.BytesIO(path.read_bytes()) if source == "file object" else path
        loaded = torch.load(f, mmap=source == "mapped path", weights_only=weights_only)
        assert type(loaded) is type(saved)
        assert_same_tensors(loaded, saved)
        assert name in _NOT_COMPARED or equal(loaded, saved)


def test_recursion_comes_back(tmp_path: Path) -> None:
    tintype.save(NATIVE["recursion"](), tmp_path / "x.pth")
    loop, short, long, table = torch.load(tmp_path / "x.pth", weights_only=False)
    assert loop[0] is loop and short[0][0] is short and long[0][0] is long
    assert table["self"] is table


def test_more_than_65536_memo_entries_come_back(tmp_path: Path) -> None:
    saved = NATIVE["long_memo_ids"]()
    tintype.save(saved, tmp_path / "x.pth")
    assert torch.load(tmp_path / "x.pth", weights_only=True) == saved


def test_tensors_storages_and_views_share_as_before(tmp_path: Path) -> None:
    tintype.save(storages_and_views(), tmp_path / "x.pth")
    for mmap in (False, True):
        loaded = torch.load(tmp_path / "x.pth", mmap=mmap, weights_only=True)
        first, again, storage, of_part, head, tail, whole = loaded
        assert again is first
        first.fill_(7)
        assert storage.tolist() == of_part.tolist() == [7] * 25
        head[3] = -1
        assert tail[0] == -1 and whole[3] == -1


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


def test_named_temporary_file_is_written_and_read_in_place() -> None:
    with tempfile.NamedTemporaryFile() as file:
        tintype.save({"a": torch.arange(5)}, file)
        file.seek(0)
        assert torch.load(file)["a"].equal(torch.arange(5))
        assert torch.load(file.name, mmap=True)["a"].equal(torch.arange(5))


def test_module_takes_its_state_by_version(tmp_path: Path) -> None:
    model, other = (torch.nn.BatchNorm1d(3) for _ in range(2))
    model.num_batches_tracked.fill_(9)
    tintype.save(model.state_dict(), tmp_path / "x.pth")
    assert other.load_state_dict(torch.load(tmp_path / "x.pth")).missing_keys == []
    assert other.num_batches_tracked == 9


def test_torchs_reader_in_cpp_loads_plain_containers(tmp_path: Path) -> None:
    state = {"w": torch.arange(3), 2: [1.5, None, "text"], "nested": {"epoch": 3}}
    buffer = io.BytesIO()
    tintype.save(state, buffer)
    assert equal(torch._C._pickle_load_obj(buffer.getvalue()), state)


def test_location_of_host_tensors_is_cpu(tmp_path: Path) -> None:
    tintype.save([torch.ones(2), torch.ones(3)[1:]], tmp_path / "x.pth")
    tags: list[str] = []
    torch.load(tmp_path / "x.pth", map_location=lambda storage, tag: tags.append(tag))
    assert tags == ["cpu", "cpu"]
