"""Which agents were called, what they used, and what is left of the budget. Unknown is unknown, never zero."""

from collections.abc import Callable, Iterable, Sequence
from math import fsum

import msgspec

from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.budget import Account
from branchline.core.model.agent import Usage
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.views.format.text import count, dollars, section, table, thousands
from branchline.views.record import Timed

NOBODY = "-"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One agent, run once.

    An attempt that ended without a word on its agents is a call without `agent`, its status that of the attempt.
    `folder`: its files, in the run's folder. `manifest`: the digest of what it was given to read, with so many files and
    tokens; empty in old ledgers. `evidence`: files of `folder`, name -> SHA-256.
    """

    task_id: str
    attempt: int
    role: str
    status: str
    workstream: str = ""
    round: int = 1
    agent: str = ""
    model: str = ""
    milliseconds: int | None = None
    folder: str = ""
    usage: Usage = Usage()
    manifest: str = ""
    context_files: int = 0
    context_tokens: int = 0
    context_warning: str = ""
    evidence: dict[str, str] = {}


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """The sum of what is known (None: nothing is), and the number of attempts of which it is not known."""

    known: float | None
    unknown_attempts: int


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What a number of calls used, in tokens and US dollars; `sources` splits the known money by who says so."""

    attempts: int
    input_tokens: Used
    cached_tokens: Used
    output_tokens: Used
    cost_usd: Used
    sources: dict[str, float]


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What went to a workstream (`-`: the plan), a role, or an agent with its model."""

    name: str
    costs: Costs


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of the budget, in US dollars. An attempt of unknown cost counts as what was reserved for it.

    The limits of an attempt and of a day have no account of their own here: None.
    """

    of: str
    limit: float
    counted: float | None = None
    reserved: float | None = None
    left: float | None = None


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a run's money; `unknown` are the calls that could not tell what they cost."""

    run_id: str
    total: Costs
    workstreams: tuple[Share, ...]
    roles: tuple[Share, ...]
    agents: tuple[Share, ...]
    unknown: tuple[Call, ...]
    limits: tuple[Limit, ...]
    on_unknown: str


def calls(records: Iterable[Timed], state: RunState) -> tuple[Call, ...]:
    """The calls that a ledger tells of, or must have seen, in the order in which it knows of them.

    An attempt that is still running, or whose coordinator died, counts as one call of which nothing is known.
    """
    roles = {"execute": "editor"} | ({} if state.pins.get("plan") else {"planning": "planner"})
    found: list[Call] = []
    waiting: dict[str, int] = {}  # tasks with an attempt under way of which no agent has told anything yet

    def silent(task_id: str, status: str) -> Call:
        """The attempt under way as a call of which nothing is known."""
        task = state.records[task_id].task
        own = {name: getattr(task, name) for name in ("workstream", "round")} | {"role": roles[task.step]}
        return Call(task_id=task_id, attempt=waiting.pop(task_id), status=status, **own)

    for record in records:
        match record.event:
            case e.Transition(new_state=State.RUNNING) | e.AttemptResumed() as event:
                if state.records[event.task_id].task.step in roles:
                    waiting[event.task_id] = event.attempt
            case f.AgentCalled() as event:
                waiting.pop(event.task_id, None)
                found.append(msgspec.convert(event, Call, from_attributes=True))
            case f.ExecuteWsComplete() as event if event.task_id in waiting:  # ledgers from before `agent_called`
                usage = event.usage
                if usage.cost_usd is not None and usage.cost_source == "unknown":  # nobody else could tell then
                    usage = msgspec.structs.replace(usage, cost_source="agent")
                call = silent(event.task_id, event.status)
                found.append(msgspec.structs.replace(call, agent=event.agent, usage=usage))
            case e.Transition(old_state=State.RUNNING) as event if event.task_id in waiting:
                call = silent(event.task_id, event.error_class or event.new_state.lower())
                found += [call] if event.error_class != "AgentMissing" else []  # it failed before any agent began
            case e.AttemptInterrupted() as event if event.task_id in waiting:
                found.append(silent(event.task_id, "interrupted"))
    return (*found, *(silent(name, "running") for name in list(waiting)))


def summed(found: Sequence[Call]) -> Costs:
    """The sums over some calls."""
    sources: dict[str, list[float]] = {}
    for call in found:
        if call.usage.cost_usd is not None:
            sources.setdefault(call.usage.cost_source, []).append(call.usage.cost_usd)
    return Costs(
        attempts=len(found),
        input_tokens=_used([call.usage.input_tokens for call in found]),
        cached_tokens=_used([call.usage.cached_tokens for call in found]),
        output_tokens=_used([call.usage.output_tokens for call in found]),
        cost_usd=_used([call.usage.cost_usd for call in found]),
        sources={source: fsum(amounts) for source, amounts in sorted(sources.items())},
    )


def shares(found: Iterable[Call], name: Callable[[Call], str]) -> tuple[Share, ...]:
    """The calls summed by a name, in the order in which the names first occur."""
    groups: dict[str, list[Call]] = {}
    for call in found:
        groups.setdefault(name(call) or NOBODY, []).append(call)
    return tuple(Share(name=group, costs=summed(own)) for group, own in groups.items())


