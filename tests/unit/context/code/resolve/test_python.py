from branchline.context.code.analysis import Import
from unit.context.code.resolve.tree import Files, links, take


def imported(files: dict[str, list[Import]], origin: str, one: Import, **defined: list[str]) -> list[str]:
    tree: Files = {**files, origin: [*files.get(origin, []), one]}
    paths = {path.replace("__in__", "/").replace("__py", ".py"): names for path, names in defined.items()}
    return links("python", tree, defined=paths).get(origin, [])


PACKAGE: dict[str, list[Import]] = {
    "src/app/__init__.py": [],
    "src/app/core.py": [],
    "src/app/db/__init__.py": [],
    "src/app/db/models.py": [],
    "src/app/db/query.py": [],
    "tests/conftest.py": [],
}


def test_absolute_modules_are_found_below_a_source_root() -> None:
    assert imported(PACKAGE, "tests/test_core.py", take("app.core")) == ["src/app/core.py"]
    assert imported(PACKAGE, "src/app/core.py", take("app.db.models", "User")) == ["src/app/db/models.py"]


def test_a_submodule_may_be_a_name() -> None:
    assert imported(PACKAGE, "tests/test_core.py", take("app.db", "models", "query")) == [
        "src/app/db/models.py",
        "src/app/db/query.py",
    ]


def test_relative_modules_count_dots() -> None:
    assert imported(PACKAGE, "src/app/db/query.py", take(".models", "User")) == ["src/app/db/models.py"]
    assert imported(PACKAGE, "src/app/db/query.py", take("..core", "run")) == ["src/app/core.py"]
    assert imported(PACKAGE, "src/app/db/query.py", take(".", "models")) == ["src/app/db/models.py"]
    assert imported(PACKAGE, "src/app/db/query.py", take("..", "core")) == ["src/app/core.py"]
    assert imported(PACKAGE, "src/app/db/__init__.py", take(".query")) == ["src/app/db/query.py"]
    assert imported(PACKAGE, "src/app/db/query.py", take("......x", "y")) == []


def test_a_missing_module_is_the_package_that_it_would_be_in() -> None:
    assert imported(PACKAGE, "tests/test_core.py", take("app.db._speedups")) == ["src/app/db/__init__.py"]
    assert imported(PACKAGE, "src/app/core.py", take(".db._speedups")) == ["src/app/db/__init__.py"]


def test_a_name_of_a_package_is_where_it_is_defined() -> None:
    files = {**PACKAGE, "src/app/db/__init__.py": [take(".models", "*")]}
    defined = {"src__in__app__in__db__in__models__py": ["User"]}
    assert imported(files, "src/app/core.py", take("app.db", "User"), **defined) == ["src/app/db/models.py"]


def test_a_name_that_the_package_defines_itself_is_the_package() -> None:
    defined = {
        "src__in__app__in__db__in____init____py": ["connect"],
        "src__in__app__in__db__in__query__py": ["connect"],
    }
    assert imported(PACKAGE, "src/app/core.py", take("app.db", "connect"), **defined) == ["src/app/db/__init__.py"]


def test_of_two_definitions_the_package_stands_for_both() -> None:
    defined = {f"src__in__app__in__db__in__{name}__py": ["Node"] for name in ("models", "query")}
    assert imported(PACKAGE, "src/app/core.py", take("app.db", "Node"), **defined) == ["src/app/db/__init__.py"]


def test_what_is_inside_a_package_is_no_top_level_module() -> None:
    files = {**PACKAGE, "src/app/logging.py": [], "src/app/json/__init__.py": []}
    assert imported(files, "src/app/core.py", take("logging")) == []
    assert imported(files, "src/app/core.py", take("json", "loads")) == []


def test_a_lone_module_counts_beside_the_script_that_imports_it() -> None:
    files: dict[str, list[Import]] = {"scripts/shared.py": [], "scripts/run.py": [], "tools/other.py": []}
    assert imported(files, "scripts/run.py", take("shared")) == ["scripts/shared.py"]
    assert imported(files, "tools/other.py", take("shared")) == []


def test_the_nearest_of_several_roots_is_taken() -> None:
    files: dict[str, list[Import]] = {f"{app}/lib/{name}.py": [] for app in ("one", "two") for name in ("util", "main")}
    assert imported(files, "two/lib/main.py", take("util")) == ["two/lib/util.py"]


def test_folders_without_init_are_packages_too() -> None:
    files: dict[str, list[Import]] = {"google/cloud/store.py": [], "app.py": []}
    assert imported(files, "app.py", take("google.cloud", "store")) == ["google/cloud/store.py"]


def test_files_at_the_root() -> None:
    files: Files = {"__init__.py": [], "a.py": [take(".", "b"), take(".")], "b.py": []}
    assert links("python", files) == {"a.py": ["__init__.py", "b.py"]}


def test_compiled_and_stub_modules() -> None:
    files: Files = {
        "a/__init__.py": [],
        "a/fast.pyx": [],
        "a/typed.pyi": [],
        "a/b.py": [take(".fast"), take("a.typed")],
    }
    assert links("python", files) == {"a/b.py": ["a/fast.pyx", "a/typed.pyi"]}


def test_a_name_that_hundreds_of_files_have_means_none_of_them() -> None:
    files: Files = {f"d{number}/src/util.py": [] for number in range(300)}
    assert links("python", {**files, "main.py": [take("util")]}) == {}
