"""Predictors of a record with gaps: another variable of the file that determines the one to fill."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import fieldcast
from fieldcast.encoding.gappy_record import (
    BLOCKS,
    RIDGES,
    GappyRecord,
    block_sums,
    common_coefficients,
    hidden_predictor,
    regression,
    ridge_of,
    sums,
    without_gaps,
)
from fieldcast.errors import InputError
from fieldcast.fields import domain
from fieldcast.fields.conventions import MASK
from fieldcast.fields.ingest import ingest, ingest_source
from fieldcast.fields.options import Source
from fieldcast.inference import quantities
from fieldcast.models.gaps import held_out
from fieldcast.models.gaps.fillers import low_rank
from fieldcast.models.gaps.reach import Columns
from fieldcast.models.gaps.record import Record
from fieldcast.training import fill_gaps

DAYS, ROWS, COLUMNS = 90, 6, 8
NOISE, SLOPE = 0.1, 2.0
DIMS = ("time", "lat", "lon")


@pytest.fixture(autouse=True, scope="module")
def _few_selections() -> Iterator[None]:
    """Two selections of held-out values, and one quick method, take less time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_out, "SELECTIONS", 2)
        patch.setattr(held_out, "MAX_SELECTIONS", 2)
        patch.setattr(quantities, "SELECTIONS", 2)
        patch.setattr(quantities, "local_kriging", lambda record, streams, fitted: low_rank(record, streams))
        patch.setattr(fill_gaps, "FILLERS", {"low_rank": low_rank})
        yield


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    """`chl` = 5 + 2 z and noise of 0.1, where z, the variable `sst`, is white in space and time; `salt` is noise."""
    rng = np.random.default_rng(0)
    z, salt, noise = rng.standard_normal((3, DAYS, ROWS, COLUMNS))
    axes = {"time": pd.date_range("2001-01-01", periods=DAYS), "lat": np.linspace(40, 30, ROWS)}
    axes["lon"] = np.arange(COLUMNS) * 2.0
    values = {"chl": 5 + SLOPE * z + NOISE * noise, "sst": z, "salt": salt}
    return xr.Dataset({name: (DIMS, x, {"units": "1"}) for name, x in values.items()}, axes)


@pytest.fixture(scope="module")
def gappy(truth: xr.Dataset) -> xr.Dataset:
    rng, values = np.random.default_rng(1), truth["chl"].values.copy()
    for day in values:
        i, j = rng.integers(ROWS), rng.integers(COLUMNS)
        day[np.ix_((i + np.arange(4)) % ROWS, (j + np.arange(5)) % COLUMNS)] = np.nan
    return truth.assign(chl=truth["chl"].copy(data=values))


@pytest.fixture(scope="module")
def filled(gappy: xr.Dataset) -> xr.Dataset:
    return fieldcast.fill_gaps(gappy[["chl", "sst"]], predictors="sst", quantities="none", members=2)


def error(filled: xr.Dataset, truth: xr.Dataset, gappy: xr.Dataset) -> float:
    missing = gappy["chl"].isnull()
    return float(np.sqrt(((filled["chl"] - truth["chl"]) ** 2).where(missing).mean()))


def test_a_variable_that_determines_another_leaves_the_noise(
    filled: xr.Dataset, truth: xr.Dataset, gappy: xr.Dataset
) -> None:
    alone = fieldcast.fill_gaps(gappy[["chl"]], quantities="none")
    assert error(alone, truth, gappy) > 0.9 * SLOPE
    assert error(filled, truth, gappy) < 1.3 * NOISE
    assert "sst" not in filled and filled.attrs["fieldcast_predictors"] == "sst of chl"
    assert "chl is filled with predictors" in filled.attrs["comment"]
    assert "predictors alone" in filled.attrs["comment"]


