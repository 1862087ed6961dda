"""Files that leave the project: CF-1.11 and ACDD-1.3 by the compliance checker of IOOS, and their origin."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from compliance_checker.runner import CheckSuite, ComplianceChecker
from worlds import red_noise

import fieldcast
from fieldcast import lineage
from fieldcast.inference.result_attributes import in_one_line, with_attributes


@pytest.fixture(scope="module")
def source() -> xr.Dataset:
    """Monthly means in degrees Celsius with bounds of time, and the attributes of the centre that made them."""
    time = pd.date_range("1980-01-01", periods=121, freq="MS")
    data = red_noise(time[:-1])
    data["sst"].attrs |= {
        "standard_name": "sea_surface_temperature", "long_name": "sea surface temperature", "units": "degC",
        "cell_methods": "time: mean", "grid_mapping": "crs",
    }  # fmt: skip
    data["sst"] -= 273.15
    data["time"].attrs["bounds"] = "time_bnds"
    data["time_bnds"] = ("time", "nv"), np.stack([time[:-1], time[1:]], axis=1)
    data.attrs = {
        "title": "A record", "institution": "A centre", "source": "satellites", "history": "2001: measured",
        "license": "free", "Conventions": "CF-1.6", "time_coverage_end": "1999",
    }  # fmt: skip
    return data


@pytest.fixture(scope="module")
def results(source) -> dict[str, xr.Dataset]:
    gappy = source.isel(time=slice(-6, None)).copy(deep=True)
    gappy["sst"][:, 1:3, 2:4] = np.nan
    models = [
        fieldcast.fit(source, name)
        for name in ("reconstruct.optimal_interpolation", "forecast.linear_inverse_model")
    ]
    return {
        "fill": models[0].fill(gappy, members=3, noise=0.1, seed=2),
        "predict": models[1].forecast(source, 3, members=3, seed=2),
        "fill one time": models[0].fill(gappy.isel(time=0, drop=False), members=1),
        "gaps": fieldcast.fill_gaps(scattered(source), members=2),
    }


def scattered(source: xr.Dataset) -> xr.Dataset:
    """The record without half of its values, under a long name that holds a comma."""
    present = np.random.default_rng(0).random(source["sst"].shape) < 0.5
    gappy = source.assign(sst=source["sst"].where(present))
    gappy["sst"].attrs["long_name"] = "sea surface temperature, bulk"
    return gappy


@pytest.mark.parametrize("name", ["fill", "predict", "fill one time", "gaps"])
def test_the_compliance_checker_finds_no_error(results, name, tmp_path):
    path, report = tmp_path / f"{name.replace(' ', '_')}.nc", tmp_path / "report.json"
    results[name].to_netcdf(path)
    CheckSuite.load_all_available_checkers()
    ComplianceChecker.run_checker(
        str(path), ["cf:1.11", "acdd:1.3"], 0, "lenient", output_filename=str(report), output_format="json"
    )
    for checker, checks in json.loads(report.read_text()).items():
        errors = [f"{check['name']}: {check['msgs']}" for check in checks["high_priorities"] if check["msgs"]]
        assert not errors, f"{checker}: {errors}"


def test_a_variable_says_whether_it_holds_members_or_observed_and_filled_values(results):
    assert results["fill"]["sst"].attrs["comment"] == "one draw for each member; sst_mean holds their mean"
    assert (
        results["gaps"]["sst"].attrs["comment"] == "observed values where sst_flag is 0, elsewhere sst_mean"
    )
    assert results["gaps"]["sst_members"].attrs["standard_name"] == "sea_surface_temperature"
    filled = results["gaps"].where(results["gaps"]["sst_flag"] > 0)
    assert np.array_equal(filled["sst"], filled["sst_mean"], equal_nan=True)


def test_one_line_has_the_period_the_members_and_the_mean_spread(results):
    spread = float(results["fill"]["sst_spread"].mean())
    assert results["fill"].attrs["fieldcast_noise"] == 0.1  # so that observed values have a spread, too
    assert in_one_line(results["fill"]) == (
        "Reconstruction of sea surface temperature, 1989-07-01 to 1989-12-01, 3 members, mean spread sst "
        f"{spread:.3g} degC"
    )


def test_the_mean_spread_is_that_of_values_that_were_not_observed(results):
    kept = results["fill"].assign_attrs(fieldcast_noise=0.0)
    kept["sst_spread"] = xr.full_like(kept["sst_spread"], 2.0)
    kept["sst_spread"][:, 0] = 0.0
    assert in_one_line(kept).endswith("3 members, mean spread of unobserved values sst 2 degC")
    kept["sst_spread"][:] = 0.0  # all was observed
    assert in_one_line(kept).endswith("3 members")


def test_a_single_estimate_has_one_member(source):
    for model, draw in (("reconstruct.linear", "fill"), ("forecast.persistence", "forecast")):
        fitted = fieldcast.fit(source, model)
        result = fitted.fill(scattered(source)) if draw == "fill" else fitted.forecast(source, 2)
        assert result.attrs["fieldcast_members"] == result.sizes["member"] == 1
        assert "members=1, " in result.attrs["history"] and ", 1 member" in in_one_line(result)


def test_a_comma_splits_no_keyword(results):
    words = results["gaps"].attrs["keywords"].split(", ")
    assert words == ["reconstruction", "ensemble", "sea surface temperature", "bulk"]


def test_attributes_of_ingestion_stay_behind(source):
    notes = {
        "digest": "0",
        "wraps": 0,
        "lineage": "1",
        "missing": "train",
        "step_hours": 24.0,
        "_variables": ["t"],
    }
    stored = source.assign_attrs(notes)
    assert not set(notes) & set(with_attributes(source, stored.attrs, "Reconstruction", "a model", {}).attrs)


def test_moments_have_cell_methods(results):
    for result in (results["fill"], results["predict"]):
        mean, spread = result["sst_mean"].attrs, result["sst_spread"].attrs
        assert mean["standard_name"] == spread["standard_name"] == "sea_surface_temperature"
        assert mean["cell_methods"] == "time: mean realization: mean"
        assert spread["cell_methods"] == "time: mean realization: standard_deviation"
        assert spread["units_metadata"] == "temperature: difference"  # a spread in degC has no zero to shift
        assert set(result["sst"].attrs["ancillary_variables"].split()) <= set(result.data_vars)
        assert result["member"].attrs["standard_name"] == "realization"
        assert {str(result[name].attrs.get("axis")) for name in ("lat", "lon")} == {"X", "Y"}
        assert "grid_mapping" not in result["sst"].attrs


def test_attributes_of_the_source_are_named_as_the_sources(results, source):
    filled, weights = results["fill"].attrs, results["fill"].attrs["source"]
    assert filled["input_title"] == "A record" and filled["input_institution"] == "A centre"
    assert filled["input_source"] == "satellites" and filled["license"] == "free"
    assert filled["title"] == "Reconstruction of sea surface temperature" and "institution" not in filled
    assert filled["Conventions"] == "CF-1.11, ACDD-1.3" and "optimal_interpolation" in weights
    first, second = filled["history"].splitlines()
    version = lineage.versions(["fieldcast"])["fieldcast"]
    assert first[10:] == f" reconstruction by fieldcast {version}: members=3, noise=0.1, seed=2"
    assert second == "2001: measured"
    assert (filled["fieldcast_members"], filled["fieldcast_noise"], filled["fieldcast_seed"]) == (3, 0.1, 2)
    assert filled["time_coverage_end"] == "1989-12-01T00:00:00" and filled["geospatial_lat_min"] == -30
    latitudes = results["fill"]["lat"]
    assert filled["geospatial_lat_max"] == float(latitudes.max()) and not [
        key for key in filled if "<" in key
    ]


def test_bounds_stay_with_their_coordinate(results, source):
    assert np.array_equal(results["fill"]["time_bnds"], source["time_bnds"][-6:])
    assert "bounds" not in results["predict"]["time"].attrs and "time_bnds" not in results["predict"]
