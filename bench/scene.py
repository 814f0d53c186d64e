"""Where and how large: the folder of a run, its sizes, and the clocks around a file."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True)
class Scale:
    """The sizes of a run."""

    rounds: int
    large_bytes: int  # rows of throughput
    load_bytes: int
    small_rounds: int
    capture_tensors: tuple[int, ...]
    load_tensors: int
    memory_saves: int
    memory_bytes: int
    step_bytes: int  # light + full of one small epoch
    training_seconds: float  # of the state for the compressed forms
    trained_width: int  # of the transformer: 512 makes a state of 150 MB


FULL = Scale(
    rounds=9,
    large_bytes=1024 * MIB,
    load_bytes=256 * MIB,
    small_rounds=31,
    capture_tensors=(1_000, 4_000, 10_000),
    load_tensors=10_000,
    memory_saves=200,
    memory_bytes=64 * MIB,
    step_bytes=16 * MIB,
    training_seconds=120,
    trained_width=512,
)
QUICK = Scale(
    rounds=3,
    large_bytes=16 * MIB,
    load_bytes=8 * MIB,
    small_rounds=5,
    capture_tensors=(100, 400, 1_000),
    load_tensors=1_000,
    memory_saves=30,
    memory_bytes=4 * MIB,
    step_bytes=4 * MIB,
    training_seconds=1,
    trained_width=64,
)


@dataclass(frozen=True)
class Scene:
    """One run of the table. Every contender writes below `folder`, on one file system."""

    folder: Path
    scale: Scale
    threads: int = field(default_factory=lambda: min(os.cpu_count() or 1, 8))

    def check_space(self) -> None:
        """A full disk would spoil the figures before it fails: four large files must fit."""
        needed = 4 * self.scale.large_bytes
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise SystemExit(
                f"{self.folder} has {free // MIB} MiB free, the benchmarks need {needed // MIB} "
                "MiB: free some, or give another folder with --dir"
            )

    def path(self, name: str) -> Path:
        return self.folder / name

    def new_file(self, name: str, write: Callable[[Path], object]) -> float:
        """Seconds that `write` takes to make a new file. It is removed, and the removal made
        durable, outside the clock: discards of a big file would slow whoever comes next."""
        path = self.path(name)
        seconds = clock(lambda: write(path))
        path.unlink()
        sync_directory(self.folder)
        return seconds


def clock(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def drop_from_page_cache(path: Path) -> None:
    """Makes the next read of this file cold. REQUIRES: the file is durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
