"""What is taken for a secret, and what is not. Every key here is made up on the spot."""

import base64
import random
import string
import time

import pytest

from branchline.core.rules.secret_rules import (
    GUESSED,
    KNOWN,
    LONGEST,
    assignments,
    entropy,
    findings,
    formats,
    looks_random,
)

CHANCE = random.Random(7)


def some(count: int, letters: str = string.ascii_letters + string.digits) -> str:
    return "".join(CHANCE.choice(letters) for _ in range(count))


HEX = "0123456789abcdef"
BODY = base64.b64encode(CHANCE.randbytes(600)).decode()
LINES = "\n".join(BODY[at : at + 64] for at in range(0, len(BODY), 64))
KEYS = {
    "AWS access key": "AKIA" + some(16, string.ascii_uppercase + "234567"),
    "GitHub token": "ghp_" + some(36),
    "GitLab token": "glpat-" + some(20),
    "Slack token": f"xoxb-{some(11, string.digits)}-{some(12, string.digits)}-{some(24)}",
    "Slack web hook": f"https://hooks.slack.com/services/T{some(8)}/B{some(8)}/{some(24)}",
    "Google API key": "AIza" + some(35),
    "Google OAuth secret": "GOCSPX-" + some(28),
    "Google OAuth token": "ya29." + some(60),
    "Stripe key": "sk_live_" + some(24),
    "Stripe web hook secret": "whsec_" + some(32),
    "Anthropic key": "sk-ant-api03-" + some(80),
    "OpenAI key": "sk-proj-" + some(48),
    "API key": "sk-" + some(48),
    "Groq key": "gsk_" + some(52),
    "xAI key": "xai-" + some(80),
    "Hugging Face token": "hf_" + some(34),
    "npm token": "npm_" + some(36),
    "PyPI token": "pypi-AgEIcHlwaS5vcmc" + some(80),
    "RubyGems key": "rubygems_" + some(48, HEX),
    "Docker token": "dckr_pat_" + some(27),
    "SendGrid key": f"SG.{some(22)}.{some(43)}",
    "Shopify token": "shpat_" + some(32, HEX),
    "DigitalOcean token": "dop_v1_" + some(64, HEX),
    "Databricks token": "dapi" + some(32, HEX),
    "Linear key": "lin_api_" + some(40),
    "Vault token": "hvs." + some(90),
    "Atlassian token": "ATATT3" + some(80),
    "Grafana token": f"glsa_{some(32)}_{some(8, HEX)}",
    "Azure storage key": f"AccountKey={some(86)}==",
    "age key": "AGE-SECRET-KEY-1" + some(58, string.ascii_uppercase + string.digits),
    "Telegram token": f"{some(9, string.digits)}:AA{some(33)}",
    "JSON web token": f"eyJ{some(30)}.eyJ{some(40)}.{some(43)}",
    "private key": f"-----BEGIN RSA PRIVATE KEY-----\n{LINES}\n-----END RSA PRIVATE KEY-----",
}


def kinds(text: str) -> list[str]:
    return [one.kind for one in findings(text.encode())]


@pytest.mark.parametrize("kind", KEYS)
def test_every_format_is_found_wherever_it_stands(kind: str) -> None:
    for text in (KEYS[kind], f"x = '{KEYS[kind]}'\n", f"a\n\n  {KEYS[kind]} b", f"\0\1{KEYS[kind]}\0"):
        assert kinds(text) == [kind], text
    assert findings(f"one\ntwo\n{KEYS[kind]}\n".encode())[0].line == 3


@pytest.mark.parametrize(
    "text",
    [
        f"github_pat_{some(22)}_{some(59)}",
        f"glrt-{some(24)}",
        f"xapp-1-{some(11, string.ascii_uppercase)}-{some(13, string.digits)}-{some(64, HEX)}",
        "-----BEGIN PRIVATE KEY-----\\n" + LINES.replace("\n", "\\n") + "\\n-----END PRIVATE KEY-----\\n",
        f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{some(32, HEX)}\n\n{LINES}",
        '"-----BEGIN EC PRIVATE KEY-----",\n    "' + LINES.replace("\n", '",\n    "') + '"',
    ],
)
def test_further_forms(text: str) -> None:
    assert len(kinds(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "x" * 36,
        "-----BEGIN PUBLIC KEY-----\n" + LINES,
        "-----BEGIN CERTIFICATE-----\n" + LINES,
        "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----",
        "task-" + some(48),
        "monkey = 'ghp_short'",
        f"sha256: {some(64, HEX)}",
        f"integrity sha512-{BODY[:88]}",
        "token = '123e4567-e89b-12d3-a456-426614174000'",
        "password = 'correct horse battery staple'",
        "secret_name = 'projects/my-project/secrets/db-password-2024'",
        "api_key = os.environ['THE_KEY_OF_OURS_NUMBER_1']",
        "token: ${{ secrets.GITHUB_TOKEN }}",
        "api_key = 'your-key-here-0000-1111'",
        "secret = '0123456789abcdef0123456789abcdef'",
        "keyboard = 'a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6'",
        "postgres://user:password@localhost:5432/db",
        "access_key = getAccessKeyFromStore1For2People",
        "password = '11112222333344445555666677778888'",
    ],
)
def test_what_is_no_secret(text: str) -> None:
    assert kinds(text) == []


