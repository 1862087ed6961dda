"""Values hidden from the fillers: in gaps as long as those of the record, and whole times in runs as long."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from fieldcast.models.gaps import hiding
from fieldcast.models.gaps.hiding import Hidden, hide_values
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
def hidden(record: Record) -> Hidden:
    return hide_values(record, 0)


def test_hidden_are_observed_values_in_gaps_and_at_whole_times(record: Record, hidden: Hidden) -> None:
    left = record.observed & ~hidden.mask
    assert record.observed[hidden.time, hidden.cell].all()
    assert torch.equal(record.x[hidden.time, hidden.cell].double(), hidden.truth)
    times = hidden.time[hidden.whole].unique()
    assert (
        len(times) == int(hiding.WHOLE_TIME_SHARE * int(record.observed.any(1).sum()))
        and not left[times].any()
    )
    in_gaps = int((~hidden.whole).sum())
    assert hiding.GAP_SHARE <= in_gaps / int(record.observed[left.any(1)].sum()) < hiding.GAP_SHARE + 0.02


def test_hidden_values_are_as_far_from_observations_as_missing_ones(record: Record, hidden: Hidden) -> None:
    present = record.observed.any(1)[:, None]
    steps = steps_to_observation(record.observed & ~hidden.mask, record.segment)[
        hidden.time, hidden.cell
    ].double()
    missing = steps_to_observation(record.observed, record.segment)[~record.observed & present].double()
    assert float(steps[~hidden.whole].mean()) == pytest.approx(float(missing.mean()), rel=0.3)
    far = float((missing > LONG / 4).double().mean())
    assert float((steps[~hidden.whole] > LONG / 4).double().mean()) == pytest.approx(far, abs=0.2)


def test_whole_times_are_hidden_in_runs_as_long_as_those_of_the_record(
    record: Record, hidden: Hidden
) -> None:
    lengths = [len(hidden.time[hidden.group == run].unique()) for run in hidden.group[hidden.whole].unique()]
    assert max(lengths) == RUN and len(lengths) >= hiding.MIN_RUNS
    assert hiding.runs(torch.tensor([True, False, True, True, False])) == [(0, 1), (2, 4), (2, 4)]


@pytest.mark.parametrize("run, hidden, longest", [(4, 19, 4), (10, 40, 10), (20, 57, 14)])
def test_more_times_are_hidden_where_four_runs_need_them(run: int, hidden: int, longest: int) -> None:
    """5 % of the times left, four runs, or 15 %."""
    present = torch.ones(TIMES, 1, dtype=torch.bool)
    present[50 : 50 + run] = False
    number = hiding.hide_whole_times(present, torch.Generator().manual_seed(0))
    sizes = torch.bincount(number[:, 0])[1:]
    assert int(sizes.max()) == longest and int(sizes.sum()) == hidden


def test_weights_are_those_of_the_missing_values(record: Record, columns: Columns, hidden: Hidden) -> None:
    assert float(hidden.weight.sum()) == pytest.approx(1)
    missing, empty = ~record.observed, ~record.observed.any(1)
    area = columns.area.double().expand(missing.shape)
    expected = float(area[empty].sum() / area[missing].sum())
    assert float(hidden.weight[hidden.whole].sum()) == pytest.approx(expected)
    steps = steps_to_observation(record.observed & ~hidden.mask, record.segment)[hidden.time, hidden.cell]
    near = float(hidden.weight[~hidden.whole & (steps < 4)].sum())
    of_missing = missing & ~empty[:, None] & (steps_to_observation(record.observed, record.segment) < 4)
    assert near == pytest.approx(float(area[of_missing].sum() / area[missing].sum()), abs=0.01)


def test_weights_by_distance_from_observations_are_those_of_the_missing_values(
    record: Record, columns: Columns, hidden: Hidden
) -> None:
    """Unweighted, values near observations would count for more than they do among the missing ones."""
    of_hidden = nearest_observation(record.observed & ~hidden.mask, columns, hidden.mask)[hidden.mask]
    missing = ~record.observed & record.observed.any(1)[:, None]
    of_missing = nearest_observation(record.observed, columns, missing)[missing]
    area = columns.area.double()
    areas = area.expand(missing.shape)[missing]
    far = float(of_missing.median())
    share = float(areas[of_missing < far].sum() / areas.sum())
    weight, unweighted = (w * ~hidden.whole for w in (hidden.weight, hidden.area))
    matches, before = (float(w[of_hidden < far].sum() / w.sum()) for w in (weight, unweighted))
    assert matches == pytest.approx(share, abs=0.03) and abs(before - share) > 0.05


def test_weights_of_cells_with_few_observations_are_those_of_the_missing_values(
    record: Record, columns: Columns
) -> None:
    """A fifth of the cells, of which one value in eight is observed, have many missing and few hidden values."""
    few = torch.arange(CELLS) < CELLS // 5
    at_random = torch.rand(TIMES, CELLS, generator=torch.Generator().manual_seed(1)) < 1 / 8
    observed = record.observed & (~few | at_random)
    hidden = hide_values(replace(record, observed=observed), 0)
    area = columns.area.double() * (~observed).double().sum(0)
    share, (weight, unweighted) = float(area[few].sum() / area.sum()), (hidden.weight, hidden.area)
    matches, before = (float(w[few[hidden.cell]].sum() / w.sum()) for w in (weight, unweighted))
    assert matches == pytest.approx(share, abs=0.03) and before < share / 2


def test_values_near_a_missing_one_are_within_1_3_times_its_distance_from_observations(
    columns: Columns,
) -> None:
    points, observed = columns.points, torch.ones(CELLS, dtype=torch.bool)
    observed[10:31] = False  # eleven cells from the middle to the next observation
    chord = np.linalg.norm(points - points[20], axis=1)
    expected = int((chord <= 1.3 * chord[31]).sum())
    assert hiding.cells_within_reach(cKDTree(points), points, observed, 20) == expected > 21
    assert hiding.cells_within_reach(cKDTree(points), points, torch.zeros_like(observed), 20) == 0


def test_the_best_of_the_starts_has_most_of_the_observations_around_a_gap() -> None:
    """One start alone has all of them; it is taken whenever it is drawn."""
    left = torch.zeros(12, 4, dtype=torch.bool)
    left[6:10] = True
    observed = torch.ones(12, 4, dtype=torch.bool)
    observed[1:3, :2] = False
    chosen = [
        hiding.best_start(left, observed, 1, 3, torch.arange(4), torch.Generator().manual_seed(seed))
        for seed in range(40)
    ]
    assert chosen.count(7) > 10  # 8 draws of 11 starts have it with a probability of .53, one draw with .09


def test_a_class_without_enough_hidden_values_counts_with_the_next_nearer_one() -> None:
    enough = hiding.MIN_HIDDEN_VALUES
    classes = torch.tensor([0] * enough + [2] * (enough - 1) + [3] * enough)
    total = torch.zeros(2 * hiding.STEP_CLASSES, dtype=torch.float64)
    total[:6] = torch.tensor([3.0, 2.0, 1.0, 1.0, 0.5, 0.5])
    weight = hiding.rake(classes, torch.ones(len(classes), dtype=torch.float64), total)
    assert float(weight[classes < 3].sum()) == pytest.approx(6 / 8)
    assert float(weight[classes == 3].sum()) == pytest.approx(2 / 8)


def test_hidden_values_depend_on_the_seed_alone(record: Record, hidden: Hidden) -> None:
    assert torch.equal(hide_values(record, 0).mask, hidden.mask)
    assert not torch.equal(hide_values(record, 1).mask, hidden.mask)


def test_nothing_is_hidden_where_too_few_times_are_observed(columns: Columns) -> None:
    observed = torch.zeros(40, CELLS, dtype=torch.bool)
    observed[:2, :3] = True
    record = Record(torch.zeros(40, CELLS), observed, torch.zeros(40, dtype=torch.long), columns)
    assert not len(hide_values(record, 0).time)


def test_a_complete_variable_does_not_make_the_gaps_of_another_smaller(
    columns: Columns, record: Record, hidden: Hidden
) -> None:
    """The nearest observation to a missing value was that of the other variable at the same place."""
    twice = Columns(
        np.concatenate([columns.points] * 2), torch.arange(2).repeat_interleave(CELLS), columns.area.repeat(2)
    )
    observed = torch.cat([record.observed, torch.ones_like(record.observed)], dim=1)
    both = Record(torch.cat([record.x, record.x], dim=1), observed, record.segment, twice)
    beside = hide_values(both, 0)
    first = ~beside.whole & (beside.cell < CELLS)
    sizes = torch.unique(beside.group[first], return_counts=True)[1].double().mean()
    alone = torch.unique(hidden.group[~hidden.whole], return_counts=True)[1].double().mean()
    assert float(sizes) > 0.9 * float(alone)


@pytest.mark.parametrize("count", [2, 3])
def test_a_value_is_hidden_in_gaps_of_times_with_hardly_any(columns: Columns, count: int) -> None:
    start = torch.arange(TIMES)[:, None] * 7
    observed = (torch.arange(CELLS) - start) % CELLS < count
    x = torch.randn(TIMES, CELLS, generator=torch.Generator().manual_seed(1))
    sparse = Record(x, observed, torch.zeros(TIMES, dtype=torch.long), columns)
    hidden = hide_values(sparse, 0)
    assert (~hidden.whole).any()
    of_time = torch.bincount(hidden.time[~hidden.whole], minlength=TIMES)
    assert int(of_time.max()) == 1


def test_whole_times_are_those_of_a_variable(columns: Columns, record: Record) -> None:
    """Hidden times are whole of one variable alone or of two together, as they are missing."""
    three = Columns(
        np.concatenate([columns.points] * 3), torch.arange(3).repeat_interleave(CELLS), columns.area.repeat(3)
    )
    observed = torch.ones(TIMES, 3, CELLS, dtype=torch.bool)
    observed[40:44, 0] = observed[100:106, 1:] = observed[300:303, 1:] = False
    x = torch.randn(TIMES, 3 * CELLS, generator=torch.Generator().manual_seed(2))
    hidden = hide_values(Record(x, observed.flatten(1), record.segment, three), 0)
    assert hidden.whole.all()  # no value is missing in gaps
    gone = hidden.mask.view(TIMES, 3, CELLS)
    assert torch.equal(gone.any(2), gone.all(2))
    of_variable = gone.all(2)
    four_runs = hiding.MIN_RUNS * 6  # the median of nine missing times belongs to the longer run
    assert of_variable.sum(0).tolist() == [int(hiding.WHOLE_TIME_SHARE * (TIMES - 4)), four_runs, four_runs]
    assert torch.equal(of_variable[:, 1] & observed[:, 2, 0], of_variable[:, 2] & observed[:, 1, 0])
    assert (of_variable[:, 0] != of_variable[:, 1]).any()
    shares = [float(hidden.weight[hidden.cell // CELLS == v].sum()) for v in range(3)]
    assert sum(shares) == pytest.approx(1)


def test_two_times_of_a_variable_are_left(columns: Columns, record: Record) -> None:
    two = Columns(
        np.concatenate([columns.points] * 2), torch.arange(2).repeat_interleave(CELLS), columns.area.repeat(2)
    )
    observed = torch.ones(TIMES, 2, CELLS, dtype=torch.bool)
    observed[:, 1] = False
    observed[5:8, 1] = True
    x = torch.randn(TIMES, 2 * CELLS, generator=torch.Generator().manual_seed(2))
    hidden = hide_values(Record(x, observed.flatten(1), record.segment, two), 0)
    left = (observed.flatten(1) & ~hidden.mask).view(TIMES, 2, CELLS)[:, 1].any(1)
    assert int(left.sum()) == hiding.MIN_TIMES
