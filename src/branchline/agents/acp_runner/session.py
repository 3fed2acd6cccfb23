"""One conversation with an agent by the Agent Client Protocol: a session, a prompt, its answer."""

import asyncio
import os
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import cast
from urllib.parse import quote

import acp
import msgspec
from acp import schema
from acp.client.connection import ClientSideConnection
from pydantic import ValidationError

from branchline._version import __version__
from branchline.agents.acp_runner.client import Client
from branchline.agents.acp_runner.order import Failed, Order, emit

ANSWERS_WITHIN = 120.0  # seconds to open a session; the work itself is bounded by the attempt
TO_CANCEL = 0.5  # seconds; an agent that no longer reads would keep us
READ_ONLY = ("plan", "read-only", "ask", "architect")
"""Modes by which the agents that we know only read: the first that an agent offers is taken."""
WORKING = ("default", "auto", "build", "code")
"""Modes in which they change files, for those that start in one of the others."""
AUTH_REQUIRED = -32000


async def converse(order: Order, to_agent: StreamWriter, from_agent: StreamReader) -> None:
    """One prompt and its answer. Raises Failed, or ConnectionError if the agent ends; cancelled, it stops the agent."""
    client = Client(order)
    connection = acp.connect_to_agent(cast("acp.Client", client), to_agent, from_agent)
    try:
        async with asyncio.timeout(ANSWERS_WITHIN):
            client.agent = await _greet(connection)
            session = await connection.new_session(cwd=order.worktree, mcp_servers=[])
            emit("session", id=session.session_id)
            await _choose_mode(connection, session, order)
            if order.model:
                option = _option(session, "model")
                if option is None or order.model not in _values(option):
                    only = f"only: {', '.join(_values(option))}" if option else "nor any other: say {model} in its args"
                    raise Failed("unsupported", f"it does not offer the model {order.model}, {only}")
                await connection.set_config_option(
                    config_id=option.id, session_id=session.session_id, value=order.model
                )
        client.said.clear()  # Gemini answers a change of mode with a message
        answer = await _ask(connection, order, session.session_id)
    except acp.RequestError as error:
        # Agents hide the telling words in an error's data.
        data = error.data if isinstance(error.data, dict) else {}
        words = ": ".join(filter(None, (str(error), str(data.get("details") or ""))))
        words = f"authentication required: {words}" if error.code == AUTH_REQUIRED else words
        raise Failed("agent", words, error.code) from error
    except ValidationError as error:
        raise Failed("protocol", f"its answer is none of the protocol's: {error.errors()[0]['msg']}") from error
    except TimeoutError as error:
        raise Failed("protocol", f"it opened no session within {ANSWERS_WITHIN:g} s") from error
    client.spent.answered(answer, client.agent)
    emit("usage", usage=msgspec.to_builtins(client.spent.usage))
    emit("result", stop_reason=answer.stop_reason, text="".join(client.said))


async def _greet(connection: ClientSideConnection) -> str:
    """Agree on the protocol; the agent's name, if it has one."""
    hello = await connection.initialize(
        protocol_version=acp.PROTOCOL_VERSION,
        # To read through us would win nothing, and Gemini could then create no file: it takes "not found" for a failure.
        client_capabilities=schema.ClientCapabilities(fs=schema.FileSystemCapabilities(write_text_file=True)),
        client_info=schema.Implementation(name="branchline", version=__version__),
    )
    if hello.protocol_version != acp.PROTOCOL_VERSION:
        versions = f"it speaks version {hello.protocol_version} of the protocol, we {acp.PROTOCOL_VERSION}"
        raise Failed("unsupported", versions)
    if hello.agent_info is None:
        return ""
    emit("agent", name=hello.agent_info.name, version=hello.agent_info.version)
    return hello.agent_info.name


async def _choose_mode(connection: ClientSideConnection, session: schema.NewSessionResponse, order: Order) -> None:
    """For reading, a mode that only reads; for editing, one that does not. An agent without modes may edit."""
    option = _option(session, "mode")
    if session.modes:
        now, offered = session.modes.current_mode_id, [mode.id for mode in session.modes.available_modes]
    else:
        now, offered = (option.current_value, _values(option)) if option else ("", [])
    wanted = READ_ONLY if order.mode == "read" else WORKING
    if now in wanted or (order.mode == "edit" and now not in READ_ONLY):
        return
    mode = next((one for one in wanted if one in offered), None)
    if mode is None:
        raise Failed("unsupported", f"it has no mode to {order.mode} in, only: {', '.join(offered) or 'none'}")
    if session.modes:
        await connection.set_session_mode(mode_id=mode, session_id=session.session_id)
    elif option:
        await connection.set_config_option(config_id=option.id, session_id=session.session_id, value=mode)


def _option(session: schema.NewSessionResponse, category: str) -> schema.SessionConfigOptionSelect | None:
    selects = (one for one in session.config_options or () if isinstance(one, schema.SessionConfigOptionSelect))
    return next((one for one in selects if one.category == category), None)


def _values(option: schema.SessionConfigOptionSelect) -> list[str]:
    groups = ([one] if isinstance(one, schema.SessionConfigSelectOption) else one.options for one in option.options)
    return [choice.value for group in groups for choice in group]


async def _ask(connection: ClientSideConnection, order: Order, session_id: str) -> schema.PromptResponse:
    links = [
        schema.ResourceContentBlock(
            type="resource_link",
            name=os.fsencode(file.path).decode(errors="replace"),
            uri="file://" + quote(os.fsencode(os.path.join(order.worktree, file.path))),
        )
        for file in order.context
    ]
    try:
        return await connection.prompt(session_id=session_id, prompt=[acp.text_block(order.prompt), *links])
    except asyncio.CancelledError:
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(TO_CANCEL):
                await connection.cancel(session_id=session_id)
        raise
