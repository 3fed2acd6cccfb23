from pathlib import Path

import pytest

from branchline.errors import BranchlineError
from branchline.forge.base import ChangeRequest
from branchline.forge.local import LocalForge

REQUEST = ChangeRequest(
    title="Add hello",
    body="Files:\n- `od\udcffd`\n",
    branch="integration/RUN",
    target="main",
    commit="c" * 40,
    labels=("branchline",),
)


def test_the_page_is_for_people(tmp_path: Path) -> None:
    assert LocalForge(tmp_path / "artifacts").open_request(REQUEST) == str(tmp_path / "artifacts" / "pull_request.md")
    page = (tmp_path / "artifacts" / "pull_request.md").read_text("utf-8")
    assert page == "# Add hello\n\nFiles:\n- `od\\udcffd`\n"


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    LocalForge(tmp_path).open_request(REQUEST)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pull_request.json", "pull_request.md"]


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BranchlineError, match=r"cannot write the request in .*file"):
        LocalForge(tmp_path / "file").open_request(REQUEST)
