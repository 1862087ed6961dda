"""The race of the methods that fill gaps agrees with trials of all of them, and its rules follow learning curves."""

import os
import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import fieldcast
from fieldcast import runtime
from fieldcast.errors import InputError
from fieldcast.fields.ingest import ingest
from fieldcast.inference.file_options import Method
from fieldcast.inference.gaps import race, trials
from fieldcast.inference.gaps.race import Round, Standing, leavers, sample_sizes, samples, staying, work_of
from fieldcast.inference.gaps.trials import Comparison, Tried, from_file, to_file
from fieldcast.models.gaps.fillers import FILLERS, dineof, local_kriging, low_rank, red_noise
from fieldcast.models.gaps.held_out import SELECTIONS
from fieldcast.models.gaps.record import Filling, Record
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training.fill_gaps import CORRECTED, SAMPLED

ERROR = 0.004


def rounds(*curves: Mapping[str, float]) -> list[Round]:
    """Rounds with the CRPS of each method, all with the same paired error; the last has a quarter of the work."""
    of_all = []
    for number, crps in enumerate(curves):
        best = min(crps.values())
        places = {name: Standing(x, x - best, ERROR if x > best else 0.0) for name, x in crps.items()}
        of_all.append(Round(100, 100, 0.25 ** (len(curves) - number), places))
    return of_all


@pytest.mark.parametrize(
    ("before", "now", "leave"),
    [
        (0.20, 0.20, True),  # far behind twice
        (0.20, 0.17, True),  # the distance shrinks by less than a third
        (0.20, 0.15, False),  # by half: the curves may cross
        (0.103, 0.20, False),  # within the paired error before
        (0.20, 0.103, False),  # within it now
    ],
)
def test_a_method_leaves_if_it_is_behind_twice_and_does_not_come_closer(
    before: float, now: float, leave: bool
) -> None:
    curves = [{"best": 0.1, "other": before}, {"best": 0.1, "other": now}]
    assert (leavers(rounds(*curves)) == ["other"]) == leave
    assert leavers(rounds(*curves[1:])) == []


def test_of_methods_that_tie_at_the_end_the_one_of_least_work_stays() -> None:
    curves = [{"dear": 0.103, "cheap": 0.1, "far": 0.3}] * 2
    assert staying(rounds(*curves), last=False) == ["dear", "cheap"]
    assert staying(rounds(*curves), last=True) == ["cheap"]
    assert staying(rounds({"dear": 0.1, "cheap": 0.103}), last=True) == ["cheap"]


def test_methods_whose_difference_is_uncertain_are_both_fitted_whole() -> None:
    curves = [
        {name: 0.01 * x for name, x in {"dear": 0.103, "cheap": 0.1}.items()}
    ] * 2  # the error is 40 % of these
    assert staying(rounds(*curves), last=True) == ["dear", "cheap"]


def test_a_method_that_comes_closer_than_a_tie_is_fitted_whole() -> None:
    curves = {"dear": 0.15, "cheap": 0.1}, {"dear": 0.1, "cheap": 0.103}
    assert staying(rounds(*curves), last=True) == ["dear", "cheap"]


@pytest.mark.parametrize(
    ("limit", "whole"),
    [
        (0.11, False),  # of the other: behind without an end
        (0.10, False),  # as good with an infinite record
        (0.06, True),  # ahead with the whole record, though not in the last round
    ],
)
def test_a_method_is_fitted_whole_if_its_error_falls_by_the_root_of_the_work_below_the_best(
    limit: float, whole: bool
) -> None:
    """CRPS of the other: limit + .2 / sqrt(work), with the work 1, 4, 16 of the rounds and 64 of the whole."""
    curves = [{"best": 0.1, "other": limit + 0.2 / 2**k} for k in (0, 1, 2)]
    assert curves[-1]["other"] > 0.1 + ERROR
    assert (limit + 0.2 / 8 <= 0.1 + ERROR) == whole
    assert staying(rounds(*curves), last=False) == ["best", "other"]
    assert staying(rounds(*curves), last=True) == (["best", "other"] if whole else ["best"])


