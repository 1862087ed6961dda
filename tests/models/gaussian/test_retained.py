"""States that a model keeps: of a long record a bounded number, nearly evenly spaced, whatever the batches."""

import pytest
import torch

from fieldcast.models.gaussian import training_series
from fieldcast.models.gaussian.training_series import Retained, kept_indices, rounded


@pytest.fixture
def most(monkeypatch):
    monkeypatch.setattr(training_series, "MAX_STATES", 600)
    return 600


def collected(number, size, stretch=1):
    kept = Retained(stretch)
    for part in number.split(size):
        kept.add(part, 10 * part)
    return kept


def test_a_short_record_is_kept_in_order(most):
    number = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    kept, values = collected(number, 64).result()
    assert torch.equal(kept, torch.arange(600))
    assert torch.equal(values, 10 * kept)


def test_the_spacing_has_three_lengths_at_most(most):
    """The three-gap theorem, for 7000 states."""
    kept = kept_indices(torch.arange(7000))
    assert len(kept) == most
    gaps = kept.diff().unique()
    assert len(gaps) <= 3
    assert gaps.max() <= 2 * 7000 / most


@pytest.mark.parametrize("period", [4, 8, 24, 365])
def test_no_hour_and_no_season_is_preferred(most, period):
    kept = kept_indices(torch.arange(period * (9000 // period)))
    counts = torch.bincount(kept % period, minlength=period).double()
    # multiples of 2, 3, ... would leave most of the hours out
    assert (counts - most / period).abs().max() <= max(2, 0.3 * most / period)


@pytest.mark.parametrize("size", [1, 64, 5000])
@pytest.mark.parametrize("stretch", [1, 50])
def test_batches_in_any_order_keep_the_same_states(most, size, stretch):
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(1))
    kept = collected(order, size, stretch)
    number, values = kept.result()
    assert torch.equal(number, kept_indices(torch.arange(5000), stretch))
    assert torch.equal(values, 10 * number)
    assert sum(len(piece[0]) for piece in kept.pieces) <= 2 * most


def test_stretches_are_kept_together(most):
    kept = kept_indices(torch.arange(6000), 50)
    assert len(kept) == most
    assert (kept.diff() != 1).sum() <= most // 50


def test_rounded_values_survive_half_precision():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rounded(x).half().float(), rounded(x))
    assert ((rounded(x) - x).abs() <= 2**-11 * x.abs() + 2**-25).all()
