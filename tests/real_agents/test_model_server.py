"""The scripted model server: what it makes of scripts, in each of the dialects that it speaks."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from real_agents.model.script import BadScript, script, script_in
from real_agents.model_server import ModelServer

TOOL = {"type": "object", "properties": {"command": {"type": "string"}}}
GEMINI = "/v1beta/models/m"


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def post(server: ModelServer, path: str, body: dict[str, Any]) -> tuple[int, str]:
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)) as connection:
        connection.request("POST", path, json.dumps(body))
        response = connection.getresponse()
        return response.status, response.read().decode()


def body(path: str, text: str, *, stream: bool) -> dict[str, Any]:
    """A request of each dialect with a shell tool."""
    said = [{"role": "user", "content": text}]
    function = {"name": "bash", "parameters": TOOL}
    if path.startswith(GEMINI):
        declared = [{"functionDeclarations": [function]}]
        return {"contents": [{"role": "user", "parts": [{"text": text}]}], "tools": declared}
    if path == "/v1/responses":
        return {"model": "m", "input": said, "tools": [{"type": "function", **function}], "stream": stream}
    tool = {"name": "bash", "input_schema": TOOL} if path == "/v1/messages" else {"function": function}
    return {"model": "m", "messages": said, "tools": [tool], "stream": stream}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/v1/responses", GEMINI])
@pytest.mark.parametrize(
    "step", [{"text": "hello"}, {"shell": "echo hello"}, {"refuse": "hello"}], ids=lambda one: next(iter(one))
)
def test_every_dialect_says_it(server: ModelServer, path: str, step: dict[str, Any], *, stream: bool) -> None:
    place = path + ((":streamGenerateContent" if stream else ":generateContent") if path == GEMINI else "")
    status, answer = post(server, place, body(path, script({**step, "usage": [1234, 56, 7]}), stream=stream))
    assert status == 200
    assert "hello" in answer
    assert answer.startswith(("event: ", "data: ")) is stream
    assert "56" in answer
    assert server.requests[-1].model == "m"


def test_the_step_is_the_number_of_results(server: ModelServer) -> None:
    steps = script({"shell": "one"}, {"text": "two"})
    given = body("/v1/messages", steps, stream=False)
    given["messages"].append({"role": "assistant", "content": [{"type": "tool_use", "name": "bash", "input": {}}]})
    given["messages"].append(
        {"role": "user", "content": [{"type": "tool_result", "content": steps.replace("two", "no")}]}
    )
    assert "two" in post(server, "/v1/messages", given)[1]


def test_an_error_comes_as_often_as_it_should(server: ModelServer) -> None:
    request = body("/v1/messages", script({"status": 529, "times": 2, "text": "well"}), stream=False)
    answers = [post(server, "/v1/messages", request) for _ in range(3)]
    assert [status for status, _ in answers] == [529, 529, 200]
    assert "overloaded_error" in answers[0][1]


def test_a_cut_stream_ends_in_mid_line(server: ModelServer) -> None:
    _, answer = post(
        server, "/v1/responses", body("/v1/responses", script({"text": "hello", "cut": True}), stream=True)
    )
    assert not answer.endswith("\n")
    assert "response.completed" not in answer


def test_the_last_script_that_is_meant_counts() -> None:
    inner = script({"text": "inner"})
    outer = script({"json": {"prompt": inner}}, when="plan it")
    assert script_in(f"please plan it {outer}").steps[0].json == {"prompt": inner}
    assert script_in(f"do it {outer} {inner}").steps[0].text == "inner"
    assert script_in(f"do it {inner} {script({'text': 'again'}, when='round 2')} round 2").steps[0].text == "again"
    assert script_in(f"do it {outer}").steps[0].text == "Nothing to do."


@pytest.mark.parametrize("text", ['@@SCRIPT [{"edit": 1}] @@END', '@@SCRIPT [{"typo": 1}] @@END', "@@SCRIPT [ @@END"])
def test_a_script_that_makes_no_sense_is_an_error(server: ModelServer, text: str) -> None:
    with pytest.raises(BadScript):
        script_in(text)
    status, answer = post(server, "/v1/messages", body("/v1/messages", text, stream=False))
    assert status == 400
    assert "bad script" in answer
