"""One instant: what the job does after the call never shows in the file."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from states import MakeEngine, number_in, numbered_state, renumber

POOLS = {
    "pool holds the state": {"staging_bytes": 16 << 20},
    "pool is smaller than the state": {"staging_bytes": 512 << 10},
    "pool is smaller than a tensor": {"staging_bytes": 128 << 10, "extent_bytes": 8 << 10},
    "smallest pool": {"staging_bytes": 16 << 10, "extent_bytes": 4096},
    "buffered pwrite": {"staging_bytes": 1 << 20, "backend": "pwrite", "direct_io": "off"},
}


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """In memory where that is to be had: these tests are about memory, not about the disk."""
    shared = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize("is_prepared", [False, True], ids=["unprepared", "prepared"])
@pytest.mark.parametrize("pool", POOLS)
def test_every_tensor_overwritten_right_after_the_call(
    quick_path: Path, make_engine: MakeEngine, pool: str, is_prepared: bool, full: bool
) -> None:
    saves = 200 if full or is_prepared else 50
    engine = make_engine(**POOLS[pool], max_in_flight=3)
    state = numbered_state(0, size_bytes=1 << 20)
    if is_prepared:
        engine.prepare(state)
    snapshots = []
    for number in range(saves):
        renumber(state, number)
        snapshots.append(engine.save_async(state, quick_path / f"{number % 8}.pth"))
        renumber(state, -1)
        if number >= 4:
            snapshots[number - 4].wait_durable()
            assert number_in(quick_path / f"{(number - 4) % 8}.pth") == number - 4
    engine.wait()
    kept = [number_in(quick_path / f"{number % 8}.pth") for number in range(saves - 8, saves)]
    print(f"{saves} saves with a {pool}: 0 torn")
    assert kept == list(range(saves - 8, saves))


def test_python_values_are_captured_at_the_call(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    state: dict[str, Any] = {
        "list": [1, 2, 3],
        "dict": {"a": 1},
        "bytes": bytearray(b"before"),
        "set": {1},
        "big": torch.zeros(1 << 18),
    }
    snapshot = slow_engine.save_async(state, tmp_path / "x.pth")
    assert not snapshot.done()
    state["list"].append(4)
    state["dict"]["a"] = 2
    state["bytes"][:] = b"after!"
    state["set"].add(2)
    state["new"] = 1
    del state["big"]
    snapshot.wait_durable()
    loaded = torch.load(tmp_path / "x.pth", weights_only=False)
    assert loaded["list"] == [1, 2, 3]
    assert loaded["dict"] == {"a": 1}
    assert loaded["bytes"] == b"before"
    assert loaded["set"] == {1}
    assert sorted(loaded) == ["big", "bytes", "dict", "list", "set"]


def test_tensors_may_be_freed_and_resized_right_after_the_call(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    state = numbered_state(5, size_bytes=2 << 20)
    snapshot = slow_engine.save_async(state, tmp_path / "x.pth")
    for tensor in state["tensors"]:
        tensor.untyped_storage().resize_(0)
    del state
    garbage = [torch.full((1 << 16,), 9.0) for _ in range(16)]
    snapshot.wait_durable()
    assert number_in(tmp_path / "x.pth") == 5
    assert len(garbage) == 16


def test_optimizer_steps_right_after_the_call_do_not_show(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(staging_bytes=256 << 10)
    torch.manual_seed(0)
    model = torch.nn.Linear(256, 256)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for step in range(10):
        model(torch.randn(8, 256)).square().mean().backward()
        optimizer.step()
        expected = [p.detach().clone() for p in model.parameters()]
        states = [optimizer.state[p] for p in model.parameters()]
        moments = [{k: v.clone() for k, v in state.items()} for state in states]
        snapshot = engine.save_async(
            {"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "x.pth"
        )
        optimizer.step()
        snapshot.wait_durable()
        loaded = torch.load(tmp_path / "x.pth", weights_only=True)
        pairs = zip(loaded["model"].values(), expected, strict=True)
        for index, (saved, wanted) in enumerate(pairs):
            assert torch.equal(saved, wanted), (step, index)
            for key, moment in moments[index].items():
                assert torch.equal(loaded["optimizer"]["state"][index][key], moment), (step, key)


def test_saves_of_several_threads_through_a_small_pool_are_whole(
    quick_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(staging_bytes=256 << 10, max_in_flight=4)
    torn: list[str] = []

    def save_many(thread: int) -> None:
        state = numbered_state(0, size_bytes=600_000)
        for i in range(20):
            number = thread * 1000 + i
            renumber(state, number)
            snapshot = engine.save_async(state, quick_path / f"{thread}.pth")
            renumber(state, -1)
            snapshot.wait_durable()
            if number_in(quick_path / f"{thread}.pth") != number:
                torn.append(f"{thread}: {number}")

    threads = [threading.Thread(target=save_many, args=(t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torn == []
    engine.wait()
    assert engine.stats()["saves_published"] == 80


def test_prepare_writes_nothing_and_sizes_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with tintype.Engine() as engine:
        engine.prepare(numbered_state(0, size_bytes=8 << 20))
        prepared = engine.stats()["staging_bytes"]
        assert prepared >= 8 << 20
        assert list(tmp_path.iterdir()) == []
        engine.save(numbered_state(1, size_bytes=8 << 20), "x.pth")
        assert engine.stats()["staging_bytes"] == prepared


def test_prepare_for_compressed_saves_makes_room_for_what_encodes_them(tmp_path: Path) -> None:
    state = numbered_state(0, size_bytes=8 << 20)
    held_bytes = 16 * (16 << 20)  # more than the smallest pool
    with tintype.Engine(extent_bytes=16 << 20, encode_threads=16) as engine:
        engine.prepare(state)
        assert engine.stats()["staging_bytes"] <= held_bytes
        engine.prepare(state, compression="auto")
        prepared = engine.stats()["staging_bytes"]
        assert prepared >= held_bytes + (10 << 20)
        engine.save(state, tmp_path / "x.pth.ttz")
        assert engine.stats()["staging_bytes"] == prepared
        with pytest.raises(ValueError, match="compression='by-name' is not None"):
            engine.prepare(state, compression="by-name")  # type: ignore[arg-type]


def resident_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_memory_is_flat_over_many_saves(quick_path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine(staging_bytes=4 << 20)
    rng = random.Random(1)
    states = [numbered_state(i, size_bytes=rng.randrange(1 << 18, 1 << 21)) for i in range(4)]
    seen = []
    for i in range(200):
        engine.save_async(states[i % 4], quick_path / f"{i % 2}.pth").wait_durable()
        if i in (49, 199):
            seen.append(resident_kib())
    print(f"resident after 50 saves {seen[0]} KiB, after 200 {seen[1]} KiB")
    assert seen[1] - seen[0] < 4096
