"""The way to the provider: its base URL, the proxy that the environment asks for, the headers that go through."""

from urllib.request import getproxies_environment, proxy_bypass

from multidict import CIMultiDict, MultiMapping
from yarl import URL

from branchline.agents.expand import plain
from branchline.errors import InvalidInput

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "expect", "host"),
    }
)
"""Headers that are about one connection, or that we set ourselves."""


def base_url(url: str) -> URL:
    """A provider's base URL. Raises InvalidInput if it is no plain http or https URL."""
    found = _parsed(url)
    plain_url = found is not None and found.scheme in {"http", "https"} and found.host
    if found is None or not plain_url or found.user or found.password or found.query_string or found.fragment:
        raise InvalidInput(
            f"{url.partition('?')[0].rpartition('@')[2]!r} is no base URL of a provider",
            hint="set `base_url:` to one like https://api.example.org/v1, without a name, a key or a query in it",
        )
    return found


def way_to(provider: URL) -> URL | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY ask for. Raises InvalidInput for one that we cannot use."""
    proxies = getproxies_environment()
    named = proxies.get(provider.scheme) or proxies.get("all")
    if not named or provider.host in LOOPBACK or proxy_bypass(provider.authority):
        return None
    found = _parsed(named if "://" in named else f"http://{named}")
    if found is None or found.scheme != "http" or not found.host:
        raise InvalidInput(
            f"the environment asks for a {found.scheme if found else 'broken'} proxy to {provider.host}, "
            "which metering cannot use",
            hint="name an http:// proxy in HTTPS_PROXY, or except the host by NO_PROXY",
        )
    return found


def _parsed(url: str) -> URL | None:
    try:
        return URL(url)
    except ValueError:
        return None


def passed_on(headers: MultiMapping[str], *but: str) -> CIMultiDict[str]:
    """The headers that concern the other end too, without those named in `but`."""
    named = {word.strip().lower() for value in headers.getall("connection", ()) for word in value.split(",")}
    left_out = HOP_BY_HOP.union(named, but)
    return CIMultiDict((name, plain(value)) for name, value in headers.items() if name.lower() not in left_out)