RANDOM = some(8, string.ascii_letters) + "7" + some(9, string.ascii_letters) + "3x9" + some(12)


@pytest.mark.parametrize(
    "text",
    [
        f"api_key = '{RANDOM}'",
        f'"clientSecret": "{RANDOM}",',
        f"DB_PASSWORD={RANDOM}",
        f"export AUTH_TOKEN={RANDOM}  # ours",
        f"  aws_secret_access_key: {RANDOM}",
        f"token => `{RANDOM}`;",
        f"SECRET_KEY_BASE='{some(64, HEX)}'",
        f"postgres://user:{RANDOM}@db.internal/x",
        f"a\r\nsigning-key: {RANDOM}\r\n",
    ],
)
def test_random_text_with_a_telling_name(text: str) -> None:
    assert len(kinds(text)) == 1
    assert RANDOM in text or GUESSED in kinds(text)


def test_guesses_are_made_for_text_alone() -> None:
    line = f"token = '{RANDOM}'\n"
    assert kinds(line + "x" * 5000 + "\n") == [GUESSED]
    assert kinds("\0" + line) == []
    assert kinds(f"{'x' * 5000} {line}") == []
    assert len(list(assignments(line.encode()))) == 1


def test_known_values_count_whatever_the_line_says() -> None:
    known = [b"hunter2hunter2", b"hunter2"]
    text = b"ok\nhunter2hunter2  # pragma: allowlist secret\nhunter2 hunter2\n"
    assert [(one.line, one.kind, one.value) for one in findings(text, known)] == [
        (2, KNOWN, b"hunter2hunter2"), (3, KNOWN, b"hunter2"), (3, KNOWN, b"hunter2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "word", ["pragma: allowlist secret", "gitleaks:allow", "nosec", "noqa: S105", "trufflehog:ignore"]
)
def test_no_line_excuses_itself(word: str) -> None:
    key = KEYS["GitHub token"]
    assert kinds(f"a = '{key}'  # {word}\n") == ["GitHub token"]
    assert kinds(f"# {word}\ntoken = '{RANDOM}'  # {word}\n") == [GUESSED]


def test_what_lies_in_another_finding_is_told_once() -> None:
    assert kinds(f"token = '{KEYS['GitHub token']}'") == ["GitHub token"]


@pytest.mark.parametrize(
    ("value", "random_"),
    [(some(40, HEX) + "a1b2", True), ("a1" * 20, False), ("deadbeef", False), ("Ab1" + some(20) + "9z", True), ("1234 5", False)],
)  # fmt: skip
def test_what_looks_random(value: str, random_: bool) -> None:
    assert looks_random(value.encode()) is random_


def test_entropy() -> None:
    assert entropy(b"aaaa") == 0
    assert entropy(bytes(range(16))) == 4


TRAPS = [
    b"-eyJ", b"eyJ", b"token", b"-----BEGIN PRIVATE KEY-----", b"://a:", b"sk-", b"key=", b'secret"]:', b"xoxb-", b"ghp_aB3",
    b":AA1", b"1:AA", b"AKIA", b"token='1a2b", b"-----BEGIN RSA PRIVATE KEY-----\nAb: c\nAd: e\n", b"glpat-.glpat-",
    b"ghp_abcdefghijklmnopqrstuvwxyzABCDEFGHIJ ", b"-hvs.-ya29.-sk-ant-xoxb-pypi-AgE-eyJ", b"token: a1b2c3d4e5f6g7h8i9j0kA\n",
    b"-----BEGIN PRIVATE KEY-----\n" + (b"Ab:" + b"," * 100 + rb"\n") * 6, b"secret=" + b"a1B2c3" * 80 + b" " * 3000 + b"x\n",
    b"token: aaaaaaaaaaaaaaaaaaaaa # ", b".eyJabcdefghijklmno.eyJabcdefghijklmn.abcdefghijklmnopqrstuvwxyz",
]  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_no_text_takes_long(trap: bytes) -> None:
    """A text made to be slow: half a megabyte, on one line and on many. It is the processor's time that counts."""
    began = time.process_time()
    for text in (trap * (500_000 // len(trap)), (trap * (200 // len(trap) + 1) + b"\n") * 2000):
        findings(text)
    assert time.process_time() - began < 5


def test_a_match_is_never_longer_than_is_said() -> None:
    endless = b"-----BEGIN PRIVATE KEY-----\n" + b"A1b2" * 10_000
    longest = max(match.end - match.start for match in formats(endless + b" eyJ" + b"a1B2c3" * 9000))
    assert longest <= LONGEST
