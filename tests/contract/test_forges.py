"""What every forge must do. A new one is added to `OPENED`: how to make it, and how to read back what is open there."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from branchline.forge.base import ChangeRequest, Forge
from branchline.forge.local import LocalForge

REQUEST = ChangeRequest(
    title="Say “hello” <b>",
    body="## Gates\n\n| tests | passed |\n",
    branch="integration/RUN",
    target="main",
    commit="c" * 40,
    labels=("branchline", "agents"),
    reviewers=("ada",),
)


def read_local(folder: Path) -> list[ChangeRequest]:
    return [msgspec.convert(json.loads(path.read_bytes()), ChangeRequest) for path in folder.glob("*.json")]


OPENED: dict[str, tuple[Callable[[Path], Forge], Callable[[Path], list[ChangeRequest]]]] = {
    "local": (LocalForge, read_local),
}


@pytest.fixture(params=OPENED)
def forge(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Forge, Callable[[], list[ChangeRequest]]]:
    make, read = OPENED[request.param]
    made = make(tmp_path)
    assert made.name == request.param
    return made, lambda: read(tmp_path)


Opened = tuple[Forge, Callable[[], list[ChangeRequest]]]


def test_a_request_arrives_whole(forge: Opened) -> None:
    made, opened = forge
    assert made.open_request(REQUEST)
    assert opened() == [REQUEST]


def test_asking_again_leaves_one_request(forge: Opened) -> None:
    made, opened = forge
    assert made.open_request(REQUEST) == made.open_request(REQUEST)
    assert opened() == [REQUEST]


def test_asking_again_brings_it_up_to_date(forge: Opened) -> None:
    made, opened = forge
    made.open_request(REQUEST)
    later = msgspec.structs.replace(REQUEST, commit="d" * 40, body="again")
    made.open_request(later)
    assert opened() == [later]
