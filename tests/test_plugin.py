"""A toy package with a task, a stage, a model, a source, an environment and an experiment runs as if it were ours.

It is written to a temporary folder, beside the metadata that an installer would write, and put on the path of a real
`kedro run`. No file of this project is touched.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pandas as pd
import pytest

from fieldcast import plugins
from fieldcast.errors import InputError
from fieldcast.fields.options import Ingestion

ROOT = Path(__file__).parents[1]
FILES = {
    "toy-1.0.dist-info/METADATA": """
        Metadata-Version: 2.1
        Name: toy
        Version: 1.0
    """,
    "toy-1.0.dist-info/entry_points.txt": """
        [fieldcast.tasks]
        repeat = toy.task:REPEAT
        [fieldcast.models]
        toy = toy
        [fieldcast.sources]
        stripes = toy.source:stripes
    """,
    "toy/__init__.py": "",
    "toy/model.py": '''
        """A scaled copy of a state."""

        from torch import Tensor

        from fieldcast.models.space import Space
        from fieldcast.models.core import Model


        class Scaled(Model):
            """x = scale * c."""

            def __init__(self, space: Space, scale: float = 1.0) -> None:
                super().__init__(space)
                self.scale = scale

            def sample(self, c, draws) -> Tensor:
                return self.scale * c.base()[:, None]
    ''',
    "toy/source.py": '''
        """Days of waves on a small grid."""

        import numpy as np
        import xarray as xr


        def stripes(ingestion) -> xr.Dataset:
            time = np.datetime64("2001-01-01", "ns") + np.arange(4 * 365) * np.timedelta64(1, "D")
            latitude, longitude = np.linspace(-75, 75, 6), np.arange(0, 360, 45.0)
            day = np.arange(len(time))[:, None, None]
            wave = np.sin(np.deg2rad(longitude) + day / 7) * np.cos(np.deg2rad(latitude))[:, None]
            noise = np.random.default_rng(ingestion.seed).normal(size=wave.shape)
            attrs = {"units": "K", "long_name": "temperature"}
            return xr.Dataset(
                {"t": (("time", "latitude", "longitude"), (280 + 5 * wave + noise).astype("f4"), attrs)},
                {
                    "time": time,
                    "latitude": ("latitude", latitude, {"units": "degrees_north"}),
                    "longitude": ("longitude", longitude, {"units": "degrees_east"}),
                },
            )
    ''',
    "toy/task.py": '''
        """The task `repeat`: say a state again."""

        import pandas as pd
        import xarray as xr

        from fieldcast.report import Section
        from fieldcast.scores.headline import Headline
        from fieldcast.tasks import Serving, Step, Task


        class Page:
            title = "Repetition"

            def __init__(self, leaderboard):
                self.leaderboard = leaderboard

            def figures(self):
                return {}

            def sections(self, figures):
                best = self.leaderboard.sort_values("value")["experiment"].iloc[0]
                return [Section("repeat-best", "The best repetition", f"It is {best}.")]


        def score(draws: xr.Dataset, fields: xr.Dataset, seed: int):
            error = float(abs(draws["t"] - fields["t"].sel(time=draws["time"])).mean())
            data = fields.attrs["digest"]
            row = {"seed": seed, "data": data, "scored": data, "score": "mae", "value": error}
            return pd.DataFrame([row]), xr.Dataset()


        def show(draws: xr.Dataset) -> xr.Dataset:
            return draws.isel(time=[0])


        def rank(results):
            tables = results["scores"].values()
            board = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
            return board, summary(board)


        def headline(table):
            return Headline(float(table["value"].mean()), "mean absolute error") if len(table) else None


        def say_again(trained, data: xr.Dataset, members: int) -> xr.Dataset:
            said = data.rename(time="lead").assign_coords(time=("lead", data["time"].values))
            means = said.rename({name: f"{name}_mean" for name in said.data_vars})
            return said.expand_dims(member=members, axis=1).merge(means)


        def summary(board) -> str:
            lines = (f"{row.experiment:12} {row.value:.3f}" for row in board.itertuples())
            return "\\n".join(["mean absolute error", *lines])


        def page(leaderboard: pd.DataFrame, results):
            return {"repeat": Page(leaderboard)}, {}


        REPEAT = Task(
            name="repeat",
            preparation=("ingestion",),
            stages=("scaling", "repetition", "evaluation"),
            target="fields",
            score=Step(score, ("draws", "fields"), ("seed",), ("scores", "diagnostics")),
            show=Step(show, ("draws",), (), ("examples",)),
            metrics=lambda scores, seed: scores,
            headline=headline,
            rank=Step(rank, ("results",), (), ("leaderboard", "summary")),
            page=Step(page, ("leaderboard", "results"), (), ("gathered", "figures")),
            summary=summary,
            serving=Serving(say_again, "states", {"members": 2}),
        )
    ''',
    "toy/pipelines/__init__.py": "",
    "toy/pipelines/scaling/__init__.py": "",
    "toy/pipelines/scaling/nodes.py": '''
        """Pack a model, which is not fitted."""

        import xarray as xr

        from fieldcast.encoding.anomalies import FieldCodec, space_of
        from fieldcast.encoding.checkpoint import pack
        from fieldcast.models.configuration import build


        def scale(
            fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, model: dict, seed: int
        ):
            codec = FieldCodec.of(fields, climatology, normalisation)
            built = build(model, space_of(fields, climatology, normalisation))
            header = {"task": "repeat", "model": model, "seed": seed, "data": fields.attrs["digest"]}
            return pack(built, codec, header), b""
    ''',
    "toy/pipelines/scaling/pipeline.py": '''
        """fields, statistics -> checkpoint."""

        from kedro.pipeline import Pipeline, node

        from toy.pipelines.scaling.nodes import scale


        def create_pipeline(task, experiment):
            inputs = ["fields", "climatology", "normalisation", "params:model", "params:seed"]
            return Pipeline([node(scale, inputs, "checkpoint", name="scale")])
    ''',
    "toy/pipelines/repetition/__init__.py": "",
    "toy/pipelines/repetition/nodes.py": '''
        """Say the test split again, state by state."""

        import pandas as pd
        import torch
        import xarray as xr

        from fieldcast.encoding.checkpoint import unpack
        from fieldcast.fields.splits import select
        from fieldcast.models.core import Context
        from fieldcast.models.random_streams import RandomStreams


        def repeat(fields: xr.Dataset, splits: dict, checkpoint: bytes):
            stored = unpack(checkpoint)
            codec, built = stored.codec, stored.model
            test = select(fields, splits, "test").isel(time=slice(0, 20))
            x = codec.encode(test)
            c = Context(len(x), past=x[:, None], day=codec.days(test["time"]))
            drawn = built.sample(c, RandomStreams(0, torch.arange(len(x))))
            decoded = codec.decode(drawn, test["time"]).isel(member=0, drop=True)
            return decoded, pd.DataFrame([{"parameters": 0, "sample_ms": 0.0}])
    ''',
    "toy/pipelines/repetition/pipeline.py": '''
        """fields -> draws, costs."""

        from kedro.pipeline import Pipeline, node

        from toy.pipelines.repetition.nodes import repeat


        def create_pipeline(task, experiment):
            inputs = ["fields", "splits", "checkpoint"]
            return Pipeline([node(repeat, inputs, ["draws", "costs"], name="repeat")])
    ''',
    "toy/conf/base/parameters/experiments/repeat/exact.yml": """
        repeat:
          exact:
            about: {label: Exact repetition, family: classical, description: says the state again}
            model: {type: "toy:model.Scaled"}
    """,
    "toy/conf/base/parameters/experiments/repeat/faint.yml": """
        repeat:
          faint:
            model: {type: "toy:model.Scaled", scale: 0.5}
    """,
    "toy/conf/stripes/parameters.yml": "ingestion: {source: stripes}",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path of Python with the toy installed."""
    folder = tmp_path_factory.mktemp("site")
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).strip() + "\n")
    return folder


