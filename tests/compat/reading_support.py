"""Checkpoints and damage for the tests of the reading side."""

from __future__ import annotations

import io
import struct
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch


def training_state() -> dict[str, Any]:
    """Model, optimizer and scheduler after one step, and the values that lie beside them."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(12, 12), torch.nn.BatchNorm1d(12))
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    model(torch.randn(4, 12)).sum().backward()
    optimizer.step()
    scheduler.step()
    return {
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler_state_dict": scheduler.state_dict(),
        "epoch": 3,
        "stage": "train",
        "metrics": {"loss": 0.25},
    }


def torch_bytes(obj: object, **kwargs: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(obj, buffer, **kwargs)
    return buffer.getvalue()


def equal(a: Any, b: Any) -> bool:
    """The same types, values, dtypes, shapes and strides, at any depth; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        facts = [(t.dtype, t.shape, t.layout, t.requires_grad) for t in (a, b)]
        same = facts[0] == facts[1]
        if not same or a.device.type == "meta":
            return same
        if a.layout != torch.strided or a.is_quantized:
            dense = [t.dequantize() if t.is_quantized else t.to_dense() for t in (a, b)]
            return bool(torch.equal(*dense))
        return a.stride() == b.stride() and raw(a) == raw(b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b) or a != a


def raw(tensor: torch.Tensor) -> bytes:
    resolved = tensor.detach().resolve_conj().resolve_neg().contiguous()
    return bytes(resolved.reshape(-1).view(torch.uint8).numpy()) if resolved.numel() else b""


def many_kinds() -> dict[str, object]:
    """One object for each form that a file may hold, by a name for the test."""
    base = torch.arange(24, dtype=torch.float32)
    complex_values = torch.randn(3, dtype=torch.complex64)
    kinds: dict[str, object] = {
        "training": training_state(),
        "bare tensor": base.clone(),
        "scalar tensor": torch.tensor(3),
        "empty tensors": {"a": torch.empty(0), "b": torch.empty(0, 3)},
        "views": [base, base[4:10], base.view(4, 6).t(), base[:1].expand(5)],
        "tied": {"a": base, "b": base},
        "complex": [complex_values.conj(), complex_values.conj().imag],
        "parameter": torch.nn.Parameter(torch.ones(3)),
        "frozen parameter": torch.nn.Parameter(torch.ones(3), requires_grad=False),
        "buffer": torch.nn.Buffer(torch.ones(2)),
        "storage": torch.arange(5).untyped_storage(),
        "sparse": torch.eye(3).to_sparse(),
        "csr": torch.eye(3).to_sparse_csr(),
        "quantized": torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8),
        "meta": torch.empty(1 << 20, 1 << 10, device="meta"),
        "containers": [1, (2.5, None), {"s": {1, 2}}, OrderedDict(a=1), Counter("aab"), b"bytes"],
        "integers": [0, 255, 256, 65535, 65536, -1, 2**31, -(2**31), 2**63, -(2**63), 1 << 2000],
        "floats": [float("inf"), float("-inf"), -0.0, 1e-300],
        "texts": ["", "é\U0001f600", "a\nb", "\ud800", "k" * 70_000],
        "torch values": [torch.Size([2, 3]), torch.float16, torch.device("cuda", 1), torch.strided],
        "long": {"d": {str(i): i for i in range(2500)}, "l": list(range(2500))},
        "rng": torch.get_rng_state(),
    }
    names = (
        "float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool uint16 uint32 uint64 complex32 "
        "complex64 complex128 float8_e4m3fn float8_e5m2"
    )
    for name in names.split():
        dtype = getattr(torch, name)
        bits = torch.arange(1, 17, dtype=torch.uint8) % 2
        kinds[f"dtype {name}"] = {"t": bits.view(dtype) if dtype != torch.bool else bits.bool()}
    return kinds


@dataclass(frozen=True)
class Span:
    """A piece of a file's structure: [begin, end) in bytes."""

    kind: str
    begin: int
    end: int


def spans(image: bytes) -> Iterator[Span]:
    """Every structural piece of an archive as torch writes it."""
    with zipfile.ZipFile(io.BytesIO(image)) as archive:
        entries = sorted(archive.infolist(), key=lambda e: e.header_offset)
        directory = archive.start_dir
    for entry in entries:
        header = entry.header_offset
        name_bytes, extra_bytes = struct.unpack_from("<HH", image, header + 26)
        payload = header + 30 + name_bytes + extra_bytes
        yield Span("local header", header, header + 30)
        yield Span("name", header + 30, header + 30 + name_bytes)
        yield Span("padding", header + 30 + name_bytes, payload)
        kind = "pickle" if entry.filename.endswith("data.pkl") else "payload"
        end = payload + entry.compress_size
        yield Span(kind, payload, end)
        if entry.flag_bits & 8:
            yield Span("descriptor", end, end + 16)
    yield Span("directory", directory, len(image) - 98)
    yield Span("end records", len(image) - 98, len(image))


def torch_zip(records: dict[str, bytes], root: str = "archive", **kwargs: Any) -> bytes:
    """A checkpoint written by Python's zipfile: as torch reads it, though not as it writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **kwargs) as archive:
        for name, content in records.items():
            archive.writestr(zipfile.ZipInfo(f"{root}/{name}"), content, kwargs.get("compression"))
    return buffer.getvalue()


def records_of(image: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(image)) as archive:
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
