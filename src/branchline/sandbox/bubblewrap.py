"""Rung 3: a command of bubblewrap's that shows a process no more than it needs, and lets it write only what is its own."""

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from branchline.core.model.sandbox import ASKED_FOR, SandboxFact, SandboxSettings, host_and_port
from branchline.errors import BranchlineError
from branchline.process.confinement import Confinement
from branchline.sandbox.egress import Egress
from branchline.sandbox.masks import Hiding, above, hiding

BRIDGE = Path(__file__).with_name("bridge.py")
LOCAL = frozenset({"localhost", "127.0.0.1"})
DOOR = "/tmp/branchline-egress"  # noqa: S108 - of the sandbox's own /tmp
NAMESPACES = ("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try")
NOBODY = ("--uid", "1000", "--gid", "1000")  # only a name for us: user 0 of a namespace cannot be handed on to another
TEMPORARY = frozenset({Path("/tmp"), Path("/var/tmp")})  # noqa: S108 - the sandbox's own
LITTLE = 1 << 20  # bytes; enough for the folders on the way to what is shown
HELD = ("--new-session", "--die-with-parent", "--cap-drop", "ALL")
KERNEL = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi")
"""Settings of the whole machine: their files ask for user 0 alone, who we may be, and for no capability."""


class LinkInPath(BranchlineError):
    """What would be made writable is somewhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one command may reach besides what every command may read. All paths are absolute.

    `write`: folders that it may change; `read`: what it may read although it is hidden from others; `keep`: what in
    `write` it may not change; `logins`: folders of the user's home that it may change for itself alone, with the files
    in them that it may change for good. `caches`: it sees the caches of the user's tools. `hosts` are let through if the
    network is a list, `ports` of this machine's loopback unless it is none, or if they are `needed` in any case.
    `nests`: it makes namespaces of its own.
    """

    write: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()
    keep: tuple[Path, ...] = ()
    logins: Mapping[Path, tuple[Path, ...]] | None = None
    caches: bool = False
    hosts: tuple[tuple[str, int], ...] = ()
    ports: tuple[int, ...] = ()
    needed: bool = False
    nests: bool = False


