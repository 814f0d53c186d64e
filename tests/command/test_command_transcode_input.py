"""What ``tintype compress`` and ``decompress`` leave of their input."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from program import COMMAND, IO_ERROR, OK, UNSUPPORTED, USAGE, pipe, run_command

# --- one file as input and output ---


def write_compressed(folder: Path, original: Path, name: str) -> None:
    assert run_command("compress", original, "-o", folder / "made.ttz").returncode == OK
    (folder / "made.ttz").rename(folder / name)


def make_compressed_under_a_plain_name(folder: Path, original: Path) -> None:
    write_compressed(folder, original, "best.pth")


def make_output_a_symlink_to_a_plain_input(folder: Path, original: Path) -> None:
    shutil.copy(original, folder / "a.pth")
    (folder / "a.pth.ttz").symlink_to("a.pth")


def make_output_a_symlink_to_a_compressed_input(folder: Path, original: Path) -> None:
    write_compressed(folder, original, "x.pth.ttz")
    (folder / "x.pth").symlink_to("x.pth.ttz")


def make_both_hard_links(folder: Path, original: Path) -> None:
    shutil.copy(original, folder / "a.pth")
    (folder / "a.pth.ttz").hardlink_to(folder / "a.pth")


def make_input_a_symlink_to_the_output(folder: Path, original: Path) -> None:
    write_compressed(folder, original, "best.pth")
    (folder / "link.pth.ttz").symlink_to("best.pth")


def state_of(folder: Path) -> dict[str, tuple[int, str | bytes]]:
    """Of each name the inode, and where it leads or what it holds."""
    return {
        path.name: (
            path.lstat().st_ino,
            os.readlink(path) if path.is_symlink() else path.read_bytes(),
        )
        for path in folder.iterdir()
    }


@pytest.mark.parametrize("options", [[], ["-f"], ["-f", "--rm"]], ids=" ".join)
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_compressed_under_a_plain_name, ["decompress", "-o", "best.pth", "best.pth"]),
        (make_compressed_under_a_plain_name, ["decompress", "-o", "../run/best.pth", "best.pth"]),
        (make_output_a_symlink_to_a_plain_input, ["compress", "a.pth"]),
        (make_output_a_symlink_to_a_compressed_input, ["decompress", "x.pth.ttz"]),
        (make_both_hard_links, ["compress", "a.pth"]),
        (make_input_a_symlink_to_the_output, ["decompress", "link.pth.ttz", "-o", "best.pth"]),
    ],
    ids=["name", "spelling", "link_to_plain", "link_to_compressed", "hard_links", "input_is_link"],
)
def test_one_file_cannot_be_input_and_output(
    tmp_path: Path,
    original: Path,
    make: Callable[[Path, Path], None],
    words: list[str],
    options: list[str],
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    make(folder, original)
    before = state_of(folder)
    done = run_command(*words, *options, cwd=folder)
    assert done.returncode == USAGE, done.stdout + done.stderr
    assert "input and output are the same file" in done.stderr
    assert state_of(folder) == before


# --- the name that a symlink leads to ---


@pytest.mark.parametrize("options", [[], ["-f"], ["-f", "--rm"]], ids=" ".join)
@pytest.mark.parametrize("standing", ["other", None], ids=["to_a_file", "dangling"])
@pytest.mark.parametrize(
    ("link", "target", "asks_for", "words"),
    [
        ("best.pth.ttz", "best.pth", "plain", ["compress", "in.pth"]),
        ("best.pth.ttz", "best.pth.zst", "zstd", ["compress", "in.pth"]),
        ("best.pth", "best.pth.ttz", "planes", ["decompress", "in.pth.ttz"]),
        ("best.pth", "best.pth.zst", "zstd", ["decompress", "in.pth.ttz"]),
    ],
)
def test_an_output_that_leads_to_a_name_of_another_form_is_refused(
    tmp_path: Path,
    original: Path,
    link: str,
    target: str,
    asks_for: str,
    words: list[str],
    standing: str | None,
    options: list[str],
) -> None:
    shutil.copy(original, tmp_path / "in.pth")
    write_compressed(tmp_path, original, "in.pth.ttz")
    if standing is not None:
        (tmp_path / target).write_text(standing)
    (tmp_path / link).symlink_to(target)
    before = state_of(tmp_path)
    done = run_command(*words, *options, "-o", link, cwd=tmp_path)
    assert done.returncode == USAGE, done.stdout + done.stderr
    assert f"write '{link}': it is a symlink to '{tmp_path / target}'" in done.stderr
    assert f"asks for the {asks_for} form; name another output" in done.stderr
    with (tmp_path / words[1]).open("rb") as stream:
        done = run_command(words[0], "-f", "-o", link, "-", cwd=tmp_path, stdin=stream)
    assert done.returncode == USAGE and "it is a symlink to" in done.stderr
    assert state_of(tmp_path) == before


# --- what --rm removes ---


@pytest.fixture(params=["checkpoints", "a link to it"])
def run_folder(request: pytest.FixtureRequest, tmp_path: Path, original: Path) -> Path:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / ".tintype.json").write_text("{}")
    shutil.copy(original, folder / "train.1.pth")
    shutil.copy(original, tmp_path / "train.2.pth")
    if request.param == "checkpoints":
        return folder
    (tmp_path / "link").symlink_to(folder)
    return tmp_path / "link"


def test_rm_is_refused_in_the_directory_of_a_run(run_folder: Path, tmp_path: Path) -> None:
    before = state_of(run_folder)
    elsewhere = tmp_path / "train.2.pth"
    done = run_command("compress", "--rm", run_folder / "train.1.pth", elsewhere)
    assert done.returncode == USAGE
    assert f"{run_folder}/train.1.pth" in done.stderr and "leave --rm out" in done.stderr
    assert state_of(run_folder) == before
    assert not elsewhere.exists() and Path(f"{elsewhere}.ttz").exists()
    assert run_command("compress", "--rm", "train.1.pth", cwd=run_folder).returncode == USAGE
    assert run_command("compress", run_folder / "train.1.pth").returncode == OK
    done = run_command("decompress", "--rm", run_folder / "train.1.pth.ttz", "-o", tmp_path / "x")
    assert done.returncode == USAGE and not (tmp_path / "x").exists()


def test_rm_takes_a_symlink_away_and_not_where_it_leads(run_folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "chosen.pth"
    link.symlink_to(run_folder / "train.1.pth")
    before = state_of(run_folder)
    assert run_command("compress", "--rm", link).returncode == OK
    assert state_of(run_folder) == before
    assert not link.is_symlink() and link.with_name("chosen.pth.ttz").is_file()


@pytest.mark.parametrize("words", [[], ["-k"], ["--keep"], ["--rm", "-k"], ["-k", "--rm"]])
def test_the_input_is_kept(plain: Path, words: list[str]) -> None:
    before = plain.read_bytes()
    assert run_command("compress", *words, plain).returncode == OK
    packed = plain.with_name("model.pth.ttz")
    assert plain.read_bytes() == before and packed.is_file()
    assert run_command("decompress", "-f", *words, packed).returncode == OK
    assert packed.is_file()


def test_rm_keeps_the_input_of_what_goes_to_standard_output(plain: Path) -> None:
    packed = subprocess.run([COMMAND, "compress", "--rm", "-c", plain], capture_output=True)
    assert packed.returncode == OK and packed.stdout
    assert plain.is_file()


def test_a_file_that_needs_a_dictionary_is_unsupported(tmp_path: Path) -> None:
    for number in range(20):
        text = " ".join(f"{number * step} is a number" for step in range(100))
        (tmp_path / f"{number}.txt").write_text(text)
    texts = sorted(tmp_path.glob("*.txt"))
    dictionary, packed = tmp_path / "words.dict", tmp_path / "packed.zst"
    subprocess.run(
        ["zstd", "-q", "--train", *texts, "--maxdict=1000", "-o", dictionary], check=True
    )
    subprocess.run(["zstd", "-q", "-D", dictionary, texts[0], "-o", packed], check=True)
    for words in (["decompress", packed, "-o", tmp_path / "out"], ["verify", packed]):
        done = run_command(*words)
        assert done.returncode == UNSUPPORTED
        assert "dictionary" in done.stderr and "zstd -d -D" in done.stderr


@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd here")
def test_a_window_that_is_too_large_is_left_to_zstd_which_takes_it(tmp_path: Path) -> None:
    """A frame that asks for 256 MiB, and holds one block of one byte."""
    packed = tmp_path / "packed.zst"
    packed.write_bytes(
        bytes([0x28, 0xB5, 0x2F, 0xFD, 0x00, (28 - 10) << 3, 0x09, 0x00, 0x00]) + b"x"
    )
    done = run_command("decompress", packed)
    assert done.returncode == UNSUPPORTED
    remedy = "zstd -d --long=31"
    assert f"decompress it with `{remedy}`" in done.stderr
    made = subprocess.run([*remedy.split(), "-q", "-c", packed], capture_output=True)
    assert (made.returncode, made.stdout) == (0, b"x"), made.stderr


@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd here")
def test_whole_zstd_files_are_sound_whatever_they_hold(tmp_path: Path, original: Path) -> None:
    """Of a checkpoint with more behind it, and of part of one."""
    data = original.read_bytes()
    longer, part = tmp_path / "longer", tmp_path / "part"
    longer.write_bytes(data + os.urandom(100_000))
    part.write_bytes(data[: len(data) // 3])
    subprocess.run(["zstd", "-q", longer], check=True)
    assert run_command("compress", "-q", "--form", "zstd", part).returncode == OK
    for plain in (longer, part):
        packed = plain.with_name(plain.name + ".zst")
        done = run_command("decompress", packed, "-o", tmp_path / "back", "-f")
        assert done.returncode == OK, done.stderr
        assert (tmp_path / "back").read_bytes() == plain.read_bytes()
        streamed = pipe("decompress", "-", data=packed.read_bytes())
        assert (streamed.returncode, streamed.stderr) == (OK, b"")
        assert streamed.stdout == plain.read_bytes()


def test_a_directory_is_no_input(tmp_path: Path) -> None:
    done = run_command("compress", ".", cwd=tmp_path)
    assert done.returncode == IO_ERROR
    assert "EISDIR" in done.stderr
    assert list(tmp_path.iterdir()) == []


# --- what is no regular file ---


def test_a_pipe_as_input_is_refused_and_a_dash_named(packed: Path) -> None:
    for name in ("/dev/stdin", "/proc/self/fd/0"):
        for words in (["decompress", "-c", name], ["compress", "-c", name]):
            done = pipe(*words, data=packed.read_bytes())
            assert (done.returncode, done.stdout) == (UNSUPPORTED, b"")
            assert b"device, pipe or socket; - reads standard input" in done.stderr
    done = pipe("verify", "/dev/stdin", data=packed.read_bytes())
    assert done.returncode == UNSUPPORTED
    assert b"device, pipe or socket; copy what it holds" in done.stderr


def test_a_deleted_file_is_read_by_its_descriptor(packed: Path, original: Path) -> None:
    with packed.open("rb") as file:
        packed.unlink()
        done = subprocess.run(
            [COMMAND, "decompress", "-c", f"/proc/self/fd/{file.fileno()}"],
            pass_fds=[file.fileno()],
            capture_output=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (OK, b"")
    assert done.stdout == original.read_bytes()


def test_rm_is_refused_for_what_is_no_name(packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.pth"
    with packed.open("rb") as file:
        link = f"/proc/self/fd/{file.fileno()}"
        done = run_command("decompress", "--rm", "-o", out, link, pass_fds=[file.fileno()])
    assert done.returncode == USAGE
    assert "it is no name of a file; leave --rm out" in done.stderr
    assert packed.exists() and not out.exists()


def test_standard_output_by_its_name_is_refused_untouched(packed: Path, tmp_path: Path) -> None:
    words = ["decompress", "-f", packed, "-o", "/dev/stdout"]
    piped = run_command(*words)
    assert (piped.returncode, piped.stdout) == (UNSUPPORTED, "")
    assert "device, pipe or socket; -c, or -o -, writes to standard output" in piped.stderr
    out = tmp_path / "out"
    with out.open("wb") as file:
        to_file = run_command(*words, capture_output=False, stdout=file, stderr=subprocess.PIPE)
    assert to_file.returncode == UNSUPPORTED
    assert "holds open" in to_file.stderr and "-c, or -o -," in to_file.stderr
    assert out.read_bytes() == b""
