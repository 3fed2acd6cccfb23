"""What a change does to that by which it is judged, by patterns and names."""

from collections.abc import Mapping

import pytest

from branchline.core.rules.judges import Changed, Judging, judges, remarks
from branchline.core.rules.remark import KINDS, MEANING, Remark

PLAIN = Judging(lambda path: "test" in path.split("/")[0])


def said(path: str, old: str | None, new: str | None, judging: Judging = PLAIN, moved: str = "") -> dict[str, str]:
    """Each kind of remark on one change, with its detail."""
    given = Changed(path, None if old is None else old.encode(), None if new is None else new.encode(), moved)
    found = remarks([given], judging)
    assert all(one.path == path for one in found)
    return {one.kind: one.detail for one in found}


TWO = "def test_a():\n    assert f() == 1\n    assert g()\n\ndef test_b():\n    assert h()\n"
WEAKENED = {
    "deleted": ("def test_a():\n    assert f() == 1\n    assert g()\n", "1 test fewer, 1 check fewer"),
    "check": (TWO.replace("    assert g()\n", ""), "1 check fewer"),
    "commented": (TWO.replace("    assert", "    # assert"), "3 checks fewer"),
    "renamed": (TWO.replace("def test_", "def _test_"), "2 tests fewer"),
    "emptied": ("", "2 tests fewer, 3 checks fewer"),
    "marked": (TWO.replace("def test_b", "@pytest.mark.skip\ndef test_b"), "passed over in line 5: @pytest.mark.skip"),
    "all": ("import pytest\npytestmark = pytest.mark.xfail\n" + TWO, "passed over in line 2: mark.xfail"),
    "module": ("import pytest\npytest.skip(allow_module_level=True)\n" + TWO, "passed over in line 2: pytest.skip"),
    "class": ("__test__ = False\n" + TWO, "passed over in line 1: __test__ = False"),
    "raised": (TWO.replace("    assert h", "    raise SkipTest\n    assert h"), "passed over in line 6: SkipTest"),
}


@pytest.mark.parametrize("how", WEAKENED)
def test_a_weakened_test(how: str) -> None:
    new, detail = WEAKENED[how]
    assert said("tests/test_x.py", TWO, new) == {"weakened-test": detail}


OTHERS = {
    "it.skip('a', () => {": "it('a', () => {",
    "  xit('a', () => {": "  it('a', () => {",
    "describe.only('a', () => {": "describe('a', () => {",
    "#[ignore]\n#[test]\nfn a() {}": "#[test]\nfn a() {}",
    "func TestA(t *testing.T) { t.Skip() }": "func TestA(t *testing.T) { t.Fatal() }",
    "@Disabled @Test void a() {}": "@Test void a() {}",
    "func testA(t *testing.T) {}": "func TestA(t *testing.T) {}",
    "TEST(A, DISABLED_B) {}": "TEST(A, B) {}",
    "it 'a', skip: true do": "it 'a' do",
    '[Fact(Skip = "x")] void A() {}': "[Fact] void A() {}",
    "//go:build never\nfunc TestA(t *testing.T) {}": "func TestA(t *testing.T) {}",
}  # fmt: skip


@pytest.mark.parametrize("new", OTHERS)
def test_other_languages_pass_tests_over_too(new: str) -> None:
    assert [*said("tests/a", OTHERS[new], new)] == ["weakened-test"]
    assert [*said("tests/a", new, OTHERS[new])] == ["changed-test"], "the way back weakens nothing"


def test_deleted_moved_changed_and_new_tests() -> None:
    assert said("tests/a.py", TWO, None) == {"deleted-test": ""}
    assert said("tests/a.py", TWO, None, moved="tests/b.py") == {"changed-test": "moved to tests/b.py"}
    assert said("tests/a.py", TWO, TWO + "\n# more\n") == {"changed-test": ""}
    assert said("tests/a.txt", "1 2\n", " \n") == {"weakened-test": "emptied"}
    assert said("tests/a.py", None, "@pytest.mark.skip\n" + TWO) == {}
    assert said("src/a.py", TWO, None) == {}
    (told,) = remarks([Changed("tests/a.py", b"", b"", seen=False)], PLAIN)
    assert str(told) == "test changed: too large to look through"


CONFIGURING = (
    *("Makefile", "sub/GNUmakefile", "tox.ini", "noxfile.py", "justfile", "Taskfile.yml", "conftest.py", "a/conftest.py"),
    *("setup.cfg", "pytest.ini", "mypy.ini", "ruff.toml", ".eslintrc.cjs", "eslint.config.mjs", "jest.config.ts"),
    *("vitest.config.mts", ".github/workflows/ci.yml", ".cargo/config.toml", "sitecustomize.py", "x/evil.pth"),
    *("CONFTEST.py", "Setup.CFG", "\uff43onftest.py", ".coveragerc", "rules.mk", ".secrets.baseline", "tsconfig.test.json"),
)  # fmt: skip


@pytest.mark.parametrize("path", CONFIGURING)
def test_what_configures_tools_is_told_whatever_was_done_to_it(path: str) -> None:
    for old, new, verb in ((None, "x", "added"), ("x", "y", "changed"), ("x", None, "deleted")):
        assert said(path, old, new)["tool-config"] == verb
    assert judges(path, PLAIN)


