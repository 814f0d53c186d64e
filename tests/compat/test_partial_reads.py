"""``load(keys=...)``: how much of a file is read, and of a compressed one decoded."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from reading_support import equal

EXTENT_BYTES = 64 << 10
COUNT = 40  # tensors of 4 extents each, and a small one behind each


class CountingFile(io.BytesIO):
    """Counts the bytes that are read."""

    read_bytes = 0

    def readinto(self, buffer: Any, /) -> int:
        count = super().readinto(buffer)
        self.read_bytes += count
        return count


def _load_counted(path: Path, is_path: bool, **how: Any) -> tuple[Any, int]:
    if not is_path:
        file = CountingFile(path.read_bytes())
        return tintype.load(file, **how), file.read_bytes
    tintype.load(path, **how)  # whatever is imported is
    before = _read_bytes()
    part = tintype.load(path, **how)
    return part, _read_bytes() - before


def _read_bytes() -> int:
    """By this process so far."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


@pytest.fixture(scope="module", params=["x.pth", "x.pth.zst", "x.pth.ttz"])
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    state = {}
    for i in range(COUNT):
        state[f"large.{i}"] = torch.randn(EXTENT_BYTES)  # of 4 bytes each
        state[f"small.{i}"] = torch.randn(10)
    path = tmp_path_factory.mktemp("saved") / request.param
    with tintype.Engine(extent_bytes=EXTENT_BYTES) as engine:
        engine.save(state, path)
    return path, state


@pytest.mark.parametrize("is_path", [True, False], ids=["path", "file object"])
@pytest.mark.parametrize("verify", [True, False])
def test_one_small_tensor_is_read_without_the_rest(
    saved: tuple[Path, dict[str, torch.Tensor]], is_path: bool, verify: bool
) -> None:
    path, state = saved
    part, read_bytes = _load_counted(path, is_path, keys="small.20", verify=verify)
    assert equal(part, {"small.20": state["small.20"]})
    print(f"{read_bytes} of {path.stat().st_size} bytes")
    assert read_bytes < 6 * EXTENT_BYTES  # pickle, directory, the tensor; of some 160 extents


@pytest.mark.parametrize("is_path", [True, False], ids=["path", "file object"])
def test_a_part_is_read_once(saved: tuple[Path, dict[str, torch.Tensor]], is_path: bool) -> None:
    path, state = saved
    names = [name for i in range(10, 20) for name in (f"large.{i}", f"small.{i}")]
    part, read_bytes = _load_counted(path, is_path, keys=names)
    assert equal(part, {name: state[name] for name in names})
    print(f"{read_bytes} of {path.stat().st_size} bytes")
    assert read_bytes < (4 * 10 + 8) * EXTENT_BYTES
    assert read_bytes > path.stat().st_size * 10 / COUNT * 0.9


def test_offsets_of_tensors_on_meta_are_those_in_the_file(
    saved: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    path, _ = saved
    whole = torch.load(tintype.open(path), map_location="meta")
    part = tintype.load(path, "meta", keys="large.30")
    found = [state["large.30"].untyped_storage()._checkpoint_offset for state in (whole, part)]
    assert found[0] == found[1] and found[0] % 64 == 0 and found[0] > 30 * 4 * EXTENT_BYTES
