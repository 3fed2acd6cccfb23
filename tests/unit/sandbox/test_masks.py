import os
import subprocess
import sys
from pathlib import Path

import pytest

from branchline.sandbox.masks import HOME_SECRETS, Hiding, above, hiding
from branchline.sandbox.mounts import own, seen


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def covered(path: Path, found: Hiding) -> bool:
    """Whether a path is below what is covered, and not below what is shown."""
    return seen(path, [*own("empty", *found.covers), *found.shows]) is None


def hidden(home: Path, *, path: str = os.defpath, show: tuple[Path, ...] = (), hide: tuple[Path, ...] = ()) -> Hiding:
    return hiding({"HOME": str(home), "PATH": path}, show=show, hide=hide)


@pytest.mark.parametrize("name", HOME_SECRETS)
def test_every_secret_of_a_home_that_is_there_is_hidden(home: Path, name: str) -> None:
    secret = home / name
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("secret\n")
    assert secret in hidden(home, show=(home,)).secrets


def test_a_home_is_hidden_but_for_tools(home: Path) -> None:
    for name in (".pyenv/bin", ".local/bin", ".local/share/keyrings", "work", ".config/gh"):
        (home / name).mkdir(parents=True)
    found = hidden(home)
    names = {
        name for name in (".pyenv", ".local/bin", ".local/share", "work", ".config/gh") if covered(home / name, found)
    }
    assert names == {".local/share", "work", ".config/gh"}


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
def test_what_belongs_to_a_folder_of_path_is_hidden(home: Path, entry: str, shown: str) -> None:
    (home / entry).mkdir(parents=True)
    assert above(home / entry / "program", home) == home / shown
    found = hidden(home, path=f"{home / entry}:relative:{os.defpath}")
    assert not covered(home / shown, found)
    assert covered(home / "anything", found)


def test_a_link_in_a_hidden_folder_is_there_and_leads_to_what_is_seen(home: Path, tmp_path: Path) -> None:
    (tmp_path / "real/bin").mkdir(parents=True)
    (home / "link").symlink_to(tmp_path / "real")
    found = hidden(home, path=str(home / "link/bin"))
    assert (tmp_path / "real", home / "link") in found.links
    assert not covered(tmp_path / "real/bin", found)


def test_a_link_in_a_folder_that_is_seen_is_not_made_again(home: Path) -> None:
    (home / ".pyenv/v1/bin").mkdir(parents=True)
    (home / ".pyenv/current").symlink_to("v1")
    assert hidden(home, path=str(home / ".pyenv/current/bin")).links == ()


def test_what_the_user_shows_is_no_secret_to_him(home: Path) -> None:
    (home / ".npmrc").write_text("x\n")
    assert home / ".npmrc" not in hidden(home, show=(home / ".npmrc",)).secrets


def test_what_the_user_hides_stays_hidden_even_if_it_is_shown(home: Path) -> None:
    (home / "both").mkdir()
    found = hidden(home, show=(home / "both",), hide=(home / "both", home / "missing"))
    assert home / "both" in found.secrets
    assert home / "both" in found.covers


def test_our_own_interpreter_and_code_are_hidden(home: Path) -> None:
    found = hidden(home, hide=(Path(sys.base_prefix), Path(__file__).parents[3]))
    assert not covered(Path(sys.base_prefix), found)
    assert not covered(Path(__file__).parents[3] / "src/branchline/process", found)


def test_no_home_is_the_whole_disk() -> None:
    assert Path("/") not in hidden(Path("/")).covers


def test_what_is_shown_in_a_home_is_seen_though_a_folder_above_the_home_is_shown(home: Path, tmp_path: Path) -> None:
    (home / ".ssh").mkdir()
    found = hidden(home, path=str(tmp_path), show=(home / ".ssh",))
    assert covered(home / ".cache", found)
    assert not covered(home / ".ssh", found)


def test_a_user_whom_the_system_does_not_know_has_the_home_that_is_named() -> None:
    code = "import os; from branchline.sandbox.masks import hiding; os.setuid(12345); print(hiding({}, show=(), hide=()).home)"
    if os.getuid() != 0:
        pytest.skip("only root can be another user")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "/\n", done.stderr
