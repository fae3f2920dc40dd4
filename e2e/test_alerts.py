"""The alert rules and the dashboard, by Prometheus's own parser and engine, over the metrics that the operator has.

Each alert fires on the trouble that it is for, and on nothing else.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from e2e.harness.build import BIN, ROOT
from pyroscope_operator.api import duration
from pyroscope_operator.metrics import Metrics

pytestmark = pytest.mark.usefixtures("binaries")

_ALERTS = ROOT / "alerts/pyroscope-operator.yaml"
_DASHBOARD = ROOT / "dashboards/pyroscope-operator.json"
_RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(_ALERTS.read_text())["groups"] for rule in group["rules"]
}
_PREFIX = "PyroscopeOperator"

_GIVEN = frozenset({"namespace", "job", "instance"})
"""Labels that Prometheus adds to what it scrapes."""
_VARIABLES = {"$__rate_interval": "5m", "$namespace": "pyroscope", "$job": "operator", "$instance": "a:8080"}

Fired = dict[str, dict[str, Any]]
"""Alerts by name: one each is enough."""


def _ask(given: Iterable[Any], *command: str) -> list[Any]:
    done = subprocess.run(
        [str(BIN / "rules"), *command], input=json.dumps(list(given)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def _panels() -> dict[str, str]:
    """The expressions of the dashboard, as Grafana would send them, by where they stand."""
    found = {}
    for panel in json.loads(_DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for variable, value in _VARIABLES.items():
                expression = expression.replace(variable, value)
            found[f"{panel['title']}/{target['refId']}"] = expression
    return found


_EXPRESSIONS = _panels() | {name: rule["expr"] for name, rule in _RULES.items()}


def _known() -> dict[str, set[str]]:
    """Every series that the operator may show, by name, with the names of its labels."""
    metrics = Metrics()
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase) and metric._labelnames:
            metric.labels(*metric._labelnames)
    samples = (sample for family in metrics.registry.collect() for sample in family.samples)
    return {sample.name: set(sample.labels) for sample in samples}


def test_every_expression_is_about_metrics_that_exist() -> None:
    known = _known()
    for where, reading in zip(_EXPRESSIONS, _ask(_EXPRESSIONS.values(), "parse"), strict=True):
        assert "error" not in reading, f"{where}: {reading['error']}"
        labels = set(_GIVEN)
        for selector in reading["selectors"]:
            assert selector["metric"] in known, f"{where}: there is no {selector['metric']}"
            labels |= known[selector["metric"]]
            assert set(selector["labels"]) <= known[selector["metric"]] | _GIVEN, f"{where}: {selector}"
        assert set(reading.get("grouping") or ()) <= labels, f"{where}: by {reading['grouping']}"


def test_wrong_expressions_are_found() -> None:
    """What the test above relies on."""
    wrong, read, neither = _ask(["sum(up", 'sum by (a) (b{c="d"}) / on (e) group_left (f) g', "1"], "parse")
    assert "unclosed left parenthesis" in wrong["error"]
    assert read == {
        "selectors": [{"metric": "b", "labels": ["c"]}, {"metric": "g", "labels": []}],
        "grouping": ["e", "f", "a"],
    }
    assert neither == {}


_WHO = 'namespace="pyroscope",job="operator",instance="a:8080"'
_OURS = "pyroscope_operator_"
_TO = 'write="shop/main",endpoint="near"'


def _name(metric: str, *labels: str) -> str:
    name = metric if metric.startswith(("process_", "pyroscope_")) else f"{_OURS}{metric}"
    return f"{name}{{{','.join((_WHO, *labels))}}}"


def _buckets(metric: str, fast: str, slow: str) -> dict[str, str]:
    """A histogram of two buckets: within 5 ms, and within 5 s."""
    return {
        _name(f"{metric}_bucket", f'le="{bound}"'): values for bound, values in (("0.005", fast), ("5", slow), ("+Inf", slow))
    }


_LEASE, _LOOPS, _API = _name("lease_held"), _name("scrape_loops"), _name("api_server_last_success_timestamp_seconds")
_INFO, _STANDALONE = (_name("info", 'version="1"', f'mode="{mode}"') for mode in ("cluster", "standalone"))
_PUSHED, _NOT_PUSHED = (_name("push_requests_total", _TO, f'result="{result}"') for result in ("ok", "ServerError"))
_SCRAPED, _FAILED, _MEMORY_FULL, _OVERLOADED = (
    _name("scrapes_total", 'profile_type="memory"', f'result="{result}"')
    for result in ("ok", "Timeout", "MemoryFull", "Overloaded")
)
_SKIPPED, _QUEUE = _name("scrape_slots_skipped_total"), _name("push_queue_bytes", _TO)
_SWEPT = _name("sweep_last_success_timestamp_seconds", 'resource="pods"')
_MISSED = _name("watch_missed_total", 'resource="pods"', 'change="deleted"')
_WRITTEN, _UNWRITTEN = (_name("status_writes_total", f'result="{result}"') for result in ("ok", "Forbidden"))
_UNREADABLE = _name("secret_reads_total", 'result="failed"')

HEALTHY: dict[str, str] = {
    _INFO: "1x60",
    _LEASE: "1x60",
    _LOOPS: "30x60",
    _name("objects", 'kind="PyroscopeScrape"'): "5x60",
    _SCRAPED: "0+60x60",
    _FAILED: "0+5x60",
    _MEMORY_FULL: "0x60",
    _OVERLOADED: "0x60",
    _SKIPPED: "0+1x60",
    **_buckets("scrape_lateness_seconds", "0+60x60", "0+60x60"),
    **_buckets("event_loop_stall_seconds", "0+3000x60", "0+3000x60"),
    _PUSHED: "0+60x60",
    _NOT_PUSHED: "0+6x60",
    _name("profiles_dropped_total", _TO, 'reason="Shutdown"'): "0+1x60",
    _name("profiles_dropped_total", _TO, 'reason="Rejected"'): "3x60",
    _QUEUE: "1000x60",
    **{_name("setting_bytes", f'setting="{name}"'): "100000x60" for name in ("queue-size", "body-memory", "baseline-memory")},
    _name("setting_bytes", 'setting="queue-memory"'): "400000x60",
    _name("delta_baseline_memory_bytes"): "70000x60",
    _API: "0+60x60",
    _SWEPT: "0+60x60",
    _MISSED: "0x60",
    _WRITTEN: "0+3x60",
    _UNWRITTEN: "0+1x60",
    _name("secret_reads_total", 'result="ok"'): "0+3x60",
    _UNREADABLE: "0x60",
    _name("process_open_fds"): "100x60",
    _name("process_max_fds"): "1000x60",
}
_ELSEWHERE = 'namespace="pyroscope",job="operator",instance="b:8080"'
_STANDBY = {
    series.replace(_WHO, _ELSEWHERE): "0x60" if series in {_LEASE, _LOOPS} else values
    for series, values in HEALTHY.items()
    if series in {_LEASE, _LOOPS, _INFO, _API}
}
_WITHOUT_CLUSTER = {_INFO: None, _STANDALONE: "1x60", _LEASE: "0x60", _API: "0x60", _SWEPT: None}

Changes = Mapping[str, str | None]
"""Series with other values than in HEALTHY; None: without them."""

TROUBLES: dict[str, Changes] = {
    "Absent": dict.fromkeys(HEALTHY),
    "NoLeader": {_LEASE: "0x60"},
    "NothingScraped": {_LOOPS: "0x60"},
    "NotDelivering": {_PUSHED: "60x60"},
    "ProfilesDropped": {_name("profiles_dropped_total", _TO, 'reason="QueueFull"'): "0+1x60"},
    "QueueNearlyFull": {_QUEUE: "90000x60"},
    "QueueMemoryNearlyFull": {_QUEUE.replace("near", f"e{n}"): "70000x60" for n in range(5)},
    "ScrapesFailing": {_FAILED: "0+30x60"},
    "SlotsSkipped": {_SKIPPED: "0+6x60"},
    "ScrapesLate": _buckets("scrape_lateness_seconds", "0+50x60", "0+60x60"),
    "EventLoopStalls": _buckets("event_loop_stall_seconds", "0+2900x60", "0+3000x60"),
    "Overloaded": {_OVERLOADED: "0+1x60"},
    "MemoryFull": {_MEMORY_FULL: "0+1x60"},
    "BaselineMemoryNearlyFull": {_name("delta_baseline_memory_bytes"): "90000x60"},
    "ApiServerAway": {_API: "0x60"},
    "SweepFailing": {_SWEPT: "-4000x60"},
    "WatchMissed": {_MISSED: "0x20 1x40"},
    "StatusNotWritten": {_WRITTEN: None},
    "SecretsUnreadable": {_UNREADABLE: "0+1x60"},
    "FilesNearlyUsedUp": {_name("process_open_fds"): "900x60"},
}


def _case(changes: Changes, minutes: int = 61) -> dict[str, Any]:
    series = {**HEALTHY, **changes}
    return {"series": [f"{name} {values}" for name, values in series.items() if values is not None], "minutes": minutes}


def _play(*cases: dict[str, Any]) -> list[Fired]:
    return [{alert["name"].removeprefix(_PREFIX): alert for alert in fired} for fired in _ask(cases, "alerts", str(_ALERTS))]


def test_nothing_fires_while_all_is_well() -> None:
    assert _play(_case({}), _case(_STANDBY), _case(_WITHOUT_CLUSTER)) == [{}, {}, {}]


def test_every_alert_has_its_trouble() -> None:
    assert [_PREFIX + name for name in TROUBLES] == list(_RULES)


@pytest.mark.parametrize("name", TROUBLES)
def test_an_alert_fires_on_its_trouble_and_no_other_one_does(name: str) -> None:
    rule = _RULES[_PREFIX + name]
    patience = int(duration.parse(rule["for"])) // 60
    fired, soon = _play(_case(TROUBLES[name]), _case(TROUBLES[name], max(1, patience)))
    assert fired.keys() == {name}
    assert soon == {}, "before its time"
    alert = fired[name]
    assert alert["since"] >= patience
    assert alert["labels"]["severity"] in {"critical", "warning"}
    for text in rule["annotations"].values():
        for label in re.findall(r"\$labels\.(\w+)", text):
            assert alert["labels"].get(label), f"{label} is empty"
    for text in alert["annotations"].values():
        assert "{{" not in text
        assert "no value" not in text


def test_an_alert_says_where_and_how_much() -> None:
    (fired,) = _play(_case(TROUBLES["QueueNearlyFull"]))
    assert fired["QueueNearlyFull"]["annotations"]["summary"] == "The queue for near of shop/main is 90% full."
