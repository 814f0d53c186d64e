"""Which values CheckpointCallback takes: those that torch.load(weights_only=True) loads back."""

from __future__ import annotations

import collections
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from checkpoint_jobs import names, open_callback
from tintype import UnsupportedError
from tintype._readable import ReadableCheck


class Unknown:
    """A type that the safe unpickler does not know."""


class Declared(torch.Tensor):
    """A tensor of a class that the job declared safe, pickled as torch pickles subclasses."""


class Slotted(torch.Tensor):
    """One whose state is not in its __dict__ alone."""

    __slots__ = ("mark",)


class Reduced(torch.Tensor):
    """One that does not pickle its attributes."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return torch.Tensor.__reduce_ex__(self.as_subclass(torch.Tensor).detach(), protocol)


def tensor(kind: Any = torch.Tensor, **attributes: Any) -> Any:
    made = torch.nn.Parameter(torch.ones(2)) if kind is torch.nn.Parameter else torch.ones(2)
    made = made if kind is torch.nn.Parameter else made.as_subclass(kind)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def ordered(**attributes: Any) -> Any:
    made = collections.OrderedDict(a=1)
    vars(made).update(attributes)
    return made


def holding_itself() -> tuple[list[Any], tuple[Any]]:
    """A list and a tuple, each in the other."""
    inner: list[Any] = []
    outer = (inner,)
    inner.append(outer)
    return inner, outer


def of_dict() -> Any:
    inner: dict[str, Any] = {}
    outer = (inner,)
    inner["outer"] = outer
    return outer


def tensor_in_itself() -> Any:
    made = tensor()
    made.me = [made]
    return made


def list_of_tensor_of_list() -> Any:
    made: list[Any] = []
    made.append(tensor(back=made))
    return made


def own_list() -> Any:
    made: list[Any] = []
    made.append(made)
    return made


P = torch.nn.Parameter
REFUSED: dict[str, Callable[[], Any]] = {
    "empty bytes": lambda: b"",
    "empty bytes in a dict": lambda: {"diff": b"", "n": 1},
    "empty bytes as a key": lambda: {b"": 1},
    "empty bytes in a tuple as a key": lambda: {("a", b""): 1},
    "1 << 2039": lambda: 1 << 2039,
    "1 << 3000": lambda: [1 << 3000],
    "-(1 << 2040)": lambda: -(1 << 2040),
    "-(1 << 2039) - 1": lambda: -(1 << 2039) - 1,
    "large int as a key": lambda: {1 << 3000: 1},
    "tensor": lambda: tensor(foo=Unknown()),
    "tensor in a dict": lambda: {"exp_avg": tensor(foo=[{"x": Unknown()}])},
    "parameter": lambda: tensor(P, foo=Unknown()),
    "tensor in an attribute": lambda: tensor(foo=tensor(foo=Unknown())),
    "second of a subclass": lambda: [tensor(Declared), tensor(Declared, foo=Unknown())],
    "second with slots": lambda: [tensor(Slotted), tensor(Slotted, mark=Unknown())],
    "OrderedDict": lambda: ordered(foo=Unknown()),
    "OrderedDict of empty bytes": lambda: ordered(foo=[b""]),
    "tuple of itself": lambda: holding_itself()[1],
    "tuple of itself in a list": lambda: [holding_itself()[1]],
    "tuple of a dict of itself": of_dict,
    "tensor of itself": tensor_in_itself,
    "frozenset": lambda: frozenset([1]),
}
TAKEN: dict[str, Callable[[], Any]] = {
    "bytes": lambda: [b"x", b"\xff", b"\0", bytes(range(256)), b"a" * 70_000],
    "bytes as a key": lambda: {b"x": 1},
    "bytearrays": lambda: [bytearray(), bytearray(b"\xff")],
    "ints": lambda: [0, 1 << 31, -(1 << 31) - 1, 1 << 64, (1 << 2039) - 1],
    "-(1 << 2039)": lambda: -(1 << 2039),
    "int keys": lambda: {1 << 2038: 1, -1: 2},
    "empty str": lambda: "",
    "tensor": lambda: tensor(foo=[1, {"x": (2, b"x")}]),
    "parameter": lambda: tensor(P, foo=tensor(note="x")),
    "buffer": lambda: torch.nn.Buffer(torch.ones(2)),
    "subclass": lambda: [tensor(Declared), tensor(Declared, foo=1)],
    "slots": lambda: [tensor(Slotted), tensor(Slotted, mark=1)],
    "attribute that is not pickled": lambda: [tensor(Reduced), tensor(Reduced, foo=Unknown())],
    "OrderedDict": lambda: ordered(foo={"version": 1}),
    "state_dict": lambda: torch.nn.BatchNorm1d(2).state_dict(),
    "list of a tuple of it": lambda: holding_itself()[0],
    "list, then its tuple": lambda: list(holding_itself()),
    "list of a tensor of it": list_of_tensor_of_list,
    "list of itself": own_list,
    "one tuple twice": lambda: [((1, [2]),) * 2],
    "Counter": lambda: collections.Counter("ab"),
    "set": lambda: {1, "a"},
    "sparse": lambda: torch.eye(2).to_sparse(),
    "meta": lambda: torch.ones(2, device="meta"),
    "types": lambda: [torch.Size([1]), torch.device("cuda:1"), torch.strided],
    "dtypes": lambda: sorted((x for x in vars(torch).values() if type(x) is torch.dtype), key=str),
}


def is_loaded_back(value: Any) -> bool:
    buffer = io.BytesIO()
    torch.save({"x": value}, buffer)
    buffer.seek(0)
    try:
        torch.load(buffer, weights_only=True)
    except Exception:  # noqa: BLE001 - by whatever error
        return False
    return True


@pytest.mark.parametrize("name", REFUSED)
def test_what_weights_only_refuses_is_refused(name: str) -> None:
    value = REFUSED[name]()
    with torch.serialization.safe_globals([Declared, Slotted, Reduced]):
        assert not is_loaded_back(value)
        with pytest.raises(UnsupportedError, match=r"^x.*weights_only=True"):
            ReadableCheck().check({"x": value})


@pytest.mark.parametrize("name", TAKEN)
def test_what_weights_only_takes_is_taken(name: str) -> None:
    value = TAKEN[name]()
    with torch.serialization.safe_globals([Declared, Slotted, Reduced]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of sparse tensors
        assert is_loaded_back(value)
        readable = ReadableCheck()
        readable.check({"x": value})
        readable.check({"x": value})  # again, with what it has remembered


def test_values_of_one_checkpoint_are_looked_at_in_the_order_of_its_pickle() -> None:
    inner, outer = holding_itself()
    ReadableCheck().check({"a": inner, "b": outer})
    with pytest.raises(UnsupportedError, match=r"^a\[0\]\[0\] is a builtins.tuple that holds itse"):
        ReadableCheck().check({"a": outer, "b": inner})


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"git_diff": b""}, "git_diff is empty bytes, .*: leave it out, or pass None"),
        ({"seed": [1 << 3000]}, r"seed\[0\] is an int of 3001 bits, .*: pass it as a str"),
        ({"ema": tensor(foo=Unknown())}, r"ema\.foo is a .*Unknown, "),
        ({"ema": ordered(foo=Unknown())}, r"ema\.foo is a .*Unknown, "),
        ({"loop": of_dict()}, r"loop\[0\]\['outer'\] is a builtins.tuple that holds itself"),
    ],
)
def test_an_epoch_that_could_not_be_resumed_from_is_refused_and_the_next_is_resumed(
    tmp_path: Path, extra: dict[str, Any], text: str
) -> None:
    with open_callback(tmp_path) as callback:
        callback.on_stage_start("train")
        with pytest.raises(UnsupportedError, match=text):
            callback.on_epoch_end("train", 1, {"loss": 1.0}, **extra)
        assert names(tmp_path) == {"_metrics.json"}
        callback.on_epoch_end("train", 1, {"loss": 1.0}, git_diff=b"x", ema=tensor(foo=1))
    with open_callback(tmp_path, resume="last") as callback:
        assert callback.on_stage_start("train") == 2
        assert callback.resumed is not None and callback.resumed["git_diff"] == b"x"
        assert callback.resumed["ema"].foo == 1
