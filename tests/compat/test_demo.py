"""The main job of examples/demo.py in its smallest form: one training step an epoch."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parent.parent.parent / "examples" / "demo.py"


def run_demo(*arguments: str | Path) -> str:
    """Its stdout. One thread of torch: several fight for the cores of a busy machine."""
    process = subprocess.Popen(
        [sys.executable, DEMO, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=270)
    finally:
        if process.returncode is None:  # its training process must not outlive this test
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    return output


WRONG_ARGUMENTS = [
    (["--text", "nowhere.txt"], "nowhere.txt: No such file or directory"),
    (["--text", "."], ".: Is a directory"),
    (
        ["--text", "own/kept.txt"],
        "--text own/kept.txt is too short: 4 characters, 1024 are needed",
    ),
    (["--device", "cuda"], "--device cuda: torch finds no CUDA device here"),
    (["--steps", "3"], "--steps must be at least 4, one for each epoch"),
    (["--logdir", "own"], "--logdir own is not empty and not of a demo: give another one"),
    (["--logdir", "own/kept.txt"], "own/kept.txt: File exists"),
]


@pytest.mark.parametrize(
    "arguments, text", WRONG_ARGUMENTS, ids=[" ".join(c[0]) for c in WRONG_ARGUMENTS]
)
def test_wrong_arguments_are_usage_errors_and_nothing_is_erased(
    tmp_path: Path, arguments: list[str], text: str
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "kept.txt").write_text("mine")
    done = subprocess.run(
        [sys.executable, DEMO, *arguments],
        cwd=tmp_path,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.endswith(f"demo.py: error: {text}\n"), done.stderr
    assert [p.name for p in tmp_path.rglob("*")] == ["own", "kept.txt"]


def test_steps_are_rounded_down_and_only_an_earlier_demo_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(DEMO.parent)
    demo = importlib.import_module("demo")
    logdir = tmp_path / "new" / "run"
    monkeypatch.setattr(sys, "argv", ["demo.py", "--steps", "7", "--logdir", str(logdir)])
    assert demo.parse_arguments().steps == 4
    (logdir / "killed" / "checkpoints").mkdir(parents=True)
    (logdir / "notes.txt").write_text("mine")
    demo.parse_arguments()
    assert sorted(os.listdir(logdir)) == [demo.MARK, "notes.txt"]


def test_an_interrupt_ends_the_demo_and_its_training_in_one_line(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, DEMO, "--steps", "4"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    while not process.stdout.readline().startswith("  epoch 1"):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == ("demo: interrupted; demo-run may be deleted, `make demo` starts afresh\n")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    shutil.rmtree(tmp_path / "demo-run")


def test_demo_is_killed_resumes_and_ends_with_equal_losses(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(chr(97 + i * i % 23) for i in range(2000)), encoding="utf-8")
    output = run_demo("--steps", "4", "--text", text, "--logdir", tmp_path / "run")
    killed = re.search(r"killed by SIGKILL with (\d+)% of epoch 3's bytes written", output)
    assert killed is not None and 10 <= int(killed[1]) <= 90
    assert output.count("1 losses equal the undisturbed run's") == 2
    assert "same losses to the last digit" in output
    print(output.splitlines()[-1])
    shutil.rmtree(tmp_path / "run")  # more than a gigabyte, which pytest would keep
