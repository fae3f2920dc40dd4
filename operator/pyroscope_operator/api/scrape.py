"""PyroscopeScrape: which targets are scraped, for which profiles, how often and how."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from pyroscope_operator.api import API_VERSION, duration, size
from pyroscope_operator.api.base import ApiModel, Listed, Rule
from pyroscope_operator.api.formats import NO_CONTROLS, DnsLabel, Duration, LabelKey, Size
from pyroscope_operator.api.http import HttpClient
from pyroscope_operator.api.meta import ObjectMeta
from pyroscope_operator.api.profiling import ProfilingConfig
from pyroscope_operator.api.relabel import Relabelings
from pyroscope_operator.api.scrape_rules import SCRAPE_RULES
from pyroscope_operator.api.selector import LabelSelector, NamespaceSelector
from pyroscope_operator.api.target import Annotations, Clustering, Port, Sampling, StaticTarget, WriteRef
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import ProfileRequest

KIND: Final = "PyroscopeScrape"
PLURAL: Final = "pyroscopescrapes"

_ParamValues = Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=20), Listed("atomic")]


class PyroscopeScrapeSpec(HttpClient):
    """What to scrape and how. A selector is all that is needed for pods with a port named `pprof`."""

    selector: LabelSelector | None = None
    """Pods to scrape, by their labels. `{}` selects all pods; absent, there are only the staticTargets."""
    namespace_selector: NamespaceSelector | None = None
    """Namespaces in which pods are selected. Absent: the namespace of this object."""
    static_targets: Annotated[tuple[StaticTarget, ...], Field(max_length=100), Listed("map", ("address",))] = ()
    """Targets that are not pods. Only for objects in namespaces that the administrator has privileged."""
    port: Port | None = None
    """Port that serves the profiles: the name of a container port, or a number, which no container needs to declare.
    Absent: the port named `pprof`, or the one whose name ends in -pprof or -profiles, else the only TCP port of the pod.
    A pod without such a port is dropped with the reason PortNotFound.
    """
    container: DnsLabel | None = None
    """Name of the container to scrape. Absent: the container that declares the port. A port number that no container
    declares belongs to the pod's default container (annotation kubectl.kubernetes.io/default-container, else the first).
    """
    filter_running: bool = True
    """true: only pods in the phase Running. false: Pending pods that have an IP address, too. Finished pods are never scraped."""
    annotations: Annotations = Annotations()
    job_name: Annotated[str, Field(min_length=1, max_length=512, pattern=NO_CONTROLS)] | None = None
    """Value of the label `job`. Absent: `<namespace>/<name>` of this object."""
    pod_target_labels: Annotated[tuple[LabelKey, ...], Field(max_length=20), Listed("set")] = ()
    """Keys of pod labels that are copied to the series; characters that label names can't have become _.
    Pyroscope refuses series with more than 30 labels, so name only those you query by.
    """

    scheme: Literal["http", "https"] = "http"
    """Protocol of the requests."""
    params: Annotated[dict[Annotated[str, Field(max_length=256)], _ParamValues], Field(max_length=20)] = Field(
        default_factory=dict
    )
    """Query parameters of every request. `seconds` is refused: the operator sets it (see deltaProfilingDuration)."""
    interval: Duration = "15s"
    """Time from one scrape of a target to the next, as a Go duration (units: ms, s, m, h) from 1s to 24h. An administrator
    may have set a longer minimum. A scrape that still runs when the next one is due makes that one skipped and counted.
    """
    scrape_timeout: Duration = "15s"
    """Time after which a request is given up and counts as failed. A request that carries `seconds` gets that much more.
    May be longer than interval.
    """
    delta_profiling_duration: Duration | None = None
    """How long profiles with `delta: true` measure: the value of `seconds`. Whole seconds from 1s to interval minus 1s.
    Absent: interval, rounded down to seconds, minus 1s; that is 14s of 15s.
    """
    profiling_config: ProfilingConfig = ProfilingConfig()

    relabelings: Relabelings = ()
    """Relabeling steps for the targets, before they are scraped. They may drop targets, change their labels, and say how they
    are scraped: the port of `__address__`, `__scheme__`, `__profile_path_prefix__` and `__param_<name>`. The host of
    `__address__` and the label `namespace` stay as they are. Labels that start with __ are not sent. A target that can't be
    scraped as its labels say is dropped, and the condition Discovered says InvalidTarget.
    """
    target_limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Number of targets at most, after sampling. When exceeded, the targets above the limit are not scraped and the condition
    Discovered says LimitExceeded; which ones stays the same as targets come and go. An administrator may have set a lower
    limit. Absent: the operator's limit.
    """
    label_limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Number of labels on a series at most. All that this object puts on it count, `__name__` and `__delta__` too; the
    externalLabels of a PyroscopeWrite do not, but Pyroscope's own limit, which is 30 by default, counts them. Targets with
    more are not scraped and the condition Discovered says LimitExceeded. Absent: no limit but Pyroscope's own.
    """
    body_size_limit: Size | None = None
    """Size of a profile at most, before and after decompression, such as 16MiB (KB and KiB both are 1024 bytes).
    A larger one is thrown away and the scrape counts as failed. Absent or 0: the operator's limit.
    """
    sampling: Sampling | None = None
    """Scrapes only a share of the targets. Absent: all of them."""
    forward_to: Annotated[tuple[WriteRef, ...], Field(max_length=10), Listed("map", ("name",))] = ()
    """PyroscopeWrite objects in this namespace; each gets every profile. Absent: the operator's default write."""
    clustering: Clustering = Clustering()
    suspend: bool = False
    """true: nothing is scraped until it is false again; the object stays."""

    rules: ClassVar[tuple[Rule, ...]] = SCRAPE_RULES

    @property
    def interval_seconds(self) -> float:
        return duration.parse(self.interval)

    @property
    def timeout_seconds(self) -> float:
        """Timeout of a request without `seconds`; others get these on top."""
        return duration.parse(self.scrape_timeout)

    @property
    def delta_seconds(self) -> int:
        """Value of `seconds` in requests for profiles with delta."""
        if self.delta_profiling_duration is not None:
            return int(duration.parse(self.delta_profiling_duration))
        return math.floor(self.interval_seconds) - 1

    def body_limit(self, default: int) -> int:
        """Largest profile in bytes; `default` where the object sets none."""
        return (size.parse(self.body_size_limit) if self.body_size_limit else 0) or default

    def writes(self, namespace: str) -> tuple[ObjectRef, ...]:
        """The PyroscopeWrites that get the profiles of an object in `namespace`; empty: the operator's default write."""
        return tuple(ObjectRef(namespace, write.name) for write in self.forward_to)

    def job(self, ref: ObjectRef) -> str:
        """Value of the label `job` for targets of the object `ref`."""
        return self.job_name or str(ref)

    def profiles(self, path_prefix: str | None = None) -> tuple[ProfileRequest, ...]:
        """The profiles to take from a target; `path_prefix` takes the place of profilingConfig's, unless it is None."""
        config = self.profiling_config
        if path_prefix is not None:
            config = config.model_copy(update={"path_prefix": path_prefix})
        return config.requests(self.delta_seconds)


class PyroscopeScrape(ApiModel):
    """Scrapes pprof profiles from pods (or other targets) and sends them to Pyroscope."""

    api_version: Literal["pyroscope-operator.dev/v1alpha1"] = API_VERSION
    kind: Literal["PyroscopeScrape"] = KIND
    metadata: ObjectMeta
    spec: PyroscopeScrapeSpec

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(self.metadata.namespace, self.metadata.name)
