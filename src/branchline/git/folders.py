"""Folders that programs of others have filled: opened to us, and deleted whatever is in them."""

import errno
import filecmp
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from branchline.process.trees import remove, walk

DEEPEST = 100  # names in the path of a new file
LONGEST_PATH = 1000  # bytes; macOS takes no more than 1024 of a whole path


def delete_tree(path: Path) -> None:
    """Delete a file or a folder with all that is in it, never following a link; nothing there is fine."""
    if not is_folder(path):
        path.unlink(missing_ok=True)
        return
    remove(path)


def let_us_in(root: Path) -> None:
    """Let us into every folder below `root`; an agent's tools lock some of theirs (a Go module cache does)."""
    for _ in walk(root, unlock=True):
        pass


def unlock(folder: Path) -> None:
    """Let us into the folder itself."""
    if folder.stat().st_mode & stat.S_IRWXU != stat.S_IRWXU:
        folder.chmod(stat.S_IRWXU)


def is_folder(path: Path) -> bool:
    """Whether a real folder is there: no file, no link."""
    return path.is_dir() and not path.is_symlink()


def absolute(path: Path) -> Path:
    """Resolve the folder above, not the last part: an agent may have put a link in its place."""
    return path.parent.resolve() / path.name


def move(source: Path, target: Path) -> None:
    """Move whatever is there, also to another file system, where pipes and devices are left out."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if is_folder(source):
            _copy_tree(source, target)
        elif source.is_symlink() or source.is_file():
            shutil.copy2(source, target, follow_symlinks=False)
        delete_tree(source)


def _copy_tree(source: Path, target: Path) -> None:
    if any(folder.path is None for folder in walk(source)):
        raise OSError(errno.ENAMETOOLONG, "it is too deep to be moved to another file system", str(source))
    for folder in walk(source, unlock=True):
        there = target / (folder.path or "")
        there.mkdir()
        for path in folder.paths():
            mode = os.lstat(source / path).st_mode
            if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                shutil.copy2(source / path, target / path, follow_symlinks=False)


def too_deep(path: str) -> str:
    """The folder with which a path is left out because it is too deep to be taken; empty if it is not."""
    parts = path.split("/")
    if len(parts) <= DEEPEST and len(os.fsencode(path)) <= LONGEST_PATH:
        return ""
    top = "/".join(parts[: DEEPEST - 1])
    while len(os.fsencode(top)) > LONGEST_PATH:
        top = os.path.dirname(top)
    return top


def text_of(path: Path) -> str:
    """The text of a file; empty if it is not there, or cannot be read."""
    try:
        return os.fsdecode(path.read_bytes())
    except OSError:
        return ""


def same_content(one: Path, other: Path) -> bool:
    """Whether both are plain files that may be read, with the same bytes."""
    plain = all(path.is_file() and not path.is_symlink() and os.access(path, os.R_OK) for path in (one, other))
    return plain and filecmp.cmp(one, other, shallow=False)


def files_below(top: str | Path, but: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield files and links below a folder, as paths from there; folders of the names `but` are passed over."""
    for folder in walk(top):
        folder.folders[:] = [name for name in folder.folders if name not in but]
        yield from folder.paths()
