"""Whole runs in repositories that are not the plain one: the user's git means what it says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support import Project, fate, gate, sh, workstream, write

# what an agent may do with its own git to a file that says "old", and it has written "new" into
GITS = (
    "git status --porcelain | grep -q {0} && git add {0} && git stash -q && grep -q old {0} && git stash pop -q"
    " && grep -q new {0} && git commit -qam mine && git checkout -q HEAD~1 && grep -q old {0} && git checkout -q -"
)
MERGE = {"ship": {"mode": "merge"}}
needs_lfs = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
needs_crypt = pytest.mark.skipif(shutil.which("git-crypt") is None, reason="git-crypt is not installed")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of a user with a global configuration."""
    (tmp_path / "home").mkdir()
    made = Project.make(tmp_path / "p")
    made.env |= {"HOME": str(tmp_path / "home"), "GIT_CONFIG_GLOBAL": str(tmp_path / "home" / ".gitconfig")}
    return made


def user(project: Project, *args: str, cwd: Path | None = None) -> str:
    """Run git as this user does."""
    who = {f"GIT_{role}_{part}": "u@localhost" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    env = {**os.environ, **project.env, **who}
    done = subprocess.run(["git", *args], cwd=cwd or project.root, env=env, capture_output=True, check=True)
    return os.fsdecode(done.stdout)


def commit(project: Project, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        (project.root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    user(project, "add", "-A")
    user(project, "commit", "-qm", "more")


@needs_lfs
@pytest.mark.parametrize("mode", ["merge", "branch"])
def test_git_lfs_files_are_real_for_agents_and_gates_and_land_as_pointers(project: Project, mode: str) -> None:
    user(project, "lfs", "install", "--local")
    commit(project, {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "a.bin": "old\n", "b.bin": "b\n"})
    plan = {
        "workstreams": [
            workstream("a", sh("grep -q old a.bin && echo new >a.bin && echo c >c.bin"), sh(GITS.format("a.bin")))
        ]
    }
    gates = [gate("real", 'grep -q new a.bin && test "$(cat b.bin)" = b && git diff --quiet HEAD -- b.bin')]
    ran = project.run(plan, {"ship": {"mode": mode}, "gates": gates})
    assert ran.code == 0, ran.err
    branch = ran.json["integration"]["branch"]
    assert user(project, "show", f"{branch}:a.bin").startswith("version https://git-lfs.github.com/spec/v1\n")
    assert sorted(user(project, "lfs", "ls-files", "-n", branch).split()) == ["a.bin", "b.bin", "c.bin"]
    if mode == "branch":
        user(project, "merge", "-q", "--ff-only", branch)
    assert (project.root / "a.bin").read_text() == "new\n"
    assert user(project, "status", "--porcelain") == ""
    user(project, "lfs", "fsck")


@needs_crypt
def test_git_crypt_files_land_encrypted(project: Project) -> None:
    user(project, "crypt", "init")
    commit(project, {".gitattributes": "*.key filter=git-crypt diff=git-crypt\n", "a.key": "old\n"})
    plan = {"workstreams": [workstream("a", sh("grep -q old a.key && echo new >a.key"), sh(GITS.format("a.key")))]}
    ran = project.run(plan, {**MERGE, "gates": [gate("plain", "grep -q new a.key")]})
    assert ran.code == 0, ran.err
    assert user(project, "cat-file", "blob", "main:a.key").startswith("\0GITCRYPT\0")
    assert (project.root / "a.key").read_text() == "new\n"
    assert user(project, "status", "--porcelain") == ""


@pytest.mark.parametrize("touched", ["f.bin", "hello.txt"])
def test_a_filter_of_the_users_own(project: Project, touched: str) -> None:
    user(project, "config", "filter.up.clean", "tr a-z A-Z")
    user(project, "config", "filter.up.smudge", "tr A-Z a-z")
    commit(project, {".gitattributes": "*.bin filter=up\n", "f.bin": "quiet\n"})
    plan = {"workstreams": [workstream("a", sh("grep -q quiet f.bin"), write(touched, "words\n"))]}
    ran = project.run(plan, {**MERGE, "gates": [gate("smudged", "! grep -q QUIET f.bin")]})
    assert ran.code == 0, ran.err
    assert user(project, "cat-file", "blob", "main:f.bin") == ("WORDS\n" if touched == "f.bin" else "QUIET\n")
    assert (project.root / touched).read_text() == "words\n"
    assert user(project, "status", "--porcelain") == ""


def test_files_that_nobody_touched_reject_no_batch(project: Project) -> None:
    commit(project, {"crlf.txt": "a\r\nb\r\n"})
    (project.root / ".gitattributes").write_text("*.txt text\n")
    user(project, "add", ".gitattributes")
    user(project, "commit", "-qm", "attributes")
    ran = project.run({"workstreams": [workstream("a", write("src/a.py", "a = 1\n"), write=["src/**"])]}, MERGE)
    assert ran.code == 0, ran.err
    assert user(project, "show", "--format=", "--name-only", "main^2") == "src/a.py\n"
    assert user(project, "cat-file", "blob", "main:crlf.txt") == "a\r\nb\r\n"


@pytest.mark.parametrize("where", ["global", "include"])
def test_line_ends_that_are_set_outside_of_the_repository(project: Project, tmp_path: Path, where: str) -> None:
    if where == "global":
        user(project, "config", "--global", "core.autocrlf", "true")
    else:
        (tmp_path / "home" / "work").write_text("[core]\n\tautocrlf = true\n")
        user(project, "config", "--global", f"includeIf.gitdir:{project.root}/.path", str(tmp_path / "home" / "work"))
    user(project, "rm", "-rq", "--cached", ".")
    user(project, "reset", "-q", "--hard")
    assert (project.root / "src" / "x.py").read_bytes() == b"x = 1\r\n"
    plan = {"workstreams": [workstream("a", sh(r"grep -q 1.$ src/x.py; printf 'x = 2\r\n' >src/x.py"))]}
    ran = project.run(plan, MERGE)
    assert ran.code == 0, ran.err
    assert user(project, "cat-file", "blob", "main:src/x.py") == "x = 2\n"
    assert (project.root / "src" / "x.py").read_bytes() == b"x = 2\r\n"
    assert user(project, "status", "--porcelain") == ""


def test_ignored_files_in_scope_are_named(project: Project) -> None:
    commit(project, {".gitignore": "lib/\n"})
    plan = {
        "workstreams": [
            workstream("both", write("src/lib/u.py", "u = 1\n"), write("src/a.py", "a = 1\n"), write=["src/**"]),
            workstream("alone", write("src/lib/v.py", "v = 1\n"), write=["src/**"]),
        ]
    }
    ran = project.run(plan, {**MERGE, "retry": {"max_attempts": 1}})
    assert "src/lib/v.py" in fate(ran, "alone")["reason"]
    assert "git ignores" in fate(ran, "alone")["reason"]
    assert user(project, "ls-tree", "--name-only", "main", "src/") == "src/a.py\nsrc/x.py\n"
    told = [
        e for e in project.records() if e["event"] == "execute_ws_complete" and e["context"]["workstream"] == "both"
    ]
    assert told[-1]["context"]["left_out"] == ["git ignores src/lib/u.py: see git check-ignore -v"]
    reports = [path.read_text() for path in (project.root / ".runs").glob("*/gate/approved/both-1/report.md")]
    assert "git ignores src/lib/u.py" in reports[0]


def test_by_products_are_left_out_and_named_with_their_line(project: Project) -> None:
    plan = {"workstreams": [workstream("a", write("src/a.py", "a = 1\n"), sh("python3 -m compileall -q src"))]}
    plan_file, config = project.request(plan, MERGE)
    ran = project.branchline("run", "--plan", str(plan_file), "--config", str(config), "--yes")
    assert ran.code == 0, ran.err
    assert [name for name in project.files("main") if "pyc" in name] == []
    assert "add __pycache__/ to .gitignore" in ran.out + ran.err


def test_a_sparse_checkout_deletes_nothing(project: Project) -> None:
    commit(project, {"top.txt": "t\n"})
    user(project, "sparse-checkout", "set", "--no-cone", "/src/", "/top.txt")
    assert not (project.root / "README.md").exists()
    ran = project.run({"workstreams": [workstream("a", write("src/a.py", "a = 1\n"))]}, MERGE)
    assert ran.code == 0, ran.err
    assert project.files("main") == ["README.md", "old.txt", "src/a.py", "src/x.py", "top.txt"]
    assert user(project, "status", "--porcelain") == ""
    assert not (project.root / "README.md").exists()


@pytest.mark.parametrize("how", [["--reference", "{}"], ["--shared"]])
def test_a_clone_that_borrows_objects(project: Project, tmp_path: Path, how: list[str]) -> None:
    odd = tmp_path / 'a "mirror"'
    user(project, "clone", "-q", "--bare", str(project.root), str(odd))
    user(project, "clone", "-q", *(one.format(odd) for one in how), str(odd), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", env=project.env)
    plan = {"workstreams": [workstream("a", sh("git log --oneline | grep -q first && echo a >a.txt"))]}
    ran = clone.run(plan, {**MERGE, "gates": [gate("log", "git log -p >/dev/null")]})
    assert ran.code == 0, ran.err
    assert (clone.root / "a.txt").read_text() == "a\n"


def partial(project: Project, tmp_path: Path, *how: str) -> Project:
    project.git("config", "uploadpack.allowFilter", "true")
    project.git("checkout", "--quiet", "-b", "dev")
    project.commit("on dev", {"src/dev.py": "d = 1\n", "docs/deep/x.md": "x\n"})
    project.git("checkout", "--quiet", "main")
    user(project, "clone", "-q", *how, f"file://{project.root}", str(tmp_path / "clone"))
    return Project(tmp_path / "clone", env=project.env)


@pytest.mark.parametrize("how", [["--filter=blob:none"], ["--filter=blob:none", "--sparse"], ["--filter=tree:0"]])
def test_a_partial_clone_and_a_base_that_is_not_checked_out(project: Project, tmp_path: Path, how: list[str]) -> None:
    clone = partial(project, tmp_path, *how)
    plan = {"workstreams": [workstream("a", write("src/a.py", "a = 1\n"))]}
    ran = clone.run(plan, {"ship": {"mode": "branch"}}, "--base", "origin/dev")
    assert ran.code == 0, ran.err
    assert "src/dev.py" in clone.files(ran.json["integration"]["branch"])


def test_a_target_of_a_partial_clone_that_a_fetch_moves(project: Project, tmp_path: Path) -> None:
    clone = partial(project, tmp_path, "--filter=blob:none")
    clone.git("checkout", "--quiet", "--detach")
    project.commit("meanwhile", {"src/x.py": "x = 1\ny = 1\n", "new.txt": "new\n"})
    (tmp_path / "fetch.sh").write_text(f"git -C {clone.root} fetch -q origin main:main\n")
    ran = clone.run(
        {"workstreams": [workstream("a", write("src/a.py", "a = 1\n"))]},
        {
            **MERGE,
            "gates": [gate("moves", f"sh {tmp_path}/fetch.sh", phases=["integration"])],
        },
        "--base",
        "main",
        BRANCHLINE_SANDBOX="1",  # the gate stands for a user who fetches
    )
    assert ran.code == 0, ran.err
    assert {"new.txt", "src/a.py"} <= set(clone.files("main"))


def test_a_partial_clone_whose_origin_is_gone_is_refused_before_anybody_works(project: Project, tmp_path: Path) -> None:
    clone = partial(project, tmp_path, "--filter=blob:none")
    project.root.rename(tmp_path / "elsewhere")
    ran = clone.run({"workstreams": [workstream("a", write("a.py", "a\n"))]}, None, "--base", "origin/dev")
    assert ran.code != 0
    assert "partial clone" in ran.err
    assert ran.err.count("RUNNING -> FAILED") == 1
    assert not [record for record in clone.records() if record["event"] == "agent_called"]
