from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scores.continuous import mae, mse
from scores.probability import crps_for_ensemble

from fieldcast.errors import InputError
from fieldcast.scores.statistics import POWER
from tests.evaluations import value_of


def test_statistics_equal_the_scores_package_over_unobserved_cells(scene: Callable) -> None:
    evaluation = scene(times=9)
    scores, _ = evaluation.score()
    x, y = evaluation.reconstructions["t"].isel(case=1, drop=True), evaluation.truth["t"]
    hidden = evaluation.observations["t"].isel(case=1, drop=True).isnull()
    options = {"preserve_dims": "time", "weights": evaluation.area}
    mean = x.astype(float).mean("member")
    grid = ("latitude", "longitude")
    expected = {
        "squared_error": mse(mean.where(hidden), y, **options),
        "absolute_error": mae(mean.where(hidden), y, **options),
        "error": (mean - y).where(hidden).weighted(evaluation.area).mean(grid),
        "crps": crps_for_ensemble(x, y.where(hidden), "member", method="fair", **options),
        "variance": x.var("member", ddof=1).where(hidden).weighted(evaluation.area).mean(grid),
    }
    for name, values in expected.items():
        scored = value_of(scores, k=0.3, cells="unobserved", variable="t", statistic=name)
        np.testing.assert_allclose(scored, values, rtol=2e-4, atol=1e-5)


def test_consistency_is_of_each_draw_against_the_observed_value(scene: Callable) -> None:
    evaluation = scene(times=9)
    scores, _ = evaluation.score()
    squares = (evaluation.reconstructions["z"] - evaluation.observations["z"]).isel(case=0) ** 2
    expected = squares.mean("member").weighted(evaluation.area).mean(("latitude", "longitude"))
    where = {"k": 0.1, "variable": "z", "statistic": "observed_squared_error"}
    np.testing.assert_allclose(value_of(scores, cells="all", **where), expected, rtol=1e-5)
    assert not len(value_of(scores, cells="unobserved", **where))


def test_overall_is_the_mean_over_variables_in_anomaly_units(scene: Callable) -> None:
    """Standardising everything first, (x - climatology)/anomaly_std, gives the same."""
    evaluation = scene(times=9)
    scores, _ = evaluation.score()
    standard = {"z": 50.0, "t": 2.0}
    level = {name: evaluation.climatology[name].isel(dayofyear=0) for name in standard}

    def standardise(data: xr.Dataset) -> xr.Dataset:
        return data.assign({name: (data[name] - level[name]) / sd for name, sd in standard.items()})

    plain = evaluation._replace(
        reconstructions=standardise(evaluation.reconstructions),
        observations=standardise(evaluation.observations),
        truth=standardise(evaluation.truth),
        climatology=standardise(evaluation.climatology),
        normalisation=evaluation.normalisation.assign(anomaly_std=("variable", [1.0, 1.0])),
    )
    other, _ = plain.score()
    for name in set(POWER) - {"ssim"}:
        where = {"k": 0.1, "cells": "all", "statistic": name}
        parts = [value_of(other, variable=variable, **where) for variable in standard]
        np.testing.assert_allclose(
            value_of(scores, variable="all", **where), np.mean(parts, 0), rtol=1e-3, atol=1e-4
        )


def test_a_calibrated_ensemble_has_the_known_scores(scene: Callable) -> None:
    """Truth and members N(centre, 0.5²) in anomaly units, 19 members, noise 0.1."""
    scores, _ = scene().score()
    overall = scores[(scores["variable"] == "all") & (scores["cells"] == "all")]
    means = overall.groupby("statistic")["value"].mean()
    variance = 0.25
    expected = {
        "squared_error": variance * (1 + 1 / 19),
        "debiased_squared_error": variance,
        "variance": variance,
        "crps": 0.5 / np.sqrt(np.pi),
        "coverage50": 0.5,
        "coverage90": 0.9,
        "observed_squared_error": 2 * variance + 0.01,
    }
    for name, value in expected.items():
        assert means[name] == pytest.approx(value, rel=0.03), name


def test_one_member_has_errors_and_neither_spread_nor_coverage(scene: Callable) -> None:
    scores, _ = scene(members=1, times=9).score()
    void = scores.groupby("statistic")["value"].apply(lambda values: values.isna().all())
    undefined = {"variance", "debiased_squared_error", "coverage50", "coverage90"}
    assert set(void[void].index) == undefined
    assert scores[~scores["statistic"].isin(undefined)]["value"].notna().all()
    where = {"k": 0.1, "cells": "all", "variable": "z"}
    np.testing.assert_allclose(
        value_of(scores, statistic="crps", **where), value_of(scores, statistic="absolute_error", **where)
    )


