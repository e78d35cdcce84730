"""How a result's requests were served: which server did what, and how many requests each was given over time."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.types import CapPoint, ReplicaRecord, StreamRecord
from leaderboard.contracts import LivePoint
from leaderboard.live_charts import over_time
from leaderboard.types import ResultRow
from leaderboard.views.markup import NOTHING, Column, Html, Row, count, duration, fill, join, moment, table

MOST_SERVERS = 8
"""More servers than these are counted in the table and not drawn."""
COLUMNS = (
    Column(head="Server"),
    Column(head="Answers", numeric=True),
    Column(head="Tokens", numeric=True),
    Column(head="Requests sent", numeric=True),
    Column(head="Faults", numeric=True),
    Column(head="Turned away", numeric=True),
    Column(head="Restarts", numeric=True),
    Column(head="Most in flight", numeric=True),
)


def serving_section(row: ResultRow) -> Html:
    """A table and two pictures per stream of requests; nothing for results of which it was not recorded."""
    if not row.streams:
        return NOTHING
    return fill("<section><h2>How it was served</h2>{streams}</section>", streams=join(map(_stream, row.streams)))


def _stream(record: StreamRecord) -> Html:
    rows = [Row(cells=_cells(number, replica)) for number, replica in enumerate(record.replicas, 1)]
    caption = fill("Asked from {when} for {time}", when=moment(record.started_at), time=duration(record.wall_s))
    drawn = [_charts(number, replica) for number, replica in enumerate(record.replicas[:MOST_SERVERS], 1)]
    return join([table(caption=caption, columns=COLUMNS, rows=rows), *drawn])


def _cells(number: int, replica: ReplicaRecord) -> tuple[object, ...]:
    return (
        count(number),
        count(replica.answered),
        count(replica.completion_tokens),
        count(replica.requests_sent),
        count(replica.transient_faults),
        count(replica.back_pressure),
        count(replica.restarts),
        count(max((point.in_flight for point in replica.history), default=0)),
    )


def _charts(number: int, replica: ReplicaRecord) -> Html:
    allowed, used = (_points(replica.history, allowed=allowed) for allowed in (True, False))
    cuts = sum(point.why in ("preempted", "turned away") for point in replica.history)
    said = (
        fill("<p class='quiet'>{n} times the server had too much and was given less.</p>", n=cuts) if cuts else NOTHING
    )
    charts = [
        over_time(allowed, lambda point: point.in_flight, title=f"Requests allowed, server {number}", unit=""),
        over_time(used, lambda point: point.in_flight, title=f"Requests in flight, server {number}", unit=""),
        over_time(used, _percent, title=f"KV cache in use, server {number}", unit=" %", top=100.0),
    ]
    return fill("<div class='small-charts'>{charts}</div>{said}", charts=join(charts), said=said)


def _points(history: Sequence[CapPoint], *, allowed: bool) -> list[LivePoint]:
    return [
        LivePoint(
            at_s=point.at_s,
            done=0,
            graded=0,
            in_flight=point.cap if allowed else point.in_flight,
            kv_usage=point.kv_usage,
        )
        for point in history
    ]


def _percent(point: LivePoint) -> float | None:
    return None if point.kv_usage is None else 100 * point.kv_usage
