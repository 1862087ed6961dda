"""Experiments are what the listing says, and a file that is wrong is named."""

import ast
import re
from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader

from fieldcast.errors import InputError
from fieldcast.experiments import (
    Description,
    description_of,
    descriptions,
    experiments,
    nearest,
    requirements,
    roles,
    selections,
    tables,
)
from fieldcast.settings import CONFIG_LOADER_ARGS


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    folder = tmp_path / "conf"
    for name in ("b", "a"):
        write(folder, "forecast", name, f"forecast: {{{name}: {{model: {{type: vae.ConditionalVAE}}}}}}")
    return folder


def write(conf: Path, task: str, name: str, text: str) -> None:
    file = conf / "base" / "parameters" / "experiments" / task / f"{name}.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_listing_in_order(conf: Path) -> None:
    assert list(experiments(conf)) == ["forecast.a", "forecast.b"]
    write(conf, "sample", "c", "sample: {c: {uses: {weights: forecast.b}}}")
    result = experiments(conf)
    assert result["sample.c"].uses == {"weights": "forecast.b"}
    assert result["sample.c"].draws_from == "forecast.b" and not result["sample.c"].trains


def test_requirements_of_an_experiment_come_first_and_once(conf: Path) -> None:
    write(conf, "forecast", "c", "forecast: {c: {uses: {base: forecast.b, update: forecast.a}}}")
    write(conf, "forecast", "d", "forecast: {d: {uses: {base: forecast.c, weights: forecast.a}}}")
    expected = experiments(conf)
    order = [item.name for item in requirements(expected["forecast.d"], expected)]
    assert order == ["b", "a", "c", "d"]


def test_external_forecasts_are_recognised_by_their_type(conf: Path) -> None:
    write(conf, "forecast", "c", "forecast: {c: {model: {type: File, path: mine.nc}}}")
    result = experiments(conf)
    assert result["forecast.c"].file and not result["forecast.a"].file


@pytest.mark.parametrize(
    ("task", "name", "text", "message"),
    [
        (
            "forecast",
            "c",
            "forecast: {c: {model: {type: File}, uses: {weights: forecast.a}}}",
            "made elsewhere, so it uses no checkpoint",
        ),
        ("forecast", "c", "forecast: {d: {}}", "must hold the experiment that its path names"),
        ("forecast", "c", "forecast: {c: 3}", "must hold the experiment that its path names"),
        ("forecast", "c", "sample: {c: {}}", "must hold the experiment that its path names"),
        ("forecast", "c", "", "is empty"),
        ("forecast", "c", "forecast: {c: {modle: 1}}", "no key 'modle'; did you mean model?"),
        ("forecast", "c", "forecast: {c: [}", "line 1, is not valid YAML"),
        (
            "forecast",
            "c",
            "forecast: {c: {uses: {weights: forecast.aa}}}",
            "uses.weights names 'forecast.aa', which is not an experiment",
        ),
        ("forecast", "c", "forecast: {c: {uses: forecast.a}}", "must give each role an experiment"),
        (
            "forecast",
            "c",
            "forecast: {c: {uses: {base: forecast.c}}}",
            "in a circle: forecast.c -> forecast.c",
        ),
        ("fore_cast", "c", "fore_cast: {c: {}}", "must not contain an underscore"),
    ],
)
def test_a_wrong_experiment_is_reported_in_one_sentence(
    conf: Path, task: str, name: str, text: str, message: str
) -> None:
    write(conf, task, name, text)
    with pytest.raises(InputError) as caught:
        experiments(conf)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("body", ["model: {type: File, path: mine.nc}", "uses: {weights: forecast.a}"])
def test_only_what_is_trained_can_be_used(conf: Path, body: str) -> None:
    write(conf, "forecast", "c", f"forecast: {{c: {{{body}}}}}")
    write(conf, "forecast", "d", "forecast: {d: {uses: {weights: forecast.c}}}")
    with pytest.raises(
        InputError, match=r"forecast.d: uses.weights names 'forecast.c', which is not trained"
    ):
        experiments(conf)


def test_the_demo_and_the_reports_are_choices(conf: Path) -> None:
    expected = experiments(conf)
    assert selections({}, expected) == {}
    report = {"needs": "fields", "experiments": ["forecast.a", "forecast.b"]}
    chosen = selections({"demo": ["forecast.b"], "reports": {"report_000": report}}, expected)
    assert [item.address for item in chosen["demo"].experiments] == ["forecast.b"]
    assert [item.address for item in chosen["report_000"].experiments] == ["forecast.a", "forecast.b"]
    assert (chosen["demo"].needs, chosen["report_000"].needs) == (None, "fields")
    for body, place in (
        (["forecast.a"], "reports.report_000 = "),
        ({**report, "needs": "sounds"}, "reports.report_000.needs = 'sounds'"),
        ({"experiments": ["forecast.a"]}, "reports.report_000.needs is not set"),
    ):
        with pytest.raises(InputError, match=f"^{place}"):
            selections({"reports": {"report_000": body}}, expected)
    with pytest.raises(
        InputError, match=r"lists 'forecast.bb', which is not an experiment; did you mean forecast.b"
    ):
        selections({"demo": ["forecast.bb"]}, expected)


