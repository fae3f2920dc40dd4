"""Labels as they are shown to whoever asks."""

from __future__ import annotations

from collections.abc import Iterator

from pyroscope_operator.model.labels import Labels

NOT_SHOWN = "(not shown)"
_HIDDEN = ("__param_", "__meta_kubernetes_pod_annotation_kubectl_kubernetes_io_last_applied_configuration")
"""How the names of labels begin whose values are not for everyone: query parameters, and whole manifests."""


def shown(labels: Labels) -> Iterator[tuple[str, str]]:
    """Names and values; a text instead of a value that is not for everyone."""
    for name, value in labels.pairs:
        yield name, NOT_SHOWN if name.startswith(_HIDDEN) else value