PARTS: Mapping[str, tuple[str, str, dict[str, str]]] = {
    "pyproject.toml": ("[tool.pytest]\na = 1\n", "[tool.pytest]\na = true\n", {"tool-config": "changed: tool.pytest"}),
    "a/pyproject.toml": ("", "tool = {mypy = {strict = false}}", {"tool-config": "changed: tool.mypy"}),
    "pyproject.toml ": ("a", "b", {}),
    "package.json": ('{"scripts": {}}', '{"scripts": {"test": "true"}}', {"tool-config": "changed: scripts"}),
    "Package.json": ("{}", "{", {"tool-config": "changed: it cannot be read"}),
    "Cargo.toml": ("", "lib.test = false", {"tool-config": "changed: lib"}),
    "composer.json": ('{"scripts": 1, "a": 2}', '{"a": 3}', {"tool-config": "changed: scripts"}),
}


@pytest.mark.parametrize("path", PARTS)
def test_of_some_files_only_parts_count(path: str) -> None:
    old, new, told = PARTS[path]
    assert said(path, old, new) == told


def test_what_gates_do_not_go_by_is_no_configuration() -> None:
    assert (
        said("pyproject.toml", "[project]\nversion = '1'\n", "[project]\nversion = '2'\n[tool.branchline]\na = 1\n")
        == {}
    )
    assert said("pyproject.toml", None, "[project]\nname = 'x'\n") == {}
    assert said("package.json", '{"version": "1"}', '[1, {"scripts": 2}]') == {}
    assert said("package.json", "[" * 100_000, "{}") == {"tool-config": "changed: it cannot be read"}
    assert said("package.json", "{}", " " * 1_000_001) == {"tool-config": "changed: it cannot be read"}


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("pytest.py", "pytest"), ("pytest/__init__.py", "pytest"), ("PYTEST.PY", "pytest"), ("src/unittest/case.py", "unittest"),
        ("json.py", "json"), ("tests/coverage.py", "coverage"), ("_pytest.cpython-311-x86_64-linux-gnu.so", "_pytest"),
        ("backend/pytest.py", "pytest"), ("backend/src/ast.py", "ast"), ("checker/__main__.py", "checker"),
        ("node_modules/jest/index.js", "node_modules"), ("a/node_modules/.bin/jest", "node_modules"),
        ("app/json.py", ""), ("backend/app/x.py", ""), ("json.js", ""), ("test/x.py", ""), ("site/new.py", ""), ("x.py", ""), ("src/app/ast.py", ""),
    ],
)  # fmt: skip
def test_a_new_module_may_hide_one_that_gates_load(path: str, module: str) -> None:
    judging = Judging(lambda _: False, modules={"checker"}, folders={"backend"}, there={"site"})
    assert said(path, None, "", judging) == ({"shadow": module} if module else {})
    assert "shadow" not in said(path, "x", "", judging), "what is there is known"
    assert judges(path, judging) == bool(module)


def test_lines_that_end_the_process() -> None:
    assert said("src/a.py", "", "import os\nos._exit(0)\n") == {"exit": "line 2: _exit"}
    assert said("src/a.py", "", "from os import _exit as e\ne(0)\nos.execv('/bin/true', [])\n")["exit"].endswith(
        "and 1 more"
    )
    assert said("src/__init__.py", "", "import atexit\n") == {"exit": "line 1: atexit"}
    assert said("src/__init__.py", "sys.exit(1)\n", "sys.exit(0)\n") == {"exit": "line 1: sys.exit"}
    assert said("src/a.py", "", "if x:\n    sys.exit(0)\n") == {}
    assert said("src/a.py", "", "raise SystemExit\n") == {"exit": "line 1: raise SystemExit"}
    assert said("docs/a.md", "", "os._exit(0)\n") == {}
    assert said("src/a.py", "os._exit(1)\n", "# new\n  os._exit(1)\n") == {}, "a line that was there before"
    assert "exit" in said("tests/a.py", None, "process.exit(0)\n")


def test_lines_that_excuse() -> None:
    assert said("src/a.py", "x = 1  # noqa\n", "y = 2  # noqa\nx = 1  # noqa\n") == {"excuse": "line 1: noqa"}
    assert said("src/a.ts", "", "// eslint-disable-next-line\n") == {"excuse": "line 1: eslint-disable"}
    assert said("a.md", "", "k  # pragma: allowlist secret\n") == {"secret-excuse": "line 1: pragma: allowlist"}
    assert said("a.py", "", "k  # GitLeaks: allow\n") == {"secret-excuse": "line 1: GitLeaks: allow"}
    assert said("a.py", "", f"@{'x' * 100}skip\n# nosec\n")["excuse"] == "line 2: nosec"


def test_files_that_gates_name_and_the_order() -> None:
    judging = Judging(PLAIN.is_test, named={"ci/check.sh": "gate lint"})
    assert said("ci/check.sh", "a", "b", judging) == {"gate-file": "changed, named by gate lint"}
    assert said("ci/check.sh", "a", "exit 0\n", judging)["exit"] == "line 1: exit 0"
    assert judges("ci/check.sh", judging)
    assert not judges("src/x.py", judging)
    assert judges("tests/x.py", judging)
    changes = [Changed("a.py", b"", b"# noqa\n"), Changed("tests/z", b"a", b"b"), Changed("tests/y", b"a", None)]
    assert [one.kind for one in remarks(changes, judging)] == ["deleted-test", "excuse", "changed-test"]
    assert set(KINDS) == set(MEANING)
    assert str(Remark(kind="deleted-test", path="x")) == "test deleted"
