import pytest

from unit.context.code.resolve.tree import links, take

MAIN, TEST = "core/src/main/java/org/x/", "core/src/test/java/org/x/"
TREE = (
    f"{MAIN}App.java",
    f"{MAIN}io/Reader.java",
    f"{MAIN}io/Writer.kt",
    f"{TEST}AppTest.java",
    "other/org/x/App.java",
)


def found(module: str, *names: str, **defined: list[str]) -> list[str]:
    files = {**dict.fromkeys(TREE, ()), f"{TEST}AppTest.java": (take(module, *names),)}
    named = {MAIN + path.replace("__", "/") + ".kt": tops for path, tops in defined.items()}
    return links("java", files, defined=named).get(f"{TEST}AppTest.java", [])


@pytest.mark.parametrize(
    ("module", "names", "target"),
    [
        ("org.x.io.Reader", (), ["io/Reader.java"]),
        ("org.x.io", ("Reader", "Writer"), ["io/Reader.java", "io/Writer.kt"]),
        ("org.x.io.Reader.Inner", (), ["io/Reader.java"]),
        ("org.x.io.Reader.read", (), ["io/Reader.java"]),
        ("org.x.io.Reader.*", (), ["io/Reader.java"]),
        ("org.x.App", (), ["App.java"]),
        ("org.x.io", (), ["io/Reader.java", "io/Writer.kt"]),
        ("org.x.io._", (), ["io/Reader.java", "io/Writer.kt"]),
        ("org.x.io.*", (), ["io/Reader.java", "io/Writer.kt"]),
        ("java.util.List", (), []),
        ("java.util.*", (), []),
        ("x", (), []),
        ("*", (), []),
        ("", (), []),
    ],
)
def test_classes_members_and_packages(module: str, names: tuple[str, ...], target: list[str]) -> None:
    assert found(module, *names) == [MAIN + path for path in target]


def test_kotlin_names_need_no_file_of_their_own() -> None:
    assert found("org.x.io.open", io__Files=["open"], Other=["open"]) == [f"{MAIN}io/Files.kt"]
    assert found("org.x.io.open", io__Files=["open"], io__More=["open"]) == []


def test_a_large_package_is_cut() -> None:
    files = {"a/B.java": [take("p.q.*")], **{f"src/p/q/C{number}.java": [] for number in range(40)}}
    assert len(links("java", files)["a/B.java"]) == 12
