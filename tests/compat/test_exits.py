"""Leaving the program with pending saves, and forks with a live engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import children
from states import number_in, temps_in

# A save of 1 MiB that is in flight for a quarter of a second.
PENDING = """
engine = tintype.Engine(extent_bytes=64 << 10, byte_rate_limit=4 << 20)
snapshot = engine.save_async(numbered_state(5), sys.argv[1] + "/x.pth")
assert not snapshot.done()
"""
FAILING = PENDING + 'os.mkdir(sys.argv[1] + "/x.pth")\n'


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("pass", 0),
        ("sys.exit(7)", 7),
        ("raise RuntimeError('the job failed')", 1),
        ("del engine, snapshot", 0),
        ("sys.exit('said on stderr')", 1),
        ("raise KeyboardInterrupt", -2),
    ],
)
def test_pending_save_is_complete_when_the_program_ends(
    tmp_path: Path, end: str, code: int
) -> None:
    child = children.run(PENDING + end, tmp_path)
    assert child.returncode == code, child.stderr
    assert "tintype" not in child.stderr
    assert number_in(tmp_path / "x.pth") == 5
    assert temps_in(tmp_path) == []


def test_pending_save_of_the_default_engine_is_complete(tmp_path: Path) -> None:
    code = """
    for i in range(20):
        tintype.save_async(numbered_state(i, 4 << 20), f"{sys.argv[1]}/{i % 2}.pth")
    """
    assert children.run(code, tmp_path).returncode == 0
    assert [number_in(tmp_path / f"{i}.pth") for i in range(2)] == [18, 19]


@pytest.mark.parametrize(("end", "code"), [("pass", 0), ("sys.exit(7)", 7)])
def test_failing_pending_save_is_printed_and_the_exit_code_is_the_programs(
    tmp_path: Path, end: str, code: int
) -> None:
    child = children.run(FAILING + end, tmp_path)
    assert child.returncode == code
    assert child.stderr.count("tintype: a save failed") == 1
    assert "x.pth" in child.stderr and "EISDIR" in child.stderr
    assert "Traceback" not in child.stderr


def test_failure_that_was_seen_is_not_printed_again(tmp_path: Path) -> None:
    end = """
try:
    snapshot.wait_durable()
except IsADirectoryError:
    print("seen")
"""
    child = children.run(FAILING + end, tmp_path)
    assert (child.returncode, child.stdout, child.stderr) == (0, "seen\n", "")


def test_program_ends_though_its_pending_save_gets_nothing_done(tmp_path: Path) -> None:
    code = """
    engine = tintype.Engine(extent_bytes=64 << 10, byte_rate_limit=1, stall_timeout_s=0.3)
    engine.save_async(numbered_state(5), sys.argv[1] + "/x.pth")
    """
    child = children.run(code, tmp_path)
    assert child.returncode == 0
    assert "a save failed: no progress for 0.3 s" in child.stderr
    assert list(tmp_path.iterdir()) == []


def test_done_callbacks_of_pending_saves_run_before_the_end(tmp_path: Path) -> None:
    end = "snapshot.add_done_callback(lambda s: print('called', s.report()['state']))"
    child = children.run(PENDING + end, tmp_path)
    assert (child.returncode, child.stdout) == (0, "called published\n"), child.stderr
    os.remove(tmp_path / "x.pth")
    child = children.run(FAILING + end, tmp_path)
    assert (child.returncode, child.stdout, child.stderr) == (0, "called failed\n", "")


def test_done_callbacks_may_save_with_any_engine_before_the_end(tmp_path: Path) -> None:
    end = """
import time
other = tintype.Engine()
def save_more(done):
    time.sleep(0.3)  # by then the engines would have been closed
    other.save(numbered_state(6), sys.argv[1] + "/other.pth")
    engine.save(numbered_state(7), sys.argv[1] + "/same.pth")
    tintype.save(numbered_state(8), sys.argv[1] + "/default.pth")
snapshot.add_done_callback(save_more)
"""
    child = children.run(PENDING + end, tmp_path)
    assert (child.returncode, child.stderr) == (0, "")
    found = {path.name: number_in(path) for path in tmp_path.iterdir()}
    assert found == {"x.pth": 5, "other.pth": 6, "same.pth": 7, "default.pth": 8}


ATEXIT = "import atexit\natexit.register(lambda: late())\n"
FINALIZER = """
import weakref
class Job: pass
job = Job()
weakref.finalize(job, lambda: late())
"""


def run_late(code: str, folder: Path, registration: str) -> subprocess.CompletedProcess[str]:
    """Calls the late() of ``code`` after Tintype's own exit handler, as one that was registered
    before Tintype was imported."""
    whole = registration + children.source_of(code)
    return subprocess.run(
        [sys.executable, "-u", "-c", whole, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("registration", [ATEXIT, FINALIZER], ids=["atexit", "finalizer"])
@pytest.mark.parametrize("earlier", ["", "tintype.save({}, sys.argv[1] + '/x.pth')", PENDING])
def test_exit_handler_that_runs_last_can_save(
    tmp_path: Path, registration: str, earlier: str
) -> None:
    code = """
