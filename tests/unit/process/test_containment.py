"""Whatever holds a command together: it runs the same, and nothing that it starts is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from branchline.core.model.limits import UNLIMITED, Containment
from branchline.process.containment import Command, Confinement, prefixed, start
from branchline.process.spawn import CannotStart, Exit, KillSwitch, ToolMissing, run
from branchline.process.sweep import sweep
from processes import running, soon, three_ways, token

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are only process groups elsewhere")
SRC = Path(__file__).parents[3] / "src"
METHODS: tuple[Containment, ...] = ("namespace", "subreaper", "group")
Sh = Callable[..., Exit]


def confined(method: Containment) -> Confinement:
    return Confinement(limits=msgspec.structs.replace(UNLIMITED, containment=method))


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest, tmp_path: Path) -> Containment:
    """Each method that works here."""
    wanted: Containment = request.param
    null = tmp_path / "probe"
    found = run(["true"], cwd=tmp_path, env={}, stdout=null, stderr=null, confinement=confined(wanted)).containment
    if found != wanted:
        pytest.skip(f"{wanted} does not work here: {found}")
    return wanted


@pytest.fixture(params=["namespace", "subreaper"])
def strong(request: pytest.FixtureRequest, tmp_path: Path) -> Containment:
    """Each method that nothing gets away from."""
    wanted: Containment = request.param
    null = tmp_path / "probe"
    found = run(["true"], cwd=tmp_path, env={}, stdout=null, stderr=null, confinement=confined(wanted)).containment
    if found != wanted:
        pytest.skip(f"{wanted} does not work here: {found}")
    return wanted


@pytest.fixture
def sh(tmp_path: Path) -> Sh:
    """Run a shell script in `tmp_path` by a method; its output is in `out` and `err`."""

    def call(script: str, method: Containment, **options: object) -> Exit:
        files = {"stdout": tmp_path / "out", "stderr": tmp_path / "err", "env": {"PATH": os.environ["PATH"]}}
        wanted = {"confinement": confined(method), **options}
        return run(["sh", "-c", script], cwd=tmp_path, **{**files, **wanted})  # type: ignore[arg-type]

    return call


def test_codes_signals_and_output_are_true(sh: Sh, method: Containment, tmp_path: Path) -> None:
    ended = sh("echo out; echo err >&2; exit 7", method)
    assert (ended.code, ended.signal, ended.reason, ended.containment) == (7, None, None, method)
    assert ((tmp_path / "out").read_text(), (tmp_path / "err").read_text()) == ("out\n", "err\n")
    ended = sh("kill -9 $$", method)
    assert (ended.code, ended.signal, ended.reason) == (None, signal.SIGKILL, None)


def test_input_environment_and_folder_are_those_given(method: Containment, tmp_path: Path) -> None:
    out, given, odd = tmp_path / "out", tmp_path / "in", os.fsdecode(b"\xff \xc3\xa9\n")
    given.write_text("read\n")
    folder = tmp_path / odd
    folder.mkdir()
    script = 'cat; printf %s "$1"; printf %s "$ODD"; pwd; env | grep -c BRANCHLINE_TEST_SECRET'
    os.environ["BRANCHLINE_TEST_SECRET"] = "x"
    env = {"PATH": os.environ["PATH"], "ODD": odd}
    argv = ["sh", "-c", script, "sh", odd]
    run(argv, cwd=folder, env=env, stdin=given, stdout=out, stderr=out, confinement=confined(method))
    del os.environ["BRANCHLINE_TEST_SECRET"]
    assert out.read_bytes() == b"read\n" + os.fsencode(odd) * 2 + os.fsencode(folder) + b"\n0\n"


def test_a_long_command_and_environment_arrive(method: Containment, tmp_path: Path) -> None:
    out, words = tmp_path / "out", ["x" * 100_000] * 6
    env = {"PATH": os.environ["PATH"], **{f"V{n}": "y" * 100_000 for n in range(6)}}
    argv = ["sh", "-c", 'echo "$#:${#V5}"', "sh", *words]
    run(argv, cwd=tmp_path, env=env, stdout=out, stderr=out, confinement=confined(method))
    assert out.read_text() == "6:100000\n"


def test_what_cannot_be_started_is_told_as_ever(method: Containment, tmp_path: Path) -> None:
    out, env = tmp_path / "out", {"PATH": os.environ["PATH"]}
    with pytest.raises(ToolMissing, match="no-such-tool"):
        run(["no-such-tool"], cwd=tmp_path, env=env, stdout=out, stderr=out, confinement=confined(method))
    with pytest.raises(CannotStart, match="gone"):
        run(["true"], cwd=tmp_path / "gone", env=env, stdout=out, stderr=out, confinement=confined(method))
    with pytest.raises(CannotStart, match="null byte"):
        run(["true", "a\0b"], cwd=tmp_path, env=env, stdout=out, stderr=out, confinement=confined(method))
    with pytest.raises(CannotStart, match="too long"):
        run(["true", "x" * 3_000_000], cwd=tmp_path, env=env, stdout=out, stderr=out, confinement=confined(method))


def test_no_descriptor_of_ours_is_inherited(sh: Sh, method: Containment, tmp_path: Path) -> None:
    with open(tmp_path / "lock", "wb") as held:
        os.set_inheritable(held.fileno(), True)
        sh("ls /proc/$$/fd", method)
    assert (tmp_path / "out").read_text().split() == ["0", "1", "2"]


def test_its_environment_is_the_commands_alone(method: Containment, tmp_path: Path) -> None:
    out, env = tmp_path / "out", {"LD_PRELOAD": "/no/such", "PYTHONHOME": "/no/such"}
    run(["/usr/bin/env"], cwd=tmp_path, env=env, stdout=out, stderr=tmp_path / "err", confinement=confined(method))
    assert out.read_text().split() == ["LD_PRELOAD=/no/such", "PYTHONHOME=/no/such"]
    assert "fatal" not in (tmp_path / "err").read_text().lower()


@pytest.mark.parametrize("ending", ["exit 3", "kill -9 $$", "sleep 60"])
def test_nothing_is_left_whichever_way_it_ends(sh: Sh, strong: Containment, ending: str) -> None:
    name = token()
    ended = sh(f"{three_ways(name)}; {ending}", strong, timeout=1.0, grace=0.1)
    assert running(name) == []
    assert ended.containment == strong
    assert ended.left == 0
    assert ended.reason == ("timeout" if ending == "sleep 60" else None)


def test_nothing_is_left_when_it_is_cancelled(sh: Sh, strong: Containment) -> None:
    name, switch = token(), KillSwitch(grace=0.1)

    def pull() -> None:
        assert soon(lambda: len(running(name)) == 3)
        switch.pull("cancelled")

    threading.Thread(target=pull).start()
    ended = sh(f"trap '' TERM; {three_ways(name)}; while :; do sleep 0.05; done", strong, kill=switch)
    assert (ended.reason, ended.signal, running(name)) == ("cancelled", signal.SIGKILL, [])


def test_a_daemon_that_holds_the_output_does_not_hold_us(sh: Sh, strong: Containment) -> None:
    name = token()
    began = time.monotonic()
    assert sh(three_ways(name), strong).ok
    assert time.monotonic() - began < 3


def test_a_process_group_alone_is_weak_and_the_sweep_is_its_net(sh: Sh) -> None:
    name = token()
    assert sh(three_ways(name), "group", marker="weak/t/1").ok
    assert soon(lambda: len(running(name)) == 2), "what left the group, and was not asked to be found"
    sweep("weak/t/1")
    left = running(name)
    assert len(left) == 1, "a cleared environment bears no mark"
    os.kill(left[0], signal.SIGKILL)


def test_processes_are_asked_first(sh: Sh, method: Containment, tmp_path: Path) -> None:
    ended = sh("trap 'echo bye; exit 3' TERM; while :; do sleep 0.01; done", method, timeout=0.3)
    assert (ended.code, ended.reason) == (3, "timeout")
    assert (tmp_path / "out").read_text().endswith("bye\n")


def test_a_sandboxs_own_process_is_not_asked(tmp_path: Path) -> None:
    # Its own program would die of the request, and take the rest with it before they have put their things in order.
    def wrap(argv: Sequence[str], _cwd: Path) -> list[str]:
        return ["sh", "-c", '"$@"; exit $(($? + 100))', "sandbox", *argv]

    out = tmp_path / "out"
    held = Confinement(wrap=wrap)
    script = "trap 'sleep 0.2; echo bye; exit 3' TERM; while :; do sleep 0.01; done"
    env = {"PATH": os.environ["PATH"]}
    ended = run(
        ["sh", "-c", script], cwd=tmp_path, env=env, stdout=out, stderr=out, confinement=held, timeout=0.3, grace=5
    )
    assert (ended.code, ended.containment, out.read_text()[-4:]) == (103, "sandbox", "bye\n")
    ended = run(["sh", "-c", "exit 37"], cwd=tmp_path, env=env, stdout=out, stderr=out, confinement=held)
    assert (ended.code, ended.signal) == (None, signal.SIGKILL), "137 is how a sandbox tells of signal 9"


COORDINATOR = """
import sys
from pathlib import Path
import msgspec
from branchline.core.model.limits import UNLIMITED
from branchline.process.containment import Command, Confinement, prefixed
from branchline.process.spawn import run

