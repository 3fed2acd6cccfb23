"""Folders that programs of others have filled: opened to us, and deleted whatever is in them."""

import errno
import os
import shutil
import stat
from pathlib import Path


def delete_tree(path: Path) -> None:
    """Delete a file or a folder with all that is in it, never following a link; nothing there is fine."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        try:
            shutil.rmtree(path)
        except PermissionError:
            let_us_in(path)
            shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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


def _special(folder: str, names: list[str]) -> set[str]:
    modes = {name: os.lstat(os.path.join(folder, name)).st_mode for name in names}
    return {
        name
        for name, mode in modes.items()
        if not any(kind(mode) for kind in (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK))
    }