def late():
    tintype.save(numbered_state(1), sys.argv[1] + "/x.pth")
    snapshot = tintype.save_async(numbered_state(2), sys.argv[1] + "/async.pth")
    print("done", snapshot.done())
    snapshot.add_done_callback(lambda s: print("called", s.report()["state"]))
    os._exit(0)  # nothing else can wait for them
"""
    child = run_late(code + earlier, tmp_path, registration)
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout == "done True\ncalled published\n"
    assert {path.name: number_in(path) for path in tmp_path.iterdir()} == {
        "x.pth": 1, "async.pth": 2
    }  # fmt: skip


def test_errors_of_late_saves_are_raised_where_they_are_made(tmp_path: Path) -> None:
    code = """
    engine = tintype.Engine()
    def late():
        for call in (
            lambda: tintype.save({}, sys.argv[1] + "/none/x.pth"),
            lambda: tintype.save_async({}, sys.argv[1] + "/none/x.pth"),
            lambda: engine.save({}, sys.argv[1] + "/x.pth"),
        ):
            try:
                call()
            except (FileNotFoundError, ValueError) as error:
                print(isinstance(error, FileNotFoundError), str(error)[-40:])
    """
    child = run_late(code, tmp_path, ATEXIT)
    assert (child.returncode, child.stderr) == (0, "")
    lines = child.stdout.splitlines()
    assert len(lines) == 3 and all(line.startswith("True") for line in lines[:2])
    assert lines[2] == "False this engine is closed: make a new one"
    assert list(tmp_path.iterdir()) == []


def test_late_saves_of_guarded_tensors_and_of_a_callback(tmp_path: Path) -> None:
    code = """
    model = torch.nn.Linear(100, 100)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    callback = tintype.CheckpointCallback(sys.argv[1], model=model, optimizer=optimizer)
    callback.on_stage_start("train")
    callback.on_epoch_end("train", 1, {"loss": 1.0})
    def late():
        with tintype.guard(optimizer):
            callback.on_epoch_end("train", 2, {"loss": 0.5})
        print(os.path.basename(callback.on_exception(ValueError("late"))))
        print([entry["epoch"] for entry in callback.entries])
    """
    child = run_late(code, tmp_path, ATEXIT)
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout == "train.3.exception_ValueError.pth\n[2]\n"
    folder = tmp_path / "checkpoints"
    assert torch.load(folder / "train.3.exception_ValueError.pth")["epoch"] == 2
    assert torch.load(folder / "last_full.pth")["epoch"] == 2
    assert temps_in(folder) == []


@pytest.mark.parametrize("is_daemon", [False, True])
@pytest.mark.parametrize("is_waiting", [False, True])
def test_thread_alive_at_exit_does_no_harm(
    tmp_path: Path, is_daemon: bool, is_waiting: bool, full: bool
) -> None:
    code = """
    import threading
    started = threading.Event()
    # Made here: torch itself ends the program if a daemon thread is inside one of its calls then.
    states = [numbered_state(number, 300_000) for number in range(10)]
    def save_on():
        for number in range(10 if sys.argv[2] == "False" else 10_000):
            try:
                snapshot = tintype.save_async(states[number % 10], sys.argv[1] + "/x.pth")
                if sys.argv[3] == "True":
                    snapshot.wait_durable()
            except ValueError as error:
                print("refused:", error)
                return
            started.set()
    threading.Thread(target=save_on, daemon=sys.argv[2] == "True").start()
    started.wait()
    """
    for _ in range(20 if full else 1):
        child = children.run(code, tmp_path, is_daemon, is_waiting)
        assert child.returncode == 0, child.stderr
        assert child.stderr == ""
        assert (number_in(tmp_path / "x.pth") == 9) or is_daemon
        assert temps_in(tmp_path) == []


@pytest.mark.parametrize("call", ["start", "end"])
def test_first_saves_of_many_threads(tmp_path: Path, call: str) -> None:
    """The first capture of a process asks torch for much, and may lose the GIL on the way: to
    another thread's first capture, or to the end of the program."""
    code = """
    import threading
    sys.setswitchinterval(1e-6)
    state = numbered_state(1, 1000)
    tintype._default_engine.default_engine()
    go = threading.Barrier(9)
    def save(number):
        go.wait()
        try:
            tintype.save(state, f"{sys.argv[1]}/{number}.pth")
        except ValueError:
            pass  # the program ends
    is_daemon = sys.argv[2] == "end"
    threads = [threading.Thread(target=save, args=(i,), daemon=is_daemon) for i in range(8)]
    for thread in threads:
        thread.start()
    go.wait()
    """
    for _ in range(3):
        child = children.run(code, tmp_path, call)
        assert (child.returncode, child.stderr) == (0, "")
        if call == "start":
            assert [number_in(tmp_path / f"{i}.pth") for i in range(8)] == [1] * 8
        assert temps_in(tmp_path) == []


