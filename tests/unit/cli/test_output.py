import io

import pytest

from branchline.cli.output import BOLD, CYAN, GREEN, PLAIN, RED, is_coloured, page, painted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_colour_is_for_terminals() -> None:
    assert is_coloured(Terminal())
    assert not is_coloured(io.StringIO())


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
    ],
)
def test_the_environment_decides(environ: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert is_coloured(Terminal()) is wanted


def test_force_color_colours_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert is_coloured(io.StringIO())


@pytest.mark.parametrize(
    ("line", "colour"),
    [
        ("  a  ship   landed  1  2.3s", f"{GREEN}landed{PLAIN}"),
        ("  d  merge  failed  1  it failed too", f"{RED}failed{PLAIN}"),
        ("ok         git: 2.39.5", f"{GREEN}ok{PLAIN}"),
        ("  2  ✓ one   ✗ two", f"{RED}✗{PLAIN}"),
        ("  a  execute  running  1", f"{CYAN}running{PLAIN}"),
    ],
)
def test_states_are_coloured_where_they_are_cells(line: str, colour: str) -> None:
    out = painted(line)
    assert colour in out
    assert out.count("failed" + PLAIN) <= 1


def test_headings_are_bold() -> None:
    assert painted("Where things are") == f"{BOLD}Where things are{PLAIN}"
    assert painted("12:00:01.000 a RUNNING -> COMPLETED") == "12:00:01.000 a RUNNING -> COMPLETED"


def test_a_patch_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    page(b"+caf\xc3\xa9 \xff \x1b]0;title\x07\t.\n")
    assert capsys.readouterr().out == "+café \\xff \\x1b]0;title\\x07\t.\n"
