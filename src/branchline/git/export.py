"""The files of a commit, written into a folder of their own."""

import tempfile
from pathlib import Path

from branchline.errors import InvalidInput
from branchline.git.objects import ObjectStore
from branchline.process.temporary import temporary_folder


def export(store: ObjectStore, commit: str, folder: Path) -> None:
    """Write every file of a commit into `folder`, which must not exist yet. Raises InvalidInput, GitError."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise InvalidInput(f"{folder} exists already; nothing was written", hint="name a new folder") from error
    except OSError as error:
        raise InvalidInput(f"cannot make {folder}: {error.strerror}", hint="name another folder") from error
    with tempfile.TemporaryDirectory(prefix="branchline-index-", dir=temporary_folder()) as aside:
        git = store.content.at(folder.resolve(), Path(aside) / "index")
        git.call("read-tree", commit)
        git.call("checkout-index", "--all", "--quiet")
