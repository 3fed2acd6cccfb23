"""Every limit stops what goes over it, says truly which it was, and leaves the others alone."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from branchline.core.model.limits import UNLIMITED, Containment, ProcessLimits
from branchline.process.containment import Confinement, ceiling, kernel, rlimits
from branchline.process.limits import cause
from branchline.process.spawn import Exit, run

linux = pytest.mark.skipif(sys.platform != "linux", reason="what a tree of processes uses stands in /proc")
ENV = {"PATH": os.environ["PATH"]}
EATER = "held = []\nwhile True: held.append(bytearray(b'x' * (1 << 20)))"
BOMB = "b() { b | b & }; b; sleep 60"
WRITER = "f = open('big', 'wb')\nwhile True: f.write(bytes(1 << 20))"


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def held(tmp_path: Path, argv: list[str], *, timeout: float = 20, **limits: object) -> Exit:
    """Run a command in `tmp_path/tree` under these limits alone."""
    tree, out = tmp_path / "tree", tmp_path / "out"
    tree.mkdir(exist_ok=True)
    confinement = Confinement(limits=msgspec.structs.replace(UNLIMITED, **limits), grows=(tree,))
    return run(argv, cwd=tree, env=ENV, stdout=out, stderr=out, timeout=timeout, grace=0.1, confinement=confinement)


@pytest.fixture(params=["namespace", "subreaper", "group"])
def method(request: pytest.FixtureRequest) -> Containment:
    wanted: Containment = request.param
    return wanted


@linux
def test_memory_of_one(tmp_path: Path, method: Containment) -> None:
    ended = held(tmp_path, python(EATER), memory_mb=100, containment=method)
    assert ended.reason == "memory_limit"
    assert ended.memory is not None
    assert ended.memory > 100 << 20


@linux
def test_memory_of_all_together(tmp_path: Path) -> None:
    code = "import os, time\nfor _ in range(4): os.fork() or (b := b'x' * (40 << 20), time.sleep(60))\ntime.sleep(60)"
    ended = held(tmp_path, python(code), memory_mb=100)
    assert ended.reason == "memory_limit"
    assert ended.seconds < 10


@linux
def test_shared_memory_is_counted_once(tmp_path: Path) -> None:
    code = "import os, time\nb = b'x' * (60 << 20)\nfor _ in range(4): os.fork() or (time.sleep(1), os._exit(0))\ntime.sleep(1)"
    ended = held(tmp_path, python(code), memory_mb=150)
    assert ended.ok
    assert ended.memory is not None
    assert ended.memory > 150 << 20, "the quick sum would have condemned it"


@linux
def test_processor_time_of_one(tmp_path: Path, method: Containment) -> None:
    ended = held(tmp_path, ["sh", "-c", "while :; do :; done"], cpu=0.4, containment=method)
    assert ended.reason == "cpu_limit"
    assert ended.seconds < 10


@linux
def test_processor_time_of_all_together_those_that_are_gone_too(tmp_path: Path) -> None:
    short = "i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done"
    ended = held(tmp_path, ["sh", "-c", f"while :; do sh -c '{short}'; done"], cpu=0.4)
    assert ended.reason == "cpu_limit"


def test_the_systems_own_limit_of_processor_time_is_told_apart_from_a_kill(tmp_path: Path) -> None:
    assert rlimits(ProcessLimits(cpu="90s"))["RLIMIT_CPU"] == (92, 97), "soft below hard, whose signal tells nothing"
    limits = ProcessLimits(cpu=1)
    assert cause(limits, -signal.SIGXCPU, (), ()) == "cpu_limit"
    assert cause(limits, 128 + signal.SIGXCPU, (), ()) == "cpu_limit"
    assert cause(limits, -signal.SIGKILL, (), ()) is None
    assert cause(UNLIMITED, -signal.SIGXCPU, (), ()) is None, "it asked for that itself"


@linux
@pytest.mark.parametrize("bomb", [BOMB, "while :; do sleep 60 & done"], ids=["bomb", "many"])
def test_processes(tmp_path: Path, method: Containment, bomb: str) -> None:
    if method != "namespace" and bomb == BOMB:
        pytest.skip("only a namespace bounds it when nobody has time to look: it may take the test machine along")
    ended = held(tmp_path, ["sh", "-c", bomb], processes=60, containment=method)
    assert ended.reason == "process_limit"
    assert ended.left == 0
    assert ended.seconds < 10


@linux
def test_so_many_at_once_that_the_command_failed_before_anybody_looked(tmp_path: Path) -> None:
    code = "import os, time\nfor _ in range(300): os.fork() or (time.sleep(60), os._exit(0))\nos._exit(2)"
    confined = held(tmp_path, python(code), processes=200)
    if confined.containment != "namespace":
        pytest.skip("no PID namespace can be made here")
    assert confined.reason == "process_limit"


@linux
def test_the_kernel_itself_bounds_the_number_where_it_can(tmp_path: Path) -> None:
    if kernel() < (6, 14):
        pytest.skip("before Linux 6.14 a PID namespace has no bound of its own")
    before = Path("/proc/sys/kernel/pid_max").read_text()
    ended = held(tmp_path, ["cat", "/proc/sys/kernel/pid_max"], processes=300)
    if ended.containment != "namespace":
        pytest.skip("no PID namespace can be made here")
    assert (tmp_path / "out").read_text() == "1200\n"
    assert Path("/proc/sys/kernel/pid_max").read_text() == before, "the machine's is left alone"
    assert (ceiling(ProcessLimits(processes=60)), ceiling(UNLIMITED)) == (1024, None)


@linux
def test_a_file_by_its_signal_or_by_the_error(tmp_path: Path, method: Containment) -> None:
    zeros = ["dd", "if=/dev/zero", "of=big", "bs=1M"]
    assert held(tmp_path, zeros, file_mb=2, containment=method).reason == "file_limit"
    assert held(tmp_path, ["sh", "-c", "dd if=/dev/zero of=big bs=1M; exit $?"], file_mb=2).reason == "file_limit"
    assert (
        held(
            tmp_path, python(f"import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n{WRITER}"), file_mb=2
        ).reason
        == "file_limit"
    )
    assert (tmp_path / "tree" / "big").stat().st_size == 2 << 20


def test_words_alone_are_no_proof_of_a_large_file(tmp_path: Path) -> None:
    ended = held(tmp_path, ["sh", "-c", "echo 'File too large'; exit 1"], file_mb=2)
    assert (ended.code, ended.reason) == (1, None)


def test_output(tmp_path: Path) -> None:
    assert held(tmp_path, ["yes"], output_mb=1).reason == "output_limit"
    assert held(tmp_path, ["yes"], output_mb=9, file_mb=1).reason == "output_limit", "what it prints is a file, too"


@linux
def test_disk(tmp_path: Path, method: Containment) -> None:
    filler = "i=0; while :; do i=$((i+1)); head -c 1048576 /dev/zero > f$i; sleep 0.002; done"
    ended = held(tmp_path, ["sh", "-c", filler], disk_mb=20, containment=method)
    assert ended.reason == "disk_limit"
    assert ended.seconds < 10


@linux
def test_what_was_there_before_is_no_growth(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "old").write_bytes(bytes(30 << 20))
    time.sleep(0.05)
    ended = held(tmp_path, ["sh", "-c", "head -c 8000000 /dev/zero > new; sleep 1"], disk_mb=20)
    assert ended.ok


def test_silence(tmp_path: Path) -> None:
    ended = held(tmp_path, ["sleep", "60"], silence=0.4)
    assert ended.reason == "silence"
    assert 0.4 <= ended.seconds < 3
    assert held(tmp_path, ["sh", "-c", "for i in 1 2 3 4; do echo; sleep 0.3; done"], silence=0.8).ok


def test_a_hang(tmp_path: Path) -> None:
    assert held(tmp_path, ["sh", "-c", "trap '' TERM; sleep 60"], timeout=0.3).reason == "timeout"


def test_the_limits_that_everybody_gets_hurt_nobody(tmp_path: Path) -> None:
    out = tmp_path / "out"
    confinement = Confinement(limits=ProcessLimits(), grows=(tmp_path,))
    argv = python("import mmap\nm = mmap.mmap(-1, 64 << 30, flags=0x4022)\nprint(len(m))")
    assert run(argv, cwd=tmp_path, env=ENV, stdout=out, stderr=out, confinement=confinement).ok
    assert out.read_text() == f"{64 << 30}\n", "addresses are reserved, as Node and Java do, not used"


@linux
def test_neighbours_of_a_bomb_finish_undisturbed(tmp_path: Path) -> None:
    bombs: list[tuple[list[str], dict[str, object]]] = [
        (python(EATER), {"memory_mb": 100}),
        (["sh", "-c", "while :; do :; done"], {"cpu": 0.3}),
        (["sh", "-c", BOMB], {"processes": 60}),
        (["yes"], {"output_mb": 1}),
    ]
    ended: dict[int, Exit] = {}

    def one(number: int, argv: list[str], limits: dict[str, object]) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        ended[number] = held(folder, argv, **limits)  # type: ignore[arg-type]

    good = [
        (["sh", "-c", "for i in 1 2 3 4 5; do sleep 0.3; echo; done"], {"memory_mb": 100, "processes": 60, "cpu": 1})
    ]
    threads = [threading.Thread(target=one, args=(n, *what)) for n, what in enumerate([*bombs, *good * 3])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reasons = [ended[number].reason for number in range(7)]
    assert reasons == ["memory_limit", "cpu_limit", "process_limit", "output_limit", None, None, None]
