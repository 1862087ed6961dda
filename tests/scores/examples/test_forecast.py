from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fieldcast.errors import InputError
from fieldcast.scores.examples import forecast_examples


@pytest.mark.parametrize("cftime", [False, True])
def test_kinds_follow_the_middle_start(season: Callable, cftime: bool) -> None:
    evaluation = season(starts=5, cftime=cftime)
    examples = forecast_examples(evaluation.forecasts.chunk(lead=1), evaluation.truth, variables=1, steps=2)
    assert list(examples.data_vars) == ["z"]
    assert examples["z"].sizes == {"kind": 4, "lead": 3, "latitude": 18, "longitude": 16}
    assert examples["lead"].to_numpy().tolist() == [0, 24, 48]
    assert examples.attrs["start"] == "2004-01-15T00:00:00"
    assert examples["z"].attrs["units"] == "m"
    np.testing.assert_array_equal(
        examples["z"].sel(kind="truth"), evaluation.truth["z"].isel(time=[26, 27, 28])
    )
    ensemble = evaluation.forecasts["z"].isel(start=2, lead=slice(2))
    np.testing.assert_allclose(examples["z"].sel(kind="mean")[1:], ensemble.mean("member"), rtol=1e-6)
    np.testing.assert_array_equal(examples["z"].sel(kind="member_1")[1:], ensemble.isel(member=1))
    assert (examples["z"].isel(lead=0) == evaluation.truth["z"].isel(time=26)).all()


def test_anomalies_are_from_the_climatology_of_the_valid_day(season: Callable) -> None:
    evaluation = season(starts=3)
    fields, anomalies = (
        forecast_examples(evaluation.forecasts, evaluation.truth, climatology=climatology)
        for climatology in (None, evaluation.climatology)
    )
    assert "anomaly" in anomalies.attrs
    assert "anomaly" not in fields.attrs
    days = evaluation.truth["time"].dt.dayofyear.to_numpy()[13:17] - 1  # 2 to 5 January
    normal = evaluation.climatology["t"].isel(dayofyear=days)
    np.testing.assert_allclose(
        anomalies["t"], fields["t"].to_numpy() - normal.to_numpy(), rtol=1e-4, atol=1e-4
    )


def test_one_member_has_no_kinds_of_members_and_what_blew_up_is_kept(season: Callable) -> None:
    evaluation = season(starts=3, members=1)
    examples = forecast_examples(
        evaluation.forecasts.where(evaluation.forecasts["lead"] < 72), evaluation.truth
    )
    assert examples["z"].sel(kind="member_0").isel(lead=slice(1, None)).isnull().all()
    assert examples["z"].sel(kind="mean").isel(lead=1).notnull().all()
    assert examples["z"].sel(kind="mean").isel(lead=3).isnull().all()
    with pytest.raises(InputError, match="the latitudes of the forecasts are"):
        forecast_examples(evaluation.forecasts.isel(latitude=slice(3)), evaluation.truth)


def test_an_angle_about_north_is_averaged_and_compared_along_the_shorter_arc(season: Callable) -> None:
    """Errors and anomalies are those of the numbers without a jump, from which the angles are made."""
    evaluation = season(starts=3)
    linear = [x[["z"]] for x in (evaluation.forecasts, evaluation.truth)]
    centre, scale = float(linear[1]["z"].mean()), float(linear[1]["z"].std())
    values = [((x["z"] - centre) / scale * 3).assign_attrs(units="degree") for x in linear]
    angles = [(x % 360).assign_attrs(x.attrs).to_dataset(name="wdir") for x in values]
    normal = (evaluation.climatology["z"] * 0 + 350.0).to_dataset(name="wdir")
    plain = forecast_examples(*(x.to_dataset(name="x") for x in values))
    fields, anomalies = (forecast_examples(*angles, climatology=x) for x in (None, normal))
    error, expected = (x - x.sel(kind="truth") for x in (fields["wdir"], plain["x"]))
    np.testing.assert_allclose(error, expected, atol=1e-3)
    np.testing.assert_allclose(anomalies["wdir"], plain["x"] + 10, atol=1e-3)
