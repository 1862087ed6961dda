"""Functions that are imported when they are called: none of their module before, all of it as Kedro needs it after."""

import inspect
import pickle
import sys
from functools import partial

import pytest
from kedro.pipeline import node

from fieldcast.arguments import bind_arguments, collect_argument
from fieldcast.deferred import Module, is_deferred, with_arguments

NAME = "fieldcast_deferred_example"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module with a function and a generator function, which has not been imported."""
    source = """
def tell(name, parts, scale=1):
    return f"{name}: " + ", ".join(f"{key} {scale * value}" for key, value in parts.items())

def count(stop):
    yield from range(stop)
"""
    (tmp_path / f"{NAME}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    yield Module(NAME)
    sys.modules.pop(NAME, None)


def test_nodes_are_built_and_pickled_without_the_import_and_run_with_it(module):
    partial = collect_argument(bind_arguments(module.tell, name="pool"), "parts", ["first", "second"])
    function = with_arguments(partial, {"scale": int, "first": float, "second": float})
    created = node(function, {"scale": "params:scale", "first": "a", "second": "b"}, "text", name="tell")
    sent = pickle.loads(pickle.dumps(created))
    assert NAME not in sys.modules and function.__name__ == "tell"
    assert created.inputs == ["params:scale", "a", "b"] and function.__annotations__["scale"] is int
    assert sent.run({"params:scale": 2, "a": 1, "b": 3}) == {"text": "pool: first 2, second 6"}
    assert NAME in sys.modules


def test_a_generator_function_is_one_to_kedro_which_asks_when_the_node_runs(module):
    function = with_arguments(bind_arguments(module.count), {"stop": int})
    assert NAME not in sys.modules
    assert inspect.isgeneratorfunction(function) and list(function(stop=3)) == [0, 1, 2]
    assert not inspect.isgeneratorfunction(bind_arguments(module.tell, name="pool"))


def test_other_functions_are_not_deferred(module):
    assert is_deferred(bind_arguments(module.tell, name="pool")) and not is_deferred(partial(print, sep=""))


def test_a_module_has_no_private_functions(module):
    with pytest.raises(AttributeError, match="__wrapped__"):
        module.__wrapped__  # noqa: B018
