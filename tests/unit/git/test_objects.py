"""Trees, blobs and commits without a checkout."""

import os
import subprocess

import pytest

from branchline.errors import GitError
from branchline.git.objects import Change
from branchline.git.repo import Repo
from unit.git.sandbox import Sandbox

ODD = os.fsdecode(b'dir/new\nline "quote" \xff\t')


def test_a_commit_id_depends_on_its_arguments_alone(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, head = repo.tree_of(repo.head_commit()), repo.head_commit()
    first = repo.commit(tree, [head], "message é \udcff", 1_700_000_000)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert repo.commit(tree, [head], "message é \udcff\n", 1_700_000_000) == first
    assert repo.parents(first) == (head,)
    assert repo.tree_of(first) == tree


def test_the_repository_cannot_change_how_a_commit_is_written(box: Sandbox, repo: Repo) -> None:
    head = repo.head_commit()
    expected = repo.commit(repo.tree_of(head), [head], "é", 5)
    box.git("config", "i18n.commitEncoding", "latin1")
    box.git("config", "user.name", "Mallory")
    assert Repo.open(box.root).commit(repo.tree_of(head), [head], "é", 5) == expected


def test_a_merge_commit_keeps_the_order_of_its_parents(box: Sandbox, repo: Repo) -> None:
    one, two = box.branch_with({"x": "x"}), box.branch_with({"y": "y"})
    assert repo.parents(repo.commit(repo.tree_of(one), [two, one], "merge", 0)) == (two, one)


def test_edit_tree_adds_changes_and_removes(repo: Repo) -> None:
    head = repo.head_commit()
    blob = repo.write_blob(b"data\0")
    tree = repo.edit_tree(head, {ODD: ("100755", blob), "src/b.py": None, "link": None, "a.txt": ("100644", blob)})
    assert [(entry.mode, entry.path) for entry in repo.entries(tree)] == [("100644", "a.txt"), ("100755", ODD)]
    assert repo.read_blob(blob) == b"data\0"
    assert repo.edit_tree(tree, {}) == tree


def test_edit_tree_puts_a_folder_where_a_file_was_and_back(repo: Repo) -> None:
    blob = repo.write_blob(b"x")
    tree = repo.edit_tree(repo.head_commit(), {"a.txt/inner": ("100644", blob), "src": ("100644", blob)})
    assert [entry.path for entry in repo.entries(tree)] == ["a.txt/inner", "link", "src"]


@pytest.mark.parametrize("path", [".git/config", "../x", "a/../b", "/abs", ".GIT/x", "a//b"])
def test_edit_tree_refuses_dangerous_paths(repo: Repo, path: str) -> None:
    with pytest.raises(GitError):
        repo.edit_tree(repo.head_commit(), {path: ("100644", repo.write_blob(b"x"))})


def test_changes(box: Sandbox, repo: Repo) -> None:
    old = repo.head_commit()
    box.git("rm", "-q", "link")
    new = box.commit({"a.txt": "x", ODD: "odd", "link": "now a file", "src/b.py": None, "src/c.py": "b = 1\n"})
    found = repo.changes(old, new)
    assert [(one.status, one.path) for one in found] == [
        ("M", "a.txt"),
        ("A", ODD),
        ("T", "link"),
        ("D", "src/b.py"),
        ("A", "src/c.py"),
    ]
    assert found[0] == Change(
        "a.txt", "M", "100644", "100644", repo.write_blob(b"one\ntwo\nthree\n"), repo.write_blob(b"x")
    )
    assert repo.changes(old, old) == []


def test_a_patch_can_be_applied(box: Sandbox, repo: Repo) -> None:
    old = repo.head_commit()
    new = box.branch_with({"a.txt": "x\n", ODD: b"\0binary\xff", "src/b.py": None})
    patch = repo.patch(old, new)
    subprocess.run(["git", "apply", "--index"], cwd=box.root, input=patch, check=True)
    assert box.git("write-tree").strip() == repo.tree_of(new)


def test_diffstat(box: Sandbox, repo: Repo) -> None:
    old = repo.head_commit()
    new = box.branch_with({"a.txt": "one\n2\n", ODD: b"\0binary"})
    assert repo.diffstat(old, new) == [("a.txt", 1, 2), (ODD, None, None)]


def test_many_blobs_in_one_call(repo: Repo) -> None:
    data = [b"", b"\n", b"a\nb", b"x" * 100_000]
    oids = [repo.write_blob(one) for one in data]
    assert list(repo.read_blobs(oids)) == list(zip(oids, data, strict=True))
    assert list(repo.read_blobs([])) == []
    with pytest.raises(GitError, match="no object"):
        list(repo.read_blobs(["0" * 40]))


def test_sizes_of_blobs_of_which_one_is_missing(box: Sandbox, repo: Repo) -> None:
    oid = box.git("rev-parse", "HEAD:a.txt").strip()
    assert repo.sizes([oid, "1" * 40]) == {oid: 14}
