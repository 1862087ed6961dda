"""Fields and states are created once, together, and reused if they match."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.datasets import ZarrDataset
from fieldcast.errors import InputError
from fieldcast.fields import ingest
from fieldcast.fields.options import Ingestion
from fieldcast.fields.planet import weather
from fieldcast.fields.planet.options import PlanetOptions
from fieldcast.fields.planet.weather import simulate
from fieldcast.pipelines.ingestion import nodes

TINY = PlanetOptions(years=0.5, spin_up=20, truncation=7, step=0.25, n_longitude=16, n_latitude=8)
PLANET = Ingestion(planet=TINY)
Made = tuple[xr.Dataset, pd.DataFrame, xr.Dataset]


def make_fields(ingestion: Ingestion, *previous: Any) -> Made:
    """The outputs of the node after a run that has left some."""
    made: Made = nodes.make_fields(ingestion, *(partial(lambda value: value, each) for each in previous))
    return made


@pytest.fixture(scope="module")
def created() -> Made:
    return make_fields(PLANET, *NOTHING)


NOTHING = (None, None, None)  # outputs of an earlier run: fields, quality, states


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds of the planets that are simulated."""
    seeds: list[int] = []

    def counted(options: PlanetOptions, seed: int) -> xr.Dataset:
        seeds.append(seed)
        return simulate(options, seed)

    monkeypatch.setattr(ingest, "simulate", counted)
    return seeds


def test_states_and_fields_are_of_the_same_days_and_of_one_mark(created: Made) -> None:
    fields, _, states = created
    assert fields.attrs["lineage"] == states.attrs["lineage"] == PLANET.lineage()
    assert list(states) == ["q"] and "q" not in fields
    assert np.array_equal(states["time"], fields["time"])


def test_a_run_says_when_its_planet_is_another(
    created: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning appears for new and for stored data; here a tiny planet replaces the documented one."""
    make_fields(PLANET, *created)
    assert not caplog.messages[1:]
    monkeypatch.setattr(weather, "PlanetOptions", lambda: TINY)
    for left in (created, NOTHING):
        caplog.clear()
        fields, _, states = make_fields(PLANET, *left)
        assert f"states {states.attrs['digest']} instead of" in caplog.messages[-1]
        assert f"fields {fields.attrs['digest']} instead of" in caplog.messages[-1]


def test_states_change_nothing_of_the_fields(created: Made) -> None:
    alone, _ = ingest.ingest(simulate(TINY, 0).drop_dims(("m", "part", "level", "n")))
    assert alone.attrs["digest"] == created[0].attrs["digest"]
    xr.testing.assert_equal(alone, created[0])


def test_existing_data_are_reused(created: Made, simulated: list[int]) -> None:
    again = make_fields(PLANET, *created)
    assert simulated == []
    assert all(item is other for item, other in zip(again, created, strict=True))


def test_fields_of_other_options_are_replaced_with_a_word(
    created: Made, simulated: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    make_fields(replace(PLANET, seed=5), *created)
    assert f"({created[0].attrs['source']}) were made with other options or files" in caplog.text


def test_fields_without_stored_states_are_recreated_identically(created: Made, simulated: list[int]) -> None:
    fields, quality, states = make_fields(PLANET, created[0], created[1], None)
    assert simulated == [0]
    assert fields.attrs["digest"] == created[0].attrs["digest"] and quality.equals(created[1])
    xr.testing.assert_identical(states, created[2])


def test_states_of_another_planet_do_not_count(created: Made, simulated: list[int]) -> None:
    other = created[2].assign_attrs(lineage="0" * 12)
    assert make_fields(PLANET, created[0], created[1], other)[2].identical(created[2])
    assert simulated == [0]


def test_a_file_has_no_states_and_is_read_once(
    created: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created[0].drop_vars("segment").to_netcdf(tmp_path / "mine.nc")
    file = Ingestion(source="file", path=str(tmp_path / "mine.nc"))
    fields, quality, states = make_fields(file, *created)
    assert not states.data_vars and states.attrs == {"lineage": file.lineage()}
    monkeypatch.setattr(ingest, "ingest_source", None)
    for left in (None, states, created[2]):
        again = make_fields(file, fields, quality, left)
        assert again[0] is fields and not again[2].data_vars


def test_the_planet_never_replaces_the_fields_of_a_user(created: Made, simulated: list[int]) -> None:
    """Users who forget --env keep their data."""
    fields = created[0].assign_attrs(source="my reanalysis", lineage="0" * 12)
    for states in (None, xr.Dataset(attrs={"lineage": "0" * 12})):
        with pytest.raises(InputError, match=r"fields of another source \(my reanalysis\).*add the --env"):
            make_fields(PLANET, fields, created[1], states)
    assert simulated == []


def test_states_come_back_from_the_disk_as_they_were(created: Made, tmp_path: Path) -> None:
    """The states survive a lazy read that is saved again in the same place, and so does an empty data set."""
    stored = ZarrDataset(filepath=str(tmp_path / "planet_states.zarr"), load_args={"lazy": True})
    stored.save(created[2])
    stored.save(make_fields(PLANET, created[0], created[1], stored.load())[2])
    result = stored.load()
    assert result["q"].chunks is not None
    xr.testing.assert_identical(result.load(), created[2])
    stored.save(xr.Dataset(attrs={"lineage": "0"}))
    assert not stored.load().data_vars and stored.load().attrs == {"lineage": "0"}
