import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from branchline.core.model.agent import AgentResult, AgentStatus, Progress, Usage
from branchline.process import redaction as module
from branchline.process.redaction import Secrets

KEY = "sk-0123456789abcdef"
SECRETS = Secrets({"MY_API_KEY": KEY, "HOME": "/home/somebody", "SHORT_KEY": "abc"})


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("ANTHROPIC_API_KEY", True),
        ("MY_TOKEN", True),
        ("DB_PASSWORD", True),
        ("token_of_mine", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("KEYBOARD", False),
        ("HOME", False),
    ],
)
def test_a_name_says_whether_a_value_is_secret(name: str, secret: bool) -> None:
    assert Secrets({name: KEY}).text(f"<{KEY}>") == ("<[secret]>" if secret else f"<{KEY}>")


def test_some_values_are_secret_whatever_their_name_and_short_ones_never() -> None:
    assert Secrets({"LOGIN": KEY}, [KEY]).text(KEY) == "[secret]"
    assert SECRETS.text("abc") == "abc"


def test_a_struct_is_cleaned_to_its_depths_and_keeps_its_form() -> None:
    answer: dict[str, Any] = {"a": [f"x{KEY}", 1, None, {KEY: True}]}
    result = AgentResult(
        status=AgentStatus.OK, notes=f"the key is {KEY}", structured=answer, denials=(KEY,), usage=Usage(input_tokens=1)
    )
    cleaned = SECRETS.clean(result)
    assert cleaned.notes == "the key is [secret]"
    assert cleaned.structured == {"a": ["x[secret]", 1, None, {"[secret]": True}]}
    assert cleaned.denials == ("[secret]",)
    assert cleaned.usage == result.usage
    assert SECRETS.clean(Progress(doing=f"Bash {KEY}")).doing == "Bash [secret]"


def test_a_value_that_looks_like_the_form_does_not_break_it() -> None:
    result = AgentResult(status=AgentStatus.MODEL_ERROR, structured={"n": 12345678}, notes="12345678")
    cleaned = Secrets({"KEY": "12345678", "TOKEN": "structured", "SECRET": "model_error"}).clean(result)
    assert cleaned.status is AgentStatus.MODEL_ERROR
    assert (cleaned.structured, cleaned.notes) == ({"n": 12345678}, "[secret]")
    assert msgspec.json.decode(msgspec.json.encode(cleaned), type=AgentResult) == cleaned


@pytest.mark.parametrize("place", [0, 1, module.CHUNK - len(KEY), module.CHUNK - 5, module.CHUNK, 2 * module.CHUNK - 3])
def test_a_file_is_cleaned_in_place_wherever_the_value_stands(place: int, tmp_path: Path) -> None:
    file, filler = tmp_path / "log", b"x" * (3 * module.CHUNK)
    file.write_bytes(filler[:place] + KEY.encode() + filler[place:])
    number = file.stat().st_ino
    SECRETS.clean_file(file)
    assert file.read_bytes() == filler[:place] + b"*" * len(KEY) + filler[place:]
    assert file.stat().st_ino == number


def test_a_value_is_found_also_where_json_escapes_it(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(rb'{"text": "BEGIN\nsecret \"quoted\"\nEND"}')
    Secrets({"PRIVATE_KEY": 'BEGIN\nsecret "quoted"\nEND'}).clean_file(file)
    assert b"secret" not in file.read_bytes()


def test_a_folder_is_cleaned_but_nothing_that_a_link_leads_to(tmp_path: Path) -> None:
    mine, home = tmp_path / "mine", tmp_path / "home"
    for folder in (mine, home / ".config" / "deep"):
        folder.mkdir(parents=True)
    (mine / "login").write_text(KEY)
    (home / "link").symlink_to(mine / "login")
    (home / "folder").symlink_to(mine)
    os.link(mine / "login", home / "hard")
    os.mkfifo(home / "pipe")
    (home / ".config" / "deep" / "auth.json").write_text(f'{{"key": "{KEY}"}}')
    closed = home / "closed"
    closed.write_text(KEY)
    closed.chmod(0o400)
    SECRETS.clean_folder(home)
    assert (mine / "login").read_text() == KEY, "what is the user's is not ours to change"
    hidden = "*" * len(KEY)
    assert (home / "hard").read_text() == hidden
    assert (home / ".config" / "deep" / "auth.json").read_text() == f'{{"key": "{hidden}"}}'
    assert closed.read_text() == hidden
    assert sorted(path.name for path in home.iterdir()) == [".config", "closed", "folder", "hard", "link", "pipe"]


def test_a_folder_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "login").write_text(KEY)
    (tmp_path / "home").symlink_to("mine")
    SECRETS.clean_folder(tmp_path / "home")
    assert (tmp_path / "mine" / "login").read_text() == KEY


def test_a_file_without_them_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "innocent"
    file.write_text("nothing")
    file.chmod(0o400)
    os.utime(file, ns=(1, 1))
    SECRETS.clean_folder(tmp_path)
    assert file.stat().st_mtime_ns == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
