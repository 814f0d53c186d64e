"""Under another default device of torch everything works as without one: host memory stays so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tintype
from guarded_jobs import ADAMW, Job, torch_bytes
from reading_support import raw
from states import MakeEngine

SUFFIXES = [".pth", ".pth.zst", ".pth.ttz"]


def make_state() -> dict[str, torch.Tensor]:
    values = torch.arange(3000.0)
    numbers = torch.complex(values, -values)
    views = {"conj": numbers.conj(), "neg": torch._neg_view(values)}
    return {"plain": values, "part": values[5:9], **views}


def bytes_of(state: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: raw(tensor) for name, tensor in state.items()}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_single_tensors_are_read_to_the_host(tmp_path: Path, suffix: str) -> None:
    state = make_state()
    path = tmp_path / f"x{suffix}"
    with torch.device("meta"):
        tintype.save(state, path)
        archive = tintype.inspect(path)
        read = {name: archive.read(name) for name in archive.tensors}
    assert {tensor.device.type for tensor in read.values()} == {"cpu"}
    assert bytes_of(read) == bytes_of(state)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_are_verified_and_loaded_whole_and_in_parts(tmp_path: Path, suffix: str) -> None:
    state = make_state()
    path = tmp_path / f"x{suffix}"
    tintype.save(state, path)
    with torch.device("meta"):
        assert tintype.verify(path).ok
        whole = tintype.load_checkpoint(path)
        part = tintype.load(path, map_location="cpu", keys="conj")
    assert bytes_of(whole) == bytes_of(state)
    assert list(part) == ["conj"] and raw(part["conj"]) == raw(state["conj"])


def test_guarded_tensors_stay_lazy(tmp_path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine()
    job = Job(ADAMW)
    job.step()
    engine.guard(job.optimizer)
    expected = torch_bytes(job.state())
    lazy_bytes = []
    for name, device in [("meta.pth", "meta"), ("cpu.pth", "cpu")]:
        with torch.device(device):
            snapshot = engine.save_async(job.state(), tmp_path / name)
        engine.before_mutation()
        snapshot.wait_durable()
        assert (tmp_path / name).read_bytes() == expected
        lazy_bytes.append(snapshot.report()["lazy_bytes"])
    assert lazy_bytes[0] == lazy_bytes[1] > 0
