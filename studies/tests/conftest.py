"""Tests of the studies, which run with `make proofs`, and before tables are made."""

from pathlib import Path

import pytest
from worlds import world

__all__ = ["world"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder as proofs."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.proof)
