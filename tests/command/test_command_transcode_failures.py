"""``tintype compress`` and ``decompress`` where things go wrong, and how much memory they take."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from program import COMMAND, CORRUPT, ENDINGS, IO_ERROR, MIB, OK, flip_bit, names, pipe, run_command


def test_damage_is_found_and_leaves_nothing(packed: Path, tmp_path: Path) -> None:
    size_bytes = packed.stat().st_size
    target = tmp_path / "new.pth"
    for offset in range(5000, size_bytes - 100, size_bytes // 23):
        flip_bit(packed, offset)
        done = run_command("decompress", packed, "-o", target)
        if done.returncode == OK:  # a byte of padding that means nothing
            assert target.read_bytes() == (tmp_path / "model.pth").read_bytes()
            target.unlink()
        else:
            assert done.returncode == CORRUPT and str(packed) in done.stderr
            assert done.stderr.count("; copy or download it again, or load an older") == 1
            done = pipe("decompress", "-", "-o", target, data=packed.read_bytes())
            assert done.returncode == CORRUPT and b"'standard input'" in done.stderr
        flip_bit(packed, offset)
        assert names(tmp_path) == ["model.pth", packed.name]
    assert run_command("decompress", packed, "-o", target).returncode == OK


def test_every_truncation_is_found(packed: Path, tmp_path: Path) -> None:
    content = packed.read_bytes()
    cut = tmp_path / ("cut" + packed.suffix)
    for share in range(1, 16):
        data = content[: len(content) * share // 16]
        cut.write_bytes(data)
        assert run_command("decompress", cut, "-o", tmp_path / "new.pth").returncode == CORRUPT
        assert pipe("decompress", "-", "-o", tmp_path / "new.pth", data=data).returncode == CORRUPT
        assert not (tmp_path / "new.pth").exists()


def test_extents_that_are_missing_doubled_or_exchanged_are_found(tmp_path: Path) -> None:
    plain, packed, target = tmp_path / "x", tmp_path / "x.zst", tmp_path / "new"
    plain.write_bytes(os.urandom(17 * MIB))
    assert run_command("compress", "-q", "--form", "zstd", plain).returncode == OK
    content = packed.read_bytes()
    extent = 8 * MIB + 4096  # of random bytes, padded
    first, second = content[:extent], content[extent : 2 * extent]
    rest = content[2 * extent :]
    assert pipe("decompress", "-c", "-", data=first + second + rest).stdout == plain.read_bytes()
    for parts in (rest, second + rest, first + first + second + rest, second + first + rest):
        packed.write_bytes(parts)
        assert run_command("decompress", packed, "-o", target).returncode == CORRUPT
        assert pipe("decompress", "-", "-o", target, data=parts).returncode == CORRUPT
        assert names(tmp_path) == ["x", "x.zst"]


def test_what_is_cut_off_within_its_magic_number_is_known_by_its_name(
    packed: Path, tmp_path: Path, form: str
) -> None:
    content = packed.read_bytes()
    cut = tmp_path / ("cut.pth" + packed.suffix)
    for size_bytes in range(8):
        cut.write_bytes(content[:size_bytes])
        for words in (["decompress", cut], ["verify", cut], ["inspect", cut]):
            done = run_command(*words)
            assert done.returncode == CORRUPT, (words, size_bytes)
            said = done.stdout + done.stderr
            assert f"'{cut}' is cut off: it has {size_bytes} bytes" in said
            assert f"no file of the {form} form" in said
    assert not (tmp_path / "cut.pth").exists()


def test_a_stream_that_brings_nothing_is_cut_off(tmp_path: Path) -> None:
    done = pipe("decompress", "-", "-o", tmp_path / "best.pth", data=b"")
    assert done.returncode == CORRUPT
    assert b"'standard input' is cut off before its first byte: nothing came" in done.stderr
    assert names(tmp_path) == []


def test_a_closed_standard_input_is_no_empty_one(tmp_path: Path) -> None:
    for words in ("decompress - -o new.pth", "decompress -", "compress - -o new.zst"):
        shell = f'"{COMMAND}" {words} <&-'
        done = subprocess.run(["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (IO_ERROR, ""), done.stderr
        assert "standard input" in done.stderr and "EBADF" in done.stderr
    assert names(tmp_path) == []


def test_only_what_was_compressed_is_removed(plain: Path) -> None:
    done = run_command("compress", "--rm", plain.with_name("missing.pth"), plain)
    assert done.returncode == IO_ERROR and "ENOENT" in done.stderr
    assert names(plain.parent) == ["model.pth.ttz"]


def test_no_space_ends_with_5_and_leaves_nothing(packed: Path, tmp_path: Path) -> None:
    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))

    (tmp_path / "model.pth").unlink()
    done = run_command("decompress", packed, preexec_fn=limit_files)
    assert done.returncode == IO_ERROR and "EFBIG" in done.stderr
    assert f" '{tmp_path / 'model.pth'}': File too large" in done.stderr
    content = os.urandom(4 * MIB)  # of a stream no size is known before it is written
    done = run_command(
        "compress", "-", "-o", tmp_path / "new.zst", preexec_fn=limit_files, text=False,
        input=content,
    )  # fmt: skip
    assert done.returncode == IO_ERROR
    assert f"write '{tmp_path / 'new.zst'}': File too large".encode() in done.stderr
    assert names(tmp_path) == [packed.name]
    with open("/dev/full", "wb") as full:
        done = run_command(
            "decompress", "-c", packed, capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == IO_ERROR and "ENOSPC" in done.stderr


def test_a_reader_that_goes_away_is_no_failure(packed: Path) -> None:
    shell = f'"{COMMAND}" decompress -c "{packed}" | head -c 10 | wc -c; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["10", "0"] and done.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """The input is a pipe that stays open: the command waits for more of it."""
    target = tmp_path / "new.pth.zst"
    with subprocess.Popen(
        [COMMAND, "compress", "-", "-o", target], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(os.urandom(40 * MIB))
        process.stdin.flush()
        time.sleep(0.2)
        process.send_signal(number)
        assert process.wait(30) == -number
        assert process.stderr.read() == b"tintype: interrupted; nothing was changed\n"
    assert names(tmp_path) == []


def test_a_signal_stops_a_command_whose_reader_sleeps(packed: Path) -> None:
    read_end, write_end = os.pipe()
    with subprocess.Popen(
        [COMMAND, "decompress", "-c", packed], stdout=write_end, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        time.sleep(0.3)
        assert process.poll() is None  # the pipe is full
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
        assert b"what standard output got is not whole" in process.stderr.read()
    os.close(read_end)
    os.close(write_end)


def interrupt_in_the_second(folder: Path, original: Path, *words: str) -> tuple[str, str]:
    """Compresses a small file, then one that takes long; what was printed until the signal."""
    shutil.copy(original, folder / "a.pth")
    make_sparse(folder / "b.pth", original, 64 << 30)
    command = [COMMAND, "compress", *words, "a.pth", "b.pth", "c.pth"]
    with subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while not (folder / "a.pth.ttz").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT
    return stdout, stderr


@pytest.mark.parametrize("words", [[], ["--rm"]], ids=["kept", "removed"])
def test_after_a_signal_what_is_done_is_told(
    tmp_path: Path, original: Path, words: list[str]
) -> None:
    stdout, stderr = interrupt_in_the_second(tmp_path, original, *words)
    (line,) = stdout.splitlines()
    assert line.startswith("a.pth.ttz: ")
    assert stderr == "tintype: interrupted; 1 of 3 outputs are written, nothing else was changed\n"
    assert names(tmp_path) == ([] if words else ["a.pth"]) + ["a.pth.ttz", "b.pth"]


def test_after_a_signal_json_has_what_was_done(tmp_path: Path, original: Path) -> None:
    stdout, _ = interrupt_in_the_second(tmp_path, original, "--json")
    report = json.loads(stdout)
    assert report["ok"] is False
    first, second = report["files"]  # the third was not begun
    assert (first["output"], first["error"]) == ("a.pth.ttz", None)
    assert second["error"]["code"] == "interrupted" and second["output_bytes"] is None


def test_memory_stays_small(tmp_path: Path, original: Path, form: str) -> None:
    """A sparse file of 1 GiB (20 GiB in full counts), within 256 MiB."""
    big = tmp_path / "big.pth"
    make_sparse(big, original, (20 << 30) if os.environ.get("TINTYPE_FULL") else (1 << 30))
    packed = tmp_path / ("big.pth" + ENDINGS[form])
    for words in (["compress", big, "-o", packed], ["decompress", "-o", tmp_path / "b", packed]):
        code, peak_bytes = run_measured(*words)
        assert code == OK and peak_bytes < 256 * MIB
        print(f"{words[0]} {form}: {peak_bytes / MIB:.0f} MiB")
    assert (tmp_path / "b").stat().st_size == big.stat().st_size
    subprocess.run(["cmp", big, tmp_path / "b"], check=True)
    (tmp_path / "b").unlink()  # the full count's holes are written here: 20 GiB


@pytest.mark.parametrize("level", [1, 9, 12, 15, 19, 22])
def test_memory_stays_small_at_every_level(tmp_path: Path, level: int) -> None:
    """Though zstd's tables are larger than its pieces at the high ones: 9 pieces, and 8 threads."""
    big = tmp_path / "big"
    big.touch()
    os.truncate(big, 9 * 8 * MIB)
    code, peak_bytes = run_measured("compress", f"-{level}", big)
    assert code == OK and peak_bytes < 256 * MIB


