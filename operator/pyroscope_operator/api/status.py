"""The status that the operator writes to its objects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, PlainSerializer

from pyroscope_operator.api.base import ApiModel, Listed
from pyroscope_operator.api.formats import CONDITION_TYPE, REASON

MAX_FAILURES = 10
"""Entries of `failures` at most."""


def _cut(limit: int) -> BeforeValidator:
    """Cuts a text that is too long: a status is never refused because of a long message."""

    def cut(value: Any) -> Any:
        return value[: limit - 1] + "…" if isinstance(value, str) and len(value) > limit else value

    return BeforeValidator(cut)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[AwareDatetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]
"""A moment, written in UTC and whole seconds, as Kubernetes does."""
Reason = Annotated[str, Field(pattern=REASON, max_length=64)]
Name = Annotated[str, _cut(253), Field(max_length=253)]
_Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
_Total = Annotated[int, Field(ge=0, le=2**53)]


class Condition(ApiModel):
    """One aspect of the object's state, in the usual Kubernetes shape."""

    type: Annotated[str, Field(pattern=CONDITION_TYPE, max_length=64)]
    """Accepted, Delivering, or Ready, which sums all up; of a PyroscopeScrape also Discovered and Scraping."""
    status: Literal["True", "False", "Unknown"]
    """True, False or Unknown."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """metadata.generation that this condition is about."""
    last_transition_time: Time
    """When status changed last."""
    reason: Reason
    """Why, in one CamelCase word."""
    message: Annotated[str, _cut(1024), Field(max_length=1024)]
    """Why, for people. May be empty."""


class TargetCounts(ApiModel):
    """How many pods and targets there are. A target is one address of one pod, or a static target."""

    pods: _Count = 0
    """Pods that the selectors match."""
    active: _Count = 0
    """Targets that are scraped."""
    up: _Count = 0
    """Active targets whose last scrapes succeeded."""
    down: _Count = 0
    """Active targets with a profile type whose last scrape failed."""
    dropped: _Count = 0
    """Pods and targets that are not scraped; the message of the condition Discovered says why."""


class Failure(ApiModel):
    """A scrape that failed."""

    pod: Name | None = None
    """Name of the pod, or the address of a static target."""
    container: Name | None = None
    """Name of the container."""
    profile: Name | None = None
    """Profile type."""
    reason: Reason
    """Why, in one CamelCase word."""
    message: Annotated[str, _cut(256), Field(max_length=256)] = ""
    """Why, for people. Never holds what the target answered."""


class Status(ApiModel):
    """What all kinds have in common."""

    def manifest(self) -> dict[str, Any]:
        """The status as JSON for the API server, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ScrapeStatus(Status):
    """What the operator observed; written by the operator only."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """metadata.generation that this status is about."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=10), Listed("map", ("type",))] = ()
    """Accepted: the object is valid and all that it refers to is there. Discovered: its pods and their ports were found.
    Scraping: its targets are up. Delivering: its profiles reach Pyroscope. Ready: sums these up.
    """
    targets: TargetCounts | None = None
    """How many pods and targets there are."""
    summary: Annotated[str, Field(max_length=32)] | None = None
    """Targets that are up out of all active ones, such as 12/14."""
    last_scrape_time: Time | None = None
    """When a scrape succeeded last. Refreshed every few minutes."""
    last_push_time: Time | None = None
    """When a profile was delivered last. Refreshed every few minutes."""
    failures: Annotated[tuple[Failure, ...], Field(max_length=MAX_FAILURES), Listed("atomic")] = ()
    """Some of the scrapes that fail now, at most 10."""


class EndpointStatus(ApiModel):
    """How an endpoint fares. All figures count from the start of the operator and are refreshed every few minutes."""

    name: Name
    """Name of the endpoint."""
    sent: _Total = 0
    """Profiles that it took."""
    dropped: _Total = 0
    """Profiles that will never arrive there; the metric profiles_dropped_total says why."""
    retried: _Total = 0
    """Requests that were sent again."""
    queue_profiles: _Total = 0
    """Profiles that wait."""
    queue_bytes: _Total = 0
    """Bytes of memory that they take."""
    failing_since: Time | None = None
    """Since when it takes nothing. Absent while it does."""
    reason: Reason | None = None
    """Why it takes nothing, in one CamelCase word. Absent while it does."""
    message: Annotated[str, _cut(256), Field(max_length=256)] | None = None
    """Why, for people. Never holds what the endpoint answered."""
    last_push_time: Time | None = None
    """When it last took a profile."""


class WriteStatus(Status):
    """What the operator observed; written by the operator only."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """metadata.generation that this status is about."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=10), Listed("map", ("type",))] = ()
    """Accepted: the object is valid and all that it refers to is there; if it was accepted before, the operator goes on
    as it was then. Delivering: its endpoints take profiles. Ready: sums these up.
    """
    summary: Annotated[str, Field(max_length=32)] | None = None
    """Endpoints that do not fail out of all, such as 1/2."""
    endpoints: Annotated[tuple[EndpointStatus, ...], Field(max_length=10), Listed("map", ("name",))] = ()
    """How each endpoint fares."""
