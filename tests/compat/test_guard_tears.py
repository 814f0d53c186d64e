"""Changes that come before a guarded save has copied: seen, or harmless, but never in a file."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn, optim

import tintype
from guarded_jobs import SLOW, VARIANTS, WIDTH, Job, outcome_of, torch_bytes
from states import MakeEngine

FULL = bool(os.environ.get("TINTYPE_FULL"))
WEIGHT_BYTES = WIDTH * WIDTH * 4
# The last tensors of a state of 1.1 MiB wait some 400 ms for their slots.
SLOWEST = {"staging_bytes": 256 << 10, "byte_rate_limit": 2 << 20}


def run_no_hooks(job: Job) -> None:
    job.optimizer._optimizer_step_pre_hooks.clear()
    job.step()


def step_another_optimizer(job: Job) -> None:
    other = optim.SGD(job.parameters, 0.1, fused=True)
    for parameter in job.parameters:
        parameter.grad = torch.ones_like(parameter)
    other.step()


def add_in_place(job: Job) -> None:
    with torch.no_grad():
        job.parameters[-1].add_(1)


def add_to_a_view(job: Job) -> None:
    job.parameters[-1].detach()[3:5].add_(1)


def change_the_state(job: Job) -> None:
    job.optimizer.state[job.parameters[-1]]["exp_avg_sq"].mul_(2)


def load_the_model(job: Job) -> None:
    model = nn.ParameterList(job.parameters)
    model.load_state_dict({key: value + 1 for key, value in model.state_dict().items()})


def load_the_optimizer(job: Job) -> None:
    state = job.optimizer.state_dict()
    job.optimizer.load_state_dict(state)


def load_without_hooks(job: Job) -> None:
    job.optimizer._optimizer_load_state_dict_pre_hooks.clear()
    load_the_optimizer(job)


def add_to_data(job: Job) -> None:
    job.parameters[-1].data.add_(1)


def add_through_numpy(job: Job) -> None:
    job.parameters[-1].detach().numpy()[:] += 1


def fill_the_storage(job: Job) -> None:
    job.parameters[-1].untyped_storage().fill_(7)


def give_other_memory(job: Job) -> None:
    job.parameters[-1].data = torch.zeros(WIDTH, WIDTH)


def set_other_memory(job: Job) -> None:
    with torch.no_grad():
        job.parameters[-1].set_(torch.zeros(WIDTH, WIDTH))


def swap(job: Job) -> None:
    torch.utils.swap_tensors(job.parameters[-1], nn.Parameter(torch.zeros(WIDTH, WIDTH)))


def resize_to_nothing(job: Job) -> None:
    with pytest.raises(RuntimeError, match="not resizable"):
        job.parameters[-1].untyped_storage().resize_(0)


def train_on(job: Job) -> None:
    job.step()


# Without before_mutation(): whether the change shows in memory that the save reads.
TEARING: list[Callable[[Job], None]] = [
    run_no_hooks,
    step_another_optimizer,
    add_in_place,
    add_to_a_view,
    change_the_state,
    load_the_model,
    add_to_data,
    add_through_numpy,
    fill_the_storage,
    give_other_memory,
    set_other_memory,
    swap,
]
HARMLESS: list[Callable[[Job], None]] = [
    load_the_optimizer,
    load_without_hooks,
    resize_to_nothing,
    train_on,
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.pth"


def name_of(change: Callable[[Job], None]) -> str:
    return change.__name__


def guarded_save(
    engine: tintype.Engine, job: Job, path: Path
) -> tuple[tintype.Snapshot, bytes, bytes]:
    """The started save, its right bytes, and those that stand there before."""
    before = path.read_bytes() if path.exists() else b""
    state = job.state()
    right = torch_bytes(state)
    return engine.save_async(state, path), right, before


def started_job(engine: tintype.Engine, variant: str = "AdamW fused", count: int = 24) -> Job:
    job = Job(VARIANTS[variant], count)
    job.step()
    engine.guard(job.optimizer)
    return job


def provoke(engine: tintype.Engine, change: Callable[[Job], None], path: Path) -> str:
    """One file that is good, then a save over it that ``change`` follows at once."""
    job = started_job(engine)
    engine.save(job.state(), path)
    job.step()  # so that the new file differs from the old one
    snapshot, right, before = guarded_save(engine, job, path)
    change(job)
    return outcome_of(snapshot, path, right, before)


@pytest.mark.parametrize("change", TEARING, ids=name_of)
def test_an_early_change_is_seen_and_the_old_file_stands(
    path: Path, make_engine: MakeEngine, change: Callable[[Job], None]
) -> None:
    engine = make_engine(**SLOWEST)
    outcomes = [provoke(engine, change, path)]
    while outcomes[-1] != "torn" and len(outcomes) < 10:
        outcomes.append(provoke(engine, change, path))  # a busy machine was late with the change
    print(outcomes)
    assert outcomes[-1] == "torn"


@pytest.mark.parametrize("change", HARMLESS, ids=name_of)
def test_what_waits_or_leaves_the_memory_alone_is_no_tear(
    path: Path, make_engine: MakeEngine, change: Callable[[Job], None]
) -> None:
    assert provoke(make_engine(**SLOW), change, path) == "whole"


@pytest.mark.parametrize("change", TEARING, ids=name_of)
def test_any_change_behind_before_mutation_is_no_tear(
    path: Path, make_engine: MakeEngine, change: Callable[[Job], None]
) -> None:
    engine = make_engine(**SLOW)

    def wait_and_change(job: Job) -> None:
        engine.before_mutation()
        change(job)

    assert provoke(engine, wait_and_change, path) == "whole"


def test_the_error_names_the_tensor_and_what_to_do(path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine(**SLOWEST)
    job = started_job(engine)
    snapshot = engine.save_async(job.state(), path)
    add_in_place(job)
    with pytest.raises(tintype.TornSnapshotError, match=r"'parameters/23'.*before_mutation\(\)"):
        snapshot.wait_durable()
    with pytest.raises(tintype.TornSnapshotError):
        snapshot.wait_staged()
    assert not path.exists()
    assert os.listdir(path.parent) == []


def test_eager_tensors_may_change_at_once(path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine(**SLOWEST)
    job = started_job(engine)
    buffer = torch.zeros(WIDTH, WIDTH)
    state = {**job.state(), "buffer": buffer}
    right = torch_bytes(state)
    snapshot = engine.save_async(state, path)
    buffer.add_(1)
    job.optimizer.state[job.parameters[-1]]["step"].add_(1)
    assert outcome_of(snapshot, path, right, before=b"") == "whole"


def test_on_torn_eager_next_saves_the_tensor_unguarded_from_then_on(
    path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(**SLOWEST, on_torn="eager_next")
    job = started_job(engine)
    snapshot, _, before = guarded_save(engine, job, path)
    all_lazy = snapshot.report()["lazy_bytes"]
    give_other_memory(job)
    with pytest.raises(tintype.TornSnapshotError):
        snapshot.wait_durable()
    for _ in range(2):
        snapshot, right, before = guarded_save(engine, job, path)
        assert snapshot.report()["lazy_bytes"] == all_lazy - WEIGHT_BYTES
        give_other_memory(job)
        assert outcome_of(snapshot, path, right, before) == "whole"


def test_on_torn_takes_two_values() -> None:
    with pytest.raises(ValueError, match=r"on_torn='ignore' is none of 'raise', 'eager_next'"):
        tintype.Engine(on_torn="ignore")  # type: ignore[arg-type]


def test_a_torn_save_that_nobody_waited_for_is_told_by_the_next(
    path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine(**SLOWEST)
    job = started_job(engine)
    snapshot = engine.save_async(job.state(), path)
    add_in_place(job)
    while not snapshot.done():
        time.sleep(0.01)
    state = job.state()
    with pytest.raises(tintype.TornSnapshotError) as raised:
        engine.save_async(state, path)
    assert isinstance(raised.value.snapshot, tintype.Snapshot)
    raised.value.snapshot.wait_durable()
    assert path.read_bytes() == torch_bytes(state)


# What follows a save in the loop below, and how often.
FOLLOWING: list[tuple[Callable[[Job], None], int]] = [
    (train_on, 12),
    (run_no_hooks, 2),
    *((change, 1) for change in (step_another_optimizer, load_the_model, add_to_data)),
    *((change, 1) for change in (add_through_numpy, fill_the_storage, give_other_memory)),
]


def test_no_torn_file_is_accepted_in_a_loop_that_changes_everything(
    path: Path, make_engine: MakeEngine
) -> None:
    saves = 2000 if FULL else 60
    dice = random.Random(6)
    changes, weights = zip(*FOLLOWING, strict=True)
    outcomes: Counter[str] = Counter()
    lazy_bytes = 0
    for first in range(0, saves, 20):
        # A pool smaller than the state, and a disk that takes 20 to 80 ms for it.
        engine = make_engine(
            staging_bytes=dice.choice([128 << 10, 256 << 10, 512 << 10]),
            byte_rate_limit=dice.choice([8 << 20, 32 << 20]),
        )
        job = started_job(
            engine, dice.choice(["AdamW fused", "AdamW foreach", "NAdam foreach"]), 12
        )
        for _ in range(first, min(first + 20, saves)):
            engine.guard(job.optimizer).remove()
            engine.guard(job.optimizer)  # an earlier change may have taken its hooks away
            snapshot, right, before = guarded_save(engine, job, path)
            time.sleep(dice.random() ** 2 * 0.03)
            change = dice.choices(changes, weights)[0]
            change(job)
            outcome = outcome_of(snapshot, path, right, before)
            assert outcome == "whole" or change is not train_on
            outcomes[outcome] += 1
            lazy_bytes += snapshot.report()["lazy_bytes"]
            job.step()
        engine.close()
    torn = outcomes["torn"]
    print(f"{saves} guarded saves of {lazy_bytes >> 20} lazy MiB: {torn} found torn, 0 accepted")
    assert outcomes.total() == saves
    assert torn > 0
