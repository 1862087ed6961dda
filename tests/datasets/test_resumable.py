"""Data and the state after them are saved as a pair, in this order."""

from pathlib import Path

import pytest
from kedro.io.core import DatasetError
from stores import piece

from fieldcast.datasets import BytesDataset, ResumableDataset, ZarrDataset


@pytest.mark.parametrize("place", [None, "memory:///resumed"])
def test_data_and_their_state_are_saved_as_a_pair(tmp_path: Path, place: str | None) -> None:
    root = place or str(tmp_path)
    inner = {"type": ZarrDataset, "filepath": f"{root}/a.zarr", "append": "lead"}
    stream = ResumableDataset(dataset=inner, state=f"{root}/state")
    assert stream.earlier() == (0, None, None) and not stream.exists()
    stream.save((piece(0, 0, pieces=2), b"after 0"))
    assert stream.earlier() == (1, b"after 0", None) and not stream.exists()
    stream.save((piece(1, 1, pieces=2), b"after 1"))
    assert stream.exists() and stream.load()["z"].values[:, 0].tolist() == [0, 1]
    pieces, state, data = stream.earlier()
    assert (pieces, state) == (0, b"after 1") and data.identical(stream.load())
    after = piece(0, 0).isel(lead=slice(0)).assign_attrs(piece=2, pieces=2)
    stream.save((after, b"still"))  # nothing new: the store stays as it is
    assert stream.earlier()[:2] == (0, b"still") and stream.load().identical(data)


def test_a_state_is_saved_after_its_data(tmp_path: Path) -> None:
    """A state that counts on data which were never written would leave a hole in them."""
    (tmp_path / "a").mkdir()  # where the data cannot be written
    inner = {"type": BytesDataset, "filepath": f"atomic://{tmp_path}/a"}
    stored = ResumableDataset(dataset=inner, state=str(tmp_path / "state"))
    with pytest.raises(DatasetError):
        stored.save((b"data", b"state"))
    assert not (tmp_path / "state").exists()


def test_parts_that_are_none_leave_what_is_stored(tmp_path: Path) -> None:
    inner = {"type": BytesDataset, "filepath": str(tmp_path / "a")}
    stored = ResumableDataset(dataset=inner, state=str(tmp_path / "state"))
    stored.save((b"finished", b"its state"))
    stored.save((None, b"another state"))
    assert stored.earlier() == (0, b"another state", b"finished")
    stored.save((b"new", None))
    assert stored.earlier() == (0, b"another state", b"new")


def test_a_state_does_not_outlive_the_first_piece_of_another_stream(tmp_path: Path) -> None:
    """A stream that was killed before its first state was saved must not be continued from the state of another."""
    inner = {"type": ZarrDataset, "filepath": str(tmp_path / "a.zarr"), "append": "lead"}
    stream = ResumableDataset(dataset=inner, state=str(tmp_path / "state"))
    stream.save((piece(0, 0, pieces=2), b"after 0"))
    stream.save((piece(0, 5, pieces=2), None))
    assert stream.earlier() == (1, None, None)
