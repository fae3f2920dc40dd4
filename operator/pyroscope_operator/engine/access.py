"""From what an object says of its requests, and the Secrets that it refers to, to an `Access`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyroscope_operator.api.http import HttpClient
from pyroscope_operator.errors import OperatorError
from pyroscope_operator.model.access import Access
from pyroscope_operator.model.data import DataRef

Lookup = Callable[[DataRef], Mapping[str, bytes]]
"""The data of a Secret or ConfigMap; raises ReferenceProblem where there is none."""


class ReferenceProblem(OperatorError):
    """Something that an object refers to can't be used. `reason` is one of the condition Accepted:

    SecretNotFound (also for ConfigMaps and keys), SecretUnreadable (the API server does not give it), or
    InvalidSecret (what is in there can't be used). The message names field, Secret and key, and never a value.
    """


def references(client: HttpClient, namespace: str) -> frozenset[DataRef]:
    """What `client`, part of an object in `namespace`, refers to."""
    raise NotImplementedError


def resolve(client: HttpClient, namespace: str, lookup: Lookup, *, path: str = "spec") -> Access:
    """The way that `client` describes. `path` is where it stands in the object, for messages.

    Raises ReferenceProblem.
    """
    raise NotImplementedError
