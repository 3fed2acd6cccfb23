"""Who may own a file that lies about: git's locks bear no name, so the processes are asked.

Only what /proc shows counts: a process in another container, or on another machine, is not seen.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from branchline.process.sweep import MARKER, OWN


def visible() -> bool:
    """Whether this system shows its processes."""
    return os.path.isdir("/proc/self/fd")


def holders(file: Path) -> list[int]:
    """The processes that have a file open; sorted.

    One that does not let us see counts if it may have made the file: it is its owner's, and not ours unless it is a git.
    """
    try:
        found = os.lstat(file)
    except FileNotFoundError:
        return []
    here = os.path.join(os.path.realpath(file.parent), file.name)
    return [pid for pid in _processes() if _has_open(pid, here, found.st_uid)]


def gits(folders: Sequence[Path], *, of_runs: bool = True) -> list[int]:
    """The processes named git that work in one of these folders or below, or may; sorted.

    Those that were started there, or were given such a folder by an argument or the environment, and those that do not
    let us see. Without `of_runs`, those that coordinators started for themselves do not count.
    """
    places = [os.path.realpath(folder) for folder in folders]
    return [pid for pid in _processes() if _is_git(pid) and _works_in(pid, places, of_runs=of_runs)]


def _processes() -> Iterator[int]:
    own = os.getpid()
    names = os.listdir("/proc") if visible() else ()
    yield from sorted(pid for name in names if name.isdigit() and (pid := int(name)) != own)


def _has_open(pid: int, file: str, owner: int) -> bool:
    try:
        return any(_link(f"/proc/{pid}/fd/{one}") == file for one in os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return _user(pid) == owner and (owner != os.geteuid() or _is_git(pid))
    except OSError:  # it has ended
        return False


def _is_git(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_bytes().startswith(b"git")
    except OSError:
        return False


def _works_in(pid: int, places: Sequence[str], *, of_runs: bool) -> bool:
    try:
        where = os.readlink(f"/proc/{pid}/cwd")
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        said = Path(f"/proc/{pid}/cmdline").read_bytes() + environ
    except PermissionError:
        return True
    except OSError:
        return False
    if not of_runs and any(_of_a_run(one) for one in environ.split(b"\0")):
        return False
    return any(where == one or where.startswith(f"{one}/") or os.fsencode(one) in said for one in places)


def _of_a_run(variable: bytes) -> bool:
    return variable.startswith(f"{MARKER}=".encode()) and variable.endswith(OWN.encode())


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def _user(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
