"""Files: modes, links, names, and targets that are refused before anything is touched."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import children
import tintype
from states import MakeEngine, number_in, numbered_state, temps_in

SMALL = 5000
UMASKS = [0o000, 0o002, 0o007, 0o022, 0o027, 0o077, 0o177, 0o777]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def set_umask() -> Callable[[int], None]:
    """Sets the umask for one test."""
    before = os.umask(0)
    os.umask(before)
    yield os.umask  # type: ignore[misc]
    os.umask(before)


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
def test_new_file_gets_0666_less_the_umask_as_torch_gives_it(
    tmp_path: Path, set_umask: Callable[[int], None], umask: int
) -> None:
    set_umask(umask)
    tintype.save(numbered_state(1, SMALL), tmp_path / "x.pth")
    torch.save(numbered_state(1, SMALL), tmp_path / "torch.pth")
    assert mode_of(tmp_path / "x.pth") == 0o666 & ~umask == mode_of(tmp_path / "torch.pth")


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755], ids=oct)
def test_replaced_file_keeps_its_mode(
    tmp_path: Path, set_umask: Callable[[int], None], umask: int, mode: int
) -> None:
    path = tmp_path / "x.pth"
    tintype.save(numbered_state(1, SMALL), path)
    path.chmod(mode)
    set_umask(umask)
    tintype.save(numbered_state(2, SMALL), path)
    assert mode_of(path) == mode
    path.chmod(0o600)
    assert number_in(path) == 2


def test_relative_path_is_resolved_at_the_call(
    tmp_path: Path, slow_engine: tintype.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    snapshot = slow_engine.save_async(numbered_state(1), "x.pth")
    monkeypatch.chdir(tmp_path / "there")
    snapshot.wait_durable()
    assert number_in(tmp_path / "here" / "x.pth") == 1
    assert os.listdir(tmp_path / "there") == []


def test_from_a_deleted_working_directory_absolute_paths_work_and_relative_ones_say_why(
    tmp_path: Path, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, engine = numbered_state(1, SMALL), make_engine()
    model = torch.nn.Linear(1, 1)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    engine.save(state, tmp_path / "a.pth")
    engine.save_async(state, tmp_path / "b.pth").wait_durable()
    tintype.save_checkpoint(state, tmp_path, "c", is_best=True)
    tintype.CheckpointCallback(tmp_path / "run", model=model).close()
    assert {number_in(tmp_path / f"{name}.pth") for name in ("a", "b", "c", "best")} == {1}
    for refused in (
        lambda: engine.save(state, "x.pth"),
        lambda: engine.save_async(state, "x.pth"),
        lambda: tintype.Engine(trace="x.json"),
        lambda: tintype.CheckpointCallback("run", model=model),
    ):
        with pytest.raises(tintype.TintypeIOError, match="give an absolute path") as caught:
            refused()
        assert isinstance(caught.value, FileNotFoundError) and caught.value.errno == errno.ENOENT


def test_directory_that_is_renamed_after_the_call_gets_the_file(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    (tmp_path / "old").mkdir()
    snapshot = slow_engine.save_async(numbered_state(1), tmp_path / "old" / "x.pth")
    (tmp_path / "old").rename(tmp_path / "new")
    snapshot.wait_durable()
    assert number_in(tmp_path / "new" / "x.pth") == 1


def test_dots_behind_a_symlinked_directory_mean_what_the_kernel_means(tmp_path: Path) -> None:
    (tmp_path / "a" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "inner")
    tintype.save(numbered_state(1, SMALL), f"{tmp_path}/link/../x.pth")
    assert number_in(tmp_path / "a" / "x.pth") == 1


@pytest.mark.parametrize("is_relative", [True, False])
@pytest.mark.parametrize("is_dangling", [True, False])
def test_symlink_is_followed_as_torch_follows_it(
    tmp_path: Path, is_relative: bool, is_dangling: bool
) -> None:
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk" / "real.pth", tmp_path / "link.pth"
    link.symlink_to("disk/real.pth" if is_relative else real)
    if not is_dangling:
        tintype.save(numbered_state(1, SMALL), real)
    tintype.save(numbered_state(2, SMALL), link)
    assert link.is_symlink() and not real.is_symlink()
    assert number_in(real) == number_in(link) == 2
    assert temps_in(tmp_path) == temps_in(tmp_path / "disk") == []


def test_chain_of_symlinks_is_followed_and_a_loop_refused(tmp_path: Path) -> None:
    (tmp_path / "1").symlink_to("2")
    (tmp_path / "2").symlink_to("3")
    tintype.save(numbered_state(1, SMALL), tmp_path / "1")
    assert number_in(tmp_path / "3") == 1 and (tmp_path / "2").is_symlink()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(tintype.TintypeIOError) as caught:
        tintype.save(numbered_state(1, SMALL), tmp_path / "a")
    assert caught.value.errno == errno.ELOOP


def test_symlink_into_a_missing_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link.pth").symlink_to("missing/x.pth")
    with pytest.raises(FileNotFoundError):
        tintype.save(numbered_state(1, SMALL), tmp_path / "link.pth")
    assert os.listdir(tmp_path) == ["link.pth"]


def test_symlink_to_a_directory_is_refused_like_the_directory(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.pth").symlink_to("folder")
    with pytest.raises(IsADirectoryError):
        tintype.save(numbered_state(1, SMALL), tmp_path / "link.pth")


def test_other_hard_links_keep_the_old_content(tmp_path: Path) -> None:
    path, other = tmp_path / "x.pth", tmp_path / "other.pth"
    tintype.save(numbered_state(1, SMALL), path)
    other.hardlink_to(path)
    tintype.save(numbered_state(2, SMALL), path)
    assert (number_in(path), number_in(other)) == (2, 1)
    assert path.stat().st_nlink == 1


def test_reader_of_a_replaced_file_keeps_what_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    tintype.save(numbered_state(1, 1 << 20), path)
    mapped = torch.load(path, mmap=True, weights_only=True)
    for number in range(2, 6):
        tintype.save(numbered_state(number, 1 << 20), path)
    assert float(mapped["tensors"][0].sum()) == mapped["tensors"][0].numel()


@pytest.mark.parametrize("text", ["folder", "folder/", "folder/.", "new/", "folder/..", ".", "/"])
@pytest.mark.parametrize("is_async", [True, False])
def test_directory_as_the_target_is_refused_with_eisdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, is_async: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        (tintype.save_async if is_async else tintype.save)(numbered_state(1, SMALL), text)
    assert isinstance(caught.value, tintype.TintypeIOError)
    assert caught.value.errno == errno.EISDIR
    assert "give a file name" in str(caught.value)
    assert os.listdir(tmp_path) == ["folder"] and os.listdir(tmp_path / "folder") == []


def test_device_pipe_and_socket_are_refused_and_untouched(tmp_path: Path) -> None:
    import socket

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        ours = [tmp_path / name for name in ("pipe", "link", "socket")]
        for target in [*ours, Path("/dev/null")]:
            before = target.stat()
            with pytest.raises(tintype.UnsupportedError, match="device, pipe or socket"):
                tintype.save(numbered_state(1, SMALL), target)
            assert os.path.samestat(before, target.stat())
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe", "socket"]


def test_open_files_are_not_saved_to_by_links_of_proc(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_text("kept")
    reader, writer = os.pipe()
    (tmp_path / "link").symlink_to(f"/dev/fd/{writer}")
    with path.open("rb+") as file:
        for target, text in [
            (f"/dev/fd/{file.fileno()}", "a file that a process holds open"),
            (tmp_path / "link", "device, pipe or socket"),
        ]:
            with pytest.raises(tintype.UnsupportedError, match=text):
                tintype.save(numbered_state(1, SMALL), target)
    os.close(reader)
    os.close(writer)
    assert path.read_text() == "kept"
    assert sorted(os.listdir(tmp_path)) == ["link", "x.pth"]


@pytest.mark.parametrize("is_async", [True, False])
def test_missing_directory_is_refused_at_the_call_with_a_remedy(
    tmp_path: Path, is_async: bool
) -> None:
    path = tmp_path / "missing" / "x.pth"
    with pytest.raises(FileNotFoundError) as caught:
        (tintype.save_async if is_async else tintype.save)(numbered_state(1, SMALL), path)
    error = caught.value
    assert isinstance(error, tintype.TintypeIOError)
    assert error.errno == errno.ENOENT
    for part in [str(path), "ENOENT", "create the directory first"]:
        assert part in str(error)
    assert os.listdir(tmp_path) == []


def test_file_as_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(NotADirectoryError, match="a part of the path is a file"):
        tintype.save(numbered_state(1, SMALL), tmp_path / "file" / "x.pth")


NAMES = [
    "x",
    ".hidden",
    "with space.pth",
    "ünïcödé-ж-模型-🔥.pth",
    "new\nline.pth",
    "-dash",
    "a" * 255,
    "é" * 127,
    os.fsdecode(b"no-utf8-\xff\xfe.pth"),
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_file_name_works_new_and_replaced(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    tintype.save(numbered_state(1, SMALL), path)
    tintype.save(numbered_state(2, SMALL), str(path))
    snapshot = tintype.save_async(numbered_state(3, SMALL), path)
    snapshot.wait_durable()
    assert snapshot.path == str(path)
    assert os.listdir(tmp_path) == [name]
    with path.open("rb") as file:
        assert torch.load(file, weights_only=True)["number"] == 3


def test_error_about_a_name_that_is_no_utf8_names_it(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.pth")
    (tmp_path / name).mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        tintype.save(numbered_state(1, SMALL), tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)
    assert name in str(caught.value)


def test_too_long_name_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(tintype.TintypeIOError, match="shorter file name") as caught:
        tintype.save(numbered_state(1, SMALL), tmp_path / ("a" * 256))
    assert caught.value.errno == errno.ENAMETOOLONG


def test_empty_path_bytes_and_other_types_are_refused(tmp_path: Path) -> None:
    state = numbered_state(1, SMALL)
    with pytest.raises(ValueError, match="empty"):
        tintype.save(state, "")
    with pytest.raises(ValueError, match="NUL"):
        tintype.save(state, f"{tmp_path}/a\0b")
    for wrong in (b"x.pth", 3, None):
        with pytest.raises(TypeError):
            tintype.save(state, wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            tintype.save_async(state, wrong)  # type: ignore[arg-type]


def test_failed_saves_leave_no_descriptor_open(tmp_path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine()
    (tmp_path / "folder").mkdir()
    engine.save(numbered_state(1, SMALL), tmp_path / "x.pth")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        with pytest.raises(IsADirectoryError):
            engine.save(numbered_state(1, SMALL), tmp_path / "folder")
        engine.save(numbered_state(1, SMALL), tmp_path / "x.pth")
    # Up to 8 replaced files wait for the thread that closes them, and one is in its hands.
    assert len(os.listdir("/proc/self/fd")) <= before + 10


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else here")
def test_files_of_a_directory_that_may_only_be_searched_are_read(tmp_path: Path) -> None:
    code = """
    os.chmod(os.path.dirname(sys.argv[1]), 0o711)
    for folder in sys.argv[2:]:
        if not os.stat(folder).st_mode & 1:
            os.chmod(folder, 0o711)
    tintype.save(numbered_state(1, 1000), sys.argv[1])
    os.chmod(sys.argv[1], 0o644)
    tintype.load(sys.argv[1]), tintype.verify(sys.argv[1])  # imports what they need
    os.setuid(65534)
    try:
        os.listdir(os.path.dirname(sys.argv[1]))
    except PermissionError:
        print("listed=False")
    print(f"loaded={tintype.load(sys.argv[1])['tensors'][3].sum().item()}")
    print(f"checked={tintype.verify(sys.argv[1]).ok}")
    """
    child = children.run(code, tmp_path / "x.pth", *tmp_path.parents)
    assert children.answers(child) == {"listed": "False", "loaded": "62.0", "checked": "True"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else here")
def test_directory_without_write_permission_is_refused_with_a_remedy(tmp_path: Path) -> None:
    code = """
    for folder in sys.argv[2:]:
        os.chmod(folder, 0o755)
    os.setuid(65534)
    try:
        tintype.save(numbered_state(1, 1000), sys.argv[1])
    except PermissionError as error:
        print(f"text={error}", f"is_tintype={isinstance(error, tintype.TintypeIOError)}", sep="\\n")
    """
    folders = [tmp_path.parent.parent, tmp_path.parent, tmp_path]
    child = children.run(code, tmp_path / "x.pth", *folders)
    told = children.answers(child)
    assert told["is_tintype"] == "True", child.stderr
    assert "EACCES" in told["text"] and "check the permissions" in told["text"]
    assert os.listdir(tmp_path) == []
