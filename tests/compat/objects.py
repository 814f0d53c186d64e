"""Objects whose saved bytes must equal torch's: one maker per case, each with what makes it special."""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn, optim
from torch.optim import lr_scheduler

Maker = Callable[[], Any]

PLAIN_DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128,
]  # fmt: skip
UNTYPED_DTYPES = [
    torch.uint16, torch.uint32, torch.uint64, torch.complex32, torch.float8_e4m3fn,
    torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz,
]  # fmt: skip


def trained() -> tuple[nn.Module, optim.Optimizer]:
    """A small model after one AdamW step: its optimizer state has tensors of every usual kind."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    optimizer = optim.AdamW(model.parameters())
    model(torch.randn(4, 10)).sum().backward()
    optimizer.step()
    return model, optimizer


def scheduler_state(make: Callable[[optim.Optimizer], Any]) -> dict[str, Any]:
    scheduler = make(trained()[1])
    scheduler.optimizer.step()
    scheduler.step()
    return dict(scheduler.state_dict())


def optimizer_state(make: Callable[[Any], optim.Optimizer]) -> dict[str, Any]:
    model, _ = trained()
    optimizer = make(model.parameters())
    optimizer.step()
    return optimizer.state_dict()


def sequential_scheduler(optimizer: optim.Optimizer) -> Any:
    parts = [lr_scheduler.ConstantLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    return lr_scheduler.SequentialLR(optimizer, parts, [2])


def tied_weights() -> Any:
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    model[1].weight = model[0].weight
    return [model.state_dict(), list(model.parameters()), model[1].weight]


def recursive() -> Any:
    loop: list[Any] = []
    loop.append(loop)
    short: tuple[Any, ...] = ([],)
    short[0].append(short)
    long: tuple[Any, ...] = ([], 1, 2, 3)
    long[0].append(long)
    table: dict[str, Any] = {}
    table["self"] = table
    return [loop, short, long, table]


def views() -> Any:
    x = torch.arange(24.0).reshape(4, 6)
    return [x, x.t(), x[1:, ::2], x[0, 0], x, x.expand(2, 4, 6), x[2:2], x.unsqueeze(0)]


def lazy_bits() -> Any:
    x = torch.randn(3, dtype=torch.complex64)
    y = torch.randn(3, dtype=torch.complex64)
    return [x.conj(), x.conj().conj(), y.conj().imag, torch._neg_view(x).conj()]


def extra_state() -> Any:
    class WithExtraState(nn.Linear):
        def get_extra_state(self) -> Any:
            return {"calls": 3, "seen": torch.ones(1)}

    return WithExtraState(2, 2).state_dict()


def attributes_of_an_ordered_dict() -> Any:
    made: OrderedDict[str, Any] = OrderedDict(a=1)
    made.extra = [torch.ones(2), made]  # type: ignore[attr-defined]
    return made


def views_that_require_grad() -> Any:
    x = torch.ones(4, requires_grad=True)
    return [x, x[1:], x.detach(), x.data, x * 2, (x * 2).detach()]


def made_in_inference_mode() -> Any:
    with torch.inference_mode():
        x = torch.ones(3)
        return [x, x[1:]]


def met_again() -> Any:
    """Values of every kind that are met twice, and equal ones that are not the same object."""
    pair, text, raw, array = (1, 2, 3), "".join(["a", "b"]), b"raw", bytearray(b"array")
    return [pair, pair, (pair,), text, text, "".join(["a", "b"]), raw, raw, array, array]


def module_with_buffers() -> Any:
    model = nn.BatchNorm2d(4)
    model.register_buffer("anchor", torch.arange(3))
    return model.state_dict()


def ordered(count: int) -> OrderedDict[int, int]:
    return OrderedDict((i, i) for i in range(count))


def meta_tensors() -> Any:
    return [
        torch.empty(1 << 40, device="meta"),
        torch.empty(3, 4, device="meta")[1:],
        nn.Parameter(torch.empty(2, device="meta")),
    ]


# Everything here goes through the native walk.
NATIVE: dict[str, Maker] = {
    "model_state_dict": lambda: trained()[0].state_dict(),
    "adamw_after_a_step": lambda: trained()[1].state_dict(),
    "sgd_momentum": lambda: optimizer_state(lambda p: optim.SGD(p, 0.1, momentum=0.9)),
    "sgd_without_state": lambda: optimizer_state(lambda p: optim.SGD(p, 0.1)),
    "amsgrad": lambda: optimizer_state(lambda p: optim.Adam(p, amsgrad=True)),
    "tensor_learning_rate": lambda: optimizer_state(
        lambda p: optim.Adam(p, lr=torch.tensor(0.1), foreach=False)
    ),
    "adagrad": lambda: optimizer_state(optim.Adagrad),
    "rmsprop": lambda: optimizer_state(lambda p: optim.RMSprop(p, centered=True, momentum=0.1)),
    "step_lr": lambda: scheduler_state(lambda o: lr_scheduler.StepLR(o, 3)),
    "multi_step_lr_counter": lambda: scheduler_state(lambda o: lr_scheduler.MultiStepLR(o, [3, 4])),
    "lambda_lr": lambda: scheduler_state(lambda o: lr_scheduler.LambdaLR(o, lambda _: 1.0)),
    "one_cycle": lambda: scheduler_state(lambda o: lr_scheduler.OneCycleLR(o, 0.1, 100)),
    "cyclic": lambda: scheduler_state(
        lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.2, cycle_momentum=False)
    ),
    "cosine": lambda: scheduler_state(lambda o: lr_scheduler.CosineAnnealingLR(o, 10)),
    "sequential_lr": lambda: scheduler_state(sequential_scheduler),
    "plateau": lambda: lr_scheduler.ReduceLROnPlateau(trained()[1]).state_dict(),
    "parameters": lambda: list(trained()[0].parameters()),
    "buffers_and_metadata": module_with_buffers,
    "tied_weights": tied_weights,
    "views_of_one_storage": views,
    "slice_of_a_big_storage": lambda: torch.arange(1000.0)[5:8],
    "zero_dim": lambda: [torch.tensor(1.5), torch.tensor(3), torch.tensor(True)],
    "zero_size": lambda: [torch.empty(0), torch.empty(0, 3), torch.empty(2, 0), torch.empty(0)],
    "empty_view_of_a_full_storage": lambda: torch.ones(4, 6)[4:],
    "host_tensors_around_a_meta_tensor": lambda: [
        torch.ones(3),
        torch.ones(3, 2, device="meta"),
        torch.arange(6).view(2, 3).t()[1:],
    ],
    "requires_grad": lambda: [torch.ones(2, requires_grad=True), torch.ones(1, requires_grad=True) * 2],
    "conj_and_neg": lazy_bits,
    "meta": meta_tensors,
    "plain_dtypes": lambda: {str(d): torch.zeros(4, 4).to(d)[1:] for d in PLAIN_DTYPES},
    "untyped_dtypes": lambda: {str(d): torch.zeros(5).to(d)[1:] for d in UNTYPED_DTYPES},
    "sizes_dtypes_devices": lambda: [
        torch.Size([]), torch.Size([1, 2, 3, 4]), torch.bfloat16, torch.float8_e5m2,
        torch.device("cpu"), torch.device("cuda", 1), torch.bfloat16, torch.device("cpu"),
    ],
    "integers": lambda: [
        0, 1, 255, 256, 65535, 65536, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, 2**63,
        -(2**63), -(2**63) - 1, 2**64, -(10**50), 2**2040, -(2**2039), -(2**2047), True, False,
    ],
    "floats": lambda: [0.0, -0.0, float("nan"), float("inf"), 5e-324, 1j, complex(-0.0, 2)],
    "strings": lambda: ["", "a", "a", "é", "\U0001f600", "\ud800", "long" * 20000, "storage", "cpu"],
    "bytes": lambda: [b"", b"a", b"a", bytes(range(256)), bytearray(), bytearray(b"a"), b"latin1"],
    "sets": lambda: [set(), {1}, {1, 2, 3}, frozenset(), frozenset([(1, 2)]), {"latin1"}],
    "counters": lambda: [Counter(), Counter("abca")],
    "ordered_dicts_around_a_batch": lambda: [ordered(n) for n in (0, 1, 2, 999, 1000, 1001, 2001)],
    "dicts_around_a_batch": lambda: [dict(ordered(n)) for n in (0, 1, 2, 999, 1000, 1001, 2001)],
    "lists_around_a_batch": lambda: [list(range(n)) for n in (0, 1, 2, 999, 1000, 1001, 2000)],
    "tuples": lambda: [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((),)],
    "recursion": recursive,
    "met_again": met_again,
    "keys_of_every_kind": lambda: {
        torch.ones(1): 0, (1, 2): 1, None: 2, 1.5: 3, b"x": 4, frozenset([1]): 5, torch.float32: 6,
        "k" * 70_000: 7,
    },
    "attributes_of_an_ordered_dict": attributes_of_an_ordered_dict,
    "extra_state": extra_state,
    "views_that_require_grad": views_that_require_grad,
    "made_in_inference_mode": made_in_inference_mode,
    "channels_last": lambda: torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "strided_with_steps": lambda: torch.as_strided(torch.arange(10.0), (3, 3), (0, 1), 2),
    "long_memo_ids": lambda: [[i] for i in range(66_000)],
    "many_memo_entries": lambda: {f"key{i}": [f"value{i}"] for i in range(300)},
    "keys_like_storage_keys": lambda: {str(i): torch.full((2,), i) for i in range(12)},
    "zip_signatures_in_payloads": lambda: [
        torch.frombuffer(bytearray(mark + b"\0" * 60), dtype=torch.uint8)
        for mark in (b"PK\x05\x06", b"PK\x07\x08", b"PK\x01\x02")
    ],
    "random_states": lambda: {"torch": torch.get_rng_state(), "python": random.Random(3).getstate()},
}  # fmt: skip


def with_attribute() -> Any:
    tensor = torch.ones(2)
    tensor.label = "mine"  # type: ignore[attr-defined]
    return tensor


def with_hook() -> Any:
    parameter = nn.Parameter(torch.ones(2))
    parameter.register_hook(lambda gradient: gradient)
    return parameter


# Python's pickler does these.
FALLBACK: dict[str, Maker] = {
    "tensor_with_an_attribute": with_attribute,
    "parameter_with_a_hook": with_hook,
    "buffer_object": lambda: nn.Buffer(torch.ones(2)),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "sparse_csr": lambda: torch.eye(3).to_sparse_csr(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "untyped_storage": lambda: torch.ones(3).untyped_storage(),
    "typed_storage": lambda: [torch.ones(3).storage(), torch.ones(3)],
    "whole_module": lambda: trained()[0],
    "range_and_slice": lambda: [range(3), slice(1, 2)],
}