@pytest.mark.parametrize(
    ("before", "now", "whole"),
    [(0.1, 0.107, True), (0.1, 0.109, False), (0.11, 0.109, False)],  # the first of them in the round before
)
def test_a_method_that_was_first_is_fitted_whole_unless_it_is_far_behind(
    before: float, now: float, whole: bool
) -> None:
    curves = [{"best": 0.11, "other": before}, {"best": 0.1, "other": now}]
    assert (now - 0.1 > race.FAR * ERROR) == (now == 0.109)
    assert ("other" in staying(rounds(*curves), last=True)) == whole


def test_a_method_gains_on_the_best_one_not_on_one_that_it_has_overtaken_too() -> None:
    """The former best method falls back; the distance of the other from the new best one grows."""
    curves = {"other": 0.13, "new": 0.135, "former": 0.1}, {"other": 0.106, "new": 0.1, "former": 0.103}
    before, now = (curve["other"] - min(curve.values()) for curve in curves)
    assert now - (before - now) < 0.0
    assert "other" not in staying(rounds(*curves), last=True)


@pytest.mark.parametrize(
    "size", [(360, 10512), (4018, 1512), (9131, 12544), (30000, 9), (40, 60000), (1000, 4096)]
)
def test_each_sample_has_a_quarter_of_the_work_of_the_next(size: tuple[int, int]) -> None:
    sizes = sample_sizes(*size)
    *work, whole = np.array([work_of(*each) for each in (*sizes, size)])
    assert np.allclose(np.divide(work[1:], work[:-1]), race.GROWTH, rtol=0.03)
    assert whole / work[-1] == pytest.approx(race.LAST if whole > 2**22 else whole / 2**19, rel=0.03)
    assert len(sizes) == race.MIN_ROUNDS or race.FIRST_WORK <= work[0] < 2 * race.GROWTH * race.FIRST_WORK
    for t, c in sizes:
        least = race.MIN_TIMES_LAST if (t, c) == sizes[-1] else race.MIN_TIMES
        assert min(least, size[0]) <= t <= size[0] and min(race.MIN_CELLS, size[1]) <= c <= size[1]


def test_samples_of_nearly_the_same_work_promise_no_larger_gain_than_usual_ones() -> None:
    """A distance of .3 and then .13: at most .646 of the change is left, not 1.21, by the root of the work."""
    before, now = rounds({"best": 0.1, "other": 0.4}, {"best": 0.1, "other": 0.23})
    assert 0.13 - race.MAX_SLOWING * 0.17 > ERROR > 0.13 - 1.21 * 0.17
    assert staying([before._replace(share=0.125), now], last=True) == ["best"]


def test_a_small_record_has_no_samples() -> None:
    assert sample_sizes(300, 561) == sample_sizes(3, 2) == []


def patterns(times: int, modes: int, seed: int = 0) -> xr.Dataset:
    """Noisy sums of patterns without a scale in space, with red amplitudes; 60 % of the values missing at random."""
    rng = np.random.default_rng(seed)
    z = np.zeros((times, modes))
    for t in range(1, times):
        z[t] = 0.8 * z[t - 1] + 0.6 * rng.standard_normal(modes)
    x = (z @ rng.standard_normal((modes, 16 * 16)) / np.sqrt(modes)).reshape(times, 16, 16)
    x += 0.1 * rng.standard_normal(x.shape)
    return record(x, rng.random(x.shape) < 0.6)


