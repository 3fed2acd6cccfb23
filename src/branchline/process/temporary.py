"""Temporary files of this process: in one folder that carries its name, so that the next process can clear up after it.

A process that is killed removes nothing. Its folder is named after its process id, its start (proc_pid_stat(5), field 22)
and its PID namespace, in which alone the id means anything (pid_namespaces(7)): so the next one can tell that it is dead.
"""

import atexit
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path


def temporary_folder() -> Path:
    """The folder for this process' temporary files; it is gone when the process ends, at the latest when another begins."""
    return _of_process(os.getpid())


@cache
def _of_process(pid: int) -> Path:
    base = Path(tempfile.gettempdir()) / f"branchline-tmp-{os.getuid()}"
    own = base / _name(pid)
    for _ in range(100):  # another process may remove the empty base at this moment
        with suppress(FileNotFoundError):
            base.mkdir(mode=0o700, exist_ok=True)
            if not _is_ours(base):  # in a folder that everybody may write, somebody made one of that name
                return Path(tempfile.mkdtemp(prefix="branchline-"))
            own.mkdir(mode=0o700, exist_ok=True)
            break
    _clear(base)
    atexit.register(_leave, own, pid)
    return own


def _clear(base: Path) -> None:
    """Remove what processes left that do not live any more."""
    for entry in os.listdir(base):
        pid, _, rest = entry.partition("-")
        if pid.isdecimal() and rest.endswith(f"-{_namespace()}") and entry != _name(int(pid)):
            shutil.rmtree(base / entry, ignore_errors=True)


def _leave(own: Path, pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(own, ignore_errors=True)
        with suppress(OSError):
            own.parent.rmdir()


def _name(pid: int) -> str:
    """A name that no other process has: process ids are used again. Without /proc the id alone has to do."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            started = file.read().rpartition(")")[2].split()[19]
    except OSError:
        started = "0" if _lives(pid) else "gone"
    return f"{pid}-{started}-{_namespace()}"


@cache
def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return "0"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_ours(folder: Path) -> bool:
    found = folder.lstat()
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )
