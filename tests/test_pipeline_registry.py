"""Registered pipelines follow the configuration, and the data sets of experiments have the right names."""

import pickle
import shutil
import warnings
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest
from kedro.framework.project import configure_project
from kedro.pipeline import Pipeline, node
from kedro.validation.type_extractor import TypeExtractor
from kedro_viz.api.rest.responses.pipelines import get_pipeline_response
from kedro_viz.server import load_and_populate_data

from fieldcast import pipeline_registry
from fieldcast.datasets import InMemoryDataset
from fieldcast.errors import InputError
from fieldcast.experiments import Experiment
from fieldcast.frame.preflight import check_data
from fieldcast.inference.options import StateOptions
from fieldcast.pipeline_registry import register_pipelines
from fieldcast.pipelines.assembly import in_namespace
from fieldcast.pipelines.evaluation.pipeline import publish
from fieldcast.pipelines.names import address_of, is_transient
from fieldcast.pipelines.steps import in_box
from fieldcast.training.options import Fit

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset the session of earlier tests."""
    monkeypatch.setattr(pipeline_registry, "CONTEXT", pipeline_registry.ContextVar("CONTEXT", default=None))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this project's configuration, with the package as it is."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    configure_project("fieldcast")
    return tmp_path


def write(project: Path, address: str, text: str) -> None:
    task, _, name = address.partition(".")
    file = project / "conf/base/parameters/experiments" / task / f"{name}.yml"
    file.write_text(f"{task}:\n  {name}:\n    {text}\n")


def nodes(pipeline: Pipeline) -> set[str]:
    return {item.name for item in pipeline.nodes}


def experiments_of(pipeline: Pipeline) -> set[str]:
    """Names of nodes that belong to an experiment."""
    return {name for name in nodes(pipeline) if name.count(".") == 3}


def test_stages_tasks_experiments_and_demo_are_registered(project: Path) -> None:
    result = register_pipelines()
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
        "gaps",
        "predict",
        "cycle",
        "seeds",
    }
    reports = {f"report_00{number}" for number in range(5)}
    assert listed and result.keys() >= listed | stages | reports | {"reconstruct", "demo", "__default__"}
    addresses = {address_of(item.namespace) for item in result["report_000"].nodes}
    assert {"reconstruct.denoising_vae", "forecast.vae"} <= addresses
    assert experiments_of(result["reconstruct"]) < experiments_of(result["__default__"])
    for address in listed:
        assert nodes(result[address]) >= nodes(result["ingestion"]) | {
            "reporting.rank_reconstruct",
            "reporting.gather_reconstruct",
            "reporting.write_page",
        }
        assert {node.namespace for node in result[address].nodes} >= {"reporting", f"{address}.evaluation"}
    assert {node.partition(".")[0] for node in nodes(result["reporting"])} == {"reporting"}


def test_an_experiment_is_one_file(project: Path) -> None:
    before = register_pipelines()
    write(project, "reconstruct.mine", "model: {type: climatology.Climatology}")
    after = register_pipelines()
    assert after.keys() - before.keys() == {"reconstruct.mine"}
    new = nodes(after["__default__"]) - nodes(before["__default__"])
    assert new and all(name.startswith("reconstruct.mine.") for name in new)
    (board,) = [item for item in after["reporting"].nodes if "leaderboard_reconstruct" in item.outputs]
    assert "results_reconstruct" in board.inputs


def collected(pipeline: Pipeline, task: str) -> set[str]:
    """The experiments whose results the node `collect` of a task waits for."""
    (node,) = [each for each in pipeline.nodes if f"results_{task}" in each.outputs]
    return {name.removesuffix(".results") for name in node.inputs if name.endswith(".results")}


def test_reporting_waits_for_the_experiments_of_its_pipeline_alone(project: Path) -> None:
    """Reporting waits for all pipelines that run together, as with `kedro run --pipelines a,b`."""
    registered = register_pipelines()
    linear, vae = registered["reconstruct.linear"], registered["forecast.vae"]
    assert collected(linear, "reconstruct") == {"reconstruct.linear"} and not collected(linear, "forecast")
    assert not [
        name for name in linear.datasets() if name.startswith(("reconstruct.n", "forecast.", "sample."))
    ]
    both = Pipeline([]) + linear + vae
    assert collected(both, "reconstruct") == {"reconstruct.linear"}
    assert collected(both, "forecast") == {"forecast.vae"}
    assert experiments_of(both) == experiments_of(linear) | experiments_of(vae)
    for pair in (("evaluation", "reporting"), ("reporting", "evaluation")):
        scored = Pipeline([]) + registered[pair[0]] + registered[pair[1]]
        assert len(collected(scored, "reconstruct")) > 10
    assert not collected(registered["reporting"], "reconstruct")


def test_a_selection_gathers_again_what_no_run_has_stored(project: Path) -> None:
    """`--nodes`, `--from-nodes`, `--tags` and `--namespaces`: all other inputs are read from the disk."""
    linear = Pipeline([]) + register_pipelines()["reconstruct.linear"]
    gathered = {"reconstruct.linear.evaluation.publish", "reconstruct.collect_reconstruct"}
    rank = "reporting.rank_reconstruct"
    alone = linear.filter(node_names=[rank])  # also where the experiment has no results yet
    assert nodes(alone) == {rank, "reporting.collect_reconstruct"} and not collected(alone, "reconstruct")
    drawn = nodes(linear.filter(from_nodes=["reconstruct.linear.reconstruction.draw"]))
    assert {rank, *gathered} < drawn and "reconstruct.linear.training.fit" not in drawn
    assert nodes(linear.filter(tags=["training"])) == {
        f"reconstruct.linear.training.{name}" for name in ("fit", "plot_history")
    }
    for each in nodes(linear):
        inputs = linear.filter(from_nodes=[each]).inputs() | linear.filter(node_names=[each]).inputs()
        assert not [name for name in inputs if is_transient(name)]
    assert nodes(linear.filter()) == nodes(linear)


def test_what_is_handed_on_is_what_the_catalog_keeps_in_memory(project: Path) -> None:
    from kedro.framework.session import KedroSession

    with KedroSession.create(project) as session:
        catalog = session.load_context().catalog
    names = {name for pipeline in register_pipelines().values() for name in pipeline.datasets()}
    in_memory = {name for name in names if isinstance(catalog.get(name), InMemoryDataset)}
    assert in_memory == {name for name in names if is_transient(name)} and len(in_memory) > 20


def test_other_processes_take_every_node_and_data_set(project: Path) -> None:
    """`--runner ParallelRunner`."""
    from kedro.framework.session import KedroSession

    with KedroSession.create(project) as session:
        catalog = session.load_context().catalog
    for pipeline in register_pipelines().values():
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
        "{model: {type: vae.ConditionalVAE}, uses: {weights: reconstruct.source}}",
    )
    write(
        project, "reconstruct.pupil", "{model: {type: vae.ConditionalVAE}, uses: {base: reconstruct.source}}"
    )
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
    assert nodes(result["__default__"]) >= ingestion | sparsification | initial_times


def test_kedro_warns_of_no_node(project: Path) -> None:
    write(project, "sample.mine", "model: {type: vae.VAE}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for node in register_pipelines()["__default__"].nodes:
            str(node)


def test_nodes_have_stage_task_and_family_as_tags(project: Path) -> None:
    write(project, "reconstruct.mine", "{model: {type: climatology.Climatology}, about: {family: bound}}")
    pipelines = register_pipelines()
    custom = pipelines["reconstruct.mine"]
    private = [node for node in custom.nodes if node.namespace.startswith("reconstruct.mine.")]
    assert {tag for node in private for tag in node.tags} == {
        "training", "reconstruction", "evaluation", "reconstruct", "bound",
    }  # fmt: skip
    assert all(node.tags > {"reconstruct", "bound"} for node in private)
    assert nodes(custom.only_nodes_with_tags("training")) == nodes(pipelines["training"]) & nodes(custom)
    for name in ("ingestion", "sparsification"):
        assert nodes(custom.only_nodes_with_tags(name)) == nodes(pipelines[name])
    reporting = nodes(custom.only_nodes_with_tags("reporting"))
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


def test_only_forecasts_are_adopted(project: Path) -> None:
    write(project, "reconstruct.mine", "model: {type: File, path: mine.nc}")
    with pytest.raises(
        InputError, match=r"reconstruct.mine: only experiments of forecast can be of type File"
    ):
        register_pipelines()


def test_unknown_tasks_are_refused(project: Path) -> None:
    (project / "conf/base/parameters/experiments/recon").mkdir()
    write(project, "recon.mine", "model: {}")
    with pytest.raises(InputError, match="'recon' is not a task; choose from reconstruct, forecast, assi"):
        register_pipelines()


def test_without_configuration_there_is_a_sentence(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(project / "conf")
    monkeypatch.setattr("fieldcast.frame.conf_source.INSTALLED", project / "absent")
    with pytest.raises(InputError, match="there is no configuration in"):
        register_pipelines()


def test_every_data_set_of_every_pipeline_is_in_the_catalog(project: Path) -> None:
    """Every data set has an entry, so that no misspelt name is kept in memory."""
    from kedro.framework.session import KedroSession

    with KedroSession.create(project) as session:
        catalog = session.load_context().catalog
    result = register_pipelines()
    alone = (result[name] for name in (*pipeline_registry.STANDALONE, "gaps"))
    missing = {
        name for item in (result["__default__"], *alone) for name in item.datasets() if name not in catalog
    }
    assert missing == set()
    assert "reconstruct.linear.chekpoint" not in catalog


def test_stamping() -> None:
    def function(*_: object) -> tuple[int, int]:
        return 1, 2

    inputs = ["fields@lazy", "checkpoint", "update", "params:fit", "params:model.latent"]
    inputs += ["params:seed", "parameters"]
    item = Pipeline([node(function, inputs, ["reconstructions", "scores"], name="draw")])
    experiment = Experiment("forecast", "vae_rk4", {"weights": "forecast.vae", "update": "reconstruct.oi"})
    (created,) = in_namespace(in_box(item, "rollout"), experiment, {"fields"}).nodes
    assert created.name == "forecast.vae_rk4.rollout.draw"
    assert created.inputs == [
        "fields@lazy",
        "forecast.vae.checkpoint",
        "reconstruct.oi.checkpoint",
        "params:forecast.vae_rk4.fit",
        "params:forecast.vae_rk4.model.latent",
        "params:seed",
        "parameters",
    ]
    assert created.outputs == ["forecast.vae_rk4.reconstructions", "forecast.vae_rk4.scores"]


def test_an_experiment_publishes_what_its_stages_leave() -> None:
    def function(*_: object) -> tuple[int, int]:
        return 1, 2

    training = Pipeline([node(function, "fields", ["checkpoint", "history"], name="fit")])
    training += Pipeline([node(function, "history", "loss_curve", name="plot")])
    drawing = Pipeline([node(function, "checkpoint", ["draws", "costs"], name="draw")])
    (published,) = publish([training, drawing], ("history", "scores")).nodes
    assert set(published.inputs) == {"history", "loss_curve", "draws", "costs"}


@pytest.fixture(scope="module")
def viz() -> None:
    """Kedro-Viz with this project's pipelines, which it keeps for the whole process."""
    pipeline_registry.CONTEXT.set(None)
    load_and_populate_data(ROOT, env="test")


