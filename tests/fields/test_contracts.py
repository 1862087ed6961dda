"""A failing example for each rule of each contract, and sound data that pass."""

import ast
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from fieldcast import kinds
from fieldcast.errors import InputError
from fieldcast.fields.contracts import Fields, Images
from fieldcast.fields.images import open_images
from fieldcast.fields.ingest import ingest
from fieldcast.fields.options import ImageSource
from fieldcast.kinds import Observations, require_layout

Make = Callable[..., xr.Dataset]


def time_twice(d: xr.Dataset) -> xr.Dataset:
    return d.isel(time=np.r_[0:10, 9:59])


def dropped(d: xr.Dataset, key: str) -> xr.Dataset:
    d.attrs.pop(key)
    return d


def without_units(d: xr.Dataset, name: str) -> xr.Dataset:
    d[name].attrs.pop("units")
    return d


def holed(d: xr.Dataset, value: float) -> xr.Dataset:
    d["t2m"][5, 2, 2] = value
    return d


FIELDS: dict[str, tuple[Callable, str]] = {
    "not a dataset": (lambda d: d["t2m"], "a Dataset was expected, not DataArray"),
    "no time": (lambda d: d.isel(time=0), "the dimension 'time'"),
    "other names": (lambda d: d.rename(latitude="lat"), "the dimension 'latitude'"),
    "southward": (lambda d: d.isel(latitude=slice(None, None, -1)), "'latitude' is not strictly ascending"),
    "eastward": (lambda d: d.isel(longitude=[1, 0, 2, 3, 4, 5]), "'longitude' is not strictly ascending"),
    "latitude without units": (
        lambda d: without_units(d, "latitude"),
        "'latitude' does not have the units 'degrees_north'",
    ),
    "no dates": (lambda d: d.assign_coords(time=np.arange(60)), "'time' does not hold dates"),
    "twice": (time_twice, "times are not strictly ascending at 2001-01-10"),
    "unsorted": (lambda d: d.isel(time=np.r_[0:10, 30:60, 10:30]), "times are not strictly ascending"),
    "no segment": (lambda d: d.drop_vars("segment"), "'segment' (time, int32) is missing"),
    "float segment": (
        lambda d: d.assign_coords(segment=d["segment"].astype(float)),
        "'segment' (time, int32)",
    ),
    "irregular": (lambda d: d.isel(time=np.delete(np.arange(60), 7)), "is not 24 hours at 2001-01-09"),
    "no variable": (lambda d: d.drop_vars(["t2m", "msl"]), "have no variable"),
    "order": (
        lambda d: d.transpose("latitude", "time", "longitude"),
        "dimensions (latitude, time, longitude), not (time",
    ),
    "further dimension": (lambda d: d.expand_dims(number=2), "has dimensions (number, time"),
    "float64": (lambda d: d.astype(float), "'t2m' is float64, not float32"),
    "no units": (lambda d: without_units(d, "t2m"), "'t2m' has no units"),
    "scattered": (
        lambda d: holed(d, np.nan),
        "'t2m' has cells with missing values at some but not all times",
    ),
    "infinite": (lambda d: holed(d, np.inf), "'t2m' has infinite values"),
    "static": (
        lambda d: d.assign(
            h=d["t2m"][0].drop_vars(["time", "segment"]).where(d["latitude"] > 0).assign_attrs(units="m")
        ),
        "static variable 'h' has missing",
    ),
    **{
        f"no {key}": (lambda d, key=key: dropped(d, key), f"no attribute '{key}'")
        for key in ("digest", "source", "wraps", "Conventions", "step_hours")
    },
}


@pytest.mark.parametrize("rule", FIELDS)
def test_each_rule_of_fields(make_weather: Make, rule: str) -> None:
    spoil, message = FIELDS[rule]
    fields, _ = ingest(make_weather())
    assert Fields().validate(fields) is fields
    with pytest.raises(InputError) as caught, xr.set_options(keep_attrs=True):
        Fields().validate(spoil(fields))
    assert message in str(caught.value) and "\n" not in str(caught.value)


