"""The operator's own metrics, all in one place; docs/metrics.md is generated from here."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.samples import Sample

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the size of every counter and nobody reads them

_LATENESS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_STALLS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Meters(NamedTuple):
    """What every good scrape of a profile type touches: to look a metric up by its labels takes as long as to count."""

    good: Counter
    seconds: Histogram


class Metrics:
    """All metrics over one registry.  Made once by the composition root, or by a test."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._gone_sent = 0
        self._gone_dropped: dict[str, int] = {}
        self._scraping()
        self._delta()
        self._pushing()
        self._connecting()
        self._controlling()
        self._tasks = self._gauge(
            "event_loop_tasks",
            "Tasks of an event loop: main, watch (of pods and objects) or namespaces (while they are watched).",
            "loop",
        )
        self.stalls = self._histogram(
            "pyroscope_operator_event_loop_stall_seconds",
            "How late the main event loop does what it has to do every 50 ms. What holds it up for less is seen now and then, "
            "what holds it up for longer always, but for up to 50 ms of it.",
            buckets=_STALLS,
        )
        self.info = self._gauge("info", "Always 1: version and mode (cluster, standalone) of the operator.", "version", "mode")
        self.setting_bytes = self._gauge(
            "setting_bytes",
            "Bytes that a setting allows, by setting: queue-size for each endpoint, the others for all of their kind together.",
            "setting",
        )
        ProcessCollector(registry=self.registry)

    def count_tasks(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        """Show how many tasks `loop` has whenever the metrics are asked for, from whatever thread."""
        self._tasks.labels(name).set_function(lambda: len(asyncio.all_tasks(loop)))

    def meters(self, profile_type: str) -> Meters:
        return Meters(self.scrapes.labels(profile_type, "ok"), self.scrape_seconds.labels(profile_type))

    def delivered(self) -> tuple[int, dict[str, int]]:
        """Profiles that were taken so far, and those that were lost by reason, at all endpoints."""
        taken = self._gone_sent + sum(sample.value for sample in self._totals(self.profiles_sent))
        lost = dict(self._gone_dropped)
        for sample in self._totals(self.profiles_dropped):
            reason = sample.labels["reason"]
            lost[reason] = lost.get(reason, 0) + int(sample.value)
        return int(taken), lost

    @staticmethod
    def _totals(counter: Counter) -> list[Sample]:
        return [sample for family in counter.collect() for sample in family.samples if sample.name.endswith("_total")]

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"pyroscope_operator_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"pyroscope_operator_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def _scraping(self) -> None:
        self.targets = self._gauge("targets", "Targets being scraped.")
        self.scrape_loops = self._gauge("scrape_loops", "Scrape loops running: targets times profile types.")
        self.scrapes = self._counter(
            "scrapes_total", "Scrapes by profile type and result (ok, or the reason of the failure).", "profile_type", "result"
        )
        self.scrape_seconds = self._histogram(
            "pyroscope_operator_scrape_duration_seconds",
            "Time from the start of a scrape to its profile being queued, without the seconds it asked the target to profile.",
            "profile_type",
        )
        self.scrape_lateness = self._histogram(
            "pyroscope_operator_scrape_lateness_seconds",
            "Time from the slot of a scrape to its start; a clock that is set forward meanwhile counts, too.",
            buckets=_LATENESS,
        )
        self.scrape_bytes = self._counter("scrape_body_bytes_total", "Bytes of profile bodies received from targets.")
        self.body_memory = self._gauge(
            "scrape_body_memory_bytes", "Bytes of bodies that scrapes hold at this moment, being read, waiting or worked on."
        )
        self.slots_skipped = self._counter(
            "scrape_slots_skipped_total", "Slots left out because the scrape before was still running."
        )

    def _delta(self) -> None:
        self.delta_seconds = self._histogram(
            "pyroscope_operator_delta_duration_seconds", "Time to compute the difference of two cumulative profiles."
        )
        self.baselines = self._counter(
            "delta_baselines_total", "Cumulative profiles kept as a new baseline instead of being sent (first scrape, restart)."
        )
        self.empty = self._counter(
            "profiles_empty_total", "Profiles without samples, which are not sent: an idle CPU, or counters that did not move."
        )

        self.baseline_memory = self._gauge(
            "delta_baseline_memory_bytes", "Bytes of what cumulative profiles are compared with, about."
        )

    def _pushing(self) -> None:
        where = ("write", "endpoint")
        self.fanout_latency = self._histogram(
            "pyroscope_fanout_latency",
            "Write latency in seconds for sending a push request to an endpoint. The write is default, or namespace/name.",
            *where,
        )
        self.pushes = self._counter(
            "push_requests_total", "Push requests by endpoint and result (ok, or the reason of the failure).", *where, "result"
        )
        self.push_bytes = self._counter("push_bytes_total", "Bytes of push requests that were answered with success.", *where)
        self.profiles_sent = self._counter("profiles_sent_total", "Profiles taken by the endpoint.", *where)
        self.profiles_dropped = self._counter(
            "profiles_dropped_total", "Profiles that will never arrive, by reason.", *where, "reason"
        )
        self.push_retries = self._counter("push_retries_total", "Push requests that were sent again.", *where)
        self.queue_bytes = self._gauge("push_queue_bytes", "Bytes of profiles waiting in the queue of an endpoint.", *where)
        self.queue_profiles = self._gauge("push_queue_profiles", "Profiles waiting in the queue of an endpoint.", *where)

    def forget_endpoint(self, write: str, endpoint: str) -> None:
        """Take what there is of an endpoint, which is no more, out of the metrics; `delivered` still counts it."""
        where = {"write": write, "endpoint": endpoint}
        for sample in self._totals(self.profiles_sent):
            if where.items() <= sample.labels.items():
                self._gone_sent += int(sample.value)
        for sample in self._totals(self.profiles_dropped):
            if where.items() <= sample.labels.items():
                reason = sample.labels["reason"]
                self._gone_dropped[reason] = self._gone_dropped.get(reason, 0) + int(sample.value)
        for metric in (
            *(self.fanout_latency, self.pushes, self.push_bytes, self.profiles_sent),
            *(self.profiles_dropped, self.push_retries, self.queue_bytes, self.queue_profiles),
        ):
            metric.remove_by_labels(where)

    def _connecting(self) -> None:
        self.transport_clients = self._gauge("transport_clients", "Different TLS settings and proxies that are in use.")
        self.tls_contexts = self._gauge("tls_contexts", "TLS contexts held: certificates and authorities that differ.")
        self.connections = self._gauge("connections", "Outgoing HTTP connections, open or being opened, by engine.", "engine")
        self.token_requests = self._counter(
            "oauth2_token_requests_total", "OAuth 2.0 tokens asked for, by result (ok, or the reason of the failure).", "result"
        )

    def _controlling(self) -> None:
        self.pods = self._gauge("pods", "Pods known from the watch.")
        self.objects = self._gauge("objects", "Objects known from the watch, by kind.", "kind")
        self.secrets = self._gauge(
            "secrets", "Secrets and ConfigMaps that objects refer to, by state (known, or unknown: missing, unreadable).", "state"
        )
        self.secret_reads = self._counter(
            "secret_reads_total", "Reads of Secrets and ConfigMaps, by result (ok, missing, failed).", "result"
        )
        self.secret_changes = self._counter("secret_changes_total", "Secrets and ConfigMaps that were found changed.")
        self.reconcile_seconds = self._histogram(
            "pyroscope_operator_reconcile_duration_seconds", "Time to compute what a change leads to."
        )
        self.change_seconds = self._histogram(
            "pyroscope_operator_change_to_loop_seconds",
            "Time from the first of some changes of pods or objects to the scrape loops being in step with them.",
        )
        self.status_writes = self._counter("status_writes_total", "Status writes by result.", "result")
        self.events = self._counter("events_total", "Kubernetes Events created, by result.", "result")
        self.watch_events = self._counter("watch_events_total", "Watch events by resource and type.", "resource", "type")
        self.watch_missed = self._counter(
            "watch_missed_total",
            "What the watches missed and a sweep found, by resource and change (deleted, or added).",
            "resource",
            "change",
        )
        self.swept = self._gauge(
            "sweep_last_success_timestamp_seconds", "Unix time of the last comparison with a list, by resource.", "resource"
        )
        self.api_server_answered = self._gauge(
            "api_server_last_success_timestamp_seconds",
            "Unix time at which the API server last did what the operator asked for; while it is away, scraping goes on.",
        )
        self.leader = self._gauge("lease_held", "1 while this process holds the Lease.")