held = Confinement(limits=msgspec.structs.replace(UNLIMITED, containment=sys.argv[1]))
out = Path(sys.argv[2])
run(["sh", "-c", sys.argv[3]], cwd=out.parent, env={"PATH": sys.argv[4]}, stdout=out, stderr=out, confinement=held)
"""


def test_nothing_is_left_when_we_are_killed(strong: Containment, tmp_path: Path) -> None:
    name = token()
    script = f"{three_ways(name)}; sleep {name}"
    argv = [sys.executable, "-c", COORDINATOR, strong, str(tmp_path / "out"), script, os.environ["PATH"]]
    path = os.pathsep.join(filter(None, (str(SRC), os.environ.get("PYTHONPATH"))))
    with subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": path}) as coordinator:
        assert soon(lambda: len(running(name)) == 4)
        coordinator.kill()
    assert soon(lambda: running(name) == [], 1.0)


def test_a_namespace_sees_itself_alone(sh: Sh, method: Containment, tmp_path: Path) -> None:
    if method != "namespace":
        pytest.skip("only a namespace has a /proc of its own")
    sh("echo $$; ls /proc | grep -c '^[0-9]'; readlink /proc/self", method)
    own, seen, _ = (tmp_path / "out").read_text().split()
    assert int(own) < 10
    assert int(seen) < 10


def test_an_init_that_is_killed_is_not_taken_for_the_command(strong: Containment, tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as log, open(os.devnull, "rb") as null:
        streams = (null.fileno(), log.fileno(), log.fileno())
        contained = start(Command(argv=["sleep", token()], cwd=tmp_path, env=dict(os.environ), streams=streams), strong)
        os.kill(contained.pid, signal.SIGKILL)
        assert contained.ended(5)
        ended = contained.finish()
    assert (ended.code, ended.lost) == (-signal.SIGKILL, True)


def test_a_namespace_ends_with_whichever_of_its_two_is_killed(tmp_path: Path) -> None:
    for whose in ("first process", "its parent"):
        name = token()
        with open(tmp_path / "log", "wb") as log, open(os.devnull, "rb") as null:
            streams = (null.fileno(), log.fileno(), log.fileno())
            argv = ["sh", "-c", f"{three_ways(name)}; sleep {name}"]
            contained = start(Command(argv=argv, cwd=tmp_path, env=dict(os.environ), streams=streams), "namespace")
            if contained.method != "namespace":
                pytest.skip("no PID namespace can be made here")
            assert soon(lambda name=name: len(running(name)) == 4)  # type: ignore[misc]
            stat = Path(f"/proc/{contained.pid}/stat").read_text().rpartition(")")[2].split()
            os.kill(contained.pid if whose == "first process" else int(stat[1]), signal.SIGKILL)
            assert soon(lambda name=name: running(name) == []), whose  # type: ignore[misc]
            assert contained.finish().lost


def test_an_init_whose_parent_has_died_already_starts_nothing(tmp_path: Path) -> None:
    with open(tmp_path / "environ", "w+b") as environ:
        made = Command(argv=["touch", "started"], cwd=tmp_path, env={}, streams=(0, 1, 2))
        argv = [
            word if word[:7] != "parent=" else "parent=1" for word in prefixed(made, "subreaper", 2, environ.fileno())
        ]
        done = subprocess.run(argv, cwd=tmp_path, pass_fds=(environ.fileno(),), capture_output=True, check=False)
    assert (done.stderr, (tmp_path / "started").exists()) == (b"", False)


def test_the_processor_time_of_all_is_counted(sh: Sh, strong: Containment) -> None:
    busy = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"
    ended = sh(f"(sh -c '{busy}'; sh -c '{busy}') & wait", strong)
    assert ended.cpu is not None
    assert 0.005 < ended.cpu < 5


def test_many_at_once(sh: Sh, strong: Containment, tmp_path: Path) -> None:
    ended: list[Exit] = []
    env = {"PATH": os.environ["PATH"]}

    def one(number: int) -> None:
        out = tmp_path / f"{number}"
        argv = ["sh", "-c", f"sleep 0.05; exit {number}"]
        ended.append(run(argv, cwd=tmp_path, env=env, stdout=out, stderr=out, confinement=confined(strong)))

    threads = [threading.Thread(target=one, args=[number]) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.code or 0 for one in ended) == list(range(40))
