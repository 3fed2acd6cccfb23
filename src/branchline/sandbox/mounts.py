"""What stands where in a sandbox: mounts as data, what is seen at a path because of them, and what they need to stand on."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from branchline.errors import BranchlineError

Mode = Literal["write", "read", "throwaway", "empty", "closed"]


class LinkInPath(BranchlineError):
    """A mount would be somewhere else than it says."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the machine that is seen at a place of the sandbox. Both paths are absolute.

    `write`: changes are for good, and the source must be free of links; `throwaway`: a folder whose changes are thrown
    away, or which can only be read where the machine cannot do that; `empty`: an empty folder hides what is there;
    `closed`: likewise, and nothing can be written to it.
    A place has no links in it. A file needs a file of its name to stand on: in a workspace, copy it there instead.
    """

    source: Path
    place: Path
    mode: Mode


def own(mode: Mode, *paths: Path) -> tuple[Mount, ...]:
    """Mounts of paths at their own place."""
    return tuple(Mount(path, path, mode) for path in paths)


def ordered(mounts: Iterable[Mount]) -> list[Mount]:
    """Mounts in the order of mounting: a folder comes before what lies in it; of two at one place the later counts."""
    return sorted(mounts, key=lambda one: len(one.place.parts))


def beneath(place: Path, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that a place lies in, or None."""
    text, found = f"{place}/", None  # as text: this is asked some thousand times a command
    for one in mounts:
        if text.startswith(f"{one.place}/".replace("//", "/")) and (
            found is None or len(str(one.place)) >= len(str(found.place))
        ):
            found = one
    return found


def seen(place: Path, mounts: Iterable[Mount]) -> Path | None:
    """What of the machine is seen at a place; None if an empty folder is."""
    mount = beneath(place, mounts)
    if mount is None:
        return place
    return None if mount.mode in {"empty", "closed"} else mount.source / place.relative_to(mount.place)


def place_of(path: Path, mounts: Iterable[Mount]) -> Path:
    """Where a path of the machine is seen; itself if no mount shows it elsewhere."""
    shown = [one for one in mounts if path.is_relative_to(one.source)]
    return shown[-1].place / path.relative_to(shown[-1].source) if shown else path


def occupied(place: Path, mounts: Iterable[Mount]) -> bool:
    """Whether one of the mounts has something of its own at a place: more than an empty folder to mount on."""
    mount = beneath(place, mounts)
    if mount is None:
        return False
    path = mount.source
    for part in place.relative_to(mount.place).parts:
        path /= part
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            return True
    return path.is_dir() and any(path.iterdir())


@contextmanager
def mountpoints(mounts: Sequence[Mount], given: Sequence[Mount]) -> Iterator[None]:
    """Make what the mounts stand on in the folders of those that are `given`; empty files of it go at the end.

    Folders stay, which git does not see: to remove one would end another sandbox's mount on it (Linux since 3.18).
    Raises LinkInPath: an agent may have put a link or a file where a folder is to be mounted.
    """
    files: list[Path] = []
    try:
        for mount in mounts:
            under = beneath(mount.place.parent, [one for one in given if one.mode in {"write", "read"}])
            if under is not None:
                files += _made(mount, under)
        yield
    finally:
        for path in files:
            with suppress(OSError):
                if path.lstat().st_size == 0:
                    path.unlink()


def _made(mount: Mount, under: Mount) -> Iterator[Path]:
    """Make what one mount stands on; if it is a file that was not there, its path."""
    path, folder = under.source, mount.mode in {"empty", "closed"} or mount.source.is_dir()
    *above, name = mount.place.relative_to(under.place).parts
    for part, is_folder in (*((one, True) for one in above), (name, folder)):
        path /= part
        if path.is_symlink() or (path.exists() and path.is_dir() is not is_folder):
            kind = "folder" if is_folder else "file"
            raise LinkInPath(f"{path} is not a {kind} of its own: nothing can be mounted at {mount.place}")
        if is_folder:
            path.mkdir(exist_ok=True)
        elif not path.exists():
            path.touch()
            yield path
