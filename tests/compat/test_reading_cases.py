"""The reading side against a list of what files of torch's format may hold.

Each case and the tests that show it; those without a module are here. ``load`` means
``test_reading``, ``damage`` means ``test_damage``.

======================================= ==========================================================
repeated objects, views, storages       sharing_survives; load: what_was_saved_is_loaded
paths, file objects, gzip, offsets      load: file_objects_are_read_from_their_position
non-ASCII names, control characters     names_outside_of_ascii, names_of_control_characters_…
payloads that look like zip structure   payloads_that_begin_like_a_zip_structure; load: a_zip_of_…
archives without a pickle               records_without_a_pickle_are_refused
2 and 4 GiB, 64-bit headers             sizes_around_4_gib (…_are_checked under TINTYPE_FULL)
more than 65,535 records                more_records_than_16_bits_count
filled after the layout was written     sizes_around_4_gib
_metadata, parameters, attributes       tensors_keep_what_hangs_on_them
zero-size, 0-dim, strides, tied         load: what_was_saved_is_loaded
a small slice of a big storage          slice_keeps_its_storage
every dtype                             every_dtype_that_torch_saves
conj, neg, meta, sparse, quantized      sparse_and_quantized_forms; load: what_was_saved_is_loaded
the oldest form of a tensor             oldest_rebuild_function
legacy, TorchScript, other formats      load: files_of_other_kinds_are_named
byteorder little, big, missing, wrong   unknown_byte_order_is_refused; load: marks_…, optional_…
map_location in all its forms           map_location_is_torchs
CRC 0, CRC wrong, bit flips             load: crc_zero_…; damage: random_bit_flips_…
truncation, comment, zeros, bytes ahead damage: truncation_…; load: bytes_before_and_behind_…
roots, extra and missing records        load: archives_of_python_zipfile_…, optional_records_…
versions 1 to 11, .data/version         version_under_its_other_name; load: marks_…, files_of_…
deflated, zstd inside of the zip        zstd_inside_is_refused; load: archives_of_python_zipfile_…
long containers, numbers, texts, bytes  empty_bytes_need_trust; load: what_was_saved_is_loaded
recursive values                        load: recursive_structures_are_inspected
optimizers, schedulers, RNG, scaler     optimizers_…, schedulers_…, states_of_generators
disallowed classes, os.system           load: a_disallowed_class_is_named, calls_in_a_pickle_…
pickle protocols 4 and 5                later_protocols_need_trust; load: pickles_of_later_…
hostile pickles and structure           damage: hostile_pickles_…, hostile_structure_…
DTensor                                 dtensors_are_read_as_torch_reads_them
======================================= ==========================================================
"""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from reading_support import equal, raw, records_of, torch_bytes, torch_zip, training_state

FULL = os.environ.get("TINTYPE_FULL") == "1"


def both(obj: object, path: Path, **kwargs: Any) -> tuple[Any, Any]:
    """What tintype and torch load of torch's file of ``obj``; it is verified too."""
    torch.save(obj, path)
    assert tintype.verify(path).ok
    return tintype.load(path, **kwargs), torch.load(path, **kwargs)


def test_sharing_survives(tmp_path: Path) -> None:
    base = torch.arange(12.0)
    state = [base, base, base[3:7], base.view(3, 4).t(), base._typed_storage()]
    a, b, part, turned, storage = tintype.load(_saved(state, tmp_path / "x.pth"))
    assert a is b
    a[4] = -1
    assert (part[1], turned[0, 1]) == (-1, -1)
    assert storage._data_ptr() == a.data_ptr() == part.untyped_storage().data_ptr()


def _saved(obj: object, path: Path) -> Path:
    torch.save(obj, path)
    return path


def test_names_outside_of_ascii(tmp_path: Path) -> None:
    folder = tmp_path / "gewürfelt 骰子"
    folder.mkdir()
    path = _saved(training_state(), folder / "größe \U0001f3b2.pth")
    for mmap in (False, True):
        assert equal(tintype.load(path, mmap=mmap), training_state())
    assert tintype.verify(str(path)).path == str(path)


# torch names the root of the archive after the file: of the last one it is "..".
STRANGE_NAMES = ["a\tb.pth", "a\nb.pth", "\x01", "a\x7f.pth", "\x1b[31mred.pth", "...pth"]


