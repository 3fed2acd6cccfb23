"""`branchline context`: files for a task on real trees, in every form; and what it says to what it cannot use."""

import hashlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from branchline.context.rank import WEIGHTS
from support import Json, Project, Ran

SESSION = '''\
class Session:
    """Who is logged in."""

    def login(self, name: str) -> None:
        """Begin a session for a user."""
        self.name = name
'''
FILES = {
    "src/session.py": SESSION,
    "src/report.py": "def report(rows: list[int]) -> str:\n    return ', '.join(map(str, rows))\n",
    "src/views/page.py": "from src.session import Session\n\n\ndef page(session: Session) -> str:\n    return session.name\n",
    "tests/test_session.py": "from src.session import Session\n\n\ndef test_login() -> None:\n    Session().login('x')\n",
    "README.md": "# A project\n\nIt makes reports.\n",
    "data.bin": "\0\1\2",
}
HEAVY = {"asyncio", "rich", "jsonschema_rs", "ruamel", "importlib.metadata", "opentelemetry", "mcp", "pydantic"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "project", FILES)


def context(project: Project, *args: str, stdin: bytes = b"", cwd: Path | None = None, **env: str) -> Ran:
    """`branchline context` with something on stdin that is no terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "branchline", "context", *args],
        cwd=cwd or project.root,
        env={**os.environ, "NO_COLOR": "1", **env},
        input=stdin,
        capture_output=True,
        timeout=project.patience,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def manifest(project: Project, *args: str, **given: Any) -> Json:
    ran = context(project, *args, "--json", **given)
    assert ran.code == 0, ran.err
    return ran.json


def names(made: Json) -> list[str]:
    return [file["path"] for file in (*made["files"], *made["tests"])]


class TestForms:
    def test_a_table_and_what_it_comes_to(self, project: Project) -> None:
        ran = context(project, "login of a session")
        lines = ran.out.splitlines()
        assert ran.code == 0, ran.err
        assert lines[0] == "Files"
        assert any("src/session.py" in line and "━" in line and "full" in line for line in lines)
        assert "Tests" in lines
        assert max(map(len, lines)) <= 80
        assert " of 80,000 tokens (estimate)" in ran.err
        assert "; indexed 6 new files in " in ran.err
        assert "indexed" not in context(project, "login of a session").err

    def test_json_is_the_same_in_a_file_and_on_every_repeat(self, project: Project, tmp_path: Path) -> None:
        printed = context(project, "login of a session", "--json")
        written = context(project, "login of a session", "--format", "json", "--out", str(tmp_path / "m.json"))
        data = (tmp_path / "m.json").read_bytes()
        assert data.decode() == printed.out == context(project, "login of a session", "--json").out
        assert written.out == ""
        digest = hashlib.sha256(data).hexdigest()
        assert written.err.splitlines()[0] == f"wrote {tmp_path / 'm.json'}, sha256 {digest}"
        made = printed.json
        assert made["files"][0]["path"] == "src/session.py"
        assert "tests/test_session.py" in [file["path"] for file in made["tests"]]
        assert made["selection_params"]["text_sha256"] == hashlib.sha256(b"login of a session").hexdigest()
        assert made["generated_at"]

    def test_a_list_and_a_prompt(self, project: Project, tmp_path: Path) -> None:
        listed = context(project, "login of a session", "--format", "list")
        assert listed.out.splitlines() == names(manifest(project, "login of a session"))
        asked = context(project, "login of a session", "--format", "prompt", "--out", str(tmp_path / "prompt.md"))
        assert asked.code == 0
        text = (tmp_path / "prompt.md").read_text()
        assert "src/session.py" in text
        assert "def login(self, name: str) -> None:" in text

    def test_a_prompt_holds_no_secret_of_the_environment(self, project: Project) -> None:
        project.write({"src/key.py": "SESSION_KEY = 'hunter2-hunter2'\n"})
        asked = context(project, "session key", "--format", "prompt", OUR_TOKEN="hunter2-hunter2")
        assert "src/key.py" in asked.out
        assert "SESSION_KEY = '[secret]'" in asked.out

    def test_out_replaces_a_file_whole_through_a_link_and_leaves_a_device_alone(
        self, project: Project, tmp_path: Path
    ) -> None:
        (tmp_path / "real.json").write_text("old")
        (tmp_path / "link.json").symlink_to("real.json")
        assert context(project, "session", "--out", str(tmp_path / "link.json")).code == 0
        assert json.loads((tmp_path / "real.json").read_text())["files"]
        assert (tmp_path / "link.json").is_symlink()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "project", "real.json"]
        assert context(project, "session", "--out", os.devnull).code == 0
        assert not Path(os.devnull).is_file()

    def test_on_a_terminal_as_wide_as_it_is(self, project: Project) -> None:
        lines = on_a_terminal(project, "login of a session", columns=40).splitlines()
        assert any(line.endswith("src/session.py") and "━" not in line for line in lines)
        assert max(map(len, lines)) < 48

    def test_names_that_are_no_text(self, project: Project) -> None:
        name = os.fsdecode(b"src/caf\xe9 session.py")
        (project.root / name).write_text("def login() -> None:\n    session = 1\n")
        made = manifest(project, "login of a session")
        assert name in names(made)
        assert context(project, "login of a session").code == 0
        assert context(project, "login of a session", "--format", "list").code == 0
        assert context(project, "explain", name, "login of a session").code == 0
        assert manifest(project, "--target", name)["files"][0]["path"] == name


def on_a_terminal(project: Project, *args: str, columns: int) -> str:
    """What is printed with nobody's input on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "branchline", "context", *args],
        cwd=project.root,
        env={**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    out, _ = process.communicate(timeout=project.patience)
    os.close(ours)
    assert process.returncode == 0
    return out.decode()


class TestTask:
    def test_it_may_come_as_an_argument_in_a_file_or_on_stdin(self, project: Project, tmp_path: Path) -> None:
        (tmp_path / "task.md").write_text("login of a session")
        made = manifest(project, "login of a session")
        assert made == manifest(project, "--input", str(tmp_path / "task.md"))
        assert made == manifest(project, "--input", "-", stdin=b"login of a session")
        assert made == manifest(project, "-", stdin=b"login of a session")
        assert made == manifest(project, stdin=b"login of a session")
        assert made == manifest(project, "login of a session", stdin=b"something else")

    def test_keywords_and_targets_need_no_words(self, project: Project) -> None:
        assert manifest(project, "--keywords", "login,session")["files"][0]["path"] == "src/session.py"
        made = manifest(project, "--target", "README.md", "--target", str(project.root / "src" / "report.py"))
        assert {file["path"]: file["included_as"] for file in made["files"][:2]} == {
            "README.md": "target",
            "src/report.py": "target",
        }

    def test_from_a_folder_below(self, project: Project) -> None:
        below = project.root / "src"
        assert manifest(project, "session", "--root", "..", "--target", "report.py", cwd=below)["files"][0]["path"] == (
            "src/report.py"
        )
        made = manifest(project, "session", cwd=below)
        assert "session.py" in names(made)
        assert not any(name.startswith(("src/", "tests/")) for name in names(made))

    def test_a_megabyte_of_text(self, project: Project) -> None:
        text = b"the login of a session fails: " * 35_000
        assert manifest(project, stdin=text)["files"][0]["path"] == "src/session.py"

    def test_nothing_fits(self, project: Project) -> None:
        ran = context(project, "xylophone quartz")
        assert (ran.code, ran.out) == (0, "No file fits\n")
        assert ran.err.startswith("0 files, 0 of 80,000 tokens (estimate)")

    def test_a_folder_that_is_no_repository(self, project: Project, tmp_path: Path) -> None:
        (tmp_path / "plain").mkdir()
        (tmp_path / "plain" / "a.py").write_text(SESSION)
        args = ("login", "--root", str(tmp_path / "plain"), "--cache", str(tmp_path / "cache"))
        assert names(manifest(project, *args)) == ["a.py"]
        assert list((tmp_path / "cache").iterdir())
        assert [path.name for path in (tmp_path / "plain").iterdir()] == ["a.py"]


class TestSettings:
    def test_those_of_the_repository_of_a_file_and_of_options(self, project: Project, tmp_path: Path) -> None:
        project.write({"branchline.yaml": "version: 1\ncontext: {max_tokens: 7000, ban: ['src/views/**']}\n"})
        made = manifest(project, "session page")
        assert made["selection_params"]["max_tokens"] == 7000
        assert "src/views/page.py" not in names(made)
        (tmp_path / "other.yaml").write_text("window: 600\n")
        made = manifest(project, "session page", "--config", str(tmp_path / "other.yaml"), "--max-files", "2")
        assert (made["selection_params"]["max_tokens"], made["selection_params"]["max_files"]) == (600, 2)
        assert len(names(made)) == 2

    def test_pins_bans_and_tests(self, project: Project) -> None:
        made = manifest(project, "session", "--pin", "README.md", "--ban", "src/views/*", "--no-tests")
        assert (made["files"][0]["path"], made["files"][0]["included_as"]) == ("README.md", "pin")
        assert "src/views/page.py" not in names(made)
        assert made["tests"] == []

    def test_the_budget_goes_by_the_type_of_the_task(self, project: Project) -> None:
        made = manifest(project, "session", "--task-type", "test")
        assert made["selection_params"]["max_tokens"] == 40_000

    def test_targets_alone_over_the_budget_are_in_with_a_warning(self, project: Project) -> None:
        ran = context(project, "--target", "src/session.py", "--max-tokens", "1", "--json")
        assert names(ran.json) == ["src/session.py"]
        assert ran.err.startswith("warning: the targets alone need ")


class TestExplain:
    def test_why_a_file_is_in(self, project: Project) -> None:
        ran = context(project, "explain", "src/session.py", "login of a session")
        assert ran.code == 0, ran.err
        assert ran.out.startswith("src/session.py: in\n  why   its rank earns it a place\n  rank  1 of ")
        assert "\nSignals\n" in ran.out
        told = context(project, "explain", "src/session.py", "login of a session", "--json").json
        assert (told["path"], told["included"], told["rank"], told["reason"]) == ("src/session.py", True, 1, "ranked")

    @pytest.mark.parametrize(
        ("file", "args", "reason"),
        [
            ("README.md", (), "no_match"),
            ("src/session.py", ("--ban", "src/*"), "banned"),
            ("tests/test_session.py", ("--no-tests",), "tests"),
            ("data.bin", (), "binary"),
        ],
    )
    def test_why_a_file_is_out(self, project: Project, file: str, args: Sequence[str], reason: str) -> None:
        told = context(project, "explain", file, "login", "--json", *args).json
        assert (told["included"], told["reason"]) == (False, reason)

    def test_without_a_task(self, project: Project) -> None:
        assert context(project, "explain", "data.bin").out.startswith("data.bin: out\n")

    def test_a_file_of_that_name(self, project: Project) -> None:
        project.write({"explain": "a login\n"})
        assert context(project, "explain", "explain", "login").out.startswith("explain: in\n")
        assert context(project, "explain login").out.startswith("Files\n")


NOT_TEXT = {"binary": b"\x7fELF\0\1\2", "latin": b"caf\xe9 au lait"}
REFUSED: dict[str, tuple[Sequence[str], str, str]] = {
    "nothing": ((), "there is no task: give TEXT, --input FILE, --keywords or --target", ""),
    "unquoted": (("fix", "it"), "put the task in quotes", ""),
    "explain alone": (("explain",), "explain needs FILE", ""),
    "no root": (("x", "--root", "nowhere"), "Directory 'nowhere' does not exist", ""),
    "root a file": (("x", "--root", "README.md"), "Directory 'README.md' is a file", ""),
    "outside": (("x", "--target", "/etc/hosts"), "'/etc/hosts' is not in ", "--root"),
    "missing": (("x", "--target", "src/sesion.py"), "src/sesion.py", "src/session.py"),
    "explain missing": (("explain", "src/sesion.py"), "src/sesion.py", "src/session.py"),
    "folder": (("x", "--target", "src"), "'src' is a folder, not a file", "--pin 'src/**'"),
    "glob": (("x", "--ban", "/etc/*"), "the ban glob '/etc/*' is absolute", "relative"),
    "no input": (("--input", "nowhere.md"), "nowhere.md cannot be read: No such file or directory", "--input FILE"),
    "binary input": (("--input", "data.bin"), "data.bin is not text", ""),
    "two texts": (("x", "--input", "README.md"), "choose one: TEXT or --input", ""),
    "two forms": (("x", "--json", "--format", "list"), "choose one: --json or --format list", ""),
    "explain to a file": (("explain", "README.md", "--out", "x"), "explain goes without --out", ""),
    "no budget": (("x", "--max-tokens", "0"), "Invalid value for '--max-tokens'", ""),
    "no config": (("x", "--config", "nowhere.yaml"), "File 'nowhere.yaml' does not exist", ""),
    "out into nowhere": (("x", "--out", "no/where.json"), "no/where.json cannot be written", "--out FILE"),
    "out a folder": (("x", "--out", "src"), "'--out'", ""),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_said_in_a_sentence_with_a_hint(project: Project, case: str) -> None:
    args, message, hint = REFUSED[case]
    ran = context(project, *args)
    lines = ran.err.splitlines()
    assert ran.code == 2
    assert len(lines) == 2, ran.err
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert lines[1].startswith("hint: ")
    assert hint in lines[1]


@pytest.mark.parametrize("content", NOT_TEXT.values(), ids=NOT_TEXT)
def test_stdin_that_is_no_text(project: Project, content: bytes) -> None:
    ran = context(project, "--json", stdin=content)
    assert ran.code == 2
    assert ran.json["error"]["message"].startswith("stdin is not ")


def test_a_wrong_configuration_is_told_by_line_and_column(project: Project) -> None:
    project.write({"my.yaml": "max_files: 0\nban: [../x]\nmax_token: 1\n"})
    ran = context(project, "x", "--config", "my.yaml")
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "error: my.yaml:1:12: 'max_files' must be an integer of at least 1, not 0",
        "my.yaml:2:7: the ban glob '../x' contains '..'; write it relative to the repository",
        "my.yaml:3:1: 'max_token' is not a key of a context file; did you mean 'max_tokens'?",
        "hint: `branchline schema context` prints what such a file may say",
    ]


def test_a_manifest_imports_nothing_heavy(project: Project, tmp_path: Path) -> None:
    program = (
        "import sys; from branchline.cli import main; "
        "code = main(['context', 'login', '--out', sys.argv[1]]); "
        "print(code, *sorted(sys.modules), file=sys.stderr)"
    )
    for _ in range(2):  # the second time, nothing is left to index
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "m.json")],
            cwd=project.root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        )  # fmt: skip
        code, *modules = done.stderr.splitlines()[-1].split()
        assert code == "0"
        assert not HEAVY & set(modules)
    assert not any(name.startswith("tree_sitter") for name in modules)


def test_the_guide_tells_every_signal() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "context.md").read_text()
    table = guide.split("| signal | files that |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(WEIGHTS)
