"""What can be said of CUDA without a GPU: the extension is the same with and without a driver."""

from __future__ import annotations

import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from tintype import _cuda, _tintype

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")

FALLBACK = """
import types, torch
from tintype import _tintype

class Storage:  # as torch shows one of a GPU
    device = types.SimpleNamespace(type="cuda", index=0)
    def data_ptr(self):
        return 4096
    def cpu(self):
        print("copied by torch")
        return torch.arange(8, dtype=torch.uint8).untyped_storage()

for _ in range(2):
    table = _tintype.StorageTable()
    table.add(Storage(), 8, 1, False)
    print(_tintype.Request(table).cuda_devices)
print(_tintype.is_built_with_cuda())
"""


@without_gpu
def test_without_a_driver_torch_copies_and_the_reason_is_told_once() -> None:
    child = subprocess.run(
        [sys.executable, "-c", FALLBACK], check=True, capture_output=True, text=True
    )
    assert child.stdout.splitlines()[:-1] == ["copied by torch", "[]"] * 2
    is_built_with_cuda = child.stdout.splitlines()[-1] == "True"
    assert child.stderr.count("no CUDA driver") == is_built_with_cuda
    assert ("copied to the host by torch" in child.stderr) == is_built_with_cuda


def test_extension_shows_nothing_of_the_cuda_that_is_linked_in() -> None:
    symbols = subprocess.run(
        ["nm", "-D", _tintype.__file__], check=True, capture_output=True, text=True
    ).stdout
    assert "PyInit__tintype" in symbols
    assert [line for line in symbols.splitlines() if " cuda" in line or " cu" in line] == []


class FakeCuda:
    """As much of torch.cuda as the package asks for."""

    def __init__(self, is_capturing: bool) -> None:
        self.is_capturing = is_capturing
        self.entered: list[int] = []
        self.synchronized: list[int] = []

    def current_stream(self, index: int) -> Any:
        return types.SimpleNamespace(
            cuda_stream=1000 + index, synchronize=lambda: self.synchronized.append(index)
        )

    def is_current_stream_capturing(self) -> bool:
        return self.is_capturing

    def device(self, index: int) -> Any:
        self.entered.append(index)
        return torch.inference_mode(False)  # any context


def test_stream_is_the_callers_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "cuda", fake := FakeCuda(is_capturing=False))
    assert _cuda.current_stream(3) == 1003
    assert fake.entered == [3]


def test_saving_within_a_graph_capture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "cuda", FakeCuda(is_capturing=True))
    with pytest.raises(tintype.UnsupportedError, match="graph is being captured on cuda:1"):
        _cuda.current_stream(1)


class FakeRequest:
    def __init__(self, cuda_devices: list[int]) -> None:
        self.cuda_devices = cuda_devices
        self.slabs: list[tuple[int, torch.Tensor]] = []

    def set_slab(self, position: int, tensor: torch.Tensor) -> None:
        self.slabs.append((position, tensor))


def test_slab_of_a_device_is_made_once_and_given_to_each_save(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def on_host(size: int, dtype: torch.dtype, device: str) -> torch.Tensor:
        made.append((device, size))
        return torch.zeros(size, dtype=dtype)

    monkeypatch.setattr(torch, "empty", on_host)
    monkeypatch.setattr(torch, "cuda", fake := FakeCuda(is_capturing=False))
    devices = _cuda.DevicesInUse(1 << 20)
    first, second = FakeRequest([1, 0]), FakeRequest([0])
    devices.attach(first)  # type: ignore[arg-type]
    devices.attach(second)  # type: ignore[arg-type]
    assert made == [("cuda:1", 1 << 20), ("cuda:0", 1 << 20)]
    assert [position for position, _ in first.slabs] == [0, 1]
    assert second.slabs[0][1] is first.slabs[1][1]
    assert devices.current_streams() == [(1, 1001), (0, 1000)]
    assert fake.synchronized == [1, 0]  # what had the memory before is over


def test_slab_that_finds_no_room_is_said_once_and_done_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def refuse(size: int, dtype: torch.dtype, device: str) -> torch.Tensor:
        tried.append(device)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "empty", refuse)
    monkeypatch.setattr(torch, "cuda", FakeCuda(is_capturing=False))
    devices = _cuda.DevicesInUse(1 << 20)
    with pytest.warns(UserWarning, match="cuda:0 has no room for device_slab_bytes=1048576"):
        devices.attach(request := FakeRequest([0]))  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        devices.attach(request)  # type: ignore[arg-type]
    assert request.slabs == [] and tried == ["cuda:0"]
    assert devices.current_streams() == [(0, 1000)]


def test_saves_go_on_where_the_slab_finds_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_empty = torch.empty

    def refuse_on_devices(*size: Any, **options: Any) -> torch.Tensor:
        if str(options.get("device", "")).startswith("cuda"):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real_empty(*size, **options)

    monkeypatch.setattr(torch, "empty", refuse_on_devices)
    monkeypatch.setattr(_tintype.Request, "cuda_devices", property(lambda request: [0]))
    path = tmp_path / "x.pth"
    engine = tintype.Engine(device_slab_bytes=1 << 20)
    with pytest.warns(UserWarning, match="cuda:0 has no room.*CUDA out of memory") as caught:
        for number in range(3):
            engine.save_async({"number": torch.tensor(number)}, path).wait_durable()
            assert torch.load(path, weights_only=True)["number"] == number
    engine.close()
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)]


def test_without_the_option_there_is_no_slab_and_without_devices_no_stream() -> None:
    devices = _cuda.DevicesInUse(0)
    devices.attach(request := FakeRequest([]))  # type: ignore[arg-type]
    assert request.slabs == [] and devices.current_streams() == []
    with pytest.raises(ValueError, match="device_slab_bytes"):
        tintype.Engine(device_slab_bytes=-1)
    with pytest.raises(TypeError, match="device_slab_bytes"):
        tintype.Engine(device_slab_bytes="1G")  # type: ignore[arg-type]
