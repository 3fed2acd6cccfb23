"""Pointers of Git LFS, and content under its name."""

import hashlib
from pathlib import Path

import pytest

from branchline.errors import GitError
from branchline.git.filters import Pointer, lfs_missing, lfs_place, lfs_pointer, require_lfs

OID = hashlib.sha256(b"content").hexdigest()
TEXT = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 7\n".encode()


def test_a_pointer_names_its_content() -> None:
    assert lfs_pointer(TEXT) == Pointer(OID, 7)
    extended = TEXT.replace(b"oid", b"ext-0-foo sha256:" + OID.encode() + b"\noid", 1)
    assert lfs_pointer(extended) == Pointer(OID, 7)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"content",
        TEXT + b"more\n",
        b"x" + TEXT,
        TEXT.replace(b"sha256", b"md5"),
        TEXT.replace(OID[:1].encode(), b"G"),
        TEXT + b"\n" * 2000,
    ],
)
def test_what_is_no_pointer(data: bytes) -> None:
    assert lfs_pointer(data) is None


def test_content_is_found_in_any_store_and_an_empty_file_needs_none(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert lfs_missing([one, two], [Pointer(OID, 7), Pointer("0" * 64, 0)]) == [Pointer(OID, 7)]
    lfs_place(two, OID).parent.mkdir(parents=True)
    lfs_place(two, OID).write_bytes(b"content")
    assert lfs_missing([one, two], [Pointer(OID, 7)]) == []
    require_lfs(lfs_place(two, OID), OID)


def test_content_under_a_wrong_name_is_an_error(tmp_path: Path) -> None:
    (tmp_path / OID).write_bytes(b"something else")
    with pytest.raises(GitError, match="wrong name"):
        require_lfs(tmp_path / OID, OID)
