from branchline.agents.metering.reply import Reply, passed_on


def test_what_concerns_one_connection_is_not_passed_on() -> None:
    given = [
        ("Host", "x"),
        ("Connection", "keep-alive, X-Mine"),
        ("x-mine", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Authorization", "Bearer k"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
    ]
    assert passed_on(given) == [("Authorization", "Bearer k"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]


def test_the_content_type() -> None:
    assert Reply(200, "OK", [("Content-Type", "a/b")], None, iter(())).content_type == "a/b"
    assert Reply(200, "OK", [], None, iter(())).content_type == ""


def test_a_stream_of_events() -> None:
    assert Reply(200, "OK", [("content-type", "Text/Event-Stream; charset=utf-8")], None, iter(())).is_stream
    assert not Reply(200, "OK", [("content-type", "application/json")], None, iter(())).is_stream
