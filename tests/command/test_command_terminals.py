"""``tintype compress`` and ``decompress`` on a terminal: neither fed to it nor waited for there."""

from __future__ import annotations

import os
import pty
import subprocess
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from program import COMMAND, OK, USAGE, names, pipe


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.arange(100.0)}, path)
    return path


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Our end, and the program's, which passes all bytes on as they are."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("words", [["-c"], ["-o", "-"], ["--stdout"]], ids=" ".join)
@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_data_to_a_terminal_is_refused(
    small: Path, terminal: tuple[int, int], command: str, words: list[str]
) -> None:
    ours, theirs = terminal
    source = small if command == "compress" else small.with_name("a.pth.ttz")
    if command == "decompress":
        source.write_bytes(pipe("compress", "-c", small, data=b"").stdout)
    done = subprocess.run(
        [COMMAND, command, *words, source],
        stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == USAGE
    assert done.stderr == ("tintype: standard output is a terminal; name a file, or insist by -f\n")
    os.set_blocking(ours, False)
    with pytest.raises(BlockingIOError):
        os.read(ours, 1)


def test_data_to_a_terminal_may_be_insisted_on(small: Path, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    wanted = pipe("compress", "-c", small, data=b"").stdout
    with subprocess.Popen(
        [COMMAND, "compress", "-c", "-f", small], stdout=theirs, stderr=subprocess.PIPE
    ) as process:
        got = b""
        while len(got) < len(wanted):
            got += os.read(ours, 1 << 16)
        assert process.wait(60) == OK
    assert got == wanted


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_a_terminal_is_no_input(tmp_path: Path, terminal: tuple[int, int], command: str) -> None:
    done = subprocess.run(
        [COMMAND, command, "-f", "-", "-o", tmp_path / ("x.zst" if command == "compress" else "x")],
        stdin=terminal[1], capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert done.stderr == "tintype: standard input is a terminal; name a file, or pipe one in\n"
    assert names(tmp_path) == []
