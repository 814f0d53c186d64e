"""The main job of examples/demo.py in its smallest form: one training step an epoch."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

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
