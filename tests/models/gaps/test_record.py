"""Gaps of other times, held out from a time; records with too few values."""

import pytest
import torch

from fieldcast.errors import InputError
from fieldcast.models.gaps.held_out import nearest_in_gap
from fieldcast.models.gaps.reach import Columns
from fieldcast.models.gaps.record import Record

CELLS = 48


@pytest.fixture(scope="module")
def columns() -> Columns:
    angle = torch.arange(CELLS) * (2 * torch.pi / CELLS)
    points = torch.stack([angle.cos(), angle.sin(), torch.zeros(CELLS)], 1).numpy()
    return Columns(points, torch.zeros(CELLS, dtype=torch.long), torch.ones(CELLS))


def test_values_of_a_time_are_held_out_in_the_gap_of_another(columns: Columns) -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.from_numpy(columns.points)
    for start, other_start in ((3, 40), (20, 12)):
        observed, other = ((torch.arange(CELLS) - first) % CELLS >= 28 for first in (start, other_start))
        held_out = nearest_in_gap(observed, other, points, generator)
        assert held_out.any() and not (held_out & ~observed).any()
        assert not (held_out & other).any()
        assert held_out.sum() <= observed.sum() / 5
        gap = observed & ~other
        # around one of them, no other value of the gap is nearer
        nearest = torch.cdist(points[held_out], points[gap]).topk(int(held_out.sum()), largest=False).values
        extent = torch.cdist(points[held_out], points[held_out]).amax(1)
        assert (extent <= nearest.amax(1) + 1e-9).any()


def test_a_record_with_hardly_anything_observed_is_refused(columns: Columns) -> None:
    x, segment = torch.zeros(9, 4), torch.zeros(9, dtype=torch.long)
    observed = torch.zeros(9, 4, dtype=torch.bool)
    for times in (0, 1):
        observed[:times, 0] = True
        with pytest.raises(InputError, match=f"observed values at {times} of 9 times, and filling it needs"):
            Record(x, observed, segment, columns)