def waves(times: int, seed: int = 0, share: float = 0.5) -> xr.Dataset:
    """Drifting waves of the length of some cells, with values missing in discs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    k = rng.normal(size=(2, 30)) / 3
    phase, speed = rng.uniform(0, 6, 30), rng.normal(size=30) / 3
    t = np.arange(times)[:, None, None]
    field = sum(np.cos(k[0, i] * y + k[1, i] * x + phase[i] + speed[i] * t) for i in range(30)) / 4
    field += 0.05 * rng.standard_normal(field.shape)
    missing = np.zeros(field.shape, dtype=bool)
    for day in range(times):
        while missing[day].mean() < share:
            i, j, size = rng.integers(16), rng.integers(16), rng.uniform(2, 4)
            missing[day] |= (y - i) ** 2 + (x - j) ** 2 < size**2
    return record(field, missing)


def record(x: np.ndarray, missing: np.ndarray) -> xr.Dataset:
    axes = {
        "time": pd.date_range("2001-01-01", periods=len(x)),
        "latitude": np.linspace(-30, 30, x.shape[1]),
        "longitude": np.linspace(0, 60, x.shape[2]),
    }
    values = np.where(missing, np.nan, x).astype(np.float32)
    return xr.Dataset({"sst": (("time", "latitude", "longitude"), values, {"units": "K"})}, axes)


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Races already for records of some hundred times and cells."""
    for name, value in {
        "FIRST_WORK": 2**12,
        "CELLS_PER_TIME": 50,
        "MIN_CELLS": 60,
        "MIN_TIMES": 60,
        "MIN_TIMES_LAST": 150,
        "MIN_OBSERVED": 40,
    }.items():
        monkeypatch.setattr(race, name, value)


QUICK = {filler.__name__: filler for filler in (dineof, low_rank, red_noise)}


def compare(dataset: xr.Dataset, seed: int = 0) -> Comparison:
    return Comparison.of(ingest(dataset, missing="train")[0], seed, "cpu", QUICK)


def raced(comparison: Comparison) -> Tried:
    tried = Tried()
    for _ in comparison.race(tried):
        pass
    return tried


@cache
def race_of_waves() -> Tried:
    """The race on `waves(500)`, which several tests read; they all use `early`."""
    return raced(compare(waves(500)))


def test_samples_lie_in_each_other_and_hold_the_values_that_the_comparison_holds_out(early: None) -> None:
    comparison = compare(waves(500))
    visible = comparison.visible().record
    held_out = comparison.held_out.of_record(visible)
    parts = samples(visible, held_out)
    assert len(parts) == 2
    for part, larger in zip(parts, [*parts[1:], None], strict=True):
        if larger is not None:
            assert larger.times.start <= part.times.start and part.times.stop <= larger.times.stop
            assert set(part.cells.tolist()) <= set(larger.cells.tolist())
        of_part, of_held_out = part.of(visible, held_out)
        truth = visible.x[part.times][:, part.cells]
        assert torch.equal(of_held_out.truth, truth[of_held_out.mask].double())
        assert torch.equal(of_held_out.mask, held_out.mask[part.times][:, part.cells])
        assert not (of_part.observed & of_held_out.mask).any()
        assert float(of_held_out.weight.sum()) == pytest.approx(1)
        points = visible.columns.points[part.cells.numpy()]
        assert np.array_equal(of_part.columns.points, points)


