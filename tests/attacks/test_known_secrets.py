"""A value that the run knows is nowhere in what it keeps or says, in no spelling, whoever printed it (attack 16)."""

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from branchline.process.output import readable
from branchline.process.redaction import CHUNK, Secrets, telling
from support import Json, Project, Ran, gate, workstream, write

KEY = "q7Zk+Wm/3xR9vT1pLs8dYb2n"
SPELLED = {
    "as it is": KEY.encode(),
    "base64": base64.b64encode(KEY.encode()),
    "base64 in a longer text": base64.b64encode(b"user:" + KEY.encode() + b"\n"),
    "hexadecimal": KEY.encode().hex().encode(),
    "as xxd prints it": KEY.encode().hex(" ").encode(),
    "in a URL": quote(KEY, safe="").encode(),
    "in a URL, small letters": quote(KEY, safe="").lower().encode()
    if quote(KEY, safe="").islower()
    else b"q7Zk%2bWm%2f3xR9vT1pLs8dYb2n",
    "in JSON": json.dumps(KEY).replace("/", "\\/").encode(),
    "as numbers": ", ".join(map(str, KEY.encode())).encode(),
    "NULs": KEY.encode("utf-16-le"),
    "colours": b"".join(b"\x1b[31m%c\x1b[0m" % byte for byte in KEY.encode()),
    "no width": "\u200b".join(KEY).encode(),
    "joiners and marks": "\u2060\ufeff".join(KEY).encode(),
    "carriage returns": b"\r".join(bytes([byte]) for byte in KEY.encode()),
    "links": b"".join(b"\x1b]8;;x\x07%c" % byte for byte in KEY.encode()),
    "base64 with NULs": base64.b64encode(KEY.encode()).decode().encode("utf-16-le"),
}
TRACES = [KEY, base64.b64encode(KEY.encode()).decode().rstrip("=")[:-1], KEY.encode().hex(), quote(KEY, safe="")]


@pytest.mark.parametrize("name", SPELLED)
def test_it_is_masked_in_texts_and_in_files(tmp_path: Path, name: str) -> None:
    secrets, data = Secrets({}, [KEY]), SPELLED[name]
    said = secrets.text((b"before " + data + b" after").decode("utf-8", "surrogateescape"))
    assert "[secret]" in said
    assert (said.startswith("before "), said.endswith(" after")) == (True, True)
    for place in (0, 1000, CHUNK - 11, CHUNK, 3 * CHUNK - 1):
        log = tmp_path / f"log-{place}"
        log.write_bytes(b"-" * place + data + b"." * 99)
        secrets.clean_file(log)
        kept = log.read_bytes()
        assert len(kept) == place + len(data) + 99
        assert data not in kept
        assert not any(trace in readable(kept) for trace in TRACES)


def test_what_only_looks_alike_stays() -> None:
    secrets = Secrets({}, [KEY])
    for text in ("q7Zk", KEY[:-1], KEY.replace("W", "w"), "\x1b[31mred\x1b[0m", "a\u200bb"):
        assert secrets.text(text) == text


PRINTS = "; ".join("printf '" + "".join(f"\\{byte:03o}" for byte in data) + "\\n'" for data in SPELLED.values())


def everything(project: Project, ran: Ran) -> dict[str, str]:
    """All that was kept and said, by its place, as a person would see it."""
    run = ran.json["run_id"]
    folder = (project.root / ".runs" / run).resolve()
    found = {str(path.relative_to(folder)): readable(path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
    found |= {"stdout": ran.out, "stderr": ran.err}
    for words in (
        ("status",),
        ("show", run),
        ("log", run),
        ("trace", run),
        ("show", run, "--command", "task_005_execute_a"),
    ):
        said = project.branchline(*words)
        found[" ".join(words)] = said.out + said.err
    return found


def test_what_a_run_keeps_and_says(tmp_path: Path) -> None:
    """Neither the agent nor the gate was given the key: both have read it in a file of the checkout."""
    project = Project.make(tmp_path / "p")
    project.write({".env": f"MY_API_KEY={KEY}\n"})
    (project.root / ".git" / "info" / "exclude").write_text(".env\n")
    script = tmp_path / "prints"
    script.write_text(f"{PRINTS}; {{ {PRINTS}; }} >&2\n")
    fails = {"run": ["sh", "-c", f"sh {script}; exit 1"]}
    streams = [workstream("a", {"run": ["sh", str(script)]}, write("a.txt", "a\n")), workstream("b", fails)]
    settings: Json = {
        "gates": [gate("test", f"sh {script}; exit 1")],
        "retry": {"max_attempts": 1},
        "repair": {"rounds": 1},
        "sandbox": {"rung": 1},
    }
    ran = project.run({"goal": "g", "workstreams": streams}, settings, MY_API_KEY=KEY)
    assert ran.code in {1, 5}, ran.err
    kept = everything(project, ran)
    assert [place for place, text in kept.items() if any(trace in text for trace in TRACES)] == []
    logs = [text for place, text in kept.items() if place.endswith(".log") and "*****" in text]
    assert len(logs) >= 2, "the gate's and the agents'"


def test_which_values_of_the_environment_are_known() -> None:
    environ = {
        "A_TOKEN": "t0ken-value-1",
        "DATABASE_URL": "postgres://app:pa55word-2@db.example/x",
        "HTTPS_PROXY": "http://:pa55word-3@proxy.example:8080",
        "HOME_KEY": "/home/me/key",
        "URL": "https://example.org:8080/a@b",
    }
    assert telling(environ) == ["pa55word-2", "pa55word-3", "t0ken-value-1"]
