"""The board's figures for Prometheus. The only door to prometheus_client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leaderboard.contracts import LiveBoard
from leaderboard.health import Health
from leaderboard.hub_use import HubUse
from leaderboard.types import JobRecord, Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
FIRST_PARTS = frozenset({"api", "board", "gradio_api", "assets", "static", "result", "queue", "submit", "compare"})
"""First parts of addresses that are counted by name; all others are one, so that strangers cannot make new series."""


class Metrics:
    """What is counted as it happens, and what is looked up when somebody asks."""

    def __init__(self, look: Callable[[], Health], live: LiveBoard, use: HubUse | None = None) -> None:
        """`use` is what is left of the Hub, where the store lies there."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(_BoardCollector(look, live, use))
        self._requests = Counter(
            "openr1_http_requests", "HTTP requests answered", ["area", "method", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "openr1_http_request_seconds",
            "seconds until the last byte was handed over; streams of events are left out",
            ["area"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )

    def exposition(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)

    def counting(self, app: ASGIApp) -> ASGIApp:
        """The application with its HTTP requests counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            started, status, stream = time.monotonic(), 500, False

            async def sending(message: Message) -> None:
                nonlocal status, stream
                if message["type"] == "http.response.start":
                    status = message["status"]
                    stream = any(
                        key.lower() == b"content-type" and value.startswith(b"text/event-stream")
                        for key, value in message.get("headers", ())
                    )
                await send(message)

            area = _area(scope["path"])
            try:
                await app(scope, receive, sending)
            finally:
                self._requests.labels(area, scope["method"], str(status)).inc()
                if not stream:
                    self._seconds.labels(area).observe(time.monotonic() - started)

        return counted


class _BoardCollector:
    """Gauges that are made when they are asked for: nothing to keep in step."""

    def __init__(self, look: Callable[[], Health], live: LiveBoard, use: HubUse | None) -> None:
        self._look, self._live, self._use = look, live, use

    def collect(self) -> Iterable[Metric]:
        """Queue, leases, checks, and what running jobs last said."""
        health = self._look()
        ready = GaugeMetricFamily("openr1_ready", "1 where every vital check is well")
        ready.add_metric([], float(health.ready))
        checks = GaugeMetricFamily("openr1_check_ok", "1 where a check is well", labels=["check"])
        for check in health.checks:
            checks.add_metric([check.name], float(check.ok))
        jobs = GaugeMetricFamily("openr1_jobs", "jobs by status", labels=["status"])
        for status in Status:
            jobs.add_metric([status], health.jobs_by_status()[status])
        yield from (ready, checks, jobs, *_totals(health), *_sizes(health))
        if self._use is not None:
            yield from _hub(self._use)
        yield from self._running([job for job in health.jobs if job.status is Status.RUNNING])

    def _running(self, jobs: list[JobRecord]) -> Iterable[Metric]:
        names = ("done", "total", "graded", "in_flight", "tokens_per_s")
        gauges = {
            name: GaugeMetricFamily(f"openr1_job_{name}", f"{name} of a running job", labels=["job", "benchmark"])
            for name in names
        }
        beats = GaugeMetricFamily("openr1_lease_beat", "beat of a running job's lease", labels=["job"])
        for job in jobs:
            beats.add_metric([job.submission.id], job.beat)
            state = self._live.read(job.submission.id)
            for benchmark, progress in (state.progress if state else {}).items():
                for name, gauge in gauges.items():
                    value = getattr(progress, name)
                    if value is not None:
                        gauge.add_metric([job.submission.id, benchmark], value)
        yield from (beats, *gauges.values())


def _totals(health: Health) -> Iterable[Metric]:
    failures = CounterMetricFamily("openr1_job_failures", "jobs that failed, by code", labels=["code"])
    codes = [job.failure.code for job in health.jobs if job.failure is not None and job.status is Status.FAILED]
    for code in sorted(set(codes)):
        failures.add_metric([code], codes.count(code))
    lost = CounterMetricFamily("openr1_leases_lost", "leases that ended without a word")
    lost.add_metric([], sum(job.lost for job in health.jobs))
    return failures, lost


def _sizes(health: Health) -> Iterable[Metric]:
    for name, text, value in (
        ("openr1_store_seconds", "seconds that looking up the store's version took", health.store_seconds),
        ("openr1_disk_free_bytes", "bytes free where checkpoints and journals lie", health.disk_free_bytes),
        ("openr1_memory_available_bytes", "bytes that new processes may take", health.memory_available_bytes),
    ):
        gauge = GaugeMetricFamily(name, text)
        gauge.add_metric([], value)
        yield gauge


def _hub(use: HubUse) -> Iterable[Metric]:
    left = GaugeMetricFamily("openr1_hub_requests_left", "requests until the Hub's next reset", labels=["kind"])
    for kind, allowance in use.allowances().items():
        left.add_metric([kind], allowance.remaining)
    commits = GaugeMetricFamily("openr1_hub_commits_last_hour", "commits of this process in the last hour")
    commits.add_metric([], use.commits())
    waits = CounterMetricFamily("openr1_hub_waits", "times the Hub asked to wait (429)")
    waits.add_metric([], use.waits)
    yield from (left, commits, waits)
    if use.storage_bytes is not None:
        storage = GaugeMetricFamily("openr1_hub_storage_bytes", "what the store's dataset takes on the Hub")
        storage.add_metric([], use.storage_bytes)
        yield storage


def _area(path: str) -> str:
    first = path.strip("/").partition("/")[0]
    return first if first in FIRST_PARTS else "page" if not first else "other"
