"""The broker on real trees: repositories, folders, odd files; the same answer each time."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from branchline.context.broker import Broker, of_folder, of_tree
from branchline.context.manifest import to_bytes
from branchline.core.model.manifest import ContextRequest, ContextSettings
from branchline.errors import InvalidInput
from branchline.git.repo import Repo
from support import Project

FILES = {
    "README.md": "# Orders\n\nHow orders are totalled.\n",
    "app/orders.py": "from app.money import rounded\n\n\ndef order_total(lines):\n    return rounded(sum(lines))\n",
    "app/money.py": "def rounded(value):\n    return round(value, 2)\n",
    "tests/test_orders.py": "from app.orders import order_total\n\n\ndef test_total():\n    assert order_total([1]) == 1\n",
    ".env": "PASSWORD=hunter2 order_total\n",
}
REQUEST = ContextRequest(text="order_total rounds wrongly")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "project", FILES)


def asked(project: Project, tmp_path: Path) -> Broker:
    return of_folder(project.root, cache=tmp_path / "cache")


def paths(broker: Broker, request: ContextRequest = REQUEST) -> list[str]:
    manifest = broker.manifest(request)
    return [file.path for file in (*manifest.files, *manifest.tests)]


def test_a_work_tree_and_its_commit_give_the_same_files(project: Project, tmp_path: Path) -> None:
    repo = Repo.open(project.root)
    commit = repo.head_commit()
    committed = of_tree(repo, commit, cache=tmp_path / "cache").manifest(REQUEST)
    on_disk = asked(project, tmp_path).manifest(REQUEST)
    assert to_bytes(committed) == to_bytes(on_disk)
    assert [file.path for file in committed.files][:2] == ["app/orders.py", "app/money.py"]
    assert [file.path for file in committed.tests] == ["tests/test_orders.py"]


def test_every_repeat_has_the_same_bytes(project: Project, tmp_path: Path) -> None:
    first = to_bytes(asked(project, tmp_path).manifest(REQUEST))
    assert to_bytes(asked(project, tmp_path).manifest(REQUEST)) == first
    assert to_bytes(of_folder(project.root, cache=tmp_path / "another").manifest(REQUEST)) == first


def test_what_is_not_committed_counts_too(project: Project, tmp_path: Path) -> None:
    asked(project, tmp_path).manifest(REQUEST)
    project.write({"app/orders.py": "x = 1\n", "app/totals.py": "def order_total():\n    return 0\n"})
    assert paths(asked(project, tmp_path))[0] == "app/totals.py"


def test_only_what_changed_is_analysed_again(project: Project, tmp_path: Path) -> None:
    first, second = asked(project, tmp_path), asked(project, tmp_path)
    first.manifest(REQUEST)
    project.commit("change", {"app/money.py": "def rounded(value):\n    return value\n"})
    second = asked(project, tmp_path)
    second.manifest(REQUEST)
    assert (first.analysed, second.analysed) == (4, 1)


def test_secrets_are_neither_shown_nor_indexed(project: Project, tmp_path: Path) -> None:
    request = ContextRequest(text="order_total hunter2", targets=(".env",))
    manifest = asked(project, tmp_path).manifest(request)
    assert (manifest.excluded[0].path, manifest.excluded[0].reason) == (".env", "secret")
    assert b"hunter2" not in b"".join(path.read_bytes() for path in (tmp_path / "cache").iterdir())


def test_a_target_that_is_not_there_is_refused_with_its_nearest(project: Project, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"app/ordrs\.py") as caught:
        asked(project, tmp_path).manifest(ContextRequest(targets=("app/ordrs.py",)))
    assert "app/orders.py" in str(caught.value.hint)


def test_targets_are_in_whatever_the_budget(project: Project, tmp_path: Path) -> None:
    request = ContextRequest(targets=("app/money.py",), settings=ContextSettings(max_tokens=1))
    manifest = asked(project, tmp_path).manifest(request)
    assert [file.path for file in manifest.files] == ["app/money.py"]
    assert "targets alone need" in manifest.warnings[0]


def test_a_pin_that_pins_nothing_is_told(project: Project, tmp_path: Path) -> None:
    request = ContextRequest(text="order_total", settings=ContextSettings(pin=("app/*.py", "[a")))
    manifest = asked(project, tmp_path).manifest(request)
    assert manifest.warnings == ("no file matches the pin [a",)
    assert [file.path for file in manifest.files if file.included_as == "pin"] == ["app/orders.py", "app/money.py"]


def test_why_a_file_is_in_or_out(project: Project, tmp_path: Path) -> None:
    broker = asked(project, tmp_path)
    inside = broker.explain(REQUEST, "app/orders.py")
    assert (inside.included, inside.rank, inside.reason) == (True, 1, "ranked")
    assert inside.matches["symbol"] == ("order_total",)
    assert broker.explain(REQUEST, ".env").reason == "secret"
    one = ContextRequest(text=REQUEST.text, settings=ContextSettings(include_tests=False, max_files=1))
    assert broker.explain(one, "tests/test_orders.py").reason == "tests"
    assert broker.explain(one, "app/money.py").reason == "max_files"
    assert broker.explain(ContextRequest(text="zebra"), "app/money.py").reason == "no_match"


@pytest.mark.parametrize("name", ["odd\nname.py", "caf\udce9.py", " .py", "'\"$.py"])
def test_names_of_any_bytes(project: Project, tmp_path: Path, name: str) -> None:
    Path(os.fsdecode(os.fsencode(project.root / name))).write_bytes(b"def order_total_again(): pass\n")
    assert name in paths(asked(project, tmp_path), ContextRequest(text="order_total_again"))


def test_odd_files_are_left_out_with_a_reason(project: Project, tmp_path: Path) -> None:
    (project.root / "link.py").symlink_to("app/orders.py")
    (project.root / "loop").symlink_to(".")
    (project.root / "gone.py").symlink_to("nowhere")
    (project.root / "data.bin").write_bytes(b"order_total\0" * 100)
    (project.root / "broken.py").write_bytes(b"def order_total(:\n  \xff\xfe class ((\n")
    (project.root / "min.js").write_text("var order_total=1;" * 5000)
    (project.root / "huge.py").write_text("order_total = 1\n" * 120_000)
    manifest = asked(project, tmp_path).manifest(REQUEST)
    out = {one.path: one.reason for one in manifest.excluded}
    assert {"link.py": "link", "loop": "link", "gone.py": "link", "data.bin": "binary"}.items() <= out.items()
    flags = {file.path: file.flag for file in manifest.files}
    assert flags["min.js"] == "minified"
    assert flags["huge.py"] == "too_large"
    assert flags["broken.py"] == ""
    assert sum(file.tokens for file in manifest.files) < 80_000


def test_a_repository_without_a_commit_and_a_folder_without_a_repository(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    Project(empty).git("init", "--quiet")
    for root in (empty, tmp_path / "folder"):
        root.mkdir(exist_ok=True)
        assert paths(of_folder(root, cache=tmp_path / "cache")) == []
        (root / "orders.py").write_text(FILES["app/orders.py"])
        broker = of_folder(root, cache=tmp_path / "cache")
        assert paths(broker) == ["orders.py"]
        assert broker.manifest(REQUEST).generated_at == ""


def test_a_folder_in_a_repository_has_its_own_paths_and_its_history(project: Project, tmp_path: Path) -> None:
    project.commit("again", {"app/money.py": "def rounded(value):\n    return value\n"})
    broker = of_folder(project.root / "app", cache=tmp_path / "cache")
    assert paths(broker) == ["orders.py", "money.py"]
    assert sum(broker.corpus.history.churn) > 0


def test_damage_under_a_question_is_mended(project: Project, tmp_path: Path) -> None:
    broker = asked(project, tmp_path)
    first = to_bytes(broker.manifest(REQUEST))
    (index,) = (tmp_path / "cache").glob("*.sqlite")
    for statement in ("UPDATE posting SET data = x'78'", "UPDATE analysis SET chunks = x'78'", "DROP TABLE segment"):
        with closing(sqlite3.connect(index)) as database, database:
            database.execute(statement)
        assert to_bytes(asked(project, tmp_path).manifest(REQUEST)) == first
        assert to_bytes(broker.manifest(REQUEST)) == first
    assert broker.warnings == ()


def test_an_index_that_another_process_emptied_is_filled_again(project: Project, tmp_path: Path) -> None:
    broker = asked(project, tmp_path)
    first = to_bytes(broker.manifest(REQUEST))
    (path,) = (tmp_path / "cache").glob("*.sqlite")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE counter SET emptied = emptied + 1")
        for table in ("blob", "analysis", "segment", "posting", "kept"):
            database.execute(f"DELETE FROM {table}")
    assert to_bytes(broker.manifest(REQUEST)) == first
    assert broker.analysed == 4


def test_a_read_only_cache_is_done_without(project: Project, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    broker = asked(project, tmp_path)
    assert paths(broker)[0] == "app/orders.py"
    assert broker.warnings
