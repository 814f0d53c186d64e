"""How ``load(keys=...)`` chooses by names: what it means, and what it costs."""

from __future__ import annotations

import cProfile
import pstats
import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tintype._archive import Archive
from tintype._errors import UnsupportedError
from tintype._partial import NameFilter


def _names_in(tree: Any, name: str | None = None) -> list[str]:
    """The names of all leaves, as ``inspect`` gives them."""
    if not isinstance(tree, (dict, list, tuple)):
        return ["" if name is None else name]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found = []
    for key, value in items:
        part = key if isinstance(key, str) else repr(key)
        found += _names_in(value, part if name is None else f"{name}/{part}")
    return found


def _archive_of(tree: Any) -> Archive:
    names = dict.fromkeys(_names_in(tree))
    return cast(Archive, SimpleNamespace(path="x.pth", tensors=names, values={}))


def _leads_to(key: str, name: str) -> bool:
    return name == key or (name.startswith(key) and (key[-1] in "/." or name[len(key)] in "/."))


class EveryKeyByEveryName:
    """The meaning of ``keys``, word for word: each name is compared with each key."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys
        self.cut_out: set[str] = set()

    def cut(self, tree: Any, archive: Archive) -> Any:
        part = self._part(tree, None) if isinstance(tree, (dict, list, tuple)) else None
        for key in self.keys:
            is_known = any(_leads_to(key, name) for name in archive.tensors)
            is_within = any(_leads_to(other, key) for other in self.cut_out)
            if key in self.cut_out or (is_within and is_known):
                continue
            raise UnsupportedError(f"{key!r}") if is_known else KeyError(f"{key!r}")
        return part

    def _part(self, tree: Any, parent: str | None) -> Any:
        is_dict = isinstance(tree, dict)
        kept = []
        for key, value in tree.items() if is_dict else enumerate(tree):
            part = key if isinstance(key, str) else repr(key)
            name = part if parent is None else f"{parent}/{part}"
            chosen_by = {chosen for chosen in self.keys if _leads_to(chosen, name)}
            self.cut_out |= chosen_by
            leads_deeper = any(chosen.startswith(name + "/") for chosen in self.keys)
            if chosen_by:
                kept.append((key, value))
            elif leads_deeper and isinstance(value, (dict, list, tuple)):
                kept.append((key, self._part(value, name)))
            elif not is_dict:
                kept.append((key, None))
        return dict(kept) if is_dict else type(tree)(value for _, value in kept)


def _random_tree(rng: random.Random, depth: int) -> Any:
    if depth == 0 or rng.random() < 0.2:
        return rng.randint(0, 99)
    texts = ["a", "b", "ab", "a.b", "a/b", "a/", "/a", "a.", "/", ".", "", "a//b", 0, "0", 1, None]
    items = {key: _random_tree(rng, depth - 1) for key in rng.sample(texts, rng.randint(0, 6))}
    kind = rng.choice([dict, dict, list, tuple])
    return items if kind is dict else kind(items.values())


def _random_key(rng: random.Random, names: list[str]) -> str:
    name = rng.choice(names)
    end = rng.choice([len(name), rng.randint(0, len(name))])
    return (name[:end] + rng.choice(["", "", "", "/", "."])) or "a"


def _outcome(names: Any, tree: Any) -> Any:
    try:
        return names.cut(tree, _archive_of(tree))
    except (KeyError, UnsupportedError) as error:
        return type(error), str(error)


def test_random_names_mean_what_a_comparison_with_every_key_says() -> None:
    rng, parts, errors = random.Random(0), 0, 0
    for _ in range(1000):
        tree = _random_tree(rng, 4)
        known = _names_in(tree) or ["a"]
        keys = [_random_key(rng, known) for _ in range(rng.choice([1, 1, 2, 3, 8]))]
        found = _outcome(NameFilter(keys), tree)
        meant = _outcome(EveryKeyByEveryName(keys), tree)
        if isinstance(meant, tuple) and meant and isinstance(meant[0], type):
            assert found[0] is meant[0] and meant[1].strip('"') in found[1], (tree, keys)
            errors += 1
        else:
            assert found == meant and type(found) is type(meant), (tree, keys)
            parts += 1
    print(f"{parts} parts, {errors} errors")
    assert parts > 200 and errors > 200


def _call_count(keys: list[str], tree: Any) -> int:
    names, archive = NameFilter(keys), _archive_of(tree)
    profile = cProfile.Profile()
    part = profile.runcall(names.cut, tree, archive)
    assert part == tree
    return cast(Any, pstats.Stats(profile)).total_calls


@pytest.mark.parametrize("extra", [[], ["m"]], ids=["beside each other", "within another"])
def test_cost_of_many_keys_grows_as_their_number_does(extra: list[str]) -> None:
    def calls(count: int) -> int:
        tree = {"m": {f"layer.{i}.weight": i for i in range(count)}}
        return _call_count([*(f"m/layer.{i}" for i in range(count)), *extra], tree)

    few, many = calls(200), calls(2000)
    print(f"{few} calls for 200 keys, {many} for 2000")
    assert many < 15 * few
