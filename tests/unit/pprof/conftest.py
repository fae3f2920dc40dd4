from __future__ import annotations

import pytest

from pyroscope_operator.pprof import _native, core, oracle

BOTH = {"test_pprof_delta", "test_pprof_series", "test_pprof_prepare", "test_pprof_budget"}
"""The modules whose tests hold for both cores."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__ in BOTH and "which_core" in metafunc.fixturenames:
        metafunc.parametrize("which_core", ["native", "oracle"], indirect=True)


@pytest.fixture(autouse=True)
def which_core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which core does the work in `DeltaComputer` and `prepare`."""
    which: str = getattr(request, "param", "native")
    if which == "native":
        assert core.IS_NATIVE, "the native core was not built: make install"
        monkeypatch.setattr(core, "new_core", _native.Computer)
        monkeypatch.setattr(core, "inspect", _native.inspect)
    else:
        monkeypatch.setattr(core, "new_core", oracle.OracleComputer)
        monkeypatch.setattr(core, "inspect", oracle.inspect)
    return which
