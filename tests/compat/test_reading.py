"""What ``load``, ``open``, ``inspect`` and ``verify`` read: torch's files and ours."""

from __future__ import annotations

import gzip
import io
import mmap
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from reading_support import (
    equal,
    many_kinds,
    raw,
    records_of,
    torch_bytes,
    torch_zip,
    training_state,
)

KINDS = many_kinds()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "x.pth"
    torch.save(training_state(), path)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("writer", ["torch", "tintype"])
def test_what_was_saved_is_loaded(tmp_path: Path, kind: str, writer: str) -> None:
    path = tmp_path / "renamed later.pth"
    (torch if writer == "torch" else tintype).save(KINDS[kind], path)
    path = path.rename(tmp_path / "x.pth")
    trusted = not (kind == "buffer" or kind == "texts")
    expected = torch.load(path, weights_only=trusted)
    report = tintype.verify(path)
    assert report.ok, report
    assert report.record_count == len(records_of(path.read_bytes()))
    loaded = tintype.load(path, weights_only=trusted)
    if isinstance(loaded, (torch.UntypedStorage, torch.TypedStorage)):
        assert loaded.tolist() == expected.tolist()
    else:
        assert equal(loaded, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_inspect_lists_and_reads_every_tensor(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.pth"
    torch.save(KINDS[kind], path)
    archive = tintype.inspect(path)
    tensors = dict(_named_tensors(torch.load(path, weights_only=False)))
    listed = {n: e for n, e in archive.tensors.items() if e.form in ("strided", "meta")}
    if kind in ("sparse", "csr"):  # listed by their parts
        assert len(listed) >= 2
        return
    if kind == "quantized":
        assert [e.form for e in archive.tensors.values()] == ["quantized"]
        with pytest.raises(tintype.UnsupportedError, match="quantized"):
            archive.read("")
        return
    assert list(listed) == list(tensors)
    for name, tensor in tensors.items():
        entry = listed[name]
        facts = (tensor.dtype, tensor.shape, tensor.stride())
        assert (entry.dtype, entry.shape, entry.stride) == facts
        assert entry.requires_grad == tensor.requires_grad
        read = archive.read(name)
        assert (read.dtype, read.shape, read.stride()) == facts
        if tensor.device.type != "meta":
            assert entry.size_bytes == tensor.numel() * tensor.element_size()
            assert raw(read) == raw(tensor), name


def _named_tensors(obj: Any, name: str = "") -> Any:
    if isinstance(obj, torch.Tensor):
        yield name, obj
    elif isinstance(obj, dict):
        for key, value in obj.items():
            yield from _named_tensors(value, f"{name}/{key}" if name else str(key))
    elif isinstance(obj, (list, tuple)):
        for i, value in enumerate(obj):
            yield from _named_tensors(value, f"{name}/{i}" if name else str(i))


def test_inspect_names_values_and_storage_facts(checkpoint: Path) -> None:
    archive = tintype.inspect(checkpoint)
    entry = archive.tensors["optimizer_state_dict/state/0/exp_avg"]
    assert (entry.size_bytes, entry.storage_bytes, entry.device) == (576, 576, "cpu")
    assert f"data/{entry.storage_key}" in {record.name for record in archive.records}
    values = archive.values
    assert (values["epoch"].type, values["epoch"].text) == ("int", "3")
    assert (values["metrics/loss"].type, values["metrics/loss"].text) == ("float", "0.25")
    assert values["stage"].text == "'train'"
    assert archive.size_bytes == checkpoint.stat().st_size
    with pytest.raises(KeyError, match="no tensor 'nothing'"):
        archive.read("nothing")


def test_tensors_of_one_name_are_told_apart(tmp_path: Path) -> None:
    torch.save({0: torch.zeros(1), "0": torch.ones(1)}, tmp_path / "x.pth")
    archive = tintype.inspect(tmp_path / "x.pth")
    assert list(archive.tensors) == ["0", "0~2"]
    assert archive.read("0~2").item() == 1
    a, b, c, d = torch.arange(4.0).split(1)
    torch.save({"a/b": a, "a": {"b": b, "b~3": c}, "a/b~2": d}, tmp_path / "x.pth")
    archive = tintype.inspect(tmp_path / "x.pth")  # what is made up is none of the real ones
    numbers = {name: archive.read(name).item() for name in archive.tensors}
    assert numbers == {"a/b": 0, "a/b~4": 1, "a/b~3": 2, "a/b~2": 3}


def test_recursive_structures_are_inspected(tmp_path: Path) -> None:
    state: dict[str, Any] = {"t": torch.ones(2)}
    state["self"] = state
    state["list"] = [state]
    torch.save(state, tmp_path / "x.pth")
    assert list(tintype.inspect(tmp_path / "x.pth").tensors) == ["t"]
    assert tintype.verify(tmp_path / "x.pth").ok
    loaded = tintype.load(tmp_path / "x.pth")
    assert loaded["self"] is loaded


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickles_of_later_protocols_are_inspected(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.ones(2), "b": b"x", "c": {1, 2}}, path, pickle_protocol=protocol)
    assert list(tintype.inspect(path).tensors) == ["a"]
    assert equal(tintype.load(path, weights_only=False)["a"], torch.ones(2))


# --- where the bytes come from ---


def test_file_objects_are_read_from_their_position(checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    expected = torch.load(checkpoint)
    buffer = io.BytesIO(b"front" + content)
    buffer.seek(5)
    assert equal(tintype.load(buffer), expected)
    with checkpoint.open("rb") as file:
        assert equal(tintype.load(file), expected)
    with checkpoint.open("rb", buffering=0) as raw_file:
        assert equal(tintype.load(raw_file), expected)
    packed = checkpoint.with_suffix(".gz")
    packed.write_bytes(gzip.compress(content))
    with gzip.open(packed) as gzipped:
        assert equal(tintype.load(gzipped), expected)


@pytest.mark.parametrize("suffix", ["", ".zst", ".ttz"])
@pytest.mark.parametrize("folder", ["/proc/self/fd", "/dev/fd"])
def test_open_files_without_a_name_are_read(tmp_path: Path, suffix: str, folder: str) -> None:
    path = tmp_path / f"x.pth{suffix}"
    tintype.save(training_state(), path)
    memory = os.memfd_create("checkpoint")
    os.write(memory, path.read_bytes())
    deleted = os.open(path, os.O_RDONLY)
    path.unlink()
    expected = training_state()
    for number in (memory, deleted):
        link = f"{folder}/{number}"
        assert equal(tintype.load(link), expected)
        with tintype.open(link) as file:
            assert equal(torch.load(file), expected)
        assert tintype.verify(link).ok
        archive = tintype.inspect(link)
        assert all(archive.read(name).shape == e.shape for name, e in archive.tensors.items())
        os.close(number)
    with pytest.raises(FileNotFoundError, match="check the spelling"):
        tintype.load(f"{folder}/999999")


def test_file_objects_of_damaged_files_raise(checkpoint: Path) -> None:
    content = bytearray(checkpoint.read_bytes())
    with pytest.raises(tintype.CorruptCheckpointError, match="cut off"):
        tintype.load(io.BytesIO(content[:-1000]))
    packed = gzip.compress(bytes(content))
    with pytest.raises(tintype.CorruptCheckpointError, match="end"):
        with gzip.open(io.BytesIO(packed[:-500])) as file:
            tintype.load(file)


def test_an_exception_of_a_file_object_comes_through(checkpoint: Path) -> None:
    class Failing(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            raise RuntimeError("the network is down")

    with pytest.raises(RuntimeError, match="the network is down"):
        tintype.load(Failing(checkpoint.read_bytes()))


class Least:
    """The least that torch.load reads: no seekable(), no readinto(), seek() returns nothing."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> None:
        self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class ReadsInto(Least):
    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)


def test_file_objects_need_no_more_than_torch_needs(checkpoint: Path) -> None:
    content, expected = checkpoint.read_bytes(), torch.load(checkpoint)
    with checkpoint.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        for opened in (Least(content), ReadsInto(content), mapped):
            assert tintype.verify(opened).ok
            opened.seek(0)
            assert equal(tintype.load(opened), expected)
            opened.seek(0)
            assert equal(tintype.load(opened, keys="epoch"), {"epoch": 3})
    with pytest.raises(tintype.CorruptCheckpointError, match="Least"):
        tintype.load(Least(content[:-50]))


def test_streams_that_cannot_seek_are_refused() -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    refused = pytest.raises(tintype.UnsupportedError, match="BytesIO")
    with os.fdopen(read_end, "rb") as pipe, refused:
        tintype.load(pipe)


def test_open_gives_the_plain_image(checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    with tintype.open(checkpoint) as file:
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        assert file.read() == content
        assert file.seek(-10, os.SEEK_END) == len(content) - 10
        assert file.read(100) == content[-10:]
        assert file.tell() == len(content)
        assert file.seek(3) == 3 and file.seek(2, os.SEEK_CUR) == 5
        buffer = bytearray(4)
        assert file.readinto(buffer) == 4 and buffer == content[5:9]
        with pytest.raises(ValueError, match="before the start"):
            file.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        file.tell()
    assert equal(torch.load(tintype.open(checkpoint), weights_only=True), torch.load(checkpoint))


def test_bytes_before_and_behind_are_tolerated_and_noted(checkpoint: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    expected = torch.load(checkpoint)
    comment = content[:-2] + (4000).to_bytes(2, "little") + b"c" * 4000
    odd = {
        "stand before": b"#!front\n" + content,
        "zero bytes": content + bytes(65536),
        "comment": comment,
    }
    for note, image in odd.items():
        path = tmp_path / "odd.pth"
        path.write_bytes(image)
        report = tintype.verify(path)
        assert report.ok and any(note in text for text in report.notes), (note, report.notes)
        assert note in str(report)
        assert equal(tintype.load(path), expected)
    path.write_bytes(content + bytes(65537))
    assert not tintype.verify(path).ok
    path.write_bytes(content + b"tail")
    assert not tintype.verify(path).ok


@pytest.mark.parametrize("zero_bytes", [0, 65536])
@pytest.mark.parametrize("comment_bytes", [0, 1, 4000, 5000, 60000, 64000, 65535])
def test_small_archives_with_much_behind_them_are_loaded(
    tmp_path: Path, comment_bytes: int, zero_bytes: int
) -> None:
    """torch looks for the end record backwards in steps, and before the file's start."""
    state, path = {"a": torch.arange(9)}, tmp_path / "x.pth"
    content = torch_bytes(state)
    comment = comment_bytes.to_bytes(2, "little") + b"c" * comment_bytes
    path.write_bytes(content[:-2] + comment + bytes(zero_bytes))
    assert tintype.verify(path).ok
    assert equal(tintype.load(path), state)
    assert equal(tintype.load(io.BytesIO(path.read_bytes())), state)
    assert equal(tintype.load(path, keys="a"), state)
    assert tintype.open(path).read() == content
    if bytes_behind := comment_bytes + zero_bytes:
        behind = f"x.pth has {bytes_behind} bytes behind its archive.*: load it without mmap"
        with pytest.raises(tintype.UnsupportedError, match=behind):
            tintype.load(path, mmap=True)


@pytest.mark.parametrize("verify", [True, False])
def test_deflated_storages_are_not_mapped(tmp_path: Path, verify: bool) -> None:
    state, path = {"a": torch.arange(1000), "b": torch.ones(3)}, tmp_path / "x.pth"
    path.write_bytes(torch_zip(records_of(torch_bytes(state)), compression=zipfile.ZIP_DEFLATED))
    assert equal(tintype.load(path), state)
    assert equal(tintype.load(path, keys="b"), {"b": state["b"]})
    text = "x.pth holds data/0 in compressed form, .*: load it without mmap"
    with pytest.raises(tintype.UnsupportedError, match=text):
        tintype.load(path, mmap=True, verify=verify)
    with pytest.raises(tintype.UnsupportedError, match=text):
        tintype.load(path, mmap=True, verify=verify, keys="b")


def test_map_location_and_mmap_are_torchs(checkpoint: Path) -> None:
    assert tintype.load(checkpoint, "meta")["model_state_dict"]["0.weight"].device.type == "meta"
    assert equal(tintype.load(checkpoint, mmap=True), torch.load(checkpoint))
    assert equal(tintype.load(checkpoint, lambda storage, tag: storage), torch.load(checkpoint))
    with pytest.raises(ValueError, match="path"):
        tintype.load(io.BytesIO(checkpoint.read_bytes()), mmap=True)


def test_torchs_config_for_mapping_is_its_own(checkpoint: Path) -> None:
    from torch.utils.serialization import config

    expected = torch.load(checkpoint)
    with config.patch({"load.mmap": True}):
        assert equal(tintype.load(checkpoint), expected)
        assert equal(tintype.load(checkpoint, keys="epoch"), {"epoch": 3})


# --- other writers' archives ---


def test_archives_of_python_zipfile_are_read(tmp_path: Path) -> None:
    state = {"a": torch.arange(100000), "b": torch.randn(100)}
    path = tmp_path / "x.pth"
    for options in ({}, {"compression": zipfile.ZIP_DEFLATED}):
        path.write_bytes(torch_zip(records_of(torch_bytes(state)), root="r ö.t", **options))
        assert tintype.verify(path).ok
        assert equal(tintype.load(path), state)
        assert equal(tintype.inspect(path).read("a"), state["a"])


@pytest.mark.parametrize("alignment", [1, 64, 4096, 32768])
def test_alignments_are_read(tmp_path: Path, alignment: int) -> None:
    from torch.utils.serialization import config

    with config.patch({"save.storage_alignment": alignment}):
        torch.save(training_state(), tmp_path / "x.pth")
    assert tintype.verify(tmp_path / "x.pth").ok
    assert equal(tintype.load(tmp_path / "x.pth"), torch.load(tmp_path / "x.pth"))


def test_crc_zero_means_not_computed(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(5)}, path)
    finally:
        torch.serialization.set_crc32_options(before)
    report = tintype.verify(path)
    assert report.ok and report.checked_bytes == 0
    assert any("no CRC" in note for note in report.notes)
    assert equal(tintype.load(path), {"a": torch.ones(5)})
    with torch.serialization.skip_data():
        torch.save({"a": torch.ones(5)}, path)
    assert tintype.verify(path).ok
    assert tintype.load(path)["a"].shape == (5,)


def test_a_zip_of_data_that_looks_like_an_end_record_is_read(tmp_path: Path) -> None:
    signatures = b"PK\x05\x06" + bytes(18) + b"PK\x07\x08PK\x01\x02"
    fake = torch.tensor(list(signatures), dtype=torch.uint8)
    torch.save([fake, fake.clone()], tmp_path / "x.pth")
    assert tintype.verify(tmp_path / "x.pth").ok
    assert equal(tintype.load(tmp_path / "x.pth")[1], fake)


@pytest.mark.parametrize(
    "records", [{"byteorder": b"big"}, {"version": b"1"}, {"version": b"10\n"}]
)
def test_marks_that_torch_accepts_are_accepted(tmp_path: Path, records: dict[str, bytes]) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_zip(records_of(torch_bytes({"a": torch.ones(3)})) | records))
    assert tintype.verify(path).ok
    assert equal(tintype.load(path), torch.load(path))


def test_optional_records_may_be_missing_and_others_added(tmp_path: Path) -> None:
    records = records_of(torch_bytes({"a": torch.ones(3)}))
    for name in (".format_version", ".storage_alignment", ".data/serialization_id", "byteorder"):
        del records[name]
    records["notes.txt"] = b"by hand"
    path = tmp_path / "x.pth"
    path.write_bytes(torch_zip(records))
    assert tintype.verify(path).ok
    assert equal(tintype.load(path), {"a": torch.ones(3)})
