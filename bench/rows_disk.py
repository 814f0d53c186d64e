"""Large files: how near a durable save and a load come to what the disk gives."""

from __future__ import annotations

import ctypes
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fio
import torch
from pairs import Row, Series, at_least, divide, interleave
from scene import MIB, Scene, clock, drop_from_page_cache, sync_file

import states
import tintype


def torch_save_and_sync(state: Any, path: Path) -> None:
    torch.save(state, path)
    sync_file(path)


def save(scene: Scene) -> list[Row]:
    """`save` of a prepared engine, fsync and commit included, beside fio and torch.save + fsync."""
    size = scene.scale.large_bytes
    state = states.adamw_state(size)
    with tintype.Engine() as engine:
        engine.prepare(state)
        samples = interleave(
            {
                "save": lambda: scene.new_file("ours.pth", lambda p: engine.save(state, p)),
                "fio": lambda: _fio_write(scene, size),
                "torch.save + fsync": lambda: scene.new_file(
                    "torch.pth", lambda p: torch_save_and_sync(state, p)
                ),
            },
            scene.scale.rounds,
        )
    series = {name: Series(name, values, moved_bytes=size) for name, values in samples.items()}
    ours, line, theirs = series["save"], series["fio"], series["torch.save + fsync"]
    # What torch.save leaves of fio's rate is all there is to win over it.
    reachable = statistics.median(divide(theirs.values, line.values))
    what = f"save, {size // MIB} MiB durable, prepared"
    return [
        Row("save", what, ours, [line], divide(line.values, ours.values), "fio ÷ ours",
            at_least(0.95)),
        Row("save", what, ours, [theirs], divide(theirs.values, ours.values),
            "torch.save ÷ ours", at_least(0.9 * reachable)),
    ]  # fmt: skip


def _fio_write(scene: Scene, size: int) -> float:
    """fio's own clock, not that of its process."""
    seconds = 0.0

    def write(path: Path) -> None:
        nonlocal seconds
        seconds = fio.write_seconds(path, size)

    scene.new_file("fio.dat", write)
    return seconds


def pwrite(scene: Scene) -> list[Row]:
    """The fallback where io_uring is not to be had."""
    size = scene.scale.large_bytes
    state = states.adamw_state(size)
    with tintype.Engine() as ring, tintype.Engine(backend="pwrite") as threads:
        ring.prepare(state)
        threads.prepare(state)
        samples = interleave(
            {
                "pwrite": lambda: scene.new_file("pwrite.pth", lambda p: threads.save(state, p)),
                "io_uring": lambda: scene.new_file("ring.pth", lambda p: ring.save(state, p)),
            },
            scene.scale.rounds,
        )
        name = str(ring.stats()["backend"])
    ours = Series("pwrite", samples["pwrite"], moved_bytes=size)
    best = Series(name, samples["io_uring"], moved_bytes=size)
    ratios = divide(best.values, ours.values)
    what = f"save by pwrite threads, {size // MIB} MiB"
    return [Row("pwrite", what, ours, [best], ratios, f"{name} ÷ pwrite", at_least(0.9))]


def load(scene: Scene) -> list[Row]:
    """Cold beside fio, warm beside torch.load of the same path."""
    rows = [_load_cold(scene)]
    for count in (1, scene.scale.load_tensors):
        state = states.flat_state(scene.scale.load_bytes, count)
        path = scene.path("load.pth")
        tintype.save(state, path)
        del state
        torch.load(path)  # into the page cache
        for memory, context in (("fresh", _fresh_memory), ("recycled", _recycled_memory)):
            with context():
                rows.append(_load_warm(scene, path, f"{count:,} tensors, {memory} memory"))
        path.unlink()
    return rows


def _load_cold(scene: Scene) -> Row:
    size = scene.scale.large_bytes
    path = scene.path("load.pth")
    torch_save_and_sync(states.adamw_state(size), path)

    def cold_load() -> float:
        drop_from_page_cache(path)
        return clock(lambda: tintype.load(path))

    samples = interleave(
        {"load": cold_load, "fio read": lambda: fio.read_seconds(path)}, scene.scale.rounds
    )
    path.unlink()
    ours = Series("load", samples["load"], moved_bytes=size)
    line = Series("fio read", samples["fio read"], moved_bytes=size)
    ratios = divide(line.values, ours.values)
    return Row("load", f"load, cold, {size // MIB} MiB", ours, [line], ratios, "fio ÷ ours",
               at_least(0.9))  # fmt: skip


def _load_warm(scene: Scene, path: Path, shape: str) -> Row:
    size = scene.scale.load_bytes
    samples = interleave(
        {
            "load": lambda: clock(lambda: tintype.load(path)),
            "torch.load": lambda: clock(lambda: torch.load(path)),
        },
        scene.scale.rounds,
    )
    ours = Series("load", samples["load"], moved_bytes=size)
    theirs = Series("torch.load", samples["torch.load"], moved_bytes=size)
    ratios = divide(theirs.values, ours.values)
    return Row("load", f"load, warm, {size // MIB} MiB, {shape}", ours, [theirs], ratios,
               "torch.load ÷ ours", at_least(1.0))  # fmt: skip


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # malloc.h
_NEVER = 2**31 - 1


@contextmanager
def _fresh_memory() -> Iterator[None]:
    """glibc maps every large block anew: each load pays for its page faults."""
    with _mallopt({_M_MMAP_THRESHOLD: 128 << 10, _M_TRIM_THRESHOLD: 128 << 10}):
        yield


@contextmanager
def _recycled_memory() -> Iterator[None]:
    """glibc hands out what was freed before: page faults were paid once."""
    with _mallopt({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER}):
        yield


@contextmanager
def _mallopt(settings: dict[int, int]) -> Iterator[None]:
    libc = ctypes.CDLL(None)
    for parameter, value in settings.items():
        libc.mallopt(parameter, value)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_MAX, 65536)
        libc.mallopt(_M_TRIM_THRESHOLD, 128 << 10)
        libc.malloc_trim(0)
