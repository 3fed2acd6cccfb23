"""What people's own tools find in a workspace: each a real program, in the sandbox and without one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from branchline.sandbox.probe import programs
from support import Project, Ran, fate, sh, workstream, write

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "branchline-tests"
TOOLS = CACHE / "tools"
SHIP = {"ship": {"mode": "merge"}, "repair": {"rounds": 0}}


@pytest.fixture(params=[pytest.param("1", id="open", marks=pytest.mark.heavy), pytest.param("3", id="sandboxed")])
def rung(request: pytest.FixtureRequest) -> str:
    if request.param == "3" and not list(programs(os.environ)):
        pytest.skip("bubblewrap is not installed")
    return str(request.param)


def needed(name: str) -> str:
    """The folder of a tool from the cache, or of one that is installed."""
    for folder in (TOOLS / "bin", CACHE / "node/node_modules/.bin"):
        if (folder / name).exists():
            return str(folder)
    if found := shutil.which(name):
        return os.path.dirname(found)
    pytest.skip(f"{name} is not installed, and not in the cache: make fixtures")


def run(project: Project, rung: str, tool: str, *script: str, gate: str = "exit 0", setup: str = "") -> Ran:
    """A run of one workstream that carries out commands, with a tool on its PATH."""
    path = f"{needed(tool)}:{os.environ['PATH']}"
    streams = [workstream("a", *map(sh, script), write("new.txt", "x\n"))]
    settings = {
        "gates": [{"id": "g", "verify": ["sh", "-c", gate]}],
        "setup": {"run": [["sh", "-c", setup]] if setup else []},
    }
    return project.run({"workstreams": streams}, {**settings, **SHIP}, PATH=path, BRANCHLINE_SANDBOX=rung)


def lands(project: Project, ran: Ran, *files: str) -> None:
    assert ran.code == 0, (ran.err, fate(ran, "a"))
    assert {"new.txt", *files} <= set(project.files("main"))


def test_git_describe_what_changed_since_the_base_and_a_stash(tmp_path: Path, rung: str) -> None:
    project = Project.make(tmp_path / "p")
    project.git("tag", "-a", "-m", "one", "v1.2.0")
    stash = "echo s > stashed.txt; git stash -u -q && test ! -e stashed.txt && git stash pop -q"
    affected = "git diff --name-only origin/main...HEAD | tee /dev/stderr | grep -qx new.txt"
    ran = run(project, rung, "git", f"git describe > described.txt; {stash}", gate=affected)
    lands(project, ran, "stashed.txt")
    assert project.show("main", "described.txt") == "v1.2.0\n"


def test_setuptools_scm_knows_the_version(tmp_path: Path, rung: str) -> None:
    project = Project.make(tmp_path / "p", {"pyproject.toml": "[tool.setuptools_scm]\n"})
    project.git("tag", "v1.2.0")
    ran = run(project, rung, "setuptools-scm", "setuptools-scm > version.txt", gate="setuptools-scm | grep ^1.2.1.dev")
    lands(project, ran)
    assert str(project.show("main", "version.txt")).startswith("1.2.0")


HOOKS = {
    "prek": (
        "prek",
        ".pre-commit-config.yaml",
        "repos: [{repo: local, hooks: [{id: h, name: h, language: system, entry: sh -c 'echo ran > hooked', always_run: true, pass_filenames: false}]}]\n",
        "prek install -q",
    ),
    "lefthook": (
        "lefthook",
        "lefthook.yml",
        "pre-commit:\n  jobs:\n    - run: echo ran > hooked\n",
        "lefthook install",
    ),
    "husky": ("husky", ".husky/pre-commit", "echo ran > hooked\n", "husky"),
}


@pytest.mark.parametrize("tool", HOOKS)
def test_a_commit_with_the_hooks_that_a_tool_installs(tmp_path: Path, rung: str, tool: str) -> None:
    program, file, text, install = HOOKS[tool]
    project = Project.make(tmp_path / "p", {file: text, ".gitignore": "hooked\n", "package.json": "{}\n"})
    folder = needed(program)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", install], cwd=project.root, env=env, check=True, capture_output=True)
    before = project.git("config", "--local", "--list")
    commit = "echo c > committed.txt; git add committed.txt; git commit -qm mine"
    ran = run(project, rung, program, f"{install} && {commit} && cp hooked ran.txt")
    lands(project, ran, "committed.txt")
    assert project.show("main", "ran.txt") == "ran\n", "the hook was run at the agent's own commit"
    assert not (project.root / "hooked").exists(), "none of the user's hooks was run at a commit of ours"
    assert project.git("config", "--local", "--list") == before


def test_cargo_builds_and_tests(tmp_path: Path, rung: str) -> None:
    files = {
        "Cargo.toml": '[package]\nname = "demo"\nversion = "0.1.0"\nedition = "2021"\n',
        "src/lib.rs": "pub fn one() -> i32 { 1 }\n#[test]\nfn is_one() { assert_eq!(one(), 1) }\n",
        ".gitignore": "target/\nCargo.lock\n",
    }
    project = Project.make(tmp_path / "p", files)
    ran = run(project, rung, "cargo", "cargo build --offline -q", gate="cargo test --offline -q")
    lands(project, ran)
    breaks = [workstream("a", write("src/lib.rs", files["src/lib.rs"].replace("{ 1 }", "{ 2 }")))]
    settings = {"gates": [{"id": "g", "verify": ["cargo", "test", "--offline", "-q"]}], **SHIP}
    red = project.run({"workstreams": breaks}, settings, BRANCHLINE_SANDBOX=rung)
    assert (red.code, "g: exit code" in fate(red, "a")["reason"]) == (1, True), red.err


def test_go_stamps_a_build_with_the_commit(tmp_path: Path, rung: str) -> None:
    files = {"go.mod": "module example.org/demo\n\ngo 1.21\n", "main.go": "package main\n\nfunc main() {}\n"}
    project = Project.make(tmp_path / "p", {**files, ".gitignore": "demo\n"})
    build = "GOFLAGS=-mod=mod GOTOOLCHAIN=local go build -buildvcs=true -o demo . && go version -m demo"
    ran = run(project, rung, "go", "true", gate=f"{build} | grep vcs.revision=$(git rev-parse HEAD)")
    lands(project, ran)


@pytest.mark.parametrize("setup", ["", "npm install --offline --no-audit --no-fund --silent"], ids=["none", "install"])
def test_a_package_of_an_npm_workspace_is_that_of_the_batch(tmp_path: Path, rung: str, setup: str) -> None:
    needed("npm")
    files = {
        "package.json": '{"private": true, "workspaces": ["packages/*"]}',
        "packages/lib/package.json": '{"name": "@acme/lib", "version": "1.0.0", "main": "i.js"}',
        "packages/lib/i.js": "exports.f = () => 1\n",
        "packages/app/package.json": '{"name": "app", "version": "1.0.0", "dependencies": {"@acme/lib": "*"}}',
        "packages/app/t.js": 'require("assert").equal(require("@acme/lib").f(), 2)\n',
        ".gitignore": "node_modules/\npackage-lock.json\n",
    }
    project = Project.make(tmp_path / "p", files)
    install = ["npm", "install", "--offline", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(install, cwd=project.root, check=True, capture_output=True)
    change = "echo 'exports.f = () => 2' > packages/lib/i.js"
    ran = run(project, rung, "npm", change, gate="node packages/app/t.js", setup=setup)
    if setup:
        lands(project, ran)
    else:
        assert ran.code == 1, "without an installation the package is not found, and never the user's own"
        assert "Cannot find module" in Path(str(ran.json["run_dir"]), "gate/rejected/a-1/report.md").read_text()
