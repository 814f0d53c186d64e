"""Guarded saves at special moments: amid an operation, within a step, before a sleep."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn, optim
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.hooks import RemovableHandle

import tintype
from guarded_jobs import SLOW, VARIANTS, WIDTH, Job, torch_bytes
from states import MakeEngine

WEIGHT_BYTES = WIDTH * WIDTH * 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.pth"


def last_row(path: Path) -> torch.Tensor:
    row: torch.Tensor = torch.load(path)[-1][-1]
    return row


def slow_change(weight: torch.Tensor) -> Callable[[], None]:
    """One operation of many milliseconds on the last row, where no probe need look. What it takes
    is made ahead, so that it begins while a save copies."""
    rows, ones = torch.full((400_000,), len(weight) - 1), torch.ones(400_000, WIDTH)

    @torch.no_grad()
    def change() -> None:
        weight.index_put_((rows,), ones, accumulate=True)

    return change


def run_in_main(call: Callable[[], None]) -> None:
    call()


def run_in_a_thread(call: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as threads:
        threads.submit(call).result()


@pytest.mark.parametrize("run", [run_in_main, run_in_a_thread])
def test_an_operation_that_is_under_way_at_the_end_of_copying_is_seen(
    path: Path, make_engine: MakeEngine, run: Callable[[Callable[[], None]], None]
) -> None:
    """torch counts a change when it is over, and gives the GIL away while it runs."""
    weight = nn.Parameter(torch.zeros(32768, WIDTH))
    optimizer = optim.SGD([weight], 0.1)
    engine = make_engine(staging_bytes=16 << 20)
    engine.guard(optimizer)
    change = slow_change(weight)

    def change_while_it_copies() -> None:
        torn = 0
        for _ in range(6):
            with torch.no_grad():
                weight.zero_()
            snapshot = engine.save_async([weight], path)
            change()
            try:
                snapshot.wait_durable()
            except tintype.TornSnapshotError:
                torn += 1
            else:
                assert not last_row(path).any()
        print(f"{torn} of 6 torn")

    run(change_while_it_copies)


@pytest.mark.parametrize("run", [run_in_main, run_in_a_thread])
def test_a_thread_that_sleeps_does_not_hold_its_save(
    path: Path, make_engine: MakeEngine, run: Callable[[Callable[[], None]], None]
) -> None:
    """Who sleeps in a call that is none of the package's runs no operation of torch: it is not
    waited for, as one that computes is for up to 10 s."""
    engine = make_engine()
    job = Job(VARIANTS["SGD"], count=64)
    engine.guard(job.optimizer)

    def save_and_sleep() -> None:
        staged = threading.Event()
        snapshot = engine.save_async(job.parameters, path)
        assert snapshot.report()["lazy_bytes"] == 64 * WEIGHT_BYTES
        threading.Thread(target=lambda: (snapshot.wait_staged(), staged.set())).start()
        assert staged.wait(9)

    run(save_and_sleep)


def test_a_worker_that_sleeps_in_the_system_or_is_idle_does_not_hold_its_save(
    path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    job = Job(VARIANTS["SGD"], count=64)
    engine.guard(job.optimizer)

    def save_and_sleep(seconds: float) -> None:
        snapshot = engine.save_async(job.parameters, path)
        threading.Thread(target=lambda: (snapshot.wait_staged(), staged.set())).start()
        time.sleep(seconds)

    with ThreadPoolExecutor(1) as threads:
        for seconds in (0, 9):  # after the first save the worker waits for more work
            staged = threading.Event()
            sleeping = threads.submit(save_and_sleep, seconds)
            begin = time.monotonic()
            assert staged.wait(9)
            print(f"staged after {time.monotonic() - begin:.1f} s")
            assert seconds == 0 or not sleeping.done()


@pytest.fixture
def one_thread() -> Iterator[None]:
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


HOG = """
import sys, time
print("ready", flush=True)
sys.stdin.readline()
end = time.monotonic() + 1
while time.monotonic() < end:
    pass
