"""What is asked of `/api/v1/explain`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_LONGEST = 512
"""Characters of a name or an address."""


class Asked(NamedTuple):
    """A pod by `namespace` and `pod`, or a static target by `address`."""

    namespace: str
    pod: str
    address: str
    everything: bool
    """Whether objects that have nothing to do with it are to be listed, too."""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Asked:
        """Raises ValueError that says what is wrong, without values."""
        asked = cls(query.get("namespace", ""), query.get("pod", ""), query.get("address", ""), query.get("all") == "true")
        if max(len(asked.namespace), len(asked.pod), len(asked.address)) > _LONGEST:
            raise ValueError(f"namespace, pod and address have at most {_LONGEST} characters")
        if bool(asked.address) == bool(asked.namespace and asked.pod):
            raise ValueError("ask for ?namespace=NAMESPACE&pod=NAME, or for ?address=HOST:PORT of a static target")
        return asked
