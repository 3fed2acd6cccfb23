import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from branchline.sandbox.masks import Hiding, belongings, hiding, searched
from branchline.sandbox.mounts import seen
from branchline.sandbox.places import HOME_SECRETS


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def covered(path: Path, found: Hiding) -> bool:
    """Whether a path is below what is covered, and not below what is shown."""
    return seen(path, [*found.base, *found.shows]) is None


def hidden(home: Path, *, path: str = os.defpath, show: tuple[Path, ...] = (), hide: tuple[Path, ...] = ()) -> Hiding:
    return hiding({"HOME": str(home), "PATH": path}, show=show, hide=hide)


@pytest.mark.parametrize("name", HOME_SECRETS)
def test_every_secret_of_a_home_that_is_there_is_hidden(home: Path, name: str) -> None:
    secret = home / name.replace("*", "x")
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
    ("entry", "beside", "shown"),
    [
        ("tool/v1/bin", "lib", ["bin", "lib"]),
        ("tool/v1/bin", "pyvenv.cfg", ["bin", "pyvenv.cfg", "words"]),
        (".pyenv/shims", "lib", ["lib", "shims", "words"]),
        ("project/node_modules/.bin", "x", [".bin", "words", "x"]),
        ("project/bin", ".env", ["bin"]),
        ("project/bin", ".git", ["bin"]),
        ("bin", "lib", ["bin"]),
        (".local/bin", "etc", ["bin"]),
        (".azure/bin", "lib", ["bin"]),
        (".azure/deep/bin", "lib", ["bin"]),
        (".claude/local", "lib", ["local"]),
        ("scripts", "lib", ["scripts"]),
    ],
)
def test_of_what_is_beside_programs_only_a_tools_own_is_seen(
    home: Path, entry: str, beside: str, shown: list[str]
) -> None:
    folder = home / entry
    folder.mkdir(parents=True)
    (folder.parent / "words").touch()
    (folder.parent / beside).mkdir()
    found = hidden(home, path=f"{folder}:relative:{os.defpath}")
    assert sorted(one.name for one in folder.parent.iterdir() if not covered(one, found)) == shown
    assert covered(home / "anything", found)


def test_of_an_environment_that_is_a_project_too_its_parts_are_seen(home: Path) -> None:
    for name in ("bin", "lib", "docs"):
        (home / "project" / name).mkdir(parents=True)
    for name in (".env", "pyvenv.cfg", "notes"):
        (home / "project" / name).touch()
    environ = {"HOME": str(home), "PATH": os.defpath, "VIRTUAL_ENV": str(home / "project")}
    for found in (hidden(home, path=str(home / "project/bin")), hiding(environ, show=(), hide=())):
        seen_there = sorted(one.name for one in (home / "project").iterdir() if not covered(one, found))
        assert seen_there == ["bin", "lib", "pyvenv.cfg"]


@pytest.mark.parametrize("entry", ["", "project", ".azure"], ids=["home", "project", "secrets"])
def test_a_folder_of_path_that_is_no_tools_shows_its_programs_alone(home: Path, entry: str) -> None:
    folder = home / entry
    folder.mkdir(exist_ok=True)
    for name in (".env", "run", "data"):
        (folder / name).touch(0o755 if name == "run" else 0o644)
    assert [*belongings(folder, home)] == ([folder / "run"] if entry != ".azure" else [])


def test_a_link_in_a_hidden_folder_is_there_and_leads_to_what_is_seen(home: Path, tmp_path: Path) -> None:
    (tmp_path / "real/bin").mkdir(parents=True)
    (home / "link").symlink_to(tmp_path / "real")
    found = hidden(home, path=str(home / "link/bin"))
    assert (tmp_path / "real", home / "link") in found.links
    assert not covered(tmp_path / "real/bin", found)


def test_a_link_in_a_folder_that_is_seen_is_not_made_again(home: Path) -> None:
    (home / ".pyenv/v1/bin").mkdir(parents=True)
    (home / ".pyenv/current").symlink_to("v1")
    found = hidden(home, path=str(home / ".pyenv/current/bin")).links
    assert [link for _, link in found if link.is_relative_to(home)] == []


def test_what_the_user_shows_is_no_secret_to_him(home: Path) -> None:
    (home / ".npmrc").write_text("x\n")
    assert home / ".npmrc" not in hidden(home, show=(home / ".npmrc",)).secrets


def test_what_the_user_hides_stays_hidden_even_if_it_is_shown(home: Path) -> None:
    (home / "both").mkdir()
    found = hidden(home, show=(home / "both",), hide=(home / "both", home / "missing"))
    assert home / "both" in found.secrets
    assert home / "both" in found.hides


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


@pytest.mark.parametrize(
    "text",
    [
        "[http]\n\textraHeader = Authorization: Basic eDp5",
        '[url "https://x:word@example.org/"]\n\tinsteadOf = https://example.org/',
        "[http]\n\tproxy = http://me:word@proxy:3128",
        '[url "https://oauth2-abc@example.org/"]\n\tinsteadOf = x',
        "[github]\n\ttoken = abc",
        '[registries.mine]\ntoken = "abc"',
        "[sendemail]\n\tsmtpPass = abc",
        "[x]\n\tAPI-Key=abc",
        "x" * 300_000,
    ],
)
def test_settings_with_a_login_are_hidden(home: Path, text: str) -> None:
    (home / ".gitconfig").write_text(f"[user]\n\tname = x\n{text}\n")
    assert home / ".gitconfig" in hidden(home).secrets


def test_settings_without_a_login_are_seen(home: Path) -> None:
    text = """[user]\n\tname = A Token\n\temail = me@example.org\n[credential]\n\thelper = store\n[alias]\n\tst = status
[url "git@example.org:"]\n\tinsteadOf = https://example.org/\n[url "ssh://git@example.org/"]\n\tinsteadOf = x:
[filter "secret"]\n\tclean = tool --token\n# token = none\n"""
    (home / ".gitconfig").write_text(text)
    found = hidden(home)
    assert home / ".gitconfig" not in found.secrets
    assert not covered(home / ".gitconfig", found)


def test_what_others_may_not_read_is_found_and_so_are_sockets(tmp_path: Path) -> None:
    for name, mode in (("open", 0o644), ("key", 0o600), ("group", 0o640), ("deep/er/key", 0o600), ("shut/file", 0o644)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    (tmp_path / "shut").chmod(0o700)
    (tmp_path / "link").symlink_to("key")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "deep/s"))
        private, sockets = searched([tmp_path, tmp_path / "none"])
    assert sorted(private) == [tmp_path / name for name in ("deep/er/key", "group", "key", "shut")]
    assert sockets == [tmp_path / "deep/s"]
