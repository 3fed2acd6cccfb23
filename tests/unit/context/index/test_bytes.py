"""The bytes of files, from disk and from objects."""

import os
import subprocess
from pathlib import Path

import pytest

from branchline.context.index.scan import MOST_BYTES, File, blob_id, file_at, from_disk, from_objects, read_plain
from branchline.git.repo import Repo
from unit.git.sandbox import Sandbox


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_blob_ids_are_gits(tmp_path: Path, algorithm: str) -> None:
    subprocess.run(["git", "init", "-q", f"--object-format={algorithm}", tmp_path], check=True)
    for data in (b"", b"one\n", b"\0\xff" * 1000):
        told = subprocess.run(
            ["git", "hash-object", "--stdin"], input=data, cwd=tmp_path, capture_output=True, check=True
        )
        oid = told.stdout.decode().strip()
        assert blob_id(data, len(oid)) == oid


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a\n")
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    assert read_plain(str(tmp_path / "a")) == b"a\n"
    for name in ("link", "pipe", ".", "missing", "a/b", "x" * 300):
        assert read_plain(str(tmp_path / name)) is None


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(MOST_BYTES + 1)
    assert read_plain(str(tmp_path / "large")) is None
    assert file_at(str(tmp_path), "large") == "too_large"


def test_a_file_on_disk_is_what_its_id_says_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a\n")
    (tmp_path / "b").write_bytes(b"changed\n")
    files = [File("a", blob_id(b"a\n")), File("b", blob_id(b"b\n")), File("c", blob_id(b"c\n"))]
    odd = File("nul\0", blob_id(b""))
    assert list(from_disk(str(tmp_path))([*files, odd])) == [
        *((files[0], b"a\n"), (files[1], None), (files[2], None)),
        (odd, None),
    ]


def test_objects_are_read_in_batches_and_the_missing_are_nothing(box: Sandbox) -> None:
    texts = {f"f{number}": bytes([number]) * 3_000_000 for number in range(7)}
    box.commit({**texts, "copy": texts["f0"]})
    repo = Repo.open(box.root)
    files = [File(path, blob_id(data)) for path, data in texts.items()]
    files += [File("copy", files[0].oid), File("missing", "1" * 40)]
    found = {file.path: data for file, data in from_objects(repo)(files)}
    assert found == {**texts, "copy": texts["f0"], "missing": None}
    assert list(from_objects(repo)([])) == []


def test_a_large_object_is_not_read(box: Sandbox) -> None:
    with open(box.root / "large", "wb") as file:
        file.truncate(MOST_BYTES + 1)
    box.git("-c", "core.bigFileThreshold=1", "add", "large")
    oid = box.git("rev-parse", ":large").strip()
    assert list(from_objects(Repo.open(box.root))([File("large", oid)])) == [(File("large", oid), None)]
