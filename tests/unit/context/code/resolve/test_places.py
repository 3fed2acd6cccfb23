import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.context.code.analysis import Definition, Import
from branchline.context.code.resolve import MOST, resolve, wanted_configs
from branchline.context.code.resolve.places import Places, joined, nearest
from unit.context.code.resolve.tree import Files, analysis, define, links, take

LANGUAGES = ["python", "typescript", "go", "rust", "java", "c", "cpp", "csharp", "ruby", "php", "vue", "yaml"]
SUFFIXES = (
    ".py",
    ".ts",
    ".go",
    ".rs",
    ".java",
    ".c",
    ".h",
    ".cs",
    ".rb",
    ".php",
    "/__init__.py",
    "/index.ts",
    "/mod.rs",
)
PARTS = st.text("ab._-*@~#\\/: \n\0\ud800", max_size=8) | st.sampled_from(
    ["a", "b", "src", "lib", "a.b", "self::a", ".."]
)
NAMES = st.lists(PARTS, max_size=3).map(tuple)
KINDS = st.sampled_from(["import", "from", "use", "mod", "quoted", "angled", "require", "require_relative", "using"])
IMPORTS = st.lists(st.builds(Import, PARTS, NAMES, KINDS), max_size=4)
PATHS = st.sets(
    st.tuples(st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join), st.sampled_from(SUFFIXES)).map(
        "".join
    ),
    max_size=8,
).map(sorted)
CONFIGS = ("tsconfig.json", "package.json")


@settings(deadline=None)
@given(PATHS, st.data())
def test_anything_resolves_to_other_files_sorted_and_each_once(paths: list[str], data: st.DataObject) -> None:
    analyses = [
        analysis(data.draw(st.sampled_from(LANGUAGES)), [Definition("a", "class", 1, 1, 1, "")], data.draw(IMPORTS))
        for _ in paths
    ]
    configs = {name: data.draw(st.binary(max_size=20) | st.just(b'{"name": "a"}')) for name in CONFIGS}
    found = resolve(paths, analyses, configs)
    assert len(found) == len(paths)
    for file, targets in enumerate(found):
        assert list(targets) == sorted(set(targets) - {file})
        assert set(targets) <= set(range(len(paths)))
    assert found == resolve(paths, analyses, configs)


def test_what_a_folder_defines_once_stands_for_the_name() -> None:
    places = Places(["a/__init__.py", "a/x.py", "b/__init__.py", "b/x.py", "b/y.py"], {})
    for file in (1, 2, 3, 4):
        places.add(file, [define("X"), define(f"Y{file}")])
    assert [places.definer(0, "X"), places.definer(2, "X"), places.definer(2, "Y4"), places.definer(0, "Y4")] == [
        1,
        2,
        4,
        0,
    ]


def test_a_file_imports_no_more_than_a_bound() -> None:
    files: Files = {f"p/m{number}.py": [] for number in range(500)}
    every = [take(f"p.m{number}") for number in range(500)]
    assert len(links("python", {**files, "all.py": every})["all.py"]) == MOST


def test_other_languages_and_files_without_an_outline_import_nothing() -> None:
    imports = (take("b"),)
    assert resolve(["a.py", "b.py"], [analysis("markdown", (), imports)], {}) == [(), ()]


def test_wanted_configurations() -> None:
    wanted = ["tsconfig.app.json", "x/jsconfig.json", "y/package.json"]
    others = ["my-package.json", "Cargo.lock", "tsconfig.json/x", "package-lock.json"]
    assert wanted_configs(wanted + others) == wanted


@pytest.mark.parametrize("module", ["a" * 1_000_000, ".".join("a" * 300_000), "../" * 300_000, "." * 500_000])
@pytest.mark.parametrize("language", ["python", "typescript", "rust", "java", "php"])
def test_absurd_modules_cost_little(language: str, module: str) -> None:
    began = time.process_time()
    assert links(language, {"x/a.py": [take(module, "b")] * 3000, "x/b.py": []}) == {}
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("folder", "relative", "path"),
    [("a/b", "./c", "a/b/c"), ("a/b", "../../c", "c"), ("a", "..", ""), ("", ".", ""), ("a", "../..", None)],
)
def test_joined(folder: str, relative: str, path: str | None) -> None:
    assert joined(folder, relative) == path
    assert joined(folder, "/c") is None


def test_the_nearest_file_then_the_shortest_path() -> None:
    assert nearest(["a/b/x", "a/x", "c/d/x"], "c/d/e/f") == "c/d/x"
    assert nearest(["a/b/x", "a/x"], "c/y") == "a/x"
