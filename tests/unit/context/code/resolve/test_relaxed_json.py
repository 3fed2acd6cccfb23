import pytest

from branchline.context.code.resolve.javascript import members, read_json


def test_json_keeps_what_looks_like_a_comment_in_a_string() -> None:
    text = b'\xef\xbb\xbf{"a": "http://x/*y*/", /* , } */ "b\\"//": ["x,]",],} // end'
    assert read_json(text) == {"a": "http://x/*y*/", 'b"//': ["x,]"]}


def test_members_of_anything() -> None:
    assert members({"a": 1}) == {"a": 1}
    assert members([1]) == members(None) == members("a") == {}


@pytest.mark.parametrize(
    "text", [b"", b"[1]", b"{", b'{"a": "\\ud800"}', b"\xff", b"[" * 100_000, b'"' + b'\\"' * 300_000]
)
def test_what_is_no_object_has_no_members(text: bytes) -> None:
    assert read_json(text) == {}
