"""Each answer was seen with the real program first: docs/record-link.md."""

import json
import tarfile
from pathlib import Path
from textwrap import dedent

import pytest

from branchline.ledger.paths import followed_by

HATCHLING = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
SDIST = "[tool.hatch.build.targets.sdist]\n"
SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'


def project(root: Path, **files: str) -> Path:
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(dedent(text))
    return root


def test_a_project_without_any_of_them_has_its_link(tmp_path: Path) -> None:
    assert followed_by(tmp_path) == ""
    assert followed_by(tmp_path / "missing") == ""
    assert followed_by(project(tmp_path, pyproject__toml="[tool.black]\n", package__json="{}")) == ""


@pytest.mark.parametrize(
    ("settings", "follows"),
    [
        ("", True),
        (SDIST + 'exclude = ["/.github", "docs"]', True),
        (SDIST + 'include = ["*.md"]', True),
        (SDIST + 'include = ["**/*.py"]', True),
        (SDIST + 'include = ["/src", "tests"]', True),
        (SDIST + 'only-include = ["."]', True),
        ('[tool.hatch.build]\nexclude = [".runs"]\n' + SDIST + 'exclude = ["docs"]', True),
        (SDIST + 'exclude = [".runs"]', False),
        (SDIST + 'exclude = ["/.runs/"]', False),
        (SDIST + 'exclude = ["/.*"]', False),
        ('[tool.hatch.build]\nexclude = ["/.runs"]', False),
        (SDIST + 'only-include = ["src"]', False),
        ('[tool.hatch.build]\npackages = ["src/pkg"]', False),
        (SDIST + 'include = ["/src", "src/pkg/**"]', False),
        (SDIST + 'include = "src"', True),
        ("[tool]\nhatch = 1", True),
    ],
)
def test_hatchling(tmp_path: Path, settings: str, *, follows: bool) -> None:
    project(tmp_path, pyproject__toml=HATCHLING + settings)
    assert followed_by(tmp_path) == ("hatchling" if follows else "")


@pytest.mark.parametrize(("ignored", "follows"), [(".runs\n", False), ("/.runs/\n", False), ("*.runs2\n", True)])
def test_hatchling_obeys_the_ignore_file_of_the_top_folder(tmp_path: Path, ignored: str, *, follows: bool) -> None:
    project(tmp_path, pyproject__toml=HATCHLING, __gitignore=ignored)
    assert followed_by(tmp_path) == ("hatchling" if follows else "")
    project(tmp_path, pyproject__toml=HATCHLING + "[tool.hatch.build]\nignore-vcs = true\n")
    assert followed_by(tmp_path) == "hatchling"


@pytest.mark.parametrize(
    ("manifest", "follows"),
    [
        ("", False),
        ("include *.md\nrecursive-include src *.json\ngraft docs\n", False),
        ("global-include *.md\n", True),
        ("graft .\n", True),
        ("graft .github\n", False),
        ("  recursive-include . *.md\n", True),
        ("recursive-include * *.md\n", True),
        ("graft .\nprune .runs\n", False),
    ],
)
@pytest.mark.parametrize("pyproject", [SETUPTOOLS, "", "[build-system]\nrequires = []\n"])
def test_setuptools(tmp_path: Path, pyproject: str, manifest: str, *, follows: bool) -> None:
    project(tmp_path, pyproject__toml=pyproject, MANIFEST__in=manifest)
    assert followed_by(tmp_path) == ("setuptools" if follows else "")


def test_a_manifest_means_nothing_to_another_backend(tmp_path: Path) -> None:
    other = SETUPTOOLS.replace("setuptools", "flit_core")
    assert followed_by(project(tmp_path, pyproject__toml=other, MANIFEST__in="graft .\n")) == ""


@pytest.mark.parametrize("group", ["dependencies", "devDependencies"])
@pytest.mark.parametrize("name", ["vite", "vitest", "@biomejs/biome"])
def test_javascript(tmp_path: Path, group: str, name: str) -> None:
    assert followed_by(project(tmp_path, package__json=json.dumps({group: {name: "^1", "jest": "^30"}}))) == name


@pytest.mark.parametrize(
    ("version", "follows"), [("^2.8.8", True), ("1.19.1", True), ("~2", True), ("^3.0.0", False), ("latest", False)]
)
def test_prettier_before_its_third_version(tmp_path: Path, version: str, *, follows: bool) -> None:
    project(tmp_path, package__json=json.dumps({"devDependencies": {"prettier": version}}))
    assert followed_by(tmp_path) == ("prettier" if follows else "")


@pytest.mark.parametrize(
    ("script", "follows"),
    [("node --test", True), ("node --import tsx --test", True), ("node --no-warnings --test", True), ("jest", False)],
)
def test_the_test_runner_of_node(tmp_path: Path, script: str, *, follows: bool) -> None:
    project(tmp_path, package__json=json.dumps({"scripts": {"test": script}}))
    assert followed_by(tmp_path) == ("node --test" if follows else "")


@pytest.mark.parametrize("text", ["", "[]", "1", '{"dependencies": []}', "{", "\x00", "[" * 100_000])
def test_broken_files_say_no(tmp_path: Path, text: str) -> None:
    assert followed_by(project(tmp_path, package__json=text, pyproject__toml=text, MANIFEST__in="")) == ""


def test_what_is_no_text_says_no(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "package.json").mkdir()
    assert followed_by(tmp_path) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "expected"),
    [("", True), (SDIST + 'exclude = ["/.runs"]', False), (SDIST + 'include = ["/src"]', False)],
)
def test_hatchling_itself_does_as_it_is_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, *, expected: bool
) -> None:
    from hatchling.build import build_sdist

    root = tmp_path / "r"
    (root / ".git" / "branchline" / "runs" / "01RUN").mkdir(parents=True)
    (root / ".git" / "branchline" / "runs" / "01RUN" / "prompt.md").write_text("secret\n")
    (root / ".runs").symlink_to(".git/branchline/runs")
    (root / "src").mkdir()
    named = '[project]\nname = "pkg"\nversion = "1"\n'
    project(root, pyproject__toml=HATCHLING + named + settings)
    monkeypatch.chdir(root)
    with tarfile.open(tmp_path / build_sdist(str(tmp_path))) as archive:
        taken = [name for name in archive.getnames() if ".runs" in name]
    assert bool(taken) is expected
    assert (followed_by(root) == "hatchling") is expected
