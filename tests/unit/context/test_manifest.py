"""Manifests as files: the same bytes for the same manifest, whole or not at all, and read back with care."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from msgspec.structs import replace

from branchline.config.schemas import schema
from branchline.context.manifest import LISTED, assembled, digest, fingerprint, params, store, to_bytes
from branchline.context.selection import select
from branchline.core.model.manifest import (
    Candidate,
    ContextRequest,
    ContextSettings,
    ExcludedFile,
    Form,
    Manifest,
    ManifestFile,
    SelectionParams,
    Span,
)
from branchline.errors import BranchlineError
from strategies import of

EXAMPLE = Path(__file__).parents[3] / "schemas" / "contracts" / "context_manifest.example.json"


def load(path: Path) -> Manifest:
    """A manifest from a file; its reader takes lone surrogates."""
    return msgspec.convert(json.loads(path.read_bytes()), Manifest)


REQUEST = ContextRequest(text="a task", keywords=("k",), targets=("a\udcff.py",), scope=("src/**",))


def candidate(path: str, score: float, tokens: int = 10) -> Candidate:
    forms = (Form(mode="excerpt", tokens=tokens, spans=(Span(start=1, end=2, name="f"),)),)
    breakdown = {"lexical": score, "path": 0.0}
    return Candidate(
        path=path,
        category="code",
        score=score,
        breakdown=breakdown,
        size_bytes=9,
        sha256=digest(path.encode("utf-8", "surrogateescape")),
        forms=forms,
    )


def made(*candidates: Candidate, excluded: tuple[ExcludedFile, ...] = ()) -> Manifest:
    selection = select(REQUEST, candidates, excluded)
    return assembled(
        REQUEST,
        selection,
        tree="t" * 40,
        generated_at="2026-11-22T17:25:00Z",
        tokens_by="estimate",
        config=fingerprint(REQUEST.settings),
    )


MANIFEST = made(candidate("a\udcff.py", 0.5), candidate("b\n☃.py", 1 / 3))


def test_the_example_is_what_the_code_writes() -> None:
    assert json.loads(to_bytes(load(EXAMPLE))) == json.loads(EXAMPLE.read_text())


def test_bytes_are_canonical_and_scores_have_four_places() -> None:
    data = to_bytes(MANIFEST)
    assert data.isascii()
    assert data.count(b"\n") == 1
    assert (
        b'{"breakdown":{"lexical":0.3333,"path":0.0},"category":"code","mode":"excerpt","path":"b\\n\\u2603.py"' in data
    )
    assert b'"path":"a\\udcff.py"' in data
    noisy = replace(MANIFEST, files=tuple(replace(file, score=file.score + 1e-9) for file in MANIFEST.files))
    assert to_bytes(noisy) == data
    turned = replace(MANIFEST.files[0], breakdown=dict(reversed(MANIFEST.files[0].breakdown.items())), score=-0.00001)
    assert b'"score":0.0,' in to_bytes(replace(MANIFEST, files=(turned,)))


def test_a_manifest_satisfies_its_schema() -> None:
    jsonschema.Draft202012Validator(schema("manifest")).validate(json.loads(to_bytes(MANIFEST)))


@given(of(msgspec.inspect.type_info(Manifest)))
def test_any_manifest_comes_back(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest) -> None:
    data = to_bytes(manifest)
    folder = tmp_path_factory.getbasetemp() / "any"
    name = store(folder, manifest)
    assert (folder / f"{name}.json").read_bytes() == data
    assert to_bytes(load(folder / f"{name}.json")) == data


def test_it_tells_what_was_asked_and_found() -> None:
    out = tuple(ExcludedFile(path=f"x{number:03}", reason="binary") for number in range(150))
    manifest = made(candidate("a\udcff.py", 0.5), excluded=out)
    assert manifest.selection_params == SelectionParams(
        task_type="edit",
        text_sha256=digest(b"a task"),
        keywords=("k",),
        target_files=("a\udcff.py",),
        scope=("src/**",),
        max_tokens=80_000,
        max_files=50,
    )
    assert (manifest.total_files, manifest.total_tokens, manifest.truncated) == (1, 10, False)
    assert [type(file) for file in manifest.files] == [ManifestFile]
    assert manifest.excluded == out[:LISTED]
    assert manifest.excluded_by == {out[0].reason: 150}


def test_a_text_that_is_no_unicode_has_a_digest_too() -> None:
    assert params(ContextRequest(text="\ud800")).text_sha256 == digest(b"\xed\xa0\x80")


def test_a_fingerprint_tells_settings_and_parts_apart() -> None:
    prints = [
        fingerprint(ContextSettings()),
        fingerprint(ContextSettings(), "1"),
        fingerprint(ContextSettings(), "1", "2"),
        fingerprint(ContextSettings(), "12"),
        fingerprint(ContextSettings(pin=("\udcff",))),
    ]
    assert len(set(prints)) == 5
    assert prints[0] == fingerprint(ContextSettings(max_files=50))
    assert len(prints[0]) == 64


def test_storing_again_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    name = store(folder, MANIFEST)
    assert name == digest(to_bytes(MANIFEST))
    before = (folder / f"{name}.json").stat()
    assert store(folder, MANIFEST) == name
    assert (folder / f"{name}.json").stat() == before
    assert os.listdir(folder) == [f"{name}.json"]
    assert load(folder / f"{name}.json") == replace(MANIFEST, files=load(folder / f"{name}.json").files)
    assert stat.S_IMODE(before.st_mode) & 0o444


@pytest.mark.parametrize("content", [b"", b'{"files"', b"rubbish"])
def test_a_damaged_file_is_written_again(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / f"{digest(to_bytes(MANIFEST))}.json"
    path.write_bytes(content)
    store(tmp_path, MANIFEST)
    assert path.read_bytes() == to_bytes(MANIFEST)


def test_many_may_store_the_same_at_once(tmp_path: Path) -> None:
    program = (
        "import json, msgspec, os, sys; from pathlib import Path; from branchline.context.manifest import store\n"
        "from branchline.core.model.manifest import Manifest\n"
        "manifest, folder = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Manifest), Path(sys.argv[2])\n"
        "for _ in range(200): os.truncate(folder / f'{store(folder, manifest)}.json', 0)\n"
    )
    folder, manifest = tmp_path / "shared", load(EXAMPLE)
    others = [subprocess.Popen([sys.executable, "-c", program, str(EXAMPLE), str(folder)]) for _ in range(2)]
    assert [other.wait() for other in others] == [0, 0]
    assert load(folder / f"{store(folder, manifest)}.json") == manifest
    assert len(os.listdir(folder)) == 1


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BranchlineError, match=r"cannot write .*/file/[0-9a-f]{64}\.json: File exists") as caught:
        store(tmp_path / "file", MANIFEST)
    assert caught.value.hint


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / f"{digest(to_bytes(MANIFEST))}.json"
    path.mkdir()
    with pytest.raises(BranchlineError, match="directory"):
        store(tmp_path, MANIFEST)
    assert os.listdir(tmp_path) == [path.name]


def test_a_newer_member_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(to_bytes(MANIFEST).replace(b'"tree":', b'"later":1,"tree":'))
    assert to_bytes(load(path)) == to_bytes(MANIFEST)
