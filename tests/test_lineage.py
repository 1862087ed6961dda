"""What an artefact was made from, by dotted name."""

from dataclasses import dataclass

from fieldcast.lineage import differences, leaves


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
