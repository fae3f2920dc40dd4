"""`make screenshots`: the pictures of docs/targets.md, of a real operator on an embedded control plane.

python -m e2e.screenshots
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from e2e.harness.browser import Browser, open_browser
from e2e.harness.build import ROOT, build_all
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.controlplane import ControlPlane
from e2e.harness.parts import DemoApp, Operator, Receiver
from e2e.harness.wait import eventually

_HEIGHT = 1500
_HEAD = "apiVersion: pyroscope-operator.dev/v1alpha1\n"
_OBJECTS = (
    """
kind: PyroscopeScrape
metadata: {name: checkout, namespace: shop}
spec:
  selector: {matchLabels: {app: checkout}}
  interval: 5s
  podTargetLabels: [version]
  relabelings:
    - {action: drop, sourceLabels: [__meta_kubernetes_pod_label_track], regex: canary}
""",
    """
kind: PyroscopeScrape
metadata: {name: cart, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  interval: 5s
  forwardTo: [{name: regions}]
""",
    """
kind: PyroscopeScrape
metadata: {name: everything, namespace: tooling}
spec:
  selector: {matchLabels: {app: cart}}
  namespaceSelector: {matchNames: [shop]}
  interval: 5s
""",
    """
kind: PyroscopeScrape
metadata: {name: ledger, namespace: payments}
spec:
  selector: {matchLabels: {app: ledger}}
  basicAuth:
    username: {name: ledger-pprof, key: user}
    password: {name: ledger-pprof, key: password}
""",
)
_REGIONS = """
kind: PyroscopeWrite
metadata: {name: regions, namespace: shop}
spec:
  endpoints:
    - {name: eu, url: "%s"}
    - {name: us, url: "http://127.0.45.9:4040"}
"""
_APPS = (
    ("checkout-7d9f8c6b5-2xkqp", "127.0.45.1", "checkout", "stable"),
    ("checkout-7d9f8c6b5-8wzrt", "127.0.45.2", "checkout", "stable"),
    ("cart-5c7b9d4f6-lm4vn", "127.0.45.3", "cart", "stable"),
)
_WITHOUT_PROCESS = (
    PodSpec("checkout-7d9f8c6b5-nb6jh", "127.0.45.4", {"app": "checkout", "version": "2.14.1"}),
    PodSpec("checkout-canary-6f4d-q9c2s", "127.0.45.5", {"app": "checkout", "track": "canary"}),
    PodSpec("cart-5c7b9d4f6-z7tgd", "127.0.45.6", {"app": "cart"}, port=5432, port_name="web-ui"),
)


def main() -> int:
    build_all()
    with tempfile.TemporaryDirectory(prefix="pyroscope-operator-screenshots-") as folder, ExitStack() as stack:
        operator = _scene(stack, Path(folder))
        browser = stack.enter_context(open_browser())
        for scheme, name in (("light", "targets.png"), ("dark", "targets-dark.png")):
            _take(browser, operator, scheme, ROOT / "docs" / name)
    return 0


def _take(browser: Browser, operator: Operator, scheme: str, path: Path) -> None:
    browser.size(1280, _HEIGHT)
    browser.scheme(scheme)
    browser.open(f"{operator.url}/targets")
    browser.picture(path, _HEIGHT)
    sys.stderr.write(f"[screenshots] {path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB\n")


def _scene(stack: ExitStack, folder: Path) -> Operator:
    """A shop with what can go wrong: a pod that is down, dropped ones, a duplicate, an object and an endpoint that don't work."""
    plane = ControlPlane(folder / "controlplane")
    stack.callback(plane.stop)
    cluster = Cluster(plane)
    stack.callback(cluster.close)
    for namespace in ("shop", "tooling", "payments"):
        cluster.namespace(namespace)
    receiver = Receiver(folder)
    stack.callback(receiver.stop)
    flags = ("--pyroscope-url", receiver.url, "--allow-destinations", "127.0.0.0/8", "--shutdown-grace", "1s")
    operator = Operator(folder, *flags, "--privileged-namespaces", "tooling", kubeconfig=plane.kubeconfig)
    stack.callback(operator.stop)
    operator.wait_ready()
    for name, ip, app, track in _APPS:
        workload = "checkout" if app == "checkout" else "payments"
        stack.callback(DemoApp(name, folder, ip, workload=workload, record=False).stop)
        labels = {"app": app, "version": "2.14.1", "track": track, "pod-template-hash": name.split("-")[1]}
        cluster.run_pod("shop", PodSpec(name, ip, labels, container=app, annotations={"pyroscope.io/service_name": app}))
    for pod in _WITHOUT_PROCESS:
        cluster.run_pod("shop", pod)
    for manifest in (_REGIONS % receiver.url, *_OBJECTS):
        cluster.apply(_HEAD + manifest)

    def settled() -> bool:
        """Everything was tried twice."""
        scrapes = operator.scrapes()
        failing = [one for one in operator.targets()["delivery"] if one["lastErrorReason"]]
        return len(scrapes) >= 15 and all(one["scrapes"] >= 3 for one in scrapes.values()) and bool(failing)

    eventually(settled, "every scrape was done and an endpoint fails", 90)
    return operator


if __name__ == "__main__":
    sys.exit(main())
