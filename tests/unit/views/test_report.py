from collections.abc import Callable

from branchline.core.facts import PlanComplete, ShipComplete
from branchline.core.run_state import replay
from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.report import report

Drive = Callable[..., list[Record]]


def report_of(records: list[Record]) -> str:
    return report("RUN", records, replay(record.event for record in records))


def test_the_whole_story(pipeline_run: list[Record]) -> None:
    text = report_of(pipeline_run)
    for expected in (
        "# Run RUN\n",
        "Started 2026-11-18 11:06:40 UTC, took 1m 25s. Ended partial (exit code 5). Shipped to `main` as `cccc",
        "\nGoal: Greet people in two languages\n",
        "| a | Say hello | landed | ship | 2 | 1m 17s |  |\n",
        "| b | Say bonjour | failed | merge | 1 | 56.0s | conflict with a in greetings.txt |\n",
        "| a | rejected | `gate/rejected/a-1` | `artifacts/gates/a-1.json` | tests failed |\n",
        "| mypy | a | mypy is not installed |\n",
        "| 2 | b | dropped | conflict with a in greetings.txt |\n",
        "| cost | $0.02 (agent), unknown for 4 attempts |\n",
        "| a | scripted | 1.5k tokens | $0.02, 1 unknown |\n",
        "  task_008_execute_b #2  │",
    ):
        assert expected in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Workstreams", "## Gates", "## Not checked", "## Merge", "## Cost", "## Agents", "## Timeline",
    ]  # fmt: skip


def test_before_the_end_and_without_a_ship(pipeline_run: list[Record]) -> None:
    tags = [type(record.event).__struct_config__.tag for record in pipeline_run]
    merged = pipeline_run[: tags.index("integration_complete") + 2]
    assert " Not shipped; the merge result is `integration/" in report_of(merged)
    assert "| 1 | a | merged |  |" in report_of(merged)
    assert "| 1 | a | not merged |  |" in report_of(pipeline_run[: tags.index("merge_queue") + 1])


def test_who_planned_and_who_accepted(waiting_run: list[Record], appended: Callable[..., list[Record]]) -> None:
    assert "\nPlanned by claude_code.\n" in report_of(waiting_run)
    done = PlanComplete(task_id="task_003_planning", workstreams=("a",), digest="d", by="policy")
    assert "\nPlanned by claude_code, accepted by policy.\n" in report_of(appended(waiting_run, 1, done))


def test_stopped_at_once(drive_pipeline: Drive) -> None:
    text = report_of(drive_pipeline({"task_001_preflight": [{"state": State.FAILED, "reason": "no git"}]}))
    assert "Nothing was shipped." in text
    assert "## Merge" not in text


def test_untrusted_reasons_do_not_become_markup(drive_pipeline: Drive) -> None:
    dropped = {"b": "| <img src=x>\n# no [link](x) `code`"}
    shipped = ShipComplete(task_id="task_022_ship", target="main", commit="c", dropped=dropped)
    told = {"task_022_ship": [{"facts": (shipped,)}]}
    assert r"| \| \<img src=x\> # no \[link\](x) \`code\` |" in report_of(drive_pipeline(told))
