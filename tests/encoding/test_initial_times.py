"""Starts against their definition, on splits whose answer can be read off."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from fieldcast.encoding.initial_times import require_initial_times, select_initial_times
from fieldcast.encoding.options import Limits, Rollout, Stability
from fieldcast.errors import InputError

HISTORY = 5


def split(days: int = 300, gaps: tuple[int, ...] = (), calendar: str = "standard") -> xr.Dataset:
    """A test split whose only content is its times; a segment ends at each gap."""
    time = xr.date_range("2003-02-01", periods=days, calendar=calendar, use_cftime=calendar == "noleap")
    segment = np.searchsorted(gaps, np.arange(days), side="right").astype(np.int32)
    return xr.Dataset(
        coords={"time": time, "segment": ("time", segment)}, attrs={"digest": "0" * 12, "step_hours": 24.0}
    )


def of(test: xr.Dataset, *options: Any) -> dict[str, Any]:
    """The initial times of a test split."""
    times = [str(time)[:19] for time in test.indexes["time"].strftime("%Y-%m-%dT%H:%M:%S")]
    return select_initial_times(test, {"train": ["2001", "2002"], "test": [times[0], times[-1]]}, *options)


def places(test: xr.Dataset, times: list[str]) -> list[int]:
    iso = [str(time)[:19] for time in test.indexes["time"].strftime("%Y-%m-%dT%H:%M:%S")]
    return [iso.index(time) for time in times]


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_starts_are_evenly_spaced_between_the_first_and_the_last_possible(calendar: str) -> None:
    test = split(calendar=calendar)
    options = Rollout(initial_times=12, steps=15, stability=Stability(initial_times=2, steps=100))
    created = of(test, options, Limits())
    scored = places(test, created["scored"])
    assert scored[0] == HISTORY and scored[-1] == 299 - 15 and len(scored) == 12
    assert {b - a for a, b in pairwise(scored)} <= {25, 26}
    assert places(test, created["stability"]) == [HISTORY, 299 - 100]
    expected = {"data": "0" * 12, "step_hours": 24.0, "leads": 15, "members": 10}
    expected |= {"stability_steps": 100, "stability_members": 10}
    assert expected.items() <= created.items() and len(created["digest"]) == 12


def test_history_start_and_leads_are_in_one_segment() -> None:
    gaps = (40, 60, 79)
    test = split(200, gaps)
    created = of(test, Rollout(initial_times=1000, steps=14), Limits())
    segment = test["segment"].values
    expected = [
        start
        for start in range(200)
        if start >= HISTORY and start + 14 < 200 and np.ptp(segment[start - HISTORY : start + 15]) == 0
    ]
    assert places(test, created["scored"]) == expected
    assert 65 not in expected and set(expected) & {45} and max(expected) == 185


def test_long_rollouts_run_past_the_end_where_they_must() -> None:
    """Nearly whole: all but ten days of the truth; too short: at least half of what can be had."""
    long = Rollout(stability=Stability(initial_times=2, steps=500))
    assert places(split(507), of(split(507), long, Limits())["stability"]) == [5, 6]
    assert places(split(206), of(split(206), long, Limits())["stability"]) == [5, 105]


def test_limits_cap_starts_leads_and_members() -> None:
    created = of(split(), Rollout(), Limits(times=4, members=3, steps=2))
    assert len(created["scored"]) == 4 and created["leads"] == 4 and created["members"] == 3
    assert (
        len(created["stability"]) == 2
        and created["stability_steps"] == 4
        and created["stability_members"] == 3
    )


def test_fewer_start_times_than_requested_are_all_used() -> None:
    test = split(24)
    assert places(test, of(test, Rollout(steps=15), Limits())["scored"]) == [5, 6, 7, 8]


def test_a_split_that_is_too_short_is_reported_in_one_sentence() -> None:
    with pytest.raises(
        InputError, match=r"20 times from 2003-02-01T00:00:00 to .* has no start with 5 .* 15 after"
    ):
        of(split(20), Rollout(), Limits())
    with pytest.raises(InputError, match="ask for fewer"):
        of(split(40, (20,)), Rollout(), Limits())
    assert len(of(split(21), Rollout(), Limits())["scored"]) == 1


def test_the_digest_knows_what_is_scored() -> None:
    base = of(split(), Rollout(), Limits())
    assert of(split(), Rollout(), Limits()) == base
    others = [
        of(split(), Rollout(initial_times=63), Limits()),
        of(split(), Rollout(steps=14), Limits()),
        of(split(), Rollout(members=9), Limits()),
        of(split().assign_attrs(digest="1" * 12), Rollout(), Limits()),
    ]
    assert len({created["digest"] for created in [base, *others]}) == 5


@pytest.mark.parametrize(
    "wrong", [{"initial_times": 0}, {"step": 3}, {"stability": {"steps": 0}}, {"members": "many"}]
)
def test_wrong_options_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Rollout(**wrong)


def test_stored_starts_of_other_splits_fields_or_options_are_refused() -> None:
    """Stored starts may lie in the training split after the splits have changed."""
    fields = split()
    times = [str(time)[:19] for time in fields["time"].values]
    splits = {"train": times[:2], "validation": times[2:4], "test": [times[100], times[-1]]}
    moved = {**splits, "test": [times[150], times[-1]]}
    stored = select_initial_times(fields, splits, Rollout(), Limits())
    require_initial_times(stored, fields, splits, Rollout(), Limits())
    others: list[tuple[xr.Dataset, dict[str, list[str]], Rollout, Limits]] = [
        (fields, moved, Rollout(), Limits()),
        (fields, {**splits, "train": times[:3]}, Rollout(), Limits()),  # another climatology to score by
        (fields.assign_attrs(digest="1" * 12), splits, Rollout(), Limits()),
        (fields, splits, Rollout(members=9), Limits()),
        (fields, splits, Rollout(), Limits(times=3)),
    ]
    for other in others:
        with pytest.raises(
            InputError, match=r"the stored initial times were chosen with .*--pipelines initial_times"
        ):
            require_initial_times(stored, *other)


def test_the_long_rollout_is_no_part_of_what_scores_depend_on() -> None:
    base, longer = (of(split(), Rollout(stability=Stability(steps=steps)), Limits()) for steps in (100, 110))
    assert base["digest"] == longer["digest"] and base != longer