def by_workstream(found: Iterable[Call], state: RunState) -> tuple[Share, ...]:
    """The calls summed by workstream: the plan's own first, then in the order of the plan."""
    order = {str(w["id"]): number for number, w in enumerate(state.plan.get("workstreams", ()), start=1)}
    return shares(sorted(found, key=lambda call: order.get(call.workstream, 0)), lambda call: call.workstream)


def bill(run_id: str, records: Iterable[Timed], state: RunState) -> Bill:
    """Everything about the money of a pipeline's run."""
    found = calls(records, state)
    budget, spending = state.policy.budget, state.spending
    accounts: dict[str, tuple[float | None, Account | None]] = {"run": (budget.run, spending.total)}
    accounts |= {f"workstream {name}": (budget.workstream, one) for name, one in spending.workstreams.items()}
    accounts |= {"attempt": (budget.attempt, None), "day": (budget.day, None)}
    return Bill(
        run_id=run_id,
        total=summed(found),
        workstreams=by_workstream(found, state),
        roles=shares(found, lambda call: call.role),
        agents=shares(found, lambda call: " ".join(filter(None, (call.agent, call.model)))),
        unknown=tuple(call for call in found if call.usage.cost_usd is None),
        limits=tuple(_limit(of, limit, one) for of, (limit, one) in accounts.items() if limit is not None),
        on_unknown=budget.unknown,
    )


def rows(costs: Costs) -> list[tuple[str, str]]:
    """The costs as (what, how much), e.g. (`cost`, `$0.02 (agent), unknown for 2 attempts`)."""
    cached = costs.cached_tokens.known
    return [
        ("cost", _amount(costs.cost_usd, dollars, _by_source(costs))),
        ("input tokens", _amount(costs.input_tokens, "{:,.0f}".format, f" ({cached:,.0f} cached)" if cached else "")),
        ("output tokens", _amount(costs.output_tokens, "{:,.0f}".format)),
    ]


def brief(costs: Costs) -> tuple[str, str]:
    """Tokens and money in a few characters each: (`12k tokens`, `$0.02, 1 unknown`)."""
    known = [used.known for used in (costs.input_tokens, costs.output_tokens) if used.known is not None]
    money, unknown = costs.cost_usd.known, costs.cost_usd.unknown_attempts
    told = "unknown" if money is None else dollars(money) + (f", {unknown} unknown" if unknown else "")
    return f"{thousands(sum(known))} tokens" if known else "", told


def lines(bill: Bill) -> list[str]:
    """The bill as text."""
    out = [f"Run {bill.run_id}: {count(bill.total.attempts, 'call')} of agents", *table(rows(bill.total))]
    for title, found in (("workstream", bill.workstreams), ("role", bill.roles), ("agent", bill.agents)):
        shares: list[tuple[str, ...]] = [(title, "calls", "input", "cached", "output", "cost")] if found else []
        for share in found:
            used = share.costs
            tokens = [_cell(one, thousands) for one in (used.input_tokens, used.cached_tokens, used.output_tokens)]
            shares.append((share.name, str(used.attempts), *tokens, _cell(used.cost_usd, dollars) + _by_source(used)))
        out += ["", *table(shares)] if found else []
    if any("+" in line for line in out):
        out += ["", "  + and something that nobody knows"]
    calls_ = [(c.task_id, f"attempt {c.attempt}", c.role, c.agent or NOBODY, c.status) for c in bill.unknown]
    out += section(f"Cost unknown: {count(len(bill.unknown), 'call')}", table(calls_))
    if bill.limits:
        after = "no other agent is started" if bill.on_unknown == "refuse" else "the run goes on"
        limits = []
        for limit in bill.limits:
            told = dollars(limit.limit) + (" for all runs of a day" if limit.of == "day" else "")
            if limit.counted is not None:
                reserved = f", {dollars(limit.reserved)} reserved" if limit.reserved else ""
                told += f": {dollars(limit.counted)} used{reserved}, {dollars(limit.left or 0.0)} left"
            limits.append((limit.of, told))
        out += ["", "Budget", *table([*limits, ("unknown", f"{bill.on_unknown}: {after}")])]
    return out


def _used(values: Sequence[float | None]) -> Used:
    known = [value for value in values if value is not None]
    total = fsum(known) if any(isinstance(value, float) for value in known) else sum(known)
    return Used(known=total if known else None, unknown_attempts=len(values) - len(known))


def _limit(of: str, limit: float, account: Account | None) -> Limit:
    if account is None:
        return Limit(of=of, limit=limit)
    reserved, left = fsum(account.reserved.values()), account.left(limit)
    return Limit(of=of, limit=limit, counted=account.spent, reserved=reserved, left=max(0.0, left or 0.0))


def _by_source(costs: Costs) -> str:
    """Who says so: ` (agent)`, or ` ($0.02 agent, $0.03 computed)`."""
    if len(costs.sources) > 1:
        return f" ({', '.join(f'{dollars(amount)} {source}' for source, amount in costs.sources.items())})"
    return "".join(f" ({source})" for source in costs.sources)


def _amount(used: Used, form: Callable[[float], str], more: str = "") -> str:
    if used.known is None:
        return "unknown" if used.unknown_attempts else "none"
    unknown = f", unknown for {count(used.unknown_attempts, 'attempt')}" if used.unknown_attempts else ""
    return form(used.known) + more + unknown


def _cell(used: Used, form: Callable[[float], str]) -> str:
    if used.known is None:
        return "unknown"
    return form(used.known) + ("+" if used.unknown_attempts else "")