IMAGES: dict[str, tuple[Callable, str]] = {
    "other name": (lambda d: d.rename(image="picture"), "with the one variable 'image'"),
    "order": (lambda d: d.transpose("y", "x", "sample"), "dimensions (y, x, sample), not (sample, y, x)"),
    "float64": (lambda d: d.astype(float), "'image' is float64"),
    "no units": (lambda d: without_units(d, "image"), "'image' has no units"),
    "too bright": (lambda d: d + 1, "from 1 to 17, not 0 to 16"),
    "missing": (lambda d: d.where(d["y"] > 0), "from nan to nan"),
    "labels": (lambda d: d.assign_coords(label=d["label"] / 2), "'label' must be integers on (sample)"),
    **{
        f"no {key}": (lambda d, key=key: dropped(d, key), f"no attribute '{key}'")
        for key in ("digest", "source", "levels")
    },
}


@pytest.mark.parametrize("rule", IMAGES)
def test_each_rule_of_images(rule: str) -> None:
    spoil, message = IMAGES[rule]
    images = open_images(ImageSource("digits"))
    assert Fields().validate(images) is Images().validate(images) is images
    with pytest.raises(InputError) as caught, xr.set_options(keep_attrs=True):
        Images().validate(spoil(images))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_cells_that_never_exist_and_lazy_data_pass(make_weather: Make) -> None:
    data = make_weather()
    data["t2m"][:, 2, 2] = np.nan
    fields, _ = ingest(data)
    assert np.isnan(fields["t2m"][:, 2, 2]).all()
    lazy = fields.chunk(time=10)
    assert Fields().validate(fields) is fields
    assert Fields().validate(lazy) is lazy


def observed(fields: xr.Dataset) -> xr.Dataset:
    cases = fields[["t2m", "msl"]].drop_vars("segment").expand_dims(case=2)
    cases = cases.assign_coords(
        pattern=("case", ["random", "stations"]), k=("case", [0.1, 0.2]), mask=("time", np.arange(60) % 8)
    )
    return cases.where(cases["longitude"] > 100).assign_attrs(digest="0" * 12, noise=0.1, seed=0)


CASES: dict[str, tuple[Callable, str]] = {
    "no case": (lambda d: d.isel(case=0), "the dimension 'case'"),
    "no k": (lambda d: d.drop_vars("k"), "have no coordinate 'k'"),
    "k in percent": (lambda d: d.assign_coords(k=("case", [10.0, 20.0])), "k outside 0 to 1"),
    "order": (lambda d: d.transpose("time", "case", ...), "has dimensions (time, case"),
    "no units": (lambda d: without_units(d, "msl"), "'msl' has no units"),
    "float64": (lambda d: d.astype(float), "is float64"),
}


@pytest.mark.parametrize("rule", CASES)
def test_each_rule_of_observations(make_weather: Make, rule: str) -> None:
    spoil, message = CASES[rule]
    data = observed(ingest(make_weather())[0])
    assert Observations().validate(data) is data
    with pytest.raises(InputError) as caught, xr.set_options(keep_attrs=True):
        Observations().validate(spoil(data))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_observations_carry_their_source(make_weather: Make) -> None:
    data = observed(ingest(make_weather())[0])
    for key in ("digest", "noise", "seed"):
        with pytest.raises(InputError, match=f"observations have no attribute '{key}'"):
            Observations().validate(dropped(data.copy(), key))


DRAWS: dict[str, tuple[Callable, str]] = {
    "not a dataset": (lambda d: d["t2m"], "a Dataset was expected, not DataArray"),
    "southward": (lambda d: d.isel(latitude=slice(None, None, -1)), "'latitude' is not strictly ascending"),
    "order": (lambda d: d.transpose(..., "member"), "has dimensions ("),
    "one member": (lambda d: d.isel(member=0), "the dimension 'member' is missing"),
    "no units": (lambda d: without_units(d, "t2m"), "'t2m' has no units"),
    "float64": (lambda d: d.astype(float), "is float64"),
}


