"""A small Kedro project on this package's frame, and this project itself; each in this process or in a real one."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import configured  # noqa: F401  # sets the loader of configuration
import first_calls
import pytest
from filelock import FileLock
from hypothesis import settings
from kedro.framework import project as kedro_project
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

# The user's font cache may list the fonts of another installation, which makes matplotlib write to standard error.
os.environ["MPLCONFIGDIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / "matplotlib")
os.fsync = lambda file: None  # no test cuts the power: what a killed process has written stays

pytest_plugins = ["worlds", "evaluations", "sampled_experiments"]
kedro_project.LOGGING.set_project_logging(
    "toy"
)  # now: later it would take away the handler that `caplog` has set up
settings.register_profile("repeatable", derandomize=True)  # the same examples at every run
settings.load_profile("repeatable")

# Files of a minute or more, in the order of their start: the first makes data roots that others then need not wait for,
# and no process is left alone with a long file at the end.
LONGEST = (
    "test_scripts.py", "pipelines/test_forecast.py", "test_docs.py", "inference/test_filled_quantities.py",
    "pipelines/test_sample.py", "inference/test_race.py", "pipelines/test_gap_filling.py",
    "inference/test_fill_gaps.py", "pipelines/test_assimilate.py", "test_pipeline_registry.py",
    "bad_input/test_parameters.py", "inference/test_appending.py", "training/test_loop.py", "pipelines/test_graph.py",
    "report/test_sample.py", "test_notebooks.py", "bad_input/test_input_files.py", "app/tracking/test_hook.py",
    "test_standalone.py", "app/test_doctor_options.py", "bad_input/test_checkpoints.py",
)  # fmt: skip

BUDGET = 60  # seconds of processor time that a file of tests may take, with fixtures that it makes for others
PROCESSOR_TIME = pytest.StashKey[float]()

FILES = {
    "pyproject.toml": """
        [tool.kedro]
        package_name = "toy"
        project_name = "Toy"
        kedro_init_version = "1.7.0"
    """,
    ".telemetry": "consent: false",
    "src/toy/__init__.py": "",
    "src/toy/settings.py": "from fieldcast.settings import *",
    "src/toy/cli.py": "from fieldcast.cli import cli, run",
    "src/toy/nodes.py": """
        import os, signal, time
        from pathlib import Path
        from typing import Literal
        import pandas as pd
        import xarray as xr
        from pydantic import ConfigDict
        from pydantic.dataclasses import dataclass
        import fieldcast.pipelines
        from fieldcast.errors import InputError

        @dataclass(frozen=True, config=ConfigDict(extra="forbid"))
        class Rate:
            start: float = 1e-3

        @dataclass(frozen=True, config=ConfigDict(extra="forbid"))
        class Fit:
            steps: int = 3
            rate: Rate = Rate()
            end: Literal["well", "refused", "broken", "broken late", "interrupted", "endless", "full"] = "well"

        def make():
            attributes = {"digest": "0123456789ab", "source": "a toy"}
            return xr.Dataset({"t": ("time", [1.0, 2.0])}, attrs=attributes), [1]

        def fit(fields, stored, fit: Fit):
            for last in range(1, fit.steps + 1):
                steps = range(1, last + 1)
                loss = [1 / step for step in steps]
                yield {"step": last}, pd.DataFrame({"step": steps, "seconds": 1.0, "loss": loss})
            if fit.end == "refused":
                raise InputError("the toy is refused: give it a name.")
            if fit.end == "broken late":  # when the other experiment has ended
                while not Path("data/sample/b/scores.csv").exists():
                    time.sleep(0.05)
                time.sleep(1)
            if fit.end.startswith("broken"):
                raise RuntimeError("a fault")
            if fit.end == "interrupted":
                raise KeyboardInterrupt
            if fit.end == "full":
                raise OSError(28, "No space left on device", "toy.json")
            if fit.end == "endless":
                Path("waiting").touch()
                time.sleep(60)

        def plot(history):
            from matplotlib.figure import Figure

            figure = Figure()
            figure.subplots().plot(history["step"], history["loss"])
            return figure

        def score(checkpoint):
            rows = [
                ("kid", "random", 0.1, "all", "unobserved", 0.5),
                ("kid", "random", 0.1, "t2m", "unobserved", 9.0),
                ("kid", "random", 0.1, "all", "all", 8.0),
                ("ssr", "blocks", 0.005, "all", "unobserved", 0.9),
            ]
            return pd.DataFrame(rows, columns=["score", "pattern", "k", "variable", "cells", "value"])

        def collect(*scores):
            return "two toys, compared"
    """,
    "src/toy/pipeline_registry.py": """
        import warnings

        from kedro.pipeline import Pipeline, node
        from toy import nodes

        warnings.filterwarnings("ignore", "One or more dataset names contain '.' characters", UserWarning)

        def boxed(name, pipeline):
            return Pipeline(pipeline, namespace=name, prefix_datasets_with_namespace=False)

        def stamped(address, pipeline):
            shared = {name for name in pipeline.inputs() if name in ("fields", "stored")}
            return Pipeline(pipeline, namespace=address, inputs=shared)

        def register_pipelines():
            ingestion = Pipeline([node(nodes.make, None, ["fields", "stored"], name="make", tags=["first"])])
            training = Pipeline([
                node(nodes.fit, ["fields", "stored", "params:fit"], ["checkpoint", "history"], name="fit"),
                node(nodes.plot, "history", "loss_curve", name="plot"),
            ])
            evaluation = Pipeline([node(nodes.score, "checkpoint", "scores", name="score")])
            scores = {name: f"sample.{name}.scores" for name in ("a", "b")}
            collect = Pipeline([node(nodes.collect, ["a", "b"], "summary", name="collect")])
            reporting = Pipeline(boxed("sample", collect), inputs=scores)
            both = ["sample.a", "sample.b"]
            stages = boxed("training", training), boxed("evaluation", evaluation)
            trainings = sum((stamped(one, stages[0]) for one in both), Pipeline([]))
            lives = [sum((stamped(one, part) for part in stages), Pipeline([])) for one in both]
            whole = sum(lives, ingestion) + reporting
            a = ingestion + lives[0]
            return {"ingestion": ingestion, "training": trainings, "sample.a": a, "all": whole, "__default__": whole}
    """,
    "conf/base/catalog.yml": """
        fields: {type: fieldcast.datasets.ZarrDataset, filepath: data/fields.zarr, metadata: {mlflow: data}}
        stored: {type: json.JSONDataset, filepath: "${runtime_params:data_root,data}/stored.json"}
        "{task}.{name}.checkpoint":
          {type: json.JSONDataset, filepath: "data/{task}/{name}/state.json", metadata: {mlflow: artifact}}
        "{task}.{name}.history":
          {type: pandas.CSVDataset, filepath: "data/{task}/{name}/history.csv", metadata: {mlflow: history}}
        "{task}.{name}.loss_curve":
          type: matplotlib.MatplotlibDataset
          filepath: data/{task}/{name}/loss.png
          metadata: {mlflow: figure}
        "{task}.{name}.scores":
          {type: pandas.CSVDataset, filepath: "data/{task}/{name}/scores.csv", metadata: {mlflow: metrics}}
        summary: {type: text.TextDataset, filepath: data/summary.txt, metadata: {print: text}}
    """,
    "conf/base/tracking.yml": "tracking: false",
    "conf/base/credentials.yml": "data_root: {}",
    "conf/base/parameters.yml": "seed: 7",
    "conf/base/parameters/experiments/sample/a.yml": "sample: {a: {model: {latent: 3}, fit: {steps: 4}}}",
    "conf/base/parameters/experiments/sample/b.yml": "sample: {b: {model: {latent: 5}, fit: {}}}",
    "conf/demo/README.md": "",
}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """The folder of the small project: experiments sample.a and sample.b, tracking off."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).strip() + "\n")
    shutil.copy(Path(__file__).parents[1] / "conf/logging.yml", tmp_path / "conf")
    return tmp_path


