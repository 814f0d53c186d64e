"""`make test-gpu` and `make bench-gpu` without a GPU, and what they make of one's results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
sys.path.insert(0, str(Path(__file__).parents[1] / "gpu"))

import gpu_report

import run as gpu_run

ROOT = Path(__file__).parents[2]
without_gpu = pytest.mark.skipif(
    gpu_report.is_device_visible() or torch.cuda.is_available(), reason="needs no GPU"
)


def run_python(script: str, *options: str) -> str:
    command = [sys.executable, str(ROOT / script), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@without_gpu
def test_without_a_gpu_both_say_so_and_write_nothing(tmp_path: Path) -> None:
    assert "nothing was run" in run_python("tests/gpu/run.py", "--out", str(tmp_path))
    options = ("--out", str(tmp_path), "--dir", str(tmp_path / "data"))
    assert "nothing was measured" in run_python("bench/gpu.py", *options)
    assert list(tmp_path.iterdir()) == []


def test_benchmark_measures_every_row(tmp_path: Path) -> None:
    options = ("--dir", str(tmp_path / "data"), "--out", str(tmp_path))
    lines = run_python("bench/gpu.py", "--quick", "--device", "cpu", *options).splitlines()
    assert [line.split("|")[1].strip()[:12] for line in lines] == [
        "slab, 8 MiB,", "slab, 8 MiB,", "staged, 128 ", "staged, 100 ", "a compute-bo",
        "save_async, ", "save_async, ", "save_async, ",
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


# In a child, as the benchmark's modules have the names of others here.
TIMED_STEP = """
import gpu, pathlib, torch

done = []

class Event:
    def __init__(self, enable_timing):
        assert enable_timing
    def record(self):
        done.append("recorded")
    def synchronize(self):
        done.append("waited for")
    def elapsed_time(self, end):
        return 1500.0

def refuse():
    raise AssertionError("the copies on other streams are waited for")

torch.cuda.Event, torch.cuda.synchronize = Event, refuse
stage = gpu.Stage("cuda", pathlib.Path(), 8 << 20, 1, 1)
print(stage.step_seconds(lambda: done.append("done")), *done, sep=", ")
"""

TIMED_STEPS = """
import gpu, pathlib, tintype

steps = []

class Snapshot:
    def done(self):
        return len(steps) % 10 == 7
    def wait_durable(self):
        assert self.done()

def take(*_):
    steps.append(None)
    return float(len(steps))

tintype.Engine.save_async = lambda *_: Snapshot()
gpu.Stage.step_seconds = take
(row,) = gpu.slowdown(gpu.Stage("cpu", pathlib.Path(), 8 << 20, 1, 1))
print(row.beside[0].values, row.ours.values)
"""


def run_beside_benchmark(code: str) -> str:
    path = os.pathsep.join([str(ROOT / "bench"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def test_a_step_is_timed_on_its_stream_while_copies_go_on() -> None:
    assert run_beside_benchmark(TIMED_STEP) == "1.5, recorded, done, recorded, waited for"


def test_steps_are_timed_for_as_long_as_the_save_goes_on() -> None:
    assert run_beside_benchmark(TIMED_STEPS) == "[5.5] [14.0]"  # of 10 steps, and of 7


def test_a_visible_device_on_which_no_test_ran_is_a_failure() -> None:
    skipped = gpu_run.outcome("a", "skipped", 0.0)
    passed, failed = gpu_run.outcome("b", "passed", 1.0), gpu_run.outcome("c", "failed", 1.0)
    assert "no GPU test ran (1 were skipped)" in str(gpu_run.verdict([skipped]))
    assert "no GPU test ran" in str(gpu_run.verdict([]))
    assert gpu_run.verdict([skipped, passed]) is None
    assert gpu_run.verdict([passed, failed]) == "1 failed"


@without_gpu
def test_outcomes_are_read_from_what_the_tests_say(tmp_path: Path) -> None:
    (gone,) = gpu_run.run_program(tmp_path / "no_such_program", tmp_path)
    assert gone["outcome"] == "failed"
    outcomes = gpu_run.run_pytest(ROOT / "tests" / "gpu", tmp_path)
    assert len(outcomes) >= 10 and {one["outcome"] for one in outcomes} == {"skipped"}
    test = tmp_path / "test_two.py"
    test.write_text("def test_good(): pass\ndef test_bad(): assert False\n")
    assert [one["outcome"] for one in gpu_run.run_pytest(test, tmp_path)] == ["passed", "failed"]


def test_report_keeps_the_other_section_of_the_same_machine(tmp_path: Path) -> None:
    machine = {"GPU": "one", "driver": "580.1"}
    gpu_report.write(tmp_path, machine, "tests", [gpu_run.outcome("a", "passed", 0.5)])
    text = gpu_report.write(tmp_path, machine, "bench", [{"what": "x", "samples": [1, 2]}])
    assert "| a | passed | 0.5 |" in text and "| x |" in text and "samples" not in text
    assert text.endswith("Machine: GPU one; driver 580.1.\n") and (tmp_path / "gpu.md").exists()
    assert json.loads((tmp_path / "gpu.json").read_text())["bench"][0]["samples"] == [1, 2]
    text = gpu_report.write(tmp_path, {"GPU": "other"}, "bench", [{"what": "y"}])
    assert "passed" not in text and "| y |" in text


def test_driver_is_read_from_what_the_kernel_says(tmp_path: Path) -> None:
    file = tmp_path / "version"
    assert gpu_report.driver_version(file) == "unknown"
    file.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release\n")
    assert gpu_report.driver_version(file) == "580.95.05"