@pytest.mark.parametrize("name", STRANGE_NAMES, ids=ascii)
def test_names_of_control_characters_and_dots_are_roots_as_well(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    state = {"a": torch.arange(4)}
    for writer in (torch, tintype):
        writer.save(state, path)
        for mmap in (False, True):
            assert equal(tintype.load(path, mmap=mmap), state)
        assert equal(tintype.inspect(path).read("a"), state["a"])
        report = tintype.verify(path)
        assert report.ok and str(report).isprintable()


def test_names_in_texts_cannot_steer_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31mred\n.pth"
    content = torch_zip(records_of(torch_bytes(1)), root="\x1b[2J\x9b\u202e")
    hostile = content.replace(b"/version", b"/../sion")
    for damaged, shown in [(content[:-30], ""), (hostile, r"\x1b[2J\x9b\u202e/../sion")]:
        path.write_bytes(damaged)
        with pytest.raises(tintype.CorruptCheckpointError) as caught:
            tintype.load(path)
        for text in (str(caught.value), str(tintype.verify(path))):
            assert r"\x1b[31mred\n.pth" in text and shown in text
            assert text.isprintable()


def test_values_of_one_name_are_told_apart(tmp_path: Path) -> None:
    torch.save({0: 10, "0": 11, "a/b": 12, "a": {"b": 13}, "a/b~2": 14}, tmp_path / "x.pth")
    values = tintype.inspect(tmp_path / "x.pth").values
    numbers = {name: int(value.text) for name, value in values.items()}
    assert numbers == {"0": 10, "0~2": 11, "a/b": 12, "a/b~3": 13, "a/b~2": 14}


@pytest.mark.parametrize("signature", [b"PK\x07\x08", b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"])
def test_payloads_that_begin_like_a_zip_structure(tmp_path: Path, signature: bytes) -> None:
    payload = torch.tensor(list(signature + bytes(40)), dtype=torch.uint8)
    ours, theirs = both([payload, payload.flip(0)], tmp_path / "x.pth")
    assert equal(ours, theirs)


def test_records_without_a_pickle_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    writer = torch._C.PyTorchFileWriter(str(path))
    for name in ("a", "b", "c/d"):
        writer.write_record(name, b"12", 2)
    writer.write_end_of_file()
    for call in (tintype.load, tintype.verify, tintype.inspect):
        with pytest.raises(tintype.UnsupportedError, match="data.pkl"):
            call(path)


@pytest.mark.parametrize("size_bytes", [0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 0x100000000])
def test_sizes_around_4_gib(tmp_path: Path, size_bytes: int) -> None:
    """Sparse files: the big storage is a hole; the small ones behind it are filled afterwards."""
    path = tmp_path / "x.pth"
    untouched = torch.empty(size_bytes, dtype=torch.uint8)  # takes no memory
    with torch.serialization.skip_data():
        torch.save({"big": untouched, "small": torch.empty(5)}, path)
    records = {record.name: record for record in tintype.inspect(path).records}
    assert records["data/0"].size_bytes == size_bytes
    offset = torch._C.PyTorchFileReader(str(path)).get_record_offset("data/1")
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(raw(torch.arange(5.0)))
    part = tintype.load(path, keys="small")
    assert equal(part, {"small": torch.arange(5.0)})
    assert equal(tintype.inspect(path).read("small"), torch.arange(5.0))
    mapped = tintype.load(path, mmap=True)
    assert mapped["big"].numel() == size_bytes and equal(mapped["small"], torch.arange(5.0))


@pytest.mark.skipif(not FULL, reason="writes 4 GiB: TINTYPE_FULL=1")
def test_sizes_beyond_4_gib_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    tail = torch.arange(9)
    torch.save({"big": torch.zeros((1 << 32) + 5, dtype=torch.uint8), "tail": tail}, path)
    report = tintype.verify(path)
    assert report.ok and report.checked_bytes > 1 << 32
    loaded = tintype.load(path)
    assert loaded["big"].numel() == (1 << 32) + 5 and not loaded["big"][-100:].any()
    assert equal(loaded["tail"], tail)


def test_more_records_than_16_bits_count(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    records = records_of(torch_bytes({"a": torch.arange(9)}))
    records |= {f"notes/{i}": b"%d" % i for i in range(66_000)}
    path.write_bytes(torch_zip(records))
    report = tintype.verify(path)
    assert report.ok and report.record_count == len(records)
    if FULL:  # torch alone takes seconds to list them
        assert equal(tintype.load(path), {"a": torch.arange(9)})
    content = bytearray(path.read_bytes())
    content[content.index(b"notes/65999") + len(b"notes/65999")] ^= 1
    path.write_bytes(content)
    assert [problem.record for problem in tintype.verify(path).problems] == ["notes/65999"]


def test_tensors_keep_what_hangs_on_them(tmp_path: Path) -> None:
    tensor = torch.ones(2)
    tensor.note = "by hand"  # type: ignore[attr-defined]
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.scale = 2  # type: ignore[attr-defined]
    result = torch.ones(2, requires_grad=True) * 2
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).state_dict()
    state = {"tensor": tensor, "parameter": parameter, "non-leaf": result, "model": model}
    ours, theirs = both(state, tmp_path / "x.pth")
    assert ours["tensor"].note == "by hand" and ours["parameter"].scale == 2
    assert ours["non-leaf"].requires_grad and theirs["non-leaf"].requires_grad
    assert ours["model"]._metadata == theirs["model"]._metadata == model._metadata
    assert equal(ours, theirs)


def test_slice_keeps_its_storage(tmp_path: Path) -> None:
    ours, theirs = both(torch.arange(1000)[10:12], tmp_path / "x.pth")
    assert ours.untyped_storage().nbytes() == theirs.untyped_storage().nbytes() == 8000
    assert equal(ours, theirs)


def test_every_dtype_that_torch_saves(tmp_path: Path) -> None:
    dtypes = sorted({d for d in vars(torch).values() if isinstance(d, torch.dtype)}, key=str)
    read = []
    for dtype in dtypes:
        storage = torch.UntypedStorage(64).fill_(3)
        try:
            tensor = torch.empty(0, dtype=dtype).set_(storage, 0, (2,))
            torch.save(tensor, tmp_path / "x.pth")
        except (RuntimeError, TypeError, KeyError, NotImplementedError):
            continue  # quantized ones go their own way; torch refuses int1 and the like
        ours = tintype.load(tmp_path / "x.pth")
        assert (ours.dtype, ours.shape) == (dtype, (2,))
        assert ours.untyped_storage().tolist() == storage.tolist(), dtype
        read.append(str(dtype))
    print(f"{len(read)} dtypes: {' '.join(read)}")
    assert len(read) >= 25


SPARSE: dict[str, Callable[[], Any]] = {
    "coo": lambda: torch.eye(4).to_sparse(),
    "csr": lambda: torch.eye(4).to_sparse_csr(),
    "csc": lambda: torch.eye(4).to_sparse_csc(),
    "bsr": lambda: torch.eye(4).to_sparse_bsr((2, 2)),
    "bsc": lambda: torch.eye(4).to_sparse_bsc((2, 2)),
    "per tensor": lambda: torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.quint8),
    "per channel": lambda: torch.quantize_per_channel(
        torch.ones(2, 3), torch.tensor([0.1, 0.2]), torch.tensor([0, 1]), 0, torch.qint8
    ),
}


@pytest.mark.parametrize("form", SPARSE)
def test_sparse_and_quantized_forms(tmp_path: Path, form: str) -> None:
    ours, theirs = both(SPARSE[form](), tmp_path / "x.pth")
    assert ours.layout == theirs.layout
    assert equal(ours, theirs)


def test_oldest_rebuild_function(tmp_path: Path) -> None:
    """``torch._utils._rebuild_tensor`` of before 0.4: without gradient and hooks."""
    records = records_of(torch_bytes(torch.arange(4.0)))
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ"
    old = b"\x80\x02ctorch._utils\n_rebuild_tensor\n(" + storage + b"K\x01K\x02\x85K\x01\x85tR."
    path = tmp_path / "x.pth"
    path.write_bytes(torch_zip(records | {"data.pkl": old}))
    assert tintype.verify(path).ok
    assert equal(tintype.load(path), torch.load(path))
    assert tintype.load(path).tolist() == [1, 2]


def test_unknown_byte_order_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_zip(records_of(torch_bytes(1)) | {"byteorder": b"middle"}))
    with pytest.raises(tintype.CorruptCheckpointError, match="byteorder"):
        tintype.load(path)


def test_map_location_is_torchs(tmp_path: Path) -> None:
    path = _saved({"a": torch.arange(3), "v": torch.arange(3.0)[1:]}, tmp_path / "x.pth")
    seen: list[str] = []

    def place(storage: Any, tag: str) -> Any:
        seen.append(tag)
        return storage

    places: list[Any] = [None, "cpu", torch.device("cpu"), {"cpu": "cpu"}, place, "meta"]
    for location in places:
        ours = tintype.load(path, map_location=location)
        assert equal(ours, torch.load(path, map_location=location)), location
    assert seen == ["cpu", "cpu"] * 2
    if not torch.cuda.is_available():
        for load in (tintype.load, torch.load):
            with pytest.raises(RuntimeError, match="CUDA"):
                load(path, map_location="cuda")


def test_version_under_its_other_name(tmp_path: Path) -> None:
    records = records_of(torch_bytes({"a": torch.ones(2)}))
    records[".data/version"] = records.pop("version")
    path = tmp_path / "x.pth"
    path.write_bytes(torch_zip(records))
    assert equal(tintype.load(path), torch.load(path))


def test_zstd_inside_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_zip(records_of(torch_bytes({"a": torch.ones(2)}))))
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        header = archive.getinfo("archive/data/0").header_offset
    entry = content.index(b"archive/data/0", archive.start_dir) - 46
    for at in (header + 8, entry + 10):
        content[at : at + 2] = (93).to_bytes(2, "little")
    path.write_bytes(content)
    for read in (tintype.load, tintype.verify):
        with pytest.raises(tintype.UnsupportedError, match="data/0.*zstd.*7-Zip"):
            read(path)


