"""A tape: the answers of one attempt, recorded, and given again without any provider.

A folder with two files for each request, numbered as they came: `0001.json` says what was asked, `0001.body` is the
answer as it came, but for the path of the agent's worktree. Neither headers nor what the request said is kept.
"""

import hashlib
import itertools
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from branchline.agents.metering.api import Question
from branchline.agents.metering.counting import LONGEST
from branchline.agents.metering.portable import marked, unmarked
from branchline.agents.metering.reply import CutOff, Reply
from branchline.agents.metering.transcript import cannot_write
from branchline.agents.output.stream import NO_JSON
from branchline.errors import InvalidInput
from branchline.process.redaction import Secrets

PIECE = 1 << 16  # bytes
OURS = ("[0-9][0-9][0-9][0-9]*.json", "[0-9][0-9][0-9][0-9]*.body")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An answer on a tape. `whole`: it was not broken off; `marked`: it names the worktree, whichever that is."""

    version: Literal[1] = 1
    number: int
    method: str
    path: str
    model: str
    request_sha: str
    status: int
    content_type: str
    whole: bool
    marked: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What a request must have in common with the recorded one."""
        return self.method, self.path, self.model


ENTRIES = msgspec.json.Decoder(Entry)


class Recorder:
    """Records into a folder; an earlier tape in it is replaced."""

    def __init__(self, folder: Path, root: str = "") -> None:
        """`root`: the absolute path of the agent's worktree."""
        self._folder, self.root = folder, root
        self._numbers = itertools.count(1)
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in OURS:
            for path in folder.glob(pattern):
                path.unlink()

    def start(self, question: Question, body: bytes, secrets: Iterable[str]) -> "Recording":
        """Record the answer to a request with this body; `secrets`: words that the tape must not hold."""
        sha = _digest(body, self.root)
        return Recording(self._folder / f"{next(self._numbers):04}.body", question, sha, self.root, secrets)


class Recording:
    """One answer being recorded."""

    def __init__(self, path: Path, question: Question, sha: str, root: str, secrets: Iterable[str]) -> None:
        self._path, self._question, self._sha, self._root = path, question, sha, root
        self._secrets = Secrets({}, secrets)
        with self._writing():
            self._file = path.open("xb")

    def write(self, piece: bytes) -> None:
        """Take the next piece of the body. Like `end`, raises BranchlineError if it cannot be written."""
        with self._writing():
            self._file.write(piece)

    def end(self, reply: Reply, *, whole: bool) -> None:
        """Put it on the tape: what has no .json is not on it."""
        with self._writing():
            self._file.close()
            self._secrets.clean_file(self._path)
            marks = self._mark()
            made = self._path.with_suffix(".new")
            made.write_bytes(
                msgspec.json.format(msgspec.json.encode(self._entry(reply, whole, marks)), indent=1) + b"\n"
            )
            made.replace(self._path.with_suffix(".json"))

    def _mark(self) -> bool:
        """Make the body fit every worktree; whether it names one."""
        if self._path.stat().st_size > LONGEST:
            return False
        data = self._path.read_bytes()
        changed = marked(data, self._root)
        if changed != data:
            self._path.write_bytes(changed)
        return changed != data

    def _entry(self, reply: Reply, whole: bool, marks: bool) -> Entry:
        asked = self._question
        return Entry(
            number=int(self._path.stem),
            method=asked.method,
            path=asked.path,
            model=asked.model,
            request_sha=self._sha,
            status=reply.status,
            content_type=reply.content_type,
            whole=whole,
            marked=marks,
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self._path, error) from error


class Tape:
    """Answers from a folder that a Recorder has written. `missing`: how many requests were not on it."""

    def __init__(self, folder: Path, root: str = "") -> None:
        """`root`: the absolute path of the agent's worktree, in place of the one at recording.

        Raises InvalidInput if there is no tape in the folder, or it cannot be read.
        """
        self._folder, self._root = folder, root
        self._lock = threading.Lock()
        self._left = sorted(map(_entry, folder.glob(OURS[0])), key=lambda entry: entry.number)
        self.missing = 0
        if not self._left:
            raise InvalidInput(
                f"there is no recording in {folder}", hint="record one first, with `cassettes: {mode: record}`"
            )

    def find(self, question: Question, body: bytes) -> Reply | None:
        """The answer to a request: that to the very same one, or else the first left of this path and model.

        Each is given once, in the order of recording.
        """
        sha = _digest(body, self._root)
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
        body = unmarked(path.read_bytes(), self._root) if entry.marked else None
        length = path.stat().st_size if body is None else len(body)
        pieces = _pieces(path.open("rb") if body is None else BytesIO(body), entry.whole)
        headers = [("content-type", entry.content_type)]
        return Reply(entry.status, "", headers, length if entry.whole else None, pieces)


def _digest(body: bytes, root: str) -> str:
    return hashlib.sha256(marked(body, root)).hexdigest()


def _entry(path: Path) -> Entry:
    try:
        return ENTRIES.decode(path.read_bytes())
    except NO_JSON as error:
        raise InvalidInput(f"{path} is no part of a recording: {error}", hint="record it anew") from error


def _pieces(file: BinaryIO, whole: bool) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece
    if not whole:
        raise CutOff("the recorded answer broke off here")
