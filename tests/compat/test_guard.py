"""Engine.guard: what it takes, which storages become lazy, and before_mutation()."""

from __future__ import annotations

import functools
import io
import mmap
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn, optim

import children
import tintype
from guarded_jobs import ADAMW, WIDTH, Job, torch_bytes
from states import MakeEngine

WEIGHT_BYTES = WIDTH * WIDTH * 4


def lazy_bytes_of(engine: tintype.Engine, state: object, path: Path) -> int:
    snapshot = engine.save_async(state, path)
    engine.before_mutation()
    snapshot.wait_durable()
    assert path.read_bytes() == torch_bytes(state)
    lazy: int = snapshot.report()["lazy_bytes"]
    return lazy


def test_what_is_no_optimizer_is_refused_with_a_way_out(make_engine: MakeEngine) -> None:
    engine = make_engine()
    for wrong in (None, nn.Linear(2, 2), [torch.zeros(2)]):
        with pytest.raises(TypeError, match=r"torch.optim.Optimizer.*before_mutation\(\)"):
            engine.guard(wrong)  # type: ignore[arg-type]


def test_an_optimizer_that_runs_no_hooks_is_refused(make_engine: MakeEngine) -> None:
    class Wrapper(optim.Optimizer):
        def __init__(self) -> None:  # the base class is left out, as some wrappers do
            self.param_groups = []

    with pytest.raises(TypeError, match="guard the optimizer that it wraps"):
        make_engine().guard(Wrapper())


class WrapsBareHanded(optim.Optimizer):
    """As some look-ahead optimizers are made: with the attributes of one, and a step of its own."""

    def __init__(self, base: optim.Optimizer) -> None:
        self.base = base
        self.__dict__.update({k: v for k, v in vars(base).items() if k.endswith("_hooks")})

    def step(self, closure: Any = None) -> Any:
        return self.base.step(closure)


def test_an_optimizer_whose_step_torch_did_not_wrap_is_refused(make_engine: MakeEngine) -> None:
    sgd = optim.SGD([torch.zeros(2)], 0.1)

    class Decorated(optim.SGD):
        @functools.wraps(optim.SGD.step)  # takes over the mark that torch has wrapped it
        def step(self, closure: Any = None) -> None:
            pass

    for wrong in (WrapsBareHanded(sgd), Decorated([torch.zeros(2)], 0.1)):
        with pytest.raises(TypeError, match=r"not one that torch made to run hooks.*before_mut"):
            make_engine().guard(wrong)


def test_a_closed_engine_refuses_and_its_hooks_do_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine()
    job = Job(ADAMW)
    engine.guard(job.optimizer)
    engine.close()
    job.step()
    with pytest.raises(ValueError, match="closed"):
        engine.guard(job.optimizer)


def test_guarding_twice_gives_the_same_guard(make_engine: MakeEngine) -> None:
    engine = make_engine()
    job = Job(ADAMW)
    guard = engine.guard(job.optimizer)
    assert engine.guard(job.optimizer) is guard
    assert len(job.optimizer._optimizer_step_pre_hooks) == 1
    guard.remove()
    assert not job.optimizer._optimizer_step_pre_hooks
    assert engine.guard(job.optimizer) is not guard


def test_a_guard_keeps_neither_its_optimizer_nor_its_engine() -> None:
    engine = tintype.Engine()
    job = Job(ADAMW)
    guard = engine.guard(job.optimizer)
    assert guard.optimizer is job.optimizer
    del job
    assert guard.optimizer is None
    assert "deleted" in repr(guard)
    engine.close()
    del engine
    guard.remove()


def test_module_functions_use_the_default_engine(tmp_path: Path) -> None:
    answers = children.answers(
        children.run(
            """
            from guarded_jobs import ADAMW, Job, torch_bytes
            tintype.before_mutation()
            job = Job(ADAMW)
            with tintype.guard(job.optimizer):
                state = job.state()
                expected = torch_bytes(state)
                snapshot = tintype.save_async(state, sys.argv[1])
                job.step()
                snapshot.wait_durable()
                tintype.before_mutation()
                print(f"lazy={snapshot.report()['lazy_bytes']}")
                print(f"equal={open(sys.argv[1], 'rb').read() == expected}")
            """,
            tmp_path / "x.pth",
        )
    )
    assert answers == {"lazy": str(8 * WEIGHT_BYTES), "equal": "True"}


