"""Run by another torch than the tests': reads files of ours, and saves by it.

    python other_torch.py FOLDER        prints a JSON object of what happened

FOLDER has NAME.pth for each case and facts.json with what ``facts_of`` said where it was written.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from dtype_objects import NATIVE_DTYPES
from objects import NATIVE
from training_objects import TRAINING

CASES = {**NATIVE, **TRAINING, **NATIVE_DTYPES}
del CASES["recursion"]  # facts_of would not end
# weights_only refuses these, whoever wrote them.
_TRUSTED_ONLY = {"bytes", "sets", "integers", "keys_of_every_kind"}


def facts_of(obj: Any) -> Any:
    """Everything that can be seen of ``obj``, as JSON has it; the same in every torch."""
    if isinstance(obj, torch.Tensor):
        return _tensor_facts(obj)
    name = type(obj).__name__
    if isinstance(obj, dict):
        return [name, [[facts_of(key), facts_of(value)] for key, value in obj.items()]]
    if isinstance(obj, (list, tuple)):
        return [name, [facts_of(item) for item in obj]]
    if isinstance(obj, (set, frozenset)):
        return [name, sorted(map(repr, obj))]
    return [name, ascii(obj)]


def _tensor_facts(tensor: torch.Tensor) -> Any:
    facts = [type(tensor).__name__, str(tensor.dtype), list(tensor.shape), list(tensor.stride())]
    facts += [tensor.requires_grad, tensor.is_conj(), tensor.is_neg(), str(tensor.device)]
    if tensor.device.type == "meta":
        return facts
    content = bytes(tensor.untyped_storage())
    return [*facts, tensor.storage_offset(), hashlib.sha256(content).hexdigest()]


def read_all(folder: Path) -> dict[str, Any]:
    expected = json.loads((folder / "facts.json").read_text())
    outcome: dict[str, Any] = {"read": 0, "unknown": [], "wrong": []}
    for name, facts in expected.items():
        if name.startswith("dtype ") and not hasattr(torch, name.removeprefix("dtype ")):
            outcome["unknown"].append(name)
            continue
        for is_mapped in (False, True):
            path = folder / f"{name}.pth"
            loaded = torch.load(path, mmap=is_mapped, weights_only=name not in _TRUSTED_ONLY)
            if json.loads(json.dumps(facts_of(loaded))) != facts:
                outcome["wrong"].append(name)
        outcome["read"] += 1
    return outcome


def save_all() -> dict[str, Any]:
    """Saves by tintype under this torch and compares with what this torch writes itself."""
    import tintype

    outcome: dict[str, Any] = {"saved": 0, "identical": 0, "different": []}
    for name, make in CASES.items():
        obj = make()
        ours, torchs = io.BytesIO(), io.BytesIO()
        tintype.save(obj, ours)
        torch.save(obj, torchs)
        outcome["saved"] += 1
        outcome["identical"] += ours.getvalue() == torchs.getvalue()
        if content_of(ours) != content_of(torchs):
            outcome["different"].append(name)
    return outcome


def save_guarded(path: Path) -> dict[str, Any]:
    """How a guarded save captures a state, and what of it it leaves to the background."""
    import tintype

    weight = torch.nn.Parameter(torch.zeros(64, 64))
    optimizer = torch.optim.SGD([weight], 0.1)
    with tintype.Engine() as engine:
        engine.guard(optimizer)
        snapshot = engine.save_async([weight, optimizer.state_dict()], path)
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        snapshot.wait_durable()
        report = snapshot.report()
    return {name: report[name] for name in ("capture_path", "lazy_bytes")}


def content_of(image: io.BytesIO) -> dict[str, bytes]:
    """The pickle and the payloads: the records that mean something to every torch."""
    with zipfile.ZipFile(image) as archive:
        names = [n for n in archive.namelist() if n.startswith(("archive/data", "archive/byte"))]
        return {name: archive.read(name) for name in names}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    answer = {"torch": torch.__version__, **read_all(folder), **save_all()}
    print(json.dumps({**answer, **save_guarded(folder / "guarded.pth")}))