@pytest.mark.parametrize("rule", DRAWS)
@pytest.mark.parametrize("kind", ["reconstructions", "forecasts", "analyses"])
def test_each_rule_of_the_layout_of_draws(make_weather: Make, rule: str, kind: str) -> None:
    fields = ingest(make_weather())[0][["t2m", "msl"]].drop_vars("segment")
    if kind == "forecasts":
        data = fields.rename(time="start").expand_dims(lead=2).expand_dims(member=3, axis=2)
    else:
        data = observed(ingest(make_weather())[0]).expand_dims(member=3, axis=2)
    if kind == "analyses":
        data = data.expand_dims(state=["background", "analysis"])
    require_layout(data, kind, "draw them again")
    spoil, message = DRAWS[rule]
    with pytest.raises(InputError) as caught, xr.set_options(keep_attrs=True):
        require_layout(spoil(data), kind, "draw them again")
    assert message in str(caught.value) and "\n" not in str(caught.value)


# Only `kinds` names the dimensions of draws.

SOURCE = Path(kinds.__file__).parent
DIMENSIONS = {
    kinds.CASE, kinds.LEAD, kinds.MEMBER, kinds.SAMPLE, kinds.START, kinds.STATE, kinds.STEP
}  # fmt: skip
COLUMNS = {kinds.SAMPLE, kinds.STATE, kinds.STEP}  # that tables have too, or kinds of pictures
ARRAYS = {"coords", "dims", "sizes"}
BY_KEYWORD = {"assign_coords", "expand_dims", "isel", "rename", "rename_dims", "sel", "squeeze", "swap_dims"}
BY_NAME = {"any", "all", "concat", "drop_vars", "get_index", "mean", "squeeze", "std", "transpose"}
BESIDE = {"latitude", "time", "variable", "y"}
OTHERS = {  # the same text with another meaning
    ("figures/curves.py", "lead"),  # a column
    ("figures/maps.py", "member"),  # a kind of map
    ("inference/forecasts/external.py", "start"),  # a name in the files of others
    ("inference/onnx_export.py", "lead"),  # an input of the exported graph
    ("scores/examples.py", "start"),  # an attribute
}


def dimension_literals(tree: ast.AST) -> Iterator[str]:
    """Names of dimensions of draws that stand as text, or as a keyword, where xarray takes a dimension."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=method), args=arguments, keywords=keywords):
                if method in BY_KEYWORD:
                    yield from (keyword.arg for keyword in keywords if keyword.arg in DIMENSIONS)
                    arguments = [*arguments, *(keyword.value for keyword in keywords)]
                if method in BY_KEYWORD | BY_NAME:
                    yield from texts(arguments)
            case ast.Subscript(value=ast.Attribute(attr=attribute), slice=name) if attribute in ARRAYS:
                yield from texts([name])
            case ast.Subscript(value=value, slice=name) if getattr(value, "attr", "") != "attrs":
                yield from {*texts([name])} - COLUMNS
            case ast.Compare(left=name, comparators=[ast.Attribute(attr=attribute)]) if attribute in ARRAYS:
                yield from texts([name])
            case ast.Dict(keys=keys):
                yield from {*texts(key for key in keys if key)} - COLUMNS
            case ast.Tuple(elts=[ast.Constant() as name, second, *_]) if not isinstance(second, ast.Constant):
                yield from texts([name])
            case ast.Tuple(elts=parts) if BESIDE & {p.value for p in parts if isinstance(p, ast.Constant)}:
                yield from texts(parts)


def texts(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The names of dimensions among constants, and among those in lists, tuples and dictionaries."""
    plain = (ast.Constant, ast.Dict, ast.List, ast.Set, ast.Starred, ast.Tuple)
    parts = (part for node in nodes if isinstance(node, plain) for part in ast.walk(node))
    return (part.value for part in parts if isinstance(part, ast.Constant) and part.value in DIMENSIONS)


@pytest.mark.parametrize("literal", ["x.isel(member=0)", 'x.sizes["case"]', 'x.transpose("start", ...)'])
def test_a_dimension_as_text_is_found(literal: str) -> None:
    assert [*dimension_literals(ast.parse(literal))]


def test_only_one_module_names_the_dimensions_of_draws() -> None:
    named = {
        (str(path.relative_to(SOURCE)), name)
        for path in SOURCE.rglob("*.py") if path != Path(kinds.__file__)
        for name in dimension_literals(ast.parse(path.read_text()))
    }  # fmt: skip
    assert named == OTHERS