def test_no_held_out_value_leaks(filled: xr.Dataset, truth: xr.Dataset, gappy: xr.Dataset) -> None:
    """The spread, calibrated at held-out values, is the true error; members scatter by it."""
    missing = gappy["chl"].isnull()
    spread = float(np.sqrt((filled["chl_spread"] ** 2).where(missing).mean()))
    assert spread == pytest.approx(error(filled, truth, gappy), rel=0.1)
    apart = filled["chl_members"].diff("member").where(missing).std()
    assert float(apart) == pytest.approx(np.sqrt(2) * spread, rel=0.15)
    assert (
        float((filled["chl_flag"] == 2).where(missing).mean()) < 0.01
    )  # far from observations, yet determined


def fields_of(gappy: xr.Dataset) -> xr.Dataset:
    fields, _ = ingest(gappy[["chl", "sst"]], gaps="insert", missing="train", predictors=["sst"])
    return fields.assign_attrs({domain.PREDICTED: "chl"})


def test_held_out_values_do_not_enter_the_fit(gappy: xr.Dataset) -> None:
    """Whatever the held-out values are, the predicted part is the same; the climatology and x give all values."""
    fields = fields_of(gappy)
    device = torch.device("cpu")
    whole = GappyRecord.of(fields, device)
    chosen = whole.hold_out(0)
    hidden = torch.from_numpy(whole.on_grid(chosen.mask, 0, False))
    other = fields.assign(chl=fields["chl"].copy(data=np.where(hidden, 1e3, fields["chl"].values)))
    before = whole.without(chosen.mask, fields)
    after = GappyRecord.of(other, device).without(chosen.mask, other)
    assert before.drift is not None and after.drift is not None
    scale = before.scale[0], after.scale[0]
    assert torch.allclose(before.drift * scale[0], after.drift * scale[1], atol=1e-3)
    truth = before.record.x * before.scale + before.climatology(slice(None))
    seen = whole.record.observed
    expected = torch.from_numpy(fields["chl"].values.copy()).flatten(1)
    assert torch.allclose(truth[seen], expected[seen], atol=1e-4)  # also at held-out values


def test_of_two_variables_the_one_that_is_determined_has_the_predictor_also_mapped(
    truth: xr.Dataset, gappy: xr.Dataset
) -> None:
    """`chl` as its exponential, filled by its logarithm; `salt`, which lacks the same values, has nothing of `sst`."""
    data = gappy.assign(chl=np.exp(gappy["chl"] / 4), salt=gappy["salt"].where(gappy["chl"].notnull()))
    data = data.isel(time=slice(50))
    filled = fieldcast.fill_gaps(data, predictors=["sst"], quantities={"chl": "log", "salt": "none"})
    assert filled.attrs["fieldcast_predictors"] == "sst of chl"
    missing = data["chl"].isnull()
    errors = (np.log(filled["chl_median"]) - truth["chl"] / 4).where(missing)
    assert float(np.sqrt((errors**2).mean())) < 1.3 * NOISE / 4


def test_the_table_of_choices_holds_the_choice_of_predictors(gappy: xr.Dataset, tmp_path: Path) -> None:
    """The pipeline keeps the table in a file, by which later nodes know the choice."""
    fields = fields_of(gappy).drop_attrs(deep=False)
    fields, table = quantities.choose_predictors(fields.assign_attrs(missing="train"), {}, 0, "cpu")
    table.to_csv(tmp_path / "scores.csv", index=False)
    again = quantities.with_predicted(fields_of(gappy), pd.read_csv(tmp_path / "scores.csv"))
    assert domain.predicted_variables(again) == domain.predicted_variables(fields) == ["chl"]


def test_noise_is_not_chosen(gappy: xr.Dataset) -> None:
    with_noise = fieldcast.fill_gaps(gappy[["chl", "salt"]], predictors=["salt"], quantities="none")
    alone = fieldcast.fill_gaps(gappy[["chl"]], quantities="none")
    assert (
        "fieldcast_predictors" not in with_noise.attrs
        and "chl is filled alone" in with_noise.attrs["comment"]
    )
    for name in alone.data_vars:
        assert np.array_equal(alone[name], with_noise[name], equal_nan=True)


