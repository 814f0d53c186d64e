"""ZipNN, a coder of model weights that sorts bytes and codes them by Huffman as our planes form
does, on one thread; an optional contender: `make bench` installs it where it can be built."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import torch

_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def is_here() -> bool:
    return importlib.util.find_spec("zipnn") is not None


def measure(values: torch.Tensor, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Runs of "encode" and "decode" as bench_codec writes them: bytes of `values` a second, and the
    ratio. `values` are flat, of float32 or bfloat16."""
    from zipnn import ZipNN

    plain = values.view(torch.uint8).numpy().tobytes()
    coder = ZipNN(input_format="byte", bytearray_dtype=_NAMES[values.dtype], threads=1)
    runs: dict[str, list[dict[str, Any]]] = {"encode": [], "decode": []}
    for _ in range(rounds):
        source = bytearray(plain)  # encoding sorts it in place
        start = time.perf_counter()
        coded = coder.compress(source)
        middle = time.perf_counter()
        decoded = coder.decompress(coded)
        end = time.perf_counter()
        if decoded != plain:
            raise SystemExit("ZipNN did not give back what it was given")
        ratio = len(plain) / len(coded)
        runs["encode"].append({"bytes_per_second": len(plain) / (middle - start), "ratio": ratio})
        runs["decode"].append({"bytes_per_second": len(plain) / (end - middle), "ratio": ratio})
    return runs
