"""A function of records, called as a node calls it: with each field by itself."""

import inspect
import pickle
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fieldcast.arguments import ArgumentGroup, bind_arguments, by_field, collect_argument


@dataclass(frozen=True)
class Circle(ArgumentGroup):
    radius: float
    colour: str = "red"


@dataclass(frozen=True)
class Ink(ArgumentGroup):
    colour: str


@by_field
def describe(name: str, circle: Circle, count: int, scale: float = 2.0) -> str:
    return f"{count} x {name}, {circle.radius * scale:g}, {circle.colour}"


@by_field
def count_up(circle: Circle, ink: Ink, stop: int) -> Iterator[tuple[int, str]]:
    for number in range(stop):
        yield number, ink.colour


def test_fields_are_arguments_with_their_types_and_defaults() -> None:
    parameters = inspect.signature(describe).parameters
    assert list(parameters) == ["name", "radius", "count", "colour", "scale"]
    assert parameters["colour"].default == "red" and parameters["scale"].default == 2.0
    assert describe.__annotations__ == {
        "name": str,
        "radius": float,
        "count": int,
        "colour": str,
        "scale": float,
    }
    assert describe("a", 3.0, 4) == "4 x a, 6, red"
    assert describe(radius=1.0, colour="blue", scale=1.0, name="b", count=1) == "1 x b, 1, blue"
    with pytest.raises(TypeError, match="missing a required argument: 'radius'"):
        describe(name="c", count=1)


def test_a_generator_remains_one_and_a_shared_field_is_one_argument() -> None:
    assert inspect.isgeneratorfunction(count_up)
    assert list(inspect.signature(count_up).parameters) == ["radius", "stop", "colour"]
    assert list(count_up(1.0, 2, "green")) == [(0, "green"), (1, "green")]


def test_a_given_argument_leaves_the_signature_and_the_function_can_be_pickled() -> None:
    bound = bind_arguments(describe, name="d")
    assert list(inspect.signature(bound).parameters) == ["radius", "count", "colour", "scale"]
    assert "name" not in bound.__annotations__ and "name" in describe.__annotations__
    assert pickle.loads(pickle.dumps(bound))(radius=1.0, count=2) == "2 x d, 2, red"
    assert bound.__name__ == "describe"


def tell(name: str, parts: dict[str, int], scale: int = 1) -> str:
    return f"{name}: " + ", ".join(f"{key} {scale * value}" for key, value in parts.items())


def test_entries_of_a_mapping_are_given_one_by_one_also_in_another_process():
    each = collect_argument(bind_arguments(tell, name="pool"), "parts", ["first", "second"])
    assert list(inspect.signature(each).parameters) == ["scale", "first", "second"]
    for function in (each, pickle.loads(pickle.dumps(each))):
        assert function(scale=2, second=3, first=1) == "pool: first 2, second 6"
