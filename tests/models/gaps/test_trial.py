"""Hidden values, the scores there, and the line of the error variance: closed forms and numpy as oracles."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fieldcast.errors import InputError
from fieldcast.models.gaps.calibration import error_variance, gaussian_crps
from fieldcast.models.gaps.in_time import linear_in_time, neighbours_in_time
from fieldcast.models.gaps.record import Filling, Record
from fieldcast.models.gaps.trial import Hidden, attempt, busiest, calibrated, hide
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.random_streams import RandomStreams

TIMES, CELLS = 200, 30


@pytest.fixture(scope="module")
def record() -> Record:
    """White noise; 40 % of each time in stretches of cells, and ten whole times, are missing."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randint(0, CELLS, (TIMES, 1), generator=generator)
    observed = (torch.arange(CELLS) - start) % CELLS >= int(0.4 * CELLS)
    observed[20:30] = False
    x = torch.randn(TIMES, CELLS, generator=generator)
    return Record(torch.where(observed, x, 0.0), observed, torch.zeros(TIMES, dtype=torch.long))


@pytest.fixture(scope="module")
def hidden(record: Record) -> Hidden:
    return hide(record, torch.linspace(0.5, 1.5, CELLS), 0)


def test_crps_of_a_gaussian_is_the_limit_of_the_fair_crps() -> None:
    draws = torch.randn(1, 4000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for error, spread in ((0.0, 1.0), (0.7, 2.0), (-3.0, 0.5)):
        sampled = fair_crps(error + spread * draws, torch.zeros(1, 1, dtype=torch.float64))
        exact = gaussian_crps(torch.tensor(error).double(), torch.tensor(spread).double())
        assert float(exact) == pytest.approx(float(sampled), rel=0.03)


@pytest.mark.parametrize("a, b", [(0.3, 2.0), (0.0, 0.5), (1.5, 0.0)])
def test_error_variance_is_recovered_from_errors(a: float, b: float) -> None:
    generator = torch.Generator().manual_seed(3)
    claimed = 4 * torch.rand(50_000, generator=generator, dtype=torch.float64) + 0.01
    error = (a + b * claimed).sqrt() * torch.randn(50_000, generator=generator, dtype=torch.float64)
    fitted = error_variance(error.square(), claimed, torch.ones_like(claimed))
    assert fitted == pytest.approx((a, b), abs=0.05)


def test_linear_interpolation_equals_numpy(record: Record) -> None:
    hours = torch.arange(TIMES, dtype=torch.float64) ** 1.1
    filled = linear_in_time(record.x, record.observed, hours)
    for cell in range(0, CELLS, 7):
        o = record.observed[:, cell].numpy()
        expected = np.interp(hours, hours.numpy()[o], record.x[:, cell].numpy()[o])
        assert np.allclose(filled[:, cell], expected, atol=1e-5)
    before, after = neighbours_in_time(record.observed)
    assert (after - before - 1)[25].min() >= 10


def test_hidden_are_values_in_the_shape_of_gaps_and_whole_times(record: Record, hidden: Hidden) -> None:
    left = record.observed & ~hidden.mask
    assert not (left & ~record.observed).any()
    assert torch.equal((record.observed & ~left).nonzero(), torch.stack([hidden.time, hidden.cell], 1))
    times = hidden.time[hidden.whole].unique()
    assert len(times) == int(0.05 * 190) and not left[times].any()
    in_gaps = int((~hidden.whole).sum())
    assert 0.03 <= in_gaps / int(record.observed[left.any(1)].sum()) < 0.04
    empty = ~record.observed.any(1)
    share = (~record.observed[empty]).sum() / (~record.observed).sum()  # of the missing values
    assert float(hidden.weight[hidden.whole].sum()) == pytest.approx(float(share))
    assert float(hidden.weight.sum()) == pytest.approx(1)


def overconfident(record: Record, draws: RandomStreams | None) -> Filling:
    """The climatology, which claims a third of its error in gaps, and a tenth at times without observations."""
    claimed = torch.where(record.observed.any(1)[:, None], 1 / 3, 0.1).expand_as(record.x)
    spread = claimed.masked_fill(record.observed, 0.0)
    mean = torch.where(record.observed, record.x, 0.0)
    members = mean[:, None] + spread[:, None] * draws.normal(CELLS) if draws else mean[:, None]
    return Filling(mean, spread, members)


def test_spreads_are_scaled_to_the_errors_of_the_trial(record: Record, hidden: Hidden) -> None:
    left = replace(record, observed=record.observed & ~hidden.mask)
    trial = attempt("overconfident", overconfident, left, hidden)
    assert trial.crps == pytest.approx(1 / np.sqrt(np.pi), rel=0.2)  # of a Gaussian in its own truth
    draws = RandomStreams(0, torch.arange(TIMES), 50)
    filled = calibrated(overconfident(record, draws), trial, record)
    assert torch.equal(filled.mean[record.observed], record.x[record.observed])
    assert torch.equal(filled.members[:, 7][record.observed], record.x[record.observed])
    assert not filled.spread[record.observed].any()
    for times in (slice(0, 20), slice(20, 30)):
        missing = ~record.observed[times]
        assert float(filled.spread[times][missing].mean()) == pytest.approx(1, abs=0.15)
        assert float(filled.members[times].std(1)[missing].mean()) == pytest.approx(1, abs=0.2)


def test_too_few_times_to_hide_some_are_refused() -> None:
    observed = torch.zeros(40, 5, dtype=torch.bool)
    observed[:2, :3] = True
    record = Record(torch.zeros(40, 5), observed, torch.zeros(40, dtype=torch.long))
    with pytest.raises(InputError, match="observed values at 2 of 40 times, too few to hide some"):
        hide(record, torch.ones(5), 0)


def test_the_busiest_stretch_has_most_hidden_beside_most_observed_values() -> None:
    hidden, observed = torch.zeros(2, 40, 3, dtype=torch.bool)
    hidden[5:15, 0], hidden[20:26, 2], observed[26:30, 2] = True, True, True
    assert busiest(hidden, observed, 10) == (20, 2)
    assert busiest(hidden, observed, 40) == (0, 2)
