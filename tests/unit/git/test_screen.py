"""What of a work tree goes on to git, and what is left out as made on the side."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from branchline.git.commit import snapshot
from branchline.git.repo import Repo
from branchline.git.screen import blob_id
from unit.git.sandbox import Sandbox
from unit.git.users import changes, check_out, take

TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# a cache"


def test_by_products_are_left_out_with_the_line_that_ignores_them(box: Sandbox, repo: Repo) -> None:
    git = check_out(repo, box.scratch / "w")
    made = {
        "src/__pycache__/b.cpython-311.pyc": "x",
        "src/deep/__pycache__/c.cpython-311.pyc": "x",
        "target/CACHEDIR.TAG": TAG,
        "target/debug/app": "x",
        "env/pyvenv.cfg": "home = /usr/bin\n",
        "env/lib/x.py": "x",
        ".DS_Store": "x",
        "src/new.py": "x",
    }
    box.write(made, at=box.scratch / "w")
    taken = take(repo, git, box)
    assert changes(repo, taken) == {"src/new.py": "A"}
    assert taken.by_products == ((".DS_Store", 1), ("/env/", 2), ("/target/", 2), ("__pycache__/", 2))
    assert taken.refused == ()
    saved = take(repo, git, box, include_ignored=True)
    assert set(changes(repo, saved)) == set(made), "what is saved is everything"


def test_ignored_files_that_are_wanted_are_named(box: Sandbox) -> None:
    box.commit({".gitignore": "lib/\n*.log\n__pycache__/\ntarget/\nnode_modules\n"})
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    made = {
        "src/lib/u.py": "x",
        "src/lib/deep/v.py": "x",
        "src/a.py": "x",
        "src/x.log": "x",
        "docs/y.log": "x",
        "src/__pycache__/a.pyc": "x",
        "src/target/CACHEDIR.TAG": TAG,
        "src/target/debug/app": "x",
        "src/node_modules/m/index.js": "x",
    }
    box.write(made, at=box.scratch / "w")
    (box.scratch / "w" / "src" / "lib" / "elsewhere").symlink_to("/etc")
    taken = snapshot(
        git,
        box.scratch / "w",
        repo.tree_of(repo.head_commit()),
        scratch=box.scratch,
        wanted=lambda path: path.startswith("src/"),
    )
    assert changes(repo, taken) == {"src/a.py": "A"}
    assert sorted(taken.ignored) == ["src/lib/deep/v.py", "src/lib/elsewhere", "src/lib/u.py", "src/x.log"]


def test_what_the_base_has_of_a_kind_is_no_by_product(box: Sandbox) -> None:
    box.commit({"lib/old.class": "x", "cache/CACHEDIR.TAG": TAG, "cache/a": "a"})
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    box.write({"lib/new.class": "x", "cache/b": "b", "lib/old.class": "y"}, at=box.scratch / "w")
    taken = take(repo, git, box)
    assert changes(repo, taken) == {"cache/b": "A", "lib/new.class": "A", "lib/old.class": "M"}
    assert taken.by_products == ()


@pytest.mark.parametrize("content", ["", "Signature: other", "home"])
def test_only_a_true_mark_makes_a_by_product(box: Sandbox, repo: Repo, content: str) -> None:
    git = check_out(repo, box.scratch / "w")
    box.write({"target/CACHEDIR.TAG": content, "target/x": "x"}, at=box.scratch / "w")
    (box.scratch / "w" / "odd").mkdir()
    (box.scratch / "w" / "odd" / "CACHEDIR.TAG").symlink_to("../target/CACHEDIR.TAG")
    assert "target/x" in changes(repo, take(repo, git, box))


def test_many_by_products_leave_room_for_the_rest(box: Sandbox, repo: Repo) -> None:
    git = check_out(repo, box.scratch / "w")
    box.write({f"node_modules/m{number}.js": "x" for number in range(30)} | {"z": "z"}, at=box.scratch / "w")
    taken = snapshot(git, box.scratch / "w", repo.tree_of(repo.head_commit()), scratch=box.scratch, max_files=5)
    assert (changes(repo, taken), taken.refused) == ({"z": "A"}, ())


@pytest.mark.slow
def test_folders_may_be_deeper_than_functions_can_call_each_other(box: Sandbox, repo: Repo) -> None:
    git = check_out(repo, box.scratch / "w")
    deep = box.scratch / "w" / ("d/" * 1200)
    try:
        subprocess.run(["mkdir", "-p", deep], check=True)
        (deep / "x").write_text("x")
        taken = take(repo, git, box)
        assert changes(repo, taken) == {}
        assert [one.path for one in taken.refused] == ["/".join("d" * 99)]
    finally:
        subprocess.run(["rm", "-rf", box.scratch / "w"], check=True)


def test_the_id_of_a_blob_is_gits(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello\n")
    (tmp_path / "link").symlink_to("hello")
    assert blob_id(str(tmp_path / "x"), 40) == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert blob_id(str(tmp_path / "x"), 64) == hashlib.sha256(b"blob 6\0hello\n").hexdigest()
    assert blob_id(str(tmp_path / "link"), 40) == hashlib.sha1(b"blob 5\0hello").hexdigest()
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "gone", "."):
        assert blob_id(str(tmp_path / name), 40) is None