def test_only_similar_words_are_suggested() -> None:
    assert nearest("stpes", ["steps", "rate"]) == "; did you mean steps?"
    assert nearest("colour", ["steps", "rate"]) == "."


def test_an_experiment_describes_itself_and_has_defaults(conf: Path) -> None:
    text = "forecast: {c: {about: {label: C, family: bound, description: what c is, order: 1}}}"
    write(conf, "forecast", "c", text)
    expected = experiments(conf)
    assert expected["forecast.c"].about == Description("C", "bound", "what c is", None, 1)
    assert expected["forecast.a"].about == Description(label="a")
    (table,) = tables(expected)
    assert table.splitlines()[2:] == ["| `c` | C | what c is |", "| `a` | a |  |", "| `b` | b |  |"]


def test_descriptions_come_in_order_and_those_without_one_last() -> None:
    bodies = {"z": {"about": {"order": 2}}, "b": {}, "y": {"about": {"order": 1}}, "a": {"model": {}}}
    assert list(descriptions(bodies)) == ["y", "z", "a", "b"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"familly": "learned"},
            "experiment 'c': about.familly: there is no such option; did you mean experiment 'c': about.family?",
        ),
        (
            {"family": "new"},
            "about.family = 'new' should be 'classical', 'learned' or 'bound'",
        ),
        ({"order": "first"}, "experiment 'c': about.order = 'first' should be a valid integer."),
        ([1], "experiment 'c': about = [1] should be a mapping of options."),
    ],
)
def test_a_wrong_description_is_reported_in_one_sentence(body: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        description_of("c", body)  # type: ignore[arg-type]
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_task_has_one_reference(conf: Path) -> None:
    assert roles(
        {
            "a": Description(role="reference"),
            "b": Description(role="baseline"),
            "c": Description(role="climatology"),
        }
    ) == {
        "reference": "a",
        "climatology": "c",
    }
    for name in ("c", "d"):
        write(conf, "forecast", name, f"forecast: {{{name}: {{about: {{role: reference}}}}}}")
    with pytest.raises(InputError, match="'c' and 'd' are both the reference of their task"):
        experiments(conf)


ROOT = Path(__file__).parents[1]
OTHER_MEANINGS = {  # words that mean something else where they stand
    "climatology": "the data set, and the role",
    "linear": "an interpolation",
    "nearest": "pictures of the nearest training states, and interpolation",
    "flow": "the module of flows",
    "persistence": "a mode of the linear inverse model",
    "kriging": "the module",
    "vae": "the module",
    "analogue": "the module",
    "ddim": "the sampler of a diffusion",
    "perfect_model": "the data set",
    "dineof": "a method of filling gaps, in the comparison of its candidates",
    "corrected_interpolation": "likewise",
    "low_rank": "likewise",
}


WITH_ADDRESSES = {
    "inference/file_options.py": "defaults of options, examples of commands",
}


def test_the_code_knows_no_experiment_by_its_name() -> None:
    stems = {file.stem for file in ROOT.glob("conf/base/parameters/experiments/*/*.yml")}
    named = {
        f"{file.relative_to(ROOT)}:{node.lineno} {node.value}"
        for file in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value in stems - set(OTHER_MEANINGS)
    }
    assert not named


def test_messages_name_no_experiment_of_this_configuration() -> None:
    addresses = {
        f"{file.parent.name}.{file.stem}" for file in ROOT.glob("conf/base/parameters/experiments/*/*.yml")
    }
    address = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, addresses))})(?![\w.])")
    named = []
    for file in (ROOT / "src/fieldcast").rglob("*.py"):
        if str(file.relative_to(ROOT / "src/fieldcast")) in WITH_ADDRESSES:
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        statements = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
        documents = {id(value) for value in statements if isinstance(value, ast.Constant)}
        named += [
            f"{file.relative_to(ROOT)}:{node.lineno} {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and id(node) not in documents
            if isinstance(node.value, str) and address.search(node.value)
        ]
    assert not named


@pytest.mark.parametrize("env", ["demo", "era5", "netcdf", "test"])
def test_the_parts_of_a_pool_are_the_models_that_it_uses(env: str) -> None:
    conf, pools = Path(__file__).parents[1] / "conf", 0
    parameters = OmegaConfigLoader(str(conf), env=env, **CONFIG_LOADER_ARGS)["parameters"]
    for address, experiment in experiments(conf).items():
        model = parameters[experiment.task][experiment.name].get("model", {})
        for role, part in model.get("parts", {}).items():
            task, name = experiment.uses[role].split(".")
            assert part == parameters[task][name]["model"], address
            pools += 1
    assert pools
