"""A loopback proxy between an agent and its provider: it counts and cuts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from branchline.agents.base import Agent
from branchline.core.model.agent import AgentRequest
from branchline.core.model.pricing import Price
from branchline.errors import InvalidInput

if TYPE_CHECKING:
    from branchline.agents.metering.proxy import Proxy


@contextmanager
def metered(
    agent: Agent,
    request: AgentRequest,
    *,
    prices: Mapping[str, Price],
    limit_usd: float | None,
    folder: Path,
) -> "Iterator[tuple[AgentRequest, Proxy]]":
    """A request by way of a proxy, and that proxy: its `usage`, its `cut()`; both only until the end of the `with`.

    `folder` receives transcript.jsonl. Raises InvalidInput if the agent cannot be sent to a proxy, or its provider is
    not known.
    """
    from branchline.agents.metering.proxy import Proxy

    name, upstream = agent.spec.id, agent.spec.base_url or agent.provider
    if "endpoint" not in agent.abilities:
        raise InvalidInput(
            f"agent {name} cannot be metered: it cannot be sent to another endpoint",
            hint=f"take `meter: true` away from agent {name}, or use {{base_url}} in its command",
        )
    if not upstream:
        raise InvalidInput(
            f"agent {name} cannot be metered: its provider is not known",
            hint=f"set `base_url:` of agent {name} to its provider's base URL",
        )
    with Proxy(upstream, folder, prices, limit_usd) as proxy:
        yield msgspec.structs.replace(request, endpoint=proxy.endpoint), proxy
