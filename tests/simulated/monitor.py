"""Reads every durable record of a run and knows the rules by itself: of the core's, it uses the form of a budget alone."""

from typing import Any

import msgspec

from branchline.core.budget import Budget
from simulated.fate import Fate, require

MOVES = {
    "PENDING": {"RUNNING", "SKIPPED", "CANCELLED"},
    "RUNNING": {"COMPLETED", "FAILED", "CANCELLED"},
    "FAILED": {"PENDING", "CANCELLED"},
    "COMPLETED": set[str](),
    "SKIPPED": set[str](),
    "CANCELLED": set[str](),
}
OVER = {"COMPLETED", "SKIPPED", "CANCELLED"}
CENT = 1e-6


class Line(msgspec.Struct):
    """A record as any JSON reader sees it."""

    event: str
    seq: int
    epoch: int
    context: dict[str, Any]
    task_id: str = ""
    attempt: int = 0
    old_state: str = ""
    new_state: str = ""


class Seen(msgspec.Struct):
    """What the monitor knows of one task. `given_up`: no attempt follows its failure; `replaced` by another round."""

    dependencies: list[str]
    fields: dict[str, Any]
    state: str = "PENDING"
    attempt: int = 0
    given_up: bool = False
    replaced: bool = False
    retry_at: int = 0
    hopeless: bool = False
    reserved: float = 0.0

    @property
    def over(self) -> bool:
        """Nothing follows by itself."""
        return self.state in OVER or self.given_up or self.replaced


_decode = msgspec.json.Decoder(Line).decode


