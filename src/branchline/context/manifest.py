"""A manifest put together from a selection, as canonical bytes, and kept in files that are named by their digest."""

import hashlib
import json
import os
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from branchline.context.selection import Selection, rounded
from branchline.core.model.manifest import ContextRequest, ContextSettings, Manifest, SelectionParams
from branchline.errors import BranchlineError

LISTED = 100  # excluded files that a manifest names

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def assembled(
    request: ContextRequest, selection: Selection, *, tree: str, generated_at: str, tokens_by: str, config: str
) -> Manifest:
    """The manifest of a selection. `config` is its fingerprint; for the others see Manifest."""
    return Manifest(
        generated_at=generated_at,
        tree=tree,
        selection_params=params(request),
        config_fingerprint=config,
        tokens_by=tokens_by,
        total_files=len(selection.files) + len(selection.tests),
        total_tokens=selection.total_tokens,
        truncated=selection.truncated,
        files=selection.files,
        tests=selection.tests,
        excluded=selection.excluded[:LISTED],
        excluded_by=dict(sorted(Counter(out.reason for out in selection.excluded).items())),
        warnings=selection.warnings,
    )


def params(request: ContextRequest) -> SelectionParams:
    """What a manifest tells of a request."""
    return SelectionParams(
        task_type=request.task_type,
        text_sha256=digest(request.text.encode("utf-8", "surrogatepass")),
        keywords=request.keywords,
        target_files=request.targets,
        scope=request.scope,
        max_tokens=request.budget,
        max_files=request.settings.max_files,
    )


def fingerprint(settings: ContextSettings, *parts: str) -> str:
    """A digest of the settings and of what else an answer depends on, as versions of the analysis and the ranking."""
    return digest(_encoder.encode([msgspec.to_builtins(settings), *parts]).encode("ascii"))


def to_bytes(manifest: Manifest) -> bytes:
    """Canonical JSON on one line: sorted keys, ASCII, scores to four places; equal manifests give equal bytes.

    A path that is no UTF-8 has its bytes as lone surrogates, which only lenient readers of JSON take.
    """
    return _encoder.encode(_plain(msgspec.to_builtins(manifest))).encode("ascii") + b"\n"


def _plain(value: Any) -> Any:
    match value:
        case float():
            return rounded(value)
        case dict():
            return {key: _plain(member) for key, member in value.items()}
        case list() | tuple():
            return [_plain(member) for member in value]
        case _:
            return value


def digest(data: bytes) -> str:
    """sha-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def store(folder: Path, manifest: Manifest) -> str:
    """Keep a manifest as `<digest>.json` in a folder, which is made if need be; its digest.

    Whole or not at all, and unsynced: a file that a power cut damages does not match its name, and the same request
    writes it anew. Raises BranchlineError if it cannot be written.
    """
    data = to_bytes(manifest)
    name = digest(data)
    path = folder / f"{name}.json"
    aside = folder / f".{name}.{os.getpid()}.{threading.get_ident()}"
    try:
        if not (path.is_file() and path.read_bytes() == data):
            folder.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(data)
            os.replace(aside, path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise BranchlineError(f"cannot write {path}: {error.strerror}", hint="make room on the disk") from error
    return name
