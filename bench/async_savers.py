"""Two asynchronous savers behind one interface: this engine's and torch.distributed.checkpoint's.

Run as a program, it tells as JSON how long a fresh process's first saves by each block:

    async_savers.py FOLDER BYTES tintype dcp
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Protocol

import torch
from scene import sync_directory
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict_saver import async_save

import states
import tintype

# What suits it best on the host: one process, no collectives, as many writing threads as cores, and
# files that are synced. A stager that is kept would reuse its staging memory, but torch 2.11's is
# dead after one save (KeyError), and cache_staged_state_dict needs CUDA.
DCP_OPTIONS = "no_dist, DefaultStager, a thread per core, sync_files"

SAVES = 3  # of each, in a fresh process


class AsyncSaver(Protocol):
    def save(self, state: Any) -> tuple[float, float]:
        """Seconds until the caller may go on, and until the new checkpoint is durable."""

    def close(self) -> None: ...


class TintypeSaver:
    def __init__(self, folder: Path, state: Any) -> None:
        self._engine = tintype.Engine()
        self._engine.prepare(state)
        self._path = folder / "async.pth"

    def save(self, state: Any) -> tuple[float, float]:
        start = time.perf_counter()
        snapshot = self._engine.save_async(state, self._path)
        blocking = time.perf_counter() - start
        snapshot.wait_durable()
        durable = time.perf_counter() - start
        self._engine.wait()
        self._path.unlink()
        sync_directory(self._path.parent)
        return blocking, durable

    def close(self) -> None:
        self._engine.close()


class GuardedSaver(TintypeSaver):
    """The optimizer's tensors are copied behind the call; the job computes until they are."""

    def __init__(self, folder: Path, state: Any, optimizer: torch.optim.Optimizer) -> None:
        super().__init__(folder, state)
        self._engine.guard(optimizer)
        self._path = folder / "guarded.pth"


class DcpSaver:
    _staging = StagingOptions(False, False, False, False)

    def __init__(self, folder: Path) -> None:
        warnings.filterwarnings("ignore", module="torch.distributed")
        self._folder = folder / "dcp"

    def save(self, state: Any) -> tuple[float, float]:
        writer = FileSystemWriter(self._folder, thread_count=os.cpu_count() or 1)
        stager = DefaultStager(self._staging)
        start = time.perf_counter()
        future: Any = async_save(state, storage_writer=writer, async_stager=stager, no_dist=True)
        blocking = time.perf_counter() - start
        future.result()
        durable = time.perf_counter() - start
        shutil.rmtree(self._folder)
        sync_directory(self._folder.parent)
        return blocking, durable

    def close(self) -> None:
        pass


class GpuDcpSaver(DcpSaver):
    """With what suits it on a GPU: pinned memory, and copies that do not hold the caller."""

    _staging = StagingOptions(
        use_pinned_memory=torch.cuda.is_available(),
        use_shared_memory=False,
        use_async_staging=False,
        use_non_blocking_copy=torch.cuda.is_available(),
    )


def make_saver(kind: str, folder: Path, state: Any) -> AsyncSaver:
    return TintypeSaver(folder, state) if kind == "tintype" else DcpSaver(folder)


def main() -> None:
    folder, size_bytes, *order = sys.argv[1:]
    state = states.adamw_state(int(size_bytes))
    blocking = {}
    for kind in order:
        saver = make_saver(kind, Path(folder), state)
        blocking[kind] = [saver.save(state)[0] for _ in range(SAVES)]
        saver.close()
    print(json.dumps(blocking))


if __name__ == "__main__":
    main()
