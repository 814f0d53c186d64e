"""Where the system refuses memory, threads or room on the disk: an error, and nothing is left."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from program import COMMAND, ENDINGS, IO_ERROR, MIB, OK, names, run_command

STEP_MIB = 8 if os.environ.get("TINTYPE_FULL") else 40
LIMITS_MIB = [*range(16, 400, STEP_MIB), 8192]
TIB_IN_MIB = 1 << 20


def at_most(size_mib: int) -> Callable[[], None]:
    """As `ulimit -v` does."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (size_mib * MIB, size_mib * MIB))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    return limit


@pytest.fixture
def folder(tmp_path: Path, original: Path) -> Path:
    """A checkpoint in every form."""
    if run_command("--version", preexec_fn=at_most(LIMITS_MIB[0])).returncode != OK:
        pytest.skip("this build needs more address space to start, as with a sanitizer")
    shutil.copy(original, tmp_path / "a.pth")
    for form, ending in ENDINGS.items():
        done = run_command("compress", "--form", form, "a.pth", cwd=tmp_path)
        assert done.returncode == OK and (tmp_path / f"a.pth{ending}").is_file()
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "compress -T 4 a.pth -o new.ttz",
        "compress -T 4 a.pth -o new.zst",
        "compress -T 4 -19 a.pth -o new.zst",
        "decompress -T 4 a.pth.ttz -o new.pth",
        "decompress -T 4 a.pth.zst -o new.pth",
        "verify -T 4 a.pth.ttz",
        "bench -s 16 -r 1 .",
    ],
)
def test_too_little_memory_is_an_error_that_leaves_nothing(folder: Path, words: str) -> None:
    before = names(folder)
    outcomes = []
    for size_mib in LIMITS_MIB:
        done = run_command(*words.split(), cwd=folder, preexec_fn=at_most(size_mib))
        outcomes.append(done.returncode)
        if done.returncode == OK:
            for made in folder.glob("new.*"):
                made.unlink()
        else:
            assert done.returncode == IO_ERROR, (size_mib, done.stderr)
            assert "ENOMEM" in done.stderr or "EAGAIN" in done.stderr, (size_mib, done.stderr)
        assert names(folder) == before, size_mib
    assert outcomes[0] == IO_ERROR and outcomes[-1] == OK


def on_tmpfs(size: str, script: str) -> subprocess.CompletedProcess[str]:
    """Runs the script in a new file system of that size, which ends with it."""
    mount = f"mount -t tmpfs -o size={size} tmpfs /mnt && cd /mnt && "
    unshared = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    probe = subprocess.run([*unshared, mount + "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"no file system of its own can be mounted here: {probe.stderr.strip()}")
    return subprocess.run([*unshared, mount + script], capture_output=True, text=True, timeout=60)


def test_bench_looks_for_room_on_the_disk_before_it_writes() -> None:
    done = on_tmpfs("6m", f"'{COMMAND}' bench -s 2; echo code $?; ls -A")
    assert done.stdout.split() == ["code", str(IO_ERROR)]
    assert "6 MiB free, and this needs 8 MiB" in done.stderr and "ENOSPC" in done.stderr
    done = on_tmpfs("9m", f"'{COMMAND}' bench -s 2 -r 1 >&2; echo code $?; ls -A")
    assert done.stdout.split() == ["code", str(OK)], done.stderr


def test_an_input_that_cannot_be_removed_stays_and_so_does_the_output(original: Path) -> None:
    read_only = (
        f"mkdir in && cp '{original}' in/x.pth && mount --bind in in && mount -o remount,ro,bind in"
    )
    done = on_tmpfs(
        "64m",
        f"{read_only} && '{COMMAND}' compress --rm in/x.pth -o y.ttz; echo code $?; ls in y.ttz",
    )
    assert done.stdout.split() == ["code", str(IO_ERROR), "y.ttz", "in:", "x.pth"], done.stderr
    assert "x.pth'" in done.stderr and "EROFS" in done.stderr


def test_bench_looks_for_memory_before_it_takes_it() -> None:
    done = on_tmpfs("8t", f"'{COMMAND}' bench -s {TIB_IN_MIB}; echo code $?; ls -A")
    assert done.stdout.split() == ["code", str(IO_ERROR)]
    assert "of memory are available" in done.stderr and "ENOMEM" in done.stderr
    assert "-s N" in done.stderr
