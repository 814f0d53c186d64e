"""Objects, file objects and arguments: what is taken, and what is refused with which words."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import children
import tintype
from states import numbered_state, temps_in


def torch_bytes(obj: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(obj, buffer)
    return buffer.getvalue()


class WriteOnly:
    """The least that torch.save needs, and ``write`` returns nothing."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, piece: memoryview) -> None:
        self.content += bytes(piece)

    def flush(self) -> None:
        pass


class Bad(WriteOnly):
    """Takes ``limit`` bytes, then does what ``fault`` says."""

    def __init__(self, limit: int, fault: Callable[[memoryview], Any]) -> None:
        super().__init__()
        self.limit = limit
        self.fault = fault

    def write(self, piece: memoryview) -> Any:
        if len(self.content) >= self.limit:
            return self.fault(piece)
        super().write(piece)
        return len(piece)


BIG = numbered_state(3, size_bytes=3 << 20)


def test_file_objects_get_the_bytes_that_torch_writes(tmp_path: Path) -> None:
    expected = torch_bytes(BIG)
    buffer, sink = io.BytesIO(), WriteOnly()
    tintype.save(BIG, buffer)
    tintype.save(BIG, sink)  # type: ignore[arg-type]
    with open(tmp_path / "raw", "wb", buffering=0) as raw:
        tintype.save(BIG, raw)
    with open(tmp_path / "buffered", "wb") as file:
        tintype.save(BIG, file)
    assert buffer.getvalue() == sink.content == expected
    assert (tmp_path / "raw").read_bytes() == (tmp_path / "buffered").read_bytes() == expected


def test_file_object_is_written_from_where_it_stands() -> None:
    buffer = io.BytesIO()
    buffer.write(b"head")
    tintype.save(BIG, buffer)
    assert buffer.getvalue() == b"head" + torch_bytes(BIG)


def test_short_writes_of_a_raw_file_are_resumed(tmp_path: Path) -> None:
    class Short(io.RawIOBase):
        content = b""

        def writable(self) -> bool:
            return True

        def write(self, piece: Any) -> int:
            self.content += bytes(piece[:70_001])
            return min(len(piece), 70_001)

    short = Short()
    tintype.save(BIG, short)  # type: ignore[arg-type]
    assert short.content == torch_bytes(BIG)


def test_compressing_file_objects_get_the_bytes_that_torch_writes(tmp_path: Path) -> None:
    for module in (bz2, gzip, lzma):
        with module.open(tmp_path / "x", "wb") as file:
            tintype.save(BIG, file)
        with module.open(tmp_path / "x") as file:
            assert file.read() == torch_bytes(BIG)


def test_object_with_nothing_but_write_is_enough() -> None:
    class Bare:
        pieces: list[bytes] = []  # noqa: RUF012

        def write(self, piece: memoryview) -> int:
            self.pieces.append(bytes(piece))
            return len(piece)

    tintype.save(BIG, Bare())  # type: ignore[arg-type]
    assert b"".join(Bare.pieces) == torch_bytes(BIG)


def test_pipe_as_a_file_object_gets_everything() -> None:
    reader, writer = os.pipe()
    received = bytearray()

    def drain() -> None:
        while piece := os.read(reader, 65536):
            received.extend(piece)

    thread = threading.Thread(target=drain)
    thread.start()
    with os.fdopen(writer, "wb", buffering=0) as file:
        tintype.save(BIG, file)
    thread.join()
    os.close(reader)
    assert bytes(received) == torch_bytes(BIG)