@pytest.mark.parametrize("name", ["demo", "__default__"])
@pytest.mark.usefixtures("viz")
def test_kedro_viz_shows_layers(name: str) -> None:
    """Kedro-Viz shows no layers if data of a later layer lead to an earlier one, even through an experiment's box."""
    layers = get_pipeline_response(name).layers
    assert layers == ["primary", "feature", "models", "model_output", "reporting"]


@pytest.mark.usefixtures("viz")
def test_every_data_set_of_the_demo_has_a_layer() -> None:
    """Data without a layer move the name of a layer onto its nodes: Kedro-Viz prints it in the middle of the layer."""
    nodes = get_pipeline_response("demo").nodes
    assert [node.name for node in nodes if node.type == "data" and node.layer is None] == []


@pytest.mark.parametrize(
    ("name", "boxes"),
    [
        ("demo", {"initial_times", "events", "features", "reconstruct", "forecast", "sample"}),
        (
            "__default__",
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
        ("reconstruct.denoising_vae", {"reconstruct"}),
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
    assert len(visible) + len(others) <= 45


@pytest.mark.usefixtures("viz")
def test_kedro_viz_shows_the_stages_of_an_experiment() -> None:
    boxes = get_pipeline_response("demo").modular_pipelines
    address = "reconstruct.denoising_vae"
    stages = {child.id for child in boxes[address].children if child.type == "modularPipeline"}
    assert stages == {f"{address}.{stage}" for stage in ("training", "reconstruction", "evaluation")}


def test_kedro_reads_the_types_of_parameters_of_every_node(project: Path) -> None:
    """Kedro maps inputs to arguments by place: a left-out argument must not stand before a parameter."""
    extractor = TypeExtractor({})
    for each in register_pipelines()["__default__"].nodes:
        if isinstance(each._inputs, dict):
            hints = get_type_hints(each.func)
            typed = {
                source.removeprefix("params:"): hints[argument]
                for argument, source in each._inputs.items()
                if source.startswith("params:") and is_dataclass(hints.get(argument))
            }
            assert extractor._extract_types_from_node(each) == typed, each.name


def test_kedro_reads_the_types_of_every_parameter_in_a_stage_alone(project: Path) -> None:
    write(project, "sample.mine", "{model: {type: vae.VAE}, options: {treatment: symmetric}}")
    training = register_pipelines()["training"]
    types = TypeExtractor({"training": training}).extract_types_from_pipelines()
    assert types["sample.mine.options"] is StateOptions and types["sample.mine.fit"] is Fit


def test_an_experiment_that_needs_other_data_is_in_the_pipelines_of_its_name_alone(project: Path) -> None:
    """A run of a task leaves it out, together with what uses its checkpoint; by name it is refused in one sentence."""
    from kedro.framework.session import KedroSession

    write(project, "sample.redrawn", "{model: {type: vae.VAE}, uses: {weights: sample.vae_grey}}")
    ours = {"sample.vae_grey", "sample.redrawn"}
    for env, held in (("test", set()), ("digits", ours)):
        configure_project("fieldcast")
        with KedroSession.create(project, env=env) as session:
            session.load_context()
            for name in ("sample", "__default__", "sampling"):
                addresses = {address_of(item.namespace) for item in register_pipelines()[name].nodes}
                assert addresses & ours == held and "sample.vae" in addresses
            alone = register_pipelines()["sample.redrawn"]
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
        check_data(register_pipelines()["reconstruct"], ["reconstruct"])
        assert not caplog.messages
        check_data(register_pipelines()["sample"], ["sample"])
    assert "sample.vae_grey is left out: it needs images." in caplog.messages
    assert "sample.variational_autodecoder_by_class is left out: it needs labels." in caplog.messages
