"""The wiring names functions that it does not import: here each is, and takes what its node gives, in those types."""

import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project
from kedro.pipeline.node import Node
from pydantic.dataclasses import is_pydantic_dataclass

from fieldcast.arguments import CollectingPartial
from fieldcast.deferred import Deferred
from fieldcast.pipeline_registry import COMPLETE
from fieldcast.tasks import TASKS

ROOT = Path(__file__).parents[2]


def layers(function: Any) -> Iterator[Any]:
    """A function, and those of which it is a `partial`, innermost last."""
    yield function
    while isinstance(function, functools.partial):
        function = function.func
        yield function


def given_to(node: Node) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The function that a node runs, and the type of each of its arguments as Kedro sees it; Any where it sees none."""
    *partials, function = layers(node.func)
    types = dict(get_type_hints(node.func))
    arguments = {name: types.get(name, Any) for name in inspect.signature(node.func).parameters}
    for partial in partials:
        if isinstance(partial, CollectingPartial):
            arguments = {k: v for k, v in arguments.items() if k not in partial.keys} | {
                partial.argument: Any
            }
        if not isinstance(partial, Deferred):
            arguments |= dict.fromkeys(partial.keywords, Any)
    return function, arguments


@pytest.fixture(scope="module")
def nodes() -> list[Node]:
    bootstrap_project(ROOT)
    return [node for name in COMPLETE for node in pipelines[name].nodes]


def test_every_function_takes_what_its_node_gives(nodes: list[Node]) -> None:
    for node in nodes:
        function, arguments = given_to(node)
        assert inspect.isfunction(function), node.name
        inspect.signature(function).bind(**arguments)


def test_options_are_checked_as_what_the_functions_take(nodes: list[Node]) -> None:
    checked = set()
    for node in nodes:
        function, arguments = given_to(node)
        if "function" in arguments:  # the scoring of a task, which the node calls
            scoring = next(
                layer for layer in layers(node.func) if "function" in getattr(layer, "keywords", {})
            )
            *_, function = layers(scoring.keywords["function"])
        annotated = get_type_hints(function)
        for name, kind in annotated.items():
            if is_pydantic_dataclass(kind):
                assert arguments[name] is kind, f"{node.name}: {name}"
                checked.add(kind)
        assert not [
            name for name, kind in arguments.items() if is_pydantic_dataclass(kind) and name not in annotated
        ]
    assert len(checked) > 10


def test_a_problem_takes_the_options_that_its_task_names() -> None:
    for task in TASKS.values():
        if task.problem is not None:
            arguments = inspect.signature(task.problem.func).parameters
            assert len(arguments) == len(task.options), task.name
