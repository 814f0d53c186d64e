#!/usr/bin/env python3
"""Runs every test that needs a GPU and writes what came of it: `make test-gpu`.

    tests/gpu/run.py [--build build/release] [--out build]

Without a device nothing is run, which is said, and the exit code is 0. With one it is 0 when tests
ran and none failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import gpu_report

ROOT = Path(__file__).resolve().parents[2]
Outcome = dict[str, Any]  # test, outcome ("passed", "failed", "skipped"), seconds


def run_program(program: Path, folder: Path) -> list[Outcome]:
    """A GoogleTest program's tests; one that is not there, or dies, has failed."""
    result = folder / "program.json"
    if program.exists():
        subprocess.run([program, f"--gtest_output=json:{result}"], check=False)
    if not result.exists():
        return [outcome(program.name, "failed", 0.0)]
    suites = json.loads(result.read_text())["testsuites"]
    return [
        outcome(f"{suite['name']}.{test['name']}", program_outcome(test), float(test["time"][:-1]))
        for suite in suites
        for test in suite["testsuite"]
    ]


def program_outcome(test: dict[str, Any]) -> str:
    if "failures" in test:
        return "failed"
    return "skipped" if test["result"] == "SKIPPED" else "passed"


def run_pytest(tests: Path, folder: Path) -> list[Outcome]:
    result = folder / "pytest.xml"
    command = [sys.executable, "-m", "pytest", "-q", str(tests), f"--junitxml={result}"]
    subprocess.run(command, check=False, cwd=ROOT)
    if not result.exists():
        return [outcome(tests.name, "failed", 0.0)]
    return [
        outcome(case.get("name", "?"), outcome_of(case), float(case.get("time", 0)))
        for case in ElementTree.parse(result).iter("testcase")
    ]


def outcome_of(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def outcome(test: str, result: str, seconds: float) -> Outcome:
    return {"test": test, "outcome": result, "seconds": round(seconds, 3)}


def verdict(outcomes: list[Outcome]) -> str | None:
    """Why the run failed, where a device is visible; None where it did not."""
    counts = {name: 0 for name in ("passed", "failed", "skipped")}
    for one in outcomes:
        counts[one["outcome"]] += 1
    if counts["failed"]:
        return f"{counts['failed']} failed"
    if not counts["passed"]:
        return f"a device is visible, and no GPU test ran ({counts['skipped']} were skipped)"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release")
    parser.add_argument("--out", type=Path, default=ROOT / "build")
    args = parser.parse_args()
    if not gpu_report.is_device_visible():
        print("test-gpu: no GPU is visible: nothing was run")
        return
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run_program(args.build / "tests" / "test_gpu_kernels", Path(folder))
        outcomes += run_pytest(ROOT / "tests" / "gpu", Path(folder))
    described = gpu_report.describe(args.out)
    print(gpu_report.write(args.out, described, "tests", outcomes), end="")
    reason = verdict(outcomes)
    if reason is not None:
        raise SystemExit(f"test-gpu: {reason}")


if __name__ == "__main__":
    main()
