"""What ``load``, ``open``, ``inspect`` and ``verify`` refuse, and with which words."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from reading_support import equal, records_of, torch_bytes, torch_zip


def test_files_of_other_kinds_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.ones(1)}, path, _use_new_zipfile_serialization=False)
    for call in (tintype.load, tintype.verify, tintype.inspect, tintype.open):
        with pytest.raises(tintype.UnsupportedError, match="before 1.6.*torch.load.*save it again"):
            call(path)
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(path))
    for call in (tintype.load, tintype.verify, tintype.inspect, tintype.open):
        with pytest.raises(tintype.UnsupportedError, match="TorchScript.*torch.jit.load"):
            call(path)
    newer = records_of(torch_bytes(1)) | {"version": b"11\n"}
    for content, error, text in [
        (b"", tintype.CorruptCheckpointError, "empty"),
        (b"garbage" * 100, tintype.CorruptCheckpointError, "no checkpoint"),
        (pickle.dumps({"a": 1}), tintype.UnsupportedError, "bare pickle"),
        (gzip.compress(b"x"), tintype.UnsupportedError, "gzip"),
        (b"\x28\xb5\x2f\xfd" + bytes(30), tintype.CorruptCheckpointError, "end with a whole frame"),
        (b"\x10\0\0\0\0\0\0\0" + b'{"a":{"dtype":"F32"}}', tintype.UnsupportedError, "safetensors"),
        (torch_zip({"x": b"1"}), tintype.UnsupportedError, "no record 'data.pkl'"),
        (torch_zip(newer), tintype.UnsupportedError, "version 11"),
    ]:
        path.write_bytes(content)
        for verify in (True, False):
            with pytest.raises(error, match=text) as caught:
                tintype.load(path, verify=verify)
            assert str(path) in str(caught.value)
        if error is tintype.CorruptCheckpointError:
            assert not tintype.verify(path).ok


ORDINARY_ZIPS: dict[str, dict[str, bytes]] = {
    "one file": {"notes.txt": b"x"},
    "several folders": {"word/document.xml": b"x", "mimetype": b"y", "META-INF/MANIFEST.MF": b"z"},
    "a checkpoint zipped": {"best.pth": torch_bytes(1)},
    "one folder": {"photos/": b"", "photos/1.jpg": b"x"},
    "nothing": {},
}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("kind", ORDINARY_ZIPS)
def test_an_ordinary_zip_is_said_to_be_one(tmp_path: Path, kind: str, compression: int) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in ORDINARY_ZIPS[kind].items():
            archive.writestr(name, content)
    text = f"'{path}' is a zip file but no torch checkpoint.*check the path, or unpack it"
    for call in (tintype.load, tintype.verify, tintype.inspect, tintype.open):
        with pytest.raises(tintype.UnsupportedError, match=text):
            call(path)


def test_errors_of_the_system_keep_their_class(tmp_path: Path) -> None:
    for call in (tintype.load, tintype.verify, tintype.inspect, tintype.open):
        with pytest.raises(FileNotFoundError, match="read '.*ENOENT.*check the spelling") as caught:
            call(tmp_path / "missing.pth")
        assert isinstance(caught.value, tintype.TintypeIOError)
        assert caught.value.filename == str(tmp_path / "missing.pth")
        with pytest.raises(IsADirectoryError, match="read '.*EISDIR.*name one of the files"):
            call(tmp_path)
        with pytest.raises(tintype.UnsupportedError, match="read '/dev/null': it is a device"):
            call("/dev/null")


NO_CHECKPOINTS: list[tuple[Any, str]] = [
    (None, "not None"),
    (5, "not int"),
    (b"x.pth", "not bytes"),
    (["x.pth"], "not list"),
    ({"a": 1}, "not dict"),
]


@pytest.mark.parametrize("given, text", NO_CHECKPOINTS, ids=[case[1] for case in NO_CHECKPOINTS])
def test_what_is_neither_path_nor_file_is_a_type_error(given: Any, text: str) -> None:
    for call in (tintype.load, tintype.verify, tintype.inspect, tintype.open):
        with pytest.raises(TypeError, match=f"^give a path .*{text}"):
            call(given)


@pytest.mark.parametrize("call", [tintype.inspect, tintype.open])
def test_what_takes_only_paths_says_so_of_a_file_object(call: Any) -> None:
    with pytest.raises(TypeError, match=r"^give a path \(str or os.PathLike\), not BytesIO"):
        call(io.BytesIO(torch_bytes(1)))


class Stream:
    """A file object whose read() gives ``answer``."""

    def __init__(self, answer: object) -> None:
        self._answer = answer
        self._file = io.BytesIO(bytes(100))
        self.seek, self.tell = self._file.seek, self._file.tell

    def read(self, size: int = -1) -> object:
        return self._answer


class Lost(io.BytesIO):
    def readinto(self, buffer: Any) -> Any:
        return None


@pytest.mark.parametrize("call", [tintype.load, tintype.verify])
def test_file_objects_that_give_no_bytes_are_type_errors(tmp_path: Path, call: Any) -> None:
    path = tmp_path / "x.txt"
    path.write_text("x" * 200)
    with path.open() as text, pytest.raises(TypeError, match="TextIOWrapper gives text.*by 'rb'"):
        call(text)
    with pytest.raises(TypeError, match="a StringIO gives text: open the file in binary mode"):
        call(io.StringIO("x" * 200))
    for answer, kind in [(None, "NoneType"), ("x" * 99, "str"), (bytearray(99), "bytearray")]:
        with pytest.raises(TypeError, match=f"Stream gave {kind}, .*: open it in binary mode"):
            call(Stream(answer))
    with pytest.raises(TypeError, match=r"readinto\(\) of a \S*Lost gave None, where a number"):
        call(Lost(bytes(100)))


@pytest.mark.parametrize("call", [tintype.load, tintype.verify])
def test_a_file_opened_to_write_only_is_said_to_be_so(tmp_path: Path, call: Any) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_bytes(1))
    with path.open("ab") as file, pytest.raises(tintype.UnsupportedError, match="write only.*'rb'"):
        call(file)


@pytest.mark.parametrize("name", ["x.pth", "x.pth.ttz"])
def test_a_file_object_at_its_end_is_said_to_stand_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    tintype.save({"a": torch.ones(2)}, path)
    text = (
        rf"stands at byte {path.stat().st_size}, and nothing follows.*; call its seek\(0\) first$"
    )
    with path.open("ab+") as file:
        with pytest.raises(tintype.CorruptCheckpointError, match=text):
            tintype.load(file)
        file.seek(0, os.SEEK_END)
        report = tintype.verify(file)
        assert not report.ok and re.search(text, str(report))
        file.seek(0)
        assert equal(tintype.load(file), {"a": torch.ones(2)})
    with pytest.raises(tintype.CorruptCheckpointError, match="<BytesIO>' is empty"):
        tintype.load(io.BytesIO())


class Evil:
    def __reduce__(self) -> Any:
        return os.system, (f"touch {os.environ['TINTYPE_TEST_MARK']}",)


def test_calls_in_a_pickle_are_never_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setenv("TINTYPE_TEST_MARK", str(mark))
    path = tmp_path / "x.pth"
    torch.save({"a": torch.ones(1), "evil": Evil()}, path)
    archive = tintype.inspect(path)
    assert archive.values["evil"].is_opaque and archive.values["evil"].type.endswith(".system")
    assert equal(archive.read("a"), torch.ones(1))
    assert tintype.verify(path).ok
    with pytest.raises(tintype.UnsupportedError, match=r"\.system.*weights_only=False") as caught:
        tintype.load(path)
    assert isinstance(caught.value, pickle.UnpicklingError)
    assert not mark.exists()


def test_weights_only_none_means_true_as_in_torch(tmp_path: Path) -> None:
    tintype.save({"a": torch.arange(3)}, tmp_path / "x.pth")
    assert tintype.load(tmp_path / "x.pth", weights_only=None)["a"].tolist() == [0, 1, 2]
    module = torch.nn.Linear(1, 1)
    tintype.save(module, tmp_path / "module.pth")
    with pytest.raises(
        tintype.UnsafeCheckpointError, match="needs torch.nn.modules.linear.Linear, which"
    ):
        tintype.load(tmp_path / "module.pth", weights_only=None)
    assert tintype.load(tmp_path / "module.pth", weights_only=0).weight.equal(module.weight)


def test_a_disallowed_class_is_named(tmp_path: Path) -> None:
    import numpy

    torch.save({"lr": numpy.float64(0.1)}, tmp_path / "x.pth")
    with pytest.raises(tintype.UnsupportedError, match="numpy.*weights_only=False"):
        tintype.load(tmp_path / "x.pth")
    assert tintype.load(tmp_path / "x.pth", weights_only=False)["lr"] == 0.1


@pytest.mark.parametrize("weights_only", [True, False])
def test_a_pickle_that_nobody_checked_is_damaged_not_untrusted(weights_only: bool) -> None:
    content = bytearray(torch_bytes({"a": torch.ones(1)}))
    content[content.index(b"ctorch._utils")] = 0xFF
    with pytest.raises(tintype.CorruptCheckpointError, match="data.pkl.*CRC") as caught:
        tintype.load(io.BytesIO(content), verify=False, weights_only=weights_only)
    assert "weights_only" not in str(caught.value)


class Silent(io.BytesIO):
    def readinto(self, buffer: Any) -> int:
        raise EOFError


def test_an_early_end_is_said_where_the_error_says_nothing() -> None:
    with pytest.raises(tintype.CorruptCheckpointError, match="cannot be read: it ends too early"):
        tintype.load(Silent(torch_bytes({"a": torch.ones(1)})))


def test_a_pipe_behind_a_link_of_proc_is_refused_as_one() -> None:
    reader, writer = os.pipe()
    for read in (tintype.load, tintype.open, tintype.verify, tintype.inspect):
        with pytest.raises(tintype.UnsupportedError, match=f"'/proc/self/fd/{reader}': it is a"):
            read(f"/proc/self/fd/{reader}")
    os.close(reader)
    os.close(writer)
