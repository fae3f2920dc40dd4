"""The API group `pyroscope-operator.dev/v1alpha1`: pydantic models, the one source of the CRDs and of their reference.

    load        a manifest → a validated object, or a SpecError that points at the wrong fields
    kinds       the kinds, and what is different about each
    scrape      PyroscopeScrape, built from selector, profiling, relabel and http (auth, tls, proxy)
    write       PyroscopeWrite, whose endpoints are http clients, too
    status      what the operator writes to `status`
    crd         models → CustomResourceDefinition;  reference: models → docs/api.md

`base` says how fields are named and how rules over several fields are kept, `formats`
which strings are allowed.  Every string, list and map is bounded: the API server
estimates the cost of our CEL rules from these bounds and refuses a CRD without them.
"""

from typing import Final

GROUP: Final = "pyroscope-operator.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "pyroscope-operator.dev/v1alpha1"