def test_only_what_guarded_optimizers_own_is_lazy(tmp_path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine()
    job = Job(ADAMW, count=2)
    small = nn.Parameter(torch.randn(8))
    job.optimizer.add_param_group({"params": [small]})
    frozen = nn.Parameter(torch.randn(WIDTH, WIDTH), requires_grad=False)
    job.optimizer.add_param_group({"params": [frozen]})
    engine.guard(job.optimizer)
    state: dict[str, Any] = {"buffer": torch.randn(WIDTH, WIDTH), "small": small, "x": 1}
    assert lazy_bytes_of(engine, state, tmp_path / "a.pth") == 0
    state |= {"job": job.state(), "rng": torch.get_rng_state(), "frozen": frozen}
    assert lazy_bytes_of(engine, state, tmp_path / "a.pth") == 3 * WEIGHT_BYTES
    job.step()  # gives the optimizer its state
    state["job"] = job.state()
    assert lazy_bytes_of(engine, state, tmp_path / "a.pth") == 7 * WEIGHT_BYTES


def one_optimizer_over(tensors: list[torch.Tensor]) -> optim.Optimizer:
    return optim.SGD([nn.Parameter(tensor) for tensor in tensors], 0.1)


def flat_parts() -> tuple[list[torch.Tensor], torch.Tensor]:
    flat = torch.randn(4 * WIDTH * WIDTH)
    return list(flat.split(WIDTH * WIDTH)), flat


def test_a_storage_owned_in_parts_is_lazy_when_no_part_is_missing(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    parts, flat = flat_parts()
    optimizer = one_optimizer_over(parts[:3])
    last = one_optimizer_over(parts[3:])
    engine.guard(optimizer)
    state = {"flat": flat, "part": parts[1]}
    assert lazy_bytes_of(engine, state, tmp_path / "x.pth") == 0
    engine.guard(last)
    assert lazy_bytes_of(engine, state, tmp_path / "x.pth") == 4 * WEIGHT_BYTES
    assert lazy_bytes_of(engine, parts[1:2], tmp_path / "x.pth") == 4 * WEIGHT_BYTES


OWNERS: dict[str, Callable[[], tuple[list[torch.Tensor], object, int]]] = {
    "tied weights": lambda: _tied(),
    "a parameter with holes": lambda: _holes(),
    "a parameter whose rows overlap": lambda: _overlapping(),
    "a transposed parameter": lambda: _transposed(),
    "shared memory": lambda: _shared(),
    "a mapped file": lambda: _mapped(),
    "memory of several processes": lambda: _of_several_processes(),
    "an array of numpy": lambda: _array(),
    "what torch.load gave": lambda: _loaded(),
    "an inference tensor": lambda: _inference(),
    "a view beside its parameter": lambda: _view(),
}


def _tied() -> tuple[list[torch.Tensor], object, int]:
    weight = torch.randn(WIDTH, WIDTH)
    return [weight], [weight, weight.t(), weight], WEIGHT_BYTES


def _holes() -> tuple[list[torch.Tensor], object, int]:
    base = torch.randn(WIDTH, WIDTH)
    return [base[:, ::2], base[:, 1]], base, 0


def _overlapping() -> tuple[list[torch.Tensor], object, int]:
    base = torch.randn(8 * WIDTH * WIDTH)
    size = (2, 2, 2, WIDTH * WIDTH)  # as many elements as it spans, with holes all the same
    return [base.as_strided(size, (WIDTH * WIDTH, WIDTH * WIDTH, 5 * WIDTH * WIDTH, 1))], base, 0


def _transposed() -> tuple[list[torch.Tensor], object, int]:
    base = torch.randn(WIDTH, WIDTH)
    return [base.t()], base, WEIGHT_BYTES


def _shared() -> tuple[list[torch.Tensor], object, int]:
    weight = torch.randn(WIDTH, WIDTH).share_memory_()
    return [weight], weight, 0


def _mapped() -> tuple[list[torch.Tensor], object, int]:
    with tempfile.NamedTemporaryFile() as file:
        array = np.memmap(file.name, np.float32, "w+", shape=(WIDTH, WIDTH))
    weight = torch.from_numpy(array)
    return [weight], weight, 0


def _of_several_processes() -> tuple[list[torch.Tensor], object, int]:
    memory = mmap.mmap(-1, WEIGHT_BYTES)  # what a forked child would share
    weight = torch.frombuffer(memory, dtype=torch.float32)
    return [weight], weight, 0


def _array() -> tuple[list[torch.Tensor], object, int]:
    weight = torch.from_numpy(np.ones((WIDTH, WIDTH), np.float32))
    return [weight], weight, WEIGHT_BYTES


def _loaded() -> tuple[list[torch.Tensor], object, int]:
    file = io.BytesIO()
    torch.save(torch.randn(WIDTH, WIDTH), file)
    file.seek(0)
    weight = torch.load(file)
    assert not weight.untyped_storage().resizable()
    return [weight], weight, WEIGHT_BYTES


def _inference() -> tuple[list[torch.Tensor], object, int]:
    with torch.inference_mode():
        weight = torch.randn(WIDTH, WIDTH)
    return [weight], weight, 0


def _view() -> tuple[list[torch.Tensor], object, int]:
    weight = torch.randn(WIDTH, WIDTH)
    return [weight], [weight[3:5], weight.view(-1)], WEIGHT_BYTES


@pytest.mark.parametrize("name", OWNERS)
def test_lazy_is_what_lies_whole_in_guarded_memory(
    tmp_path: Path, make_engine: MakeEngine, name: str
) -> None:
    engine = make_engine()
    owned, state, lazy_bytes = OWNERS[name]()
    optimizer = optim.SGD([torch.zeros(1)], 0.1)
    optimizer.param_groups[0]["params"] = owned
    engine.guard(optimizer)
    assert lazy_bytes_of(engine, state, tmp_path / "x.pth") == lazy_bytes


def test_state_in_nested_containers_is_found(tmp_path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine()
    job = Job(ADAMW, count=1)
    history = [{"pair": (torch.randn(WIDTH, WIDTH), torch.randn(WIDTH, WIDTH))}]
    job.optimizer.state[job.parameters[0]]["history"] = history
    engine.guard(job.optimizer)
    assert lazy_bytes_of(engine, history, tmp_path / "x.pth") == 2 * WEIGHT_BYTES


def test_blocking_saves_are_unguarded(tmp_path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine(byte_rate_limit=64 << 20)
    job = Job(ADAMW)
    engine.guard(job.optimizer)
    engine.save(job.state(), tmp_path / "x.pth")
    assert (tmp_path / "x.pth").read_bytes() == torch_bytes(job.state())


def test_a_pickled_object_is_saved_guarded_too(tmp_path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine()
    job = Job(ADAMW)
    engine.guard(job.optimizer)
    state = {**job.state(), "module": nn.Linear(2, 2)}  # through Python's pickler
    assert lazy_bytes_of(engine, state, tmp_path / "x.pth") == 8 * WEIGHT_BYTES


def test_prepare_takes_what_the_first_guarded_save_would(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(staging_bytes=None)
    job = Job(ADAMW)
    engine.guard(job.optimizer)
    engine.prepare(job.state())
    assert not job.parameters[0].untyped_storage().resizable()
    assert engine.stats()["saves_started"] == 0
    assert lazy_bytes_of(engine, job.state(), tmp_path / "x.pth") == 8 * WEIGHT_BYTES


def test_references_of_a_guarded_save_are_released(tmp_path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine()
    job = Job(ADAMW)
    job.step()
    engine.guard(job.optimizer)
    tensors = [job.parameters[0], job.optimizer.state[job.parameters[0]]["exp_avg"]]
    counts = [sys.getrefcount(tensor) for tensor in tensors]
    for _ in range(3):
        engine.save_async(job.state(), tmp_path / "x.pth").wait_durable()
    deadline = time.monotonic() + 10  # an engine thread may hold the last save a little longer
    while [sys.getrefcount(tensor) for tensor in tensors] != counts:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_report_tells_what_was_predicted(tmp_path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine(staging_bytes=1 << 20, byte_rate_limit=64 << 20)
    job = Job(ADAMW, count=192)  # 9 MiB: of smaller saves the disk's rate is not measured
    job.step()
    engine.guard(job.optimizer)
    reports = []
    for _ in range(3):
        snapshot = engine.save_async(job.state(), tmp_path / "x.pth")
        job.step()
        snapshot.wait_durable()
        reports.append(snapshot.report())
    first, last = reports[0], reports[-1]
    assert first["hidden_bytes_predicted"] == 1 << 20  # nothing measured: the free slots
    assert first["guard_wait_ns_predicted"] == 0
    assert 0 < last["hidden_bytes_predicted"] < last["lazy_bytes"]
    assert last["guard_wait_ns_predicted"] > 0
    print(f"waited {last['guard_wait_ns']} ns, {last['guard_wait_ns_predicted']} predicted")


def test_an_interrupted_wait_raises_and_the_save_goes_on(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(staging_bytes=256 << 10, byte_rate_limit=1 << 20)
    job = Job(ADAMW, count=64)
    engine.guard(job.optimizer)
    state = job.state()
    expected = torch_bytes(state)
    snapshot = engine.save_async(state, tmp_path / "x.pth")
    before = job.parameters[0].detach().clone()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            job.step()
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert torch.equal(job.parameters[0], before)
    job.step()  # waits again
    assert not torch.equal(job.parameters[0], before)
    snapshot.wait_durable()
    assert (tmp_path / "x.pth").read_bytes() == expected


def test_a_forked_child_trains_on_without_waiting(tmp_path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine(staging_bytes=256 << 10, byte_rate_limit=1 << 20)
    job = Job(ADAMW, count=32)
    engine.guard(job.optimizer)
    state = job.state()
    expected = torch_bytes(state)
    snapshot = engine.save_async(state, tmp_path / "x.pth")
    child = os.fork()
    if child == 0:
        job.step()
        os._exit(0 if not snapshot.done() else 1)
    assert os.waitpid(child, 0)[1] == 0
    job.step()
    snapshot.wait_durable()
    assert (tmp_path / "x.pth").read_bytes() == expected


def test_a_program_ends_while_guarded_saves_copy(tmp_path: Path) -> None:
    ended = children.run(
        """
        from guarded_jobs import ADAMW, Job, torch_bytes
        engine = tintype.Engine(extent_bytes=64 << 10, staging_bytes=256 << 10,
                                byte_rate_limit=4 << 20)
        job = Job(ADAMW, count=32)
        engine.guard(job.optimizer)
        state = job.state()
        open(sys.argv[1], "wb").write(torch_bytes(state))
        engine.save_async(state, sys.argv[2])
        """,
        tmp_path / "expected.pth",
        tmp_path / "x.pth",
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert (tmp_path / "x.pth").read_bytes() == (tmp_path / "expected.pth").read_bytes()
