"""From words and options to a request: what is a text, what is a file, and whose settings count."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from branchline.cli.context.request import Options, asked, configured, in_root
from branchline.core.model.manifest import ContextSettings
from branchline.errors import InvalidInput


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository's folder with a file, where we are; nobody says anything on stdin."""
    root = (tmp_path / "root").resolve()
    (root / "src").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "src" / "x.py").touch()
    monkeypatch.chdir(root)
    with (tmp_path / "empty").open("w+") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield root


def options(root: Path, **changes: Any) -> Options:
    nothing = dict.fromkeys(("input", "max_tokens", "max_files", "window", "config"))
    lists = dict.fromkeys(("keywords", "target", "pin", "ban"), ())
    flags = dict.fromkeys(("no_tests", "no_dependencies", "exact_tokens"), False)
    return Options(**{"root": root, "task_type": "edit", **nothing, **lists, **flags, **changes})


@pytest.mark.parametrize(
    ("words", "text", "file"),
    [
        (("fix it",), "fix it", None),
        (("explain it",), "explain it", None),
        (("explain", "src/x.py"), "", "src/x.py"),
        (("explain", "explain"), "", "explain"),
        (("explain", "src/x.py", "fix it"), "fix it", "src/x.py"),
    ],
)
def test_what_is_a_text_and_what_a_file(root: Path, words: tuple[str, ...], text: str, file: str | None) -> None:
    request, found = asked(words, options(root))
    assert (request.text, found) == (text, file)


@pytest.mark.parametrize("words", [(), ("explain",), ("fix", "it"), ("explain", "a", "b", "c"), ("",), (" ",)])
def test_words_that_are_no_question(root: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError):
        asked(words, options(root))


@pytest.mark.parametrize("given", [{"keywords": ("x",)}, {"target": ("src/x.py",)}, {"pin": ("src/**",)}])
def test_a_question_without_words(root: Path, given: dict[str, Any]) -> None:
    assert asked((), options(root, **given))[0].text == ""


def test_keywords_come_in_any_form(root: Path) -> None:
    request, _ = asked((), options(root, keywords=("a,b", "c d", " e, ", ",")))
    assert request.keywords == ("a", "b", "c", "d", "e")


def test_bytes_that_are_no_text_are_no_part_of_a_task(root: Path) -> None:
    request, _ = asked((os.fsdecode(b"caf\xe9"),), options(root, keywords=(os.fsdecode(b"\xff"),)))
    assert (request.text, request.keywords) == ("caf\ufffd", ("\ufffd",))


def test_a_text_in_a_file(root: Path) -> None:
    (root / "task.md").write_text("\ufeffFix it\n")
    assert asked((), options(root, input=Path("task.md")))[0].text == "Fix it\n"
    with pytest.raises(click.UsageError, match="choose one"):
        asked(("fix it",), options(root, input=Path("task.md")))


class TestFiles:
    def test_relative_to_the_root_first_then_to_here(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert in_root(root, "src/x.py") == "src/x.py"
        monkeypatch.chdir(root / "src")
        assert in_root(root, "x.py") == "src/x.py"
        assert in_root(root, "./x.py") == "src/x.py"
        (root / "x.py").touch()
        assert in_root(root, "x.py") == "x.py"

    def test_absolute_also_by_a_link_to_the_root(self, root: Path) -> None:
        (root.parent / "link").symlink_to(root)
        assert in_root(root, str(root / "src" / "x.py")) == "src/x.py"
        assert in_root(root, str(root.parent / "link" / "src" / "x.py")) == "src/x.py"

    def test_one_that_is_missing_is_left_to_the_broker(self, root: Path) -> None:
        assert in_root(root, "src/../src/y.py") == "src/y.py"

    def test_a_link_in_the_tree_is_itself(self, root: Path) -> None:
        (root / "away.py").symlink_to("/etc/passwd")
        assert in_root(root, "away.py") == "away.py"

    @pytest.mark.parametrize("path", ["../x.py", "/etc/passwd", "src/../../x"])
    def test_outside(self, root: Path, path: str) -> None:
        with pytest.raises(InvalidInput, match="is not in"):
            in_root(root, path)

    @pytest.mark.parametrize("path", ["a\0b/c", "\ud800/x.py"])
    def test_what_can_be_no_name(self, root: Path, path: str) -> None:
        with pytest.raises(InvalidInput, match="cannot be the name of a file"):
            in_root(root, path)

    def test_by_a_link_that_leads_outside(self, root: Path) -> None:
        (root / "etc").symlink_to("/etc")
        with pytest.raises(InvalidInput, match="is not in"):
            in_root(root, "etc/passwd")

    @pytest.mark.parametrize("path", ["src", "src/", "."])
    def test_a_folder(self, root: Path, path: str) -> None:
        with pytest.raises(InvalidInput, match="is a folder"):
            in_root(root, path)


class TestSettings:
    def test_options_count_before_the_repository(self, root: Path) -> None:
        (root / "branchline.yaml").write_text(
            "version: 1\ncontext: {max_tokens: 5, max_files: 6, pin: [a], ban: [b], include_tests: false}\n"
        )
        here = asked(("x",), options(root, max_tokens=7, pin=("c",), exact_tokens=True))[0].settings
        assert here == ContextSettings(
            max_tokens=7, max_files=6, pin=("a", "c"), ban=("b",), include_tests=False, exact_tokens=True
        )
        below = asked(("x",), options(root / "src", no_dependencies=True, window=9))[0].settings
        assert below == ContextSettings(
            max_tokens=5, max_files=6, pin=("a",), ban=("b",), include_tests=False, include_dependencies=False, window=9
        )

    def test_a_file_takes_the_place_of_the_repositorys(self, root: Path) -> None:
        (root / "branchline.yaml").write_text("version: 1\ncontext: {max_tokens: 5}\n")
        (root / "other.yaml").write_text("max_files: 3\n")
        request, _ = asked(("x",), options(root, config=root / "other.yaml"))
        assert request.settings == ContextSettings(max_files=3)

    def test_settings_without_the_word_are_not_read_further(self, root: Path) -> None:
        file = root / "branchline.yaml"
        file.write_text("version: 3\n")
        assert configured(root / "src") == ContextSettings()
        file.write_text("version: 3\ncontext: {}\n")
        with pytest.raises(InvalidInput, match="'version' must be 1"):
            configured(root / "src")
        file.unlink()
        file.symlink_to("nowhere")
        with pytest.raises(InvalidInput, match="No such file"):
            configured(root)

    @pytest.mark.parametrize("given", [{"pin": ("/a",)}, {"ban": ("a/../b",)}, {"ban": ("./a",)}, {"pin": ("",)}])
    def test_globs_that_match_nothing_are_refused(self, root: Path, given: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput, match="glob"):
            asked(("x",), options(root, **given))