"""


def test_an_operation_that_waits_for_a_core_is_no_sleep(
    path: Path, make_engine: MakeEngine, one_thread: None
) -> None:
    """The saving thread gets next to nothing of its core for a second, and is waited for."""
    weight = nn.Parameter(torch.zeros(32768, WIDTH))
    optimizer = optim.SGD([weight], 0.1)
    engine = make_engine(staging_bytes=16 << 20)
    engine.guard(optimizer)
    change = slow_change(weight)
    core = {min(os.sched_getaffinity(0))}

    def change_while_starved(hog: subprocess.Popen[str]) -> None:
        assert hog.stdin is not None
        snapshot = engine.save_async([weight], path)
        os.sched_setaffinity(0, core)
        hog.stdin.write("go\n")
        hog.stdin.flush()
        begin = time.monotonic()
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        change()
        took_s = time.monotonic() - begin
        try:
            snapshot.wait_durable()
        except tintype.TornSnapshotError:
            print("torn")
        else:
            assert took_s > 9 or not last_row(path).any(), "it is waited for up to 10 s"

    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOG], stdin=pipe, stdout=pipe, text=True) as hog:
        assert hog.stdout is not None
        hog.stdout.readline()
        os.sched_setaffinity(hog.pid, core)
        with ThreadPoolExecutor(1) as threads:  # whose priority is lost with it
            threads.submit(change_while_starved, hog).result()


@dataclass
class Saver:
    """Saves the parameters once, and then changes them where no probe need look."""

    engine: tintype.Engine
    job: Job
    path: Path
    snapshot: tintype.Snapshot | None = None
    expected: bytes = b""

    def save(self, *_: object) -> None:
        parameters = self.job.state()["parameters"]
        self.expected = torch_bytes(parameters)
        self.snapshot = self.engine.save_async(parameters, self.path)
        for parameter in self.job.parameters:
            parameter.data[-1] += 1


Save = Callable[[Saver], None]


def save_in_the_closure(saver: Saver) -> None:
    def closure() -> float:
        saver.save()
        return 0.0

    saver.job.optimizer.step(closure)


RegisterHook = Callable[[optim.Optimizer, Callable[..., None]], RemovableHandle]
HOOKS: dict[str, RegisterHook] = {
    "pre": lambda optimizer, hook: optimizer.register_step_pre_hook(hook),
    "post": lambda optimizer, hook: optimizer.register_step_post_hook(hook),
    "pre, of all": lambda _, hook: register_optimizer_step_pre_hook(hook),
    "post, of all": lambda _, hook: register_optimizer_step_post_hook(hook),
}


def save_in_a_hook(register: RegisterHook) -> Save:
    def save(saver: Saver) -> None:
        handle = register(saver.job.optimizer, saver.save)
        saver.job.optimizer.step()
        handle.remove()

    return save


def save_behind_the_step_that_a_step_calls(saver: Saver) -> None:
    """Both steps run hooks."""
    inner = type(saver.job.optimizer)

    class Outer(inner):  # type: ignore[misc, valid-type]
        def step(self, closure: object = None) -> None:
            super().step()
            saver.save()

    Outer([nn.Parameter(torch.zeros(1))])  # which lets the class run hooks
    saver.job.optimizer.__class__ = Outer
    saver.job.optimizer.step()


SAVES: dict[str, Save] = {
    "closure": save_in_the_closure,
    "inner step": save_behind_the_step_that_a_step_calls,
    **{f"{name} hook": save_in_a_hook(register) for name, register in HOOKS.items()},
}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
@pytest.mark.parametrize("variant", ["SGD momentum foreach", "SGD momentum fused"])
def test_a_save_within_a_step_holds_the_state_at_its_call(
    path: Path,
    make_engine: MakeEngine,
    save: Save,
    variant: str,
) -> None:
    engine = make_engine(**SLOW)
    job = Job(VARIANTS[variant], count=64)
    engine.guard(job.optimizer)
    for parameter in job.parameters:
        parameter.grad = torch.zeros_like(parameter)
        parameter.grad[-1] = 1  # what no probe need touch
    saver = Saver(engine, job, path)
    save(saver)
    assert saver.snapshot is not None
    saver.snapshot.wait_durable()
    assert path.read_bytes() == saver.expected
    assert torch_bytes(job.state()["parameters"]) != saver.expected
    assert saver.snapshot.report()["lazy_bytes"] == 0
    after = engine.save_async(job.parameters, path)
    assert after.report()["lazy_bytes"] == 64 * WEIGHT_BYTES
    engine.before_mutation()


def test_a_step_that_raised_is_over(path: Path, make_engine: MakeEngine) -> None:
    def closure() -> float:
        raise ValueError("no loss")

    engine = make_engine(**SLOW)
    job = Job(VARIANTS["SGD"])
    engine.guard(job.optimizer)
    with pytest.raises(ValueError, match="no loss"):
        job.optimizer.step(closure)
    assert engine.save_async(job.parameters, path).report()["lazy_bytes"] == 8 * WEIGHT_BYTES
    engine.before_mutation()


@pytest.mark.parametrize("name", ["step", "load_state_dict"])
def test_a_hook_that_was_there_before_the_guard_waits_too(
    path: Path, make_engine: MakeEngine, name: str
) -> None:
    engine = make_engine(**SLOW)
    job = Job(VARIANTS["SGD"], count=64)

    def change(*_: object) -> None:
        for parameter in job.parameters:
            parameter.data[-1] += 1

    getattr(job.optimizer, f"register_{name}_pre_hook")(change)
    engine.guard(job.optimizer)
    expected = torch_bytes(job.state()["parameters"])
    state = job.optimizer.state_dict()
    snapshot = engine.save_async(job.state()["parameters"], path)
    assert snapshot.report()["lazy_bytes"] == 64 * WEIGHT_BYTES
    if name == "step":
        job.optimizer.step()
    else:
        job.optimizer.load_state_dict(state)
    assert torch_bytes(job.state()["parameters"]) != expected
    snapshot.wait_durable()
    assert path.read_bytes() == expected


def test_a_tensor_of_two_optimizers_is_eager_within_a_step_of_either(
    path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(**SLOW)
    job = Job(VARIANTS["SGD"], count=64)
    other = optim.SGD([job.parameters[0]], 0.1)
    apart = optim.SGD([nn.Parameter(torch.zeros(WIDTH, WIDTH))], 0.1)
    for optimizer in (job.optimizer, other, apart):
        engine.guard(optimizer)
    state = [*job.parameters, apart.param_groups[0]["params"][0]]
    lazy_bytes = []

    def closure() -> float:
        lazy_bytes.append(engine.save_async(state, path).report()["lazy_bytes"])
        engine.before_mutation()
        return 0.0

    other.step(closure)
    assert lazy_bytes == [WEIGHT_BYTES]