def test_cells_that_never_exist_are_left_out(scene: Callable) -> None:
    evaluation = scene(times=9)
    land = xr.zeros_like(evaluation.truth["t"].isel(time=0, drop=True), dtype=bool)
    land[2:6, 4:9] = True
    holes = evaluation._replace(
        truth=evaluation.truth.where(~land), observations=evaluation.observations.where(~land)
    )
    junk = holes._replace(reconstructions=evaluation.reconstructions.where(~land, 1e9))
    first, second = holes.score()[0], junk.score()[0]
    assert first["value"].notna().all()
    pd.testing.assert_frame_equal(first, second)
    squares = ((evaluation.reconstructions.t.isel(case=0).mean("member") - evaluation.truth.t) ** 2).where(
        ~land
    )
    np.testing.assert_allclose(
        value_of(first, k=0.1, cells="all", variable="t", statistic="squared_error"),
        squares.weighted(evaluation.area).mean(("latitude", "longitude")),
        rtol=1e-4,
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_time_that_blew_up_scores_infinity_and_the_others_do_not(scene: Callable, bad: float) -> None:
    evaluation = scene(times=9)
    broken = evaluation.reconstructions.copy(deep=True)
    broken["z"][1, 4, 2, 3, 3] = bad
    scores, _ = evaluation._replace(reconstructions=broken).score()
    scored = value_of(scores, k=0.3, cells="unobserved", variable="all", statistic="crps")
    assert np.isinf(scored[4])
    assert np.isfinite(np.delete(scored, 4)).all()
    assert np.isfinite(value_of(scores, variable="t")).all()


def test_everything_observed_leaves_nothing_to_score_as_unobserved(scene: Callable) -> None:
    evaluation = scene(times=9, levels=(1.0,))
    scores, diagnostics = evaluation.score()
    assert scores[scores["cells"] == "unobserved"]["value"].isna().all()
    assert scores[scores["cells"] == "all"]["value"].notna().all()
    assert diagnostics.rank_histogram.isnull().all()


def test_fields_with_other_times_and_static_variables_serve_as_truth(scene: Callable) -> None:
    evaluation = scene(times=9)
    later = evaluation.truth.assign_coords(time=evaluation.truth.time + np.timedelta64(1, "h"))
    fields = xr.concat([evaluation.truth, later], "time", combine_attrs="override").sortby("time")
    fields["orography"] = fields["z"].isel(time=0, drop=True)
    scores, _ = evaluation._replace(
        truth=fields, reconstructions=evaluation.reconstructions.chunk(case=1)
    ).score()
    pd.testing.assert_frame_equal(scores, evaluation.score()[0])


@pytest.mark.parametrize("name", ["pattern", "k", "time", "latitude"])
def test_reconstructions_of_something_else_are_refused(scene: Callable, name: str) -> None:
    evaluation = scene(times=9)
    changed = evaluation.reconstructions[name].to_numpy().copy()
    changed[0] = changed[1] if name != "pattern" else "swaths"
    moved = evaluation.reconstructions.assign_coords({name: (evaluation.reconstructions[name].dims, changed)})
    with pytest.raises(InputError, match=f"the {name} of the reconstructions differs"):
        evaluation._replace(reconstructions=moved).score()


def test_a_variable_that_is_missing_is_named(scene: Callable) -> None:
    evaluation = scene(times=9)
    with pytest.raises(InputError, match="variable t"):
        evaluation._replace(reconstructions=evaluation.reconstructions.drop_vars("t")).score()


def test_a_truth_with_gaps_is_scored_where_it_was_observed(scene: Callable) -> None:
    """Scores equal those of the complete truth with the same cells removed, weighted over the cells that are left."""
    complete = scene(times=9)
    rng = np.random.default_rng(3)
    there = xr.DataArray(rng.random(complete.truth["t"].shape) < 0.6, complete.truth["t"].coords)
    there[4] = False
    x, y = complete.reconstructions["t"].isel(case=1, drop=True), complete.truth["t"]
    hidden = complete.observations["t"].isel(case=1, drop=True).isnull() & there
    options = {"preserve_dims": "time", "weights": complete.area}
    expected = {
        "squared_error": mse(x.astype(float).mean("member").where(hidden), y, **options),
        "crps": crps_for_ensemble(x, y.where(hidden), "member", method="fair", **options),
    }
    gappy = complete._replace(
        truth=complete.truth.where(there), observations=complete.observations.where(there)
    )
    scores, diagnostics = gappy.score()
    for name, values in expected.items():
        scored = value_of(scores, k=0.3, cells="unobserved", variable="t", statistic=name)
        np.testing.assert_allclose(scored, values, rtol=2e-4, atol=1e-5)
        assert np.isnan(scored[4]) and np.isfinite(np.delete(scored, 4)).all()
    assert np.allclose(diagnostics["rank_histogram"].sum("rank"), 1)