@pytest.fixture
def session(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run pipelines of the small project in this process, by name."""
    monkeypatch.chdir(toy)
    monkeypatch.syspath_prepend(str(toy / "src"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
        monkeypatch.delitem(sys.modules, name)

    def run(*names: str, parameters: dict[str, Any] | None = None, **options: Any) -> Any:
        bootstrap_project(toy)
        with KedroSession.create(toy, runtime_params=parameters) as session:
            return session.run(pipeline_names=list(names) or None, **options)

    return run


def heed_interrupts() -> None:
    """Restore interrupts, as in a terminal: a shell ignores them in background jobs, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def kedro(toy: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a real `kedro` in the small project."""

    def start(*words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "kedro", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=toy,
            env=environment,
            text=True,
            stdout=pipe,
            stderr=pipe,
            preexec_fn=heed_interrupts,  # noqa: PLW1509  # it takes no lock
        )

    return start


ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest files."""
    order = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
    config.stash[PROCESSOR_TIME] = sum(os.times()[:4])


def pytest_collection_finish() -> None:
    """Let collections of garbage pass over modules and tests, which takes an eighth of the time."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """Check the first calls of each function again."""
    first_calls.TESTS[0] += 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Add to a report the processor time since the previous one, with that of child processes that have ended."""
    report = yield
    before = item.config.stash[PROCESSOR_TIME]
    item.config.stash[PROCESSOR_TIME] = sum(os.times()[:4])
    report.processor_time = item.config.stash[PROCESSOR_TIME] - before
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the processor time of all tests, of the files above their budget, and with `--durations` of the slowest."""
    tests: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for report in chain.from_iterable(terminalreporter.stats.values()):
        seconds = getattr(report, "processor_time", 0.0)
        tests[getattr(report, "nodeid", "")] += seconds
        files[getattr(report, "nodeid", "").partition("::")[0]] += seconds
    terminalreporter.write_line(f"processor time of the tests: {files.total() / 60:.1f} minutes")
    for file, seconds in files.most_common():
        if seconds > BUDGET and "not proof" in terminalreporter.config.getoption("markexpr"):
            terminalreporter.write_line(f"above the budget of {BUDGET} s a file: {seconds:5.1f} s {file}")
    for test, seconds in tests.most_common(terminalreporter.config.getoption("durations") or 0):
        terminalreporter.write_line(f"{seconds:5.1f} s {test}")


@pytest.fixture(scope="session")
def project() -> Callable[..., Any]:
    """Run pipelines of this project in this process, with the environment `test`, by name."""

    def run(
        *names: str,
        data_root: Path,
        parameters: dict[str, Any] | None = None,
        conf: Path = ROOT / "conf",
        env: str = "test",
        **options: Any,
    ) -> Any:
        if (
            kedro_project.PACKAGE_NAME != "fieldcast"
        ):  # reading the settings again takes a quarter of a second
            bootstrap_project(ROOT)
        kedro_project.pipelines.configure("registered")  # building the pipelines again takes a second
        given = {"data_root": str(data_root), **(parameters or {})}
        with KedroSession.create(ROOT, env=env, conf_source=str(conf), runtime_params=given) as session:
            return session.run(pipeline_names=list(names), **options)

    return run


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Any]], Path]:
    """Make a data root in one of the processes that share the tests; each receives a copy."""
    ours = tmp_path_factory.getbasetemp()
    common = ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours

    def copy(name: str, make: Callable[[Path], Any]) -> Path:
        original = common / f"{name}_original"
        with FileLock(f"{original}.lock"):
            if not original.exists():
                part = common / f"{name}_part"
                make(part)
                part.rename(original)
        return Path(shutil.copytree(original, tmp_path_factory.mktemp(name), dirs_exist_ok=True))

    return copy


@pytest.fixture(scope="session")
def some_reconstructions() -> frozenset[str]:
    """Experiments of `reconstruct` that stand for all: closed forms, trained, with borrowed weights."""
    return frozenset(
        ("climatology", "linear", "nearest", "optimal_interpolation", "gappy_pca", "kriging",
        "corrected_interpolation", "denoising_vae", "denoising_vae_residual", "denoising_vae_residual_rk4")
    )  # fmt: skip


@pytest.fixture(scope="session")
def finished(
    project: Callable[..., Any], some_reconstructions: frozenset[str], made_once: Callable[..., Path]
) -> Path:
    """The data root after `some_reconstructions`; tests may add to it, and change nothing."""

    def make(data_root: Path) -> None:
        project("ingestion", "sparsification", data_root=data_root)
        namespaces = [f"reconstruct.{name}" for name in sorted(some_reconstructions)]
        project("reconstruct", data_root=data_root, namespaces=namespaces)
        project("reporting", data_root=data_root)

    return made_once("finished", make)


@pytest.fixture(scope="session")
def forecasting(project: Callable[..., Any], finished: Path) -> Callable[..., None]:
    """Run experiments of `forecast`, or all, on the planet of `finished`; `decoder_l1_rk4` steps by 1e30 tendencies."""

    def run(data_root: Path, *names: str) -> None:
        shutil.copytree(finished / "03_primary", data_root / "03_primary")
        blown_up = {"forecast": {"decoder_l1_rk4": {"model": {"scale": 1e30}}}}
        given: dict[str, Any] = {"data_root": data_root, "parameters": blown_up}
        if names:
            project("initial_times", "events", **given)
        namespaces = [f"forecast.{name}" for name in sorted(names)]
        project("forecast", namespaces=namespaces or None, **given)
        if names:  # else the pipeline of the task ends in the report
            project("reporting", **given)

    return run


@pytest.fixture(scope="session")
def some_forecasts() -> frozenset[str]:
    """Experiments of `forecast` that stand for all: closed forms, trained, with borrowed weights, one that blows up."""
    return frozenset(
        ("persistence", "climatological_ensemble", "linear_inverse_model", "perfect_model", "crps_ensemble",
        "corrected_inverse_model", "vae", "vae_rk4", "vae_mean", "decoder_l1", "decoder_l1_rk4")
    )  # fmt: skip


@pytest.fixture(scope="session")
def forecasted(
    forecasting: Callable[..., None], some_forecasts: frozenset[str], made_once: Callable[..., Path]
) -> Path:
    """The data root after `some_forecasts`; tests may add to it."""
    return made_once("forecasted", lambda data_root: forecasting(data_root, *some_forecasts))


@pytest.fixture(scope="session")
def examined() -> Callable[..., Any]:
    """Examine a data root as `fieldcast doctor` does, with the environment `test` and parameters."""
    from fieldcast.app.doctor import examine

    def examination(data_root: Path, **parameters: Any) -> Any:
        bootstrap_project(ROOT)
        given = {"data_root": str(data_root), **parameters}
        with KedroSession.create(ROOT, env="test", runtime_params=given) as session:
            return examine(session.load_context().catalog, str(data_root))

    return examination


@pytest.fixture(scope="module")
def few_selections() -> Iterator[None]:
    """Two selections of held-out values in place of 4 to 16: a spread is less certain, and all else is as it was."""
    from fieldcast.inference.gaps import trials

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "are_few", lambda selections, values: len(selections) < 2)
        yield


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Interrupts raise, also where a shell has started the tests in the background, which ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