@dataclass(frozen=True, slots=True)
class Entered:
    """A sandbox, or none, around commands: what rewrites them, and which hosts they were refused so far."""

    wrap: Callable[[Sequence[str]], list[str]] | None = None
    refused: Callable[[], tuple[str, ...]] = lambda: ()

    def around(self, confinement: Confinement) -> Confinement:
        """The same confinement, in the sandbox."""
        return replace(confinement, wrap=self.wrap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """The sandbox of a run, by the rung that works here. Below rung 3 it leaves commands as they are.

    `overlay`: bubblewrap can lay a folder of its own over one, so that caches are read, and written to nobody's harm.
    `runs`: the folder of all runs, hidden but for what an access names.
    """

    fact: SandboxFact
    settings: SandboxSettings
    runs: Path | None = None
    environ: Mapping[str, str]
    hidden: Hiding | None = None
    overlay: bool = True

    @property
    def on(self) -> bool:
        """Whether commands are wrapped."""
        return self.hidden is not None

    @contextmanager
    def entered(self, access: Access) -> Iterator[Entered]:
        """What to run commands with; their way out, if there is to be one, is open until the end of the `with`.

        Raises LinkInPath: what an access may write must be where it says.
        """
        if self.hidden is None:
            yield Entered()
            return
        for path in access.write:
            if path.resolve() != path:
                raise LinkInPath(f"{path} leads to {path.resolve()}: something has put a link in its place")
        arguments = [*self._namespaces(access), *self._disk(self.hidden, access)]
        egress = self._egress(access)
        if egress is None:
            yield Entered(lambda argv: self._wrapped(argv, arguments, ()))
            return
        ports = ",".join(map(str, self._ports(access))) or "-"
        proxied = "proxy" if self._hosts(access) else "-"
        bridge = (sys.executable, "-I", "-S", str(BRIDGE), DOOR, proxied, ports)
        arguments += ("--ro-bind", str(egress.path), DOOR)
        try:
            yield Entered(lambda argv: self._wrapped(argv, arguments, bridge), lambda: egress.refused)
        finally:
            egress.close()

    def _hosts(self, access: Access) -> tuple[tuple[str, int], ...]:
        listed = self.settings.network
        return (*map(host_and_port, listed), *access.hosts) if isinstance(listed, tuple) else ()

    def _ports(self, access: Access) -> tuple[int, ...]:
        listed = [port for host, port in self._hosts(access) if host in LOCAL]
        given = access.ports if access.needed or self.settings.network != "none" else ()
        return tuple(dict.fromkeys([*given, *listed]))

    def _egress(self, access: Access) -> Egress | None:
        if self.settings.network == "host":
            return None
        hosts, ports = self._hosts(access), self._ports(access)
        return Egress(hosts, ports) if hosts or ports else None

    def _namespaces(self, access: Access) -> Iterator[str]:
        yield from NAMESPACES
        if self.settings.network != "host":
            yield "--unshare-net"
        if not access.nests:
            yield "--disable-userns"
        elif os.getuid() == 0:
            yield from NOBODY
        yield from HELD

    def _wrapped(self, argv: Sequence[str], arguments: Iterable[str], bridge: Iterable[str]) -> list[str]:
        more = self._program(argv[0])
        return [self.fact.program, *arguments, *more, "--", *bridge, *argv]

    def _program(self, name: str) -> tuple[str, ...]:
        """What shows a program that stands in a hidden folder. Raises FileNotFoundError, as a start without it would."""
        if os.path.dirname(name) and not os.path.isabs(name):
            return ()  # the worktree's own
        found = shutil.which(name, path=self.environ.get("PATH"))
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        real = Path(found).resolve()
        assert self.hidden is not None
        if not self.hidden.covered(real):
            return ()
        folder = str(above(real, self.hidden.home))
        return "--ro-bind", folder, folder

    def _disk(self, hidden: Hiding, access: Access) -> Iterator[str]:
        """The mounts, in order: what comes later lies over what came before."""
        yield from ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
        yield from _words(*(("--ro-bind-try", Path(path), Path(path)) for path in KERNEL))
        for cover in hidden.covers:
            yield from _words(("--size", str(_room(cover, hidden.home)), "--tmpfs", cover))
        yield from _words(*(("--ro-bind", *pair) for pair in hidden.shows))
        if access.caches:
            yield from self._caches(hidden)
        if self.runs is not None:
            yield from ("--size", str(LITTLE), "--tmpfs", str(self.runs))
        yield from _words(*(("--ro-bind", path, path) for path in access.read))
        yield from _words(*(("--bind", path, path) for path in (*access.write, *self._writable(hidden))))
        yield from self._secrets(hidden, access)
        yield from self._logins(access)
        yield from _words(*(("--ro-bind-try", path, path) for path in access.keep))
        if self.runs is not None:
            yield from ("--remount-ro", str(self.runs))

    def _caches(self, hidden: Hiding) -> Iterator[str]:
        for cache in hidden.caches:
            yield from self._laid_over(cache)

    def _laid_over(self, folder: Path) -> Iterator[str]:
        if self.overlay:
            yield from ("--overlay-src", str(folder), "--tmp-overlay", str(folder))
        else:
            yield from ("--ro-bind", str(folder), str(folder))

    def _writable(self, hidden: Hiding) -> Iterator[Path]:
        root = self.runs.parent if self.runs is not None else None
        return (path.resolve() for path in own_paths(self.settings.writable, hidden.home, root) if path.exists())

    def _secrets(self, hidden: Hiding, access: Access) -> Iterator[str]:
        """Those that can still be seen; a folder that holds what must be seen is covered already, not hidden again."""
        seen = [*access.write, *access.read, *(place for _, place in hidden.shows)]
        caches = hidden.caches if access.caches else ()
        for secret in hidden.secrets:
            cached = any(secret.is_relative_to(cache) for cache in caches)
            if (hidden.covered(secret) and not cached) or any(path.is_relative_to(secret) for path in seen):
                continue
            if secret.is_dir():
                yield from ("--size", str(LITTLE), "--tmpfs", str(secret), "--remount-ro", str(secret))
            else:
                yield from ("--ro-bind", os.devnull, str(secret))

    def _logins(self, access: Access) -> Iterator[str]:
        for folder, files in (access.logins or {}).items():
            if not self.overlay:
                yield from ("--bind-try", str(folder), str(folder))
            elif folder.is_dir():
                yield from self._laid_over(folder)
                for file in files:
                    yield from ("--bind-try", str(file), str(file))


OPEN = Sandbox(fact=SandboxFact(rung=1, why=ASKED_FOR), settings=SandboxSettings(), environ={})
"""No sandbox."""


def _room(cover: Path, home: Path) -> int:
    """Bytes that an empty folder over another one takes at most: they are the machine's memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return memory // 4 if cover in TEMPORARY else memory // 10 if cover == home else LITTLE


def _words(*mounts: tuple[str | Path, ...]) -> Iterator[str]:
    return (str(word) for mount in mounts for word in mount)


def own_paths(texts: Iterable[str], home: Path, root: Path | None) -> list[Path]:
    """Paths as the settings write them: absolute, below the home, or below the repository's top folder."""
    below = root or Path("/")
    return [home / text[2:] if text.startswith("~/") else below / text for text in texts]


def layout(settings: SandboxSettings, environ: Mapping[str, str], *, root: Path | None, show: Iterable[Path]) -> Hiding:
    """What a run's sandbox hides and shows; `show` is what the run needs, `root` the repository's top folder."""
    home = Path(environ.get("HOME") or "/")
    shown = [*show, *own_paths(settings.show, home, root)]
    return hiding(environ, show=shown, hide=own_paths(settings.hide, home, root))
