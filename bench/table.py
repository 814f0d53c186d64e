"""The benchmarks as one table: each promise as a ratio, measured beside its baseline in one run.

    python bench/table.py [--quick] [--rows save,capture] [--dir FOLDER] [--out FOLDER]

Prints Markdown; writes bench.md and bench.json (all samples) to --out. Every row names its
baseline, the median ratio with its range over the rounds, the goal and the verdict. Speed is never
a reason to fail: the exit code is 0 when every row was measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import fio
import machine
import rows_disk
import rows_forms
import rows_guard
import rows_memory
import rows_peers
import rows_small
from pairs import Row
from scene import FULL, QUICK, Scene

GROUPS: dict[str, Callable[[Scene], list[Row]]] = {
    "save": rows_disk.save,
    "pwrite": rows_disk.pwrite,
    "small": rows_small.small,
    "bytes": rows_small.written,
    "capture": rows_memory.capture,
    "blocking": rows_memory.blocking,
    "guarded": rows_guard.guarded,
    "first": rows_peers.first,
    "dcp": rows_peers.dcp,
    "load": rows_disk.load,
    "forms": rows_forms.forms,
    "memory": rows_memory.memory,
}


def main() -> None:
    args = parse_arguments()
    args.dir.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    scene = Scene(args.dir.resolve(), QUICK if args.quick else FULL)
    scene.check_space()
    start = time.perf_counter()
    try:
        rows = measure(scene, args.rows)
        described = machine.describe(scene.folder)
    finally:
        shutil.rmtree(scene.folder, ignore_errors=True)
    text = render(rows, described, scene)
    (args.out / "bench.md").write_text(text)
    (args.out / "bench.json").write_text(to_json(rows, described, scene))
    print(text, end="")
    seconds = time.perf_counter() - start
    print(f"{seconds:.0f} s; all samples: {args.out / 'bench.json'}", file=sys.stderr)
    if not all(row.is_finite() for row in rows):
        raise SystemExit("a row has no finite ratio")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, three rounds: a smoke")
    parser.add_argument(
        "--rows", type=parse_groups, default=list(GROUPS), help=f"some of {','.join(GROUPS)}"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path("build/bench-data"),
        help="folder on the disk to measure; made, and removed at the end",
    )
    parser.add_argument("--out", type=Path, default=Path("build"), help="where the results go")
    args = parser.parse_args()
    if args.dir.exists() and any(args.dir.iterdir()):
        parser.error(f"--dir {args.dir} is not empty, and would be removed: give a new folder")
    return args


def parse_groups(text: str) -> list[str]:
    groups = text.split(",")
    for group in groups:
        if group not in GROUPS:
            raise argparse.ArgumentTypeError(f"'{group}' is not one of {','.join(GROUPS)}")
    return groups


def measure(scene: Scene, groups: list[str]) -> list[Row]:
    rows: list[Row] = []
    for group in groups:
        start = time.perf_counter()
        print(f"measuring {group} ...", end="", file=sys.stderr, flush=True)
        rows += GROUPS[group](scene)
        print(f" {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return rows


def render(rows: list[Row], described: dict[str, str], scene: Scene) -> str:
    machine_line = "; ".join(f"{name} {what}" for name, what in described.items())
    lines = [
        "| what | ours | beside | ratio: median (range) | goal | verdict |",
        "|---|---|---|---|---|---|",
        *[render_row(row) for row in rows],
        "",
        f"Machine: {machine_line}.",
        f"{scene.scale.rounds} rounds a row ({scene.scale.small_rounds} for small saves), "
        f"contenders in turns, medians. fio: {fio.LINE}.",
    ]
    return "\n".join(lines) + "\n"


def render_row(row: Row) -> str:
    beside = "; ".join(f"{series.name} {series}" for series in row.beside)
    low, high = min(row.ratios), max(row.ratios)
    ratio = f"{row.ratio_of} {row.median:.3g} ({low:.3g} to {high:.3g})"
    goal = "" if row.goal is None else str(row.goal)
    return f"| {row.what} | {row.ours} | {beside} | {ratio} | {goal} | {row.verdict} |"


def to_json(rows: list[Row], described: dict[str, str], scene: Scene) -> str:
    table = [{**asdict(row), "median": row.median, "verdict": row.verdict} for row in rows]
    whole = {"machine": described, "scale": asdict(scene.scale), "rows": table}
    return json.dumps(whole, indent=1) + "\n"


if __name__ == "__main__":
    main()