def kedro(site: Path, data: Path, parameters: str = "") -> subprocess.CompletedProcess[str]:
    """Run the toy's task by a real `kedro run` of this project."""
    return command(site, data, ["kedro", "run", "--pipelines", "repeat"], parameters)


def command(
    site: Path, data: Path, words: list[str], parameters: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command of this project in the toy's environment."""
    environment = {
        "PYTHONPATH": os.pathsep.join([str(site), str(ROOT / "src")]),
        "MLFLOW_TRACKING_URI": f"sqlite:///{data}/mlflow.db",
        "OMP_NUM_THREADS": "1",
    }
    options = ["--env", "stripes", "--params", f"data_root={data}{parameters}"]
    return subprocess.run(
        [sys.executable, "-m", *words, *options],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def loaded_model(site: Path, data: Path, name: str) -> dict[str, list[int]]:
    """Shapes of what a logged model gives for its example, where the toy is installed."""
    code = f"""
import json, mlflow
mlflow.set_tracking_uri("sqlite:///{data}/mlflow.db")
folder = mlflow.get_experiment_by_name("fieldcast").experiment_id
models = mlflow.search_logged_models([folder], output_format="list")
(model,) = [model for model in models if model.name == "{name}"]
model = mlflow.pyfunc.load_model("models:/" + model.model_id)
print(json.dumps({{name: array.shape for name, array in model.predict(model.input_example).items()}}))
"""
    path = os.pathsep.join([str(site), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=data, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    shapes: dict[str, list[int]] = json.loads(done.stdout.splitlines()[-1])
    return shapes


def tracked() -> str:
    """The state of the working tree."""
    command = ["git", "status", "--porcelain", "src", "conf"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def test_a_plugin_runs_is_scored_ranked_and_reported(site: Path, tmp_path: Path) -> None:
    before = tracked()
    done = kedro(site, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    board = pd.read_csv(tmp_path / "08_reporting/leaderboard_repeat.csv").set_index("experiment")
    assert set(board.index) == {"exact", "faint"}
    assert board["value"]["exact"] < 1e-4 < board["value"]["faint"]
    assert "exact" in (tmp_path / "08_reporting/summary_repeat.txt").read_text()
    assert "repeat: mean absolute error" in (tmp_path / "08_reporting/headlines.txt").read_text()
    assert re.search(r"repeat\.faint: \d\.\d+, mean absolute error", done.stderr)
    page = (tmp_path / "08_reporting/report.html").read_text(encoding="utf-8")
    assert "Repetition" in page and "It is exact." in page
    costs = pd.read_csv(tmp_path / "08_reporting/costs.csv")
    assert set(costs["task"]) == {"repeat"}
    assert tracked() == before
    shapes = {"t": [1, 2, 6, 8], "t_mean": [1, 6, 8], "t_spread": [1, 6, 8], "time": [1]}
    assert loaded_model(site, tmp_path, "repeat-exact") == shapes
    examined = command(site, tmp_path, ["fieldcast", "doctor"])
    assert examined.returncode == 0, examined.stdout[-3000:] + examined.stderr[-3000:]
    examined = command(site, tmp_path, ["fieldcast", "doctor"], ",repeat.faint.model.scale=0.7")
    assert "repeat.faint.checkpoint: it was made with model.scale = 0.5" in examined.stdout


def test_what_no_package_advertises_is_out_of_reach(site: Path, tmp_path: Path) -> None:
    """A package on the path that does not advertise its models cannot be named."""
    done = kedro(site, tmp_path, ",repeat.exact.model.type=json:decoder.JSONDecoder")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "the package 'json' has no models for Fieldcast" in done.stderr


def test_two_packages_cannot_bring_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("repeat", f"{package}:REPEAT", "fieldcast.tasks") for package in ("a", "b")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    with pytest.raises(
        InputError, match=r"two installed packages provide 'repeat' .*: a:REPEAT and b:REPEAT"
    ):
        plugins.advertised.__wrapped__("fieldcast.tasks")


@pytest.mark.parametrize("value", ["no_such_package:TASK", "json:no_such_task"])
def test_a_plugin_that_cannot_be_imported_is_reported_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    point = EntryPoint("broken", value, "fieldcast.tasks")
    monkeypatch.setattr(plugins, "advertised", lambda group: {"broken": point})
    with pytest.raises(InputError, match=r"the plug-in 'broken' \(fieldcast.tasks, .*\) cannot be imported"):
        plugins.load("fieldcast.tasks", "broken")


def test_an_unknown_source_is_reported_in_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"ingestion.source = 'stars' is none of planet, file, images"):
        Ingestion(source="stars")
