"""Past the limits of plain ZIP: more than 65,535 records, records and offsets around 4 GiB.

No test holds 4 GiB: tensors are mappings of nothing with a few marks in them, and both streams are
compared by digests of their blocks while they are written.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.serialization import config

import tintype
from reading_support import torch_bytes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

_BLOCK_BYTES = 16 << 20
_LIMIT = 0xFFFFFFFF  # this value and higher ones need ZIP64
_TAIL = [torch.ones(5), torch.empty(0, 3), torch.arange(100)]


class StreamDigest:
    """A file that forgets what was written and keeps a digest of every block."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.blocks: list[bytes] = []
        self._block = hashlib.sha256()

    def write(self, piece: Any) -> int:
        view = memoryview(piece).cast("B")
        rest = view
        while len(rest) > 0:
            part = rest[: _BLOCK_BYTES - self.size_bytes % _BLOCK_BYTES]
            self._block.update(part)
            self.size_bytes += len(part)
            if self.size_bytes % _BLOCK_BYTES == 0:
                self._end_block()
            rest = rest[len(part) :]
        return len(view)

    def flush(self) -> None:
        pass

    def _end_block(self) -> None:
        self.blocks.append(self._block.digest())
        self._block = hashlib.sha256()

    def finished(self) -> tuple[int, list[bytes]]:
        self._end_block()
        return self.size_bytes, self.blocks


def digest(save: Callable[[Any, Any], object], obj: object) -> tuple[int, list[bytes]]:
    stream = StreamDigest()
    save(obj, stream)
    return stream.finished()


def digest_of_file(path: Path) -> tuple[int, list[bytes]]:
    stream = StreamDigest()
    with path.open("rb") as file:
        while piece := file.read(_BLOCK_BYTES):
            stream.write(piece)
    return stream.finished()


def sparse(size_bytes: int) -> torch.Tensor:
    """Zeros that take no memory, with marks at both ends and in the middle."""
    pages = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    tensor = torch.frombuffer(pages, dtype=torch.uint8)
    for at in (0, size_bytes // 2, size_bytes - 1):
        tensor[at] = at % 251 + 1
    return tensor


def peak_memory_bytes() -> int:
    """The most memory that the process held since the last call."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    Path("/proc/self/clear_refs").write_text("5")
    return int(status["VmHWM"].split()[0]) << 10


def header_offsets(folder: Path, obj: object) -> list[int]:
    """Where torch puts the local header of each storage, by a file of holes."""
    path = folder / "archive.pth"  # gives the record names of a file object
    with torch.serialization.skip_data():
        torch.save(obj, path)
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if "/data/" in n]
        offsets = [archive.getinfo(name).header_offset for name in names]
    path.unlink()
    return offsets


@pytest.mark.parametrize("alignment", [64, 4096])
@pytest.mark.parametrize(
    "size_bytes", [(1 << 31) + 8, 0xFFFFFFFE, 0xFFFFFFFF, 0x100000000, 0x180000000], ids=hex
)
def test_large_storage_and_what_lies_behind_it_are_saved_as_torch_saves_them(
    size_bytes: int, alignment: int
) -> None:
    obj = [sparse(size_bytes), *_TAIL]
    with config.patch({"save.storage_alignment": alignment}):
        peak_memory_bytes()
        ours = digest(tintype.save, obj)
        assert peak_memory_bytes() < 2 << 30
        assert ours == digest(torch.save, obj)
    assert ours[0] > size_bytes


@pytest.mark.parametrize("header_offset", [0xFFFFFFFE, 0xFFFFFFFF, 0x100000000], ids=hex)
def test_header_exactly_at_the_limit_is_written_as_torch_writes_it(
    tmp_path: Path, header_offset: int
) -> None:
    def state(size_bytes: int) -> list[torch.Tensor]:
        return [sparse(size_bytes), *_TAIL]

    guess_bytes = 0xFFFF0000
    obj = state(guess_bytes + header_offset - header_offsets(tmp_path, state(guess_bytes))[1])
    assert header_offsets(tmp_path, obj)[1] == header_offset
    assert digest(tintype.save, obj) == digest(torch.save, obj)


def test_file_of_more_than_4_gib_is_written_read_and_verified(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    obj = [sparse(_LIMIT), *_TAIL]
    try:
        tintype.save(obj, path)
        assert digest_of_file(path) == digest(torch.save, obj)
        check_readers(path, obj)
    finally:
        path.unlink()


def check_readers(path: Path, obj: list[torch.Tensor]) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    subprocess.run(["bsdtar", "-xOf", path], stdout=subprocess.DEVNULL, check=True)
    report = tintype.verify(path)
    assert report.ok and report.checked_bytes > _LIMIT
    for load in (torch.load, tintype.load):
        big, *rest = load(path, mmap=True, weights_only=True)
        assert [int(big[at]) for at in (0, _LIMIT // 2, _LIMIT - 1)] == [
            int(obj[0][at]) for at in (0, _LIMIT // 2, _LIMIT - 1)
        ]
        assert all(map(torch.equal, rest, obj[1:]))
    on_meta = torch.load(path, map_location="meta", weights_only=True)
    with path.open("rb") as file:
        for tensor, original in zip(on_meta[1:], obj[1:], strict=True):
            storage = original.untyped_storage()
            offset = tensor.untyped_storage()._checkpoint_offset
            assert os.pread(file.fileno(), storage.nbytes(), offset) == bytes(storage)
    assert torch.equal(tintype.inspect(path).read("3"), obj[3])


@pytest.mark.parametrize("storages", [65_528, 65_529, 65_530, 70_000])
def test_many_records_are_saved_as_torch_saves_them(tmp_path: Path, storages: int) -> None:
    obj = [torch.empty(i % 3, dtype=torch.uint8).fill_(i % 251) for i in range(storages)]
    path = tmp_path / "x.pth"
    tintype.save(obj, path)
    assert path.read_bytes() == torch_bytes(obj)
    report = tintype.verify(path)
    assert report.ok
    print(f"{report.record_count} records")


def test_many_records_are_read(tmp_path: Path) -> None:
    obj = [torch.tensor([i]) for i in range(66_000)]
    tintype.save(obj, tmp_path / "x.pth")
    for load in (torch.load, tintype.load):
        loaded = load(tmp_path / "x.pth", weights_only=True)
        assert torch.equal(torch.cat(loaded), torch.cat(obj))
    with zipfile.ZipFile(tmp_path / "x.pth") as archive:
        assert len(archive.infolist()) > 65_535
    assert int(tintype.inspect(tmp_path / "x.pth").read("65999")) == 65_999
