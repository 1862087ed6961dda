"""Record of BLAS calls during the computation of the planet."""

from collections.abc import Callable
from typing import Any

import pytest
from threadpoolctl import threadpool_info

from fieldcast.fields.planet.dynamics import Planet


@pytest.fixture
def threads() -> Callable[[], set[int]]:
    """Numbers of threads that BLAS uses at present."""
    return lambda: {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


@pytest.fixture
def threads_of_days(threads: Callable[[], set[int]], monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Numbers of threads that BLAS uses while days are computed; filled as they are."""
    inside: set[int] = set()
    next_day = Planet.next_day

    def watched(*arguments: Any) -> Any:
        inside.update(threads())
        return next_day(*arguments)

    monkeypatch.setattr(Planet, "next_day", watched)
    return inside
