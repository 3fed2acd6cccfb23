"""What of the disk a sandbox shows: the system's programs, tools with what they were built of, and nothing else of it.

It is a list of what is shown. Lists of secrets are there for what lies within that: in a cache, beside a tool.
"""

import os
import pwd
import stat
import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from branchline.core.rules.linear import linear
from branchline.process.environment import TOOL_HOMES
from branchline.sandbox.mounts import Mount, own, seen
from branchline.sandbox.places import (
    CACHES,
    HOME_SECRETS,
    MARKS,
    MAY_HOLD_LOGINS,
    PARTS,
    PROGRAM_FOLDERS,
    PROJECTS,
    SYSTEM,
    SYSTEM_SECRETS,
    TOOLS,
    WHOLE,
)

TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - the sandbox's own
SEARCHED = ("/etc", "/usr/local/etc")
"""Here, and in what is shown of /opt, is looked for what others may not read: a sandbox of root's could."""

MOST = 20_000  # files and folders of a system that are looked at; the outer ones first
LONGEST = 1 << 18  # bytes of settings in which a login is looked for
LOGIN = (
    rb"(?im)extraheader|://[^/\s@]*:[^/\s@]*@|https?://[^/\s@]+@|\bgh[a-z]_\w{20}|\bglpat-"
    rb"|^[^#;\n=]{0,80}(?:token|password|passwd|passphrase|secret|smtppass|api-?key|authorization)[\w\" -]{0,20}="
)


@dataclass(frozen=True, slots=True)
class Hiding:
    """What is covered by an empty folder, what stands out of it again, and what is hidden in that once more.

    The whole disk is covered, and by folders that can be written to: `covers`. `hides` are the user's own. `secrets` are
    folders or files, `links` pairs of a target and of the link to it, which a cover hides; `sockets` are those that were
    come across. All are absolute, and no folder on the way is a link.
    """

    home: Path
    covers: tuple[Path, ...]
    hides: tuple[Path, ...]
    shows: tuple[Mount, ...]
    secrets: tuple[Path, ...]
    caches: tuple[Path, ...]
    links: tuple[tuple[Path, Path], ...]
    sockets: tuple[Path, ...]

    @property
    def base(self) -> tuple[Mount, ...]:
        """The covers as mounts."""
        return (*own("closed", Path("/"), *self.hides), *own("empty", *self.covers))


def hiding(
    environ: Mapping[str, str], *, show: Iterable[Path], hide: Iterable[Path], over: Iterable[Path] = ()
) -> Hiding:
    """What to hide from programs with this environment; `show` and `hide` are the user's own paths, and the run's.

    `over`: folders that something else stands in for; the tools in them are shown, too, and can be written to no effect:
    programs do write to them.
    """
    homes, over = _homes(environ), [*over]
    hidden = [path.resolve() for path in hide if path.exists()]
    covers = sorted({*(one for one in homes if one != Path("/") and one.is_dir()), *_temporary(environ, homes)})
    hides = sorted({one for one in hidden if one.is_dir()} - {*covers})
    asked = [*show]
    tools = [*map(Path, SYSTEM), *_tools(environ, homes[0]), *(homes[0] / name for name in TOOLS)]
    signed = {one / name for one in homes for name in MAY_HOLD_LOGINS if holds_login(one / name)}
    wanted = [*(path for path in tools if path not in signed), *asked]
    wanted = [path for path in wanted if os.path.exists(path)]  # which says no to what we may not look at
    mounts = [*own("closed", Path("/"), *hides), *own("empty", *covers, *over)]
    shows: list[Mount] = []
    for source, place in sorted(
        (pair for path in wanted for pair in sights(path)), key=lambda pair: len(pair[1].parts)
    ):
        inside = _below(place, over)
        # A link in a folder that is covered is made again, below. In another's place, what it leads to stands for it.
        if (place == source or inside) and place not in over and seen(place, [*mounts, *shows]) != source:
            shows.append(Mount(source, place, "throwaway" if inside and source.is_dir() else "read"))
    links = dict.fromkeys(pair for path in (*wanted, Path(environ.get("HOME") or "/")) for pair in _links(path))
    opt = [one.source for one in shows if _below(one.source, [Path("/opt")])]
    private, sockets = searched([*map(Path, SEARCHED), *opt])
    found = [
        *_there([*map(Path, SYSTEM_SECRETS), *signed]),
        *private,
        *(path for one in homes for path in _secrets(one)),
    ]
    # What the user shows by its own name is no secret to him.
    secrets = {*found} - {path.resolve() for path in asked} | {*hidden}
    return Hiding(
        home=homes[0],
        covers=tuple(covers),
        hides=tuple(hides),
        shows=tuple(shows),
        secrets=tuple(sorted(secrets)),
        caches=tuple(_there(homes[0] / name for name in CACHES)),
        links=tuple(
            (target, link) for target, link in links if not _below(link, over) and seen(link, [*mounts, *shows]) is None
        ),
        sockets=tuple(sockets),
    )


def belongings(folder: Path, home: Path) -> Iterator[Path]:
    """What has to be seen for the programs of a folder to work: of a project, or of a folder of secrets, nothing else.

    A tool's whole folder is shown if it is known for one, or marked as one; else the parts that tools are made of.
    """
    is_bin = folder.name in PROGRAM_FOLDERS
    top = folder.parent if is_bin else folder
    secret = _within(top, home, HOME_SECRETS)
    mixed = bool(secret) or home.is_relative_to(top) or top == home / ".local"
    known = f"{top}/".startswith(WHOLE) or _within(top, home, TOOLS) or top.name == "node_modules"
    marks = [path for name in MARKS if os.path.exists(path := top / name)]
    work = _is_work(top)
    if not mixed and (known or (marks and not work)):
        yield top
    elif is_bin or (secret and secret != top):
        yield folder
        parts = (path for name in PARTS if os.path.isdir(path := top / name))
        yield from () if mixed or (work and not marks) else (*parts, *marks)
    elif mixed or work:
        yield from () if secret else _programs(folder)
    else:
        yield folder


