"""A tape: the answers of one attempt, recorded, and given again without any provider.

A folder with two files for each request, numbered as they came: `0001.json` says what was asked, `0001.body` is the
answer as it came. Neither headers nor what the request said is kept.
"""

import hashlib
import itertools
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from branchline.agents.metering.api import Question
from branchline.agents.metering.reply import CutOff, Reply
from branchline.agents.metering.transcript import cannot_write
from branchline.errors import InvalidInput
from branchline.process.secrets import Secrets

PIECE = 1 << 16  # bytes
OURS = ("[0-9][0-9][0-9][0-9]*.json", "[0-9][0-9][0-9][0-9]*.body")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An answer on a tape. `whole`: it was not broken off."""

    version: Literal[1] = 1
    number: int
    method: str
    path: str
    model: str
    request_sha: str
    status: int
    content_type: str
    whole: bool

    @property
    def key(self) -> tuple[str, str, str]:
        """What a request must have in common with the recorded one."""
        return self.method, self.path, self.model


class Recorder:
    """Records into a folder; an earlier tape in it is replaced."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in OURS:
            for path in folder.glob(pattern):
                path.unlink()

    def start(self, question: Question, sha: str, secrets: Iterable[str]) -> "Recording":
        """Record the answer to a request; `secrets`: words that the tape must not hold."""
        return Recording(self._folder, next(self._numbers), question, sha, secrets)


class Recording:
    """One answer being recorded."""

    def __init__(self, folder: Path, number: int, question: Question, sha: str, secrets: Iterable[str]) -> None:
        self._number, self._question, self._sha = number, question, sha
        # Named so that their names say that they are secret.
        self._secrets = Secrets({f"KEY_{position}": word for position, word in enumerate(secrets)})
        self._path = folder / f"{number:04}.body"
        with self._writing():
            self._file = self._path.open("xb")

    def write(self, piece: bytes) -> None:
        """Take the next piece of the body. Like `end`, raises BranchlineError if it cannot be written."""
        with self._writing():
            self._file.write(piece)

    def end(self, reply: Reply, *, whole: bool) -> None:
        """Put it on the tape: what has no .json is not on it."""
        asked = self._question
        entry = Entry(
            number=self._number,
            method=asked.method,
            path=asked.path,
            model=asked.model,
            request_sha=self._sha,
            status=reply.status,
            content_type=reply.content_type,
            whole=whole,
        )
        made = self._path.with_suffix(".new")
        with self._writing():
            self._file.close()
            self._secrets.clean_file(self._path)
            made.write_bytes(msgspec.json.format(msgspec.json.encode(entry), indent=1) + b"\n")
            made.replace(self._path.with_suffix(".json"))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self._path, error) from error


class Tape:
    """Answers from a folder that a Recorder has written. `missing`: how many requests were not on it."""

    def __init__(self, folder: Path) -> None:
        """Raises InvalidInput if there is no tape in the folder, or it cannot be read."""
        self._folder = folder
        self._lock = threading.Lock()
        self._left = sorted(map(_entry, folder.glob(OURS[0])), key=lambda entry: entry.number)
        self.missing = 0
        if not self._left:
            raise InvalidInput(f"there is no recording in {folder}", hint="record one first: set `cassettes` to record")

    def find(self, question: Question, sha: str) -> Reply | None:
        """The answer to a request: that to the very same one, or else the first left of this path and model.

        Each is given once, in the order of recording.
        """
        key = question.method, question.path, question.model
        with self._lock:
            alike = [entry for entry in self._left if entry.key == key]
            entry = next((entry for entry in alike if entry.request_sha == sha), alike[0] if alike else None)
            if entry is None:
                self.missing += 1
                return None
            self._left.remove(entry)
        return self._reply(entry)

    def _reply(self, entry: Entry) -> Reply:
        path = self._folder / f"{entry.number:04}.body"
        length = path.stat().st_size if entry.whole else None
        return Reply(entry.status, "", [("content-type", entry.content_type)], length, _pieces(path, entry.whole))


def digest(body: bytes) -> str:
    """A request's body in short, as a tape knows it."""
    return hashlib.sha256(body).hexdigest()


def _entry(path: Path) -> Entry:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Entry)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{path} is no part of a recording: {error}", hint="record it anew") from error


def _pieces(path: Path, whole: bool) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
    if not whole:
        raise CutOff("the recorded answer broke off here")
