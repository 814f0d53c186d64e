"""What saving from a GPU costs, each promise beside its baseline in one run: `make bench-gpu`.

    python bench/gpu.py [--quick] [--gib 8] [--dir FOLDER] [--out FOLDER]

Without a device nothing is measured, which is said. --quick uses a few MiB; with --device cpu it
only shows that this program works, and writes nothing.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpu_report
import torch
from async_savers import AsyncSaver, GpuDcpSaver, TintypeSaver
from pairs import Goal, Row, Series, at_least, at_most, divide, interleave
from scene import MIB, clock, sync_directory, sync_file
from table import render_row

import tintype

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Stage:
    """Where and how large; `rounds` pairs of each."""

    device: str
    folder: Path
    large_bytes: int
    small_tensors: int
    rounds: int

    def state(self, tensor_count: int, tensor_bytes: int) -> State:
        return {
            f"tensor_{i}": torch.rand(tensor_bytes // 4, device=self.device)
            for i in range(tensor_count)
        }

    def large_state(self) -> State:
        return self.state(128, self.large_bytes // 128)

    def synchronize(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], object]) -> float:
        """Until the device has done it."""
        self.synchronize()
        start = time.perf_counter()
        work()
        self.synchronize()
        return time.perf_counter() - start

    def stream_seconds(self, work: Callable[[], object]) -> float:
        """What the current stream is busy with: `work` gives it that while it still has other."""
        if self.device != "cuda":
            return self.seconds(work)
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(400_000_000)
        before.record()
        work()
        after.record()
        after.synchronize()
        return before.elapsed_time(after) / 1e3

    def step_seconds(self, step: Callable[[], object]) -> float:
        """What the current stream takes for a step. Nothing else is waited for: copies on other
        streams go on beside it."""
        if self.device != "cuda":
            return clock(step)
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        step()
        after.record()
        after.synchronize()
        return before.elapsed_time(after) / 1e3


def size_of(state: State) -> int:
    return sum(tensor.nbytes for tensor in state.values())


def slab(stage: Stage) -> list[Row]:
    """save_async through a slab: the CPU captures, the stream copies within the device."""
    state = stage.large_state()
    size_bytes = size_of(state)
    source = torch.empty(size_bytes, dtype=torch.uint8, device=stage.device)
    target = torch.empty_like(source)
    held: list[float] = []
    with tintype.Engine(device_slab_bytes=size_bytes + 128 * 256) as engine:
        engine.prepare(state)

        def save() -> float:
            snapshots = []
            path = stage.folder / "slab.pth"
            seconds = stage.stream_seconds(lambda: snapshots.append(engine.save_async(state, path)))
            snapshots[0].wait_durable()
            report = snapshots[0].report()
            held.append((report["blocking_ns"] - report["capture_ns"]) / 1e9)
            return seconds

        samples = interleave(
            {"ours": save, "copy": lambda: stage.stream_seconds(lambda: target.copy_(source))},
            stage.rounds,
        )
    what = f"slab, {size_bytes // MIB} MiB"
    return [
        row(f"{what}, on the stream", samples["ours"], "a copy within the device", samples["copy"],
            divide(samples["ours"], samples["copy"]), "ours ÷ copy", at_most(1.25), size_bytes),
        row(f"{what}, the caller beside capture", held, "1 ms", [1e-3] * len(held),
            divide(held, [1e-3] * len(held)), "ours ÷ allowed", None),
    ]  # fmt: skip


def to_host(stage: Stage) -> list[Row]:
    """Time to staged, in a pool that holds all of it, beside plain copies into pinned memory."""
    shapes = {
        f"128 tensors, {stage.large_bytes // MIB} MiB": stage.large_state,
        f"{stage.small_tensors:,} tensors of 64 KiB": lambda: stage.state(
            stage.small_tensors, 64 << 10
        ),
    }
    return [to_host_row(stage, what, make()) for what, make in shapes.items()]


def to_host_row(stage: Stage, what: str, state: State) -> Row:
    size_bytes = size_of(state)
    source = torch.empty(size_bytes, dtype=torch.uint8, device=stage.device)
    pinned = torch.empty(size_bytes, dtype=torch.uint8, pin_memory=stage.device == "cuda")
    staging_bytes = size_bytes + size_bytes // 8 + 64 * MIB
    with tintype.Engine(staging_bytes=staging_bytes) as engine:
        engine.prepare(state)

        def save() -> float:
            stage.synchronize()
            start = time.perf_counter()
            snapshot = engine.save_async(state, stage.folder / "host.pth")
            snapshot.wait_staged()
            seconds = time.perf_counter() - start
            snapshot.wait_durable()
            return seconds

        def copy() -> float:
            return stage.seconds(lambda: pinned.copy_(source, non_blocking=True))

        samples = interleave({"ours": save, "copy": copy}, stage.rounds)
    return row(f"staged, {what}", samples["ours"], "one pinned copy", samples["copy"],
               divide(samples["copy"], samples["ours"]), "copy ÷ ours", at_least(0.95),
               size_bytes)  # fmt: skip


def slowdown(stage: Stage) -> list[Row]:
    """Steps that compute, alone and while a save is on its way to the host and the disk: the mean
    of all that fit in. The copy into the slab comes before the first, and is another row's."""
    side = 4096 if stage.device == "cuda" else 64
    matrix = torch.rand(side, side, device=stage.device)
    state = stage.large_state()

    def step() -> None:
        for _ in range(20):
            torch.mm(matrix, matrix)

    with tintype.Engine(device_slab_bytes=size_of(state) + 128 * 256) as engine:
        engine.prepare(state)

        def alone() -> float:
            stage.synchronize()
            return statistics.mean(stage.step_seconds(step) for _ in range(10))

        def beside_a_save() -> float:
            snapshot = engine.save_async(state, stage.folder / "busy.pth")
            steps = [stage.step_seconds(step)]
            while not snapshot.done():
                steps.append(stage.step_seconds(step))
            snapshot.wait_durable()  # raises where it failed
            return statistics.mean(steps)

        samples = interleave({"alone": alone, "ours": beside_a_save}, stage.rounds)
    return [
        row("a compute-bound step while persisting", samples["ours"], "alone", samples["alone"],
            divide(samples["ours"], samples["alone"]), "beside ÷ alone", at_most(1.01))
    ]  # fmt: skip


