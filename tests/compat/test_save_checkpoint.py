"""``save_checkpoint`` and ``load_checkpoint``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import tintype
from checkpoint_jobs import make_parts
from reading_support import equal


def test_save_makes_the_directory_and_returns_the_path(tmp_path: Path) -> None:
    checkpoint = tintype.pack_checkpoint(make_parts()["model"], epoch=1)
    path = tintype.save_checkpoint(checkpoint, logdir=f"{tmp_path}/a/b/", suffix="train.1")
    assert path == f"{tmp_path}/a/b/train.1.pth"
    assert os.listdir(tmp_path / "a" / "b") == ["train.1.pth"]
    loaded = torch.load(path, weights_only=True)
    assert equal(loaded, checkpoint)


def test_save_by_path(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    assert tintype.save_checkpoint({"a": 1}, path=path) == str(path)
    assert tintype.load_checkpoint(path) == {"a": 1}
    with pytest.raises(FileNotFoundError, match="create the directory"):
        tintype.save_checkpoint({"a": 1}, path=tmp_path / "no" / "x.pth")


def is_sharing_blocks(first: Path, second: Path) -> bool:
    """One inode, or a reflink, which no system call of Python tells from a copy."""
    return first.stat().st_ino == second.stat().st_ino or can_reflink(first.parent)


def can_reflink(folder: Path) -> bool:
    import fcntl

    ficlone = 0x40049409
    with open(folder / ".a", "w+b") as a, open(folder / ".b", "w+b") as b:
        a.write(b"x" * 4096)
        a.flush()
        try:
            fcntl.ioctl(b, ficlone, a.fileno())
            return True
        except OSError:
            return False
        finally:
            os.unlink(folder / ".a")
            os.unlink(folder / ".b")


def test_best_and_last_are_links_that_later_saves_do_not_change(tmp_path: Path) -> None:
    numbered, best, last = (tmp_path / f"{n}_full.pth" for n in ("train.1", "best", "last"))
    save = tintype.save_checkpoint
    for content in (0, 1):
        save({"a": content}, tmp_path, "train.1_full", True, True, special_suffix="_full")
    assert is_sharing_blocks(numbered, best) and is_sharing_blocks(numbered, last)
    assert sorted(os.listdir(tmp_path)) == ["best_full.pth", "last_full.pth", "train.1_full.pth"]
    save({"a": 2}, tmp_path, "train.1_full", is_last=True, special_suffix="_full")
    found = [tintype.load_checkpoint(path)["a"] for path in (numbered, best, last)]
    assert found == [2, 1, 2]


def test_a_saver_of_the_users_gets_copies(tmp_path: Path) -> None:
    calls = []

    def saver(obj: object, path: str) -> None:
        calls.append(path)
        torch.save(obj, path)

    for content in (1, 2):
        path = tintype.save_checkpoint(
            {"a": content}, tmp_path, "x", is_best=content == 1, is_last=True, saver_fn=saver
        )
    assert calls == [path, path]
    found = {n: tintype.load_checkpoint(tmp_path / f"{n}.pth")["a"] for n in ("x", "best", "last")}
    assert found == {"x": 2, "best": 1, "last": 2}
    assert len(os.listdir(tmp_path)) == 3


def test_best_may_be_the_suffix_itself(tmp_path: Path) -> None:
    for saver in (None, torch.save):
        tintype.save_checkpoint({"a": 1}, tmp_path, "best", is_best=True, saver_fn=saver)
        assert os.listdir(tmp_path) == ["best.pth"]


@pytest.mark.parametrize(
    "suffix", ["", ".", "..", ".hidden", "a/b", "../a", "/a", "a\0b", "x" * 252, "ä" * 126]
)
def test_a_suffix_that_makes_no_file_name_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ValueError, match="suffix"):
        tintype.save_checkpoint({}, tmp_path / "new", suffix)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("special_suffix", ["/x", "\0", "x" * 250])
def test_a_special_suffix_that_makes_no_file_name_is_refused(
    tmp_path: Path, special_suffix: str
) -> None:
    with pytest.raises(ValueError, match="special_suffix"):
        tintype.save_checkpoint({}, tmp_path, "x", is_best=True, special_suffix=special_suffix)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["file.pth", "file.pth/run"])
def test_a_file_as_logdir_is_refused_with_what_to_give(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.pth").write_text("mine")
    with pytest.raises(tintype.TintypeIOError, match="file.pth.*: give a directory") as caught:
        tintype.save_checkpoint({}, tmp_path / name, "x")
    assert isinstance(caught.value, (FileExistsError, NotADirectoryError))
    assert (tmp_path / "file.pth").read_text() == "mine"


def test_a_special_suffix_that_is_no_text_is_refused(tmp_path: Path) -> None:
    for wrong in (None, 3):
        with pytest.raises(TypeError, match="special_suffix must be str"):
            tintype.save_checkpoint({}, tmp_path, "x", is_best=True, special_suffix=wrong)
    assert os.listdir(tmp_path) == []


def test_the_longest_name_is_saved(tmp_path: Path) -> None:
    path = tintype.save_checkpoint({"a": 1}, tmp_path, "x" * 251, is_best=True)
    assert tintype.load_checkpoint(path) == tintype.load_checkpoint(tmp_path / "best.pth")


def test_arguments_that_contradict_are_refused(tmp_path: Path) -> None:
    for arguments in (
        {"logdir": None, "suffix": "x"},
        {"logdir": tmp_path},
        {"logdir": "", "suffix": "x"},
        {"logdir": tmp_path, "suffix": "x", "path": "y.pth"},
        {"path": "y.pth", "is_best": True},
        {},
    ):
        with pytest.raises(ValueError):
            tintype.save_checkpoint({}, **arguments)
    with pytest.raises(TypeError, match="suffix must be str"):
        tintype.save_checkpoint({}, tmp_path, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="None"):
        tintype.load_checkpoint()
    with pytest.raises(ValueError, match="same argument"):
        tintype.load_checkpoint("a", filepath="b")


def test_load_takes_both_names_of_its_argument(tmp_path: Path) -> None:
    path = tintype.save_checkpoint({"a": torch.ones(2)}, tmp_path, "x")
    for loaded in (
        tintype.load_checkpoint(path),
        tintype.load_checkpoint(path=Path(path)),
        tintype.load_checkpoint(filepath=path),
    ):
        assert loaded["a"].tolist() == [1, 1] and loaded["a"].device.type == "cpu"
    with pytest.raises(FileNotFoundError):
        tintype.load_checkpoint(tmp_path / "no.pth")
