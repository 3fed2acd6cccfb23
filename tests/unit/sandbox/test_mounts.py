from pathlib import Path

import pytest

from branchline.sandbox.mounts import Mount, mountpoints, occupied, ordered, own, seen

CHECKOUT, WORKSPACE = Path("/home/u/proj"), Path("/home/u/state/r/w/a")
MOUNTS = [
    *own("empty", Path("/home")),
    Mount(WORKSPACE, CHECKOUT, "write"),
    *own("read", CHECKOUT / ".venv"),
    *own("closed", CHECKOUT / "keys"),
]


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("/etc/passwd", "/etc/passwd"),
        ("/home/u/.ssh", None),
        ("/home/u/proj", WORKSPACE),
        ("/home/u/proj/a/b", WORKSPACE / "a/b"),
        ("/home/u/proj/.venv/bin", "/home/u/proj/.venv/bin"),
        ("/home/u/proj/keys/id", None),
        ("/home/u/project", None),
    ],
)
def test_what_is_seen_is_of_the_innermost_mount(place: str, source: Path | str | None) -> None:
    assert seen(Path(place), reversed(MOUNTS)) == (None if source is None else Path(source))


def test_of_two_at_one_place_the_later_is_seen() -> None:
    one, two = Mount(Path("/one"), CHECKOUT, "read"), Mount(Path("/two"), CHECKOUT, "read")
    assert seen(CHECKOUT, [one, two]) == Path("/two")
    assert ordered([one, *own("empty", Path("/home")), two]) == [*own("empty", Path("/home")), one, two]


def test_a_place_is_occupied_by_all_but_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("missing")
    mounts = [Mount(tmp_path, CHECKOUT, "write")]
    names = ("full", "full/file", "full/file/below", "empty", "link", "link/below", "missing", "missing/below")
    assert [name for name in names if occupied(CHECKOUT / name, mounts)] == [*names[:3], "link", "link/below"]
    assert not occupied(Path("/elsewhere"), mounts)


def test_what_is_made_to_mount_on_is_nothing_that_git_sees(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = [Mount(tmp_path / "w", CHECKOUT, "write")]
    given[0].source.mkdir()
    more = [
        Mount(tmp_path, CHECKOUT / "a/b", "read"),
        Mount(tmp_path / "file", CHECKOUT / "c/file", "read"),
        Mount(tmp_path / "file", CHECKOUT / "used", "read"),
    ]
    with mountpoints([*given, *more], given):
        assert (tmp_path / "w/a/b").is_dir()
        assert (tmp_path / "w/c/file").is_file()
        (tmp_path / "w/used").write_text("x")
    assert [str(path.relative_to(tmp_path / "w")) for path in sorted((tmp_path / "w").rglob("*"))] == [
        *("a", "a/b", "c", "used"),
    ]
