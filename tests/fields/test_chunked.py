"""Blocks put together are the array, whatever their size and wherever the data are."""

import numpy as np
import pytest
import xarray as xr

from fieldcast.datasets import ZarrDataset, parts
from fieldcast.fields import climatology, domain, normalisation
from fieldcast.fields.contracts import Fields, fits_digest


@pytest.mark.parametrize("chunks", [None, 1, 4, 10])
def test_blocks_cover_all_times_once(chunks: int | None) -> None:
    array = xr.DataArray(np.arange(60.0).reshape(10, 2, 3), dims=("time", "latitude", "longitude"))
    parts = list(domain.blocks(array if chunks is None else array.chunk(time=chunks), 3 * 6 * 8))
    assert len(parts) == {None: 4, 1: 10, 4: 3, 10: 1}[chunks]
    assert np.array_equal(np.concatenate([x for _, x in parts]), array)
    assert all(np.array_equal(array[span], x) for span, x in parts)


def test_statistics_of_fields_on_the_disk_are_those_in_memory(world, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(parts, "available", lambda: 0)
    monkeypatch.setattr(parts, "CHUNK_BYTES", 2**12)
    monkeypatch.setattr(domain, "BLOCK_BYTES", 2**14)
    dataset = ZarrDataset(
        filepath=str(tmp_path / "fields.zarr"), load_args={"lazy": "auto"}, save_args={"chunk_bytes": 2**12}
    )
    dataset.save(world.fields)
    stored = dataset.load()
    assert not domain.in_memory(Fields().validate(stored)) and fits_digest(stored)
    training = stored.isel(time=slice(0, world.split("train").sizes["time"]))
    normal = climatology.fit(training)
    xr.testing.assert_identical(normal, world.climatology)
    xr.testing.assert_allclose(normalisation.fit(training, normal), world.normalisation, rtol=1e-12)
