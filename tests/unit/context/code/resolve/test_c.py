import pytest

from unit.context.code.resolve.tree import links, take

TREE = ("src/a.h", "src/net/b.h", "include/lib/lib.h", "one/twice.h", "two/twice.h", "src/string.h", "cfg/made.h.in")


@pytest.mark.parametrize(
    ("origin", "name", "kind", "target"),
    [
        ("src/a.c", "a.h", "quoted", "src/a.h"),
        ("src/net/b.c", "../a.h", "quoted", "src/a.h"),
        ("src/a.c", "net/b.h", "quoted", "src/net/b.h"),
        ("src/a.c", "lib/lib.h", "angled", "include/lib/lib.h"),
        ("src/a.c", "b.h", "quoted", "src/net/b.h"),
        ("two/x.c", "../one/../twice.h", "quoted", "two/twice.h"),
        ("two/deep/x.c", "twice.h", "quoted", "two/twice.h"),
        ("src/a.c", "twice.h", "angled", None),
        ("src/a.c", "string.h", "angled", None),
        ("src/a.c", "string.h", "quoted", "src/string.h"),
        ("src/a.c", "made.h", "angled", "cfg/made.h.in"),
        ("src/a.c", "vector", "angled", None),
        ("src/a.c", "../../../x.h", "quoted", None),
        ("src/a.c", "", "quoted", None),
        ("src/a.c", "/usr/include/x.h", "quoted", None),
    ],
)
def test_includes(origin: str, name: str, kind: str, target: str | None) -> None:
    files = {**dict.fromkeys(TREE, ()), origin: (take(name, kind=kind),)}
    assert links("c", files).get(origin, []) == ([target] if target else [])


def test_a_header_is_tied_to_its_source() -> None:
    files: dict[str, tuple[()]] = dict.fromkeys(
        ("src/a.h", "src/a.c", "lib/a.c", "include/b.hpp", "src/b.cc", "include/c.h", "one/c.c", "two/c.c"), ()
    )
    assert links("cpp", files) == {"src/a.h": ["src/a.c"], "include/b.hpp": ["src/b.cc"]}
