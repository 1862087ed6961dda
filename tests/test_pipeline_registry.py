"""Registered pipelines follow the configuration, and the data sets of experiments have the right names."""

import contextlib
import pickle
import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import is_dataclass
from inspect import signature
from pathlib import Path
from typing import get_type_hints

import pytest
from kedro.framework.project import configure_project
from kedro.pipeline import Pipeline, node
from kedro.validation.type_extractor import TypeExtractor
from kedro_viz.api.rest.responses.pipelines import get_pipeline_response
from kedro_viz.server import load_and_populate_data

from fieldcast.app.conf_source import CONTEXT
from fieldcast.app.preflight import check_data, check_reporting
from fieldcast.datasets import InMemoryDataset
from fieldcast.datasets.base import location
from fieldcast.errors import InputError
from fieldcast.experiments import Experiment
from fieldcast.inference.options import StateOptions
from fieldcast.pipeline_registry import register_pipelines, stamp
from fieldcast.pipelines.names import COMPLETE, address_of
from fieldcast.training.options import Fit

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def no_session() -> Iterator[None]:
    """Reset the session of earlier tests."""
    token = CONTEXT.set(None)
    yield
    CONTEXT.reset(token)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this project's configuration, with the package as it is."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    configure_project("fieldcast")
    return tmp_path


@pytest.fixture(scope="module")
def registered() -> dict[str, Pipeline]:
    """The pipelines of this project's configuration."""
    configure_project("fieldcast")
    token = CONTEXT.set(None)
    try:
        with contextlib.chdir(ROOT):
            return register_pipelines()
    finally:
        CONTEXT.reset(token)


def write(project: Path, address: str, text: str) -> None:
    task, _, name = address.partition(".")
    file = project / "conf/base/parameters/experiments" / task / f"{name}.yml"
    file.write_text(f"{task}: {{{name}: {{{text}}}}}\n")


def nodes(pipeline: Pipeline) -> set[str]:
    return {item.name for item in pipeline.nodes}


def experiments_of(pipeline: Pipeline) -> set[str]:
    """Names of nodes that belong to an experiment."""
    return {name for name in nodes(pipeline) if name.count(".") == 3}


def test_stages_tasks_experiments_and_demo_are_registered(
    project: Path, registered: dict[str, Pipeline]
) -> None:
    result = registered
    listed = {
        f"reconstruct.{file.stem}" for file in project.glob("conf/base/parameters/experiments/reconstruct/*")
    }
    stages = {
        "ingestion",
        "sparsification",
        "initial_times",
        "training",
        "reconstruction",
        "evaluation",
        "reporting",
        "fill",
        "forecast_scores",
        "gap_appending",
        "gap_filling",
        "predict",
        "record_cycle",
        "seeds",
        "station_fields",
        "station_scores",
    }
    reports = {f"report_00{number}" for number in range(5)}
    assert listed and result.keys() >= listed | stages | reports | {
        "reconstruct",
        "demo",
        "all",
        "__default__",
    }
    addresses = {address_of(item.namespace) for item in result["report_000"].nodes}
    assert {"reconstruct.denoising_vae", "forecast.vae"} <= addresses
    assert experiments_of(result["reconstruct"]) < experiments_of(result["all"])
    assert nodes(result["__default__"]) == nodes(result["demo"])
    for address in listed:
        assert nodes(result[address]) >= nodes(result["ingestion"]) | {f"{address}.comparison.compare"}
        namespaces = {node.namespace for node in result[address].nodes}
        assert f"{address}.evaluation" in namespaces and "reporting" not in namespaces
    assert {node.partition(".")[0] for node in nodes(result["reporting"])} == {"reporting"}
    for name in ("reconstruct", "demo", "all", "__default__", *reports):
        assert nodes(result[name]) >= {
            "reporting.rank_reconstruct",
            "reporting.gather_reconstruct",
            "reporting.write_page",
        }


def test_an_experiment_is_one_file(project: Path) -> None:
    before = register_pipelines()
    write(project, "reconstruct.mine", "model: {type: climatology.Climatology}")
    after = register_pipelines()
    assert after.keys() - before.keys() == {"reconstruct.mine"}
    new = nodes(after["all"]) - nodes(before["all"])
    assert new and all(name.startswith("reconstruct.mine.") for name in new)
    (board,) = [item for item in after["reporting"].nodes if "leaderboard_reconstruct" in item.outputs]
    assert "results_reconstruct" in board.inputs


