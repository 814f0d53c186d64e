"""An error that nobody waited for: who hears of it, and what counts as seen."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import children
import tintype
from states import failing_save, number_in, numbered_state


def finish(engine: tintype.Engine) -> None:
    """Waits for all saves without looking at their errors."""
    while engine.stats()["in_flight"] > 0:
        threading.Event().wait(0.005)


def test_next_save_async_raises_it_after_starting_its_own(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    failing_save(slow_engine, tmp_path)
    finish(slow_engine)
    with pytest.raises(IsADirectoryError) as caught:
        slow_engine.save_async(numbered_state(2), tmp_path / "next.pth")
    assert isinstance(caught.value, tintype.TintypeError)
    assert str(tmp_path / "late.pth") in str(caught.value)
    snapshot = caught.value.snapshot
    assert isinstance(snapshot, tintype.Snapshot)
    assert snapshot.path == str(tmp_path / "next.pth") and not snapshot.done()
    snapshot.wait_durable()
    assert number_in(tmp_path / "next.pth") == 2
    slow_engine.save(numbered_state(3, 1000), tmp_path / "next.pth")


def test_next_save_raises_it_and_its_own_file_is_durable(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    failing_save(slow_engine, tmp_path)
    finish(slow_engine)
    with pytest.raises(IsADirectoryError) as caught:
        slow_engine.save(numbered_state(2), tmp_path / "next.pth")
    assert isinstance(caught.value, tintype.TintypeError)
    assert isinstance(caught.value.snapshot, tintype.Snapshot) and caught.value.snapshot.done()
    assert number_in(tmp_path / "next.pth") == 2


def test_it_waits_for_a_later_call_if_the_next_one_is_itself_refused(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    failing_save(slow_engine, tmp_path)
    finish(slow_engine)
    with pytest.raises(FileNotFoundError):
        slow_engine.save(numbered_state(2), tmp_path / "missing" / "x.pth")
    with pytest.raises(IsADirectoryError):
        slow_engine.save(numbered_state(2, 1000), tmp_path / "next.pth")


@pytest.mark.parametrize("call", ["wait", "close"])
def test_wait_and_close_raise_it_once(
    tmp_path: Path, slow_engine: tintype.Engine, call: str
) -> None:
    failing_save(slow_engine, tmp_path)
    with pytest.raises(IsADirectoryError):
        getattr(slow_engine, call)()
    getattr(slow_engine, call)()


def test_leaving_the_context_manager_raises_it(tmp_path: Path) -> None:
    with (
        pytest.raises(IsADirectoryError),
        tintype.Engine(byte_rate_limit=4 << 20, extent_bytes=64 << 10) as engine,
    ):
        failing_save(engine, tmp_path)


def test_an_exception_that_leaves_the_context_manager_is_not_hidden_by_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passing = KeyError("the job's own")
    with (
        pytest.raises(KeyError) as caught,
        tintype.Engine(byte_rate_limit=4 << 20, extent_bytes=64 << 10) as engine,
    ):
        failing_save(engine, tmp_path)
        raise passing
    assert caught.value is passing and passing.__context__ is None
    told = capsys.readouterr().err
    assert told.count("tintype: a save failed") == 1 and "late.pth" in told
    with pytest.raises(ValueError, match="engine is closed"):
        engine.save({}, tmp_path / "x.pth")


def test_several_are_told_at_once_the_first_raised_and_the_others_printed(
    tmp_path: Path, slow_engine: tintype.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_save(slow_engine, tmp_path, "one.pth")
    failing_save(slow_engine, tmp_path, "two.pth")
    with pytest.raises(IsADirectoryError, match="one.pth"):
        slow_engine.wait()
    assert "two.pth" in capsys.readouterr().err
    slow_engine.wait()


@pytest.mark.parametrize("how", ["wait", "callback", "late callback"])
def test_waiting_and_a_callback_count_as_seen(
    tmp_path: Path, slow_engine: tintype.Engine, how: str
) -> None:
    snapshot = failing_save(slow_engine, tmp_path)
    if how == "wait":
        with pytest.raises(IsADirectoryError):
            snapshot.wait_durable()
    elif how == "callback":
        snapshot.add_done_callback(lambda _: None)
    else:
        finish(slow_engine)
        snapshot.add_done_callback(lambda _: None)
    slow_engine.wait()
    slow_engine.save(numbered_state(2, 1000), tmp_path / "x.pth")


def test_a_timeout_and_a_look_at_the_state_do_not_count_as_seen(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    snapshot = failing_save(slow_engine, tmp_path)
    with pytest.raises(TimeoutError):
        snapshot.wait_durable(0.01)
    finish(slow_engine)
    assert snapshot.done() and snapshot.report()["state"] == "failed"
    with pytest.raises(IsADirectoryError):
        slow_engine.wait()


def test_engines_do_not_raise_each_others_errors(
    tmp_path: Path, slow_engine: tintype.Engine
) -> None:
    failing_save(slow_engine, tmp_path)
    finish(slow_engine)
    tintype.save(numbered_state(1, 1000), tmp_path / "x.pth")
    with pytest.raises(IsADirectoryError):
        slow_engine.wait()


def test_save_that_fails_at_once_does_not_raise_its_own_error_as_an_earlier_ones(
    tmp_path: Path,
) -> None:
    """Over the file size limit even the first write fails, maybe before save_async returns."""
    code = """
    import resource, signal, time
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
    engine = tintype.Engine(extent_bytes=64 << 10, staging_bytes=512 << 10)
    raised = own = 0
    for i in range(30):
        try:
            engine.save_async(numbered_state(i, 4 << 20), sys.argv[1])
        except tintype.TintypeIOError as error:
            raised += 1
            own += f"number {i}" in str(error) or error.snapshot is None
            assert error.snapshot.exception() is not error
        while engine.stats()["in_flight"]:
            time.sleep(0.001)
    print(f"raised={raised}", f"own={own}", f"failed={engine.stats()['saves_failed']}", sep="\\n")
    """
    child = children.run(code, tmp_path / "x.pth")
    assert child.returncode == 0, child.stderr
    told = children.answers(child)
    assert (told["raised"], told["own"], told["failed"]) == ("29", "0", "30")
    assert child.stderr.count("a save failed") == 1, "the last one is told at exit"
    assert list(tmp_path.iterdir()) == []
