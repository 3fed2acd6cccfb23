import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.core.rules.globs import matches
from branchline.core.rules.protection import MOST_NAMES, Protection, protection, reserved
from strategies import PATHS

GLOBS = (".github/workflows/**", "**/CLAUDE.md", "**/.claude/**", ".aider*", "Jenkinsfile", "**/.gitattributes")


@pytest.mark.parametrize("path", [
    ".github/workflows/x.yml", "CLAUDE.md", "docs/CLAUDE.md", ".claude/settings.json", "a/b/.claude/agents/x.md",
    ".aider.conf.yml", "Jenkinsfile", "src/.gitattributes",
    ".GitHub/Workflows/X.YML", "claude.MD", "JENKINSFILE", "docs/.Claude/x",
    "\uff23\uff2c\uff21\uff35\uff24\uff25.md", ".\uff47ithub/workflows/x", "\u212aLAUDE.md".replace("\u212a", "C"),
    ".git\u200chub/workflows/x.yml", "CLAUDE\ufeff.md", ".cl\u00adaude/x", ".github/work\u2060flows/x",
    "CLAUDE.md.", "CLAUDE.md ", "CLAUDE.md::$DATA", ".github./workflows/x", ".claude /x", ".github\\workflows\\x",
])  # fmt: skip
def test_a_protected_path_is_known_by_any_name_of_it(path: str) -> None:
    assert Protection(GLOBS).name_of(path)


@pytest.mark.parametrize("path", [
    "src/x.py", "github/workflows/x.yml", ".github/README.md", "CLAUDE.md.bak", "xCLAUDE.md", "claude/settings.json",
    "aider.conf", "docs/Jenkinsfile", ".github", ".claude", "a/.claude",
])  # fmt: skip
def test_other_paths_are_not(path: str) -> None:
    assert Protection(GLOBS).name_of(path) == ""


@pytest.mark.parametrize("path", [".github", ".github/workflows", ".GITHUB", ".claude", "a/.claude", "CLAUDE.md"])
def test_a_link_in_the_place_of_a_folder_is_protected(path: str) -> None:
    assert Protection(GLOBS).name_of(path, link=True)


@pytest.mark.parametrize("path", ["src", "src/.github", "a/b", "docs"])
def test_other_links_are_not(path: str) -> None:
    assert Protection(GLOBS).name_of(path, link=True) == ""


def test_what_a_protected_link_leads_to_is_protected() -> None:
    links = [
        ("CLAUDE.md", "docs/agents.md"), (".github", "ci"), ("ci", "infra/Real"), ("src/.claude", "../shared"),
        ("x/CLAUDE.md", "../../outside"), ("y/CLAUDE.md", "/etc/passwd"), ("z/.claude", ".."), ("plain", "src"),
    ]  # fmt: skip
    found = Protection(GLOBS, links)
    assert found.name_of("docs/agents.md") == "claude.md"
    assert found.name_of("DOCS/Agents.md") == "claude.md"
    assert found.name_of("ci/workflows/x.yml") == ".github/workflows/x.yml"
    assert found.name_of("infra/real/workflows/x.yml") == ".github/workflows/x.yml"
    assert found.name_of("infra/Real/README.md") == ""
    assert found.name_of("shared/deep/file") == "src/.claude/deep/file"
    assert found.name_of("sharedness/file") == ""
    assert found.name_of("outside") == found.name_of("etc/passwd") == found.name_of("src/x.py") == ""


def test_links_in_a_circle_end() -> None:
    found = Protection(GLOBS, [("a", "b"), ("b", "a"), ("c/d", "c"), ("e", "e/f")])
    assert found.name_of("b/x") == ""
    assert found.name_of("c/x") == ""


def test_links_cannot_make_it_slow() -> None:
    links = [(f"l{number}", "t") for number in range(500)]
    assert Protection(GLOBS, [*links, ("t", "u")]).name_of("u/x") == ""
    assert len(links) > MOST_NAMES


@given(PATHS, PATHS)
def test_it_matches_more_than_the_globs_and_never_less(glob: str, path: str) -> None:
    if path and matches(glob, path):
        assert Protection([glob]).name_of(path)


@given(st.lists(st.tuples(PATHS, PATHS), max_size=4), PATHS)
def test_any_links_will_do(links: list[tuple[str, str]], path: str) -> None:
    Protection(GLOBS, links).name_of(path, link=True)


def test_it_is_made_once() -> None:
    assert protection(GLOBS) is protection(GLOBS)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("src/.GIT/config", "git's own folder"),
        (".g\u200bit", "git's own folder"),
        ("GIT~1/x", "git's own folder"),
        (".Runs./R/logs", "the folder of runs"),
        ("a\\.runs\\b", "the folder of runs"),
        ("runs/.runs2/git", ""),
    ],
)
def test_names_that_lead_into_what_is_gits_or_ours(path: str, said: str) -> None:
    assert reserved(path) == said