def test_a_predictor_that_is_missing_with_the_variable_is_not_chosen(gappy: xr.Dataset) -> None:
    """Both are waves, which neighbours tell; observed values have the predictor, and those to fill lack it."""
    rng = np.random.default_rng(5)
    y, x = np.arange(ROWS)[:, None] / ROWS, np.arange(COLUMNS) / COLUMNS
    waves = np.stack([np.sin(2 * np.pi * x + 0 * y), np.cos(2 * np.pi * x + 0 * y), y + 0 * x])
    z = np.einsum("tk,kyx->tyx", rng.standard_normal((DAYS, 3)), waves)
    data = gappy[["chl"]].assign(sst=gappy["sst"].copy(data=z))
    data["chl"] = (SLOPE * data["sst"] + NOISE * gappy["salt"]).where(gappy["chl"].notnull())
    complete = fieldcast.fill_gaps(data, predictors="sst", quantities="none")
    assert complete.attrs["fieldcast_predictors"] == "sst of chl"
    data["sst"] = data["sst"].where(data["chl"].notnull())
    filled = fieldcast.fill_gaps(data, predictors="sst", quantities="none")
    assert "fieldcast_predictors" not in filled.attrs and "chl is filled alone" in filled.attrs["comment"]


def test_the_spread_holds_where_a_predictor_is_missing_at_half_of_the_gaps(
    truth: xr.Dataset, gappy: xr.Dataset
) -> None:
    """The predictor halves the mean square error, and is used; where it lacks, values far from others count as such."""
    is_lacking = gappy["chl"].isnull() & (np.arange(DAYS) % 2 == 0)[:, None, None]
    filled = fieldcast.fill_gaps(
        gappy[["chl"]].assign(sst=gappy["sst"].where(~is_lacking)), predictors="sst", quantities="none"
    )
    assert filled.attrs["fieldcast_predictors"] == "sst of chl"
    found = error(filled, truth, gappy)
    assert SLOPE / np.sqrt(2) * 0.85 < found < SLOPE / np.sqrt(2) * 1.2
    spread = float(np.sqrt((filled["chl_spread"] ** 2).where(gappy["chl"].isnull()).mean()))
    assert spread == pytest.approx(found, rel=0.15)
    fields = fields_of(gappy[["chl"]].assign(sst=gappy["sst"].where(~is_lacking)))
    record = GappyRecord.of(fields, torch.device("cpu"))
    assert record.determined is not None
    lacking = is_lacking.rename(lat="latitude", lon="longitude").sel(latitude=fields["latitude"])
    np.testing.assert_array_equal(record.on_grid(record.determined, 0, False), ~lacking)


def test_a_predictor_under_the_same_clouds_leaves_another_one_in_use(gappy: xr.Dataset) -> None:
    noise = gappy["salt"].where(gappy["chl"].notnull())
    filled = fieldcast.fill_gaps(
        gappy[["chl", "sst"]].assign(salt=noise), predictors=["salt", "sst"], quantities="none"
    )
    assert filled.attrs["fieldcast_predictors"] == "salt, sst of chl"


def test_predictors_are_hidden_as_often_as_they_are_missing() -> None:
    """A fifth of the times without a value lack the predictor, and every missing value of other times does."""
    times, cells = 4000, 5
    observed = torch.ones(times, cells, dtype=torch.bool)
    observed[:1000] = False
    observed[1000:2000, 0] = False
    known = observed.clone()
    known[:800] = True  # of the missing values at other times none is known
    held_out = torch.zeros_like(observed)
    held_out[2000:2500] = True
    held_out[2500:3000, 1] = True
    points = Columns(np.zeros((cells, 3)), torch.zeros(cells, dtype=torch.long), torch.ones(cells))
    record = Record(
        torch.zeros(times, cells), observed & ~held_out, torch.zeros(times, dtype=torch.long), points
    )
    hidden = hidden_predictor(record, known, held_out, slice(0, cells))
    assert not hidden[~held_out].any()
    assert float(hidden[2000:2500].all(1).double().mean()) == pytest.approx(0.2, abs=0.05)
    assert not (hidden[2000:2500].any(1) & ~hidden[2000:2500].all(1)).any()
    assert hidden[2500:3000, 1].all()


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_a_missing_predictor_is_interpolated_in_time_as_far_as_it_persists(rho: float) -> None:
    """The mean of red noise between two values is rho / (1 + rho^2) of their sum; every ninth value is missing."""
    rng, times = np.random.default_rng(2), 2000
    z = rng.standard_normal((times, 2, 3))
    for t in range(1, times):
        z[t] = rho * z[t - 1] + np.sqrt(1 - rho**2) * z[t]
    predictor = np.where(np.arange(times)[:, None, None] % 9 == 4, np.nan, z).astype(np.float32)
    found = without_gaps(predictor, torch.zeros(times, dtype=torch.long))
    expected = rho / (1 + rho**2) * (predictor[3] + predictor[5])
    np.testing.assert_allclose(found[4], expected, atol=0.06)
    there = np.isfinite(predictor)
    assert (~there).any() and np.array_equal(found[there], predictor[there])


