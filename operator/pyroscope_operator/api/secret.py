"""References to keys of Secrets and ConfigMaps, always in the namespace of the object that has them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict

from pyroscope_operator.api.base import ApiModel, Rule
from pyroscope_operator.api.formats import DataKey, DnsSubdomain

_ATOMIC = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})


class SecretKey(ApiModel):
    """A key of a Secret in the object's own namespace."""

    model_config = _ATOMIC

    name: DnsSubdomain
    """Name of the Secret."""
    key: DataKey
    """Key in the Secret's data."""


class ConfigMapKey(ApiModel):
    """A key of a ConfigMap in the object's own namespace."""

    model_config = _ATOMIC

    name: DnsSubdomain
    """Name of the ConfigMap."""
    key: DataKey
    """Key in the ConfigMap's data."""


class SecretOrConfigMap(ApiModel):
    """A key of either a Secret or a ConfigMap."""

    secret: SecretKey | None = None
    """A key of a Secret. Excludes configMap."""
    config_map: ConfigMapKey | None = None
    """A key of a ConfigMap. Excludes secret."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "exactly one of secret and configMap must be set: add the missing one or remove one of both",
            "has(self.secret) != has(self.configMap)",
            lambda v: (v.secret is None) != (v.config_map is None),
        ),
    )
