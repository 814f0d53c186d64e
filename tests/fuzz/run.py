#!/usr/bin/env python3
"""Runs the fuzz targets of build/fuzz by libFuzzer, one after the other, and counts.

    tests/fuzz/run.py [--runs N] [--seconds S] [--seed N] [TARGET...]

New inputs that reach new code stay in build/fuzz/corpus and are where the next run goes on; the
tracked corpus is only read. An input that crashes, leaks, takes too long or too much memory is kept
in build/fuzz/findings, and the run fails.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRACKED = ROOT / "tests/fuzz/corpus"
BUILD = ROOT / "build/fuzz"
PROGRAMS = BUILD / "tests/fuzz"

INPUT_TIMEOUT_S = 10
PROCESS_MIB_MAX = 2048  # with the sanitizer's own
ALLOCATION_MIB_MAX = 64
INPUT_BYTES_MAX = {"checkpoint": 16384, "frame_index": 4096, "planes": 16384}
# Parts of a hundred of all executions: by how fast a target is, so that each gets about its time.
SHARES = {
    "checkpoint": 4,
    "checkpoint_index": 7,
    "frame_index": 35,
    "pickle": 11,
    "planes": 15,
    "zip": 18,
    "zstd": 10,
}
ENVIRONMENT = {
    "ASAN_OPTIONS": "malloc_context_size=4:quarantine_size_mb=8",
    "ASAN_SYMBOLIZER_PATH": "/usr/bin/llvm-symbolizer-14",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


@dataclass
class Outcome:
    target: str
    return_code: int
    stats: dict[str, int]  # as -print_final_stats names them
    coverage: int  # edges

    @property
    def executions(self) -> int:
        return self.stats.get("number_of_executed_units", 0)

    def cells(self) -> list[str]:
        return [
            self.target,
            f"{self.executions:,}",
            f"{self.stats.get('average_exec_per_sec', 0):,}",
            f"{self.coverage:,}",
            f"{self.stats.get('new_units_added', 0):,}",
            f"{self.stats.get('peak_rss_mb', 0):,}",
            f"{self.stats.get('slowest_unit_time_sec', 0)}",
            "ok" if self.return_code == 0 else f"FAILED ({self.return_code})",
        ]


COLUMNS = ["target", "executions", "per s", "edges", "new inputs", "MiB", "slowest s", "result"]


def run_target(target: str, arguments: argparse.Namespace) -> Outcome:
    corpus, log = BUILD / "corpus" / target, BUILD / "logs" / f"{target}.log"
    findings = BUILD / "findings"
    for folder in (corpus, log.parent, findings):
        folder.mkdir(parents=True, exist_ok=True)
    command = [
        PROGRAMS / f"fuzz_{target}",
        f"-runs={arguments.runs * SHARES[target] // 100}",
        f"-max_total_time={arguments.seconds}",
        f"-seed={arguments.seed}",
        "-entropic=0",  # reaches as much in as many executions, and takes less time
        f"-timeout={INPUT_TIMEOUT_S}",
        f"-rss_limit_mb={PROCESS_MIB_MAX}",
        f"-malloc_limit_mb={ALLOCATION_MIB_MAX}",
        f"-max_len={INPUT_BYTES_MAX.get(target, 8192)}",
        f"-artifact_prefix={findings}/{target}-",
        "-print_final_stats=1",
        corpus,
        TRACKED / target,
    ]
    with log.open("w") as output:
        done = subprocess.run(
            command, stdout=output, stderr=output, env=ENVIRONMENT | os.environ, check=False
        )
    return read_outcome(target, done.returncode, log.read_text(errors="replace"))


def read_outcome(target: str, return_code: int, log: str) -> Outcome:
    stats = {name: int(value) for name, value in re.findall(r"stat::(\w+):\s+(\d+)", log)}
    edges = [int(count) for count in re.findall(r"\bcov: (\d+)", log)]
    return Outcome(target, return_code, stats, max(edges, default=0))


def table(outcomes: list[Outcome]) -> str:
    rows = [COLUMNS, ["---"] * len(COLUMNS), *(outcome.cells() for outcome in outcomes)]
    rows.append(["all", f"{sum(outcome.executions for outcome in outcomes):,}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", default=list(SHARES))
    parser.add_argument("--runs", type=int, default=10_000_000, help="executions of all targets")
    parser.add_argument("--seconds", type=int, default=0, help="limit a target; 0: none")
    parser.add_argument("--seed", type=int, default=0, help="0: another each time")
    arguments = parser.parse_args()
    outcomes = []
    for target in arguments.targets:
        outcomes.append(run_target(target, arguments))
        print("fuzz:", *outcomes[-1].cells()[:2], outcomes[-1].cells()[-1], flush=True)
    print(table(outcomes))
    failed = [outcome.target for outcome in outcomes if outcome.return_code != 0]
    if failed:
        print(f"fuzz: see build/fuzz/findings and build/fuzz/logs: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