def test_a_heavy_gap_does_not_draw_all_samples_to_itself(
    early: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with half of the weight, at which no method could be told from another, is in none of them."""
    comparison = compare(waves(500))
    visible = comparison.visible().record
    held_out = comparison.held_out.of_record(visible)
    heavy = held_out.group == held_out.group[held_out.time == held_out.time.max()][0]
    weight = held_out.weight.clone()
    weight[heavy] *= weight[~heavy].sum() / weight[heavy].sum()
    uneven = replace(held_out, weight=weight / weight.sum())
    parts = samples(visible, uneven)
    assert len(parts) == 2 and all(
        race.effective_gaps(uneven.within(*part)) >= race.MIN_GAPS for part in parts
    )
    of_gap = [float(uneven.weight[uneven.group == gap].sum()) for gap in uneven.group.unique()]
    even = race.with_even_gaps(uneven)
    assert float(even.weight[heavy].sum()) == pytest.approx(np.mean([each for each in of_gap if each]))
    monkeypatch.setattr(race, "with_even_gaps", lambda held_out: held_out)
    assert any(race.effective_gaps(uneven.within(*part)) < race.MIN_GAPS for part in samples(visible, uneven))


def test_the_samples_of_a_record_with_few_gaps_have_more_times(early: None) -> None:
    comparison = compare(waves(500))
    visible = comparison.visible().record
    held_out = comparison.held_out.of_record(visible)
    numbers = held_out.group.unique()
    few = torch.isin(held_out.group, numbers[:: len(numbers) // (race.MIN_GAPS - 1)][: race.MIN_GAPS - 1])
    parts = samples(visible, replace(held_out, weight=held_out.weight * few))
    lengths = [part.times.stop - part.times.start for part in parts]
    most = race.LARGEST_DOUBLED * race.work_of(*visible.x.shape)
    assert all(
        race.work_of(length, len(part.cells)) <= most for length, part in zip(lengths, parts, strict=True)
    )
    assert 2 * lengths[1] >= 500 or race.work_of(2 * lengths[1], len(parts[1].cells)) > 0.99 * most
    assert lengths[0] > lengths[1] / 2
    for part, usual in zip(parts, samples(visible, held_out), strict=True):
        assert (
            torch.equal(part.cells, usual.cells)
            and part.times.stop - part.times.start > usual.times.stop - usual.times.start
        )


@pytest.mark.parametrize("number", [7, 32, 100])
def test_the_cells_of_a_sample_are_spread_over_the_domain_with_all_variables_of_a_place(number: int) -> None:
    """Every quarter of a square has its share, and each missing cell a neighbour in twice the mean distance."""
    y, x = np.mgrid[:16, :16].reshape(2, -1)
    points = np.stack([x, y, 0 * x], axis=1) / 100
    both = np.concatenate([points, points])
    cells = race.thinned_cells(torch.arange(512), 2 * number, both).numpy()
    assert len(cells) == 2 * number and np.array_equal(cells[:number] + 256, cells[number:])
    places = cells[:number]
    quarters = np.bincount(2 * (y[places] // 8) + x[places] // 8, minlength=4)
    assert abs(quarters - number / 4).max() <= 1
    distance = np.linalg.norm(points[:, None] - points[places], axis=-1).min(1)
    assert distance.max() <= 2 * 0.16 / number**0.5


def test_a_method_that_needs_the_whole_record_wins_though_it_loses_on_samples(early: None) -> None:
    """Patterns without a scale in space: red noise fills short gaps at once, modes must be learnt from many times."""
    comparison = compare(patterns(500, modes=20))
    tried = raced(comparison)
    first = tried.rounds[0].standings
    assert first["low_rank"].crps > first["red_noise"].crps + first["low_rank"].error
    crps = {trial.name: trial.crps for trial in comparison.method_trials(list(QUICK))}
    assert min(crps, key=crps.__getitem__) == "low_rank" and "low_rank" in tried.finalists


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("make", [patterns, waves])
def test_the_race_agrees_with_trials_of_all_methods(make, seed: int, early: None) -> None:
    dataset = patterns(500, modes=20, seed=seed) if make is patterns else waves(500, seed)
    comparison = compare(dataset)
    crps = {trial.name: trial.crps for trial in comparison.method_trials(list(QUICK))}
    finalists = raced(comparison).finalists
    assert min(crps[name] for name in finalists) <= 1.02 * min(crps.values())


def test_a_method_far_behind_is_not_fitted_whole(early: None) -> None:
    tried = raced(compare(waves(500, seed=2)))
    assert "dineof" in tried.rounds[0].standings and "dineof" not in tried.finalists


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three methods in every comparison."""
    monkeypatch.setattr("fieldcast.training.fill_gaps.FILLERS", QUICK)


def lines_of(report: str, first: str) -> list[list[str]]:
    """Cells of the lines of a block of a report that begins so, without its first line."""
    block = next(part for part in report.split("\n\n") if part.startswith(first))
    return [re.split(r"\s{2,}", line.strip()) for line in block.splitlines()[1:]]


@cache
def filled_waves() -> xr.Dataset:
    """`waves(500)`, filled, which two tests read; both use `early` and `quick`."""
    return fieldcast.fill_gaps(waves(500), members=2)


def test_the_report_says_how_far_each_method_went(early: None, quick: None) -> None:
    filled, tried = filled_waves(), race_of_waves()
    (*headings, last), *lines = lines_of(filled.attrs["comment"], "Race:")
    assert headings == [f"{each.times} x {each.cells}" for each in tried.rounds] and last == "went up to"
    assert [line[0] for line in lines] == list(QUICK)
    for name, *scores, stage in lines:
        assert len(scores) == sum(name in each.standings for each in tried.rounds)
        assert stage == ("whole record" if name in tried.finalists else f"round {len(scores)}")
        for score, each in zip(scores, tried.rounds, strict=False):
            assert float(score) == pytest.approx(each.standings[name].crps, rel=0.01)


def test_a_seed_gives_the_same_race_again_and_another_one_other_held_out_values(early: None) -> None:
    dataset, rounds = waves(500), race_of_waves().rounds
    assert raced(compare(dataset)).rounds == rounds
    assert raced(compare(dataset, seed=1)).rounds != rounds


def test_one_method_alone_gives_the_numbers_of_the_winner(early: None, quick: None) -> None:
    dataset, best = waves(500), filled_waves()
    (name,) = re.findall(r"Filled by (\w+), the method with the lowest CRPS", best.attrs["comment"])
    alone = fieldcast.fill_gaps(dataset, members=2, method=name)
    for part in ("sst", "sst_spread", "sst_members", "sst_flag"):
        np.testing.assert_array_equal(alone[part], best[part])
    assert alone.attrs["comment"].startswith(f"Filled by {name}.") and "Race" not in alone.attrs["comment"]
    with pytest.raises(InputError, match=r"method = 'magic': give .*low_rank"):
        fieldcast.fill_gaps(dataset, method="magic")


def test_the_methods_that_may_be_named_are_those_that_there_are() -> None:
    assert [*Method.__args__] == [*FILLERS, SAMPLED, CORRECTED]


def test_a_race_resumes_after_its_rounds_to_the_same_end(
    early: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "are_few", lambda selections, values: len(selections) < 2)
    fillers = {"local_kriging": local_kriging, "low_rank": low_rank, "red_noise": red_noise}
    comparison = replace(compare(waves(300)), fillers=fillers)
    steps: Iterator[tuple[Tried, bytes]] = comparison.trials()
    _, file = next(steps)
    whole = [to_file(tried, comparison.lineage) for tried, _ in steps][-1]
    part = from_file(file, comparison.lineage, torch.device("cpu"))
    assert len(part.rounds) == 1 and not part.finalists and not part.trials
    resumed = [bytes_ for _, bytes_ in comparison.trials(file)]
    assert resumed[0] == file and resumed[-1] == whole


@pytest.fixture
def interruptible(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A first interrupt is handled like that of a command in a terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(runtime, "hurries", True)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("interrupted", [{2}, {2, 3}])
def test_a_first_interrupt_ends_the_race_with_the_best_method_so_far(
    early: None, interruptible: None, interrupted: set[int]
) -> None:
    """One in the second round ends the race; another one in the trial that is left stops the program."""
    calls: list[int] = []

    def quick(record: Record, streams: RandomStreams | None) -> Filling:
        calls.append(len(record.x))
        if len(calls) in interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        return red_noise(record, streams)

    comparison = replace(compare(waves(1200)), fillers={"dineof": dineof, "red_noise": quick})
    tried = Tried()
    steps = comparison.remaining(tried)
    next(steps)
    standings = tried.rounds[0].standings
    best = min(standings, key=lambda name: standings[name].crps)
    assert best == "red_noise"
    if interrupted == {2, 3}:
        with pytest.raises(KeyboardInterrupt):
            list(steps)
        assert tried.finalists == [best] and not tried.trials
        return
    assert len([*steps]) == SELECTIONS
    assert len(tried.rounds) == 1 and [trial.name for trial in tried.trials] == [best] * SELECTIONS
    again = from_file(to_file(tried, comparison.lineage), comparison.lineage, torch.device("cpu"))
    assert again.ended_early and again.finalists == [best]


def test_the_report_says_that_the_race_ended_early(
    early: None, interruptible: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hasty(*given: Any) -> Round:
        raise runtime.Hurry

    monkeypatch.setattr(trials, "run_round", hasty)
    filled = fieldcast.fill_gaps(waves(400))
    assert "Filled by red_noise, the best method when Ctrl-C ended the race." in filled.attrs["comment"]
