"""Tensors of every dtype that torch has, each with whole, odd, strided and empty views."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch

EVERY_DTYPE = sorted({d for d in vars(torch).values() if isinstance(d, torch.dtype)}, key=str)
# int1 to int7 and uint1 to uint7 are names without a storage: torch itself refuses to save them.
UNSAVEABLE = [d for d in EVERY_DTYPE if re.fullmatch(r"torch\.u?int[1-7]", str(d))]
QUANTIZED = [d for d in EVERY_DTYPE if re.fullmatch(r"torch\.qu?int.*|torch\.quint.*", str(d))]
STRIDED = [d for d in EVERY_DTYPE if d not in UNSAVEABLE and d not in QUANTIZED]

_SIZE_BYTES = 64  # four elements of the widest dtype


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def views_of(dtype: torch.dtype) -> list[torch.Tensor]:
    """One storage and views that start, step and end at odd places; a storage of an odd size, an
    empty one."""
    whole = _counted(_SIZE_BYTES, dtype)
    table = whole.view(2, -1)
    views = [whole, whole[1:], whole[::2], whole[1::2], whole[3], whole[1:1], table.t()]
    views += [table[:, :1], whole[:1].expand(3)]
    return [*views, _counted(3 * dtype.itemsize, dtype), _counted(0, dtype)]


def _counted(size_bytes: int, dtype: torch.dtype) -> torch.Tensor:
    values = torch.arange(size_bytes, dtype=torch.uint8)
    return values % 2 == 1 if dtype is torch.bool else values.view(dtype)


def quantized(dtype: torch.dtype) -> list[torch.Tensor]:
    whole = torch._empty_affine_quantized([8], scale=0.5, zero_point=1, dtype=dtype)
    whole.untyped_storage().fill_(3)
    return [whole, whole]


def maker(make: Callable[[torch.dtype], Any], dtype: torch.dtype) -> Callable[[], Any]:
    return lambda: make(dtype)


NATIVE_DTYPES = {f"dtype {name_of(d)}": maker(views_of, d) for d in STRIDED}
QUANTIZED_DTYPES = {f"dtype {name_of(d)}": maker(quantized, d) for d in QUANTIZED}
