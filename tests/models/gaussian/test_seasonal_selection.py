import numpy as np
import pytest
import torch

from fieldcast import calendars
from fieldcast.models.gaussian.seasonal_selection import cross_fitting_folds, elapsed, pick, within_season


def calendar(years: int) -> torch.Tensor:
    return torch.arange(0, 365, 5).repeat(years) / 365


def test_elapsed_counts_years_through_gaps():
    winters = torch.tensor([0.95, 0.05, 0.15, 0.95, 0.05])
    assert torch.allclose(elapsed(winters), torch.tensor([0, 0.1, 0.2, 1.0, 1.1]))


def test_folds_are_calendar_years_where_there_are_five():
    assert torch.equal(cross_fitting_folds(calendar(7)), torch.arange(7 * 73) // 73 % 5)
    from_july = calendar(7)[40:]
    assert torch.equal(cross_fitting_folds(from_july), (torch.arange(7 * 73) // 73 % 5)[40:])


def test_folds_are_fifths_of_a_shorter_record():
    short = torch.cat([torch.linspace(0.9, 0.99, 10), torch.linspace(0.0, 0.1, 10)])
    assert torch.equal(cross_fitting_folds(short), torch.arange(20) // 4)
    assert torch.equal(cross_fitting_folds(calendar(4)), torch.arange(292) * 5 // 292)
    assert torch.equal(cross_fitting_folds(torch.full((10,), torch.nan)), torch.arange(10) // 2)


def test_the_season_goes_round_the_new_year():
    days, sought = calendar(3), torch.tensor([0.02, 0.5])
    near = within_season(days, sought, torch.ones(2, len(days), dtype=torch.bool))
    expected = (
        torch.minimum((days - sought[:, None]).abs(), 1 - (days - sought[:, None]).abs()) <= 45 / 365 + 1e-6
    )
    assert torch.equal(near, expected)


@pytest.mark.parametrize("days", [torch.full((60,), torch.nan), torch.linspace(0.4, 0.6, 60), calendar(1)])
def test_all_are_allowed_where_the_season_is_undetermined(days):
    """Unknown days, under a year of them, or (calendar(1)) 19 within the window."""
    allowed = torch.ones(1, len(days), dtype=torch.bool)
    allowed[0, 3] = False
    assert torch.equal(within_season(days, torch.tensor([0.5]), allowed), allowed)


def test_a_narrower_window_of_a_longer_record():
    days, sought = torch.arange(365).repeat(2) / 365, torch.tensor([0.5, 0.99])
    allowed = torch.ones(2, len(days), dtype=torch.bool)
    near = within_season(days, sought, allowed, window=15 / 365, years=2)
    assert near.sum(1).tolist() == [60, 60]  # 0.5 and 0.99 lie between two days
    away = (days - sought[:, None]).abs()
    assert torch.minimum(away, 1 - away)[near].max() <= 15 / 365
    shorter = within_season(days[:690], sought, allowed[:, :690], window=15 / 365, years=2)
    assert torch.equal(shorter, allowed[:, :690])  # under two years


def test_every_allowed_time_is_picked_as_often():
    allowed = torch.tensor([[False, True, True, False, True], [True, False, False, False, False]])
    u = ((torch.arange(300) + 0.5) / 300).expand(2, -1)
    picked = pick(allowed, u)
    assert torch.bincount(picked[0]).tolist() == [0, 100, 100, 0, 100]
    assert not picked[1].any()


def test_the_end_of_29_february_begins_no_year():
    """6-hourly from 2019 to 2023: the fraction of the year falls by 18 hours there, not by a year."""
    times = np.arange("2019-01-01", "2024-01-01", np.timedelta64(6, "h"), dtype="M8[h]")
    days = torch.from_numpy(calendars.fraction_of_year(times))
    year = torch.from_numpy(times.astype("M8[Y]").astype(int) - 49)
    assert float(elapsed(days)[-1]) == pytest.approx(5, abs=0.01)
    assert torch.equal(cross_fitting_folds(days), year % 5)
