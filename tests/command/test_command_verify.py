"""``tintype verify``: damage is found, placed and priced."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from bad_checkpoints import BAD_FILES, make_legacy
from program import CORRUPT, IO_ERROR, OK, UNSUPPORTED, flip_bit, run_command, run_json


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tied = torch.arange(5000.0)
    path = tmp_path / "model.pth"
    tintype.save({"embedding": tied, "head": tied, "bias": torch.zeros(700)}, path)
    return path


def record_of(path: Path, tensor_name: str) -> dict[str, Any]:
    report = run_json("inspect", "--records", path)
    storage = next(t["storage"] for t in report["tensors"] if t["name"] == tensor_name)
    record: dict[str, Any] = next(r for r in report["records"] if r["name"] == f"data/{storage}")
    return record


def test_a_sound_file_is_said_to_be_sound(checkpoint: Path) -> None:
    done = run_command("verify", checkpoint)
    assert done.returncode == OK
    assert done.stderr == ""
    assert done.stdout.startswith(f"{checkpoint}: sound, ")


def test_json_has_the_documented_form(checkpoint: Path) -> None:
    report = run_json("verify", checkpoint)
    assert list(report) == ["schema", "version", "ok", "files"]
    assert (report["schema"], report["version"], report["ok"]) == ("tintype.verify", 1, True)
    (file,) = report["files"]
    assert list(file) == [
        "path", "verdict", "form", "size_bytes", "plain_bytes", "extent_count", "record_count",
        "checked_bytes", "problems", "notes",
    ]  # fmt: skip
    assert file["verdict"] == "sound"
    assert file["size_bytes"] == checkpoint.stat().st_size
    assert file["checked_bytes"] > 4 * 5700


def test_damage_names_the_record_and_every_tensor_it_costs(checkpoint: Path) -> None:
    record = record_of(checkpoint, "head")
    flip_bit(checkpoint, record["offset"] + 9000)
    report = run_json("verify", checkpoint, expect=CORRUPT)
    (file,) = report["files"]
    assert (report["ok"], file["verdict"]) == (False, "damaged")
    (problem,) = file["problems"]
    assert list(problem) == ["record", "extent", "offset", "text", "remedy", "tensors"]
    assert problem["record"] == record["name"]
    assert sorted(problem["tensors"]) == ["embedding", "head"]
    done = run_command("verify", checkpoint)
    assert done.returncode == CORRUPT
    assert f"{checkpoint}: DAMAGED\n" in done.stdout
    assert f"  {record['name']} at 0x" in done.stdout
    assert "    lost: embedding, head\n" in done.stdout


@pytest.mark.parametrize(("suffix", "form"), [(".ttz", "planes"), (".zst", "zstd"), ("", "plain")])
def test_a_cut_off_file_is_of_the_form_that_it_began_in(
    tmp_path: Path, suffix: str, form: str
) -> None:
    whole = tmp_path / f"m.pth{suffix}"
    tintype.save({"w": torch.rand(50_000)}, whole)
    for length, name in ((9, "x.pth"), (5000, "x.pth"), (100_000, whole.name), (3, whole.name)):
        cut = tmp_path / "cut" / name
        cut.parent.mkdir(exist_ok=True)
        cut.write_bytes(whole.read_bytes()[:length])
        (file,) = run_json("verify", cut, expect=CORRUPT)["files"]
        assert (file["verdict"], file["form"]) == ("damaged", form), length


def test_every_bit_of_a_payload_counts(checkpoint: Path) -> None:
    record = record_of(checkpoint, "bias")
    places = range(record["offset"], record["offset"] + record["size_bytes"], 97)
    for place in places:
        flip_bit(checkpoint, place)
        assert run_command("verify", "-q", checkpoint).returncode == CORRUPT
        flip_bit(checkpoint, place)
    assert run_command("verify", "-q", checkpoint).returncode == OK
    print(f"{len(places)} flipped bits, all found")


def test_long_lists_of_lost_tensors_are_cut(tmp_path: Path) -> None:
    shared = torch.ones(100)
    path = tmp_path / "m.pth"
    torch.save({f"t{i:02}": shared for i in range(20)}, path)
    flip_bit(path, record_of(path, "t00")["offset"])
    done = run_command("verify", path)
    assert done.returncode == CORRUPT
    assert "t07 and 12 more (--json lists all)" in done.stdout


def test_quiet_speaks_of_damage_only(checkpoint: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(checkpoint.read_bytes())
    flip_bit(damaged, record_of(damaged, "bias")["offset"])
    assert run_command("verify", "--quiet", checkpoint).stdout == ""
    done = run_command("verify", "-q", checkpoint, damaged)
    assert done.returncode == CORRUPT
    assert str(checkpoint) not in done.stdout
    assert done.stdout.startswith(f"{damaged}: DAMAGED\n")


def test_one_bad_file_does_not_hide_the_others(checkpoint: Path, tmp_path: Path) -> None:
    legacy = tmp_path / "legacy.pth"
    make_legacy(legacy)
    missing = tmp_path / "missing.pth"
    report = run_json("verify", missing, legacy, checkpoint, expect=IO_ERROR)
    assert [file["verdict"] for file in report["files"]] == ["unknown", "unknown", "sound"]
    errors = [file["error"] for file in report["files"][:2]]
    assert [list(error) for error in errors] == [["code", "errno", "message"]] * 2
    assert [error["errno"] for error in errors] == ["ENOENT", None]
    assert [error["code"] for error in errors] == ["not_found", "unsupported"]
    assert run_command("verify", legacy, checkpoint).returncode == UNSUPPORTED
    flip_bit(checkpoint, record_of(checkpoint, "bias")["offset"])
    assert run_command("verify", missing, legacy, checkpoint).returncode == CORRUPT


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_number_of_threads_changes_no_answer(checkpoint: Path, threads: int) -> None:
    assert run_command("verify", "-T", threads, checkpoint).returncode == OK
    flip_bit(checkpoint, record_of(checkpoint, "embedding")["offset"] + 1)
    done = run_command("verify", "-T", threads, checkpoint)
    assert done.returncode == CORRUPT
    assert "lost: embedding, head" in done.stdout


@pytest.mark.parametrize(("name", "make", "code", "word"), BAD_FILES, ids=[b[0] for b in BAD_FILES])
def test_what_is_no_sound_checkpoint_has_its_exit_code(
    tmp_path: Path, name: str, make: Any, code: int, word: str
) -> None:
    path = tmp_path / name
    make(path)
    done = run_command("verify", path)
    assert done.returncode == code, done.stderr
    assert str(path) in done.stdout + done.stderr
    assert word in done.stdout + done.stderr


def test_json_names_every_file_as_it_was_given(tmp_path: Path, checkpoint: Path) -> None:
    done = run_command("verify", "--json", "model.pth", "./model.pth", "nope", cwd=tmp_path)
    files = json.loads(done.stdout)["files"]
    assert done.returncode == IO_ERROR
    assert [file["path"] for file in files] == ["model.pth", "./model.pth", "nope"]
    assert run_command("verify", "model.pth", cwd=tmp_path).stdout.startswith("model.pth: sound")


GOLDEN = Path(__file__).resolve().parent.parent / "golden"


@pytest.mark.parametrize("name", ["several.pth.zst", "several.pth.ttz"])
def test_compressed_files_are_judged_by_extents(tmp_path: Path, name: str) -> None:
    path = Path(shutil.copy(GOLDEN / name, tmp_path / name))
    (file,) = run_json("verify", path)["files"]
    assert file["verdict"] == "sound" and file["extent_count"] == 4
    assert file["size_bytes"] == path.stat().st_size < file["plain_bytes"]
    flip_bit(path, 70_000)
    (problem,) = run_json("verify", path, expect=CORRUPT)["files"][0]["problems"]
    assert problem["extent"] == 1 and problem["tensors"] == ["model/weights", "model/zeros"]
    done = run_command("verify", path)
    assert "extent 1 at 0x" in done.stdout and "lost: model/weights, model/zeros" in done.stdout


@pytest.mark.parametrize("name", [".zst", "..ttz", "k.zst.pth", "k.pth.zst", "K.TTZ"])
def test_a_file_is_judged_by_what_it_holds_whatever_its_name(
    tmp_path: Path, checkpoint: Path, name: str
) -> None:
    path = checkpoint.rename(tmp_path / name)
    assert tintype.verify(path).ok and run_command("verify", path).returncode == OK
