"""The order of nodes: topological, and each experiment to its scores, classical ones first."""

from pathlib import Path

import pytest
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from fieldcast.frame.cheap_first import CheapFirst, cheap_first
from fieldcast.frame.side_by_side import NodeOrder
from fieldcast.pipeline_registry import CONTEXT, register_pipelines

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo() -> Pipeline:
    bootstrap_project(ROOT)
    CONTEXT.set(None)  # the session of an earlier test
    return register_pipelines()["demo"]


def test_every_node_comes_after_those_that_it_reads_from(demo: Pipeline) -> None:
    order = cheap_first(demo)
    assert sorted(order) == sorted(demo.nodes)
    place = {node: index for index, node in enumerate(order)}
    assert all(place[parent] < place[node] for node in order for parent in demo.node_dependencies[node])


def test_classical_experiments_are_scored_before_others_are_trained(demo: Pipeline) -> None:
    names = [node.name for node in cheap_first(demo)]
    families = {node.name: {"classical", "bound"} & node.tags for node in demo.nodes}
    score = max(names.index(name) for name in names if name.endswith(".score") and families[name])
    train = min(names.index(name) for name in names if name.endswith(".training.fit") and not families[name])
    assert score < train


def test_a_shared_node_runs_when_the_first_experiment_needs_it(demo: Pipeline) -> None:
    names = [node.name for node in cheap_first(demo)]
    perfect = names.index("initial_times.run_perfect_model")
    assert names.index("reconstruct.climatology.evaluation.score") < perfect
    assert "perfect_model" in names[perfect + 1]


def test_side_by_side_each_node_begins_after_those_that_it_reads_from(demo: Pipeline) -> None:
    schedule, done, running = NodeOrder(demo, {}), set[str](), list[Node]()
    while begun := schedule.begin(3 - len(running)) or running[:1]:
        running += [each for each in begun if each not in running]
        assert all({parent.name for parent in demo.node_dependencies[each]} <= done for each in running)
        ended = running.pop(0)
        schedule.end(ended)
        done.add(ended.name)
    assert done == {each.name for each in demo.nodes}


def test_the_runner_follows_the_order() -> None:
    ran: list[str] = []

    def noting(name: str, output: str, tags: str, namespace: str) -> object:
        return node(lambda: ran.append(name) or 1, None, output, name=name, tags=tags, namespace=namespace)

    pipeline = Pipeline(
        [
            noting("a", "x", "learned", "forecast.a"),
            noting("b", "y", "bound", "forecast.b"),
            noting("c", "z", "classical", "forecast.c"),
        ]
    )
    CheapFirst().run(pipeline, DataCatalog())
    assert ran == ["c", "b", "a"]