def test_error_of_a_file_object_is_passed_on() -> None:
    def full(_: memoryview) -> None:
        raise OSError(errno.ENOSPC, "no space in this object")

    with pytest.raises(OSError, match="no space in this object") as caught:
        tintype.save(BIG, Bad(1 << 20, full))  # type: ignore[arg-type]
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ValueError("closed")])
def test_what_a_file_objects_write_raises_comes_through_and_the_next_save_works(
    error: BaseException | type[BaseException],
) -> None:
    def fail(_: memoryview) -> None:
        raise error

    bad, good = Bad(1 << 20, fail), io.BytesIO()
    with pytest.raises(error if isinstance(error, type) else type(error)):
        tintype.save(BIG, bad)  # type: ignore[arg-type]
    assert torch_bytes(BIG).startswith(bad.content) and len(bad.content) >= 1 << 20
    tintype.save(BIG, good)
    assert good.getvalue() == torch_bytes(BIG)


@pytest.mark.parametrize("count", [0, -1, 1 << 40])
def test_impossible_count_of_a_file_object_is_an_error(count: int) -> None:
    with pytest.raises(tintype.TintypeIOError, match=f"took {count} of"):
        tintype.save(BIG, Bad(1 << 20, lambda _: count))  # type: ignore[arg-type]


def test_text_file_and_read_only_file_are_refused_by_themselves(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        tintype.save(BIG, io.StringIO())  # type: ignore[arg-type]
    (tmp_path / "x").write_bytes(b"")
    with open(tmp_path / "x", "rb") as file, pytest.raises(io.UnsupportedOperation):
        tintype.save(BIG, file)
    with pytest.raises(TypeError, match="a path or a writable file object, not object"):
        tintype.save(BIG, object())  # type: ignore[arg-type]


def test_arguments_of_torch_save_are_taken_at_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    tintype.save(
        BIG,
        path,
        pickle_module=pickle,
        pickle_protocol=2,
        _use_new_zipfile_serialization=True,
        _disable_byteorder_record=False,
    )
    assert path.read_bytes() == torch_bytes(BIG)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pickle_module", io),
        ("pickle_protocol", 4),
        ("_use_new_zipfile_serialization", False),
        ("_disable_byteorder_record", True),
    ],
)
@pytest.mark.parametrize("has_engine", [True, False])
def test_other_values_of_them_are_refused_by_name_and_nothing_is_written(
    tmp_path: Path, make_engine: Any, name: str, value: object, has_engine: bool
) -> None:
    save = make_engine().save if has_engine else tintype.save
    with pytest.raises(tintype.UnsupportedError, match=f"^{name}=.*leave the argument out"):
        save(BIG, tmp_path / "x.pth", **{name: value})
    assert os.listdir(tmp_path) == []


def test_unknown_argument_is_a_type_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'pickle_modul'"):
        tintype.save(BIG, tmp_path / "x.pth", pickle_modul=pickle)


class Untouchable:
    """Pickling it says that it was read."""

    def __reduce__(self) -> Any:
        raise AssertionError("read before the name was judged")


@pytest.mark.parametrize(
    ("name", "compression"),
    [
        ("x.pth", "zstd"),
        ("x.pth", "planes"),
        ("x.pth", "auto"),
        ("x.pth.zst", "planes"),
        ("x.pth.ttz", "zstd"),
        ("x.pth.zst", None),
        ("x.pth.ttz", None),
        ("x.pth", "gzip"),
    ],
)
def test_name_that_contradicts_the_compression_is_refused_before_anything_is_read(
    tmp_path: Path, name: str, compression: Any
) -> None:
    for save in (tintype.save, tintype.save_async):
        with pytest.raises(ValueError, match="compression="):
            save(Untouchable(), tmp_path / name, compression=compression)  # type: ignore[operator]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("compression", ["zstd", "planes", "auto"])
def test_file_object_has_no_compressed_form_and_the_error_says_what_has(compression: Any) -> None:
    target = io.BytesIO()
    with pytest.raises(ValueError, match=r"file objects get the plain form; save to a path"):
        tintype.save(Untouchable(), target, compression=compression)
    assert target.getvalue() == b""
    for plain in (None, "by-name"):
        target = io.BytesIO()
        tintype.save({"a": 1}, target, compression=plain)
        assert target.getvalue()[:2] == b"PK"


