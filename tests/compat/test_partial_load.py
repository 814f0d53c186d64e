"""``load(keys=...)``: parts of a checkpoint by name."""

from __future__ import annotations

import random
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import tintype
from reading_support import equal, many_kinds, training_state
from tintype._partial import NameFilter


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "x.pth"
    torch.save(training_state(), path)
    return path


def test_keys_load_only_these_parts(checkpoint: Path) -> None:
    whole = torch.load(checkpoint)
    names = ["model_state_dict/0", "optimizer_state_dict/state/1", "epoch"]
    part = tintype.load(checkpoint, keys=names)
    assert list(part) == ["model_state_dict", "optimizer_state_dict", "epoch"]
    assert list(part["model_state_dict"]) == ["0.weight", "0.bias"]
    assert part["model_state_dict"]._metadata == whole["model_state_dict"]._metadata
    assert equal(part["model_state_dict"]["0.weight"], whole["model_state_dict"]["0.weight"])
    optimizer_state = whole["optimizer_state_dict"]["state"]
    assert equal(part["optimizer_state_dict"]["state"], {1: optimizer_state[1]})
    model_only = {"model_state_dict": whole["model_state_dict"]}
    assert equal(tintype.load(checkpoint, keys="model_state_dict"), model_only)


def test_keys_may_overlap(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"m": torch.ones(2), "n": {"a": torch.ones(1), "b": torch.ones(2)}}, path)
    whole = tintype.load(path, keys="n")
    assert equal(tintype.load(path, keys=["n/a", "n"]), whole)
    assert equal(tintype.load(path, keys=["n", "n/b", "n"]), whole)
    with pytest.raises(KeyError, match="names nothing"):
        tintype.load(path, keys=["n", "n/c"])