def test_masks_of_the_variable_leave_predictors_as_they_are(gappy: xr.Dataset) -> None:
    """A mask of the land, and one in time, drop what is observed of the others alone."""
    land = np.zeros((ROWS, COLUMNS))
    land[0, 0] = 1
    chl = gappy["chl"].where(
        (land == 0) | (np.arange(DAYS) < 20)[:, None, None]
    )  # observed on land at 20 times
    data = gappy[["sst"]].assign(chl=chl, land_mask=(DIMS[1:], land))
    fields, _ = ingest(data, gaps="insert", missing="train", predictors=["sst"])
    expected = chl.where(land == 0).rename(lat="latitude", lon="longitude").sel(latitude=fields["latitude"])
    np.testing.assert_allclose(fields["chl"], expected, rtol=1e-6)
    assert chl.count() > expected.count() and np.isfinite(domain.predictors(fields)["sst"]).all()
    with pytest.raises(InputError, match="sst are all variables"):
        ingest(data.drop_vars("chl"), gaps="insert", missing="train", predictors=["sst"])
    ice = np.ones((DAYS, ROWS, COLUMNS))
    ice[:10, 3:] = 0
    data = gappy[["chl", "sst"]].assign({MASK: (DIMS, ice)})
    with pytest.raises(InputError, match="sst are all variables"):
        ingest(data.drop_vars("chl"), gaps="insert", missing="train", predictors=["sst"])
    fields, _ = ingest(data, gaps="insert", missing="train", predictors=["sst"])
    expected = gappy["chl"].where(ice == 1).rename(lat="latitude", lon="longitude")
    np.testing.assert_allclose(fields["chl"], expected.sel(latitude=fields["latitude"]), rtol=1e-6)
    assert np.isfinite(domain.predictors(fields)["sst"]).all()


def test_the_ridge_is_chosen_by_errors_at_blocks_of_times() -> None:
    """The sums of the blocks give the errors that predicting each block from the others gives."""
    rng = np.random.default_rng(3)
    z = torch.from_numpy(np.concatenate([rng.standard_normal((60, 4, 2)), np.ones((60, 4, 1))], axis=-1))
    slopes = torch.from_numpy(rng.standard_normal((4, 3)))
    x = torch.einsum("tck,ck->tc", z, slopes) + torch.from_numpy(3.0 * rng.standard_normal((60, 4)))
    seen = torch.from_numpy(rng.random((60, 4)) < 0.7)
    ridge, common = ridge_of(*block_sums(z, x, seen))
    errors = {}
    for candidate in RIDGES:
        errors[candidate] = 0.0
        for block in torch.arange(60).split(60 // BLOCKS):
            rest = seen.clone()
            rest[block] = False
            squares, products = sums(z, x, rest)
            b = regression(squares, products, candidate, common_coefficients(squares, products))
            error = (x - torch.einsum("tck,ck->tc", z, b))[block]
            errors[candidate] += float(error[seen[block]].square().sum())
    assert ridge == min(errors, key=errors.__getitem__)
    torch.testing.assert_close(common, common_coefficients(*sums(z, x, seen)))


@pytest.mark.parametrize("ridge", RIDGES)
def test_coefficients_are_those_of_augmented_least_squares(ridge: float) -> None:
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.standard_normal((40, 3, 2)), np.ones((40, 3, 1))], axis=-1)
    x, seen = rng.standard_normal((40, 3)), rng.random((40, 3)) < 0.6
    squares, products = sums(torch.from_numpy(z), torch.from_numpy(x), torch.from_numpy(seen))
    common = common_coefficients(squares, products)
    found = regression(squares, products, ridge, common)
    root = np.sqrt(np.diag([ridge, ridge, 1.0]))
    for c in range(3):
        rows = np.concatenate([z[seen[:, c], c], root])
        values = np.concatenate([x[seen[:, c], c], root @ common.numpy()])
        expected = np.linalg.lstsq(rows, values, rcond=None)[0]
        assert np.allclose(found[c], expected, atol=1e-8)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["ssh"], "variable 'ssh' is not in"),
        (["chl", "sst"], "are all variables"),
        (["empty"], "'empty' of the data set has no value at all: leave it out"),
        (["constant"], "'constant' of the data set does not change in time"),
    ],
)
def test_predictors_that_cannot_be_used_are_refused(
    gappy: xr.Dataset, given: list[str], message: str
) -> None:
    data = gappy[["chl", "sst"]]
    constant = data["sst"].isel(time=0, drop=True).expand_dims(time=data["time"])
    if given[0] in ("empty", "constant"):
        data = data.assign({given[0]: constant if given == ["constant"] else data["sst"] * np.nan})
    with pytest.raises(InputError, match=message):
        fieldcast.fill_gaps(data, predictors=given)


