"""Memory that is in no process: it is found by whose it is, and what is mapped of it is not counted twice."""

import mmap
import os
import subprocess
import sys
import tempfile

import pytest

from branchline.process import unmapped
from branchline.process.limits import Processes, proportional
from branchline.process.unmapped import Unmapped

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
MB = 1 << 20
HOLDER = """
import mmap, os, sys
held = os.memfd_create("x")
os.write(held, bytes(40 << 20))
other = os.dup(held)
if sys.argv[1] == "mapped":
    m = mmap.mmap(held, 40 << 20)
    bytes(m)
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["open", "mapped"])
def test_a_file_without_a_name_is_counted_once(how: str) -> None:
    before = Unmapped(100 * MB)
    argv = [sys.executable, "-I", "-S", "-c", HOLDER, how]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        held, devices = before.held([started.pid])
        mapped = proportional([started.pid], Processes().now(), devices | {0})
        started.communicate()
    assert held == 40 * MB
    assert 0 < mapped < 30 * MB


def test_nothing_is_looked_at_while_the_machine_has_no_more_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmapped, "_shared", lambda: 100 * MB)
    before = Unmapped(1000 * MB)
    monkeypatch.setattr(unmapped, "_in_memory", lambda _: pytest.fail("looked at"))
    monkeypatch.setattr(unmapped, "_shared", lambda: 160 * MB)
    assert before.held([os.getpid()]) == (0, frozenset())


def test_what_everybody_sees_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Unmapped(0)
    monkeypatch.setattr(unmapped, "_shared", lambda: 1 << 40)
    assert before.held([os.getpid(), 1 << 30]) == (0, frozenset())


def test_shared_memory_without_a_file_stays_with_its_process() -> None:
    with mmap.mmap(-1, 30 * MB) as shared, tempfile.TemporaryFile() as file:
        shared.write(b"x" * (30 * MB))
        file.write(b"x")
        assert unmapped.apart(os.getpid(), frozenset()) > 30 * MB
