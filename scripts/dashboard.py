"""What the Grafana dashboard of the operator shows, in few words."""

from __future__ import annotations

from collections.abc import Sequence

from grafana import Panel, Query, Rows, dashboard

_OURS = "pyroscope_operator_"
_ENDPOINT = "{{write}} {{endpoint}}"


def _rate(metric: str, labels: str = "@") -> str:
    return f"rate({_OURS}{metric}{{{labels}}}[$__rate_interval])"


def _total(metric: str, labels: str = "@") -> str:
    return f"sum({_rate(metric, labels)})"


def _by(labels: str, metric: str, more: str = "@") -> str:
    return f"sum by ({labels}) ({_rate(metric, more)})"


def _quantile(share: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{@}}[$__rate_interval])))"


def _quantiles(metric: str) -> tuple[Query, ...]:
    return tuple(Query(_quantile(share, metric), legend) for share, legend in ((0.5, "p50"), (0.99, "p99")))


def _gauge(metric: str, labels: str = "@") -> str:
    return f"{_OURS}{metric}{{{labels}}}"


def _process(query: str) -> str:
    """Of the operator's own processes: these metrics are those of every process."""
    return f"{query} and on (job, instance) {_gauge('info')}"


def _limit(setting: str) -> Query:
    labels = f'@, setting="{setting}"'
    return Query(f"max({_gauge('setting_bytes', labels)})", f"--{setting}")


_GOOD = '@, result="ok"'
_CLUSTER = '@, mode="cluster"'
_BAD = '@, result!="ok"'
_RED_BELOW_ONE = (("red", None), ("green", 1.0))
_RED_ABOVE_ZERO = (("green", None), ("red", 1e-9))


def _number(title: str, query: str, text: str, unit: str = "short", colours: Sequence[tuple[str, float | None]] = ()) -> Panel:
    return Panel(title, unit, (Query(query),), text, kind="stat", width=4, colours=colours or (("green", None),))


