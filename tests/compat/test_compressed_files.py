"""Reading the compressed forms: files written once (tests/golden), and those of the zstd tool."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import torch

import tintype

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
FORMS = {"zstd": "zst", "planes": "ttz"}
ZSTD = shutil.which("zstd")


def golden(name: str, form: str) -> Path:
    return GOLDEN / f"{name}.pth.{FORMS[form]}"


def flipped(path: Path, offset: int) -> bytes:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    return bytes(content)


def assert_is_several(loaded: dict[str, Any]) -> None:
    """What tests/unit/test_golden_files.cc makes."""
    model = loaded["model"]
    assert loaded["epoch"] == 3 and list(model) == ["weights", "zeros", "sparse"]
    assert model["weights"].shape == (20_000,) and 0 < model["weights"].abs().max() < 1
    assert torch.equal(model["zeros"], torch.zeros(20_000))
    sparse = model["sparse"].view(torch.int32)
    assert torch.equal(sparse[::16], torch.full((625,), 0x04030201, dtype=torch.int32))
    assert int(sparse.count_nonzero()) == 625


@pytest.mark.parametrize("form", FORMS)
def test_golden_files_load(form: str) -> None:
    example = tintype.load(golden("plain", form))
    assert torch.equal(example["w"], torch.tensor([1.0, 2.0]))
    for verify in (True, False):
        assert_is_several(tintype.load(golden("several", form), verify=verify))


@pytest.mark.parametrize("form", FORMS)
def test_torch_loads_what_open_gives(form: str) -> None:
    with tintype.open(golden("several", form)) as file:
        assert_is_several(torch.load(file, weights_only=True))
    with tintype.open(golden("plain", form)) as file:
        assert file.read() == (GOLDEN / "plain.pth").read_bytes()


def resources() -> tuple[int, int]:
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("form", FORMS)
def test_closing_frees_threads_and_descriptor_while_the_object_lives(
    tmp_path: Path, form: str
) -> None:
    path = tmp_path / f"x.pth.{FORMS[form]}"
    generator = torch.Generator().manual_seed(3)
    with tintype.Engine(extent_bytes=256 << 10) as engine:
        engine.save({"a": torch.randn(1 << 20, generator=generator)}, path)
    before = resources()
    file = tintype.open(path)
    while file.read(100_000):
        pass
    assert all(now > then for now, then in zip(resources(), before, strict=True))
    file.close()
    assert resources() == before
    assert file.closed
    for use in (file.read, file.tell, lambda: file.seek(0), lambda: file.readinto(bytearray(1))):
        with pytest.raises(ValueError, match=r"x\.pth.* is closed"):
            use()
    file.close()


class CountsReads:
    """What ImageFile asks of the native file."""

    def __init__(self, native: Any) -> None:
        self.native = native
        self.sizes: list[int] = []

    def read(self, size: int = -1) -> bytes:
        self.sizes.append(size)
        return cast(bytes, self.native.read(size))


def test_whole_image_is_read_at_once() -> None:
    for read in ("read", "readall"):
        file = cast(Any, tintype.open(golden("several", "planes")))
        file._native = native = CountsReads(file._native)
        content = getattr(file, read)()
        assert native.sizes == [-1]
        with tintype.open(GOLDEN / "several.pth.zst") as other:
            parts = [other.read(1000), other.read(0), other.read(None)]  # type: ignore[arg-type]
        assert [len(part) for part in parts] == [1000, 0, len(content) - 1000]
        assert content == b"".join(parts)


@pytest.mark.parametrize("form", ["plain", *FORMS])
def test_place_behind_any_file_is_refused(form: str) -> None:
    path = GOLDEN / "plain.pth" if form == "plain" else golden("plain", form)
    with tintype.open(path) as file:
        assert file.seek(2**63 - 1) == 2**63 - 1
        for offset, whence in (
            (1, os.SEEK_CUR),
            (2**63 - 1, os.SEEK_CUR),
            (2**63 - 1, os.SEEK_END),
        ):
            with pytest.raises(ValueError, match="place behind"):
                file.seek(offset, whence)
        assert file.tell() == 2**63 - 1
        assert file.read() == b""
        with pytest.raises(ValueError, match="place before"):
            file.seek(-(2**63), os.SEEK_CUR)
        assert file.seek(-(2**63) + 1, os.SEEK_CUR) == 0


@pytest.mark.parametrize("form", FORMS)
def test_file_objects_are_read_as_paths_are(form: str) -> None:
    content = io.BytesIO(golden("several", form).read_bytes())
    assert_is_several(tintype.load(content))
    content.seek(0)
    assert tintype.verify(content).ok


@pytest.mark.parametrize("form", FORMS)
def test_a_name_says_nothing_about_the_form(tmp_path: Path, form: str) -> None:
    for name in ("x.pth", "x.pth.zst", "X.TTZ", "x"):
        path = Path(shutil.copy(golden("several", form), tmp_path / name))
        assert_is_several(tintype.load(path))
    plain = Path(shutil.copy(GOLDEN / "plain.pth", tmp_path / "plain.ttz"))
    assert torch.equal(tintype.load(plain)["w"], torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize("form", FORMS)
def test_parts_are_loaded(form: str) -> None:
    part = tintype.load(golden("several", form), keys="model/sparse")
    assert list(part) == ["model"] and list(part["model"]) == ["sparse"]


@pytest.mark.parametrize("form", FORMS)
def test_inspect_shows_image_and_file(form: str) -> None:
    path = golden("several", form)
    archive = tintype.inspect(path)
    assert archive.form == form
    assert archive.file_bytes == path.stat().st_size < archive.size_bytes
    assert torch.equal(archive.read("model/zeros"), torch.zeros(20_000))
    assert tintype.inspect(GOLDEN / "plain.pth").form == "plain"


@pytest.mark.parametrize("form", FORMS)
def test_verify_names_the_damaged_extent_and_its_tensors(tmp_path: Path, form: str) -> None:
    sound = tintype.verify(golden("several", form))
    assert sound.ok and sound.form == form and sound.extent_count == 4
    path = tmp_path / "x"
    path.write_bytes(flipped(golden("several", form), 70_000))
    report = tintype.verify(path)
    (problem,) = report.problems
    assert problem.extent == 1 and problem.tensors == ("model/weights", "model/zeros")
    assert report.extent_count == 3
    assert "extent 1 is damaged" in report.summary and "model/weights" in report.summary
    for verify in (True, False):
        with pytest.raises(tintype.CorruptCheckpointError, match="extent 1 is damaged"):
            tintype.load(path, verify=verify)
    sparse = tintype.inspect(path).read("model/sparse")  # in other extents
    assert sparse[:1].view(torch.int32).item() == 0x04030201


@pytest.mark.parametrize("form", FORMS)
def test_files_that_are_cut_off_are_corrupt(tmp_path: Path, form: str) -> None:
    content = golden("several", form).read_bytes()
    path = tmp_path / "x"
    for size in (10, 4096, 50_000, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(tintype.CorruptCheckpointError, match=str(path)):
            tintype.load(path)
        assert not tintype.verify(path).ok


@pytest.mark.parametrize("form", FORMS)
def test_compressed_files_are_not_mapped(form: str) -> None:
    with pytest.raises(tintype.UnsupportedError, match=f"{form} form: load it without mmap"):
        tintype.load(golden("several", form), mmap=True)


@pytest.mark.skipif(ZSTD is None, reason="needs the zstd command")
@pytest.mark.parametrize("name", ["plain", "several"])
def test_the_zstd_command_gives_the_plain_file(name: str) -> None:
    done = subprocess.run(
        [str(ZSTD), "-dc", str(golden(name, "zstd"))], capture_output=True, check=True
    )
    with tintype.open(golden(name, "zstd")) as file:
        assert done.stdout == file.read()


@pytest.mark.skipif(ZSTD is None, reason="needs the zstd command")
@pytest.mark.parametrize("options", [["-1"], ["-19"], ["--no-check", "-3"], ["--long=27"]])
def test_files_of_the_zstd_command_load(tmp_path: Path, options: list[str]) -> None:
    torch.save({"w": torch.arange(300_000)}, tmp_path / "x.pth")
    subprocess.run([str(ZSTD), "-q", *options, str(tmp_path / "x.pth")], check=True)
    path = tmp_path / "x.pth.zst"
    assert torch.equal(tintype.load(path)["w"], torch.arange(300_000))
    assert tintype.verify(path).ok
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(tintype.CorruptCheckpointError, match="cut off"):
        tintype.load(path)
