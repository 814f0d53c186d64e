"""`make bench` keeps working: every row of the table is measured. Never asserts speed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

TABLE = Path(__file__).parents[2] / "bench" / "table.py"

# Rows by group; what section 12 of the design promises for the host.
ROWS = {
    "save": 2,
    "pwrite": 1,
    "small": 2,
    "bytes": 1,
    "capture": 3,
    "blocking": 1,
    "guarded": 6,
    "first": 2,
    "dcp": 3,
    "load": 5,
    "forms": 14,
    "memory": 2,
}


def run_table(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TABLE), "--dir", str(tmp_path / "files"), "--out", str(tmp_path)]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False)


def test_quick_table_has_every_row_with_finite_ratios(tmp_path: Path) -> None:
    result = run_table(tmp_path, "--quick")
    assert result.returncode == 0, result.stderr
    measured = json.loads((tmp_path / "bench.json").read_text())
    counts = dict.fromkeys(ROWS, 0)
    for row in measured["rows"]:
        counts[row["group"]] += 1
        assert row["ratios"] and all(math.isfinite(ratio) for ratio in row["ratios"]), row
        assert row["verdict"] in ("met", "missed", "shown"), row
    assert counts == ROWS
    table = (tmp_path / "bench.md").read_text()
    assert result.stdout == table
    assert table.count("\n| ") == sum(ROWS.values())  # the heading is the first line
    for what in ("CPU", "kernel", "file system", "disk", "torch", "tintype"):
        assert measured["machine"][what]
    assert not (tmp_path / "files").exists()


def test_a_folder_with_files_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "precious").write_text("kept")
    result = run_table(tmp_path, "--quick", "--rows", "bytes")
    assert result.returncode == 2
    assert "is not empty" in result.stderr
    assert (tmp_path / "files" / "precious").read_text() == "kept"


def test_an_unknown_row_is_refused_by_name(tmp_path: Path) -> None:
    result = run_table(tmp_path, "--rows", "sapve")
    assert result.returncode == 2
    assert "'sapve' is not one of save," in result.stderr