def collected(pipeline: Pipeline, task: str) -> set[str]:
    """The experiments whose results the node `collect` of a task waits for."""
    (node,) = [each for each in pipeline.nodes if f"results_{task}" in each.outputs]
    return {name.removesuffix(".results") for name in node.inputs if name.endswith(".results")}


def test_reporting_waits_for_the_experiments_of_its_pipeline_alone(registered: dict[str, Pipeline]) -> None:
    report, linear = registered["report_000"], registered["reconstruct.linear"]
    assert "reconstruct.denoising_vae" in collected(report, "reconstruct")
    assert "reconstruct.linear" not in collected(report, "reconstruct") and not collected(report, "sample")
    assert not collected(registered["reporting"], "reconstruct")
    assert not [
        name for name in linear.datasets() if name.startswith(("reconstruct.n", "forecast.", "sample."))
    ]
    (alone,) = [each for each in linear.nodes if each.name == "reconstruct.linear.comparison.collect"]
    assert "reconstruct.linear.results" in alone.inputs and "stored_reconstruct" in alone.inputs


def test_a_report_that_would_not_wait_is_refused(registered: dict[str, Pipeline]) -> None:
    for names in (("evaluation", "reporting"), ("reconstruct.linear", "reporting")):
        both = sum((registered[name] for name in names), Pipeline([]))
        with pytest.raises(
            InputError, match=r"leave reporting out, and run `kedro run --pipelines reporting`"
        ):
            check_reporting(both)
    for name in ("reporting", "demo", "all", "evaluation", "reconstruct.linear"):
        check_reporting(registered[name])


def test_experiments_that_run_together_need_no_common_report(registered: dict[str, Pipeline]) -> None:
    linear, vae = registered["reconstruct.linear"], registered["forecast.vae"]
    both = linear + vae
    assert experiments_of(both) == experiments_of(linear) | experiments_of(vae)


def test_what_is_handed_on_is_what_the_catalog_keeps_in_memory(
    project: Path, registered: dict[str, Pipeline]
) -> None:
    from kedro.framework.session import KedroSession

    with KedroSession.create(project) as session:
        catalog = session.load_context().catalog
    names = {name for pipeline in registered.values() for name in pipeline.datasets()}
    in_memory = {name for name in names if isinstance(catalog.get(name), InMemoryDataset)}
    handed = {name for name in names if name.startswith(("results_", "gathered_")) or ".comparison." in name}
    assert in_memory == handed and len(in_memory) > 20


def test_other_processes_take_every_node_and_data_set(project: Path, registered: dict[str, Pipeline]) -> None:
    """`--runner ParallelRunner`."""
    from kedro.framework.session import KedroSession

    with KedroSession.create(project) as session:
        catalog = session.load_context().catalog
    for pipeline in (registered[name] for name in COMPLETE):
        for each in pipeline.nodes:
            assert str(pickle.loads(pickle.dumps(each))) == str(each)
        for name in pipeline.datasets() - pipeline.inputs():
            again = pickle.loads(pickle.dumps(catalog.get(name)))
            assert again._describe() == catalog.get(name)._describe()


def test_borrowed_weights_bring_the_training_that_they_need(project: Path) -> None:
    write(project, "reconstruct.source", "model: {type: vae.ConditionalVAE}")
    write(
        project,
        "reconstruct.redrawn",
        "model: {type: vae.ConditionalVAE}, uses: {weights: reconstruct.source}",
    )
    write(project, "reconstruct.pupil", "model: {type: vae.ConditionalVAE}, uses: {base: reconstruct.source}")
    result = register_pipelines()
    redrawn = result["reconstruct.redrawn"]
    assert not [name for name in nodes(result["training"]) if name.startswith("reconstruct.redrawn.")]
    assert nodes(redrawn) >= {name for name in nodes(result["training"]) if ".source." in name}
    assert "reconstruct.redrawn.checkpoint" not in redrawn.datasets()
    (draw,) = [item for item in redrawn.nodes if item.name == "reconstruct.redrawn.reconstruction.draw"]
    assert {"params:reconstruct.redrawn.model", "params:reconstruct.source.model"} <= set(draw.inputs)
    pupil = [item for item in result["training"].nodes if item.namespace == "reconstruct.pupil.training"]
    assert any("reconstruct.source.checkpoint" in item.inputs for item in pupil)


