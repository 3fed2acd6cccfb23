"""Rung 3: a command of bubblewrap's that shows a process no more than it needs, and lets it write only what is its own."""

import errno
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

from branchline.core.model.sandbox import ASKED_FOR, SandboxFact, SandboxSettings, host_and_port
from branchline.process.containment import Confinement
from branchline.process.limits import AUTO_SHARE, MACHINE, most_memory
from branchline.process.spawn import CannotStart, capture
from branchline.sandbox.egress import Egress
from branchline.sandbox.masks import Hiding, belongings, hiding, sights
from branchline.sandbox.mounts import LinkInPath, Mount, beneath, mountpoints, occupied, ordered, own, place_of, seen
from branchline.sandbox.sockets import listening, sights_of
from branchline.sandbox.syscalls import filtered

BRIDGE = Path(__file__).with_name("bridge.py")
LOCAL = frozenset({"localhost", "127.0.0.1"})
DOOR, SCRIPT = Path("/dev/branchline/egress"), Path("/dev/branchline/bridge.py")  # /dev is the sandbox's own
NAMESPACES = ("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try")
NOBODY = ("--uid", "1000", "--gid", "1000")  # only a name for us: user 0 of a namespace cannot be handed on to another
SHARED = Path("/dev/shm")  # noqa: S108 - likewise
LITTLE = 1 << 20  # bytes; enough for the folders on the way to what is shown
MAIN_SHARE = 3  # of the bound of memory: as many times as much is for temporary files and for what is shared
NULL = Path(os.devnull)
FILTER = 9  # a descriptor that bubblewrap closes
FILTERING = ("/bin/sh", "-c", f'exec "$@" {FILTER}<"$0"')
_OVERLAYS: dict[tuple[str, int], bool] = {}
PATIENCE = 20.0  # seconds
HELD = ("--new-session", "--die-with-parent", "--cap-drop", "ALL")
KERNEL = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi")
"""Settings of the whole machine: their files ask for user 0 alone, who we may be, and for no capability."""