def test_keys_do_not_choose_by_half_a_word(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    lists = [torch.ones(3), torch.ones(4)]
    torch.save({"train.1": torch.ones(1), "train.10": torch.ones(2), "l": lists}, path)
    assert list(tintype.load(path, keys="train.1")) == ["train.1"]
    assert equal(tintype.load(path, keys="l/1"), {"l": [None, torch.ones(4)]})
    with pytest.raises(KeyError, match="names nothing"):
        tintype.load(path, keys="train.2")


@pytest.mark.parametrize(
    "keys, error, text",
    [
        (3, TypeError, "keys=3 is of type int: give a name"),
        (b"a", TypeError, "keys=b'a' is of type bytes"),
        ({"a": 1}, TypeError, "is of type dict"),
        ([3], TypeError, "keys holds 3 of type int"),
        (["epoch", None], TypeError, "keys holds None"),
        ("", ValueError, "keys holds an empty name"),
        (["epoch", ""], ValueError, "keys holds an empty name"),
        ("a", KeyError, "'a' names nothing in .*x.pth; tintype.inspect lists the names"),
        (["epoch", "a"], KeyError, "'a' names nothing"),
    ],
)
def test_keys_that_are_no_names_are_refused(
    checkpoint: Path, keys: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        tintype.load(checkpoint, keys=keys)


def test_keys_read_and_check_only_what_they_need(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.arange(1000), "b": torch.arange(1000)}, path)
    content = bytearray(path.read_bytes())
    content[content.rindex((777).to_bytes(8, "little"))] ^= 1  # in b
    path.write_bytes(content)
    assert equal(tintype.load(path, keys="a"), {"a": torch.arange(1000)})
    with pytest.raises(tintype.CorruptCheckpointError, match="data/1.*tensor b"):
        tintype.load(path, keys="b")


def test_keys_keep_shared_storages_shared(tmp_path: Path) -> None:
    base = torch.arange(10.0)
    torch.save({"a": base, "v": base[2:4], "other": torch.ones(3)}, tmp_path / "x.pth")
    part = tintype.load(tmp_path / "x.pth", keys=["a", "v"])
    part["a"][2] = 99
    assert part["v"][0].item() == 99


@pytest.fixture
def pass_count(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often torch unpickles."""
    counts, torch_load = Counter[str](), torch.load

    def counted_load(*arguments: Any, **options: Any) -> Any:
        counts["load"] += 1
        return torch_load(*arguments, **options)

    monkeypatch.setattr(torch, "load", counted_load)
    return counts


def test_parts_of_named_tensors_are_unpickled_once(
    checkpoint: Path, pass_count: Counter[str]
) -> None:
    for keys in ("model_state_dict", ["optimizer_state_dict/state/1", "epoch"], "stage"):
        pass_count.clear()
        tintype.load(checkpoint, "cpu", keys=keys)
        assert pass_count["load"] == 1, keys


def test_damage_is_named_alike_however_often_a_part_is_unpickled(
    tmp_path: Path, pass_count: Counter[str]
) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.arange(1000), "b": torch.arange(500)}, path)
    content = bytearray(path.read_bytes())
    for value in (777, 333):  # the first in a alone
        content[content.rindex(value.to_bytes(8, "little"))] ^= 1
    path.write_bytes(content)
    texts = set()
    for where in (None, lambda storage, tag: storage):
        with pytest.raises(tintype.CorruptCheckpointError, match="data/0.*tensor a") as caught:
            tintype.load(path, where, keys="a")
        texts.add(str(caught.value))
    assert len(texts) == 1 and "data/1" not in texts.pop() and pass_count["load"] == 5


COLLIDING: list[tuple[Any, str]] = [
    ({"a/b": torch.ones(3), "a": {"b": torch.full((3,), 2.0)}}, "a/b"),
    ({"state": {0: torch.ones(3), "0": torch.full((3,), 2.0)}}, "state/0"),
    ({"x": {"y/z": torch.ones(3)}, "x/y": {"z": torch.full((3,), 2.0)}}, "x/y/z"),
]


@pytest.mark.parametrize("state, key", COLLIDING, ids=[key for _, key in COLLIDING])
@pytest.mark.parametrize("is_mapped", [False, True])
def test_all_that_a_name_stands_for_is_read(
    tmp_path: Path, state: Any, key: str, is_mapped: bool
) -> None:
    torch.save(state, tmp_path / "x.pth")
    assert equal(tintype.load(tmp_path / "x.pth", keys=key, mmap=is_mapped), state)


def _with_attribute() -> OrderedDict[str, Any]:
    state = OrderedDict(z=torch.full((3,), 5.0))
    state.extra = torch.full((4,), 7.0)  # type: ignore[attr-defined]
    return state


def _on_a_tensor() -> torch.Tensor:
    tensor = torch.ones(2)
    tensor.scale = torch.full((3,), 9.0)  # type: ignore[attr-defined]
    return tensor


def test_storages_that_hang_on_a_part_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"z": _with_attribute(), "t": _on_a_tensor(), "other": torch.ones(9)}, path)
    assert equal(tintype.load(path, keys="z")["z"].extra, torch.full((4,), 7.0))
    assert equal(tintype.load(path, keys="z/z")["z"].extra, torch.full((4,), 7.0))
    assert equal(tintype.load(path, keys="t")["t"].scale, torch.full((3,), 9.0))
    torch.save({"k": {torch.full((3,), 4.0): 1}, "other": torch.ones(9)}, path)
    assert equal(next(iter(tintype.load(path, keys="k")["k"])), torch.full((3,), 4.0))


def _channels() -> torch.Tensor:
    scales, points = torch.tensor([0.5, 0.25]), torch.tensor([3, 4])
    return torch.quantize_per_channel(torch.ones(2, 3), scales, points, 0, torch.qint8)


def test_tensors_made_of_several_storages_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"model": {"w": _channels()}, "sparse": torch.eye(3).to_sparse_csr()}, path)
    part = tintype.load(path, keys="model")["model"]["w"]
    assert part.q_per_channel_scales().tolist() == [0.5, 0.25]
    assert part.q_per_channel_zero_points().tolist() == [3, 4]
    with torch.sparse.check_sparse_tensor_invariants(enable=True):
        assert equal(tintype.load(path, keys="model")["model"]["w"], part)
        assert equal(tintype.load(path, keys="sparse"), {"sparse": torch.eye(3).to_sparse_csr()})


class Watcher:
    """Notes what it is made of."""

    seen: ClassVar[list[Any]] = []

    def __init__(self) -> None:
        self.tensor = torch.full((3,), 8.0)

    def __setstate__(self, state: dict[str, Any]) -> None:
        Watcher.seen.append(state["tensor"].tolist())
        self.__dict__.update(state)


def test_objects_that_are_not_chosen_are_made_of_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.ones(3), "watcher": Watcher()}, path)
    Watcher.seen.clear()
    part = tintype.load(path, keys="a", weights_only=False)
    assert equal(part, {"a": torch.ones(3)}) and Watcher.seen == [[8.0, 8.0, 8.0]]
    part = tintype.load(path, keys="watcher", weights_only=False)
    assert part["watcher"].tensor.tolist() == [8.0, 8.0, 8.0]


def test_parts_go_where_map_location_says(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.ones(3), "b": torch.ones(4)}, path)
    tags = []
    part = tintype.load(path, lambda storage, tag: tags.append(tag) or storage, keys="a")
    assert equal(part, {"a": torch.ones(3)}) and tags == ["cpu"]
    for where in ("meta", torch.device("meta"), {"cpu": "meta"}):
        assert tintype.load(path, where, keys="a")["a"].device.type == "meta"


def test_parts_keep_the_type_of_what_they_lie_in(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    lists: defaultdict[str, Any] = defaultdict(list, a=torch.ones(3), b=torch.ones(4))
    torch.save({"d": lists, "c": Counter("aab"), "t": (torch.ones(1), [2])}, path)
    part = tintype.load(path, keys=["d/a", "c/a", "t/1/0"], weights_only=False)
    assert part["d"]["new"] == [] and equal(part["d"]["a"], torch.ones(3))
    assert part["c"] == Counter(a=2) and part["t"] == (None, [2])


@pytest.mark.parametrize(
    "state, key",
    [
        ({"p": _on_a_tensor()}, "p/scale"),
        ({"s": torch.eye(2).to_sparse()}, "s/(1)/1"),
        ({0: torch.ones(1), "0": torch.ones(1)}, "0~2"),
        ([_on_a_tensor()], "0/scale"),
        (_on_a_tensor(), "/scale"),
    ],
)
def test_names_that_cannot_be_cut_out_are_refused(tmp_path: Path, state: Any, key: str) -> None:
    path = tmp_path / "x.pth"
    torch.save(state, path)
    names = [name for name in tintype.inspect(path).tensors if name.startswith(key)]
    assert names, tintype.inspect(path).tensors
    with pytest.raises(tintype.UnsupportedError, match="cannot be loaded alone.*choose what it"):
        tintype.load(path, keys=key)


NAMED_KEYS: list[Any] = [
    *["k", b"k", b"it's", b"\x00\xff\n", b"x" * 200, b"", True, None, 7, 2**64, -(2**511)],
    *[1.5, 1e22, -0.0, float("inf")],
]


@pytest.mark.parametrize("protocol", [2, 4])
def test_keys_of_dicts_that_are_no_texts_are_named_by_their_repr(
    tmp_path: Path, protocol: int
) -> None:
    state = {"d": {key: torch.ones(1) for key in NAMED_KEYS}}
    torch.save(state, tmp_path / "x.pth", pickle_protocol=protocol)
    names = list(tintype.inspect(tmp_path / "x.pth").tensors)
    assert names == [f"d/{key if key == 'k' else repr(key)}" for key in NAMED_KEYS]
    for name, key in zip(names, NAMED_KEYS, strict=True):
        part = tintype.load(tmp_path / "x.pth", keys=name, weights_only=False)
        assert equal(part, {"d": {key: torch.ones(1)}}), name


@pytest.mark.parametrize("key", [(1, 2), frozenset("a"), torch.float32, 2**511, b"x" * 201])
def test_keys_of_dicts_that_have_no_name_of_their_own_are_refused(
    tmp_path: Path, key: object
) -> None:
    torch.save({"d": {key: torch.ones(1)}}, tmp_path / "x.pth")
    (name,) = tintype.inspect(tmp_path / "x.pth").tensors
    with pytest.raises(tintype.UnsupportedError, match="alone.* neither a text nor a number"):
        tintype.load(tmp_path / "x.pth", keys=name, weights_only=False)
    with pytest.raises((KeyError, tintype.UnsupportedError)):
        tintype.load(tmp_path / "x.pth", keys=f"d/{key!r}", weights_only=False)


def test_every_listed_name_is_loaded_or_refused(tmp_path: Path) -> None:
    path, counts = tmp_path / "x.pth", Counter[str]()
    for state in many_kinds().values():
        torch.save(state, path)
        archive = tintype.inspect(path)
        names = sorted({*archive.tensors, *archive.values} - {""})
        for name in random.Random(0).sample(names, min(len(names), 10)):
            try:
                part = tintype.load(path, keys=name, weights_only=False)
                counts["loaded"] += 1
                assert len(part) > 0, name
            except tintype.UnsupportedError:
                counts["refused"] += 1
    print(dict(counts))
    assert counts["loaded"] > 50 and counts["refused"] > 5


def test_random_graphs_are_cut_like_their_whole(tmp_path: Path) -> None:
    path, count = tmp_path / "x.pth", 0
    for seed in range(20):
        rng = random.Random(seed)
        state = {key: _random_value(rng, 3) for key in ("a", "b", "a/b", 0)}
        torch.save(state, path)
        for key in ("a", "b", "a/b", "0", "a/0"):
            try:
                part = tintype.load(path, keys=key)
            except (KeyError, tintype.UnsupportedError):
                continue
            names = NameFilter(key)
            assert equal(part, names.cut(torch.load(path), tintype.inspect(path))), (seed, key)
            count += 1
    print(f"{count} parts")
    assert count > 60


def _random_value(rng: random.Random, depth: int) -> Any:
    if depth == 0 or rng.random() < 0.2:
        return torch.full((rng.randint(0, 4),), float(rng.randint(1, 1000)))
    keys = rng.sample(["a", "b", "0", 0, "a/b", "b.a"], rng.randint(1, 4))
    items = {key: _random_value(rng, depth - 1) for key in keys}
    kind = rng.choice([dict, OrderedDict, list, tuple])
    return kind(items) if kind in (dict, OrderedDict) else kind(items.values())
