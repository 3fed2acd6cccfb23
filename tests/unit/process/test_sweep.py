"""The last net: processes are found by the name of their attempt."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from branchline.core.model.limits import UNLIMITED
from branchline.process.containment import Confinement
from branchline.process.spawn import Exit, run
from branchline.process.sweep import living, sweep
from processes import running, token

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sweep reads /proc")
Sh = Callable[..., Exit]
GROUPED = Confinement(limits=msgspec.structs.replace(UNLIMITED, containment="group"))


@pytest.fixture
def sh(tmp_path: Path) -> Sh:
    """Run a shell script in `tmp_path`, held by nothing but its process group."""

    def call(script: str, **options: object) -> Exit:
        out, env = tmp_path / "out", {"PATH": os.environ["PATH"]}
        given = {"cwd": tmp_path, "env": env, "stdout": out, "stderr": out, "confinement": GROUPED, **options}
        return run(["sh", "-c", script], **given)  # type: ignore[arg-type]

    return call


def daemon(name: str) -> str:
    """A script that leaves a process behind, in a session of its own, which ignores a request to end."""
    return f"(setsid sh -c 'trap \"\" TERM; exec sleep {name}' &); sleep 0.1"


def test_a_run_that_is_stopped_leaves_no_daemon(sh: Sh) -> None:
    name = token()
    ended = sh(f"{daemon(name)}; sleep 60", marker="sweep-kill/t/1", timeout=0.5)
    assert (ended.reason, running(name)) == ("timeout", [])


def test_whole_components_only(sh: Sh) -> None:
    one, ten, other = token(), token(), token()
    for name, marker in ((one, "sweep-a/t/1"), (ten, "sweep-a/t/10"), (other, "sweep-ab/t/1")):
        assert sh(daemon(name), marker=marker).ok
    assert [len(running(name)) for name in (one, ten, other)] == [1, 1, 1]
    sweep("sweep-a/t/1")
    assert [len(running(name)) for name in (one, ten, other)] == [0, 1, 1]
    assert living("sweep-a")
    sweep("sweep-a")
    assert [len(running(name)) for name in (one, ten, other)] == [0, 0, 1]
    sweep("sweep-ab")
    assert not living("sweep-ab")


def test_a_short_command_of_ours_may_finish(sh: Sh, tmp_path: Path) -> None:
    assert sh("setsid sh -c 'sleep 0.5; echo $$ > finished' & sleep 0.1", marker="sweep-own/git").ok
    assert living("sweep-own")
    sweep("sweep-own")
    assert (tmp_path / "finished").exists()


def test_it_ends_nobody_else(sh: Sh) -> None:
    name = token()
    assert sh(daemon(name)).ok
    sweep("sweep-nobody")
    left = running(name)
    assert len(left) == 1
    os.kill(left[0], signal.SIGKILL)
