"""Values held out from the fillers: in gaps as long as those of the record, and whole times in runs as long."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from fieldcast.models.gaps import held_out as holding
from fieldcast.models.gaps.held_out import HeldOut, hold_out_values
from fieldcast.models.gaps.reach import Columns, nearest_observation, steps_to_observation
from fieldcast.models.gaps.record import Record

TIMES, CELLS, LONG = 400, 60, 20
RUN = 4


@pytest.fixture(scope="module")
def columns() -> Columns:
    angle = torch.arange(CELLS) * (2 * torch.pi / CELLS)
    points = torch.stack([angle.cos(), angle.sin(), torch.zeros(CELLS)], 1).numpy()
    return Columns(points, torch.zeros(CELLS, dtype=torch.long), torch.linspace(0.5, 1.5, CELLS))


@pytest.fixture(scope="module")
def record(columns: Columns) -> Record:
    """A sector of a third is missing for twenty times, then another; six runs of four times have nothing."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randint(0, CELLS, (TIMES // LONG,), generator=generator).repeat_interleave(LONG)
    observed = (torch.arange(CELLS) - start[:, None]) % CELLS >= CELLS // 3
    for first in range(30, TIMES, 65):
        observed[first : first + RUN] = False
    x = torch.randn(TIMES, CELLS, generator=generator)
    return Record(torch.where(observed, x, 0.0), observed, torch.zeros(TIMES, dtype=torch.long), columns)


@pytest.fixture(scope="module")
def held_out(record: Record) -> HeldOut:
    return hold_out_values(record, 0)


def test_held_out_are_observed_values_in_gaps_and_at_whole_times(record: Record, held_out: HeldOut) -> None:
    left = record.observed & ~held_out.mask
    assert record.observed[held_out.time, held_out.cell].all()
    assert torch.equal(record.x[held_out.time, held_out.cell].double(), held_out.truth)
    times = held_out.time[held_out.whole].unique()
    assert (
        len(times) == int(holding.WHOLE_TIME_SHARE * int(record.observed.any(1).sum()))
        and not left[times].any()
    )
    in_gaps = int((~held_out.whole).sum())
    assert holding.GAP_SHARE <= in_gaps / int(record.observed[left.any(1)].sum()) < holding.GAP_SHARE + 0.02


