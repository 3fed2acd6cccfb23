import os
import sys
from pathlib import Path

import pytest

from branchline.sandbox.masks import HOME_SECRETS, Hiding, above, hiding


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def seen(home: Path, *, path: str = os.defpath, show: tuple[Path, ...] = (), hide: tuple[Path, ...] = ()) -> Hiding:
    return hiding({"HOME": str(home), "PATH": path}, show=show, hide=hide)


@pytest.mark.parametrize("name", HOME_SECRETS)
def test_every_secret_of_a_home_that_is_there_is_hidden(home: Path, name: str) -> None:
    secret = home / name
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("secret\n")
    assert secret in seen(home, show=(home,)).secrets


def test_a_home_is_hidden_but_for_tools(home: Path) -> None:
    for name in (".pyenv/bin", ".local/bin", ".local/share/keyrings", "work", ".config/gh"):
        (home / name).mkdir(parents=True)
    found = seen(home)
    covered = {
        name for name in (".pyenv", ".local/bin", ".local/share", "work", ".config/gh") if found.covered(home / name)
    }
    assert covered == {".local/share", "work", ".config/gh"}


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ("tool/v1/bin", "tool/v1"),
        ("tool/shims", "tool"),
        ("project/node_modules/.bin", "project/node_modules"),
        ("bin", "bin"),
        (".local/bin", ".local/bin"),
        (".claude/local", ".claude/local"),
    ],
)
def test_what_belongs_to_a_folder_of_path_is_seen(home: Path, entry: str, shown: str) -> None:
    (home / entry).mkdir(parents=True)
    assert above(home / entry / "program", home) == home / shown
    found = seen(home, path=f"{home / entry}:relative:{os.defpath}")
    assert not found.covered(home / shown)
    assert found.covered(home / "anything")


def test_a_link_is_seen_where_it_stands(home: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (home / "link").symlink_to(tmp_path / "real")
    places = {place for _, place in seen(home, show=(home / "link",)).shows}
    assert {home / "link", tmp_path / "real"} <= places


def test_what_the_user_shows_is_no_secret_to_him(home: Path) -> None:
    (home / ".npmrc").write_text("x\n")
    assert home / ".npmrc" not in seen(home, show=(home / ".npmrc",)).secrets


def test_what_the_user_hides_stays_hidden_even_if_it_is_shown(home: Path) -> None:
    (home / "both").mkdir()
    found = seen(home, show=(home / "both",), hide=(home / "both", home / "missing"))
    assert home / "both" in found.secrets
    assert home / "both" in found.covers


def test_our_own_interpreter_and_code_are_seen(home: Path) -> None:
    found = seen(home, hide=(Path(sys.base_prefix), Path(__file__).parents[3]))
    assert not found.covered(Path(sys.base_prefix))
    assert not found.covered(Path(__file__).parents[3] / "src/branchline/process")


def test_no_home_is_the_whole_disk() -> None:
    assert Path("/") not in seen(Path("/")).covers
