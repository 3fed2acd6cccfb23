"""What a tree of processes uses."""

import os
import subprocess
import sys
import time

import pytest

from branchline.process.limits import Process, Processes, proportional, tree, usage

PAGE, TICK = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


def process(parent: int, session: int = 0, *, ticks: int = 0, reaped: int = 0, pages: int = 0) -> Process:
    return Process(parent, session, ticks, reaped, pages)


def test_a_tree_is_the_descendants_and_the_session() -> None:
    seen = {10: process(1, 10), 11: process(10, 10), 12: process(11, 12), 13: process(1, 10), 14: process(1, 14)}
    seen[15] = process(13, 15)
    assert tree(10, seen) == [11, 12, 13, 15]
    assert tree(99, seen) == []


def test_time_of_those_that_are_gone_counts_through_who_waited_for_them() -> None:
    seen = {10: process(1, ticks=500, reaped=7), 11: process(10, ticks=3, reaped=2, pages=4), 12: process(11, pages=1)}
    cpu, memory = usage([11, 12], seen, 10)
    assert memory == 5 * PAGE
    assert cpu == pytest.approx(12 / TICK)
    assert usage([10, 11, 12], seen, 10)[0] == pytest.approx(512 / TICK)
    assert usage([], {}, 10) == (0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_memory_is_seen_and_what_is_shared_is_counted_once() -> None:
    code = "import os, time\nb = b'x' * (40 << 20)\nfor _ in range(3): os.fork() or time.sleep(60)\nprint(flush=True)\ntime.sleep(60)"
    argv = [sys.executable, "-I", "-S", "-c", code]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as started:
        assert started.stdout is not None
        started.stdout.readline()
        time.sleep(0.05)
        seen = Processes().now()
        members = [started.pid, *tree(started.pid, seen)]
        _, memory = usage(members, seen, started.pid)
        together = proportional(members, seen)
        os.killpg(started.pid, 9)
    assert len(members) == 4
    assert memory > 4 * (40 << 20)
    assert 40 << 20 < together < 80 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_one_look_serves_all_who_ask_at_once() -> None:
    processes = Processes()
    assert processes.now() is processes.now()
    assert os.getpid() in processes.now()
    first = processes.now()
    time.sleep(0.03)
    assert processes.now() is not first


def test_a_process_that_is_gone_uses_nothing() -> None:
    assert proportional([2**22 + 1], {2**22 + 1: process(1, pages=0)}) == 0