def run_measured(*words: object) -> tuple[int, int]:
    """The exit code, and the most memory that was resident, as the kernel says until the end.

    What wait() tells counts the moment before exec(), with all that pytest has loaded."""
    peak_kib = 0
    with subprocess.Popen([str(COMMAND), *map(str, words), "-q", "-T8"]) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = re.search(rf"^Name:\s+{COMMAND.name}$.*^VmHWM:\s+(\d+) kB", status, re.M | re.S)
            if found:
                peak_kib = int(found[1])
            time.sleep(0.01)
    return process.returncode, peak_kib * 1024


def test_few_threads_are_enough(packed: Path, tmp_path: Path) -> None:
    """Where the system refuses more, those that it gave do the work."""

    def leave_room_for_three_stacks() -> None:
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 30, 1 << 30))
        resource.setrlimit(resource.RLIMIT_DATA, (7 << 29, 7 << 29))

    words = ["decompress", "-T", 8, packed, "-o", tmp_path / "new.pth"]
    done = run_command(*words, preexec_fn=leave_room_for_three_stacks)
    assert done.returncode == OK, done.stderr
    assert (tmp_path / "new.pth").read_bytes() == (tmp_path / "model.pth").read_bytes()


def make_sparse(path: Path, original: Path, size_bytes: int) -> None:
    """A checkpoint, and a hole behind it."""
    path.write_bytes(original.read_bytes())
    os.truncate(path, size_bytes)
