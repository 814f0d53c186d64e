"""``tintype doctor``: what it finds is what is there, and what it says helps."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from program import COMMAND, IO_ERROR, OK, run_command, run_json

SANDBOX = Path(__file__).with_name("sandbox.py")
FINDING_KEYS = ["topic", "verdict", "detail", "cost", "remedy", "errno", "size_bytes"]
DIRECTORY_TOPICS = [
    "file_system", "free_space", "unnamed_files", "locks", "preallocation", "direct_io",
    "hard_links", "exchange", "reflinks",
]  # fmt: skip


def findings_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["topic"]: one for section in report["sections"] for one in section["findings"]}


def run_in_sandbox(directory: Path, *limits: str, expect: int = OK) -> dict[str, dict[str, Any]]:
    words = [sys.executable, str(SANDBOX), *limits, "--", str(COMMAND), "doctor", str(directory)]
    done = subprocess.run([*words, "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == expect, done.stderr
    return findings_of(json.loads(done.stdout))


def test_json_has_the_documented_form(tmp_path: Path) -> None:
    report = run_json("doctor", tmp_path)
    assert list(report) == ["schema", "version", "directory", "usable", "sections"]
    assert (report["schema"], report["version"]) == ("tintype.doctor", 1)
    assert report["directory"] == str(tmp_path.resolve())
    assert report["usable"] is True
    for section in report["sections"]:
        assert list(section) == ["title", "findings"]
        for finding in section["findings"]:
            assert list(finding) == FINDING_KEYS
            assert finding["verdict"] in ("found", "missing")
            assert finding["detail"]
            assert bool(finding["cost"]) == (finding["verdict"] == "missing")
    assert [len(section["findings"]) for section in report["sections"]] == [2, 9, 6]


def test_every_topic_of_the_directory_is_judged_in_the_order_of_a_save(tmp_path: Path) -> None:
    report = run_json("doctor", tmp_path)
    topics = [finding["topic"] for finding in report["sections"][1]["findings"]]
    assert topics == DIRECTORY_TOPICS


def test_the_text_says_what_the_json_says(tmp_path: Path) -> None:
    findings = findings_of(run_json("doctor", tmp_path))
    done = run_command("doctor", tmp_path)
    assert done.returncode == OK
    assert done.stderr == ""
    lines = [line.split() for line in done.stdout.splitlines()]
    shown = {words[1]: words[0] for words in lines if len(words) > 2}
    for topic, finding in findings.items():
        assert shown[topic] == finding["verdict"]
    assert done.stdout.endswith(f"Saves to {tmp_path.resolve()} work.\n")


def test_the_file_system_is_named_as_the_kernel_names_it(tmp_path: Path) -> None:
    findings = findings_of(run_json("doctor", tmp_path))
    found = subprocess.run(
        ["findmnt", "-n", "-o", "FSTYPE", "-T", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode != 0:
        pytest.skip("findmnt names no mount here, as in a chroot")
    assert findings["file_system"]["detail"].split(":")[0] == found.stdout.strip()
    assert findings["free_space"]["size_bytes"] > 0


def test_nothing_stays_in_the_directory(tmp_path: Path) -> None:
    (tmp_path / "best.pth").write_bytes(b"weights")
    assert run_command("doctor", tmp_path).returncode == OK
    assert [path.name for path in tmp_path.iterdir()] == ["best.pth"]
    assert (tmp_path / "best.pth").read_bytes() == b"weights"


def test_the_current_directory_is_the_default(tmp_path: Path) -> None:
    done = run_command("doctor", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["directory"] == str(tmp_path.resolve())


def test_a_directory_in_memory_is_said_to_forget() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        finding = findings_of(run_json("doctor", directory))["file_system"]
    assert finding["verdict"] == "missing"
    assert finding["detail"].startswith("tmpfs")
    assert "reboot" in finding["cost"]


@pytest.mark.parametrize("name", ["EPERM", "ENOSYS"])
def test_a_seccomp_filter_is_named_as_the_cause(tmp_path: Path, name: str) -> None:
    findings = run_in_sandbox(tmp_path, "--deny", name)
    assert findings["io_uring"]["verdict"] == "missing"
    assert findings["io_uring"]["errno"] == name
    assert "seccomp" in findings["io_uring"]["detail"]
    assert "seccomp profile" in findings["io_uring"]["remedy"]
    assert findings["registered_buffers"]["verdict"] == "missing"
    assert findings["direct_io"]["detail"].endswith("by pwrite")


def test_io_uring_is_found_where_nothing_denies_it(tmp_path: Path) -> None:
    disabled = Path("/proc/sys/kernel/io_uring_disabled")
    if disabled.exists() and disabled.read_text().strip() != "0":
        pytest.skip("this machine's administrator turned io_uring off")
    findings = run_in_sandbox(tmp_path)
    if "seccomp" in findings["io_uring"]["detail"]:
        pytest.skip("this container's seccomp profile denies io_uring")
    assert findings["io_uring"]["verdict"] == "found"
    assert "by io_uring" in findings["direct_io"]["detail"]


def test_a_small_memlock_limit_is_told_with_its_remedy(tmp_path: Path) -> None:
    findings = run_in_sandbox(tmp_path, "--memlock", str(64 << 10))
    if findings["io_uring"]["verdict"] == "missing":
        pytest.skip("no io_uring here")
    finding = findings["registered_buffers"]
    assert finding["verdict"] == "missing"
    assert finding["errno"] == "ENOMEM"
    assert "limit 64 KiB" in finding["detail"]
    assert "ulimit -l" in finding["remedy"]


def test_a_file_size_limit_makes_the_directory_unusable(tmp_path: Path) -> None:
    findings = run_in_sandbox(tmp_path, "--file-size", "1024", expect=IO_ERROR)
    assert findings["preallocation"]["verdict"] == "unusable"
    assert findings["preallocation"]["errno"] == "EFBIG"
    assert findings["file_size_limit"]["size_bytes"] == 1024
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda base: base / "missing", "ENOENT"),
        (lambda base: base / "file", "ENOTDIR"),
        (lambda base: base / "file" / "below", "ENOTDIR"),
        (lambda base: Path("/proc"), "ENOENT"),  # no files can be made there, not even by root
    ],
)
def test_a_directory_that_cannot_be_used_ends_with_5(tmp_path: Path, make: Any, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    directory = make(tmp_path)
    report = run_json("doctor", directory, expect=IO_ERROR)
    assert report["usable"] is False
    unusable = [one for one in findings_of(report).values() if one["verdict"] == "unusable"]
    assert [one["errno"] for one in unusable] == [name]
    text = run_command("doctor", directory).stdout
    assert f"[{name}, errno" in text
    assert text.endswith(f"Saves to {report['directory']} fail.\n")
