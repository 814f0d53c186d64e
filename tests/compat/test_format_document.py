"""io/archive/FORMAT.md tells the truth: its example equals the golden file and today's bytes."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
import torch

import tintype

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "io/archive/FORMAT.md").read_text(encoding="utf-8")
GOLDEN = (ROOT / "tests/golden/plain.pth").read_bytes()
# The chapters of the document, with the file that each one's bytes are of.
CHAPTERS = {
    "The plain form": "plain.pth",
    "The zstd form": "plain.pth.zst",
    "The planes form": "plain.pth.ttz",
}


def example() -> dict[str, torch.Tensor]:
    return {"w": torch.tensor([1.0, 2.0])}


def test_golden_file_is_what_is_written_today() -> None:
    buffer = io.BytesIO()
    tintype.save(example(), buffer)
    assert buffer.getvalue() == GOLDEN


@pytest.mark.skipif(not torch.__version__.startswith("2.11."), reason="identity is torch 2.11's")
def test_golden_file_is_what_torch_writes() -> None:
    buffer = io.BytesIO()
    torch.save(example(), buffer)
    assert buffer.getvalue() == GOLDEN


def test_golden_file_is_read_by_torch() -> None:
    loaded = torch.load(io.BytesIO(GOLDEN), weights_only=True)
    assert torch.equal(loaded["w"], example()["w"])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_byte_of_the_document_stands_in_the_golden_file(chapter: str) -> None:
    golden = (ROOT / "tests/golden" / CHAPTERS[chapter]).read_bytes()
    text = TEXT.split(f"\n# {chapter}\n")[1].split("\n# ")[0]
    lines = re.findall(r"^    ([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)+)$", text, re.MULTILINE)
    assert len(lines) >= 5
    for offset, digits in lines:
        content = bytes.fromhex(digits)
        start = int(offset, 16)
        assert golden[start : start + len(content)] == content, f"at {offset}"
    sizes = re.findall(r"[Tt]he file (?:has )?(\d+)|: (\d+) bytes, kept", text)
    assert str(len(golden)) in {size for found in sizes for size in found}


def test_every_row_of_the_document_is_a_record_of_the_golden_file() -> None:
    pattern = r"^\| `archive/(\S+)` \| (\d+) \| (\d+) \| (\d+) \| `([0-9a-f]{8})` \|$"
    rows = re.findall(pattern, TEXT, re.MULTILINE)
    records = []
    for entry in zipfile.ZipFile(io.BytesIO(GOLDEN)).infolist():
        lengths = GOLDEN[entry.header_offset + 26 : entry.header_offset + 30]
        name_bytes, extra_bytes = lengths[0] + 256 * lengths[1], lengths[2] + 256 * lengths[3]
        payload = entry.header_offset + 30 + name_bytes + extra_bytes
        facts = (entry.header_offset, payload, entry.file_size)
        name = entry.filename.removeprefix("archive/")
        records.append((name, *(str(fact) for fact in facts), f"{entry.CRC:08x}"))
    assert rows == records
    assert f"{len(GOLDEN)} bytes" in TEXT
