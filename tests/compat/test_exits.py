"""Leaving the program with pending saves, and forks with a live engine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
child = os.fork()
if child == 0:
    for call in (lambda: engine.save(numbered_state(2), folder + "/x.pth"), engine.wait,
                 snapshot.wait_durable):
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
    assert child.stdout.count("refused:") == 3 and "called True" in child.stdout
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
