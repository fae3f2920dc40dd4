"""pyroscope-operator: continuous profiling for Kubernetes.

The way of one profile, from left to right:

    controller ─► discovery ─► scrape ─► pprof ─► push ─► Pyroscope
    (watches)     (targets)    (loops)   (delta)  (queue)

`cli` wires these together; `engine` decides what is scraped and says in status
how it went.  Imports point downwards only (see `[tool.importlinter]`).
"""

__version__ = "0.1.0"