KEYS = "/proc/keys"  # of the user's keyrings


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one command may reach besides what every command may read. All paths are absolute.

    `mounts`: what it sees where, in order; `logins`: folders of the user's home that it may change for itself alone, with
    the files in them that it may change for good. `caches`: it sees the caches of the user's tools. `hosts` are let
    through if the network is a list, `ports` of this machine's loopback unless it is none, or if they are `needed` in any
    case. `nests`: it makes namespaces of its own.
    """

    mounts: tuple[Mount, ...] = ()
    logins: Mapping[Path, tuple[Path, ...]] | None = None
    caches: bool = False
    hosts: tuple[tuple[str, int], ...] = ()
    ports: tuple[int, ...] = ()
    needed: bool = False
    nests: bool = False


@dataclass(frozen=True, slots=True)
class Entered:
    """A sandbox, or none, around commands: what rewrites them, and which hosts they were refused so far."""

    wrap: Callable[..., list[str]] | None = None
    refused: Callable[[], tuple[str, ...]] = lambda: ()

    def around(self, confinement: Confinement) -> Confinement:
        """The same confinement, in the sandbox, whose folders in memory are within its limits."""
        held = partial(self.wrap, memory=most_memory(confinement.limits)) if self.wrap else None
        return replace(confinement, wrap=held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """The sandbox of a run, by the rung that works here. Below rung 3 it leaves commands as they are.

    `root`: the top folder of the repository, below which the settings name paths. `covered`: folders without links in
    their paths that are hidden but for what an access mounts there, such as the work area and the record.
    """

    fact: SandboxFact
    settings: SandboxSettings
    root: Path | None = None
    covered: tuple[Path, ...] = ()
    environ: Mapping[str, str]
    hidden: Hiding | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.fact.rung == 3:
            home = Path(self.environ.get("HOME") or "/")
            show = (Path(self.fact.program).parent, *own_paths(self.settings.show, home, self.root))
            hide = own_paths(self.settings.hide, home, self.root)
            object.__setattr__(self, "hidden", hiding(self.environ, show=show, hide=hide, over=self.covered))

    @property
    def on(self) -> bool:
        """Whether commands are wrapped."""
        return self.hidden is not None

    @contextmanager
    def entered(self, access: Access) -> Iterator[Entered]:
        """What to run commands with; their way out, if there is to be one, is open until the end of the `with`.

        Raises LinkInPath: what an access may write must be where it says.
        """
        hidden = self.hidden
        if hidden is None:
            yield Entered()
            return
        for mount in access.mounts:
            if mount.mode == "write" and mount.source.resolve() != mount.source:
                problem = f"{mount.source} leads to {mount.source.resolve()}"
                raise LinkInPath(f"{problem}: something has put a link in its place")
        mounts = self._mounts(hidden, access)
        listed = self.settings.network
        hosts = (*map(host_and_port, listed), *access.hosts) if isinstance(listed, tuple) else ()
        given = access.ports if access.needed or listed != "none" else ()
        ports = tuple(dict.fromkeys([*given, *(port for host, port in hosts if host in LOCAL)]))
        egress = Egress(hosts, ports) if listed != "host" and (hosts or ports) else None
        outward = (Mount(egress.path, DOOR, "read"), Mount(BRIDGE, SCRIPT, "read")) if egress else ()
        words = ("proxy" if hosts else "-", ",".join(map(str, ports)) or "-")
        bridge = (sys.executable, "-I", "-S", str(SCRIPT), str(DOOR), *words) if egress else ()
        users = NOBODY if access.nests and os.getuid() == 0 else () if access.nests else ("--disable-userns",)
        options = (*NAMESPACES, *(() if listed == "host" else ("--unshare-net",)), *users, *HELD)
        calls = filtered(network=listed != "host")

        def wrap(argv: Sequence[str], cwd: Path, memory: float = math.inf) -> list[str]:
            shown = ordered([*mounts, *self._program(hidden, argv[0], mounts)])
            met = () if listed == "host" else sights_of(chain(listening(), hidden.sockets), shown)
            disk = self._disk(hidden, ordered([*shown, *(Mount(NULL, at, "read") for at in met), *outward]), memory)
            inside = ("--chdir", str(place_of(cwd, access.mounts)), "--", *bridge, *argv)
            kept = (*FILTERING, str(calls)) if calls else (), ("--seccomp", str(FILTER)) if calls else ()
            return [*kept[0], self.fact.program, *options, *kept[1], *disk, *inside]

        with closing(egress) if egress else nullcontext(), mountpoints(mounts, access.mounts):
            yield Entered(wrap, lambda: egress.refused if egress else ())

    def _mounts(self, hidden: Hiding, access: Access) -> list[Mount]:
        """All that is mounted, in order. What stands in an access's folders counts before tools of the same place."""
        tools = (*hidden.shows, *(own("throwaway", *hidden.caches) if access.caches else ()))
        below = [*hidden.base, *(one for one in tools if not occupied(one.place, access.mounts))]
        writable = [path for path in own_paths(self.settings.writable, hidden.home, self.root) if path.exists()]
        over = [
            # An access may have mounted something else over what would be covered.
            *own("closed", *(path for path in self.covered if path.is_dir() and seen(path, access.mounts) == path)),
            *access.mounts,
            *(Mount(source, place, "write") for path in writable for source, place in sights(path)),
            *self._logins(access),
        ]
        mounts = [*below, *over]
        for path in hidden.secrets:  # those that would be seen otherwise; a link in the place of one is none
            there = seen(path, mounts)
            if there is not None and there.exists() and there.resolve() == there:
                below.append(Mount(path, path, "closed") if there.is_dir() else Mount(NULL, path, "read"))
        return ordered([*below, *over])

    def _program(self, hidden: Hiding, name: str, mounts: Sequence[Mount]) -> tuple[Mount, ...]:
        """What shows a program that stands in a hidden folder. Raises FileNotFoundError, as a start without it would."""
        if os.path.dirname(name) and not os.path.isabs(name):
            return ()  # the workspace's own
        folders = [os.path.dirname(name)] if os.path.dirname(name) else self.environ.get("PATH", os.defpath).split(":")
        for place in (Path(one).resolve() for one in folders if os.path.isabs(one)):
            there = seen(place, mounts)
            if found := shutil.which(str((there or place) / os.path.basename(name))):
                real = Path(found).resolve()
                visible = (there is not None and real.is_relative_to(there)) or seen(real, mounts) is not None
                return () if visible else own("read", *belongings(real.parent, hidden.home), real)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    def _disk(self, hidden: Hiding, mounts: Sequence[Mount], memory: float) -> Iterator[str]:
        """All that is mounted, as options. `memory`: bytes that may be written to all folders in memory together."""
        rooms = dict.fromkeys((one.place for one in mounts if one.mode in {"empty", "closed"}), LITTLE)
        main = Path(self.environ.get("TMPDIR") or "/tmp").resolve()  # noqa: S108 - the sandbox's own
        weights = {place: MAIN_SHARE if place in {main, SHARED} else 1 for place in (*hidden.covers, SHARED)}
        share = min(memory, AUTO_SHARE * MACHINE) / sum(weights.values())
        rooms |= {place: max(LITTLE, int(weight * share)) for place, weight in weights.items()}
        yield from ("--dev", "/dev", "--perms", "1777", "--size", str(rooms[SHARED]), "--tmpfs", str(SHARED))
        yield from ("--proc", "/proc")
        for path in KERNEL:
            yield from ("--ro-bind-try", path, path)
        yield from ("--ro-bind", os.devnull, KEYS) if os.path.exists(KEYS) else ()
        for mount in mounts:
            source, at = str(mount.source), str(mount.place)
            if mount.mode in {"empty", "closed"}:  # of the topmost there is one already
                yield from ("--size", str(rooms[mount.place]), "--tmpfs", at) if at != "/" else ()
            elif mount.mode == "throwaway" and overlays(self.fact.program, mount.source):
                yield from ("--overlay-src", source, "--tmp-overlay", at)
            else:
                yield from ("--bind" if mount.mode == "write" else "--ro-bind", source, at)
        for target, link in hidden.links:
            yield from ("--symlink", str(target), str(link))
        for place in (one.place for one in mounts if one.mode == "closed" and beneath(one.place, mounts) == one):
            yield from ("--remount-ro", str(place))
        yield from ("--remount-ro", "/dev")

    def _logins(self, access: Access) -> Iterator[Mount]:
        for folder, files in (access.logins or {}).items():
            if folder.is_dir():
                thrown = overlays(self.fact.program, folder)
                yield from own("throwaway" if thrown else "write", folder)
                yield from own("write", *(file for file in files if thrown and file.exists()))


OPEN = Sandbox(fact=SandboxFact(rung=1, why=ASKED_FOR), settings=SandboxSettings(), environ={})
"""No sandbox."""


def overlays(program: str, folder: Path) -> bool:
    """Whether this bubblewrap (since 0.11) can lay a layer over a folder: some file systems cannot be one's base."""
    place = program, folder.stat().st_dev
    if place not in _OVERLAYS:
        tried = (*NAMESPACES, "--ro-bind", "/", "/", "--overlay-src", str(folder), "--tmp-overlay", str(folder))
        try:
            code = capture([program, *tried, "--", "true"], cwd=Path("/"), env={}, timeout=PATIENCE).code
        except CannotStart:
            code = -1
        _OVERLAYS[place] = code == 0
    return _OVERLAYS[place]


def own_paths(texts: Iterable[str], home: Path, root: Path | None) -> list[Path]:
    """Paths as the settings write them: absolute, below the home, or below the repository's top folder."""
    below = root or Path("/")
    return [home / text[2:] if text.startswith("~/") else below / text for text in texts]
