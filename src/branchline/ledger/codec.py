"""A record as one canonical JSON line: sorted keys, ASCII, the hash of everything before it as the last member."""

import hashlib
import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from branchline.core.events import NAMES, AnyEvent
from branchline.core.work import JSON
from branchline.errors import LedgerError

VERSION = 2
"""Of the format. Version 1 had what steps hand on in the `outputs` of moves: `ledger.upcast` reads it."""
GENESIS = "0" * 64
ENVELOPE = ("task_id", "attempt", "old_state", "new_state")
SHA_TAIL = len(',"sha":""}') + 64


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One fact with its place in the ledger. `at` is in Unix milliseconds, `offset` in bytes from the ledger's start.

    `v`: the version of the format that it was written in.
    """

    seq: int
    epoch: int
    id: str
    at: int
    run_id: str
    event: AnyEvent
    sha: str = ""
    offset: int = 0
    v: int = VERSION


class BadRecord(LedgerError):
    """A line that is not the record that should stand there; the message says why."""


@lru_cache(maxsize=1)  # a turn of the loop stamps all its records alike
def timestamp(milliseconds: int) -> str:
    """Unix milliseconds as RFC 3339 in UTC, e.g. 2026-11-22T17:25:00.123Z."""
    whole, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def milliseconds(text: str) -> int:
    """The inverse of `timestamp`. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000


def encode(record: Record, prev: str) -> tuple[bytes, str]:
    """The record's line, with its newline, and its hash."""
    context: dict[str, Any] = msgspec.to_builtins(record.event)
    body: dict[str, Any] = {name: context.pop(name) for name in ENVELOPE if name in context}
    body["event"] = context.pop("event")
    body.update(
        v=VERSION,
        seq=record.seq,
        epoch=record.epoch,
        id=record.id,
        timestamp=timestamp(record.at),
        run_id=record.run_id,
        trace_id=record.run_id,
        context=context,
        prev=prev,
    )
    head = JSON.encode(body)[:-1].encode("ascii")
    sha = hashlib.sha256(head).hexdigest()
    return b'%s,"sha":"%s"}\n' % (head, sha.encode("ascii")), sha


def decode(line: bytes, *, seq: int, prev: str, offset: int = 0) -> Record:
    """The record of a line (without its newline), checked against its place. Raises BadRecord."""
    head, tail = line[:-SHA_TAIL], line[-SHA_TAIL:]
    if not (tail.startswith(b',"sha":"') and tail.endswith(b'"}')):
        raise BadRecord("it does not end in its hash")
    sha = hashlib.sha256(head).hexdigest()
    if tail[8:-2] != sha.encode("ascii"):
        raise BadRecord("its hash does not match its text: it was changed after it was written")
    try:
        return _record(json.loads(line.decode("ascii")), seq=seq, prev=prev, sha=sha, offset=offset)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise BadRecord(f"its content is not valid: {error}") from error


def _record(body: dict[str, Any], *, seq: int, prev: str, sha: str, offset: int) -> Record:
    if body.get("v", 0) > VERSION:
        raise BadRecord(f"it was written by a newer Branchline (ledger version {body['v']}, this one reads {VERSION})")
    if body.get("seq") != seq:
        raise BadRecord(f"it is record {body.get('seq')} where record {seq} should stand: lines are missing or moved")
    if body.get("prev") != prev:
        raise BadRecord("it does not follow from the record before it")
    name = body.get("event")
    if name not in NAMES:
        raise BadRecord(f"its event {name!r} is unknown to this version")
    fields = {**body["context"], "event": name}
    fields.update((key, body[key]) for key in ENVELOPE if key in body)
    place = {name: body[name] for name in ("seq", "epoch", "id", "run_id", "v")}
    at = milliseconds(body["timestamp"])
    return msgspec.convert({**place, "at": at, "event": fields, "sha": sha, "offset": offset}, Record)
