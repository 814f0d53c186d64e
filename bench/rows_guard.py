"""What a guarded save costs the job: it waits for capture and small tensors, not for the rest."""

from __future__ import annotations

import time

import torch
from memory_copy import MemoryCopy
from pairs import Row, Series, at_most, divide
from rows_memory import allowed_capture_seconds
from scene import Scene

import states
import tintype

_LAZY_BYTES = 4096  # of each tensor but the steps: the least that is lazy
_STEP_SECONDS = 0.05  # in which the job computes; changes nothing


def guarded(scene: Scene) -> list[Row]:
    """Saves of AdamW states, each followed by a step of computing and `before_mutation()`."""
    return [row for count in scene.scale.capture_tensors for row in _rows_of(scene, count)]


def _compute(seconds: float) -> None:
    """Keeps one core busy, as a step does."""
    factor = torch.ones(256, 256)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        torch.mm(factor, factor)


def _rows_of(scene: Scene, tensor_count: int) -> list[Row]:
    count = tensor_count // states.TENSORS_PER_PARAMETER
    model, optimizer = states.adamw(3 * count * _LAZY_BYTES, count)
    eager = MemoryCopy(torch.stack([part["step"] for part in optimizer.state.values()]))
    path = scene.path("guarded.pth")
    captures, held, owed = [], [], []
    with tintype.Engine() as engine:
        engine.guard(optimizer)
        for round_number in range(scene.scale.rounds + 2):  # two to measure rates and make plans
            state = {"model": dict(model.state_dict()), "optimizer": optimizer.state_dict()}
            if round_number == 0:
                engine.prepare(state)
            eager_seconds = eager.seconds(1)
            snapshot = engine.save_async(state, path)
            _compute(_STEP_SECONDS)
            engine.before_mutation()
            snapshot.wait_published()
            report = snapshot.report()
            if round_number >= 2:
                captures.append(report["capture_ns"] / 1e9)
                held.append(report["blocking_ns"] / 1e9)
                predicted = report["guard_wait_ns_predicted"] / 1e9
                owed.append(captures[-1] + eager_seconds + predicted)
    path.unlink()
    allowed = [allowed_capture_seconds(tensor_count)] * len(captures)
    tensors = f"{tensor_count:,} tensors of AdamW"
    return [
        Row("guarded", f"capture with a guard, {tensors}", Series("capture", captures),
            [Series("1.5 µs per tensor + 0.5 ms", allowed)],
            divide(captures, allowed), "ours ÷ allowed", at_most(1.0)),
        Row("guarded", f"guarded save, blocking, {tensors}", Series("blocking", held),
            [Series("its capture + copy of eager bytes + predicted wait", owed)],
            divide(held, owed), "ours ÷ owed", at_most(1.1)),
    ]  # fmt: skip
