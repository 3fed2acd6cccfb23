"""How a record is known as ours: record 0 bears a seal by a key that lies outside every repository.

Whoever can write a repository can write a record into it: a batch, a pull, an archive that was unpacked. What such a
record says would be obeyed on a resume. So what bears no seal of this user on this machine is data: it is shown, and no
more than that. docs/ledger.md says what the seal does not keep away.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from branchline.core.events import RunStarted
from branchline.core.work import JSON
from branchline.errors import InvalidInput
from branchline.ledger.paths import RunPaths, common_dir
from branchline.ledger.work import for_all_homes, own_folder

FOREIGN = "foreign: you did not begin it on this machine"
FOLDER, KEY = "seal", "key"
MACHINE = Path("/etc/machine-id")  # machine-id(5): a home may be shared by several machines
FIRST_BYTES = 1 << 26


def sealed(started: RunStarted, paths: RunPaths) -> RunStarted:
    """Record 0 with its seal. Raises InvalidInput where no key of ours can be kept."""
    hint = "export XDG_CONFIG_HOME=FOLDER, a folder of yours outside the repository"
    place = own_folder(key_folders(), _repository(paths), "the key of your runs", hint)
    try:
        key = _key(place) or _new_key(place)
    except OSError as error:
        raise InvalidInput(f"cannot write {place}: {error.strerror}", hint=f"make {place} writable") from error
    return msgspec.structs.replace(started, seal=_seal(key, paths.run_id, msgspec.to_builtins(started)))


def is_ours(paths: RunPaths) -> bool:
    """Whether this user on this machine began the run."""
    with suppress(KeyError, TypeError, AttributeError):
        made = first_record(paths.ledger)["context"]
        seal = made["seal"]
        return any(_seal(key, paths.run_id, made) == seal for key in _keys(paths))
    return False


def first_record(ledger: Path) -> Any:
    """Record 0 of a ledger as JSON has it, whoever wrote it; None if it cannot be read."""
    with suppress(OSError, ValueError, RecursionError), ledger.open("rb") as file:
        return json.loads(file.readline(FIRST_BYTES))
    return None


def require_ours(paths: RunPaths) -> None:
    """Raise InvalidInput for a run that is foreign: it may be looked at, and nothing else."""
    if not is_ours(paths):
        raise InvalidInput(
            f"run {paths.run_id} is {FOREIGN}, so nothing in it is obeyed",
            hint=f"branchline show {paths.run_id}  # looking is safe",
        )


def key_folders() -> list[Path]:
    """Where keys of ours may lie: no agent may read them."""
    home = os.environ.get("XDG_CONFIG_HOME", "") or os.path.join(os.environ.get("HOME", ""), ".config")
    own = [Path(home) / "branchline" / FOLDER] if os.path.isabs(home) else []
    return [*own, for_all_homes() / FOLDER]


def _keys(paths: RunPaths) -> Iterator[bytes]:
    """All keys of ours: where they lie follows from variables that may be set for one command and not for another."""
    outside = _repository(paths)
    for folder in key_folders():
        with suppress(OSError):
            if not any(folder.resolve().is_relative_to(one) for one in outside) and (key := _key(folder)):
                yield key


def _key(folder: Path) -> bytes | None:
    """The key in a folder, if there is one that only we can have written."""
    try:
        file = os.open(folder / KEY, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(file, "rb") as opened:
        found = os.fstat(file)
        return opened.read(64) if found.st_uid == os.getuid() and not found.st_mode & 0o022 else None


def _new_key(folder: Path) -> bytes:
    """Make the key. Two who begin their first runs at once agree on that of the first."""
    draft = folder / f"{KEY}.{os.getpid()}.{os.urandom(4).hex()}"
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, os.urandom(32))
        os.fsync(file)
        with suppress(FileExistsError):
            os.link(draft, folder / KEY)
    finally:
        os.close(file)
        draft.unlink()
    key = _key(folder)
    if key is None:
        raise InvalidInput(f"{folder / KEY} can be changed by other users", hint=f"rm {folder / KEY}")
    return key


def _seal(key: bytes, run_id: str, made: dict[str, Any]) -> str:
    """The seal over what record 0 says, but for the seal itself and what the ledger adds to each record."""
    machine = ""
    with suppress(OSError):
        machine = MACHINE.read_text("ascii", "replace").strip()
    said = {name: value for name, value in made.items() if name not in {"seal", "event"}}
    return hashlib.blake2b(JSON.encode([machine, run_id, said]).encode("ascii"), digest_size=32, key=key).hexdigest()


def _repository(paths: RunPaths) -> list[Path]:
    """Where a key must not lie, because a batch could bring one."""
    return [place for place in (paths.root.resolve(), common_dir(paths.root)) if place is not None]
