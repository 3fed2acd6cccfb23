"""Each way was made by the real installer first, and is made here by hand: pip, setuptools, npm and pnpm would need a network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from branchline.attempt.ways_back import ways_back
from branchline.config.settings import Setup
from branchline.core.model.verdict import Gate


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "r"
    (folder / "src" / "pkg").mkdir(parents=True)
    (folder / "packages" / "lib").mkdir(parents=True)
    return folder


def environment(prefix: Path) -> Path:
    """A virtual environment, as `python -m venv` makes one; its site-packages."""
    site = prefix / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (prefix / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (prefix / "bin").mkdir()
    (prefix / "bin" / "python").symlink_to("/usr/bin/env")
    return site


def on_path(*folders: Path) -> dict[str, str]:
    return {"PATH": ":".join(map(str, (*folders, "/usr/bin")))}


NOTHING = Setup()


def test_a_plain_machine_has_no_way_back(root: Path) -> None:
    assert ways_back(root, {"PATH": "/usr/bin:/bin", "HOME": str(root.parent)}, NOTHING) == []


def test_an_environment_in_the_checkout_is_none_by_itself(root: Path) -> None:
    site = environment(root / ".venv")
    (site / "distutils-precedence.pth").write_text("import os; os.environ.get('X')\n# a comment\n\n")
    (site / "own.pth").write_text(f"{root}/.venv/lib/extra\n")
    environ = {**on_path(root / ".venv" / "bin"), "VIRTUAL_ENV": str(root / ".venv")}
    assert ways_back(root, environ, NOTHING) == []


@pytest.mark.parametrize("line", ["{root}/src", "../../../../src"])
def test_a_pth_file(root: Path, line: str) -> None:
    site = environment(root / ".venv")
    (site / "x.pth").write_text(line.format(root=root) + "\n")
    expected = [f"{site}/x.pth leads to {root}/src"]
    assert ways_back(root, on_path(root / ".venv" / "bin"), NOTHING) == expected
    assert ways_back(root, {"VIRTUAL_ENV": str(root / ".venv")}, NOTHING) == expected
    assert ways_back(root, {}, Setup(symlink=(".venv",))) == expected
    assert ways_back(root, {}, Setup(copy=(".venv/**",))) == expected
    gate = Gate(id="t", verify=(f"{root}/.venv/bin/python", "-c", "1"))
    assert ways_back(root, {}, NOTHING, [gate]) == expected
    assert ways_back(root, {}, NOTHING) == []


def test_an_environment_elsewhere_counts_as_well(root: Path, tmp_path: Path) -> None:
    (environment(tmp_path / "conda") / "conda.pth").write_text(f"{root}/src\n")
    (way,) = ways_back(root, on_path(tmp_path / "conda" / "bin"), NOTHING)
    assert way.endswith(f"conda.pth leads to {root}/src")


def test_the_packages_of_the_user(root: Path, tmp_path: Path) -> None:
    site = tmp_path / "home" / ".local" / "lib" / "python3.12" / "site-packages"
    site.mkdir(parents=True)
    (site / "easy-install.pth").write_text(f"{root}\n")
    assert ways_back(root, {"HOME": str(tmp_path / "home")}, NOTHING) == [f"{site}/easy-install.pth leads to {root}"]


def test_a_version_manager_s_shims(root: Path, tmp_path: Path) -> None:
    (environment(tmp_path / "pyenv" / "versions" / "3.11.7") / "a.pth").write_text(f"{root}/src\n")
    (tmp_path / "pyenv" / "shims").mkdir()
    assert len(ways_back(root, on_path(tmp_path / "pyenv" / "shims"), NOTHING)) == 1


def test_a_finder_that_a_pth_file_imports(root: Path) -> None:
    site = environment(root / ".venv")
    (site / "__editable__.pkg-1.pth").write_text(
        "import __editable___pkg_1_finder; __editable___pkg_1_finder.install()"
    )
    (site / "__editable___pkg_1_finder.py").write_text(f"MAPPING: dict = {{'pkg': '{root}/src/pkg'}}\n")
    (way,) = ways_back(root, on_path(root / ".venv" / "bin"), NOTHING)
    assert way == f"{site}/__editable__.pkg-1.pth leads to {root}/src/pkg"


@pytest.mark.parametrize(("editable", "words"), [(True, "is installed from"), (False, "is a copy of what was in")])
def test_a_package_that_was_installed_from_the_checkout(root: Path, *, editable: bool, words: str) -> None:
    site = environment(root / ".venv")
    (site / "pkg-1.dist-info").mkdir()
    said = {"url": root.as_uri(), "dir_info": {"editable": editable}}
    (site / "pkg-1.dist-info" / "direct_url.json").write_text(json.dumps(said))
    expected = [f"pkg-1 in {site} {words} {root}"]
    assert ways_back(root, on_path(root / ".venv" / "bin"), NOTHING) == expected
    inside = ways_back(root, on_path(root / ".venv" / "bin"), NOTHING, sandboxed=True)
    assert inside == ([] if editable else expected), "by reference, it means the workspace that stands there"


def test_an_environment_that_set_up_made_in_the_workspace_stands_before_the_users_in_the_sandbox(
    root: Path, tmp_path: Path
) -> None:
    for place in (root, tmp_path / "w"):
        site = environment(place / ".venv")
        (site / "pkg-1.dist-info").mkdir()
        said = {"url": root.as_uri(), "dir_info": {}}
        (site / "pkg-1.dist-info" / "direct_url.json").write_text(json.dumps(said))
    path = on_path(root / ".venv" / "bin")
    assert len(ways_back(root, path, NOTHING, (), tmp_path / "empty", sandboxed=True)) == 1
    assert ways_back(root, path, NOTHING, (), tmp_path / "w", sandboxed=True) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": "https://x/y", "dir_info": {}}', '{"url": 1}', "\x00"])
def test_an_origin_that_says_nothing(root: Path, text: str) -> None:
    site = environment(root / ".venv")
    (site / "pkg-1.dist-info").mkdir()
    (site / "pkg-1.dist-info" / "direct_url.json").write_text(text)
    assert ways_back(root, on_path(root / ".venv" / "bin"), NOTHING) == []


def test_links_of_a_shared_node_modules(root: Path) -> None:
    modules = root / "node_modules"
    (modules / "@acme").mkdir(parents=True)
    (modules / "left-pad").mkdir()
    (modules / ".bin").mkdir()
    (modules / ".bin" / "pad").symlink_to("../left-pad/cli.js")
    (modules / "@acme" / "lib").symlink_to("../../packages/lib")
    expected = [f"{modules}/@acme/lib is a link to {root}/packages/lib"]
    assert ways_back(root, {}, Setup(symlink=("node_modules",))) == expected
    assert ways_back(root, on_path(modules / ".bin"), NOTHING) == expected
    assert ways_back(root, {}, NOTHING) == []


def test_what_set_up_has_put_into_the_workspace(root: Path, tmp_path: Path) -> None:
    (tmp_path / "w" / "node_modules").mkdir(parents=True)
    (tmp_path / "w" / "node_modules" / "lib").symlink_to(root / "packages" / "lib")
    (environment(tmp_path / "w" / ".venv") / "x.pth").write_text(f"{root}/src\n")
    assert len(ways_back(root, {}, NOTHING, (), tmp_path / "w")) == 2
    assert ways_back(root, {}, NOTHING, (), tmp_path / "other") == []


def test_programs_of_the_checkout(root: Path) -> None:
    (root / "bin").mkdir()
    assert ways_back(root, on_path(root / "bin"), NOTHING) == [f"PATH has {root}/bin"]
    assert ways_back(root, {"PATH": "bin:.:/usr/bin"}, NOTHING) == []


def test_a_variable_with_a_path_of_the_checkout(root: Path) -> None:
    environ = {"PYTHONPATH": f"/opt/x:{root}/src", "HOME": str(root), "LANG": "C"}
    assert ways_back(root, environ, NOTHING) == [f"the variable PYTHONPATH has {root}/src"]
    gate = Gate(id="t", verify=("true",), env={"NODE_PATH": f"{root}/packages"})
    assert ways_back(root, {}, NOTHING, [gate]) == [f"the variable NODE_PATH has {root}/packages"]


def test_a_gate_that_names_the_checkout(root: Path) -> None:
    gate = Gate(id="t", verify=("sh", "-c", f"cd {root} && make"))
    assert ways_back(root, {}, NOTHING, [gate]) == [f"gate t names {root}"]
    near = Gate(id="t", verify=("sh", "-c", f"ls {root}2 {root}.old /x{root}"))
    assert ways_back(root, {}, NOTHING, [near]) == []


def test_a_checkout_behind_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "shown").symlink_to(root)
    (environment(tmp_path / "env") / "x.pth").write_text(f"{tmp_path}/shown/src\n")
    assert len(ways_back(root, {"VIRTUAL_ENV": str(tmp_path / "env")}, NOTHING)) == 1
    assert len(ways_back(tmp_path / "shown", {"VIRTUAL_ENV": str(tmp_path / "env")}, NOTHING)) == 1


@pytest.mark.slow
def test_what_python_itself_makes_of_such_an_environment(root: Path) -> None:
    """The case that it is all about: a real environment, a real `.pth`, and a gate's program finds the user's file."""
    (root / "src" / "pkg" / "__init__.py").write_text("x = 1\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / ".venv")], check=True)
    (site,) = (root / ".venv").glob("lib/python3*/site-packages")
    (site / "x.pth").write_text(f"{root}/src\n")
    asked = [str(root / ".venv/bin/python"), "-c", "import pkg; print(pkg.__file__)"]
    done = subprocess.run(asked, cwd=root.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{root}/src/pkg/__init__.py"
    assert ways_back(root, on_path(root / ".venv" / "bin"), NOTHING) == [f"{site}/x.pth leads to {root}/src"]