def test_a_record_with_predictors_is_not_appended_to(filled: xr.Dataset, gappy: xr.Dataset) -> None:
    later = gappy.assign_coords(time=gappy["time"] + np.timedelta64(DAYS, "D"))
    with pytest.raises(InputError, match="was filled with predictors"):
        fieldcast.fill_gaps(later, append=filled)
    with pytest.raises(InputError, match="was filled without them"):
        fieldcast.fill_gaps(
            later, predictors="sst", append=filled.drop_attrs(deep=False).assign_attrs(fieldcast_method="x")
        )


def test_predictors_from_another_file_are_those_of_the_same_file(gappy: xr.Dataset, tmp_path: Path) -> None:
    gappy[["chl"]].to_netcdf(tmp_path / "a.nc")
    gappy[["sst"]].to_netcdf(tmp_path / "b.nc")
    gappy[["chl", "sst"]].to_netcdf(tmp_path / "both.nc")
    gappy[["sst"]].isel(time=slice(5, None)).to_netcdf(tmp_path / "late.nc")
    gappy[["sst"]].isel(lat=slice(1, None)).to_netcdf(tmp_path / "small.nc")

    def fields(path: str, predictors: str) -> xr.Dataset:
        source = Source(path=str(tmp_path / path), predictors=[predictors], gaps="insert", missing="train")
        return ingest_source(source)[0]

    one, other = fields("a.nc", str(tmp_path / "b.nc")), fields("both.nc", "sst")
    assert one.attrs["digest"] == other.attrs["digest"] and list(one.data_vars) == ["chl"]
    with pytest.raises(InputError, match="other times than"):
        fields("a.nc", str(tmp_path / "late.nc"))
    with pytest.raises(InputError, match="same grid"):
        fields("a.nc", str(tmp_path / "small.nc"))
    with pytest.raises(InputError, match="rename it in one of them"):
        fields("both.nc", str(tmp_path / "b.nc"))
    with pytest.raises(InputError, match=r"variable 'b\.nc' is not in .* see ingestion\.predictors"):
        fields("a.nc", "b.nc")
    gappy[["sst"]].isel(time=slice(40)).to_netcdf(tmp_path / "of_1.nc")
    gappy[["sst"]].isel(time=slice(40, None)).to_netcdf(tmp_path / "of_2.nc")
    assert fields("a.nc", str(tmp_path / "of_*.nc")).attrs["digest"] == one.attrs["digest"]
    with pytest.raises(InputError, match=r"no file matches .*none_\*\.nc.*ingestion\.predictors"):
        fields("a.nc", str(tmp_path / "none_*.nc"))
