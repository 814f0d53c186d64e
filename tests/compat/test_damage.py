"""Damaged, cut off and hostile files: found, named, and refused without delay."""

from __future__ import annotations

import io
import os
import random
import re
import struct
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tintype
from reading_support import Span, equal, records_of, spans, torch_bytes, torch_zip, training_state

FULL = os.environ.get("TINTYPE_FULL") == "1"
MUST_FIND = ("payload", "pickle")
KINDS = (*MUST_FIND, "local header", "name", "padding", "descriptor", "directory", "end records")


@pytest.fixture(scope="module")
def image() -> bytes:
    return torch_bytes(training_state())


@pytest.fixture(scope="module")
def expected(image: bytes) -> object:
    return torch.load(io.BytesIO(image))


def refusal(content: bytes, path: Path) -> str | None:
    """Why ``load`` refuses it; None if it loads."""
    path.write_bytes(content)
    try:
        tintype.load(path)
    except (tintype.CorruptCheckpointError, tintype.UnsupportedError) as error:
        return str(error)
    return None


@pytest.mark.timeout(1800)  # for the full count on a busy machine
def test_random_bit_flips_are_detected_or_harmless(
    image: bytes, expected: object, tmp_path: Path
) -> None:
    """Payload and pickle: every one is found. Elsewhere: found, or the result is the same."""
    rng = random.Random(5)
    pieces = {kind: [s for s in spans(image) if s.kind == kind] for kind in KINDS}
    counts: Counter[tuple[str, str]] = Counter()
    for i in range(5000 if FULL else 500):
        kind = list(pieces)[i % len(pieces)]
        bits = sum(span.end - span.begin for span in pieces[kind]) * 8
        at = _nth_bit(pieces[kind], rng.randrange(bits))
        damaged = bytearray(image)
        damaged[at // 8] ^= 1 << (at % 8)
        path = tmp_path / "x.pth"
        found = refusal(bytes(damaged), path)
        if found is None:
            assert equal(tintype.load(path), expected), f"silent damage in {kind}, bit {at}"
            assert tintype.verify(path).ok
        counts[kind, "detected" if found else "harmless"] += 1
        assert found or kind not in MUST_FIND, f"missed in {kind}, bit {at}"
    print("bit flips:", {f"{kind} {what}": n for (kind, what), n in sorted(counts.items())})
    assert counts["payload", "detected"] > 50 and counts["pickle", "detected"] > 50


def _nth_bit(pieces: list[Span], bit: int) -> int:
    for span in pieces:
        if bit < (span.end - span.begin) * 8:
            return span.begin * 8 + bit
        bit -= (span.end - span.begin) * 8
    raise AssertionError("beyond the last piece")


def test_truncation_at_every_boundary_is_detected(image: bytes, tmp_path: Path) -> None:
    lengths = {b + d for s in spans(image) for b in (s.begin, s.end) for d in (-1, 0, 1)}
    lengths |= set(range(len(image) - 100, len(image)))
    if FULL:
        lengths |= set(range(len(image)))
    lengths = {n for n in lengths if 0 <= n < len(image)}
    for length in lengths:
        path = tmp_path / "x.pth"
        path.write_bytes(image[:length])
        with pytest.raises(tintype.CorruptCheckpointError, match="cut off|empty|no checkpoint"):
            tintype.load(path)
        report = tintype.verify(path)
        assert not report.ok and report.problems[0].text
        with pytest.raises(tintype.CorruptCheckpointError):
            tintype.inspect(path)
    print(f"truncations: {len(lengths)}, all detected")
    assert len(lengths) > 300


def test_a_damaged_payload_names_record_offset_and_tensors(tmp_path: Path) -> None:
    base = torch.arange(1000)
    content = bytearray(torch_bytes({"model": {"a": torch.ones(7), "b": base, "view": base[3:5]}}))
    content[content.rindex((777).to_bytes(8, "little"))] ^= 4
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    report = tintype.verify(path)
    assert not report.ok and len(report.problems) == 1
    problem = report.problems[0]
    assert problem.record == "data/1"
    assert content[problem.offset : problem.offset + 4] == b"PK\x03\x04"
    assert problem.tensors == ("model/b", "model/view")
    told = r"data/1.*CRC-32.*model/b, model/view.*older"
    with pytest.raises(tintype.CorruptCheckpointError, match=told) as caught:
        tintype.load(path)
    assert str(path) in str(caught.value)
    assert tintype.load(path, verify=False)["model"]["a"].sum() == 7
    archive = tintype.inspect(path)
    assert archive.read("model/a").sum() == 7
    with pytest.raises(tintype.CorruptCheckpointError, match="data/1") as read:
        archive.read("model/view")
    assert (
        report.remedy == problem.remedy == "copy or download it again, or load an older checkpoint"
    )
    assert caught.value.remedy == read.value.remedy == report.remedy
    assert str(read.value) == f"{read.value.message}; {report.remedy}"


def test_a_damaged_pickle_is_named(image: bytes, tmp_path: Path) -> None:
    span = next(s for s in spans(image) if s.kind == "pickle")
    for at in range(span.begin, span.end, 97):
        damaged = bytearray(image)
        damaged[at] ^= 0x20
        assert "data.pkl" in (refusal(bytes(damaged), tmp_path / "x.pth") or "")


@pytest.mark.parametrize("change", ["missing", "short", "long"])
def test_a_storage_that_does_not_fit_is_named(tmp_path: Path, change: str) -> None:
    records = records_of(torch_bytes({"a": torch.ones(4), "b": torch.ones(4)}))
    if change == "missing":
        del records["data/1"]
    else:
        records["data/1"] = bytes(8 if change == "short" else 99)
    path = tmp_path / "x.pth"
    path.write_bytes(torch_zip(records))
    report = tintype.verify(path)
    assert [p.record for p in report.problems] == ["data/1"]
    assert report.problems[0].tensors == ("b",)
    with pytest.raises(tintype.CorruptCheckpointError, match="data/1.*tensor b"):
        tintype.load(path)
    with pytest.raises(tintype.CorruptCheckpointError, match="data/1"):
        tintype.inspect(path).read("b")


# --- hostile structure ---


def with_directory(change: Callable[[bytearray, int], None]) -> bytes:
    """A checkpoint by zipfile whose last directory entry is changed."""
    content = bytearray(torch_zip(records_of(torch_bytes({"a": torch.ones(4)}))))
    change(content, content.rindex(b"PK\x01\x02"))
    return bytes(content)


def put(fmt: str, offset: int, value: int) -> Callable[[bytearray, int], None]:
    return lambda content, entry: struct.pack_into(fmt, content, entry + offset, value)


HOSTILE_STRUCTURE = {
    "encrypted": with_directory(put("<H", 8, 1)),
    "unknown method": with_directory(put("<H", 10, 12)),
    "huge size": with_directory(put("<I", 20, 0xFFFFFFF0)),
    "saturated size without zip64": with_directory(put("<I", 24, 0xFFFFFFFF)),
    "another disk": with_directory(put("<H", 34, 1)),
    "marked as a directory": with_directory(put("<I", 38, 0x10)),
    "offset outside": with_directory(put("<I", 42, 0x7FFFFFFF)),
    "overlap": with_directory(put("<I", 42, 0)),
    "long name": with_directory(put("<H", 28, 60000)),
    "extra beyond the end": with_directory(put("<H", 30, 60000)),
    "leads out": torch_zip(records_of(torch_bytes(1)) | {"../../etc/passwd": b"x"}),
    "backslash": torch_zip(records_of(torch_bytes(1)) | {"a\\b": b"x"}),
    "control byte": torch_zip(records_of(torch_bytes(1)) | {"a\x1bb": b"x"}),
    "two roots": torch_zip(records_of(torch_bytes(1))).replace(b"archive/vers", b"brchive/vers"),
    "twice by case": torch_zip(records_of(torch_bytes(1)) | {"DATA.PKL": b"x"}),
    "absolute": torch_zip(records_of(torch_bytes(1)), root=""),
    "local name differs": torch_zip(records_of(torch_bytes(1))).replace(b"/byteo", b"/byteO", 1),
}


@pytest.mark.parametrize("case", HOSTILE_STRUCTURE)
def test_hostile_structure_is_refused_at_once(tmp_path: Path, case: str) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(HOSTILE_STRUCTURE[case])
    start = time.perf_counter()
    with pytest.raises(tintype.CorruptCheckpointError):
        tintype.load(path)
    assert time.perf_counter() - start < 1
    assert not tintype.verify(path).ok


def test_huge_counts_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    content = bytearray(torch_bytes({"a": torch.ones(4)}))
    zip64 = content.rindex(b"PK\x06\x06")
    for offset, value in ((24, 2**62), (32, 2**62), (40, 2**63), (48, 2**64 - 1), (4, 2**63)):
        damaged = bytearray(content)
        struct.pack_into("<Q", damaged, zip64 + offset, value)
        assert refusal(bytes(damaged), tmp_path / "x.pth")


def test_a_deflate_bomb_is_refused(tmp_path: Path) -> None:
    import zipfile

    records = records_of(torch_bytes({"a": torch.ones(4)})) | {"data/0": bytes(64 << 20)}
    path = tmp_path / "x.pth"
    path.write_bytes(torch_zip(records, compression=zipfile.ZIP_DEFLATED))
    for read in (tintype.load, tintype.verify):
        with pytest.raises(tintype.UnsupportedError, match="200:1"):
            read(path)


# --- hostile pickles ---


def nested(depth: int) -> bytes:
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def doubling(levels: int) -> bytes:
    """A tuple of lists, each of which holds the one before twice: 2 ** levels paths."""
    pickle = b"\x80\x02(]q\x00}a"
    for level in range(levels):
        before = b"h" + bytes([level])
        pickle += b"]q" + bytes([level + 1]) + b"(" + before + before + b"e"
    return pickle + b"t."


HOSTILE_PICKLES = {
    "huge text": (b"\x80\x02X\xff\xff\xff\x7fab.", tintype.CorruptCheckpointError),
    "huge bytes": (b"\x80\x04\x8e" + b"\xff" * 8 + b".", tintype.CorruptCheckpointError),
    "huge integer": (b"\x80\x02\x8b\xff\xff\xff\x7f.", tintype.CorruptCheckpointError),
    "memo unknown": (b"\x80\x02h\x05.", tintype.CorruptCheckpointError),
    "memo huge": (b"\x80\x02Nr\xff\xff\xff\xff.", tintype.CorruptCheckpointError),
    "unbalanced mark": (b"\x80\x02(N.", tintype.CorruptCheckpointError),
    "no mark": (b"\x80\x02Nt.", tintype.CorruptCheckpointError),
    "stack empty": (b"\x80\x02R.", tintype.CorruptCheckpointError),
    "no stop": (b"\x80\x02N", tintype.CorruptCheckpointError),
    "no opcode": (b"\x80\x02\xff.", tintype.CorruptCheckpointError),
    "item into a number": (b"\x80\x02K\x01Na.", tintype.CorruptCheckpointError),
    "frame beyond the end": (b"\x80\x04\x95" + b"\xff" * 8 + b"N.", tintype.CorruptCheckpointError),
    "instance opcode": (b"\x80\x02(ios\nsystem\n.", tintype.UnsupportedError),
    "extension opcode": (b"\x80\x02\x82\x01.", tintype.UnsupportedError),
    "deep": (nested(100_000), tintype.UnsupportedError),
    "doubling": (doubling(60), tintype.UnsupportedError),
}


@pytest.mark.parametrize("case", HOSTILE_PICKLES)
def test_hostile_pickles_are_refused_at_once(tmp_path: Path, case: str) -> None:
    pickle, error = HOSTILE_PICKLES[case]
    path = tmp_path / "x.pth"
    path.write_bytes(torch_zip(records_of(torch_bytes(1)) | {"data.pkl": pickle}))
    start = time.perf_counter()
    with pytest.raises(error, match="pickle"):
        tintype.inspect(path)
    assert time.perf_counter() - start < 1
    report = tintype.verify(path)
    assert report.ok == (error is tintype.UnsupportedError) and (report.notes or report.problems)


def tensor_pickle(offset: int, shape: int, stride: int, numel: int = 4) -> bytes:
    """A one-dimensional float32 tensor over a storage of `numel` elements, as torch pickles it."""

    def integer(value: int) -> bytes:
        return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)

    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    kind = text("storage") + b"ctorch\nFloatStorage\n"
    storage = b"(" + kind + text("0") + text("cpu") + integer(numel) + b"tQ"
    geometry = integer(offset) + integer(shape) + b"\x85" + integer(stride) + b"\x85"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + geometry + b"\x89NtR."