def _is_work(folder: Path) -> bool:
    return any(os.path.exists(folder / name) for name in PROJECTS)


def _within(path: Path, home: Path, names: Collection[str]) -> Path | None:
    """Which of some names in a home a path is, or lies below."""
    parts = path.relative_to(home).parts if path.is_relative_to(home) else ()
    tops = ("/".join(parts[:number]) for number in range(1, len(parts) + 1))
    return next((home / one for one in tops if one in names), None)


def searched(folders: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """What of some folders others may not read, though we may; and the sockets in them."""
    private: list[Path] = []
    sockets: list[Path] = []
    waiting, left = deque(os.fspath(one) for one in folders), MOST
    while waiting and left > 0:
        try:
            entries = [*os.scandir(waiting.popleft())]
        except OSError:
            continue
        left -= len(entries)
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            mode, is_folder = found.st_mode, stat.S_ISDIR(found.st_mode)
            if stat.S_ISSOCK(mode):
                sockets.append(Path(entry.path))
            elif not stat.S_ISLNK(mode) and not mode & (stat.S_IXOTH if is_folder else stat.S_IROTH):
                private += _there([Path(entry.path)] if found.st_size else [])  # a lock has nothing to be read
            elif is_folder:
                waiting.append(entry.path)
    return private, sockets


def holds_login(path: Path) -> bool:
    """Whether a file of settings looks as if there were a login in it; one that is too long to be settings does."""
    try:
        with open(path, "rb") as file:
            text = file.read(LONGEST + 1)
    except OSError:
        return False
    return len(text) > LONGEST or linear(LOGIN).search(text) is not None


def _homes(environ: Mapping[str, str]) -> list[Path]:
    """The home that programs are told of, and the user's own, without links."""
    try:
        known = [pwd.getpwuid(os.getuid()).pw_dir]
    except KeyError:  # as in many containers
        known = []
    named = environ.get("HOME") or (known[0] if known else "/")
    return list(dict.fromkeys(Path(home).resolve() for home in (named, *known)))


def _secrets(home: Path) -> list[Path]:
    found = (os.path.join(home, one) for one in HOME_SECRETS if "*" not in one)  # as text: there are hundreds
    globs = (path for one in HOME_SECRETS if "*" in one for path in home.glob(one))
    return _there([*(Path(one) for one in found if os.path.lexists(one)), *globs])


def _there(paths: Iterable[Path]) -> list[Path]:
    """Those that exist and that we could read: nobody has to be kept from what the system keeps us from."""
    return [path.resolve() for path in paths if os.access(path, os.R_OK)]


def _temporary(environ: Mapping[str, str], homes: Iterable[Path]) -> Iterator[Path]:
    """The folders for temporary files: wherever they are, they can be written."""
    yield from TEMPORARY
    folder = Path(environ.get("TMPDIR") or "")
    real, place = folder.resolve(), folder.parent.resolve() / folder.name
    if folder.is_absolute() and real != Path("/"):
        yield from [real] if real.is_dir() else []
        yield from [place] if _below(place, [*homes, *TEMPORARY]) else []


def _links(path: Path) -> Iterator[tuple[Path, Path]]:
    """The links on the way to a path, each with what it leads to."""
    place = Path("/")
    for part in path.parts[1:]:
        place /= part
        if place.is_symlink():
            yield place.resolve(), place
            place = place.resolve()


def _below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _tools(environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Folders of PATH with what belongs to them, and our own interpreter with its packages."""
    entries = [Path(one) for one in environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(one)]
    for folder in dict.fromkeys(one.resolve() for one in entries):
        found = [*belongings(folder, home)]
        yield from found
        if folder in found:  # by its other names, too
            yield from (one for one in entries if one != folder and one.resolve() == folder)
        for one in dict.fromkeys(_led_to(folder)):
            yield from belongings(one, home)
    for prefix in filter(None, (sys.prefix, sys.base_prefix, environ.get("VIRTUAL_ENV"))):
        yield from belongings(Path(prefix) / "bin", home) if _is_work(Path(prefix)) else [Path(prefix)]
    yield Path(__file__).parents[1]
    # Variables that every command is given: they say where something is.
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PIP_CERT", *TOOL_HOMES):
        if os.path.isabs(environ.get(name, "")) and not home.is_relative_to(Path(environ[name]).resolve()):
            yield Path(environ[name])
    yield Path("/etc/resolv.conf").resolve()


def _led_to(folder: Path) -> Iterator[Path]:
    """The folders below /opt that links in a folder of the system's lead to."""
    try:
        links = [one.path for one in os.scandir(folder) if one.is_symlink()] if folder.is_relative_to("/usr") else []
        for link in links:
            target = os.readlink(link)
            if target.startswith("/etc/alternatives/") and os.path.islink(target):
                target = os.readlink(target)
            if target.startswith("/opt/"):
                yield Path(target).resolve().parent
    except OSError:
        return


def _programs(folder: Path) -> Iterator[Path]:
    """The files of a folder that can be run."""
    try:
        entries = [*os.scandir(folder)]
    except OSError:
        return
    for entry in entries:
        if entry.name[0] != "." and entry.is_file() and os.access(entry.path, os.X_OK):
            yield Path(entry.path)


def sights(path: Path) -> Iterator[tuple[Path, Path]]:
    """A path as source and place: where it leads to, and where its own name stands."""
    real, place = path.resolve(), path.parent.resolve() / path.name
    yield real, real
    if place != real:
        yield real, place