def peers(stage: Stage) -> list[Row]:
    """The same state and disk: DCP's async_save with pinned staging, and torch.save with fsync."""
    state = stage.large_state()
    savers: dict[str, AsyncSaver] = {
        "ours": TintypeSaver(stage.folder, state),
        "DCP": GpuDcpSaver(stage.folder),
    }
    durable: dict[str, list[float]] = {name: [] for name in savers}

    def blocking_of(name: str) -> float:
        blocking, until_durable = savers[name].save(state)
        durable[name].append(until_durable)
        return blocking

    def by_torch() -> float:
        path = stage.folder / "torch.pth"

        def save() -> None:
            torch.save(state, path)
            sync_file(path)
            sync_directory(stage.folder)

        return clock(save)

    samples = interleave(
        {
            "ours": lambda: blocking_of("ours"),
            "DCP": lambda: blocking_of("DCP"),
            "torch": by_torch,
        },
        stage.rounds,
    )
    for saver in savers.values():
        saver.close()
    blocked = samples["ours"]
    return [
        row("save_async, blocking", blocked, "DCP async_save, pinned", samples["DCP"],
            divide(samples["DCP"], blocked), "DCP ÷ ours", None),
        row("save_async, durable", durable["ours"], "DCP async_save, pinned", durable["DCP"],
            divide(durable["DCP"], durable["ours"]), "DCP ÷ ours", None, size_of(state)),
        row("save_async, durable", durable["ours"], "torch.save + fsync", samples["torch"],
            divide(samples["torch"], durable["ours"]), "torch.save ÷ ours", None, size_of(state)),
    ]  # fmt: skip


def row(what: str, ours: list[float], beside: str, theirs: list[float], ratios: list[float],
        ratio_of: str, goal: Goal | None, moved_bytes: int = 0) -> Row:  # fmt: skip
    series = Series("ours", ours, moved_bytes=moved_bytes)
    other = Series(beside, theirs, moved_bytes=moved_bytes)
    return Row("gpu", what, series, [other], ratios, ratio_of, goal)


def as_report(measured: Row) -> dict[str, Any]:
    """A line of the report: what render_row() shows, by column."""
    keys = ("what", "ours", "beside", "ratio: median (range)", "goal", "verdict")
    cells = [cell.strip() for cell in render_row(measured).strip("|").split("|")]
    samples = {"ours": measured.ours.values, "ratios": measured.ratios}
    samples |= {series.name: series.values for series in measured.beside}
    return {**dict(zip(keys, cells, strict=True)), "samples": samples}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--gib", type=float, default=8.0, help="size of the large state")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--dir", type=Path, default=Path("build/bench-data"))
    parser.add_argument("--out", type=Path, default=Path("build"))
    args = parser.parse_args()
    if args.device == "cuda" and not gpu_report.is_device_visible():
        print("bench-gpu: no GPU is visible: nothing was measured")
        return
    args.dir.mkdir(parents=True)
    large_bytes = 8 * MIB if args.quick else int(args.gib * 1024) * MIB
    stage = Stage(args.device, args.dir.resolve(), large_bytes, 100 if args.quick else 10_000,
                  3 if args.quick else 9)  # fmt: skip
    try:
        rows = [row for group in (slab, to_host, slowdown, peers) for row in group(stage)]
        if args.device == "cuda":
            described = gpu_report.describe(stage.folder)
            report = [as_report(measured) for measured in rows]
            print(gpu_report.write(args.out, described, "bench", report), end="")
        else:
            print("\n".join(render_row(measured) for measured in rows))
    finally:
        shutil.rmtree(stage.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
