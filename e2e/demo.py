"""`make demo`: the real thing on an embedded control plane, with a table at the end.

    python -m e2e.demo

A PyroscopeScrape is applied to a real kube-apiserver, Kopf handlers notice it and the
pods, real Go processes are scraped, and their profiles arrive through push.v1.
DEMO_PYROSCOPE_URL pushes to a Pyroscope of yours instead of the built-in receiver.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from e2e.harness.build import BIN, build_all
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.controlplane import ControlPlane
from e2e.harness.parts import DemoApp, Operator, Receiver
from e2e.harness.wait import Hopeless, eventually

_NAMESPACE = "shop"
_CHECKOUT = """
apiVersion: pyroscope-operator.dev/v1alpha1
kind: PyroscopeScrape
metadata: {name: checkout, namespace: shop}
spec:
  selector: {matchLabels: {app: checkout}}
  port: pprof
  interval: 5s
  profilingConfig:
    fgprof: {enabled: true}
    custom:
      - {name: threads, enabled: true, path: /debug/pprof/threadcreate}
"""
_PAYMENTS = """
apiVersion: pyroscope-operator.dev/v1alpha1
kind: PyroscopeScrape
metadata: {name: payments, namespace: shop}
spec:
  selector: {matchLabels: {app: payments}}
  interval: 5s
"""
_TYPES = ("process_cpu", "memory", "block", "mutex", "goroutine", "fgprof", "threads")
_PODS = (
    ("checkout-6d5f9-a", "127.0.40.1", "checkout"),
    ("checkout-6d5f9-b", "127.0.40.2", "checkout"),
    ("payments-7c8b4-a", "127.0.40.3", "payments"),
)


def main() -> int:
    """Returns 0 when every profile type has arrived."""
    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stop.set())
    build_all()
    try:
        with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="pyroscope-operator-demo-") as folder:
            return _demo(stack, Path(folder), stop)
    except (AssertionError, Hopeless) as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1


def _demo(stack: ExitStack, folder: Path, stop: threading.Event) -> int:
    _say("starting etcd and kube-apiserver")
    plane = ControlPlane(folder / "controlplane")
    stack.callback(plane.stop)
    cluster = Cluster(plane)
    stack.callback(cluster.close)
    cluster.namespace(_NAMESPACE)

    receiver = None
    url = os.environ.get("DEMO_PYROSCOPE_URL", "")
    if not url:
        receiver = Receiver(folder)
        stack.callback(receiver.stop)
        url = receiver.url
    _say(f"starting the operator, which pushes to {url}")
    flags = ("--pyroscope-url", url, "--status-interval", "2s")
    operator = Operator(folder, *flags, kubeconfig=plane.kubeconfig)
    stack.callback(operator.stop)
    operator.wait_ready()

    _start_pods(stack, cluster, folder)
    _say("kubectl apply: two PyroscopeScrapes")
    print(_CHECKOUT.strip(), flush=True)
    cluster.apply(_CHECKOUT)
    cluster.apply(_PAYMENTS)
    _say("kubectl wait --for=condition=Ready pyscrape --all")
    print(cluster.kubectl("wait", "-n", _NAMESPACE, "--for=condition=Ready", "pyscrape", "--all", "--timeout=90s"))
    if receiver is not None:
        _say("waiting until every profile type has arrived")
        eventually(lambda: _arrived(receiver), "every profile type has arrived", 90)
        _tables(receiver)
    print(cluster.kubectl("get", "pyscrape", "-n", _NAMESPACE, "-o", "wide"))
    _stay(operator, plane, stop)
    return 0


def _start_pods(stack: ExitStack, cluster: Cluster, folder: Path) -> None:
    _say(f"starting {len(_PODS)} pods: real Go processes on loopback addresses")
    for name, ip, app in _PODS:
        process = DemoApp(name, folder, ip, workload=app)
        stack.callback(process.stop)
        annotations = {"pyroscope.io/service_name": app}
        cluster.run_pod(_NAMESPACE, PodSpec(name, ip, {"app": app}, annotations=annotations))


def _arrived(receiver: Receiver) -> bool:
    seen = {(row["service_name"], row["name"]): row["profiles"] for row in receiver.summary()}
    return all(seen.get(("checkout", name), 0) >= 2 for name in _TYPES) and seen.get(("payments", "memory"), 0) >= 2


def _tables(receiver: Receiver) -> None:
    rows = [(r["service_name"], r["name"], str(r["profiles"]), str(r["samples"]), str(r["bytes"])) for r in receiver.summary()]
    _table(("SERVICE_NAME", "PROFILE TYPE", "PROFILES", "SAMPLES", "BYTES"), rows)
    for service, name, sample_type in (
        ("checkout", "process_cpu", "cpu/nanoseconds"),
        ("payments", "memory", "alloc_space/bytes"),
    ):
        top = receiver.top(service, name, sample_type)
        rows = [(t["function"], str(t["flat"]), str(t["cum"]), t["unit"]) for t in top]
        _table((f"TOP FUNCTIONS: {service}, {name}", "FLAT", "CUM", "UNIT"), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    print()
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(flush=True)


def _stay(operator: Operator, plane: ControlPlane, stop: threading.Event) -> None:
    """Stay up for a person to look around; a script has seen enough."""
    if not sys.stdout.isatty():
        return
    print("Look around, and end with Ctrl-C:")
    print(f"  {BIN / 'kubectl'} --kubeconfig {plane.kubeconfig} get pyscrape -A -o yaml")
    print(f"  curl {operator.url}/api/v1/targets")
    print(f"  curl {operator.url}/metrics", flush=True)
    stop.wait()


def _say(text: str) -> None:
    print(f"[demo] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
