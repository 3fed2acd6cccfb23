"""What is taken over from the user's git, and what is not."""

import os
import subprocess
from pathlib import Path

import pytest

from branchline.errors import InvalidInput
from branchline.git.filters import Filter
from branchline.git.repo import Repo
from branchline.git.user_git import (
    alternates_text,
    config_text,
    furnish,
    object_folders,
    read_user_git,
)
from unit.git.sandbox import Sandbox


def test_settings_are_read_from_everywhere_the_users_git_reads_them(box: Sandbox, home: Path) -> None:
    (home / ".gitconfig").write_text(
        f'[core]\n\tautocrlf = true\n\tsafecrlf\n[includeIf "gitdir:{box.root}/"]\n\tpath = work\n[include]\n\tpath = gone\n'
    )
    (home / "work").write_text("[core]\n\tfileMode = false\n\teol = crlf\n")
    box.git("config", "core.eol", "lf")
    box.git("config", "--unset", "core.fileMode")
    user = Repo.open(box.root).user
    assert user.storage["core.autocrlf"] == "true"
    assert user.storage["core.safecrlf"] == "true"
    assert user.storage["core.eol"] == "lf"
    assert user.storage["core.filemode"] == "false"
    assert "core.symlinks" not in user.storage


def test_a_linked_worktree_has_its_own_settings(box: Sandbox, home: Path) -> None:
    side = box.scratch / "side"
    box.git("worktree", "add", "-q", str(side))
    box.git("config", "extensions.worktreeConfig", "true")
    box.git("config", "--worktree", "core.autocrlf", "input", cwd=side)
    assert Repo.open(side).user.storage["core.autocrlf"] == "input"
    assert "core.autocrlf" not in Repo.open(box.root).user.storage
    assert home.is_dir()


def test_what_starts_programs_or_holds_secrets_is_left_out(box: Sandbox, home: Path) -> None:
    (home / ".gitconfig").write_text(
        "[core]\n\thooksPath = /h\n\tfsmonitor = /f\n\tsshCommand = s\n\teditor = e\n[alias]\n\tst = !evil\n"
        "[credential]\n\thelper = store\n[user]\n\tname = U\n\tsigningKey = K\n"
    )
    box.git("remote", "add", "origin", "https://user:secret@example.org/x")
    box.git("config", "filter.up.clean", 'tr a-z A-Z | sed "s/\\t/x/"')
    text = config_text(Repo.open(box.root).user)
    for word in ("hooks", "fsmonitor", "ssh", "editor", "alias", "credential", "example.org", "secret", "user"):
        assert word not in text.lower()
    (box.scratch / "made").write_text(text)
    made = box.git("config", "--file", str(box.scratch / "made"), "--get", "filter.up.clean")
    assert made == 'tr a-z A-Z | sed "s/\\t/x/"\n'


def test_filters_are_named_with_what_they_run(box: Sandbox) -> None:
    box.git("config", "filter.a.b.clean", "c %f")
    box.git("config", "filter.a.b.required", "true")
    box.git("config", "filter.p.process", "p")
    box.git("config", "filter.only.required", "true")
    filters = Repo.open(box.root).user.filters
    assert filters["a.b"] == Filter(clean="c %f", required=True)
    assert filters["p"] == Filter(process="p")
    assert "only" not in filters


def test_ignored_and_attributes_come_from_the_users_files(box: Sandbox, home: Path) -> None:
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "ignore").write_text("*.from-default\n")
    (home / "attrs").write_text("*.txt text\n")
    (home / ".gitconfig").write_text("[core]\n\tattributesFile = ~/attrs\n")
    (box.root / ".git" / "info" / "exclude").write_text("*.from-info\n")
    (box.root / ".git" / "info" / "attributes").write_text("*.md -text\n")
    repo = Repo.open(box.root)
    assert repo.user.global_excludes == "*.from-default\n"
    assert (repo.user.global_attributes, repo.user.info_attributes) == ("*.txt text\n", "*.md -text\n")
    box.write({"x.from-default": "", "y.from-info": "", "z": ""})
    git = repo.content.at(box.root, box.scratch / "index")
    git.call("read-tree", repo.head_commit())
    assert git.text("ls-files", "--others", "--exclude-standard") == "z"
    assert git.text("check-attr", "text", "a.txt", "b.md").splitlines() == ["a.txt: text: set", "b.md: text: unset"]


def test_the_trees_attributes_win_over_the_users_global_ones(box: Sandbox, home: Path) -> None:
    (home / ".gitconfig").write_text("[core]\n\tattributesFile = ~/attrs\n")
    (home / "attrs").write_text("*.txt text\n")
    box.commit({".gitattributes": "a.txt -text\n"})
    assert Repo.open(box.root).content.at(box.root).text("check-attr", "text", "a.txt") == "a.txt: text: unset"


