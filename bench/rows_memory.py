"""What a save costs the job itself: capture, blocking, host memory."""

from __future__ import annotations

import os
import time
from pathlib import Path

from memory_copy import MemoryCopy
from pairs import Row, Series, at_most, divide
from scene import MIB, Scene

import states
import tintype

_CAPTURE_SECONDS_PER_TENSOR = 1.5e-6
_CAPTURE_SECONDS = 0.5e-3
_SAVES_TO_SETTLE = 20  # before memory is called flat
_FLAT_BYTES = 4 * MIB


def capture(scene: Scene) -> list[Row]:
    """`report()["capture_ns"]` of AdamW states with many small tensors."""
    return [_capture_of(scene, count) for count in scene.scale.capture_tensors]


def allowed_capture_seconds(tensor_count: int) -> float:
    return tensor_count * _CAPTURE_SECONDS_PER_TENSOR + _CAPTURE_SECONDS


def _capture_of(scene: Scene, tensor_count: int) -> Row:
    parameter_count = tensor_count // states.TENSORS_PER_PARAMETER
    state = states.adamw_state(tensor_count * 256, parameter_count)
    path = scene.path("capture.pth")
    seconds = []
    with tintype.Engine() as engine:
        engine.prepare(state)
        for _ in range(scene.scale.rounds):
            snapshot = engine.save_async(state, path)
            snapshot.wait_published()
            seconds.append(snapshot.report()["capture_ns"] / 1e9)
    allowed = allowed_capture_seconds(tensor_count)
    beside = Series("1.5 µs per tensor + 0.5 ms", [allowed] * len(seconds))
    what = f"capture, {tensor_count:,} tensors of AdamW"
    return Row("capture", what, Series("capture", seconds), [beside],
               divide(seconds, beside.values), "ours ÷ allowed", at_most(1.0))  # fmt: skip


def blocking(scene: Scene) -> list[Row]:
    """How long save_async holds the caller, less capture, beside memcpy of the same bytes."""
    state = states.adamw_state(scene.scale.large_bytes)
    copy = MemoryCopy(state)
    threads = copy.best_thread_count(scene.threads)
    path = scene.path("blocking.pth")
    ours, theirs = [], []
    with tintype.Engine() as engine:
        engine.prepare(state)
        for _ in range(scene.scale.rounds):
            # The copy first: it has the memory bus for itself, and so has save_async until its
            # first extent is on its way to the disk.
            theirs.append(copy.seconds(threads))
            start = time.perf_counter()
            snapshot = engine.save_async(state, path)
            held = time.perf_counter() - start
            ours.append(held - snapshot.report()["capture_ns"] / 1e9)
            snapshot.wait_published()
    path.unlink()
    size = copy.total_bytes
    beside = Series(f"memcpy, {threads} threads", theirs, moved_bytes=size)
    what = f"save_async blocking less capture, {size // MIB} MiB"
    return [Row("blocking", what, Series("blocking", ours, moved_bytes=size), [beside],
                divide(ours, theirs), "ours ÷ memcpy", at_most(1.2))]  # fmt: skip


def memory(scene: Scene) -> list[Row]:
    """Resident memory over many saves, in small tensors, where bookkeeping shows most."""
    tensor_count = 1_000
    state = states.flat_state(scene.scale.memory_bytes, tensor_count)
    path = scene.path("memory.pth")
    before = _resident_bytes()
    levels = []
    with tintype.Engine() as engine:
        engine.prepare(state)  # else a slot that is touched late would look like growth
        for _ in range(scene.scale.memory_saves):
            engine.save_async(state, path).wait_published()
            levels.append(_resident_bytes())
        staging = int(engine.stats()["staging_bytes"])
    path.unlink()
    allowed = float(staging + tensor_count * 1024 + 32 * MIB)
    extra = float(max(levels) - before)
    growth = float(max(0, levels[-1] - levels[min(_SAVES_TO_SETTLE, len(levels) // 2)]))
    saves = f"{scene.scale.memory_saves} saves"
    return [
        Row("memory", f"extra host memory, {saves} of {scene.scale.memory_bytes // MIB} MiB",
            Series("extra", [extra], unit="bytes"),
            [Series("staging + 1 KiB per tensor + 32 MiB", [allowed], unit="bytes")],
            [extra / allowed], "extra ÷ allowed", at_most(1.0)),
        Row("memory", f"growth of host memory, save {_SAVES_TO_SETTLE} to {len(levels)}",
            Series("growth", [growth], unit="bytes"),
            [Series("flat", [float(_FLAT_BYTES)], unit="bytes")],
            [growth / _FLAT_BYTES], "growth ÷ 4 MiB", at_most(1.0)),
    ]  # fmt: skip


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
