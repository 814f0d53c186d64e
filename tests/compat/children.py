"""Programs that tests run, kill and interrupt."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

COMMON = """
import os, sys
sys.path.insert(0, {here!r})
import torch
torch.set_num_threads(1)
import tintype
from states import numbered_state, renumber
"""


def source_of(code: str) -> str:
    return COMMON.format(here=str(Path(__file__).parent)) + textwrap.dedent(code)


def start(code: str, *arguments: object, stdin: int | None = None) -> subprocess.Popen[str]:
    """Runs ``code`` after COMMON, its stdout a pipe, ``arguments`` in sys.argv[1:]."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", source_of(code), *map(str, arguments)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(code: str, *arguments: object, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs ``code`` to its end, whatever its exit code."""
    return subprocess.run(
        [sys.executable, "-u", "-c", source_of(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def answers(process: subprocess.CompletedProcess[str]) -> Mapping[str, str]:
    """The child's ``key=value`` lines."""
    pairs = (line.split("=", 1) for line in process.stdout.splitlines() if "=" in line)
    return {key: value for key, value in pairs}