@pytest.mark.parametrize(
    "geometry",
    [
        *[(1, 4, 1), (0, 5, 1), (0, 2, 4), (-1, 1, 1), (0, -1, 1)],
        *[(0, 2**62, 4), (2**62, 2**62, 2**62), (0, 2, 2**63 - 1)],
    ],
)
def test_tensors_beyond_their_storage_are_refused(
    tmp_path: Path, geometry: tuple[int, int, int]
) -> None:
    path = tmp_path / "x.pth"
    records = records_of(torch_bytes(torch.ones(4)))
    path.write_bytes(torch_zip(records | {"data.pkl": tensor_pickle(0, 4, 1)}))
    assert tintype.inspect(path).read("").tolist() == [1, 1, 1, 1]
    path.write_bytes(torch_zip(records | {"data.pkl": tensor_pickle(*geometry)}))
    with pytest.raises(tintype.CorruptCheckpointError, match="impossible tensor"):
        tintype.inspect(path)
    assert not tintype.verify(path).ok


def test_a_tensor_saved_without_its_storage_is_not_told_to_be_copied_again(tmp_path: Path) -> None:
    tensor = torch.ones(4)
    tensor.untyped_storage().resize_(0)
    tintype.save({"a": tensor}, tmp_path / "x.pth")
    assert (tmp_path / "x.pth").read_bytes() == torch_bytes({"a": tensor})
    remedy = "saved with a storage too small for it, or is damaged: save it again"
    for call in (tintype.load, tintype.inspect):
        with pytest.raises(
            tintype.CorruptCheckpointError, match="beyond its storage '0' of 0"
        ) as e:
            call(tmp_path / "x.pth")
        assert remedy in e.value.remedy and "copy" not in str(e.value)
    assert remedy in tintype.verify(tmp_path / "x.pth").remedy


def test_a_huge_storage_takes_no_memory_until_its_record_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    records = records_of(torch_bytes(torch.ones(4)))
    path.write_bytes(torch_zip(records | {"data.pkl": tensor_pickle(0, 4, 1, numel=2**50)}))
    with pytest.raises(tintype.CorruptCheckpointError, match="data/0"):
        tintype.load(path)


def test_texts_of_problems_say_what_to_do(image: bytes, tmp_path: Path) -> None:
    for content in (b"", image[:1000], image[:-1], b"garbage"):
        text = refusal(content, tmp_path / "x.pth")
        assert text is not None and re.search("copy|check the path", text), text
