"""``tintype bench``: a measurement in one run, that leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

from program import COMMAND, IO_ERROR, MIB, OK, USAGE, names, run_command, run_json


def test_it_measures_both_sides_round_by_round_and_tidies_up(tmp_path: Path) -> None:
    report = run_json("bench", tmp_path, "-s", 4, "-r", 3)
    assert list(report) == ["schema", "version", "directory", "backend", "rows"]
    assert (report["schema"], report["version"]) == ("tintype.bench", 1)
    assert report["directory"] == str(tmp_path)
    assert [(row["name"], row["size_bytes"]) for row in report["rows"]] == [
        ("durable", 4 * MIB), ("caller held", 4 * MIB), ("durable", MIB),
    ]  # fmt: skip
    for row in report["rows"]:
        assert list(row) == [
            "name", "size_bytes", "engine_seconds", "plain_seconds", "ratio", "ratio_min",
            "ratio_max",
        ]  # fmt: skip
        pairs = list(zip(row["plain_seconds"], row["engine_seconds"], strict=True))
        ratios = sorted(plain / engine for plain, engine in pairs)
        assert [row["ratio_min"], row["ratio"], row["ratio_max"]] == ratios and ratios[0] > 0
    durable, held, _ = report["rows"]
    assert all(
        h <= d for h, d in zip(held["engine_seconds"], durable["engine_seconds"], strict=True)
    )
    assert held["plain_seconds"] == durable["plain_seconds"]
    assert names(tmp_path) == []


def test_the_table_has_a_line_for_each_row(tmp_path: Path) -> None:
    done = run_command("bench", tmp_path, "-s", 2, "-r", 1)
    assert done.returncode == OK and done.stderr == ""
    lines = done.stdout.splitlines()
    columns = ["SAVE", "MEDIAN ENGINE", "MEDIAN PLAIN", "MEDIAN OF PLAIN ÷ ENGINE (RANGE)"]
    assert re.split("  +", lines[0]) == columns
    assert lines[1].startswith("2 MiB, durable") and lines[2].startswith("2 MiB, caller held")
    assert "; 1 round, in turns" in lines[-1]


def test_no_two_rows_measure_the_same(tmp_path: Path) -> None:
    report = run_json("bench", tmp_path, "-s", 1, "-r", 1)
    rows = [(row["name"], row["size_bytes"]) for row in report["rows"]]
    assert rows == [("durable", MIB), ("caller held", MIB)]


def test_too_little_space_and_no_directory_are_said(tmp_path: Path) -> None:
    done = run_command("bench", tmp_path / "missing")
    assert done.returncode == IO_ERROR and "ENOENT" in done.stderr
    assert run_command("bench", tmp_path, "-s", 0).returncode == USAGE


def test_a_signal_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [COMMAND, "bench", tmp_path, "-s", "1", "-r", "1000"], stderr=subprocess.PIPE
    ) as process:
        time.sleep(0.5)
        assert names(tmp_path) != []
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == -signal.SIGINT
    assert names(tmp_path) == []
