"""Secrets and ConfigMaps of the cluster."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyroscope_operator.controller.kube import Kube
from pyroscope_operator.errors import ApiError
from pyroscope_operator.model.data import DataRef


@dataclass(frozen=True, slots=True)
class ClusterData:
    """A DataSource that asks the API server for one object at a time; nothing is listed or watched."""

    kube: Kube

    async def read(self, ref: DataRef) -> Mapping[str, bytes] | None:
        """Its data; None where it does not exist. Raises ApiError."""
        found = await self.kube.read_data(ref)
        if found is None:
            return None
        try:
            return _data(ref, found)
        except (ValueError, TypeError, AttributeError) as error:  # something between us and the API server has answered
            raise ApiError(0, str(ref)) from error


def _data(ref: DataRef, found: Mapping[str, Any]) -> dict[str, bytes]:
    encoded, plain = ("data", "stringData") if ref.kind == "Secret" else ("binaryData", "data")
    data = {key: base64.b64decode(value, validate=True) for key, value in (found.get(encoded) or {}).items()}
    return data | {key: value.encode() for key, value in (found.get(plain) or {}).items()}
