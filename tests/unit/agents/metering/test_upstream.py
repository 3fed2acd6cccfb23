import pytest
from multidict import CIMultiDict
from yarl import URL

from branchline.agents.metering.proxy import base_url, passed_on, way_to
from branchline.errors import InvalidInput


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    "url",
    [
        *("", "api.example.org", "ftp://x", "http://", "http://x:port", "https://u:p@x/v1", "https://u@x/v1"),
        *("https://x/?key=s3cret", "https://x/#there", "https://:p@x"),
    ],
)
def test_what_is_no_base_url(url: str) -> None:
    with pytest.raises(InvalidInput, match="no base URL") as caught:
        base_url(url)
    assert "s3cret" not in str(caught.value)
    assert "u:p" not in str(caught.value)


def test_a_proxy_for_one_scheme_or_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    https, http = URL("https://model.invalid/v1"), URL("http://model.invalid/v1")
    assert way_to(https) is None
    monkeypatch.setenv("https_proxy", "http://me:pw@one.invalid:3128")
    assert way_to(https) == URL("http://me:pw@one.invalid:3128")
    assert way_to(http) is None
    monkeypatch.setenv("all_proxy", "two.invalid:8080")
    assert way_to(http) == URL("http://two.invalid:8080")


def test_loopback_and_no_proxy_go_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://one.invalid")
    assert way_to(URL("http://127.0.0.1:8000/v1")) is None
    assert way_to(URL("http://model.invalid")) is not None
    monkeypatch.setenv("no_proxy", "model.invalid")
    assert way_to(URL("http://model.invalid")) is None


@pytest.mark.parametrize(
    ("named", "kind"), [("socks5://127.0.0.1:1", "socks5"), ("https://x:1", "https"), ("http://x:port", "broken")]
)
def test_a_proxy_that_we_cannot_use(monkeypatch: pytest.MonkeyPatch, named: str, kind: str) -> None:
    monkeypatch.setenv("https_proxy", named)
    with pytest.raises(InvalidInput, match=f"a {kind} proxy to model.invalid"):
        way_to(URL("https://model.invalid"))


def test_what_concerns_one_connection_is_not_passed_on() -> None:
    given = [
        ("Host", "x"),
        ("Connection", "keep-alive, X-Mine"),
        ("x-mine", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "7"),
        ("Authorization", "Bearer k"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-Latin", "caf\udce9"),
    ]
    passed = [("Authorization", "Bearer k"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "caf?")]
    assert list(passed_on(CIMultiDict(given), "content-length").items()) == passed
    assert list(passed_on(CIMultiDict(given)).items()) == [("Content-Length", "7"), *passed]
