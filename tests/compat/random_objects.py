"""Random object graphs with sharing: the same seed makes the same graph."""

from __future__ import annotations

import math
import random
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dtype_objects import STRIDED

_WORDS = ["", "a", "0", "1", "weight", "storage", "cpu", "latin1", "é", "\ud800", "x" * 300]


class RandomObjects:
    """Grows one graph. Earlier nodes are met again, so memo and storage sharing are exercised."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._made: list[Any] = []
        self._tensors: list[torch.Tensor] = []

    def make(self, depth: int = 4) -> Any:
        choice = self._random.random()
        if self._made and choice < 0.15:
            return self._random.choice(self._made)
        makers: list[Callable[[int], Any]] = [self._leaf, self._tensor]
        if depth > 0:
            makers += [self._dict, self._list, self._tuple, self._special]
        made = self._random.choice(makers)(depth)
        self._made.append(made)
        return made

    def _leaf(self, _: int) -> Any:
        r = self._random
        return r.choice(
            [
                lambda: None,
                lambda: r.random() < 0.5,
                lambda: r.randrange(-(2 ** r.randrange(1, 80)), 2 ** r.randrange(1, 80)),
                lambda: r.uniform(-1e9, 1e9),
                lambda: r.choice(_WORDS),
                lambda: r.randbytes(r.randrange(3)),
                lambda: bytearray(r.randbytes(r.randrange(3))),
                lambda: complex(r.random(), r.random()),
                lambda: r.choice(STRIDED),
                lambda: torch.Size(r.randrange(9) for _ in range(r.randrange(5))),
                lambda: torch.device("cuda", r.randrange(3)),
            ]
        )()

    def _tensor(self, _: int) -> torch.Tensor:
        r = self._random
        if self._tensors and r.random() < 0.4:
            tensor = self._view(r.choice(self._tensors))
        else:
            shape = [r.randrange(5) for _ in range(r.randrange(4))]
            tensor = self._storage(math.prod(shape), r.choice(STRIDED)).reshape(shape)
        self._tensors.append(tensor)
        if tensor.dtype.is_floating_point and tensor.dtype.itemsize > 1 and r.random() < 0.3:
            tensor = nn.Parameter(tensor.detach(), requires_grad=r.random() < 0.7)
        return tensor

    def _storage(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        """A tensor whose bytes no other tensor of this graph is likely to have."""
        content = bytearray(self._random.randbytes(count * dtype.itemsize))
        if dtype is torch.bool:
            content = bytearray(byte % 2 for byte in content)
        raw = (
            torch.frombuffer(content, dtype=torch.uint8)
            if content
            else torch.empty(0, dtype=torch.uint8)
        )
        return raw.clone().view(dtype)

    def _view(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() == 0:
            return tensor.detach()
        if tensor.dtype.is_complex and tensor.dtype.itemsize > 4 and self._random.random() < 0.5:
            return tensor.detach().conj()
        view = tensor.detach().movedim(0, -1)
        return view[..., self._random.randrange(view.shape[-1]) :] if view.shape[-1] else view

    def _dict(self, depth: int) -> Any:
        r = self._random
        keys = [
            r.choice([r.choice(_WORDS), r.randrange(99), f"k{i}"]) for i in range(r.randrange(6))
        ]
        made: Any = r.choice([dict, OrderedDict])()
        for key in keys:
            made[key] = self.make(depth - 1)
        if type(made) is OrderedDict and r.random() < 0.3:
            made._metadata = OrderedDict({"": {"version": r.randrange(3)}})
        return made

    def _list(self, depth: int) -> Any:
        r = self._random
        if r.random() < 0.05:
            return [r.randrange(300) for _ in range(r.choice([999, 1000, 1001]))]
        return [self.make(depth - 1) for _ in range(r.randrange(6))]

    def _tuple(self, depth: int) -> Any:
        return tuple(self.make(depth - 1) for _ in range(self._random.randrange(6)))

    def _special(self, _: int) -> Any:
        r = self._random
        if r.random() < 0.5:
            return {r.randrange(40) for _ in range(r.randrange(5))}
        return Counter(r.choice("abc") for _ in range(r.randrange(6)))
