import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from branchline.agents.acp_runner.__main__ import carry_out
from branchline.agents.acp_runner.order import Failed, Order
from branchline.core.model.agent import ContextFile

pytest.importorskip("acp", reason="the extra acp is not installed")

Step = dict[str, Any]
Talk = Callable[..., list[Step]]


def modes(now: str, *others: str) -> Step:
    return {
        "session": {"modes": {"currentModeId": now, "availableModes": [{"id": x, "name": x} for x in (now, *others)]}}
    }


def options(category: str, now: str, *others: str) -> Step:
    offered = [{"value": value, "name": value} for value in (now, *others)]
    option = {"id": "o", "name": "o", "category": category, "type": "select", "currentValue": now, "options": offered}
    return {"session": {"configOptions": [option]}}


def said(events: list[Step]) -> str:
    assert events[-1]["type"] == "result"
    return str(events[-1]["text"])


def test_an_answer_is_the_text_since_the_last_tool(talk: Talk) -> None:
    tool = {"sessionUpdate": "tool_call", "toolCallId": "1", "title": "look", "kind": "read", "status": "completed"}
    name = {"initialize": {"agentInfo": {"name": "test", "version": "1.2"}}}
    events = talk(
        {"say": {"text": "first"}}, {"tell": tool}, {"say": {"text": "a"}}, {"say": {"text": "b"}}, settings=name
    )
    assert [event["type"] for event in events] == [
        "agent",
        "session",
        "text",
        "tool",
        "text",
        "text",
        "usage",
        "result",
    ]
    assert events[0] == {"type": "agent", "name": "test", "version": "1.2"}
    assert events[-1] == {"type": "result", "stop_reason": "end_turn", "text": "ab"}


@pytest.mark.parametrize(
    ("mode", "settings", "chosen"),
    [
        ("read", modes("default", "yolo", "plan"), "session/set_mode plan "),
        ("read", modes("plan", "default"), None),
        ("read", options("mode", "build", "plan"), "session/set_config_option plan "),
        ("edit", modes("default", "plan"), None),
        ("edit", modes("read-only", "full-access", "auto"), "session/set_mode auto "),
        ("edit", modes("own"), None),
        ("edit", {}, None),
    ],
)
def test_the_mode_fits_the_attempt(talk: Talk, mode: str, settings: Step, chosen: str | None) -> None:
    events = talk(settings=settings, mode=mode)
    assert [event["text"] for event in events if event["type"] == "text"] == ([chosen] if chosen else [])
    assert said(events) == ""


@pytest.mark.parametrize(
    ("mode", "settings"), [("read", {}), ("read", modes("own", "yolo")), ("edit", modes("plan", "yolo"))]
)
def test_without_a_fitting_mode_nothing_is_asked(talk: Talk, mode: str, settings: Step) -> None:
    with pytest.raises(Failed, match=f"it has no mode to {mode} in, only: ") as caught:
        talk({"write": {"path": "src/a", "content": ""}}, settings=settings, mode=mode)
    assert caught.value.kind == "unsupported"


def test_the_model_is_chosen_if_it_is_offered(talk: Talk) -> None:
    events = talk(settings=options("model", "small", "large"), model="large")
    assert "session/set_config_option large " in [event.get("text") for event in events]
    with pytest.raises(Failed, match="does not offer the model huge, only: small, large"):
        talk(settings=options("model", "small", "large"), model="huge")
    with pytest.raises(Failed, match=r"say \{model\} in its args"):
        talk(model="huge")


def test_context_files_are_links(talk: Talk, tmp_path: Path) -> None:
    context = (ContextFile(path="src/a b\udcff.py"),)
    assert said(talk(context=context)) == f"src/a b\ufffd.py file://{tmp_path}/w/src/a%20b%FF.py "


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"code": 401, "message": "no"}, "no"),
        (
            {"code": -32603, "message": "Internal error", "data": {"details": "429 slow down"}},
            "Internal error: 429 slow down",
        ),
        ({"code": -32000, "message": "log in"}, "authentication required: log in"),
    ],
)
def test_an_agents_error_is_told_in_its_words(talk: Talk, error: Step, words: str) -> None:
    for settings, steps in (({"refusal": {"error": error}}, []), ({}, [{"answer": {"error": error}}])):
        with pytest.raises(Failed) as caught:
            talk(*steps, settings=settings)
        assert (caught.value.kind, caught.value.message, caught.value.code) == ("agent", words, error["code"])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("by itself", "ended with exit code 7, without a result"),
        ("by signal", "ended by signal 9, without a result"),
    ],
)
def test_an_agent_that_ends_is_told_of(talk: Talk, how: str, words: str) -> None:
    with pytest.raises(Failed, match=words) as caught:
        talk({"stop": {"how": how}})
    assert caught.value.kind == "ended"


def test_a_child_that_holds_the_pipes_does_not_keep_us(talk: Talk) -> None:
    with pytest.raises(Failed, match="ended with exit code 7"):
        talk({"stop": {"how": "die but leave a child that holds the pipes"}})


def test_answers_that_are_none_of_the_protocols(talk: Talk) -> None:
    with pytest.raises(Failed) as caught:
        talk({"answer": {"result": {"stopReason": "bored"}}})
    assert caught.value.kind == "protocol"
    with pytest.raises(Failed, match="it speaks version 9 of the protocol, we 1"):
        talk(settings={"initialize": {"protocolVersion": 9}})


def test_lines_that_are_no_messages_are_passed_over(talk: Talk) -> None:
    unknown = {"sessionUpdate": "news", "content": 1}
    events = talk({"raw": {"value": "Loading..."}}, {"tell": unknown}, {"say": {"text": "ok"}})
    assert said(events) == "ok"


def test_a_message_of_another_form_ends_the_conversation(talk: Talk) -> None:
    with pytest.raises(Failed, match="without a result"):
        talk({"raw": {"value": "[1]"}}, {"say": {"text": "ok"}})


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="cannot run no-such-agent: No such file or directory") as caught:
        asyncio.run(carry_out(Order(argv=("no-such-agent",), worktree=str(tmp_path), prompt="")))
    assert caught.value.kind == "missing"