def test_enough_values_in_enough_gaps_and_times_suffice(
    record: Record, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    def numbers(some: HeldOut) -> tuple[int, int]:
        return len(some.time[some.whole].unique()), len(some.group[~some.whole].unique())

    times, gaps = numbers(held_out)
    assert times > 16 and gaps > 3
    monkeypatch.setattr(holding, "ENOUGH_VALUES", 1)
    monkeypatch.setattr(holding, "ENOUGH_GAPS", 3)
    four_runs = holding.MIN_RUNS * RUN
    assert numbers(hold_out_values(record, 0)) == (four_runs, 3)
    monkeypatch.setattr(holding, "ENOUGH_GAPS", 1000)
    assert numbers(hold_out_values(record, 0)) == (times, gaps)


def test_held_out_values_are_as_far_from_observations_as_missing_ones(
    record: Record, held_out: HeldOut
) -> None:
    present = record.observed.any(1)[:, None]
    steps = steps_to_observation(record.observed & ~held_out.mask, record.segment)[
        held_out.time, held_out.cell
    ].double()
    missing = steps_to_observation(record.observed, record.segment)[~record.observed & present].double()
    assert float(steps[~held_out.whole].mean()) == pytest.approx(float(missing.mean()), rel=0.3)
    far = float((missing > LONG / 4).double().mean())
    assert float((steps[~held_out.whole] > LONG / 4).double().mean()) == pytest.approx(far, abs=0.2)


def test_whole_times_are_held_out_in_runs_as_long_as_those_of_the_record(
    record: Record, held_out: HeldOut
) -> None:
    lengths = [
        len(held_out.time[held_out.group == run].unique()) for run in held_out.group[held_out.whole].unique()
    ]
    assert max(lengths) == RUN and len(lengths) >= holding.MIN_RUNS
    assert holding.runs(torch.tensor([True, False, True, True, False])) == [(0, 1), (2, 4), (2, 4)]


@pytest.mark.parametrize("run, number_held_out, longest", [(4, 19, 4), (10, 40, 10), (20, 57, 14)])
def test_more_times_are_held_out_where_four_runs_need_them(
    run: int, number_held_out: int, longest: int
) -> None:
    """5 % of the times left, four runs, or 15 %."""
    present = torch.ones(TIMES, 1, dtype=torch.bool)
    present[50 : 50 + run] = False
    number = holding.hold_out_times(
        present, torch.ones(1, dtype=torch.float64), torch.Generator().manual_seed(0)
    )
    sizes = torch.bincount(number[:, 0])[1:]
    assert int(sizes.max()) == longest and int(sizes.sum()) == number_held_out


def test_weights_are_those_of_the_missing_values(record: Record, columns: Columns, held_out: HeldOut) -> None:
    assert float(held_out.weight.sum()) == pytest.approx(1)
    missing, empty = ~record.observed, ~record.observed.any(1)
    area = columns.area.double().expand(missing.shape)
    expected = float(area[empty].sum() / area[missing].sum())
    assert float(held_out.weight[held_out.whole].sum()) == pytest.approx(expected)
    steps = steps_to_observation(record.observed & ~held_out.mask, record.segment)[
        held_out.time, held_out.cell
    ]
    near = float(held_out.weight[~held_out.whole & (steps < 4)].sum())
    of_missing = missing & ~empty[:, None] & (steps_to_observation(record.observed, record.segment) < 4)
    assert near == pytest.approx(float(area[of_missing].sum() / area[missing].sum()), abs=0.01)


def test_weights_by_distance_from_observations_are_those_of_the_missing_values(
    record: Record, columns: Columns, held_out: HeldOut
) -> None:
    """Unweighted, values near observations would count for more than they do among the missing ones."""
    of_held_out = nearest_observation(record.observed & ~held_out.mask, columns, held_out.mask)[held_out.mask]
    missing = ~record.observed & record.observed.any(1)[:, None]
    of_missing = nearest_observation(record.observed, columns, missing)[missing]
    area = columns.area.double()
    areas = area.expand(missing.shape)[missing]
    far = float(of_missing.median())
    share = float(areas[of_missing < far].sum() / areas.sum())
    weight, unweighted = (w * ~held_out.whole for w in (held_out.weight, held_out.area))
    matches, before = (float(w[of_held_out < far].sum() / w.sum()) for w in (weight, unweighted))
    assert matches == pytest.approx(share, abs=0.03) and abs(before - share) > 0.05


def test_distances_at_some_times_leave_the_area_of_whole_times_as_it_is(
    record: Record, columns: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The times of the sample miss the six runs without an observation; the area of the others is scaled to all."""
    exact = holding.distances_of_missing(record)[1]
    monkeypatch.setattr(holding, "MAX_DISTANCES", 600)
    part = holding.distances_of_missing(record)[1]
    infinite = holding.STEP_CLASSES
    nothing = ~record.observed.any(1)
    assert float(part[infinite]) == pytest.approx(float(nothing.sum() * columns.area.sum()), rel=1e-6)
    assert float(part.sum()) == pytest.approx(float(exact.sum()), rel=1e-6)
    torch.testing.assert_close(part, exact, rtol=0.3, atol=0.02 * float(exact.sum()))


def test_weights_of_cells_with_few_observations_are_those_of_the_missing_values(
    record: Record, columns: Columns
) -> None:
    """A fifth of the cells, of which one value in eight is observed, have many missing and few held-out values."""
    few = torch.arange(CELLS) < CELLS // 5
    at_random = torch.rand(TIMES, CELLS, generator=torch.Generator().manual_seed(1)) < 1 / 8
    observed = record.observed & (~few | at_random)
    held_out = hold_out_values(replace(record, observed=observed), 0)
    area = columns.area.double() * (~observed).double().sum(0)
    share, (weight, unweighted) = float(area[few].sum() / area.sum()), (held_out.weight, held_out.area)
    matches, before = (float(w[few[held_out.cell]].sum() / w.sum()) for w in (weight, unweighted))
    assert matches == pytest.approx(share, abs=0.03) and before < share / 2


def test_values_near_a_missing_one_are_within_1_3_times_its_distance_from_observations(
    columns: Columns,
) -> None:
    points, observed = columns.points, torch.ones(CELLS, dtype=torch.bool)
    observed[10:31] = False  # eleven cells from the middle to the next observation
    chord = np.linalg.norm(points - points[20], axis=1)
    expected = int((chord <= 1.3 * chord[31]).sum())
    assert holding.cells_within_reach(cKDTree(points), points, observed, 20) == expected > 21
    assert holding.cells_within_reach(cKDTree(points), points, torch.zeros_like(observed), 20) == 0


def test_the_best_of_the_starts_has_most_of_the_observations_around_a_gap() -> None:
    """One start alone has all of them; it is taken whenever it is drawn."""
    left = torch.zeros(12, 4, dtype=torch.bool)
    left[6:10] = True
    observed = torch.ones(12, 4, dtype=torch.bool)
    observed[1:3, :2] = False
    chosen = [
        holding.best_start(left, observed, 1, 3, torch.arange(4), torch.Generator().manual_seed(seed))
        for seed in range(40)
    ]
    assert chosen.count(7) > 10  # 8 draws of 11 starts have it with a probability of .53, one draw with .09


def test_a_class_without_enough_held_out_values_counts_with_the_next_nearer_one() -> None:
    enough = holding.MIN_HELD_OUT
    classes = torch.tensor([0] * enough + [2] * (enough - 1) + [3] * enough)
    total = torch.zeros(2 * holding.STEP_CLASSES, dtype=torch.float64)
    total[:6] = torch.tensor([3.0, 2.0, 1.0, 1.0, 0.5, 0.5])
    weight = holding.rake(classes, torch.ones(len(classes), dtype=torch.float64), total)
    assert float(weight[classes < 3].sum()) == pytest.approx(6 / 8)
    assert float(weight[classes == 3].sum()) == pytest.approx(2 / 8)


def test_held_out_values_depend_on_the_seed_alone(record: Record, held_out: HeldOut) -> None:
    assert torch.equal(hold_out_values(record, 0).mask, held_out.mask)
    assert not torch.equal(hold_out_values(record, 1).mask, held_out.mask)


def test_nothing_is_held_out_where_too_few_times_are_observed(columns: Columns) -> None:
    observed = torch.zeros(40, CELLS, dtype=torch.bool)
    observed[:2, :3] = True
    record = Record(torch.zeros(40, CELLS), observed, torch.zeros(40, dtype=torch.long), columns)
    assert not len(hold_out_values(record, 0).time)


def test_a_complete_variable_does_not_make_the_gaps_of_another_smaller(
    columns: Columns, record: Record, held_out: HeldOut
) -> None:
    """The nearest observation to a missing value was that of the other variable at the same place."""
    twice = Columns(
        np.concatenate([columns.points] * 2), torch.arange(2).repeat_interleave(CELLS), columns.area.repeat(2)
    )
    observed = torch.cat([record.observed, torch.ones_like(record.observed)], dim=1)
    both = Record(torch.cat([record.x, record.x], dim=1), observed, record.segment, twice)
    beside = hold_out_values(both, 0)
    first = ~beside.whole & (beside.cell < CELLS)
    sizes = torch.unique(beside.group[first], return_counts=True)[1].double().mean()
    alone = torch.unique(held_out.group[~held_out.whole], return_counts=True)[1].double().mean()
    assert float(sizes) > 0.9 * float(alone)


@pytest.mark.parametrize("count", [2, 3])
def test_a_value_is_held_out_in_gaps_of_times_with_hardly_any(columns: Columns, count: int) -> None:
    start = torch.arange(TIMES)[:, None] * 7
    observed = (torch.arange(CELLS) - start) % CELLS < count
    x = torch.randn(TIMES, CELLS, generator=torch.Generator().manual_seed(1))
    sparse = Record(x, observed, torch.zeros(TIMES, dtype=torch.long), columns)
    held_out = hold_out_values(sparse, 0)
    assert (~held_out.whole).any()
    of_time = torch.bincount(held_out.time[~held_out.whole], minlength=TIMES)
    assert int(of_time.max()) == 1


def test_whole_times_are_those_of_a_variable(columns: Columns, record: Record) -> None:
    """Held-out times are whole of one variable alone or of two together, as they are missing."""
    three = Columns(
        np.concatenate([columns.points] * 3), torch.arange(3).repeat_interleave(CELLS), columns.area.repeat(3)
    )
    observed = torch.ones(TIMES, 3, CELLS, dtype=torch.bool)
    observed[40:44, 0] = observed[100:106, 1:] = observed[300:303, 1:] = False
    x = torch.randn(TIMES, 3 * CELLS, generator=torch.Generator().manual_seed(2))
    held_out = hold_out_values(Record(x, observed.flatten(1), record.segment, three), 0)
    assert held_out.whole.all()  # no value is missing in gaps
    gone = held_out.mask.view(TIMES, 3, CELLS)
    assert torch.equal(gone.any(2), gone.all(2))
    of_variable = gone.all(2)
    four_runs = holding.MIN_RUNS * 6  # the median of nine missing times belongs to the longer run
    assert of_variable.sum(0).tolist() == [int(holding.WHOLE_TIME_SHARE * (TIMES - 4)), four_runs, four_runs]
    assert torch.equal(of_variable[:, 1] & observed[:, 2, 0], of_variable[:, 2] & observed[:, 1, 0])
    assert (of_variable[:, 0] != of_variable[:, 1]).any()
    shares = [float(held_out.weight[held_out.cell // CELLS == v].sum()) for v in range(3)]
    assert sum(shares) == pytest.approx(1)


def test_two_times_of_a_variable_are_left(columns: Columns, record: Record) -> None:
    two = Columns(
        np.concatenate([columns.points] * 2), torch.arange(2).repeat_interleave(CELLS), columns.area.repeat(2)
    )
    observed = torch.ones(TIMES, 2, CELLS, dtype=torch.bool)
    observed[:, 1] = False
    observed[5:8, 1] = True
    x = torch.randn(TIMES, 2 * CELLS, generator=torch.Generator().manual_seed(2))
    held_out = hold_out_values(Record(x, observed.flatten(1), record.segment, two), 0)
    left = (observed.flatten(1) & ~held_out.mask).view(TIMES, 2, CELLS)[:, 1].any(1)
    assert int(left.sum()) == holding.MIN_TIMES


def test_masked_values_are_neither_held_out_nor_missing(record: Record) -> None:
    """A record that is masked after some time has the missing values, and their weights, of its first times."""
    end, some = TIMES // 2, slice(TIMES // 2)
    cut = replace(record, x=record.x[some], observed=record.observed[some], segment=record.segment[some])
    masked = torch.zeros_like(record.observed)
    masked[end:] = True
    whole = replace(record, observed=record.observed & ~masked, masked=masked)
    for areas in (holding.area_by_steps, lambda x: holding.distances_of_missing(x)[1]):
        torch.testing.assert_close(areas(whole), areas(cut))
    of_cell = holding.class_of_count(cut.observed.sum(0))
    torch.testing.assert_close(holding.area_by_count(whole, of_cell), holding.area_by_count(cut, of_cell))
    held_out = hold_out_values(whole, 0)
    assert len(held_out.time) > 100 and int(held_out.time.max()) < end
    lengths = held_out.group[held_out.whole].unique(return_counts=True)[1]
    assert int(lengths.max()) <= RUN * CELLS  # no run is as long as the masked times


def test_a_gap_ends_at_a_masked_value(record: Record) -> None:
    cell = torch.tensor([True, False, False, False, False, True])[:, None]
    masked = torch.tensor([False, False, True, False, False, False])[:, None]
    missing = ~cell & ~masked
    drawn = {(first, last) for first, _, last, _ in holding.gaps(cell | masked, missing, torch.Generator())}
    assert drawn == {(1, 2), (3, 5)}
