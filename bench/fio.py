"""fio's line: what the disk gives to a program that does nothing but I/O.

New file, native fallocate, O_DIRECT, io_uring, 4 MiB blocks, depth 16, one fsync at the end, which
is inside fio's clock; making the file and allocating its blocks is not.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path

LINE = "O_DIRECT, io_uring, 4 MiB, depth 16, fallocate, end_fsync"


def write_seconds(path: Path, size_bytes: int) -> float:
    """Seconds for `size_bytes` into a new file at `path`, durable; the file is left behind."""
    path.unlink(missing_ok=True)
    options = ["--rw=write", "--fallocate=native", "--end_fsync=1", f"--size={size_bytes}"]
    return _run(path, "write", options)


def read_seconds(path: Path) -> float:
    """Seconds to read all of `path` past the page cache. Whole blocks of 4 KiB are read."""
    size_bytes = path.stat().st_size // 4096 * 4096
    return _run(path, "read", ["--rw=read", "--readonly", f"--size={size_bytes}"])


def _run(path: Path, direction: str, options: list[str]) -> float:
    """Seconds, by fio's clock of milliseconds; less than one counts as one."""
    command = [_program(), "--name=line", f"--filename={path}", "--bs=4M", "--iodepth=16"]
    command += [f"--ioengine={_engine()}", "--direct=1", "--output-format=json", *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SystemExit(f"fio failed: {result.stderr.strip() or result.stdout.strip()}")
    report = json.loads(result.stdout[result.stdout.index("{") :])  # behind warnings
    return max(1, int(report["jobs"][0][direction]["runtime"])) / 1e3


@functools.cache
def _program() -> str:
    program = shutil.which("fio")
    if program is None:
        raise SystemExit("fio is not installed: run `make setup`, or `apt-get install fio`")
    return program


@functools.cache
def _engine() -> str:
    """io_uring, or libaio where a sandbox blocks it."""
    probe = [_program(), "--name=probe", "--ioengine=io_uring", "--rw=write", "--size=4k"]
    probe += ["--filename=/dev/null", "--output-format=json"]
    works = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    return "io_uring" if works else "libaio"
