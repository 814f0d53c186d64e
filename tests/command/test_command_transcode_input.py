"""What ``tintype compress`` and ``decompress`` leave of their input."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from program import OK, USAGE, run_command

# --- one file as input and output ---


def write_compressed(folder: Path, original: Path, name: str) -> None:
    assert run_command("compress", original, "-o", folder / "made.ttz").returncode == OK
    (folder / "made.ttz").rename(folder / name)


def make_compressed_under_a_plain_name(folder: Path, original: Path) -> None:
    write_compressed(folder, original, "best.pth")


def make_output_a_symlink_to_a_plain_input(folder: Path, original: Path) -> None:
    shutil.copy(original, folder / "a.pth")
    (folder / "a.pth.ttz").symlink_to("a.pth")


def make_output_a_symlink_to_a_compressed_input(folder: Path, original: Path) -> None:
    write_compressed(folder, original, "x.pth.ttz")
    (folder / "x.pth").symlink_to("x.pth.ttz")


def make_both_hard_links(folder: Path, original: Path) -> None:
    shutil.copy(original, folder / "a.pth")
    (folder / "a.pth.ttz").hardlink_to(folder / "a.pth")


def make_input_a_symlink_to_the_output(folder: Path, original: Path) -> None:
    write_compressed(folder, original, "best.pth")
    (folder / "link.pth.ttz").symlink_to("best.pth")


def state_of(folder: Path) -> dict[str, tuple[int, str | bytes]]:
    """Of each name the inode, and where it leads or what it holds."""
    return {
        path.name: (
            path.lstat().st_ino,
            os.readlink(path) if path.is_symlink() else path.read_bytes(),
        )
        for path in folder.iterdir()
    }


@pytest.mark.parametrize("options", [[], ["-f"], ["-f", "--rm"]], ids=" ".join)
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_compressed_under_a_plain_name, ["decompress", "-o", "best.pth", "best.pth"]),
        (make_compressed_under_a_plain_name, ["decompress", "-o", "../run/best.pth", "best.pth"]),
        (make_output_a_symlink_to_a_plain_input, ["compress", "a.pth"]),
        (make_output_a_symlink_to_a_compressed_input, ["decompress", "x.pth.ttz"]),
        (make_both_hard_links, ["compress", "a.pth"]),
        (make_input_a_symlink_to_the_output, ["decompress", "link.pth.ttz", "-o", "best.pth"]),
    ],
    ids=["name", "spelling", "link_to_plain", "link_to_compressed", "hard_links", "input_is_link"],
)
def test_one_file_cannot_be_input_and_output(
    tmp_path: Path,
    original: Path,
    make: Callable[[Path, Path], None],
    words: list[str],
    options: list[str],
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    make(folder, original)
    before = state_of(folder)
    done = run_command(*words, *options, cwd=folder)
    assert done.returncode == USAGE, done.stdout + done.stderr
    assert "input and output are the same file" in done.stderr
    assert state_of(folder) == before
