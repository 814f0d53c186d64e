"""The oldest torch that is supported and the newest there was when this was last changed.

Each gets a venv of its own under ``build/other-torch`` (5 to 6 GB, kept; needs the network once).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from other_torch import CASES, facts_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

HERE = Path(__file__).resolve().parent
VENVS = HERE.parent.parent / "build" / "other-torch"
PACKAGE = Path(tintype.__file__).absolute().parent
OLDEST, NEWEST = "2.6.0", "2.15.0"


def python_with(version: str) -> Path:
    """A Python with that torch, installed at the first call."""
    venv = VENVS / version
    python, complete = venv / "bin" / "python", venv / "complete"
    if not complete.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        pip = [python, "-m", "pip", "install", "-q", "--no-cache-dir"]
        subprocess.run([*pip, f"torch=={version}", "numpy"], check=True)
        complete.touch()
    return python


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each case's file, written here, and the facts about its object."""
    folder = tmp_path_factory.mktemp("files")
    facts = {}
    for name, make in CASES.items():
        obj = make()
        facts[name] = facts_of(obj)
        tintype.save(obj, folder / f"{name}.pth")
    (folder / "facts.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="module", params=[OLDEST, NEWEST])
def told(request: pytest.FixtureRequest, folder: Path) -> Any:
    """What the other torch said."""
    search = os.pathsep.join([str(PACKAGE.parent), str(HERE)])
    done = subprocess.run(
        [python_with(request.param), HERE / "other_torch.py", folder],
        env={**os.environ, "PYTHONPATH": search, "TORCH_SERIALIZATION_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["torch"].startswith(request.param)
    print(f"written by {torch.__version__}: {answer}")
    return answer


def test_other_torch_reads_every_file_of_ours(told: Any) -> None:
    assert told["wrong"] == []
    assert told["read"] + len(told["unknown"]) == len(CASES)
    assert len(told["unknown"]) <= 2  # dtypes that came later


def test_under_another_torch_pickle_and_payloads_are_its_own(told: Any) -> None:
    assert told["different"] == []
    assert told["saved"] >= len(CASES) - 5  # optimizers and dtypes that came later
    if not told["torch"].startswith(OLDEST):  # which wrote fewer records around them
        assert told["identical"] == told["saved"]


def test_under_another_torch_capture_is_native_and_guards_save_lazily(told: Any) -> None:
    assert told["capture_path"] == "native"
    assert told["lazy_bytes"] == 64 * 64 * 4
