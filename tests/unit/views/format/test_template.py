"""Templates: values go in as they are, sections stay or fall, mistakes are named with their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.views.format.template import TemplateError, faults, render


def test_values_are_inserted_once_and_never_read_as_template() -> None:
    values = {"task": "{{secret}} {{#a}}{{/a}} {{task}}", "secret": "no", "a": ""}
    assert render("Do {{task}}; {{ task }}.", values, name="t") == f"Do {values['task']}; {values['task']}.\n"


@given(st.text())
def test_a_value_survives_whatever_it_holds(value: str) -> None:
    assert render("<{{a}}>", {"a": value}, name="t") == f"<{value}>\n"


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ("o", "i", "top\n\n# O o\n\nin i\n\nend\n"),
        ("o", "", "top\n\n# O o\n\nend\n"),
        ("", "i", "top\n\nend\n"),
    ],
)
def test_a_section_falls_with_its_line_and_its_blank_lines(outer: str, inner: str, expected: str) -> None:
    template = "top\n\n{{#o}}\n# O {{o}}\n\n{{#i}}\nin {{i}}\n{{/i}}\n\n{{/o}}\nend\n"
    assert render(template, {"o": outer, "i": inner}, name="t") == expected


def test_a_section_within_a_line() -> None:
    template = "a{{#x}} ({{x}}){{/x}}, b"
    assert render(template, {"x": "1"}, name="t") == "a (1), b\n"
    assert render(template, {"x": ""}, name="t") == "a, b\n"


def test_blank_lines_of_values_stay() -> None:
    assert render("a\n\n\n\n{{x}}\n", {"x": "1\n\n\n\n2"}, name="t") == "a\n\n1\n\n\n\n2\n"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("fine {{a}} and }} or {{ alone", []),
        ("one\n  {{tsk}}", ["2:3: there is no 'tsk'; known are a, b"]),
        ("{{}}", ["1:1: there is no ''; known are a, b"]),
        ("{{#a}}\n{{b}}", ["1:1: the section 'a' is not closed"]),
        ("x{{/a}}", ["1:2: 'a' is closed, but no section is open"]),
        (
            "{{#a}}{{#b}}{{/a}}",
            [
                "1:1: the section 'a' is not closed",
                "1:7: the section 'b' is not closed",
                "1:13: 'a' is closed, but 'b' is the section to close",
            ],
        ),
    ],
)
def test_faults_have_line_and_column(template: str, expected: list[str]) -> None:
    assert faults(template, ("b", "a")) == expected


def test_a_broken_template_is_refused_even_where_the_fault_would_not_show() -> None:
    with pytest.raises(TemplateError, match=r"^edit.md:1:7: there is no 'nobody'; known are a$") as caught:
        render("{{#a}}{{nobody}}{{/a}}", {"a": ""}, name="edit.md")
    assert caught.value.hint == "correct edit.md"
