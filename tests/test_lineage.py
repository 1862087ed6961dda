"""One recipe for digests; an artefact of another lineage is refused in one sentence."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.lineage import (
    RENAMED,
    UNSET,
    change,
    differences,
    digest,
    leaves,
    matches,
    require,
    with_present_columns,
    with_present_names,
)

STORED = {"data": "abc", "fit": {"steps": 3, "k": [0.1, 0.2]}, "costs": {"seconds": 1.0}}


def test_a_digest_follows_every_part() -> None:
    x = np.arange(6, dtype=np.float32)
    different = [
        ("a", "bc"), ("ab", "c"), ("abc",), (b"abc",), (x,), (x.reshape(2, 3),), (x.astype(float),), (x + 1,),
        ({"a": 1},), ({"a": "1"},), (["a", 1],), (),
    ]  # fmt: skip
    assert len({digest(*parts) for parts in different}) == len(different)
    assert all(len(digest(*parts)) == 12 for parts in different)


def test_a_digest_does_not_depend_on_the_order_of_keys_nor_on_how_arrays_lie_in_memory() -> None:
    assert digest({"a": 1, "b": (2, 3)}) == digest({"b": [2, 3], "a": 1})
    x = np.arange(6.0).reshape(2, 3)
    assert digest(x) == digest(np.asfortranarray(x))


def test_the_parts_of_an_iterator_count_one_by_one() -> None:
    assert digest(iter([b"a", iter([b"b"])]), b"c") == digest(b"abc") == digest(b"a", b"b", b"c")


def test_only_the_entries_of_this_run_are_compared() -> None:
    same = {"data": "abc", "fit": {"steps": 3, "k": (0.1, 0.2)}}  # JSON has no tuples
    assert not [*differences(STORED, same)] and matches(STORED, same)
    present = {"fit": {"steps": 4, "rate": 0.1}, "seed": 0}
    assert [*differences(STORED, present)] == [
        ("fit.steps", 3, 4),
        ("fit.rate", UNSET, 0.1),
        ("seed", UNSET, 0),
        ("fit.k", [0.1, 0.2], UNSET),
    ]
    assert not matches(STORED, present) and not matches({}, same)


def test_an_option_is_compared_under_its_present_name(monkeypatch: pytest.MonkeyPatch) -> None:
    present = {"fit": {"length": 3, "k": [0.1, 0.2]}, "digest": "abc"}
    assert [key for key, *_ in differences(STORED, present)] == ["fit.length", "digest", "fit.steps"]
    monkeypatch.setitem(RENAMED, "fit.steps", "length")
    monkeypatch.setitem(RENAMED, "data", "digest")
    assert matches(STORED, present)
    assert with_present_names({"length": {"steps": 1}}) == {"length": {"steps": 1}}  # of another section


def test_an_artefact_of_any_kind_holds_its_lineage() -> None:
    expected = {"data": "abc", "seed": 0, "fit": {"steps": 3}}
    table = pd.DataFrame({"data": ["abc", "abc"], "seed": [0, 0], "value": [1.0, 2.0]})
    assert matches(table, {"data": "abc", "seed": 0})
    assert change(table, {"data": "abc", "seed": 3}) == "with seed 0, this run has 3"
    assert change(table, {"value": 1.0}) == "with value unset, this run has 1.0"  # not one value
    inner = {"lineage": json.dumps(expected), "data": "abc"}
    assert matches(xr.Dataset(attrs=inner), expected) and matches(expected, expected)
    assert change(xr.Dataset(attrs={"lineage": "abc"}), {"lineage": "abd"}) == (
        "with options or files of its source abc, this run has abd"
    )


def test_scores_stored_before_their_columns_were_renamed_are_read() -> None:
    table = pd.DataFrame({"experiment": "vae", "seed": 0, "data": "abc", "scored": ["def"]})
    present = {"data_digest": "abc", "case_digest": "def"}
    assert with_present_columns(table).columns.tolist() == ["experiment", "seed", *present]
    assert matches(table, present)
    events = with_present_columns(xr.Dataset(attrs={"seed": 0, "data": "abc", "scored": "def"}))
    assert present.items() <= events.attrs.items()
    other = pd.DataFrame({"data": ["no table of scores"]})
    assert with_present_columns(other) is other


def test_another_lineage_is_refused_in_one_sentence() -> None:
    require(STORED, {"data": "abc"}, "the model was trained", "train it again with `make`")
    with pytest.raises(InputError) as caught:
        require(STORED, {"data": "abd"}, "the model was trained", "train it again with `make`")
    assert str(caught.value) == (
        "the model was trained with data abc, this run has abd: train it again with `make`."
    )
    with pytest.raises(InputError) as caught:
        require(
            {"times": ["2001-01-01"] * 64},
            {"times": []},
            "the initial times were chosen",
            "choose them again",
        )
    assert len(str(caught.value)) < 300


@dataclass(frozen=True)
class Rate:
    start: float = 0.1


def test_nested_values_have_dotted_names() -> None:
    nested = {"fit": {"rate": Rate(), "stages": [1, 2]}, "limits": {}, "seed": None}
    filled = {"fit.rate.start": 0.1, "fit.stages": [1, 2], "seed": None}
    assert dict(leaves(nested)) == filled
    assert dict(leaves(nested, empty=True)) == filled | {"limits": {}}


def test_an_empty_mapping_is_no_difference() -> None:
    assert list(differences({"fit": {}, "seed": 0}, {"seed": 0})) == []
    assert list(differences({"fit": {}}, {"fit": {"steps": 1}})) == [("fit.steps", "unset", 1)]
