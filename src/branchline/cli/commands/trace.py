"""`branchline trace`: a run as OpenTelemetry spans, made from its ledger."""

import os
from pathlib import Path

import click

from branchline.cli.history import History
from branchline.cli.options import file_type, of_run, run_argument
from branchline.cli.output import emit, say
from branchline.telemetry.otlp import send, write
from branchline.views.format.text import count
from branchline.views.spans import spans, trace_id

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@click.command("trace")
@run_argument
@click.option(
    "--otlp",
    metavar="URL",
    help="Send it to a collector, e.g. http://localhost:4318. [default: that of OTEL_EXPORTER_OTLP_ENDPOINT]",
)
@click.option("--file", type=file_type, metavar="FILE", help="Write it as OTLP JSON.")
@of_run
def command(*, history: History, otlp: str | None, file: Path | None, as_json: bool) -> None:
    """Send the trace of a run to a collector, or write it to a file.

    It works while the run goes on and after it has ended; the same ledger gives the same trace. Headers, certificates,
    compression and time limit come from the OTEL_EXPORTER_OTLP_* variables.
    """
    named = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    if (otlp is not None and file is not None) or not (otlp or file or named):
        raise click.UsageError("choose one: --otlp URL or --file FILE")
    made = spans(history.run_id, history.records)
    if file is not None:
        write(made, file)
    else:
        send(made, otlp or "")
    where, trace = str(file or otlp or named), trace_id(history.run_id)
    say(f"{count(len(made), 'span')} of trace {trace} -> {where}")
    if as_json:
        emit({"run_id": history.run_id, "trace_id": trace, "spans": len(made), "to": where})