def test_empty_bytes_need_trust(tmp_path: Path) -> None:
    path = _saved({"b": b"", "full": b"x"}, tmp_path / "x.pth")
    with pytest.raises(tintype.UnsupportedError, match="weights_only=False"):
        tintype.load(path)
    assert tintype.load(path, weights_only=False) == {"b": b"", "full": b"x"}


@pytest.mark.parametrize("protocol", [4, 5])
def test_later_protocols_need_trust(tmp_path: Path, protocol: int) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pth", pickle_protocol=protocol)
    with pytest.raises(tintype.UnsupportedError, match="weights_only=False") as caught:
        tintype.load(tmp_path / "x.pth")
    assert isinstance(caught.value, pickle.UnpicklingError)
    assert equal(tintype.load(tmp_path / "x.pth", weights_only=False), {"a": torch.ones(2)})


def _optimizers() -> list[type[torch.optim.Optimizer]]:
    found = [c for c in vars(torch.optim).values() if isinstance(c, type)]
    return [c for c in found if issubclass(c, torch.optim.Optimizer) and c.__name__ != "Optimizer"]


@pytest.mark.parametrize("kind", _optimizers(), ids=lambda kind: kind.__name__)
def test_optimizers_are_read_back(tmp_path: Path, kind: Any) -> None:
    weight = torch.nn.Parameter(torch.randn(4, 3))
    optimizer = kind([weight], lr=0.01)
    grad = torch.randn(4, 3)
    weight.grad = grad.to_sparse() if kind.__name__ == "SparseAdam" else grad
    optimizer.step(lambda: torch.tensor(1.0)) if kind.__name__ == "LBFGS" else optimizer.step()
    ours, theirs = both(optimizer.state_dict(), tmp_path / "x.pth")
    assert equal(ours, theirs)
    optimizer.load_state_dict(ours)


