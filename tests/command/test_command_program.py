"""The program as a whole: help, usage, streams, start-up, what it links."""

from __future__ import annotations

import os
import pty
import statistics
import subprocess
import time
from pathlib import Path

import pytest
import torch

import tintype
from program import COMMAND, IO_ERROR, OK, REPOSITORY, USAGE, run_command

SUBCOMMANDS = [
    "inspect",
    "verify",
    "compress",
    "decompress",
    "diff",
    "ls",
    "clean",
    "doctor",
    "bench",
    "completions",
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "model.pth"
    torch.save({f"layer{i}.weight": torch.ones(4) for i in range(2000)}, path)
    return path


@pytest.mark.parametrize("words", [[], *([name] for name in SUBCOMMANDS)])
def test_help_shows_examples_before_options(words: list[str]) -> None:
    done = run_command(*words, "--help")
    assert done.returncode == OK
    assert done.stderr == ""
    text = done.stdout
    assert 0 <= text.index("Examples:") < text.index("Usage:") < text.index("Options:")


def test_version_names_what_was_built_in() -> None:
    done = run_command("--version")
    assert done.returncode == OK
    lines = done.stdout.splitlines()
    version = next(
        line.split('"')[1]
        for line in (REPOSITORY / "pyproject.toml").read_text().splitlines()
        if line.startswith("version")
    )
    assert lines[0] == f"tintype {version}"
    assert "io_uring: yes" in lines
    has_cuda = tintype._tintype.is_built_with_cuda()
    assert f"cuda: {'in the Python extension' if has_cuda else 'no'}" in lines


@pytest.mark.parametrize(
    "words, text",
    [
        ([], "no command was given"),
        (["nonsense"], "there is no command 'nonsense'; see `tintype --help`"),
        (["--nonsense"], "there is no option '--nonsense'; see `tintype --help`"),
        (["inspect"], "FILE is required; see `tintype inspect --help`"),
        (["inspect", "a", "b"], "b; see `tintype inspect --help`"),
        (["inspect", "--nonsense", "x"], "'--nonsense'; see `tintype inspect --help`"),
        (["verify", "--bogus=1"], "there is no option '--bogus'; see `tintype verify --help`"),
        (["verify", "--thraeds", "1", "x"], "there is no option '--thraeds'; is it '--threads'?"),
        (["verify", "-qx", "y"], "there is no option '-qx'; see `tintype verify --help`"),
        (["verify", "-1", "x"], "there is no option '-1'; see `tintype verify --help`"),
        (["compress", "-f19", "x"], "there is no option '-f19'; see `tintype compress --help`"),
        (["compress", "-100", "x"], "there is no option '-100'"),
        (["compress", "-T8f", "x"], "8f"),
        (["verify"], "FILE is required; see `tintype verify --help`"),
        (["verify", "--threads", "minus", "x"], "minus"),
        (["verify", "--threads", "-1", "x"], "-1"),
        (["diff", "a"], "SECOND is required; see `tintype diff --help`"),
        (["diff", "--rtol", "nan", "a", "b"], "'nan' is no number from 0 on"),
        (["compress", "-T", "-1", "a"], "Value -1 not in range"),
        (["compress", ""], "the name of an input is empty"),
        (["compress", "-c", "a", "b"], "cannot take several files of the planes form"),
        (["ls"], "LOGDIR is required; see `tintype ls --help`"),
        (["doctor", "a", "b"], "b; see `tintype doctor --help`"),
    ],
)
def test_wrong_usage_ends_with_2_and_an_empty_stdout(words: list[str], text: str) -> None:
    done = run_command(*words)
    assert done.returncode == USAGE
    assert done.stdout == ""
    assert done.stderr.startswith("tintype: ") and text in done.stderr.splitlines()[0]


def test_a_mistyped_command_gets_a_suggestion() -> None:
    done = run_command("verfiy", "x.pth")
    assert done.returncode == USAGE
    assert "is it 'verify'?" in done.stderr


def test_the_list_of_commands_has_a_line_for_each() -> None:
    lines = run_command("--help").stdout.splitlines()
    listed = lines[lines.index("Subcommands:") + 1 :][: len(SUBCOMMANDS)]
    assert [line.split()[0] for line in listed] == SUBCOMMANDS


@pytest.mark.parametrize("words", [["inspect"], ["inspect", "--json"], ["verify"]])
def test_a_reader_that_goes_away_is_no_failure(checkpoint: Path, words: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = run_command(
        *words, checkpoint, capture_output=False, stdout=write_end, stderr=subprocess.PIPE
    )
    os.close(write_end)
    assert done.returncode == OK
    assert done.stderr == ""


@pytest.mark.parametrize("word", ["inspect", "--version", "--help"])
def test_a_full_disk_under_stdout_ends_with_5(checkpoint: Path, word: str) -> None:
    words = (word, checkpoint) if word == "inspect" else (word,)
    with open("/dev/full", "wb") as full:
        done = run_command(*words, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == IO_ERROR
    assert "standard output" in done.stderr
    assert "ENOSPC" in done.stderr


def test_a_closed_stdout_ends_with_5_and_harms_no_file(checkpoint: Path) -> None:
    before = checkpoint.read_bytes()
    shell = f'"{COMMAND}" inspect "{checkpoint}" >&-'
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True)
    assert done.returncode == IO_ERROR
    assert "EBADF" in done.stderr
    assert checkpoint.read_bytes() == before


def run_on_terminal(*words: object, **variables: str) -> str:
    primary, secondary = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | variables
    with subprocess.Popen(
        [str(COMMAND), *map(str, words)], stdout=secondary, stderr=secondary, env=environment
    ) as process:
        os.close(secondary)
        output = b""
        while True:
            try:
                chunk = os.read(primary, 65536)
            except OSError:  # EIO: the other end is closed
                break
            output += chunk
        os.close(primary)
        assert process.wait(60) == OK
    return output.decode()


def test_colour_is_for_terminals_that_want_it(tmp_path: Path) -> None:
    assert "\x1b[32m" in run_on_terminal("doctor", tmp_path, TERM="xterm")
    assert "\x1b[" not in run_on_terminal("doctor", tmp_path, TERM="xterm", NO_COLOR="1")
    assert "\x1b[" not in run_on_terminal("doctor", tmp_path, TERM="dumb")
    assert "\x1b" not in run_command("doctor", tmp_path).stdout


def test_progress_is_for_terminals(checkpoint: Path) -> None:
    assert "verifying 1 of 1" in run_on_terminal("verify", checkpoint, TERM="xterm")
    assert run_command("verify", checkpoint).stderr == ""


def test_neither_torch_nor_cuda_nor_python_is_linked() -> None:
    listed = subprocess.run(["ldd", COMMAND], capture_output=True, text=True, check=True).stdout
    assert "libc.so" in listed
    for library in ("torch", "c10", "cuda", "python"):
        assert library not in listed


def test_it_starts_at_once(checkpoint: Path) -> None:
    """Printed, not asserted: a loaded machine is no failure."""

    def seconds() -> float:
        start = time.perf_counter()
        run_command("--version")
        return time.perf_counter() - start

    print(f"start-up: median {statistics.median(seconds() for _ in range(11)) * 1e3:.1f} ms")


@pytest.mark.parametrize("words", [["inspect", "-"], ["verify", "-"], ["diff", "-", "model.pth"]])
def test_what_reads_files_at_any_place_refuses_standard_input(
    checkpoint: Path, words: list[str]
) -> None:
    with checkpoint.open("rb") as stream:
        done = run_command(*words, cwd=checkpoint.parent, stdin=stream)
    assert done.returncode == USAGE and done.stdout == ""
    assert "reads files only" in done.stderr and "save the stream to a file first" in done.stderr
    folder = checkpoint.parent / words[0]
    folder.mkdir()
    (folder / "-").write_bytes(checkpoint.read_bytes())
    (folder / "model.pth").write_bytes(checkpoint.read_bytes())
    by_path = ["./-" if word == "-" else word for word in words]
    assert run_command(*by_path, cwd=folder).returncode == OK
