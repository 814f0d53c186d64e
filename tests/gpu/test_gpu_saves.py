"""Saves of tensors on a GPU: the file, the instant, the way back. ``make test-gpu`` runs them."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from tintype import _tintype

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

State = dict[str, Any]
MIB = 1 << 20


@pytest.fixture(params=["no slab", "slab"])
def engine(request: pytest.FixtureRequest) -> Iterator[tintype.Engine]:
    slab_bytes = 256 * MIB if request.param == "slab" else None
    with tintype.Engine(staging_bytes=64 * MIB, device_slab_bytes=slab_bytes) as made:
        yield made


def mixed_state(seed: int = 0) -> State:
    """Dtypes, views, sizes around what kernels and copy engines divide, and host tensors."""
    generator = torch.Generator(device="cuda").manual_seed(seed)
    state: State = {"host": torch.arange(1000), "empty": torch.empty(0, device="cuda")}
    for count in (1, 3, 1023, 16_384, 65_537, 300_001, 5_000_000):
        state[f"float_{count}"] = torch.rand(count, device="cuda", generator=generator)
    state["bfloat16"] = state["float_65537"].bfloat16()
    state["view"] = state["float_300001"][17:70_000]
    state["step"] = torch.tensor(3, device="cuda")
    return state


def assert_equal(loaded: State, expected: State) -> None:
    assert loaded.keys() == expected.keys()
    for name, tensor in expected.items():
        assert loaded[name].device == tensor.device, name
        assert torch.equal(loaded[name], tensor), name


def saved_by_torch(state: State) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def test_engine_copies_by_itself_into_pinned_memory(engine: tintype.Engine, tmp_path: Path) -> None:
    assert _tintype.is_built_with_cuda()
    engine.save(mixed_state(), tmp_path / "x.pth")
    assert engine.stats()["pinned_bytes"] == engine.stats()["staging_bytes"]


def test_file_is_torchs_byte_for_byte(engine: tintype.Engine, tmp_path: Path) -> None:
    state = mixed_state()
    engine.save(state, tmp_path / "x.pth")
    assert (tmp_path / "x.pth").read_bytes() == saved_by_torch(state)
    stream = io.BytesIO()
    engine.save(state, stream)
    assert stream.getvalue() == saved_by_torch(state)


def test_state_comes_back_to_the_gpu(engine: tintype.Engine, tmp_path: Path) -> None:
    state = mixed_state()
    engine.save(state, tmp_path / "x.pth")
    assert_equal(tintype.load(tmp_path / "x.pth", map_location=None), state)
    assert_equal(torch.load(tmp_path / "x.pth"), state)


def test_file_holds_the_call_though_the_gpu_overwrites_it_right_after(
    engine: tintype.Engine, tmp_path: Path
) -> None:
    state = mixed_state()
    for number in range(60):
        for tensor in state.values():
            tensor.fill_(number)
        torch.cuda._sleep(2_000_000)  # so that the call finds work that is not done
        state["float_5000000"].fill_(number + 1)
        snapshot = engine.save_async(state, tmp_path / "x.pth")
        for tensor in state.values():
            tensor.fill_(-1)
        snapshot.wait_durable()
        for name, tensor in torch.load(tmp_path / "x.pth", map_location="cpu").items():
            expected = number + (name == "float_5000000")
            assert (tensor == torch.full_like(tensor, expected)).all(), (number, name)


def test_ten_thousand_small_tensors(engine: tintype.Engine, tmp_path: Path) -> None:
    whole = torch.rand(10_000, 256, device="cuda")
    state = {str(i): whole[i].clone() for i in range(10_000)}
    engine.save(state, tmp_path / "x.pth")
    assert_equal(torch.load(tmp_path / "x.pth"), state)
    assert tintype.verify(tmp_path / "x.pth").ok


def test_compressed_saves_decode_to_the_same_state(engine: tintype.Engine, tmp_path: Path) -> None:
    """With the slab, the device sorts the bytes into planes."""
    state = mixed_state()
    engine.save(state, tmp_path / "x.pth.ttz")
    assert_equal(tintype.load(tmp_path / "x.pth.ttz", map_location="cuda"), state)
    assert tintype.verify(tmp_path / "x.pth.ttz").ok


def test_state_larger_than_the_pool_and_the_slab(engine: tintype.Engine, tmp_path: Path) -> None:
    state = {"large": torch.rand(80 * MIB, device="cuda")}
    before = state["large"].clone()
    snapshot = engine.save_async(state, tmp_path / "x.pth")
    state["large"].zero_()
    snapshot.wait_durable()
    assert torch.equal(torch.load(tmp_path / "x.pth")["large"], before)


def test_current_stream_is_the_one_that_counts(engine: tintype.Engine, tmp_path: Path) -> None:
    side = torch.cuda.Stream()
    tensor = torch.zeros(5_000_000, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(50_000_000)
        tensor.fill_(7)
        snapshot = engine.save_async({"x": tensor}, tmp_path / "x.pth")
        tensor.fill_(8)
    snapshot.wait_durable()
    assert (torch.load(tmp_path / "x.pth")["x"] == 7).all()


def test_guarded_saves_of_a_training_loop_are_never_torn(tmp_path: Path) -> None:
    model = torch.nn.Sequential(*[torch.nn.Linear(512, 512) for _ in range(8)]).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    with tintype.Engine(staging_bytes=64 * MIB) as engine:
        engine.guard(optimizer)
        for _ in range(100):
            model(torch.rand(64, 512, device="cuda")).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            expected = {name: part.clone() for name, part in model.state_dict().items()}
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            snapshot = engine.save_async(state, tmp_path / "x.pth")
            model(torch.rand(64, 512, device="cuda")).square().mean().backward()
            optimizer.step()
            snapshot.wait_durable()
            assert snapshot.report()["lazy_bytes"] > 0
            assert_equal(torch.load(tmp_path / "x.pth")["model"], expected)


def test_saving_within_a_graph_capture_is_refused_and_the_graph_survives(
    engine: tintype.Engine, tmp_path: Path
) -> None:
    tensor = torch.zeros(1000, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        tensor += 1
        with pytest.raises(tintype.UnsupportedError, match="graph is being captured"):
            engine.save_async({"x": tensor}, tmp_path / "x.pth")
    graph.replay()
    engine.save({"x": tensor}, tmp_path / "x.pth")
    assert (torch.load(tmp_path / "x.pth")["x"] == 1).all()


def test_capture_and_the_copies_of_a_save_go_on_beside_each_other(tmp_path: Path) -> None:
    """A capture that any thread's unsafe call would end (torch's default mode) is held open until
    more was written than staging memory can hold: those copies were started, waited for and checked
    while it was open."""
    state = {str(i): torch.rand(MIB, device="cuda") for i in range(64)}
    counter = torch.zeros(1000, device="cuda")
    options = {"staging_bytes": 16 * MIB, "extent_bytes": MIB, "byte_rate_limit": 64 * MIB}
    with tintype.Engine(device_slab_bytes=257 * MIB, **options) as engine:
        engine.prepare(state)
        snapshot = engine.save_async(state, tmp_path / "x.pth")
        total_bytes = snapshot.report()["total_bytes"]
        graph = torch.cuda.CUDAGraph()
        additions = 0
        with torch.cuda.graph(graph):
            enough = snapshot.progress() + 2 * options["staging_bytes"] / total_bytes
            deadline = time.monotonic() + 60
            while snapshot.progress() < enough and time.monotonic() < deadline:
                counter += 1
                additions += 1
                time.sleep(0.01)
            progress = snapshot.progress()
        assert enough <= progress < 1 and not snapshot.done()
        for _ in range(2):
            graph.replay()
        assert (counter == 2 * additions).all() and additions > 0
        snapshot.wait_durable()
    assert_equal(torch.load(tmp_path / "x.pth"), state)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_tensors_of_several_gpus_in_one_save(engine: tintype.Engine, tmp_path: Path) -> None:
    state = {str(i): torch.rand(1000 * (i + 1), device=f"cuda:{i % 2}") for i in range(100)}
    expected = saved_by_torch(state)
    engine.save(state, tmp_path / "x.pth")
    assert (tmp_path / "x.pth").read_bytes() == expected