@pytest.mark.parametrize("name", [".zst", "..ttz", "a/.ttz", "x.zst.tmp", "zst", "d.zst/x"])
def test_ending_of_a_plain_name_is_none_of_a_form(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    tintype.save({"a": 1}, path, compression=None)
    assert path.read_bytes()[:2] == b"PK"


@pytest.mark.parametrize(
    "target, text",
    [(None, "NoneType"), (5, "int"), (b"x.pth", "bytes"), (io.BytesIO(), "BytesIO")],
    ids=["None", "int", "bytes", "file object"],
)
def test_save_async_to_what_is_no_path_is_a_type_error(target: Any, text: str) -> None:
    with pytest.raises(TypeError, match=f"needs a path, not {text}; save also takes file objects"):
        tintype.save_async(Untouchable(), target)


def test_tensor_of_another_device_is_refused_and_the_device_named(tmp_path: Path) -> None:
    code = """
    import torch._lazy.ts_backend
    torch._lazy.ts_backend.init()
    for obj in (torch.ones(2, device="lazy"), {"model": {"w": torch.ones(2, device="lazy")}}):
        try:
            tintype.save(obj, sys.argv[1])
        except tintype.UnsupportedError as error:
            print(f"error{isinstance(obj, dict)}={error}")
    """
    told = children.answers(children.run(code, tmp_path / "x.pth"))
    assert len(told) == 2
    for text in told.values():
        assert "lazy" in text and "only cpu, cuda and meta" in text
    assert os.listdir(tmp_path) == []


def test_storage_alignment_is_read_at_each_call(tmp_path: Path) -> None:
    from torch.utils.serialization import config

    for alignment in [64, 4096, 64, 256]:
        with config.patch({"save.storage_alignment": alignment}):
            tintype.save(BIG, tmp_path / "x.pth")
            assert (tmp_path / "x.pth").read_bytes() == torch_bytes(BIG), alignment


def test_storage_alignment_is_the_one_at_the_call_not_at_the_write(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    from torch.utils.serialization import config

    with config.patch({"save.storage_alignment": 4096}):
        expected = torch_bytes(BIG)
        snapshot = slow_engine.save_async(BIG, tmp_path / "x.pth")
    snapshot.wait_durable()
    assert (tmp_path / "x.pth").read_bytes() == expected


def test_compute_crc32_false_is_ignored_and_said_once(tmp_path: Path) -> None:
    code = """
    import warnings
    from torch.utils.serialization import config
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with config.patch({"save.compute_crc32": False}):
            for _ in range(3):
                tintype.save(numbered_state(1, 1000), sys.argv[1])
    print(f"warnings={len(caught)}", f"text={caught[0].message}", sep="\\n")
    """
    told = children.answers(children.run(code, tmp_path / "x.pth"))
    assert told["warnings"] == "1" and "compute_crc32" in told["text"]
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.pth") as archive:
        assert archive.testzip() is None


def test_module_functions_share_one_default_engine(tmp_path: Path) -> None:
    from tintype._default_engine import default_engine

    before = default_engine().stats()["saves_started"]
    tintype.save(numbered_state(1, 1000), tmp_path / "x.pth")
    tintype.save_async(numbered_state(1, 1000), tmp_path / "x.pth").wait_durable()
    assert default_engine().stats()["saves_started"] == before + 2
    assert temps_in(tmp_path) == []


def test_saving_without_bytes_is_refused() -> None:
    with FakeTensorMode():
        fake = {"model": {"w": torch.ones(3)}}
    with pytest.raises(tintype.UnsupportedError, match=r"save \['model'\]\['w'\]: a FakeTensor"):
        tintype.save(fake, io.BytesIO())
    for is_fake in (False, True):
        skipping = torch.serialization.skip_data(materialize_fake_tensors=is_fake)
        refused = pytest.raises(tintype.UnsupportedError, match=r"skip_data\(\) is not supported")
        with skipping, refused:
            tintype.save(fake if is_fake else {"w": torch.ones(3)}, io.BytesIO())