ROWS: Rows = {
    "Overview": (
        _number("Targets", f"sum({_gauge('targets')})", "Targets that are scraped, up or down."),
        _number(
            "Scrapes that succeed",
            f"{_total('scrapes_total', _GOOD)} / {_total('scrapes_total')}",
            "Share of the scrapes that brought a profile. `pyroscope-operator explain pod/NAME` says why one does not.",
            "percentunit",
            (("red", None), ("yellow", 0.9), ("green", 0.99)),
        ),
        _number("Profiles delivered", _total("profiles_sent_total"), "Profiles that Pyroscope took, per second.", "cps"),
        _number(
            "Profiles lost",
            f"{_total('profiles_dropped_total')} or vector(0)",
            "Profiles that will never arrive, per second. See drops by reason.",
            "cps",
            _RED_ABOVE_ZERO,
        ),
        _number(
            "Active operators",
            f"sum({_gauge('lease_held')} and on (job, instance) {_gauge('info', _CLUSTER)})",
            "Operators that hold the Lease: 1. Without a cluster there is none.",
            colours=_RED_BELOW_ONE,
        ),
        _number(
            "API server answered",
            f"time() - max({_gauge('api_server_last_success_timestamp_seconds')} > 0)",
            "Time since the API server last did what the operator asked for. Scraping goes on without it.",
            "s",
            (("green", None), ("yellow", 60.0), ("red", 120.0)),
        ),
        Panel(
            "Scrapes by result",
            "cps",
            (Query(_by("result", "scrapes_total"), "{{result}}"),),
            "ok, or the reason of the failure: docs/status.md says what each one means.",
            stacked=True,
        ),
        Panel(
            "Objects and pods",
            "short",
            (
                Query(f"max by (kind) ({_gauge('objects')})", "{{kind}}"),
                Query(f"max({_gauge('pods')})", "Pods"),
                Query(f"sum({_gauge('targets')})", "Targets"),
                Query(f"sum({_gauge('scrape_loops')})", "Scrape loops"),
            ),
            "What the operator knows, and what it makes of it.",
        ),
        Panel(
            "Operators",
            "short",
            (Query(f"count by (version, mode) ({_gauge('info')})", "{{version}} {{mode}}"),),
            "Processes by version.",
        ),
    ),
    "Scraping": (
        Panel(
            "Scrapes by profile type",
            "cps",
            (Query(_by("profile_type", "scrapes_total", _GOOD), "{{profile_type}}"),),
            "Scrapes that brought a profile.",
            stacked=True,
        ),
        Panel(
            "Failures by profile type and reason",
            "cps",
            (Query(_by("profile_type, result", "scrapes_total", _BAD), "{{profile_type}} {{result}}"),),
            "A type that fails everywhere is mostly not served: disable it in profilingConfig.",
        ),
        Panel(
            "Duration",
            "s",
            _quantiles(f"{_OURS}scrape_duration_seconds"),
            "From the start of a scrape to its profile being queued, without the seconds that the target profiles.",
        ),
        Panel(
            "Duration by profile type, p99",
            "s",
            (Query(_quantile(0.99, f"{_OURS}scrape_duration_seconds", "profile_type"), "{{profile_type}}"),),
            "The slowest of a hundred.",
        ),
        Panel(
            "Lateness",
            "s",
            _quantiles(f"{_OURS}scrape_lateness_seconds"),
            "From the slot of a scrape to its start: more than some milliseconds mean that the operator lacks CPU.",
        ),
        Panel(
            "Slots skipped",
            "cps",
            (Query(_total("scrape_slots_skipped_total")),),
            "Slots left out because the scrape before was still running: targets that are slower than their interval.",
        ),
        Panel("Bytes received", "Bps", (Query(_total("scrape_body_bytes_total")),), "Bodies of profiles, as they came."),
        Panel(
            "Memory of bodies",
            "bytes",
            (Query(f"sum({_gauge('scrape_body_memory_bytes')})", "held"), _limit("body-memory")),
            "What scrapes hold at this moment. At the limit the largest are given up: MemoryFull.",
        ),
        Panel(
            "Memory of baselines",
            "bytes",
            (Query(f"sum({_gauge('delta_baseline_memory_bytes')})", "held"), _limit("baseline-memory")),
            "What cumulative profiles are compared with. At the limit the largest are given up: MemoryFull.",
        ),
        Panel("Delta", "s", _quantiles(f"{_OURS}delta_duration_seconds"), "Time to compute the difference of two profiles."),
        Panel(
            "Not sent, and rightly so",
            "cps",
            (Query(_total("delta_baselines_total"), "baselines"), Query(_total("profiles_empty_total"), "empty")),
            "First profiles of a process, which are only compared with; and profiles in which nothing happened.",
        ),
        Panel(
            "Connections",
            "short",
            (
                Query(f"sum by (engine) ({_gauge('connections')})", "{{engine}}"),
                Query(f"sum({_gauge('transport_clients')})", "TLS settings and proxies"),
                Query(f"sum({_gauge('tls_contexts')})", "TLS contexts"),
            ),
            "Outgoing HTTP connections.",
        ),
    ),
    "Delivery": (
        Panel(
            "Push requests",
            "reqps",
            (Query(_by("write, endpoint, result", "push_requests_total"), f"{_ENDPOINT} {{{{result}}}}"),),
            "By endpoint and result.",
            stacked=True,
        ),
        Panel(
            "Latency",
            "s",
            tuple(
                Query(_quantile(share, "pyroscope_fanout_latency", "write, endpoint"), f"{_ENDPOINT} {name}")
                for share, name in ((0.5, "p50"), (0.99, "p99"))
            ),
            "Of push requests, by endpoint.",
        ),
        Panel(
            "Profiles delivered",
            "cps",
            (Query(_by("write, endpoint", "profiles_sent_total"), _ENDPOINT),),
            "Profiles that were taken.",
        ),
        Panel(
            "Queue",
            "bytes",
            (Query(f"sum by (write, endpoint) ({_gauge('push_queue_bytes')})", _ENDPOINT), _limit("queue-size")),
            "Profiles that wait. At the limit the oldest are lost: QueueFull.",
        ),
        Panel(
            "Profiles in the queue",
            "short",
            (Query(f"sum by (write, endpoint) ({_gauge('push_queue_profiles')})", _ENDPOINT),),
            "Grows while an endpoint is away or too slow.",
        ),
        Panel(
            "Profiles lost",
            "cps",
            (Query(_by("write, endpoint, reason", "profiles_dropped_total"), f"{_ENDPOINT} {{{{reason}}}}"),),
            "By reason: docs/status.md says what each one means.",
        ),
        Panel(
            "Retries",
            "reqps",
            (Query(_by("write, endpoint", "push_retries_total"), _ENDPOINT),),
            "Push requests that were sent again.",
        ),
        Panel(
            "Bytes delivered",
            "Bps",
            (Query(_by("write, endpoint", "push_bytes_total"), _ENDPOINT),),
            "Push requests that were taken.",
        ),
        Panel(
            "OAuth 2.0 tokens",
            "cps",
            (Query(_by("result", "oauth2_token_requests_total"), "{{result}}"),),
            "Tokens asked for, by result.",
        ),
    ),
    "Operator": (
        Panel(
            "CPU",
            "short",
            (Query(_process("rate(process_cpu_seconds_total{@}[$__rate_interval])"), "{{instance}}"),),
            "Cores in use. One thread does most of the work, so 1 is much.",
        ),
        Panel("Memory", "bytes", (Query(_process("process_resident_memory_bytes{@}"), "{{instance}}"),), "Resident."),
        Panel(
            "Event loop stalls",
            "s",
            _quantiles(f"{_OURS}event_loop_stall_seconds"),
            "How late the event loop does what it has to do. More than some 10 ms make scrapes late.",
        ),
        Panel(
            "Tasks of the event loops",
            "short",
            (Query(f"sum by (loop) ({_gauge('event_loop_tasks')})", "{{loop}}"),),
            "A number that only grows is a leak.",
        ),
        Panel(
            "Reconcile", "s", _quantiles(f"{_OURS}reconcile_duration_seconds"), "Time to compute what a change leads to."
        ),
        Panel(
            "From a change to the scrape loops",
            "s",
            _quantiles(f"{_OURS}change_to_loop_seconds"),
            "How soon a new pod is scraped.",
        ),
        Panel(
            "Watch events",
            "cps",
            (Query(_by("resource, type", "watch_events_total"), "{{resource}} {{type}}"),),
            "What the API server tells.",
        ),
        Panel(
            "Missed by the watches",
            "short",
            (Query(f"sum by (resource, change) (increase({_gauge('watch_missed_total')}[1h]))", "{{resource}} {{change}}"),),
            "What a comparison with a list found, in an hour. Should be 0.",
        ),
        Panel(
            "Since the last sweep",
            "s",
            (Query(f"time() - max by (resource) ({_gauge('sweep_last_success_timestamp_seconds')})", "{{resource}}"),),
            "The comparison with a list, every `--sweep-period`. While it fails, what the watches miss stays unseen.",
        ),
        Panel(
            "Status writes and events",
            "cps",
            (
                Query(_by("result", "status_writes_total"), "status {{result}}"),
                Query(_by("result", "events_total"), "event {{result}}"),
            ),
            "Each write wakes whoever watches the object.",
        ),
        Panel(
            "Lease",
            "short",
            (Query(_gauge("lease_held"), "{{instance}}"),),
            "1 for the operator that is active.",
        ),
        Panel(
            "Secrets and ConfigMaps",
            "short",
            (Query(f"max by (state) ({_gauge('secrets')})", "{{state}}"),),
            "That objects refer to. Unknown: missing, or not readable.",
        ),
        Panel(
            "Reads of Secrets",
            "cps",
            (
                Query(_by("result", "secret_reads_total"), "{{result}}"),
                Query(_total("secret_changes_total"), "found changed"),
            ),
            "failed: grant `get` on secrets and configmaps.",
        ),
        Panel(
            "Open files",
            "short",
            (Query(_process("process_open_fds{@}"), "{{instance}}"), Query(f"max({_process('process_max_fds{@}')})", "limit")),
            "Connections are files, too.",
        ),
    ),
}  # fmt: skip


def text() -> str:
    """The dashboard as a file for Grafana."""
    return dashboard(
        ROWS,
        f"{_OURS}info",
        uid="pyroscope-operator",
        title="Pyroscope operator",
        description="Made by `make generate` from scripts/dashboard.py: do not edit.",
        tags=["pyroscope", "profiling"],
    )