class Monitor:
    """The rules of a ledger: legal moves, order, bounds, money, one end."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.tasks: dict[str, Seen] = {}
        self.policy: dict[str, Any] = {}
        self.records = self.resumes = 0
        self.running: set[str] = set()
        self.batches: dict[str, tuple[str, str]] = {}
        self.trees: list[str] = []
        self.shipped: list[str] = []
        self.taken_in: dict[str, list[str]] = {}
        self.starts: dict[str, str] = {}
        self.end: dict[str, Any] | None = None
        self.cancelled = self.stopped = self.waits = False
        self.words = 0
        self._epoch = 0
        self._proposed = False
        self._torn = self._landing = ""
        self._told: dict[str, tuple[str, str]] = {}
        self._needs: dict[tuple[str, str], str] = {}
        self._words: dict[str, str] = {}

    @property
    def budget(self) -> Budget:
        """The limits that were said last."""
        return msgspec.convert(self.policy.get("budget", {}), Budget)

    def recorded(self, task_id: str) -> int:
        """The attempt of a task that is durably under way; 0 for none."""
        return self.tasks[task_id].attempt if task_id in self.running else 0

    def to_end(self, task_id: str) -> bool:
        """Whether somebody has asked for its end, and that is durable."""
        return self.cancelled and self.tasks[task_id].fields.get("trigger") != "always"

    def take(self, data: bytes) -> None:
        """One more durable record."""
        line = _decode(data)
        require(line.seq == self.records, f"record {line.seq} where {self.records} should stand")
        require(line.epoch >= self._epoch, "the epoch went back")
        self.records, self._epoch = self.records + 1, line.epoch
        ended_before = self.end is not None
        rule = getattr(self, f"_on_{line.event}", None)
        if rule is not None:
            rule(line)
        still = line.event in {"run_resumed", "attempt_interrupted"}
        require(not ended_before or still or self.end is None, f"{line.event} after the end")

    def _on_run_start(self, line: Line) -> None:
        require(line.seq == 0, "a second beginning")
        self.policy = line.context["policy"]
        self._enter(line.context["tasks"])

    def _enter(self, tasks: list[dict[str, Any]]) -> None:
        for task in tasks:
            require(task["id"] not in self.tasks, f"{task['id']} was added twice")
            self.tasks[task["id"]] = Seen(list(task.get("dependencies", ())), task)

    def _on_tasks_added(self, line: Line) -> None:
        replaces = line.context["replaces"]
        for old in replaces.values():
            require(old not in self.running, f"{old} is redone while it runs")
            if not self.tasks[old].over:
                self._hand_on(old, self.tasks[old])
            self.tasks[old].replaced = True
            if self.tasks[old].fields.get("step") == "planning":
                self._proposed = self.waits = False
        self._enter(line.context["tasks"])
        for name, dependencies in line.context.get("rewired", {}).items():
            require(self.tasks[name].state == "PENDING", f"{name} was rewired, but is {self.tasks[name].state}")
            self.tasks[name].dependencies = dependencies
        rounds = self.policy.get("repair_rounds", 0) + 1
        for task in line.context["tasks"]:
            require(task.get("round", 1) <= rounds, f"{task['id']} is round {task.get('round')} of {rounds}")

    def _on_state_transition(self, line: Line) -> None:
        task, name = self.tasks[line.task_id], line.task_id
        require(task.state == line.old_state, f"{name} is {task.state}, not {line.old_state}")
        require(line.new_state in MOVES[task.state], f"{name}: {task.state} -> {line.new_state}")
        require(not task.given_up, f"{name} moved after it was given up")
        require(not task.replaced, f"{name} moved, but another round replaces it")
        task.state = line.new_state
        if line.new_state == "RUNNING":
            self._start(line, task)
            return
        require(line.attempt == task.attempt, f"{name} ended as attempt {line.attempt}, but is {task.attempt}")
        require("late" not in line.context.get("outputs", {}), f"{name} took a late answer")
        if line.new_state in {"CANCELLED", "SKIPPED"}:
            require(line.context.get("reason"), f"{name} is {line.new_state} for no reason")
        self.running.discard(name)
        task.reserved = 0.0
        task.retry_at = line.context.get("retry_at") or 0
        task.hopeless = task.hopeless or not line.context.get("retryable", True)
        if line.new_state in OVER:
            self._hand_on(name, task)
        if line.new_state == "COMPLETED" and task.fields.get("step") == "ship":
            self.shipped.append(self._landing)
        if line.new_state == "COMPLETED" and task.fields.get("step") == "planning" and self._proposed:
            self.waits = bool(self.policy.get("approve_plan")) and not self.cancelled

    def _hand_on(self, name: str, task: Seen) -> None:
        """A task has ended for good: what its last attempt told is what a repair begins with."""
        workstream, tree = self._told.get(name, ("", ""))
        if task.fields.get("step") == "merge":
            self.starts.pop(self._torn, None)  # it will be found again, if it is still there
            self._torn = workstream if task.state == "FAILED" else ""
            if self._torn:
                self.starts[workstream] = tree
        elif task.fields.get("step") == "code_gate" and task.state == "COMPLETED":
            self.starts.pop(task.fields["workstream"], None)
        elif tree:
            self.starts[workstream] = tree

    def _start(self, line: Line, task: Seen) -> None:
        name = line.task_id
        require(line.attempt == task.attempt + 1, f"{name} went from attempt {task.attempt} to {line.attempt}")
        require(line.attempt <= self._most(task), f"{name} has attempt {line.attempt}")
        require(not task.hopeless, f"{name} was tried again, although it cannot help")
        require(task.retry_at <= self.fate.now, f"{name} was tried again too early")
        open_ = [d for d in task.dependencies if not self.tasks[d].over]
        require(not open_, f"{name} began before {open_}")
        if task.fields.get("trigger", "completed") == "completed":
            bad = [d for d in task.dependencies if self.tasks[d].state != "COMPLETED"]
            require(not bad, f"{name} began although {bad} did not complete")
        require(not self.waits, f"{name} began while a person is to accept the plan")
        ends = self.cancelled or self.stopped
        require(not ends or task.fields.get("trigger") == "always", f"{name} began in a run that is to end")
        need = self._needs.get((task.fields.get("step", ""), task.fields.get("workstream", "")))
        require(need is None or self._words.get(name) == need, f"{name} began, but nobody has seen {need}")
        task.attempt = line.attempt
        self._told.pop(name, None)
        self._hold(line, task)

    def _most(self, task: Seen) -> int:
        policy = self.policy.get("retry", {})
        changes = [task.fields.get("retry") or {}, *policy.get("by_class", {}).values()]
        found: list[int] = [policy.get("max_attempts", 3), *(change.get("max_attempts", 0) for change in changes)]
        return max(found)

    def _hold(self, line: Line, task: Seen) -> None:
        self.running.add(line.task_id)
        task.reserved = line.context.get("reserved_usd") or 0.0
        at_work = [self.tasks[name].fields for name in self.running]
        require(len(at_work) <= self.policy.get("max_parallel", 4), "too many at once")
        for group, most in self.policy.get("groups", {}).items():
            require(sum(one.get("parallel_group") == group for one in at_work) <= most, f"too many of group {group}")
        cpu = self.policy.get("cpu")
        used = sum(one.get("resources", {}).get("cpu", 0) for one in at_work)
        require(cpu is None or used <= cpu, f"{used} CPUs of {cpu}")

    def _on_attempt_interrupted(self, line: Line) -> None:
        require(line.task_id in self.running, f"{line.task_id} was interrupted, but does not run")
        self.tasks[line.task_id].reserved = 0.0
        self._told.pop(line.task_id, None)

    def _on_attempt_resumed(self, line: Line) -> None:
        require(line.task_id in self.running, f"{line.task_id} was taken up again, but does not run")
        require(not self.waits, f"{line.task_id} went on while a person is to accept the plan")
        self._hold(line, self.tasks[line.task_id])

    def _on_gave_up(self, line: Line) -> None:
        require(self.tasks[line.task_id].state == "FAILED", f"{line.task_id} was given up without a failure")
        self.tasks[line.task_id].given_up = True
        self._hand_on(line.task_id, self.tasks[line.task_id])
        self.stopped = self.stopped or self.tasks[line.task_id].fields.get("on_failure") == "stop"

    def _on_run_resumed(self, line: Line) -> None:
        self.resumes += 1
        self.cancelled, self.stopped = self.cancelled and self.end is None, self.stopped and self.end is None
        self.end = None
        if line.context.get("budget"):
            self.policy["budget"] = line.context["budget"]

    def _on_intent_received(self, line: Line) -> None:
        self.words += 1
        if line.context["kind"] == "cancel":
            self.cancelled, self.waits = True, False

    def _on_plan_proposed(self, _line: Line) -> None:
        self._proposed = True

    def _on_plan_complete(self, _line: Line) -> None:
        self._proposed = self.waits = False

    def _on_execute_ws_complete(self, line: Line) -> None:
        self.trees.append(line.context["tree"])

    def _on_codegate(self, line: Line) -> None:
        self._needs.pop(("consume", line.context["workstream"]), None)
        if line.context["verdict"] != "approved":  # also one that nobody could check
            self._told[line.task_id] = line.context["workstream"], line.context["tree"]
        else:
            self.batches[line.context["batch"]] = line.context["workstream"], line.context["tree"]

    def _on_ws_checkpoint(self, line: Line) -> None:
        self.taken_in.setdefault(line.context["workstream"], []).append(line.context["commit"])

    def _on_merge_conflict(self, line: Line) -> None:
        self._told[line.task_id] = line.context["workstream"], line.context["tree"]

    def _on_ship_complete(self, line: Line) -> None:
        self._landing = line.context["commit"]

    def _on_integration_complete(self, _line: Line) -> None:
        self.starts.clear()
        self._needs.pop(("ship", ""), None)

    def _on_approval_needed(self, line: Line) -> None:
        self._needs[line.context["step"], line.context.get("workstream", "")] = line.context["tree"]

    def _on_approval(self, line: Line) -> None:
        self.words += 1
        self._words[line.task_id] = line.context["tree"]

    def _on_run_end(self, line: Line) -> None:
        require(self.end is None, "two ends")
        require(not self.waits, "the run ended while a person is to accept the plan")
        require(not self.running, f"the run ended while {sorted(self.running)} ran")
        left = sorted(name for name, task in self.tasks.items() if not task.over)
        require(not left, f"the run ended without {left}")
        for name, task in self.tasks.items():
            if (
                task.replaced or task.fields.get("step") == "worktrees"
            ):  # what was built on a repaired one still holds it
                continue
            stale = [d for d in task.dependencies if self.tasks[d].replaced]
            require(task.state != "COMPLETED" or not stale, f"{name} rests on {stale}, which was done again")
        self.end = line.context

    def reserved(self, workstream: str | None = None) -> float:
        """US dollars that are promised to attempts under way: of the run, or of one workstream."""
        mine = (self.tasks[name] for name in self.running)
        return sum(t.reserved for t in mine if workstream is None or t.fields.get("workstream") == workstream)
