"""``tintype compress`` and ``tintype decompress``: the same bytes back, or nothing at all."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tintype
from bad_checkpoints import make_legacy
from program import (
    COMMAND,
    ENDINGS,
    IO_ERROR,
    OK,
    UNSUPPORTED,
    USAGE,
    names,
    pipe,
    run_command,
    run_json,
)  # fmt: skip

# --- round trips ---


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_a_file_comes_back_byte_for_byte(plain: Path, form: str, threads: int) -> None:
    done = run_command("compress", "--form", form, "-T", threads, plain)
    assert done.returncode == OK, done.stderr
    packed = plain.with_name("model.pth" + ENDINGS[form])
    assert done.stdout.startswith(f"{packed}: ") and "ratio 1." in done.stdout
    assert packed.stat().st_size < plain.stat().st_size
    before = plain.read_bytes()
    plain.unlink()
    assert run_command("decompress", f"-T{threads}", packed).returncode == OK
    assert plain.read_bytes() == before
    assert names(plain.parent) == [plain.name, packed.name]


@pytest.mark.parametrize("is_native", [True, False])
def test_a_save_is_what_becomes_of_its_plain_file(tmp_path: Path, is_native: bool) -> None:
    """So a save knows the same types of the numbers, by either way of capturing them."""
    weights = torch.randn(100_000, generator=torch.Generator().manual_seed(1)) * 0.02
    state = {
        "fp32": weights,
        "bf16": weights.bfloat16(),
        "complex": torch.complex(weights, weights),
        "int": torch.arange(-50_000, 50_000, dtype=torch.int32),
        "double": weights.double(),
        "rest": None if is_native else slice(1, 2),
    }
    with tintype.Engine() as engine:
        snapshot = engine.save_async(state, tmp_path / "saved.pth.ttz")
        snapshot.wait_durable()
    assert (snapshot.report()["capture_path"] == "native") == is_native
    tintype.save(state, tmp_path / "model.pth")
    assert run_command("compress", tmp_path / "model.pth").returncode == OK
    saved, made = (tmp_path / name for name in ("saved.pth.ttz", "model.pth.ttz"))
    assert saved.read_bytes() == made.read_bytes()


def test_planes_are_the_default_and_gain_most(plain: Path) -> None:
    assert run_command("compress", plain).returncode == OK
    assert run_command("compress", "-1", plain).returncode == OK
    planes, zstd = (plain.with_name(f"model.pth{ending}") for ending in (".ttz", ".zst"))
    assert planes.stat().st_size < 0.9 * zstd.stat().st_size


def test_streams_give_the_same_bytes(plain: Path, form: str) -> None:
    before = plain.read_bytes()
    done = pipe("compress", "--form", form, "-", data=before)
    assert done.returncode == OK
    assert (b"note: " in done.stderr) == (form == "planes")
    back = pipe("decompress", "-", data=done.stdout)
    assert (back.returncode, back.stderr) == (OK, b"")
    assert back.stdout == before
    into_file = pipe("decompress", "-", "-o", plain.with_name("y.pth"), data=done.stdout)
    assert into_file.returncode == OK and plain.with_name("y.pth").read_bytes() == before
    assert pipe("decompress", "-c", "-", data=done.stdout).stdout == before


def test_data_on_standard_output_stays_alone_there(plain: Path) -> None:
    """A file beside standard input: what is said of the file is left out."""
    done = pipe("compress", "--form", "zstd", plain, "-", data=b"streamed")
    assert (done.returncode, done.stderr) == (OK, b"")
    assert plain.with_name("model.pth.zst").is_file()
    assert pipe("decompress", "-", data=done.stdout).stdout == b"streamed"


def test_a_file_goes_to_standard_output_by_c_or_a_dash(packed: Path, original: Path) -> None:
    for words in (["-c"], ["-o", "-"], ["--stdout"]):
        assert pipe("decompress", *words, packed, data=b"").stdout == original.read_bytes()


def test_levels_are_those_of_zstd(plain: Path) -> None:
    torch.save({"w": torch.arange(200_000) ** 2 % 100_003}, plain)
    sizes = []
    for words in (["-1"], ["-19"], ["--level", "19"]):
        assert run_command("compress", "-f", *words, plain).returncode == OK
        sizes.append(plain.with_name("model.pth.zst").stat().st_size)
    assert sizes[1] < sizes[0] and sizes[1] == sizes[2]
    assert run_command("compress", "-23", plain).returncode == USAGE
    assert run_command("compress", "-19", "--form", "planes", plain).returncode == USAGE


def test_several_files_and_their_removal(tmp_path: Path, original: Path) -> None:
    paths = [Path(shutil.copy(original, tmp_path / f"{i}.pth")) for i in range(3)]
    assert run_command("compress", "--rm", *paths).returncode == OK
    assert names(tmp_path) == ["0.pth.ttz", "1.pth.ttz", "2.pth.ttz"]
    done = run_command("decompress", *(f"{path}.ttz" for path in paths))
    assert done.returncode == OK and len(done.stdout.splitlines()) == 3
    assert all(path.read_bytes() == original.read_bytes() for path in paths)
    assert len(names(tmp_path)) == 6  # kept without --rm


def test_json_has_the_documented_form(plain: Path) -> None:
    missing = plain.with_name("missing.pth")
    report = run_json("compress", plain, missing, expect=IO_ERROR)
    assert list(report) == ["schema", "version", "ok", "files"]
    assert (report["schema"], report["version"], report["ok"]) == ("tintype.compress", 1, False)
    first, second = report["files"]
    assert list(first) == [
        "input", "output", "form", "input_bytes", "output_bytes", "seconds", "notes", "error",
    ]  # fmt: skip
    assert first["input"] == str(plain) and first["output"] == f"{plain}.ttz"
    assert first["form"] == "planes"
    assert first["input_bytes"] == plain.stat().st_size
    assert first["output_bytes"] == Path(f"{plain}.ttz").stat().st_size
    assert first["error"] is None
    assert second["error"]["errno"] == "ENOENT" and second["output_bytes"] is None
    report = run_json("decompress", "-f", f"{plain}.ttz")
    assert report["schema"] == "tintype.decompress" and report["files"][0]["form"] is None


def test_the_other_commands_read_every_form(plain: Path, packed: Path, form: str) -> None:
    assert run_command("verify", "-q", packed).returncode == OK
    assert run_command("diff", plain, packed).returncode == OK
    report = run_json("inspect", packed)
    assert report["form"] == form and report["plain_bytes"] == plain.stat().st_size
    ratios = {tensor["name"]: tensor["ratio"] for tensor in report["tensors"]}
    assert ratios["half"] > 1 and ratios["w"] > 1
    assert "RATIO" in run_command("inspect", packed).stdout.splitlines()[0]


# --- other programs ---


@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd here")
def test_zstd_reads_ours_and_we_read_zstds(plain: Path, original: Path) -> None:
    assert run_command("compress", "--form", "zstd", plain).returncode == OK
    packed = plain.with_name("model.pth.zst")
    subprocess.run(["zstd", "-q", "-t", packed], check=True)
    out = subprocess.run(["zstd", "-q", "-d", "-c", packed], check=True, capture_output=True)
    assert out.stdout == original.read_bytes()
    for words in (["-1"], ["-T2", "-B256K"], ["--no-check", "-3"]):
        packed.unlink()
        subprocess.run(["zstd", "-q", *words, plain, "-o", packed], check=True)
        back = plain.with_name("back.pth")
        assert run_command("decompress", "-f", packed, "-o", back).returncode == OK
        assert back.read_bytes() == original.read_bytes()
        assert pipe("decompress", "-", data=packed.read_bytes()).stdout == original.read_bytes()


def records_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def test_bsdtar_7z_and_python_read_what_we_decompress(packed: Path, tmp_path: Path) -> None:
    back = tmp_path / "back.pth"
    assert run_command("decompress", packed, "-o", back).returncode == OK
    expected = records_of(back)
    ours = run_json("inspect", "--records", back)["records"]
    assert [f"model/{record['name']}" for record in ours] == list(expected)
    assert [record["size_bytes"] for record in ours] == [len(data) for data in expected.values()]
    readers = {
        "bsdtar": ["bsdtar", "-xf", back, "-C"],
        "7zz": ["7zz", "x", "-y", back],
        "unzip": ["unzip", "-q", back, "-d"],
    }
    for name, words in readers.items():
        if shutil.which(name) is None:
            continue
        target = tmp_path / name
        target.mkdir()
        last = [f"-o{target}"] if name == "7zz" else [target]
        subprocess.run([*words, *last], check=True, capture_output=True)
        for record, data in expected.items():
            assert (target / record).read_bytes() == data, (name, record)


# --- refusals ---


def test_a_file_that_stands_is_replaced_by_force_only(plain: Path, packed: Path) -> None:
    before = packed.read_bytes()
    for command, words, standing in (
        ("compress", [plain, "-o", packed], packed), ("decompress", [packed], plain),
    ):  # fmt: skip
        done = run_command(command, *words)
        assert done.returncode == IO_ERROR
        assert str(standing) in done.stderr and "EEXIST" in done.stderr
        assert done.stderr.endswith("; -f replaces it, -o FILE names another\n")
    assert packed.read_bytes() == before
    plain.write_bytes(b"old")
    assert run_command("decompress", "-f", packed).returncode == OK
    assert plain.stat().st_size > 3


def test_the_help_names_the_forms() -> None:
    assert "planes or zstd; else by the output's name" in " ".join(
        run_command("compress", "--help").stdout.split()
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["compress", "a.pth", "b.pth", "-o", "c.ttz"], "several inputs"),
        (["compress", "a.pth", "-o", "b.pth"], "no name for the planes form"),
        (["compress", "--form", "zstd", "a.pth", "-o", "b.ttz"], "no name for the zstd form"),
        (["compress", "a.pth.zst"], "compressed already"),
        (["decompress", "a.pth"], "name the output: -o FILE"),
        (["decompress", "a.pth.zst", "-o", "b.pth.zst"], "no name for a plain file"),
        (["decompress", "-c", "--json", "a.zst"], "cannot share standard output"),
        (["decompress", "-c", "-o", "b", "a.zst"], "two outputs"),
        (["compress", "--form", "gzip", "a.pth"], "gzip"),
        (["compress", "-f", "a.pth", "-o", ""], "the name of the output is empty"),
        (["decompress", "--output=", "a.pth", "b.pth.zst"], "'--output=' has no value behind it"),
    ],
)
def test_what_contradicts_itself_is_wrong_usage(
    tmp_path: Path, words: list[str], text: str
) -> None:
    done = run_command(*words, cwd=tmp_path)
    assert done.returncode == USAGE, done.stderr
    assert done.stdout == "" and text in done.stderr
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "words",
    ["compress -f19 model.pth", "compress -f model.pth --best", "decompress -3 model.pth.ttz"],
)
def test_an_unknown_option_is_named_before_anything_is_done(plain: Path, words: str) -> None:
    folder = plain.parent
    assert run_command("compress", "-q", plain).returncode == OK
    before = {name: (folder / name).stat().st_mtime_ns for name in names(folder)}
    done = run_command(*words.split(), cwd=folder)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert "there is no option '-" in done.stderr
    assert {name: (folder / name).stat().st_mtime_ns for name in names(folder)} == before


def test_names_may_begin_with_a_dash(plain: Path) -> None:
    plain.rename(plain.with_name("-3"))
    assert run_command("compress", "-19", "--", "-3", cwd=plain.parent).returncode == OK
    assert names(plain.parent) == ["-3", "-3.zst"]
    words = ["decompress", "-oa=", "--", "-3.zst"]
    assert run_command(*words, cwd=plain.parent).returncode == OK
    assert run_command("decompress", "--output=b=", *words[2:], cwd=plain.parent).returncode == OK
    assert names(plain.parent) == ["-3", "-3.zst", "a=", "b="]
    assert run_command("verify", "--", "-3", "-3.zst", cwd=plain.parent).returncode == OK


def test_the_content_counts_not_the_name(plain: Path, packed: Path, form: str) -> None:
    other = packed.rename(
        packed.with_name("x.pth" + ENDINGS["zstd" if form == "planes" else "planes"])
    )
    assert run_command("decompress", other).returncode == OK
    assert plain.with_name("x.pth").read_bytes() == plain.read_bytes()
    fake = plain.rename(plain.with_name("plain.pth.zst"))
    done = run_command("decompress", fake)
    assert done.returncode == UNSUPPORTED and "nothing to decompress" in done.stderr


def test_what_is_no_checkpoint_is_compressed_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"some text " * 5000)
    done = run_command("compress", "notes.txt", cwd=tmp_path)
    assert done.returncode == OK and "note: " in done.stderr
    assert run_command("decompress", "-f", "notes.txt.ttz", cwd=tmp_path).returncode == OK
    assert (tmp_path / "notes.txt").read_bytes() == b"some text " * 5000


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b"some text"), make_legacy])
def test_the_zstd_form_needs_no_checkpoint_and_says_nothing(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "x.bin")
    done = run_command("compress", "-q", "--form", "zstd", tmp_path / "x.bin")
    assert (done.returncode, done.stdout, done.stderr) == (OK, "", "")
    (file,) = run_json("compress", "-f", "--form", "zstd", tmp_path / "x.bin")["files"]
    assert file["notes"] == []


# --- modes, links ---


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_the_mode_of_the_input_is_kept(plain: Path, mode: int) -> None:
    plain.chmod(mode)
    assert run_command("compress", plain).returncode == OK
    packed = Path(f"{plain}.ttz")
    assert packed.stat().st_mode & 0o7777 == mode
    plain.unlink()
    assert run_command("decompress", packed).returncode == OK
    assert plain.stat().st_mode & 0o7777 == mode


def test_a_stream_gets_what_the_umask_leaves_and_a_replaced_file_keeps_its_mode(
    tmp_path: Path, original: Path
) -> None:
    target = tmp_path / "x.pth.zst"
    data = original.read_bytes()
    words = [str(COMMAND), "compress", "-f", "-", "-o", str(target)]
    subprocess.run(words, input=data, check=True, umask=0o027)
    assert target.stat().st_mode & 0o7777 == 0o640
    target.chmod(0o664)
    subprocess.run(words, input=data, check=True, umask=0o077)
    assert target.stat().st_mode & 0o7777 == 0o664


def test_symlinks_are_followed_on_both_sides(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "link.pth").symlink_to("model.pth")
    (tmp_path / "far").mkdir()
    (tmp_path / "out.ttz").symlink_to("far/real.ttz")
    assert (
        run_command("compress", tmp_path / "link.pth", "-o", tmp_path / "out.ttz").returncode == OK
    )
    assert (tmp_path / "out.ttz").is_symlink() and (tmp_path / "far/real.ttz").is_file()
    done = run_command("decompress", tmp_path / "out.ttz", "-o", tmp_path / "back.pth")
    assert done.returncode == OK
    assert (tmp_path / "back.pth").read_bytes() == plain.read_bytes()
    device = run_command("decompress", "-f", tmp_path / "out.ttz", "-o", "/dev/null")
    assert device.returncode == UNSUPPORTED and "device" in device.stderr
