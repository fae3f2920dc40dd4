"""Every profile type, from pods of two apps to the receiver, with exactly the right labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from e2e.conftest import StartApp
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import Operator, Receiver, check_deltas
from e2e.harness.wait import eventually

_NS = "profiles"
_DELTA = {"__delta__": "false"}
_CHECKOUT = {
    "interval": "3s",
    "selector": {"matchLabels": {"app": "checkout"}},
    "port": "pprof",
    "podTargetLabels": ["app.kubernetes.io/version"],
    "profilingConfig": {
        "fgprof": {"enabled": True},
        "custom": [{"name": "threads", "enabled": True, "path": "/debug/pprof/threadcreate"}],
    },
}
_PAYMENTS = {
    "interval": "3s",
    "selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["payments"]}]},
    "jobName": "payments-job",
    "profilingConfig": {
        "processCPU": {"enabled": False},
        "goroutine": {"enabled": False},
        "godeltaprofMemory": {"enabled": True},
        "godeltaprofMutex": {"enabled": True},
        "godeltaprofBlock": {"enabled": True},
    },
}
_CHECKOUT_LABELS = {
    "app_kubernetes_io_version": "v7",
    "container": "app",
    "job": f"{_NS}/checkout",
    "namespace": _NS,
    "pod": "checkout-1",
    "service_name": f"{_NS}/app",
}
_PAYMENTS_LABELS = {
    "container": "api",
    "job": "payments-job",
    "namespace": _NS,
    "pod": "payments-1",
    "service_git_ref": "main",
    "service_name": "payments",
    "service_repository": "https://git.example/payments",
}
_SERIES = [
    # app, __name__, path, query, further labels, sample types
    ("checkout", "process_cpu", "/debug/pprof/profile", "seconds=2", {}, ["samples/count", "cpu/nanoseconds"]),
    ("checkout", "memory", "/debug/pprof/allocs", "", _DELTA, None),
    ("checkout", "block", "/debug/pprof/block", "", _DELTA, ["contentions/count", "delay/nanoseconds"]),
    ("checkout", "mutex", "/debug/pprof/mutex", "", _DELTA, ["contentions/count", "delay/nanoseconds"]),
    ("checkout", "goroutine", "/debug/pprof/goroutine", "", {}, ["goroutine/count"]),
    ("checkout", "fgprof", "/debug/fgprof", "seconds=2", {}, ["samples/count", "time/nanoseconds"]),
    ("checkout", "threads", "/debug/pprof/threadcreate", "", {}, ["threadcreate/count"]),
    ("payments", "memory", "/debug/pprof/delta_heap", "", _DELTA, None),
    ("payments", "mutex", "/debug/pprof/delta_mutex", "", _DELTA, ["contentions/count", "delay/nanoseconds"]),
    ("payments", "block", "/debug/pprof/delta_block", "", _DELTA, ["contentions/count", "delay/nanoseconds"]),
]


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> Iterator[Mapping[str, PodSpec]]:
    """Two pods; their processes are started by the tests that need them."""
    cluster.namespace(_NS)
    labels = {"app": "checkout", "app.kubernetes.io/version": "v7"}
    payments = {
        "pyroscope.io/service_name": "payments",
        "pyroscope.io/service_repository": "https://git.example/payments",
        "pyroscope.io/service_git_ref": "main",
    }
    pods = {
        "checkout": PodSpec("checkout-1", "127.0.30.1", labels),
        "payments": PodSpec("payments-1", "127.0.30.2", {"app": "payments"}, container="api", annotations=payments),
    }
    for pod in pods.values():
        cluster.run_pod(_NS, pod)
    yield pods
    for pod in pods.values():
        cluster.delete_pod(_NS, pod.name)


def test_every_type_arrives_with_exactly_its_labels(
    cluster: Cluster, receiver: Receiver, operator: Operator, pods: Mapping[str, PodSpec], start_app: StartApp
) -> None:
    apps = {name: start_app(name, pods[name].ip, workload=name) for name in ("checkout", "payments")}
    cluster.scrape(_NS, "checkout", _CHECKOUT)
    cluster.scrape(_NS, "payments", _PAYMENTS)
    cluster.kubectl("wait", "-n", _NS, "--for=condition=Ready", "pyscrape/checkout", "pyscrape/payments", "--timeout=60s")

    for app, name, path, query, more, sample_types in _SERIES:
        pod = pods[app]
        own = _CHECKOUT_LABELS if app == "checkout" else _PAYMENTS_LABELS
        wanted = {**own, "instance": f"{pod.ip}:6060", "__name__": name, **more}
        found = eventually(lambda pod=pod, name=name: receiver.profiles(pod=pod.name, name=name)[2:], f"3 × {name} of {app}")
        for profile in found:
            assert profile["labels"] == wanted, name
            assert profile["samples"] > 0 and not profile["negative"], name
            assert sample_types is None or profile["sampleTypes"] == sample_types, name
        asked = apps[app].requests(path)
        assert {entry["query"] for entry in asked} == {query}, path
        assert {entry["status"] for entry in asked} == {200}, path

    assert receiver.rejected() == {"count": 0, "last": []}
    assert receiver.stats()["duplicates"] == 0
    cpu = apps["checkout"].requests("/debug/pprof/profile")
    assert all(entry["concurrentCPU"] == 0 for entry in cpu)
    names = {profile["labels"]["__name__"] for profile in receiver.profiles(service_name="payments")}
    assert names == {"memory", "mutex", "block"}
    table = cluster.kubectl("get", "pyscrape", "-n", _NS)
    assert table.splitlines()[0].split() == ["NAME", "READY", "TARGETS", "DELIVERING", "AGE"]
    assert [line.split()[:4] for line in table.splitlines()[1:]] == [
        ["checkout", "True", "1/1", "True"],
        ["payments", "True", "1/1", "True"],
    ]

    # What the app served and what arrived: google/pprof says that the differences are exact.
    labels = {"pod": "checkout-1"}
    for name, path in (("memory", "allocs"), ("mutex", "mutex"), ("block", "block")):
        report = check_deltas(receiver, [apps["checkout"].recording], f"/debug/pprof/{path}", {**labels, "__name__": name})
        assert report["keys"] > 0 and sum(report["sums"].values()) > 0
    cluster.delete_scrape(_NS, "checkout")
    cluster.delete_scrape(_NS, "payments")


def test_metrics_tell_the_same(operator: Operator) -> None:
    text = operator.get("/metrics").text
    assert 'pyroscope_fanout_latency_count{endpoint="default",write="default"}' in text
    for kind in ("process_cpu", "memory", "fgprof", "godeltaprof_block", "custom"):
        assert f'pyroscope_operator_scrapes_total{{profile_type="{kind}",result="ok"}}' in text, kind
    assert 'result="InternalError"' not in text
