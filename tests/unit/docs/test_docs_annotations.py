"""The examples of docs/annotations.md do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from builders import container, pod, spec

from pyroscope_operator.discovery.annotations import NAMES
from pyroscope_operator.discovery.pod import Port
from pyroscope_operator.discovery.targets import of_pod
from pyroscope_operator.model.ref import ObjectRef

PAGE = (Path(__file__).parents[3] / "docs/annotations.md").read_text()
SHOWN = [yaml.safe_load(example) for example in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
ALL = {"memory", "block", "goroutine", "mutex", "process_cpu"}
EXPECTED: list[dict[str, set[str]]] = [
    {"http://10.0.0.1:6060": ALL},
    {"http://10.0.0.1:6060": {"process_cpu", "memory"}},
    {"http://10.0.0.1:7001": {"process_cpu"}, "https://10.0.0.1:8443": {"memory"}},
]


@pytest.mark.parametrize(("shown", "expected"), list(zip(SHOWN[:3], EXPECTED, strict=True)))
def test_what_a_pod_is_scraped_for(shown: dict[str, dict[str, dict[str, str]]], expected: dict[str, set[str]]) -> None:
    (scrape,) = SHOWN[3:]
    containers = (container("app", Port("pprof", 7001), Port("http", 80)), container("sidecar"))
    subject = pod("web-0", "shop", *containers, annotations=shown["metadata"]["annotations"])
    made = of_pod(spec(**scrape["spec"]), ObjectRef("shop", "checkout"), subject)
    assert not made.drops
    assert {f"{target.scheme}://{target.address}": {p.type for p in target.profiles} for target in made.targets} == expected


def test_every_type_is_named() -> None:
    for name in NAMES.split(", "):
        assert f"`{name}`" in PAGE
