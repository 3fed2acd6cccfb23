"""Folders that programs of others have filled: opened to us, and deleted whatever is in them."""

import errno
import filecmp
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path


def delete_tree(path: Path) -> None:
    """Delete a file or a folder with all that is in it, never following a link; nothing there is fine."""
    if not is_folder(path):
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        let_us_in(path)
        shutil.rmtree(path)


def let_us_in(root: Path) -> None:
    """Let us into every folder below `root`; an agent's tools lock some of theirs (a Go module cache does)."""
    root.chmod(stat.S_IRWXU)
    for folder, folders, _ in os.walk(root):
        for name in folders:
            place = Path(folder, name)
            if not place.is_symlink():
                place.chmod(stat.S_IRWXU)


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
            shutil.copytree(source, target, symlinks=True, ignore=_special)
        elif source.is_symlink() or source.is_file():
            shutil.copy2(source, target, follow_symlinks=False)
        delete_tree(source)


def _special(folder: str, names: list[str]) -> list[str]:
    modes = ((name, os.lstat(os.path.join(folder, name)).st_mode) for name in names)
    return [name for name, mode in modes if stat.S_IFMT(mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)]


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
    for folder, folders, names in os.walk(top):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = [name for name in folders if name not in but]
        yield from (os.path.relpath(os.path.join(folder, name), top) for name in (*names, *links))
