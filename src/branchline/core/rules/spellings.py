"""How programs spell a text: as it is, escaped for JSON, a URL, a page or a shell, in base64, in hexadecimal."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote_from_bytes

SHORTEST = 8  # bytes; what is shorter would be found in innocent text
LINES = (76, 64, 60)  # characters after which base64, PEM and xxd begin a new line
LONGEST = 1024  # bytes of a value that is spelled in every way


def spellings(value: bytes) -> set[bytes]:
    """All spellings of a value; a part of one that lies on a line of its own counts, too."""
    forms = {value, *(line for line in value.splitlines() if len(line) >= 2 * SHORTEST)}
    forms |= set(_all(value) if len(value) <= LONGEST else [*_json(value), *_base64(value)])
    return {form for form in forms if len(form) >= SHORTEST}


def _all(value: bytes) -> Iterator[bytes]:
    text = value.decode("utf-8", "surrogateescape")
    yield from _json(value)
    for safe in ("", "/", "~"):
        quoted = quote_from_bytes(value, safe=safe)
        yield from (quoted.encode(), _lower_escapes(quoted).encode(), quoted.replace("%20", "+").encode())
        yield quote_from_bytes(quoted.encode(), safe=safe).encode()  # twice
    yield value.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;").replace(b'"', b"&quot;")
    yield value.replace(b"'", b"'\\''")
    yield repr(text)[1:-1].encode("utf-8", "surrogateescape")
    for form in (
        "%{:02X}",
        "%{:02x}",
        "\\x{:02x}",
        "\\x{:02X}",
        "\\u{:04x}",
        "\\u{:04X}",
        "\\{:03o}",
        "&#{};",
        "&#x{:x};",
    ):
        yield "".join(map(form.format, value)).encode()
    for between in ("", " ", ":", ", "):
        for form in ("{:02x}", "{:02X}", *(("0x{:02x}",) if between else ())):
            yield from _wrapped(between.join(map(form.format, value)).encode())
    for between in (", ", ",", " "):
        yield between.join(map(str, value)).encode()  # an array of bytes
    yield from _base64(value)
    yield from _wrapped(base64.b32encode(value).rstrip(b"="))


def _json(value: bytes) -> Iterator[bytes]:
    text = value.decode("utf-8", "surrogateescape")
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode("utf-8", "surrogateescape")
        yield from (escaped, escaped.replace(b"/", b"\\/"))
        yield json.dumps(escaped.decode("utf-8", "surrogateescape"))[1:-1].encode("ascii")  # JSON within JSON


def _lower_escapes(quoted: str) -> str:
    first, *rest = quoted.split("%")
    return "%".join([first, *(one[:2].lower() + one[2:] for one in rest)])


def _base64(value: bytes) -> Iterator[bytes]:
    """In base64, wherever in a longer text it began: the letters that only its own bytes decide."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + value)
        own = coded[(before * 8 + 5) // 6 : (before + len(value)) * 8 // 6]
        for form in (own, own.translate(bytes.maketrans(b"+/", b"-_"))):
            yield from _wrapped(form) if before == 0 else (form,)


def _wrapped(form: bytes) -> Iterator[bytes]:
    """It, and its lines where a program would break it."""
    yield form
    for width in LINES:
        if len(form) > width:
            yield from (form[at : at + width] for at in range(0, len(form), width))
