"""Other people's ZIP programs find nothing wrong with our files."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch.utils.serialization import config

import tintype
from objects import NATIVE

STATES = {
    "training": lambda: [NATIVE["model_state_dict"](), NATIVE["adamw_after_a_step"]()],
    "no tensor": lambda: {"epoch": 3},
    "empty tensors": NATIVE["zero_size"],
    "signatures in payloads": NATIVE["zip_signatures_in_payloads"],
    "many records": lambda: [torch.full((2,), i) for i in range(300)],
}
# Each tests every CRC, and exits with 0 only where nothing is wrong.
PROGRAMS = {
    "unzip": ["unzip", "-tqq"],
    "bsdtar": ["bsdtar", "-xOf"],
    "7zz": ["7zz", "t", "-bd"],
}


def write(folder: Path, name: str, alignment: int) -> Path:
    path = folder / "x.pth"
    with config.patch({"save.storage_alignment": alignment}):
        tintype.save(STATES[name](), path)
    return path


def run(program: str, path: Path) -> subprocess.CompletedProcess[bytes]:
    command = PROGRAMS[program]
    assert shutil.which(command[0]), f"{command[0]} is missing: make setup"
    return subprocess.run([*command, path], capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize("alignment", [64, 4096, 32768])
@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_finds_nothing_wrong(
    tmp_path: Path, program: str, name: str, alignment: int
) -> None:
    done = run(program, write(tmp_path, name, alignment))
    assert done.returncode == 0, (done.stdout[-500:], done.stderr[-500:])
    assert done.stderr == b""


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_sees_a_flipped_bit(tmp_path: Path, program: str) -> None:
    path = write(tmp_path, "training", 64)
    content = bytearray(path.read_bytes())
    content[torch._C.PyTorchFileReader(str(path)).get_record_offset("data/0")] ^= 1
    path.write_bytes(content)
    assert run(program, path).returncode != 0


@pytest.mark.parametrize("alignment", [64, 4096, 32768])
@pytest.mark.parametrize("name", STATES)
def test_pythons_zipfile_finds_nothing_wrong(tmp_path: Path, name: str, alignment: int) -> None:
    with zipfile.ZipFile(write(tmp_path, name, alignment)) as archive:
        assert archive.testzip() is None
        assert all(entry.CRC != 0 or entry.file_size == 0 for entry in archive.infolist())
        assert archive.read("archive/version") == b"3\n"
        assert archive.read("archive/byteorder") == sys.byteorder.encode()
