import base64
import json
import urllib.parse

import pytest

from branchline.core.rules.spellings import LONGEST, spellings

VALUE = b'pa/ss+w\xc3\xb6rd "7& <9>'
LONG = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-and-more-than-that"


@pytest.mark.parametrize(
    "spelled",
    [
        VALUE,
        json.dumps(VALUE.decode()).encode()[1:-1],
        json.dumps(json.dumps(VALUE.decode())).encode()[3:-3],
        json.dumps(VALUE.decode(), ensure_ascii=False).encode()[1:-1],
        urllib.parse.quote(VALUE).encode(),
        urllib.parse.quote_plus(VALUE).encode(),
        urllib.parse.quote(VALUE, safe="").lower().encode().replace(b"%c3", b"%c3"),
        urllib.parse.quote(urllib.parse.quote(VALUE, safe=""), safe="").encode(),
        VALUE.hex().encode(),
        VALUE.hex().upper().encode(),
        VALUE.hex(" ").encode(),
        VALUE.hex(":").encode(),
        "".join(f"\\x{byte:02x}" for byte in VALUE).encode(),
        ", ".join(map(str, VALUE)).encode(),
        base64.b32encode(VALUE).rstrip(b"="),
    ],
)
def test_a_value_in_each_spelling(spelled: bytes) -> None:
    assert spelled in spellings(VALUE)


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"abc", b"user:"])
@pytest.mark.parametrize("coded", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_wherever_the_value_began(before: bytes, coded: object) -> None:
    assert callable(coded)
    assert any(form in coded(before + VALUE + b" and more") for form in spellings(VALUE))


def test_lines_of_a_long_value_count_too() -> None:
    assert set(base64.encodebytes(LONG).split()[:1]) <= spellings(LONG)
    pem = b"-----BEGIN KEY-----\nABCDEFGHIJKLMNOPQRSTUVWX\n-----END KEY-----\n"
    assert b"ABCDEFGHIJKLMNOPQRSTUVWX" in spellings(pem)


def test_a_very_long_value_has_few_spellings() -> None:
    long = b"x1" * LONGEST
    assert {long} <= spellings(long)
    assert len(spellings(long)) < 200
    assert long.hex().encode() not in spellings(long)


def test_nothing_short_is_a_spelling() -> None:
    assert min(map(len, spellings(b"12345678"))) >= 8