def test_a_workspace_is_furnished_with_them(box: Sandbox, home: Path) -> None:
    (home / ".gitconfig").write_text("[core]\n\tautocrlf = input\n\tattributesFile = ~/attrs\n\texcludesFile = ~/ign\n")
    (home / "attrs").write_text("*.txt -text\n")
    (home / "ign").write_text("*.log\n")
    workspace = box.scratch / "ws"
    box.git("init", "-q", str(workspace))
    furnish(Repo.open(box.root).user, workspace / ".git")
    box.write({"a.txt": "a\r\n", "b.py": "b\r\n", "c.log": "", "sub/x": ""}, at=workspace)
    box.git("add", "-A", cwd=workspace / "sub")
    box.git("add", "-A", cwd=workspace)
    assert box.git("show", ":a.txt", cwd=workspace) == "a\r\n"
    assert box.git("show", ":b.py", cwd=workspace) == "b\n"
    assert "c.log" not in box.git("ls-files", cwd=workspace)


def test_a_partial_clone_names_who_promised(box: Sandbox) -> None:
    clone = box.scratch / "partial"
    box.git("config", "uploadpack.allowFilter", "true")
    box.git("clone", "-q", "--filter=blob:none", f"file://{box.root}", str(clone))
    user = Repo.open(clone).user
    assert dict(user.promisors) == {"origin": "blob:none"}
    assert f"file://{box.root}" not in config_text(user)
    assert "partialclonefilter" in config_text(user)


def test_a_sparse_checkout_is_known(box: Sandbox) -> None:
    assert Repo.open(box.root).user.sparse == ""
    box.git("sparse-checkout", "set", "src")
    assert Repo.open(box.root).user.sparse == "/*\n!/*/\n/src/\n"
    assert Repo.open(box.root).user.storage["core.sparsecheckoutcone"] == "true"


@pytest.mark.parametrize("value", ["group", "0660", "all", "true"])
def test_a_repository_that_is_shared_is_shared_in_a_workspace_too(box: Sandbox, value: str) -> None:
    assert "sharedrepository" not in config_text(Repo.open(box.root).user)
    box.git("config", "core.sharedRepository", value)
    assert f"sharedrepository = {value}\n" in config_text(Repo.open(box.root).user)


@pytest.mark.parametrize(
    "name", ["with space", 'quo"te', "new\nline", "#hash", '"both"', "back\\slash", "ümlaut", "\udcff"]
)
def test_borrowed_objects_are_found_where_git_finds_them(box: Sandbox, name: str) -> None:
    odd = box.scratch / name
    box.git("clone", "-q", "--bare", str(box.root), str(odd))
    borrower = box.scratch / "borrower"
    box.git("init", "-q", str(borrower))
    alternates = borrower / ".git" / "objects" / "info" / "alternates"
    alternates.write_bytes(b"# a comment\n" + alternates_text([odd / "objects"]))
    head = box.git("rev-parse", "HEAD").strip()
    assert box.git("cat-file", "-t", head, cwd=borrower) == "commit\n"
    assert object_folders(borrower / ".git") == [borrower / ".git" / "objects", odd / "objects"]


def test_alternates_of_alternates_and_relative_ones(box: Sandbox) -> None:
    one, two = box.scratch / "one", box.scratch / "two"
    box.git("clone", "-q", "--shared", "--bare", str(box.root), str(one))
    box.git("clone", "-q", "--shared", str(one), str(two))
    (two / ".git" / "objects" / "info" / "alternates").write_text("../../../one/objects\n/gone/objects\n")
    assert object_folders(two / ".git") == [two / ".git/objects", one / "objects", box.root / ".git/objects"]
    assert Repo.open(two).head_commit()


def test_a_loop_of_alternates_ends(box: Sandbox) -> None:
    objects = box.root / ".git" / "objects"
    (objects / "info" / "alternates").write_text(f"{objects}\n")
    assert object_folders(box.root / ".git") == [objects]


def test_variables_that_redirect_git_do_not_count(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare=true'")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.autocrlf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "input")
    user = Repo.open(box.root).user
    assert user.call("rev-parse", "--is-bare-repository") == b"false\n"
    assert user.storage["core.autocrlf"] == "input"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_user_is_refused_with_the_command(box: Sandbox, home: Path) -> None:
    subprocess.run(["chown", "-R", "12345", box.root], check=True)
    with pytest.raises(InvalidInput) as caught:
        read_user_git(box.root, box.root / ".git", box.root / ".git")
    assert caught.value.hint == f"git config --global --add safe.directory {box.root}"
    (home / ".gitconfig").write_text(f"[safe]\n\tdirectory = {box.root}\n")
    assert Repo.open(box.root).head_commit()