FORK = """
engine = tintype.Engine(extent_bytes=64 << 10, byte_rate_limit=4 << 20)
folder = sys.argv[1]
tintype.save(numbered_state(0, 1000), folder + "/default.pth")
snapshot = engine.save_async(numbered_state(1), folder + "/parent.pth")
"""


def test_forked_child_has_a_default_engine_of_its_own_and_cannot_use_the_parents(
    tmp_path: Path,
) -> None:
    code = (
        FORK
        + """
import io
child = os.fork()
if child == 0:
    for call in (lambda: engine.save(numbered_state(2), folder + "/x.pth"), engine.wait,
                 lambda: engine.save({}, io.BytesIO()), snapshot.wait_durable):
        try:
            call()
        except ValueError as error:
            print("refused:", error, flush=True)
    print("cancelled:", snapshot.cancel(), flush=True)
    tintype.save(numbered_state(3), folder + "/child.pth")
    tintype.save_async(numbered_state(4, 4 << 20), folder + "/child-pending.pth")
    tintype.save_async(numbered_state(5), folder + "/seen.pth").add_done_callback(
        lambda s: print("called", s.done(), flush=True))
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
snapshot.wait_durable()
tintype.save(numbered_state(6, 1000), folder + "/default.pth")
"""
    )
    child = children.run(code, tmp_path)
    assert child.returncode == 0, child.stderr
    assert child.stdout.count("refused:") == 4 and "called True" in child.stdout
    assert "cancelled: False" in child.stdout
    found = {path.name: number_in(path) for path in tmp_path.iterdir()}
    assert found == {
        "default.pth": 6, "parent.pth": 1, "child.pth": 3, "child-pending.pth": 4, "seen.pth": 5,
    }  # fmt: skip


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_save_and_finish_what_is_pending(
    tmp_path: Path, method: str
) -> None:
    (tmp_path / "job.py").write_text(
        children.source_of(
            """
            import multiprocessing
            def work(folder, rank):
                tintype.save(numbered_state(rank, 1000), f"{folder}/{rank}.pth")
                engine = tintype.Engine(extent_bytes=64 << 10, byte_rate_limit=4 << 20)
                engine.save_async(numbered_state(rank), f"{folder}/pending{rank}.pth")
            if __name__ == "__main__":
                folder = sys.argv[1]
                tintype.save(numbered_state(9, 1000), folder + "/parent.pth")
                context = multiprocessing.get_context(sys.argv[2])
                workers = [context.Process(target=work, args=(folder, rank)) for rank in range(2)]
                [worker.start() for worker in workers]
                [worker.join() for worker in workers]
                print([worker.exitcode for worker in workers])
            """
        )
    )
    (tmp_path / "out").mkdir()
    child = children.run(
        "import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
        if method == "fork"
        else "import subprocess; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))",
        tmp_path / "job.py",
        tmp_path / "out",
        method,
    )
    assert child.stdout == "[0, 0]\n", child.stderr
    found = {path.name: number_in(path) for path in (tmp_path / "out").iterdir()}
    assert found == {
        "parent.pth": 9, "0.pth": 0, "1.pth": 1, "pending0.pth": 0, "pending1.pth": 1,
    }  # fmt: skip


def test_data_loader_workers_and_saves_do_not_disturb_each_other(tmp_path: Path) -> None:
    code = """
    from torch.utils.data import DataLoader, TensorDataset
    data = TensorDataset(torch.arange(64.0))
    seen = 0
    for epoch in range(2):
        snapshot = tintype.save_async(numbered_state(epoch, 1 << 20), sys.argv[1] + "/x.pth")
        loader = DataLoader(data, batch_size=8, num_workers=2, multiprocessing_context="fork")
        seen += sum(len(batch) for (batch,) in loader)
        snapshot.wait_durable()
    print(f"seen={seen}")
    """
    child = children.run(code, tmp_path)
    assert (child.returncode, child.stdout) == (0, "seen=128\n"), child.stderr
    assert number_in(tmp_path / "x.pth") == 1
