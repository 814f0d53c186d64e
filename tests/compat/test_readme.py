"""README.md's Python runs as it stands, in order, and its quick start is short."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the blocks ran as one program."""
    folder = tmp_path_factory.mktemp("readme")
    program = folder / "readme.py"
    program.write_text("\n".join(BLOCKS), encoding="utf-8")
    subprocess.run([sys.executable, program.name], cwd=folder, check=True, timeout=120)
    return folder


def test_quick_start_has_at_most_ten_lines() -> None:
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 10


def test_quick_start_saves_its_files(folder: Path) -> None:
    assert {"model.pth", "optimizer.pth"} <= {path.name for path in folder.iterdir()}


def test_training_run_leaves_the_directory_that_is_described(folder: Path) -> None:
    names = {path.name for path in (folder / "logs/run1/checkpoints").iterdir()}
    numbered = {name for name in names if name.startswith("train.")}
    assert len(numbered) == 6
    others = {f"{base}{kind}.pth" for base in ("best", "last") for kind in ("", "_full")}
    assert names - numbered == others | {"_metrics.json", ".tintype.json", ".tintype.lock"}
