"""Texts of errors: the file is named, and only once, whatever is wrong and whoever finds it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tintype

SUFFIXES = (".pth", ".pth.ttz", ".pth.zst")


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 0xFF
    return bytes(changed)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) * 2 // 3],
    "beginning": lambda content: content[:300],
    "nothing": lambda content: b"",
    "garbage": lambda content: b"garbage" * 1000,
    "first header": lambda content: flipped(content, 40),
    "an extent": lambda content: flipped(content, 5000),
    "middle": lambda content: flipped(content, len(content) // 2),
    "end": lambda content: flipped(content, len(content) - 30),
}


def read_all(path: Path) -> None:
    archive = tintype.inspect(path)
    for name in archive.tensors:
        archive.read(name)


READERS: dict[str, Callable[[Path], object]] = {
    "load": tintype.load,
    "load unverified": lambda path: tintype.load(path, verify=False),
    "load in parts": lambda path: tintype.load(path, keys="model/w"),
    "open": lambda path: torch.load(tintype.open(path), weights_only=True),
    "inspect": read_all,
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_told_of_one_file(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"x{suffix}"
    tintype.save({"model": {"w": torch.arange(400_000.0).sin()}}, path)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    found = []
    for name, read in READERS.items():
        try:
            read(path)
        except tintype.CorruptCheckpointError as error:
            assert str(error).count(str(path)) == 1, f"{name}: {error}"
            found.append(name)
    assert {"load", "load in parts", "inspect"} <= set(found)
    report = tintype.verify(path)
    assert not report.ok and report.summary.count(str(path)) == 1
    assert str(report).count(report.remedy) == 1


@pytest.mark.parametrize("name", ["missing.pth", "folder", "loop.pth", "no/x.pth", "pipe"])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.symlink(tmp_path / "loop.pth", tmp_path / "loop.pth")
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / name
    for read in (*READERS.values(), tintype.verify):
        with pytest.raises(tintype.TintypeError) as caught:
            read(path)
        assert str(caught.value).count(str(path)) == 1


@pytest.mark.parametrize("name", ["folder", "loop.pth", "no/x.pth", "pipe", "x" * 300 + ".pth"])
def test_where_nothing_can_be_saved_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.symlink(tmp_path / "loop.pth", tmp_path / "loop.pth")
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / name
    for form in (".ttz", "") if name.endswith("x.pth") else ("",):
        with pytest.raises(tintype.TintypeError) as caught:
            tintype.save({"x": 1}, f"{path}{form}")
        assert str(caught.value).count(str(path)) == 1
