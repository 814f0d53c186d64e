"""Objects that Python's pickler has to do: classes of a user's own, tensors of unusual make."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

Maker = Callable[[], Any]


class OwnDict(dict[str, int]):
    pass


class OwnList(list[int]):
    pass


class OwnOrderedDict(collections.OrderedDict[str, int]):
    pass


class OwnInt(int):
    pass


class OwnStr(str):
    __slots__ = ()


class OwnTuple(tuple[int, ...]):
    __slots__ = ()


class OwnCounter(collections.Counter[str]):
    pass


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


Pair = collections.namedtuple("Pair", "first second")


@dataclasses.dataclass
class Settings:
    rate: float = 0.1


class OwnTensor(torch.Tensor):
    pass


class OwnParameter(nn.Parameter):
    pass


class WithGetState:
    """What is pickled is not what it holds."""

    def __init__(self) -> None:
        self.tensor = torch.ones(2)

    def __getstate__(self) -> dict[str, Any]:
        return {"renamed": self.tensor}


def labelled(tensor: torch.Tensor) -> torch.Tensor:
    tensor.label = "mine"  # type: ignore[attr-defined]
    return tensor


def per_channel() -> torch.Tensor:
    scales, zeros = torch.tensor([0.1, 0.2]), torch.tensor([0, 1])
    return torch.quantize_per_channel(torch.ones(2, 3), scales, zeros, 0, torch.qint8)


def storages_and_views() -> list[Any]:
    """Tensors met again, bare storages and views of them: what torch's own tests begin with."""
    first, flat = torch.arange(25.0).reshape(5, 5), torch.arange(10.0)
    part = first.reshape(-1)[1:4]
    return [first, first, first.storage(), part.storage(), flat[:4], flat[3:9], flat.storage()]


ODD: dict[str, Maker] = {
    "own_containers": lambda: [
        OwnDict(a=1), OwnList([1]), OwnOrderedDict(a=1), OwnTuple((1, 2)), OwnCounter("aab"),
    ],
    "own_scalars": lambda: [OwnInt(3), OwnStr("a"), Colour.RED, Level.HIGH],
    "own_classes": lambda: [Pair(1, torch.ones(2)), Settings(), WithGetState()],
    "own_tensors": lambda: [torch.ones(2).as_subclass(OwnTensor), OwnParameter(torch.ones(2))],
    "parameter_with_an_attribute": lambda: labelled(nn.Parameter(torch.ones(2))),
    "standard_library": lambda: [
        pathlib.PurePosixPath("a"), datetime.datetime(2020, 1, 1), decimal.Decimal("1.5"),
        fractions.Fraction(1, 2), ..., NotImplemented, int, len, collections.deque([1]),
        collections.defaultdict(list, a=[1]), functools.partial(int, base=2),
    ],
    "numpy": lambda: [np.float64(1), np.arange(3), np.dtype("f4"), np.bool_(True)],
    "numpy_random_state": lambda: np.random.RandomState(3).get_state(),
    "layouts": lambda: [torch.strided, torch.sparse_coo, torch.per_tensor_affine],
    "generator_object": lambda: torch.Generator().manual_seed(3),
    "named_results": lambda: torch.max(torch.ones(2, 2), 0),
    "sparse_csc": lambda: torch.eye(4).to_sparse_csc(),
    "sparse_bsr": lambda: torch.eye(4).to_sparse_bsr((2, 2)),
    "sparse_bsc": lambda: torch.eye(4).to_sparse_bsc((2, 2)),
    "quantized_per_channel": per_channel,
    "nested_tensor": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "optimizer_object": lambda: torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1),
    "storages_and_views": storages_and_views,
}  # fmt: skip
