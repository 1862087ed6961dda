"""Streams into a Zarr store are their pieces put together, also after an interruption."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from kedro.io import DataCatalog
from kedro.io.core import DatasetError
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner
from stores import leftovers, piece

from fieldcast.datasets import ZarrDataset, encoding


def pieces(full: xr.Dataset, cuts: list[int]) -> Iterator[xr.Dataset]:
    bounds = [0, *cuts, full.sizes["lead"]]
    for i in range(len(bounds) - 1):
        yield full.isel(lead=slice(bounds[i], bounds[i + 1])).assign_attrs(piece=i, pieces=len(bounds) - 1)


def forecasts() -> xr.Dataset:
    start = np.array(["2001-01-01", "2002-03-04T06"], dtype="M8[ns]")
    lead = np.arange(9) * 7
    valid = start[:, None] + lead * np.timedelta64(1, "h")
    z = np.random.default_rng(0).random((2, 9, 3), dtype=np.float32)
    return xr.Dataset(
        {"z": (("start", "lead", "x"), z), "h": ("x", [1.0, 2.0, 3.0])},
        {"start": start, "lead": lead, "valid": (("start", "lead"), valid)},
        {"digest": "x"},
    )  # fmt: skip


@pytest.mark.parametrize("place", ["memory://streams", None])
@pytest.mark.parametrize("cuts", [[3, 6], [4], [1, 2, 8], []])
def test_a_stream_is_its_pieces_put_together(tmp_path: Path, cuts: list[int], place: str | None) -> None:
    stored = ZarrDataset(filepath=f"{place or tmp_path}/{len(cuts)}.zarr", append="lead")
    full = forecasts()
    for part in pieces(full, cuts):
        assert not stored.exists()
        stored.save(part)
    xr.testing.assert_identical(stored.load(), full)


TIMES = {
    "noleap": xr.date_range("2001-01-01", periods=6, freq="6h", calendar="noleap", use_cftime=True),
    "360_day": xr.date_range("2001-02-29", periods=6, freq="6h", calendar="360_day", use_cftime=True),
    "half seconds": np.datetime64("2001-01-01T00:00:00.5", "ns") + np.arange(6) * np.timedelta64(6, "h"),
}


@pytest.mark.parametrize("name", TIMES)
def test_times_of_any_calendar_are_stored_as_they_are(tmp_path: Path, name: str) -> None:
    """The first time alone, a midnight, would make the unit days, which do not hold the next ones."""
    stored, times = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="time"), np.asarray(TIMES[name])
    for i, time in enumerate(times):
        at = np.array([time], dtype=times.dtype)
        stored.save(xr.Dataset({"z": ("time", [i])}, {"time": at}, {"piece": i, "pieces": len(times)}))
    assert stored.load()["time"].values.tolist() == times.tolist()


def test_times_finer_than_those_of_the_first_piece_are_refused(tmp_path: Path) -> None:
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="time")
    for i, time in enumerate(["2001-01-01T00:00:00", "2001-01-01T06:00:00.5"]):
        data = xr.Dataset(
            {"z": ("time", [i])}, {"time": np.array([time], "M8[ns]")}, {"piece": i, "pieces": 2}
        )
        with pytest.raises(DatasetError, match="Times can't be serialized") if i else nullcontext():
            stored.save(data)


def test_later_pieces_may_hold_longer_words(tmp_path: Path) -> None:
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="case")
    texts = ["ran", "stations", "blocks"]
    for i, word in enumerate(texts):
        stored.save(
            xr.Dataset({"z": ("case", [i])}, {"pattern": ("case", [word])}, {"piece": i, "pieces": 3})
        )
    assert stored.load()["pattern"].values.tolist() == texts and stored.load()["pattern"].dtype.kind == "U"


def test_a_broken_stream_leaves_what_was_there_and_starts_afresh(tmp_path: Path) -> None:
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    full = forecasts()
    stored.save(full)
    for part in list(pieces(full * 2, [3, 6]))[:2]:
        stored.save(part)
    xr.testing.assert_identical(stored.load(), full)
    with xr.set_options(keep_attrs=True):
        for part in pieces(full * 3, [5]):
            stored.save(part)
        xr.testing.assert_identical(stored.load(), full * 3)
    assert leftovers(tmp_path) == []


def test_pieces_out_of_place_are_refused(tmp_path: Path) -> None:
    second = list(pieces(forecasts(), [3]))[1]
    with pytest.raises(DatasetError, match="is given piece 1 of a stream without its start"):
        ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead").save(second)
    with pytest.raises(DatasetError, match="its catalog entry needs 'append'"):
        ZarrDataset(filepath=str(tmp_path / "b.zarr")).save(second)


def test_a_generator_node_streams_through_the_catalog(tmp_path: Path) -> None:
    full = forecasts()

    def roll() -> Iterator[xr.Dataset]:
        yield from pieces(full, [2, 5])

    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    SequentialRunner().run(Pipeline([node(roll, None, "forecasts")]), DataCatalog({"forecasts": stored}))
    xr.testing.assert_identical(stored.load(), full)


def test_an_interrupted_stream_resumes_at_any_of_its_pieces(tmp_path: Path) -> None:
    path = str(tmp_path / "a.zarr")
    stream = ZarrDataset(filepath=path, append="lead")
    assert stream.unfinished() == 0
    for number in range(3):
        stream.save(piece(number, number))
    assert stream.unfinished() == 3 and not stream.exists()
    for number in (1, 2, 3):
        stream.save(piece(number, 10 * number))
    assert stream.load()["z"].values[:, 0].tolist() == [0, 10, 20, 30]
    assert stream.load()["lead"].values.tolist() == [0, 1, 2, 3] and stream.unfinished() == 0


def test_half_a_piece_does_not_count(tmp_path: Path) -> None:
    """A kill while one of several variables is written: what is complete is resumed, and the half piece replaced."""
    stream = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    both = [piece(number, number).assign(y=piece(number, 0)["z"]) for number in range(4)]
    for number in range(3):
        stream.save(both[number])
    store = zarr.open_group(str(tmp_path / "a.zarr.partial"), mode="r+")
    store["z"].resize((4, 3))  # has piece 3, whose other variable is still as long as before
    assert stream.unfinished() == 3
    for number in (2, 3):
        stream.save(both[number])
    assert stream.load()["z"].values[:, 0].tolist() == [0, 1, 2, 3] and stream.load()["y"].shape == (4, 3)


def test_a_stream_that_starts_anew_forgets_the_pieces_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    for number in range(3):
        stream.save(piece(number, number))
    monkeypatch.setattr(encoding, "evenly_chunked", None)  # as if killed while piece 0 is written
    with pytest.raises(DatasetError):
        stream.save(piece(0, 5))
    assert stream.unfinished() == 0


def test_a_finished_stream_leaves_no_record_of_its_pieces(tmp_path: Path) -> None:
    stream = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    for number in range(4):
        stream.save(piece(number, number))
    assert leftovers(tmp_path) == [] and [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_piece_after_a_missing_one_is_refused(tmp_path: Path) -> None:
    stream = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    stream.save(piece(0, 0))
    with pytest.raises(DatasetError, match="lacks a piece"):
        stream.save(piece(2, 0))


def test_an_interrupted_stream_of_an_earlier_version_starts_anew(tmp_path: Path) -> None:
    """No piece can be added to its partial store, which has another format."""
    piece(0, 0).to_zarr(tmp_path / "a.zarr.partial", zarr_format=2)
    (tmp_path / "a.zarr.pieces").write_text("[1]")
    stream = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    assert stream.unfinished() == 0
    for number in range(4):
        stream.save(piece(number, number))
    assert stream.load()["z"].values[:, 0].tolist() == [0, 1, 2, 3] and leftovers(tmp_path) == []
