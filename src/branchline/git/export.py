"""The files of a commit, written into a folder of their own."""

from pathlib import Path

from branchline.errors import InvalidInput
from branchline.git.objects import ObjectStore, scratch_index


def export(store: ObjectStore, commit: str, folder: Path) -> None:
    """Write every file of a commit into `folder`, which must not exist yet. Raises InvalidInput, GitError."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise InvalidInput(f"{folder} exists already; nothing was written", hint="name a new folder") from error
    except OSError as error:
        raise InvalidInput(f"cannot make {folder}: {error.strerror}", hint="name another folder") from error
    with scratch_index(store.content, folder.resolve()) as git:
        git.call("read-tree", commit)
        git.call("checkout-index", "--all", "--quiet")
