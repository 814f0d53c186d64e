"""The file object that ``open`` returns, beside what ``torch.load`` does with it."""

from __future__ import annotations

import copy
import io
import os
import pickle
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
import torch

import tintype
from children import answers, run
from tintype import _tintype

PIECE_BYTES = 4096


@pytest.fixture(params=["", ".zst", ".ttz"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / f"x.pth{request.param}"
    tintype.save({"numbers": torch.arange(1 << 18)}, path)
    return path


@pytest.fixture
def file(path: Path) -> Any:
    with tintype.open(path) as opened:
        yield opened


def test_writing_is_refused_as_by_files_that_are_only_read(file: BinaryIO) -> None:
    for write in (lambda: file.write(b"x"), lambda: file.writelines([b"x"]), file.truncate):
        with pytest.raises(io.UnsupportedOperation):
            write()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((2**70,), OverflowError, "offset=1180591620717411303424 is not within 64 bits"),
        ((-(2**70),), OverflowError, "not within 64 bits"),
        ((1.5,), TypeError, "'float' object cannot be interpreted as an integer"),
        ((0, "end"), TypeError, "'str' object cannot be interpreted as an integer"),
        ((0, 3), ValueError, "whence=3 is not 0, 1 or 2"),
    ],
)
def test_places_that_are_none_are_refused_in_plain_words(
    file: Any, arguments: tuple[object, ...], error: type[Exception], text: str
) -> None:
    file.seek(5)
    with pytest.raises(error, match=text):
        file.seek(*arguments)
    with pytest.raises((OverflowError, TypeError), match="64 bits|integer"):
        file.read(*arguments[:1] if arguments[0] else (1.5,))
    assert file.tell() == 5


def test_a_closed_file_answers_no_question(file: BinaryIO) -> None:
    file.close()
    questions: list[Callable[[], object]] = [
        file.readable,
        file.seekable,
        file.writable,
        file.read,
        lambda: file.write(b""),
    ]
    for ask in questions:
        with pytest.raises(ValueError, match="closed"):
            ask()


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_open_file_is_not_copied(file: BinaryIO, make: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        make(file)


# --- several threads ---


def test_threads_share_out_a_file_in_whole_reads(file: BinaryIO) -> None:
    content = file.read()
    file.seek(0)

    def read_on() -> list[bytes]:
        return list(iter(lambda: file.read(PIECE_BYTES), b""))

    with ThreadPoolExecutor(4) as threads:
        shares = [threads.submit(read_on) for _ in range(4)]
        pieces = Counter(piece for share in shares for piece in share.result())
    expected = (content[at : at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES))
    assert pieces == Counter(expected)
    assert file.tell() == len(content)


class Slow(io.BytesIO):
    """Once armed, its next read tells that it began and waits in vain for another one to end."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.is_armed = False
        self.has_begun = threading.Event()
        self.has_other_ended = threading.Event()

    def readinto(self, buffer: Any, /) -> int:
        if self.is_armed:
            self.is_armed = False
            self.has_begun.set()
            assert not self.has_other_ended.wait(0.2)
        return super().readinto(buffer)


def test_a_read_waits_for_that_of_another_thread(tmp_path: Path) -> None:
    tintype.save({"numbers": torch.arange(1 << 18)}, tmp_path / "x.pth")
    content = (tmp_path / "x.pth").read_bytes()
    half_bytes = len(content) // 2
    slow = Slow(content)
    reader = _tintype.ArchiveFile(cast(Any, slow), False)
    slow.is_armed = True
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(reader.read, half_bytes)
        assert slow.has_begun.wait(60)
        assert reader.tell() == 0
        second = reader.read()
        slow.has_other_ended.set()
        assert (first.result(), second) == (content[:half_bytes], content[half_bytes:])


def test_a_signal_handler_may_read_the_file_of_its_thread(file: BinaryIO) -> None:
    content = file.read()
    read_count = 0

    def handle(*_: object) -> None:
        nonlocal read_count
        assert file.seek(0) == 0 and file.read(4) == content[:4]
        read_count += 1

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        for _ in range(50):
            os.kill(os.getpid(), signal.SIGUSR1)
            file.read(1 << 16)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert read_count > 0


class Nosy(io.BytesIO):
    """Reads, in the middle of a read by ``reader``, from ``reader``: as a signal handler may."""

    reader: Any = None
    error: Exception | None = None

    def readinto(self, buffer: Any, /) -> int:
        if self.reader is not None and self.error is None:
            try:
                self.reader.read(1)
            except tintype.BusyError as error:
                self.error = error
        return super().readinto(buffer)


def test_a_read_within_a_read_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    tintype.save({"numbers": torch.arange(1 << 18)}, tmp_path / "x.pth")
    content = (tmp_path / "x.pth").read_bytes()
    nosy = Nosy(content)
    nosy.reader = reader = _tintype.ArchiveFile(cast(Any, nosy), False)
    assert reader.read() == content
    assert "signal handler" in str(nosy.error) and "open the file anew" in str(nosy.error)


def test_a_forked_child_is_told_to_open_its_own(path: Path) -> None:
    done = run(
        """
        file = tintype.open(sys.argv[1])
        content = file.read()
        for read in (lambda: file.read(4), lambda: file.readinto(bytearray(4))):
            file.seek(0)
            child = os.fork()
            if child == 0:
                try:
                    read()
                except OSError as error:
                    print(f"errno={error.errno}")
                    print(f"error={error}")
                with tintype.open(sys.argv[1]) as own:
                    print(f"own={own.read() == content}", flush=True)
                os._exit(0)
            os.waitpid(child, 0)
        print(f"parents={file.read() == content}")
        """,
        path,
    )
    found = answers(done)
    assert found["errno"] == "9", done
    text = "this file was opened by the parent process: a forked child opens its own"
    assert done.stdout.count(text) == 2 and str(path) in found["error"]
    assert found["own"] == found["parents"] == "True"