def test_schedulers_are_read_back(tmp_path: Path) -> None:
    lr_scheduler = torch.optim.lr_scheduler
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9)
    made: list[Any] = [
        lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch),
        lr_scheduler.MultiStepLR(optimizer, [1, 3]),
        lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9),
        lr_scheduler.CyclicLR(optimizer, 0.1, 0.2),
        lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3),
        lr_scheduler.ReduceLROnPlateau(optimizer),
        lr_scheduler.ChainedScheduler([lr_scheduler.ExponentialLR(optimizer, 0.9)]),
    ]
    for scheduler in made:
        ours, theirs = both(scheduler.state_dict(), tmp_path / "x.pth")
        assert equal(ours, theirs), type(scheduler).__name__


def test_states_of_generators(tmp_path: Path) -> None:
    state = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
    }
    ours, theirs = both(state, tmp_path / "x.pth")
    assert equal(ours, theirs) and ours["python"] == random.getstate()


@pytest.mark.skipif(not FULL, reason="imports much: TINTYPE_FULL=1")
def test_dtensors_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    code = """
    import sys, torch, torch.distributed as dist, tintype
    from torch.distributed.tensor import DTensor, Replicate, init_device_mesh
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    mesh = init_device_mesh("cpu", (1,))
    torch.save({"w": DTensor.from_local(torch.arange(6.0), mesh, [Replicate()])}, sys.argv[1])
    assert tintype.verify(sys.argv[1]).ok
    found = []
    for load in (torch.load, tintype.load):
        loaded = load(sys.argv[1])["w"]
        found.append((type(loaded), loaded.placements, loaded.to_local().tolist()))
    assert found[0] == found[1], found
    dist.destroy_process_group()
    """
    program = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "x.pth")]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
