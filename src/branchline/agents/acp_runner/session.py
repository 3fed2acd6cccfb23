"""One conversation with an agent by the Agent Client Protocol: a session, a prompt, what it may ask us for, its answer."""

import asyncio
import os
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import Any, cast
from urllib.parse import quote

import acp
import msgspec
from acp import schema
from acp.client.connection import ClientSideConnection
from pydantic import ValidationError

from branchline._version import __version__
from branchline.agents.acp_runner.order import Failed, Order, emit, refusal, write_refusal
from branchline.agents.stream import members
from branchline.core.model.agent import Usage

ANSWERS_WITHIN = 120.0  # seconds to open a session; the work itself is bounded by the attempt
TO_CANCEL = 0.5  # seconds; an agent that no longer reads would keep us
READ_ONLY = ("plan", "read-only", "ask", "architect")
"""Modes by which the agents that we know only read: the first that an agent offers is taken."""
WORKING = ("default", "auto", "build", "code")
"""Modes in which they change files, for those that start in one of the others."""
AUTH_REQUIRED = -32000
LONGEST_TEXT = 4 << 20  # characters of the last message
LAST_CALL_ONLY = frozenset({"OpenCode"})
"""Agents whose answer tells the tokens of the last call of the model for those of all: no figure is better than that."""


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


class Client:
    """Answers what the agent asks, by the rules of its order, and prints an event for all that it does.

    The library hands its messages on by keyword.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.root = os.path.realpath(order.worktree)
        self.agent = ""  # its name, once it has told it
        self.said: list[str] = []  # since its last tool
        self.spent = Spent()
        self._length = 0
        self._calls: dict[str, dict[str, Any]] = {}

    def on_connect(self, conn: acp.Agent) -> None:
        """Part of the library's interface."""

    async def session_update(self, update: Any, **_: Any) -> None:
        """What the agent says and does. Thoughts, plans and lists of commands are left out."""
        if isinstance(update, schema.AgentMessageChunk):
            self.spent.message(update.field_meta or {})
            text = update.content.text if isinstance(update.content, schema.TextContentBlock) else ""
            self._length += len(text)
            if text and self._length <= LONGEST_TEXT:
                self.said.append(text)
                emit("text", text=text)
        elif isinstance(update, schema.ToolCallStart | schema.ToolCallProgress):
            self.said.clear()
            self._length = 0
            before = self._calls.get(update.tool_call_id)
            call = self._known(update)
            if call != before:
                emit("tool", **call)
        elif isinstance(update, schema.UsageUpdate) and update.cost:
            self.spent.cost(update.cost)
            emit("usage", usage=msgspec.to_builtins(self.spent.usage))

    async def request_permission(
        self, tool_call: schema.ToolCallUpdate, options: list[schema.PermissionOption], **_: Any
    ) -> schema.RequestPermissionResponse:
        """Allow it once or refuse it; a permission that lasts would keep the agent from asking again."""
        call = self._known(tool_call)
        reason = refusal(self.order, call["kind"], [self._inside(path) for path in call["paths"]])
        once = next((option for option in options if option.kind == "allow_once"), None)
        if not reason and once is None:
            reason = "it offers no way to allow this only once"
        if reason:
            emit("denied", kind=call["kind"], title=call["title"], paths=call["paths"], reason=reason)
            once = next((option for option in options if option.kind == "reject_once"), None)
        else:
            emit("tool", **call)
        if once is None:
            return schema.RequestPermissionResponse(outcome=schema.DeniedOutcome(outcome="cancelled"))
        return schema.RequestPermissionResponse(
            outcome=schema.AllowedOutcome(outcome="selected", option_id=once.option_id)
        )

    async def write_text_file(self, path: str, content: str, **_: Any) -> schema.WriteTextFileResponse:
        """Write a whole file that the scope allows."""
        inside = self._inside(path)
        if reason := write_refusal(self.order, inside):
            emit("denied", kind="edit", title=path, paths=[path], reason=reason)
            raise _not_done(path, reason)
        target = os.path.join(self.root, str(inside))
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            # A pipe would block us without end.
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode())
        except OSError as error:
            raise _not_done(path, str(error.strerror)) from error
        emit("wrote", path=inside)
        return schema.WriteTextFileResponse()

    def _inside(self, path: str) -> str | None:
        """A path from the top of the worktree, links resolved; None if it lies outside, or is none."""
        try:
            relative = os.path.relpath(os.path.realpath(os.path.join(self.root, path)), self.root)
        except ValueError:  # a NUL character
            return None
        return None if relative in {".", ".."} or relative.startswith("../") else relative

    def _known(self, update: schema.ToolCallUpdate | schema.ToolCall) -> dict[str, Any]:
        """All that is known of a tool call: later messages tell only what is new."""
        before = self._calls.get(update.tool_call_id, {"kind": None, "title": "", "paths": [], "status": None})
        diffs = [one.path for one in update.content or () if isinstance(one, schema.FileEditToolCallContent)]
        paths = [one.path for one in update.locations or ()]
        call = {
            "kind": update.kind or before["kind"],
            "title": update.title or before["title"],
            "paths": paths or before["paths"] or diffs,  # a diff's path may be no more than the file's name
            "status": update.status or before["status"],
        }
        self._calls[update.tool_call_id] = call
        return call


def _not_done(path: str, reason: str) -> acp.RequestError:
    return acp.RequestError.invalid_params({"details": f"{path}: {reason}"})


class Spent:
    """Adds up an attempt. A cost of 0 is unknown: agents say so of models that they have no price for."""

    def __init__(self) -> None:
        self.usage = Usage()

    def message(self, meta: dict[str, Any]) -> None:
        """The metadata of a message: Qwen tells what each call of the model used there."""
        before = self.usage
        with suppress(ValidationError):  # most say nothing
            counts = _counts(schema.Usage.model_validate(meta.get("usage")))
            self._know(**{name: (getattr(before, name) or 0) + (count or 0) for name, count in counts.items()})

    def cost(self, cost: schema.Cost) -> None:
        """What the session has cost so far."""
        if cost.currency == "USD" and cost.amount > 0:
            self._know(cost_usd=cost.amount)

    def answered(self, answer: schema.PromptResponse, agent: str) -> None:
        """The answer to the prompt, which may tell what all of it used; Gemini does in its metadata."""
        counts = members(members((answer.field_meta or {}).get("quota")).get("token_count"))
        if answer.usage is not None and agent not in LAST_CALL_ONLY:
            self._know(**_counts(answer.usage))
        elif isinstance(counts.get("input_tokens"), int) and isinstance(counts.get("output_tokens"), int):
            self._know(input_tokens=counts["input_tokens"], output_tokens=counts["output_tokens"])

    def _know(self, **counts: float | None) -> None:
        self.usage = msgspec.structs.replace(self.usage, **counts)


def _counts(told: schema.Usage) -> dict[str, int | None]:
    """Its tokens, with those cached and thought, which agents count beside the others, as the protocol has it, or within."""
    apart = told.total_tokens > told.input_tokens + told.output_tokens
    cached = (told.cached_read_tokens or 0) + (told.cached_write_tokens or 0)
    return {
        "input_tokens": told.input_tokens + (cached if apart else 0),
        "output_tokens": told.output_tokens + ((told.thought_tokens or 0) if apart else 0),
        "cached_tokens": told.cached_read_tokens,
    }
