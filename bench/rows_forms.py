"""The compressed forms on a state that was really trained: what one core codes, and what saves and
the command make of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fio
import torch
import zipnn_coder
from pairs import Row, Series, at_least, divide, interleave
from scene import Scene, drop_from_page_cache, sync_file

import states
import tintype

_ROOT = Path(__file__).parents[1]
_BUILD = _ROOT / "build" / "release"

# Coders beside ours, by bench_codec's names. The first is the limit of ours: what libzstd takes to
# code the same planes, with nothing around it.
_BESIDE = {"planes_limit": "libzstd's part of it", "zstd_-1": "zstd -1", "zstd_-3": "zstd -3"}

# Goals: how small, and how fast a core encodes, in GB/s of plain bytes. None: only shown.
_STATES: dict[str, tuple[str, float | None, float | None, float | None]] = {
    "real": ("trained fp32 and AdamW moments", 1.18, 2.0, 3.0),
    "real_bf16": ("the same in bf16", 1.50, 1.5, 3.0),
    "fp32": ("fresh random fp32 weights", None, None, None),
    "zero": ("zeros", None, None, None),
    "int64": ("int64 below 50,000", None, None, None),
}


def forms(scene: Scene) -> list[Row]:
    trained = scene.path("trained.pth")
    tintype.save(states.trained(scene.scale.training_seconds, scene.scale.trained_width), trained)
    state = tintype.load(trained)
    rows = _coding(scene, trained, state)
    large = _repeated(state, scene.scale.large_bytes)
    trained.unlink()
    return [*rows, _durable(scene, large), _decompress(scene, large)]


# bench_codec's runs by "what/state/coder", a value a repetition.
Runs = dict[str, list[dict[str, Any]]]


def _coding(scene: Scene, trained: Path, state: Any) -> list[Row]:
    coders = "|".join(("planes", *_BESIDE))
    command = [
        _BUILD / "bench" / "bench_codec",
        f"--benchmark_filter=^(encode|decode)/({'|'.join(_STATES)})/({coders})$",
        f"--benchmark_repetitions={scene.scale.rounds}",
        "--benchmark_enable_random_interleaving=true",
        "--benchmark_min_time=0.05",
        "--benchmark_format=json",
    ]
    environment = {**os.environ, "TINTYPE_BENCH_STATE": str(trained)}
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    runs: Runs = {}
    for run in json.loads(result.stdout)["benchmarks"]:
        if run["run_type"] == "iteration":
            runs.setdefault(run["run_name"].split("/repeats:")[0], []).append(run)
    if zipnn_coder.is_here():
        _add_zipnn(runs, state, scene.scale.rounds)
    rows = []
    for state, goals in _STATES.items():
        rows += _rows_of(runs, state, *goals)
    return rows


def _add_zipnn(runs: Runs, state: Any, rounds: int) -> None:
    floats = torch.cat([t.flatten() for t in states.tensors_in(state) if t.dtype == torch.float32])
    for name, values in {"real": floats, "real_bf16": floats.bfloat16()}.items():
        for step, measured in zipnn_coder.measure(values, rounds).items():
            runs[f"{step}/{name}/zipnn"] = measured


def _rows_of(
    runs: Runs,
    state: str,
    what: str,
    smaller: float | None,
    encoded: float | None,
    decoded: float | None,
) -> list[Row]:
    def values(step: str, coder: str, key: str) -> list[float]:
        return [float(run[key]) for run in runs[f"{step}/{state}/{coder}"]]

    def row(label: str, step: str, key: str, unit: str, scale: float, goal: float | None) -> Row:
        names = {"planes": "planes", **_BESIDE, "zipnn": "ZipNN, one thread"}
        if key == "ratio" or goal is None:
            del names["planes_limit"]
        ours, *beside = (
            Series(name, [value / scale for value in values(step, coder, key)], unit=unit)
            for coder, name in names.items()
            if f"{step}/{state}/{coder}" in runs
        )
        return Row("forms", f"planes, {what}: {label}", ours, beside, ours.values, unit,
                   None if goal is None else at_least(goal))  # fmt: skip

    rows = [
        row("size", "encode", "ratio", "times smaller", 1, smaller),
        row("encode, one core", "encode", "bytes_per_second", "GB/s", 1e9, encoded),
        row("decode, one core", "decode", "bytes_per_second", "GB/s", 1e9, decoded),
    ]
    return rows if decoded is not None else rows[:2]


def _repeated(state: Any, size_bytes: int) -> list[Any]:
    """Copies with storages of their own, to `size_bytes` or somewhat more."""
    count = max(1, -(-size_bytes // states.storage_bytes(state)))
    return [state, *(_cloned(state) for _ in range(count - 1))]


def _cloned(part: Any) -> Any:
    if isinstance(part, torch.Tensor):
        return part.clone()
    if isinstance(part, dict):
        return {key: _cloned(value) for key, value in part.items()}
    return [_cloned(value) for value in part] if isinstance(part, list) else part


def _durable(scene: Scene, state: Any) -> Row:
    """Coding must not cost what the disk gives back for fewer bytes."""
    size = states.storage_bytes(state)
    with tintype.Engine() as engine:
        engine.prepare(state)

        def saving(name: str) -> Callable[[], float]:
            return lambda: scene.new_file(name, lambda path: engine.save(state, path))

        savers = {"planes": saving("planes.pth.ttz"), "plain": saving("plain.pth")}
        samples = interleave(savers, scene.scale.rounds)
    series = {name: Series(name, values, moved_bytes=size) for name, values in samples.items()}
    return Row("forms", "save as planes, durable", series["planes"], [series["plain"]],
               divide(samples["plain"], samples["planes"]), "plain ÷ planes",
               at_least(1.0))  # fmt: skip


def _decompress(scene: Scene, state: Any) -> Row:
    """The command, past the page cache, beside the slower one of fio reading what it reads and fio
    writing what it writes: each with the disk for itself, and, as the command has it, both at once.
    """
    coded, plain = scene.path("large.pth.ttz"), scene.path("large.pth")
    tintype.save(state, coded)
    sizes: list[int] = []

    def decompress(path: Path) -> None:
        subprocess.run([_BUILD / "tools" / "tintype", "decompress", "-q", "-k", coded, "-o", path],
                       check=True)  # fmt: skip
        sizes.append(path.stat().st_size)

    def ours() -> float:
        sync_file(coded)
        drop_from_page_cache(coded)
        return scene.new_file("large.pth", decompress)

    def write() -> float:
        seconds = fio.write_seconds(plain, sizes[0])
        plain.unlink()
        return seconds

    def alone() -> float:
        return max(fio.read_seconds(coded), write())

    def at_once() -> float:
        with ThreadPoolExecutor() as pool:
            reading, writing = pool.submit(fio.read_seconds, coded), pool.submit(write)
            return max(reading.result(), writing.result())

    ours()  # which tells how much is to be written
    samples = interleave({"decompress": ours, "alone": alone, "at once": at_once},
                         scene.scale.rounds)  # fmt: skip
    coded.unlink()
    return Row("forms", "tintype decompress of planes, cold",
               Series("decompress", samples["decompress"], moved_bytes=sizes[0]),
               [Series("fio, read or write", samples["alone"], moved_bytes=sizes[0]),
                Series("fio, both at once", samples["at once"], moved_bytes=sizes[0])],
               divide(samples["alone"], samples["decompress"]), "fio ÷ ours",
               at_least(0.9))  # fmt: skip