def test_a_task_has_the_preparation_that_it_needs(project: Path) -> None:
    write(project, "forecast.mine", "model: {type: climatology.Climatology}")
    result = register_pipelines()
    ingestion, sparsification = nodes(result["ingestion"]), nodes(result["sparsification"])
    initial_times = nodes(result["initial_times"])
    assert ingestion and sparsification and initial_times
    for name in ("reconstruct", "reconstruct.linear"):
        assert nodes(result[name]) >= ingestion | sparsification
        assert not nodes(result[name]) & initial_times
    for name in ("forecast", "forecast.mine"):
        assert nodes(result[name]) >= ingestion | initial_times
        assert not nodes(result[name]) & sparsification
    assert nodes(result["all"]) >= ingestion | sparsification | initial_times


def test_kedro_warns_of_no_node(project: Path) -> None:
    write(project, "sample.mine", "model: {type: vae.VAE}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for node in register_pipelines()["all"].nodes:
            str(node)


def test_nodes_have_stage_task_and_family_as_tags(project: Path) -> None:
    write(project, "reconstruct.mine", "model: {type: climatology.Climatology}, about: {family: bound}")
    pipelines = register_pipelines()
    custom = pipelines["reconstruct.mine"]
    stages = [f"reconstruct.mine.{stage}" for stage in ("training", "reconstruction", "evaluation")]
    private = [node for node in custom.nodes if node.namespace in stages]
    assert {tag for node in private for tag in node.tags} == {
        "training", "reconstruction", "evaluation", "reconstruct", "bound",
    }  # fmt: skip
    assert all(node.tags > {"reconstruct", "bound"} for node in private)
    assert nodes(custom.only_nodes_with_tags("training")) == nodes(pipelines["training"]) & nodes(custom)
    for name in ("ingestion", "sparsification"):
        assert nodes(custom.only_nodes_with_tags(name)) == nodes(pipelines[name])
    reporting = nodes(custom.only_nodes_with_tags("reporting"))
    assert reporting == {
        f"reconstruct.mine.comparison.{name}" for name in ("collect", "rank_reconstruct", "compare")
    }
    reporting = nodes(pipelines["demo"].only_nodes_with_tags("reporting"))
    assert reporting >= {"reconstruct.collect_reconstruct", "reporting.write_page"}


def test_external_forecasts_are_adopted_and_not_trained(project: Path) -> None:
    write(project, "forecast.mine", "model: {type: File, path: mine.nc}")
    result = register_pipelines()
    private = {
        item.name.rpartition(".")[2]: item for item in result["forecast.mine"].nodes if "mine" in item.name
    }
    assert not {"fit", "plot_history", "roll", "roll_long"} & set(private)
    assert "forecast.mine.checkpoint" not in result["forecast.mine"].datasets()
    taken = {"params:forecast.mine.model", "perfect_model", "initial_times", "fields", "splits"}
    assert taken <= set(private["import_forecasts"].inputs)
    assert private["import_forecasts"].outputs == ["forecast.mine.draws"]


def test_without_configuration_there_is_a_sentence(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(project / "conf")
    monkeypatch.setattr("fieldcast.app.conf_source.INSTALLED", project / "absent")
    with pytest.raises(InputError, match="there is no configuration in"):
        register_pipelines()


def test_every_data_set_of_every_pipeline_is_in_the_catalog(
    project: Path, registered: dict[str, Pipeline]
) -> None:
    """Every data set has an entry, so that no misspelt name is kept in memory."""
    from kedro.framework.session import KedroSession

    with KedroSession.create(project) as session:
        catalog = session.load_context().catalog
    result = registered
    every = (result[name] for name in COMPLETE)
    missing = {name for item in every for name in item.datasets() if name not in catalog}
    assert missing == set()
    assert "reconstruct.linear.chekpoint" not in catalog


def test_stamping() -> None:
    uses = {"weights": "forecast.vae", "update": "reconstruct.oi"}
    pipeline = stamp(Experiment("forecast", "vae_rk4", uses), {"fields", "initial_times"})
    (created,) = [each for each in pipeline.nodes if each.name == "forecast.vae_rk4.rollout.roll"]
    given = dict(zip(signature(created.func).parameters, created.inputs, strict=False))
    assert (
        given["checkpoint"] == "forecast.vae.checkpoint"
        and given["trained_by"] == "params:forecast.vae.address"
    )
    assert given["fields"] == "fields" and given["seed"] == "params:seed"
    assert given["model"] == "params:forecast.vae_rk4.model"
    assert given["trained_model"] == "params:forecast.vae.model"
    assert given["trained_fit"] == "params:forecast.vae.fit"
    assert created.inputs[-1] == "reconstruct.oi.checkpoint"
    assert created.outputs == ["forecast.vae_rk4.draws", "forecast.vae_rk4.costs"]


def test_a_role_called_like_a_shared_input_is_refused() -> None:
    used = Experiment("forecast", "a", {"splits": "forecast.b"}, False)
    with pytest.raises(InputError, match=r"^forecast.a: uses.splits: 'splits' is an input of every node"):
        stamp(used, set())


def test_an_experiment_publishes_what_its_stages_leave() -> None:
    published = {
        each.name: set(each.inputs)
        for address in (("reconstruct", "linear"), ("assimilate", "filter"))
        for each in stamp(Experiment(*address), set()).nodes
        if each.name.endswith("publish")
    }
    ours = {"scores", "metrics", "diagnostics", "examples", "history", "costs"}
    assert published["reconstruct.linear.evaluation.publish"] == {
        f"reconstruct.linear.{name}" for name in (*ours, "loss_curve@png")
    }
    assert published["assimilate.filter.evaluation.publish"] == {
        f"assimilate.filter.{name}" for name in (*ours, "film", "events")
    }


def test_the_layer_of_a_data_set_is_the_folder_of_its_file(
    project: Path, registered: dict[str, Pipeline]
) -> None:
    """Kedro's convention has eight layers, of which the folders bear the numbers."""
    from kedro.framework.session import KedroSession

    layers = "raw", "intermediate", "primary", "feature", "model_input", "models", "model_output", "reporting"
    with KedroSession.create(project) as session:
        catalog = session.load_context().catalog
    folders = {}
    for name in {name for pipeline in registered.values() for name in pipeline.datasets()}:
        dataset = catalog.get(name)
        numbered = re.search(r"/(0\d_\w+)(/|$)", location(dataset))
        if numbered and not name.startswith("params:"):
            layer = dataset.metadata["kedro-viz"]["layer"]
            folders[name] = (f"0{layers.index(layer) + 1}_{layer}", numbered[1])
    assert len(folders) > 100
    assert {name: pair for name, pair in folders.items() if pair[0] != pair[1]} == {}


@pytest.fixture(scope="module")
def viz(registered: dict[str, Pipeline]) -> None:
    """Kedro-Viz with two of this project's pipelines, which it keeps for the whole process."""
    CONTEXT.set(None)
    some = {name: registered[name] for name in ("__default__", "all")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fieldcast.pipeline_registry.register_pipelines", lambda: some)
        load_and_populate_data(ROOT, env="test")


@pytest.mark.parametrize("name", ["__default__", "all"])
@pytest.mark.usefixtures("viz")
def test_kedro_viz_shows_layers(name: str) -> None:
    """Kedro-Viz shows no layers if data of a later layer lead to an earlier one, even through an experiment's box."""
    layers = get_pipeline_response(name).layers
    assert layers == ["primary", "feature", "models", "model_output", "reporting"]


@pytest.mark.usefixtures("viz")
def test_every_data_set_of_the_demo_has_a_layer() -> None:
    """Data without a layer move the name of a layer onto its nodes: Kedro-Viz prints it in the middle of the layer."""
    nodes = get_pipeline_response("__default__").nodes
    assert [node.name for node in nodes if node.type == "data" and node.layer is None] == []


@pytest.mark.parametrize(
    ("name", "boxes"),
    [
        ("__default__", {"initial_times", "events", "features", "reconstruct", "forecast", "sample"}),
        (
            "all",
            {
                "initial_times",
                "events",
                "observing_network",
                "features",
                "reconstruct",
                "forecast",
                "assimilate",
                "sample",
            },
        ),
    ],
)
@pytest.mark.usefixtures("viz")
def test_kedro_viz_opens_on_stages_and_tasks(name: str, boxes: set[str]) -> None:
    """Private data sets of an experiment are hidden until its box is opened, which keeps the graph readable."""
    displayed = get_pipeline_response(name)
    children = displayed.modular_pipelines["__root__"].children
    visible = {child.id for child in children if child.type == "modularPipeline"}
    assert visible == {"ingestion", "sparsification", "reporting", *boxes}
    named = {item.id: item.name for item in displayed.nodes}
    others = {named[child.id] for child in children if child.type == "data"}
    assert {"fields", "results_reconstruct", "report", "summary"} <= others
    private = {name for name in others if "." in name and not name.startswith("params:")}
    assert all(name.endswith(".checkpoint") for name in private)  # those that another task uses
    assert len(visible) + len(others) <= 47


@pytest.mark.usefixtures("viz")
def test_kedro_viz_shows_the_stages_of_an_experiment() -> None:
    boxes = get_pipeline_response("__default__").modular_pipelines
    address = "reconstruct.denoising_vae"
    stages = {child.id for child in boxes[address].children if child.type == "modularPipeline"}
    assert stages == {f"{address}.{stage}" for stage in ("training", "reconstruction", "evaluation")}


def test_kedro_reads_the_types_of_parameters_of_every_node(registered: dict[str, Pipeline]) -> None:
    """Kedro maps inputs to arguments by place: a left-out argument must not stand before a parameter."""
    extractor = TypeExtractor({})
    for each in registered["all"].nodes:
        if isinstance(each._inputs, dict):
            hints = get_type_hints(each.func)
            typed = {
                source.removeprefix("params:"): hints[argument]
                for argument, source in each._inputs.items()
                if source.startswith("params:") and is_dataclass(hints.get(argument))
            }
            assert extractor._extract_types_from_node(each) == typed, each.name


def unreadable(fit: "Fitt") -> int:
    return 0


def test_every_annotation_of_a_node_resolves(
    registered: dict[str, Pipeline], caplog: pytest.LogCaptureFixture
) -> None:
    """Kedro hands the raw parameters to a node of which it cannot read an annotation, and only logs that."""
    TypeExtractor(registered).extract_types_from_pipelines()
    assert not [text for text in caplog.messages if "type hint" in text.lower() or "Conflicting" in text]
    misspelt = Pipeline([node(unreadable, "params:fit", "fitted", name="fit")])
    TypeExtractor({"misspelt": misspelt}).extract_types_from_pipelines()
    assert "Could not extract type hints from function unreadable" in caplog.text
    for pipeline in registered.values():
        for each in pipeline.nodes:
            assert each.func.__module__.startswith("fieldcast.pipelines.") and each.func.__doc__, each.name


def test_kedro_reads_the_types_of_every_parameter_in_a_stage_alone(project: Path) -> None:
    write(project, "sample.mine", "model: {type: vae.VAE}, fit: {}, options: {treatment: symmetric}")
    training = register_pipelines()["training"]
    types = TypeExtractor({"training": training}).extract_types_from_pipelines()
    assert types["sample.mine.options"] is StateOptions and types["sample.mine.fit"] is Fit


def test_an_experiment_that_needs_other_data_is_in_the_pipelines_of_its_name_alone(project: Path) -> None:
    """A run of a task leaves it out, together with what uses its checkpoint; by name it is refused in one sentence."""
    from kedro.framework.session import KedroSession

    write(project, "sample.redrawn", "model: {type: vae.VAE}, options: {}, uses: {weights: sample.vae_grey}")
    ours = {"sample.vae_grey", "sample.redrawn"}
    for env, held in (("test", set()), ("digits", ours)):
        configure_project("fieldcast")
        with KedroSession.create(project, env=env) as session:
            session.load_context()
            pipelines = register_pipelines()
            for name in ("sample", "all", "sampling"):
                addresses = {address_of(item.namespace) for item in pipelines[name].nodes}
                assert addresses & ours == held and "sample.vae" in addresses
            alone = pipelines["sample.redrawn"]
            assert {address_of(item.namespace) for item in alone.nodes} >= ours
            if not held:
                sentence = (
                    "sample.redrawn needs images, but ingestion.source = 'planet' provides fields: choose an"
                )
                with pytest.raises(InputError, match=sentence):
                    check_data(alone, ["sample.redrawn"])
            else:
                check_data(alone, ["sample.redrawn"])


def test_a_run_of_a_task_names_what_it_leaves_out(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    from kedro.framework.session import KedroSession

    caplog.set_level("INFO", "fieldcast")
    with KedroSession.create(project, env="test") as session:
        session.load_context()
        pipelines = register_pipelines()
        check_data(pipelines["reconstruct"], ["reconstruct"])
        assert not caplog.messages
        check_data(pipelines["sample"], ["sample"])
    assert "sample.vae_grey is left out: it needs images." in caplog.messages
    assert "sample.variational_autodecoder_by_class is left out: it needs labels." in caplog.messages
