"""Fillers work on pieces of the cells: the result is that of the whole, and no temporary is larger than the record."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fieldcast.models.gaps import dineof, fillers, in_time, local_kriging, reach
from fieldcast.models.gaps.fillers import FILLERS
from fieldcast.models.gaps.reach import Columns
from fieldcast.models.gaps.record import LARGE, Record, one_thread

TIMES, CELLS = 300, 120


@pytest.fixture(scope="module")
def gappy() -> Record:
    """Three modes and noise, half observed."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(TIMES, 3, generator=generator).cumsum(0) @ torch.randn(3, CELLS, generator=generator)
    x += 0.1 * x.std() * torch.randn(x.shape, generator=generator)
    observed = torch.rand(x.shape, generator=generator) < 0.5
    angle = torch.arange(CELLS) * (2 * torch.pi / CELLS)
    points = torch.stack([angle.cos(), angle.sin(), torch.zeros(CELLS)], 1).numpy()
    columns = Columns(points, torch.zeros(CELLS, dtype=torch.long), torch.ones(CELLS))
    return Record(x / x.std(), observed, torch.zeros(TIMES, dtype=torch.long), columns)


@pytest.fixture
def few_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fillers, "RANKS", (3,))
    monkeypatch.setattr(dineof, "MAX_MODES", 3)
    monkeypatch.setattr(local_kriging, "DRAWN_TARGETS", 100)


class LargestTensor(TorchDispatchMode):
    """Bytes of the largest tensor that any operation makes."""

    nbytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.nbytes = max(self.nbytes, leaf.untyped_storage().nbytes())
        return out


@pytest.mark.parametrize("name", FILLERS)
def test_pieces_give_the_result_of_the_whole(
    name: str, gappy: Record, few_modes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FILLERS[name](gappy, None)
    monkeypatch.setattr("fieldcast.models.gaps.in_time.MAX_TABLE_ENTRIES", 30 * TIMES)
    pieces = FILLERS[name](gappy, None)
    assert float((pieces.mean - whole.mean).abs().max()) < 1e-5
    assert float((pieces.spread - whole.spread).abs().max()) < 1e-5


@pytest.mark.parametrize(
    "name", ["red_noise", "dineof", "low_rank", "linear_in_time", "gap_lengths", "reach"]
)
def test_no_temporary_is_larger_than_the_record(
    name: str, gappy: Record, few_modes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fieldcast.models.gaps.in_time.MAX_TABLE_ENTRIES", 30 * TIMES)
    x, observed, segment = gappy.x, gappy.observed, gappy.segment
    other = {
        "linear_in_time": lambda: in_time.linear_in_time(x, observed, torch.arange(TIMES).double()),
        "gap_lengths": lambda: in_time.gap_lengths(observed, segment),
        "reach": lambda: reach.e_folding_steps(x, observed, segment),
    }
    with LargestTensor() as largest:
        other[name]() if name in other else FILLERS[name](gappy, None)
    assert 0 < largest.nbytes < 1.1 * x.nbytes


@pytest.mark.parametrize("name", FILLERS)
def test_values_that_are_not_observed_have_no_effect(name: str, gappy: Record, few_modes: None) -> None:
    other = replace(gappy, x=torch.where(gappy.observed, gappy.x, 100.0))
    missing = ~gappy.observed
    expected, filled = (FILLERS[name](part, None).mean[missing] for part in (gappy, other))
    assert torch.equal(expected, filled)


def test_one_thread_is_for_a_while() -> None:
    count = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with one_thread() as given:
            assert torch.get_num_threads() == 1 and given == 3
            with one_thread(LARGE) as inside:
                assert inside == 3
        with one_thread(LARGE + 1):
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(count)
