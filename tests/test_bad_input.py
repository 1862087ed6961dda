"""Whatever a user gets wrong ends with one sentence that says where and what to do, and harms nothing on disk."""

import builtins
import errno
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kedro.pipeline.node import Node

from fieldcast.datasets import ZarrDataset
from fieldcast.encoding.options import Limits
from fieldcast.errors import InputError
from fieldcast.frame.error_messages import sentence
from fieldcast.inference.external_forecasts import adopt
from fieldcast.inference.options import File, Predict
from fieldcast.pipelines.predict.nodes import predict

ROOT = Path(__file__).parents[1]
TIMES = 60
Spoil = Callable[[xr.Dataset], xr.Dataset]


def weather(times: int = TIMES, longitudes: int = 6) -> xr.Dataset:
    """Two variables of slow noise about a mean: a file as it should be."""
    rng = np.random.default_rng([2, times])
    red = rng.standard_normal((times, 5, longitudes)).astype(np.float32)
    for i in range(1, times):
        red[i] += 0.8 * red[i - 1]
    dims = ("time", "latitude", "longitude")
    return xr.Dataset(
        {"t2m": (dims, 288 + 3 * red, {"units": "K"}), "msl": (dims, 1e5 + 800 * red[::-1], {"units": "Pa"})},
        {
            "time": xr.date_range("2001-01-01", periods=times),
            "latitude": ("latitude", np.linspace(-60, 60, 5), {"units": "degrees_north"}),
            "longitude": ("longitude", np.arange(longitudes) * 360.0 / longitudes, {"units": "degrees_east"}),
        },
    )


def curvilinear(d: xr.Dataset) -> xr.Dataset:
    lat, lon = np.meshgrid(d["latitude"], d["longitude"], indexing="ij")
    d = d.rename_dims(latitude="y", longitude="x").drop_vars(["latitude", "longitude"])
    units = ({"units": "degrees_north"}, {"units": "degrees_east"})
    return d.assign_coords(lat=(("y", "x"), lat, units[0]), lon=(("y", "x"), lon, units[1]))


def set_to(value: float) -> Spoil:
    return lambda d: d.assign(t2m=d["t2m"].where((d["time"] != d["time"][7]) | (d["latitude"] > -60), value))


def repeated(d: xr.Dataset) -> xr.Dataset:
    return xr.concat([d.isel(time=slice(0, 8)), d.isel(time=[7]) + 1, d.isel(time=slice(8, None))], "time")


CONTENTS: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "no time axis": (lambda d: d.isel(time=0, drop=True), ("has no time axis", "days since")),
    "missing dates": (lambda d: d.isel(time=[*range(9), *range(12, 60)]), ("2001-01-09", "gaps")),
    "duplicate times": (repeated, ("2001-01-08",)),
    "scattered NaN": (set_to(np.nan), ("'t2m'", "2001-01-08", "missing", "fill them in")),
    "Inf": (set_to(np.inf), ("'t2m'", "2001-01-08", "infinite", "mask")),
    "a fill value": (set_to(-9999.0), ("'t2m'", "holds -9999", "2001-01-08", "_FillValue")),
    "constant variable": (lambda d: d.assign(msl=d["msl"] * 0 + 1), ("'msl'", "constant")),
    "missing units": (lambda d: d.assign(msl=d["msl"].drop_attrs()), ("'msl'", "units")),
    "curvilinear grid": (curvilinear, ("curvilinear", "interpolate")),
    "fewer than 30 times": (lambda d: d.isel(time=slice(0, 29)), ("29", "30")),
}
FILES: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "missing": (lambda file: file.unlink(), ("does not exist", "check ingestion.path")),
    "truncated": (
        lambda file: file.write_bytes(file.read_bytes()[:-2000]),
        ("damaged or truncated", "again"),
    ),
    "not NetCDF": (lambda file: file.write_text("time,t2m\n2001-01-01,288\n"), ("is not NetCDF", "give")),
    "empty": (lambda file: file.write_bytes(b""), ("is empty (0 bytes)", "again")),
}
PARAMETERS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "misspelt key": ({"sparsification": {"nois": 0.1}}, ("sparsification.nois", "did you mean noise?")),
    "misspelt key of an experiment": (
        {"reconstruct": {"denoising_vae": {"fit": {"step": 3}}}},
        ("reconstruct.denoising_vae.fit.step", "did you mean steps?"),
    ),
    "misspelt key of the planet": (
        {"ingestion": {"planet": {"yaers": 3}}},
        ("ingestion.planet.yaers", "years"),
    ),
    "misspelt name": ({"devise": "cpu"}, ("devise", "did you mean device?")),
    "wrong type": (
        {"reconstruct": {"denoising_vae": {"fit": {"steps": "many"}}}},
        ("reconstruct.denoising_vae.fit.steps = 'many'", "integer"),
    ),
    "k too large": (
        {"sparsification": {"cases": {"random": [10.0]}}},
        ("sparsification", "random", "10", "write 0.1 for 10 %"),
    ),
    "k of no pattern": (
        {"sparsification": {"cases": {"randm": [0.1]}}},
        ("sparsification.cases", "'random'"),
    ),
    "k of training": (
        {"sparsification": {"training": {"k": [0.0, 0.5]}}},
        ("sparsification.training", "0.005"),
    ),
    "test period outside the data": (
        {
            "ingestion": {
                "splits": {
                    "train": ["0001", "0002"],
                    "validation": ["0003", "0003"],
                    "test": ["0030", "0031"],
                }
            }
        },
        ("ingestion.splits.test", "0030"),
    ),
}
FORECAST_PARAMETERS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "misspelt key": ({"rollout": {"strats": 3}}, ("rollout.strats", "did you mean starts?")),
    "misspelt key of the long rollout": (
        {"rollout": {"stability": {"step": 3}}},
        ("rollout.stability.step", "did you mean steps?"),
    ),
    "no start": ({"rollout": {"starts": 0}}, ("rollout.starts = 0", "greater than or equal to 1")),
    "negative error": (
        {"rollout": {"perfect_model": {"initial_error": -0.1}}},
        ("rollout.perfect_model.initial_error = -0.1", "greater than or equal to 0"),
    ),
    "unknown feedback": (
        {"forecast": {"vae_mean": {"options": {"feedback": "median"}}}},
        ("forecast.vae_mean.options.feedback = 'median'", "'members' or 'mean'"),
    ),
    "members of one experiment alone": (
        {"forecast": {"vae": {"options": {"members": 50}}}},
        ("forecast.vae.options.members", "there is no such option"),
    ),
}
MODELS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "misspelt option": (
        {"latnet": 20},
        (".latnet: unknown option of vae.ConditionalVAE", "did you mean 'latent'?"),
    ),
    "misspelt type": ({"type": "vae.VEA"}, (".type", "'vae.VEA'", "module.Class")),
    "misspelt option of a part": (
        {"encoder": {"latnet": 20}},
        (".encoder.latnet", "did you mean 'latent'?"),
    ),
    "a word for a number": ({"kl_weight": "heavy"}, (".kl_weight = 'heavy'", "number")),
    "a word for a whole number": ({"latent": "many"}, (".latent = 'many'", "integer")),
    "a word for true or false": ({"likelihood_noise": "maybe"}, (".likelihood_noise = 'maybe'", "boolean")),
    "no such word": (
        {"encoder": {"beside": ["masks"]}},
        (".encoder.beside", "'masks'", "'mask', 'season' or 'static'"),
    ),
    "a number for a part": ({"decoder": 5}, (".decoder = 5", "{type: module.Class")),
    "a part for a model": (
        {"type": "conditional.PriorEncoder"},
        (".type: conditional.PriorEncoder is not a core.Model",),
    ),
}


@pytest.fixture(scope="module")
def root(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with results, of which nothing may change: all but the bulk of the finished one."""
    folder = tmp_path_factory.mktemp("root") / "data"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("07_model_output", "figures"))
    drawn = "07_model_output/reconstruct/climatology"
    shutil.copytree(finished / drawn, folder / drawn)
    return folder


def state(folder: Path) -> dict[str, str]:
    """Digest of every file under a folder, but for the times that nodes took."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != "durations.csv")
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture
def unharmed(root: Path) -> Iterator[Path]:
    """The data root, found at the end as it was at the beginning."""
    before = state(root)
    assert len(before) > 100
    yield root
    assert state(root) == before


@pytest.fixture
def message(project: Callable[..., Any], unharmed: Path) -> Callable[..., str]:
    """The sentence with which a run in this process ends."""

    def run(*names: str, parameters: dict[str, Any] | None = None, **options: Any) -> str:
        with pytest.raises(Exception) as caught:
            project(*names, data_root=unharmed, parameters=parameters, **options)
        text = sentence(caught.value)
        assert text is not None and "\n" not in text and "Traceback" not in text, repr(caught.value)
        return text

    return run


@pytest.fixture
def kedro() -> Callable[..., subprocess.CompletedProcess[str]]:
    """A real `kedro run --env test`."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kedro", "run", "--env", "test", *words]
        expected = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        return subprocess.run(
            command, cwd=ROOT, env=expected, text=True, capture_output=True, timeout=300, check=False
        )

    return run


def only_a_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 1, and nothing but progress and one sentence with these words."""
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line[:2].isdigit()]  # not the clock's
    assert len(lines) == 1 and lines[0].startswith("fieldcast: "), done.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert done.stdout == ""


def ingest(file: Path) -> dict[str, Any]:
    return {"ingestion": {"source": "file", "path": str(file)}}


# --- the input file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A sound file."""
    path = tmp_path / "weather.nc"
    weather().to_netcdf(path)
    return path


@pytest.mark.parametrize("family", CONTENTS)
def test_content_of_the_input_file(message: Any, tmp_path: Path, family: str) -> None:
    spoil, phrases = CONTENTS[family]
    file = tmp_path / "weather.nc"
    spoil(weather()).to_netcdf(file)
    text = message("ingestion", parameters=ingest(file))
    assert all(word in text for word in (str(file), *phrases)), text


@pytest.mark.parametrize("family", FILES)
def test_the_input_file_itself(message: Any, file: Path, family: str) -> None:
    harm, phrases = FILES[family]
    harm(file)
    text = message("ingestion", parameters=ingest(file))
    assert all(word in text for word in (str(file), *phrases)), text


@pytest.mark.parametrize("family", FILES)
def test_the_file_to_fill_itself(message: Any, file: Path, family: str) -> None:
    harm, phrases = FILES[family]
    harm(file)
    text = message("fill", parameters={"fill": {"observations": str(file)}})
    assert all(
        word.replace("ingestion.path", "fill.observations") in text for word in (str(file), *phrases)
    ), text


def test_fill_values_in_the_file_to_fill(project: Any, finished: Path, tmp_path: Path) -> None:
    """Undeclared fill values are not taken for observations."""
    fields = xr.open_zarr(finished / "03_primary/fields.zarr").isel(time=slice(0, 3)).load()
    fields.where(fields["latitude"] > 0, -9999.0).drop_encoding().to_netcdf(tmp_path / "gappy.nc")
    fill = {"observations": str(tmp_path / "gappy.nc"), "output": str(tmp_path / "filled.nc")}
    before = state(finished)
    with pytest.raises(Exception) as caught:
        project("fill", data_root=finished, parameters={"fill": fill})
    text = sentence(caught.value) or ""
    assert all(word in text for word in ("gappy.nc", "holds -9999", "_FillValue")) and "\n" not in text, text
    assert state(finished) == before and not (tmp_path / "filled.nc").exists()


def test_a_sound_file_is_not_refused(project: Any, file: Path, tmp_path: Path) -> None:
    project("ingestion", data_root=tmp_path / "new", parameters=ingest(file))
    assert (tmp_path / "new/03_primary/fields.zarr/.zmetadata").exists()


def test_an_input_file_in_a_real_process(kedro: Any, unharmed: Path, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2000])
    done = kedro("--params", f"data_root={unharmed},ingestion.source=file,ingestion.path={file}")
    only_a_sentence(done, str(file), "damaged or truncated NetCDF file", "copy or download it again")


# --- images


@pytest.fixture
def idx(tmp_path: Path) -> Path:
    """A sound folder of twelve and four images."""
    for prefix, count in (("train", 12), ("t10k", 4)):
        image = bytes([0, 0, 8, 3, *(b for n in (count, 4, 4) for b in n.to_bytes(4, "big"))])
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(image + bytes(range(count * 16)))
        label = bytes([0, 0, 8, 1, *count.to_bytes(4, "big")])
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(label + bytes(i % 3 for i in range(count)))
    return tmp_path


IDX: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:-1]), ("12 x 4 x 4", "191, not 192")),
    "wrong magic number": (
        lambda file: file.write_bytes(b"\x89PNG" + file.read_bytes()[4:]),
        ("magic number 89504e47", "choose another file"),
    ),
    "missing": (
        lambda file: file.unlink(),
        ("holds no train-images-idx3-ubyte", "give the folder that does"),
    ),
}


@pytest.mark.parametrize("family", IDX)
def test_image_files(message: Any, idx: Path, family: str) -> None:
    spoil, phrases = IDX[family]
    spoil(idx / "train-images-idx3-ubyte")
    text = message("sample.vae", parameters={"ingestion": {"source": "images", "path": str(idx)}})
    assert all(word in text for word in phrases), text


def test_images_in_a_real_process(kedro: Any, unharmed: Path, idx: Path) -> None:
    (idx / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 1]))
    done = kedro("--params", f"data_root={unharmed},ingestion.source=images,ingestion.path={idx}")
    only_a_sentence(done, "holds 12 images", "2 labels", "give files of one set")


# --- the configuration


@pytest.mark.parametrize("family", PARAMETERS)
def test_parameters(message: Any, family: str) -> None:
    parameters, phrases = PARAMETERS[family]
    text = message("reconstruct.denoising_vae", parameters=parameters)
    assert all(word in text for word in phrases), text


@pytest.mark.parametrize("family", FORECAST_PARAMETERS)
def test_parameters_of_forecasts(message: Any, family: str) -> None:
    parameters, phrases = FORECAST_PARAMETERS[family]
    text = message("forecast.vae", "forecast.vae_mean", "forecast.perfect_model", parameters=parameters)
    assert all(word in text for word in phrases), text


def test_codes_that_start_by_class_need_labels(message: Any) -> None:
    parameters = {"sample": {"autodecoder": {"model": {"encoder": {"by_class": True}}}}}
    text = message("training", namespaces=["sample.autodecoder"], parameters=parameters)
    assert "codes that start by class need labels" in text and "set by_class: false" in text


@pytest.mark.parametrize(("key", "value"), [("steps", 0), ("members", 0)])
def test_a_prediction_of_nothing(message: Any, key: str, value: int) -> None:
    text = message("predict", parameters={"predict": {"states": "states.nc", key: value}})
    assert f"predict.{key} = {value} should be greater than or equal to 1" in text


@pytest.mark.parametrize("family", MODELS)
def test_models_before_the_first_node(message: Any, monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    def run(self: Node, *_: Any) -> None:
        raise AssertionError(f"{self.name} has run")

    monkeypatch.setattr(Node, "run", run)
    model, phrases = MODELS[family]
    for pipeline in ("reconstruct.denoising_vae", "__default__")[: 2 if family == "misspelt option" else 1]:
        text = message(pipeline, parameters={"reconstruct": {"denoising_vae": {"model": model}}})
        assert text.startswith("reconstruct.denoising_vae.model."), text
        assert all(word in text for word in phrases), text


def test_an_unknown_experiment(message: Any) -> None:
    assert "'reconstruct.krigging'; did you mean reconstruct.kriging" in message("reconstruct.krigging")
    fill = {"fill": {"observations": "x.nc", "experiment": "reconstruct.krigging"}}
    assert "x.nc" in message("fill", parameters=fill)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("reconstruct: {mine: {modle: {}}}", ("mine.yml", "modle", "did you mean model?")),
        ("reconstruct: {mine: {model: [}}", ("mine.yml",)),
        ("reconstruct: {yours: {model: {}}}", ("mine.yml",)),
        ("reconstruct: {mine: {model: {type: vae.VEA}}}", ("reconstruct.mine.model.type", "vae.VEA")),
        (
            "reconstruct: {mine: {model: vae.ConditionalVAE}}",
            ("reconstruct.mine.model = 'vae.ConditionalVAE'", "{type: module"),
        ),
        ("reconstruct: {mine: {model: {type: stepped.Stepped}}}", ("mine.model.model is not set",)),
        (
            "reconstruct: {mine: {uses: {weights: reconstruct.liner}, model: {type: vae.ConditionalVAE}}}",
            ("liner", "linear"),
        ),
    ],
)
def test_an_experiments_file(message: Any, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / "base/parameters/experiments/reconstruct/mine.yml").write_text(text)
    displayed = message("reconstruct.mine", conf=conf)
    assert all(word in displayed for word in words), displayed


def test_a_configuration_in_a_real_process(kedro: Any, unharmed: Path) -> None:
    address = "reconstruct.denoising_vae"
    done = kedro("--pipelines", address, "--params", f"data_root={unharmed},{address}.fit.learning_rat=0.1")
    only_a_sentence(done, f"{address}.fit.learning_rat", "did you mean learning_rate?")


def test_a_model_in_a_real_process(kedro: Any, tmp_path: Path) -> None:
    address = "reconstruct.denoising_vae"
    given = f"data_root={tmp_path / 'data'},{address}.model.likelihood_noise=maybe"
    done = kedro("--pipelines", address, "--params", given)
    only_a_sentence(done, f"{address}.model.likelihood_noise = 'maybe' should be a valid boolean.")
    assert len(done.stderr.splitlines()) == 1  # no node was told
    assert list(tmp_path.iterdir()) == []


# --- the machine

STAND_IN = """
import builtins, io, os

opened, folder, number = io.open, {folder!r}, {number}

def refuse(file, mode="r", *args, **kwargs):
    if set(mode) & set("wax+") and str(file).startswith(folder):
        raise OSError(number, os.strerror(number), str(file))
    return opened(file, mode, *args, **kwargs)

io.open = builtins.open = refuse
"""
MOUNTS = {
    errno.ENOSPC: "mount -t tmpfs -o size=1m tmpfs {folder} && cp -r {folder}.before/. {folder}",
    errno.EROFS: "cp -r {folder}.before/. {folder} && mount --bind {folder} {folder} && "
    "mount -o remount,ro,bind {folder}",
}


def on_a_bad_disk(
    number: int, folder: Path, words: list[str]
) -> tuple[subprocess.CompletedProcess[str], str]:
    """A real command whose data folder is full or read-only, and the listing of that folder afterwards.

    A mount of a namespace of its own, which ends with it; where that is forbidden, an `open` that says the same.
    """
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = " ".join([sys.executable, "-m", "kedro", "run", "--env", "test", *words])
    listing = f"find {folder} -type f | sort | xargs sha256sum > {folder}.after"
    begin = MOUNTS[number].format(folder=folder)
    shell: list[str] = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*shell, begin], check=False).returncode:
        site = folder.with_suffix(".site")
        site.mkdir()
        (site / "sitecustomize.py").write_text(STAND_IN.format(folder=str(folder), number=number))
        environment["PYTHONPATH"] = str(site)
        shell, begin = ["sh", "-c"], f"cp -r {folder}.before/. {folder}"
    whole = f"{begin} && {{ {command}; code=$?; {listing}; exit $code; }}"
    done = subprocess.run(
        [*shell, whole], cwd=ROOT, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    return done, Path(f"{folder}.after").read_text()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, ("No space left on device", "free some space", "data_root")),
        (errno.EROFS, ("Read-only file system", "check the folder", "data_root")),
    ],
)
def test_a_full_disk_and_a_read_only_folder(tmp_path: Path, number: int, words: tuple[str, ...]) -> None:
    """A real process leaves the folder as it was."""
    folder, before = tmp_path / "data", tmp_path / "data.before"
    (before / "03_primary").mkdir(parents=True)
    (before / "03_primary/splits.json").write_text('{"train": ["older", "data"]}')
    done, after = on_a_bad_disk(
        number, folder, ["--pipelines", "ingestion", "--params", f"data_root={folder}"]
    )
    only_a_sentence(done, str(folder), *words)
    digest = hashlib.sha256((before / "03_primary/splits.json").read_bytes()).hexdigest()
    assert after.split() == [digest, str(folder / "03_primary/splits.json")]


def refuse_to_write(monkeypatch: pytest.MonkeyPatch, folder: Path, number: int) -> None:
    """The operating system refuses every file that is begun to be written in a folder."""
    opened = io.open

    def refuse(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if set(mode) & set("wax+") and str(file).startswith(str(folder)):
            raise OSError(number, os.strerror(number), str(file))
        return opened(file, mode, *args, **kwargs)

    monkeypatch.setattr(io, "open", refuse)
    monkeypatch.setattr(builtins, "open", refuse)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("pipeline", ["training", "reconstruction", "evaluation", "reporting"])
def test_each_stage_on_a_bad_disk(
    message: Any, unharmed: Path, monkeypatch: pytest.MonkeyPatch, pipeline: str, number: int
) -> None:
    refuse_to_write(monkeypatch, unharmed, number)
    selected = {} if pipeline == "reporting" else {"namespaces": ["reconstruct.climatology"]}
    text = message(pipeline, **selected)
    assert str(unharmed) in text and "data_root" in text, text


# --- checkpoints


@pytest.fixture
def models(finished: Path, tmp_path: Path) -> Path:
    """A data root with all that reconstruction needs of one experiment."""
    for part in ("03_primary", "04_feature", "06_models/reconstruct/climatology"):
        shutil.copytree(finished / part, tmp_path / "data" / part)
    return tmp_path / "data"


def change_a_weight(data: bytes) -> bytes:
    return data[:-7] + bytes([data[-7] ^ 1]) + data[-6:]


CHECKPOINTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda data: data[: len(data) // 2], "is damaged or was not written by Fieldcast"),
    "empty": (lambda data: b"", "is damaged or was not written by Fieldcast"),
    "tampered": (change_a_weight, "was changed after it was written"),
    "another file": (lambda data: b"not a checkpoint at all", "is damaged or was not written by Fieldcast"),
}


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_checkpoints(project: Any, models: Path, file: Path, family: str) -> None:
    harm, phrases = CHECKPOINTS[family]
    checkpoint = models / "06_models/reconstruct/climatology/checkpoint.safetensors"
    checkpoint.write_bytes(harm(checkpoint.read_bytes()))
    before = state(models)
    address = "reconstruct.climatology"
    fill = {"fill": {"observations": str(file), "experiment": address}}
    for pipeline, options in (("fill", {"parameters": fill}), ("reconstruction", {"namespaces": [address]})):
        with pytest.raises(Exception) as caught:
            project(pipeline, data_root=models, **options)
        text = sentence(caught.value) or ""
        assert phrases in text and "train the experiment again" in text and "\n" not in text, text
    assert state(models) == before


@pytest.mark.parametrize(("longitudes", "words"), [(6, "train the experiment again"), (16, "t2m, msl")])
def test_a_checkpoint_of_other_data(
    project: Any, finished: Path, tmp_path: Path, longitudes: int, words: str
) -> None:
    """Trained on the planet, while the data root now holds another file."""
    path, data_root = tmp_path / "other.nc", tmp_path / "data"
    weather(120, longitudes).to_netcdf(path)
    project("ingestion", "sparsification", data_root=data_root, parameters=ingest(path))
    shutil.copytree(
        finished / "06_models/reconstruct/climatology", data_root / "06_models/reconstruct/climatology"
    )
    before = state(data_root)
    with pytest.raises(Exception) as caught:
        project("reconstruction", data_root=data_root, namespaces=["reconstruct.climatology"])
    text = sentence(caught.value) or ""
    assert words in text and "the checkpoint of z500" in text and "\n" not in text, text
    assert state(data_root) == before


def test_a_checkpoint_of_another_grid(project: Any, finished: Path, tmp_path: Path) -> None:
    data_root = tmp_path / "data"
    planet = {"ingestion": {"planet": {"n_longitude": 12, "years": 1}}}
    project("ingestion", "sparsification", data_root=data_root, parameters=planet)
    shutil.copytree(
        finished / "06_models/reconstruct/climatology", data_root / "06_models/reconstruct/climatology"
    )
    with pytest.raises(Exception) as caught:
        project("reconstruction", data_root=data_root, namespaces=["reconstruct.climatology"])
    assert "the longitudes differ: the data set has 12 from 0 to 330" in (sentence(caught.value) or "")


def test_a_checkpoint_of_another_model_or_of_other_splits(project: Any, models: Path) -> None:
    """Drawing refuses old weights under a new name, and a model that was trained on test days."""
    other = {"reconstruct": {"climatology": {"model": {"type": "interpolation.Nearest"}}}}
    splits = json.loads((models / "03_primary/splits.json").read_text())
    moved = {**splits, "test": [splits["train"][1], splits["test"][1]]}
    (models / "03_primary/splits.json").write_text(json.dumps(moved))
    expected = f"splits.test {splits['test']}, this run has {moved['test']}"
    kind = "model.type climatology.Climatology, this run has interpolation.Nearest"
    before = state(models)
    for parameters, phrases in ((other, kind), ({}, expected)):
        with pytest.raises(Exception) as caught:
            project(
                "reconstruction",
                data_root=models,
                namespaces=["reconstruct.climatology"],
                parameters=parameters,
            )
        text = sentence(caught.value) or ""
        assert (
            f"the checkpoint of 'reconstruct.climatology' was trained with {phrases}: train it again" in text
        )
        assert "`kedro run --pipelines training --namespaces reconstruct.climatology`" in text
    assert state(models) == before


def test_a_checkpoint_in_a_real_process(kedro: Any, models: Path) -> None:
    checkpoint = models / "06_models/reconstruct/climatology/checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    before = state(models)
    phrases = ["--pipelines", "reconstruction", "--namespaces", "reconstruct.climatology"]
    done = kedro(*phrases, "--params", f"data_root={models}")
    only_a_sentence(done, "checkpoint", "is damaged", "train the experiment again")
    assert state(models) == before


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"evaluation": {"members": 2}}, "members 3, this run has 2"),
        ({"seed": 1}, "seed 0, this run has 1"),
    ],
)
def test_draws_are_not_scored_as_what_they_are_not(
    message: Any, parameters: dict[str, Any], words: str
) -> None:
    text = message("evaluation", namespaces=["reconstruct.climatology"], parameters=parameters)
    assert f"the reconstructions were drawn with {words}: draw them again" in text


@pytest.mark.parametrize("stage", ["reconstruction", "evaluation"])
@pytest.mark.parametrize("options", [{"times": 2}, {"masks": 1}])
def test_observations_of_other_options_are_refused(message: Any, stage: str, options: dict[str, int]) -> None:
    parameters = {"sparsification": options}
    text = message(stage, namespaces=["reconstruct.climatology"], parameters=parameters)
    ((name, value),) = options.items()
    assert f"the stored observations were made with sparsification.{name} " in text
    assert f"this run has {value}: recreate them with `kedro run --pipelines sparsification`" in text


def test_draws_of_another_checkpoint_or_of_other_observations_are_refused(
    project: Any, finished: Path, models: Path
) -> None:
    address, drawn = "reconstruct.climatology", "07_model_output/reconstruct/climatology"
    shutil.copytree(finished / drawn, models / drawn)
    project("evaluation", data_root=models, namespaces=[address])
    store = next((models / drawn).glob("*.zarr"))
    for name in ("model", "observations"):
        with ZarrDataset(filepath=str(store)).load() as stored:
            changed = stored.load().assign_attrs({name: "0" * 12})
        ZarrDataset(filepath=str(store)).save(changed)
        with pytest.raises(InputError, match=f"were drawn with {name} 000000000000, this run has"):
            project("evaluation", data_root=models, namespaces=[address])
        shutil.rmtree(store)
        shutil.copytree(finished / drawn / store.name, store)


# --- a user's last states


@pytest.fixture(scope="module")
def forecasts(forecasted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with all that `predict`, and forecasts made elsewhere, need."""
    folder = tmp_path_factory.mktemp("forecasts") / "data"
    models = (f"06_models/forecast/{name}" for name in ("corrected_inverse_model", "linear_inverse_model"))
    for part in ("03_primary", "04_feature", *models):
        shutil.copytree(forecasted / part, folder / part)
    return folder


@pytest.fixture
def whole(forecasts: Path) -> Iterator[Path]:
    """Data root that must be unchanged at the end."""
    before = state(forecasts)
    yield forecasts
    assert state(forecasts) == before


@pytest.fixture(scope="module")
def days(forecasts: Path) -> xr.Dataset:
    """The last three states of the planet, as a file of a user's own."""
    fields = xr.open_zarr(forecasts / "03_primary/fields.zarr").isel(time=slice(-3, None)).load()
    return fields[["z500", "t650", "u200", "ws800"]].drop_vars("segment", errors="ignore")


def with_a_hole(d: xr.Dataset) -> xr.Dataset:
    return d.assign(t650=d["t650"].where(d["latitude"] < 60))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_rollout_on_a_bad_disk(
    project: Any, whole: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_to_write(monkeypatch, whole, number)
    with pytest.raises(Exception) as caught:
        project("rollout", data_root=whole, namespaces=["forecast.corrected_inverse_model"])
    text = sentence(caught.value) or ""
    assert str(whole) in text and "data_root" in text and "\n" not in text, text


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_a_forecast_from_a_damaged_checkpoint(refused: Any, days: xr.Dataset, family: str) -> None:
    harm, phrases = CHECKPOINTS[family]
    days.to_netcdf("states.nc")
    text = refused(harm)
    assert phrases in text and "train the experiment again" in text, text


STATES: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "too few": (lambda d: d.isel(time=[-1]), ("has 1 states", "the last 2", "give it more")),
    "another time step": (lambda d: d.isel(time=[0, 2]), ("48 hours apart", "24 hours", "at that step")),
    "another grid": (lambda d: d.isel(longitude=slice(9)), ("longitudes differ", "9 from 0", "interpolate")),
    "other variables": (lambda d: d.drop_vars("u200"), ("'u200'", "it has z500, t650, ws800")),
    "missing values": (with_a_hole, ("'t650'", "missing values on", "fill them first")),
}
ASKED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no states": ({"states": None}, ("predict.states is not set", "--params predict.states=FILE")),
    "the result in its place": ({"output": "states.nc"}, ("predict.output is predict.states itself", "another file")),
    "no such experiment": ({"experiment": "forecast.crps"}, ("no experiment 'forecast.crps'", "<task>.<name>")),
    "not trained": ({"experiment": "forecast.vae"}, ("not been trained", "`kedro run --pipelines forecast.vae`")),
}  # fmt: skip


@pytest.fixture
def refused(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The sentence with which the node of `predict` ends; its file is states.nc, here."""
    monkeypatch.chdir(tmp_path)

    def run(harm: Callable[[bytes], bytes] = bytes, **asked: Any) -> str:
        checkpoint = whole / "06_models/forecast/corrected_inverse_model/checkpoint.safetensors"
        parameters = {"forecast": {"corrected_inverse_model": {"model": {}}, "vae": {"model": {}}}}
        stored = {"forecast/corrected_inverse_model": lambda: harm(checkpoint.read_bytes())}
        given = (parameters, stored, 0, Limits(), "cpu")
        with pytest.raises(InputError) as caught:
            predict(Predict(**{"states": "states.nc", **asked}), *given)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return run


@pytest.mark.parametrize("family", STATES)
def test_states_that_do_not_fit(refused: Any, days: xr.Dataset, family: str) -> None:
    spoil, phrases = STATES[family]
    spoil(days).to_netcdf("states.nc")
    text = refused()
    assert all(word in text for word in ("'states.nc'", *phrases)), text


@pytest.mark.parametrize("family", FILES)
def test_the_file_of_states_itself(refused: Any, days: xr.Dataset, family: str) -> None:
    harm, phrases = FILES[family]
    days.to_netcdf("states.nc")
    harm(Path("states.nc"))
    text = refused()
    assert all(word.replace("ingestion.path", "predict.states") in text for word in phrases), text


@pytest.mark.parametrize("family", ASKED)
def test_unusable_options_of_predict_are_reported_in_one_sentence(
    refused: Any, days: xr.Dataset, family: str
) -> None:
    requested, phrases = ASKED[family]
    days.to_netcdf("states.nc")
    text = refused(**requested)
    assert all(word in text for word in phrases), text


def test_sound_states_are_forecast(project: Any, whole: Path, days: xr.Dataset, tmp_path: Path) -> None:
    days.to_netcdf(tmp_path / "states.nc")
    given = {"states": str(tmp_path / "states.nc"), "output": str(tmp_path / "forecast.nc"), "steps": 2}
    project("predict", data_root=whole, parameters={"predict": given})
    result = xr.open_dataset(given["output"], decode_timedelta=False)
    assert result["z500"].dims == ("lead", "member", "latitude", "longitude") and result.sizes["lead"] == 2
    assert result["forecast_reference_time"].values == days["time"].values[-1]
    assert np.isfinite(result["z500"]).all() and result.attrs["Conventions"].startswith("CF-1.")


def test_states_in_a_real_process(kedro: Any, whole: Path, days: xr.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "states.nc"
    days.isel(time=[-1]).to_netcdf(path)
    parameters = f"data_root={whole},predict.states={path},predict.output={tmp_path / 'forecast.nc'}"
    done = kedro("--pipelines", "predict", "--params", parameters)
    only_a_sentence(done, "has 1 states", "the last 2")
    assert sorted(tmp_path.iterdir()) == [path]


# --- a user's own forecasts


@pytest.fixture(scope="module")
def theirs(forecasts: Path) -> xr.Dataset:
    """Sound forecasts: the perfect model's."""
    result = xr.open_zarr(forecasts / "04_feature/perfect_model.zarr", decode_timedelta=False).load()
    return result.drop_encoding()


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


OWN: dict[str, tuple[Spoil, Callable[[Path], Any] | None, tuple[str, ...]]] = {
    "missing": (lambda d: d, Path.unlink, ("does not exist", "check model.path of the experiment")),
    "truncated": (lambda d: d, half, ("mine.nc", "damaged or truncated", "again")),
    "another grid": (
        lambda d: d.isel(latitude=slice(1, None)),
        None,
        ("latitudes of", "are 7 from", "those of the fields 8 from", "interpolate"),
    ),
    "without a start": (
        lambda d: d.isel(start=slice(1, None)),
        None,
        ("has no forecast from 0004-", "1 of the 4 scored starts", "`starts` lists them all"),
    ),
    "without a lead": (lambda d: d.isel(lead=[0, 2, 3]), None, ("has no lead of 48 hours", "rollout.steps")),
}


@pytest.fixture
def adopted(forecasts: Path, tmp_path: Path) -> Callable[[Path], Path]:
    """Take over the forecasts of a file; the store that they are written to, lead by lead."""
    fields = xr.open_zarr(forecasts / "03_primary/fields.zarr")
    starts = json.loads((forecasts / "04_feature/starts.json").read_text())

    def run(path: Path) -> Path:
        place = tmp_path / "forecasts.zarr"
        store = ZarrDataset(filepath=str(place), append="lead")
        for piece in adopt(File("File", path=str(path)), xr.Dataset(), starts, fields):
            store.save(piece)
        return place

    return run


@pytest.mark.parametrize("family", OWN)
def test_unusable_external_forecasts_are_refused(
    adopted: Any, theirs: xr.Dataset, tmp_path: Path, family: str
) -> None:
    spoil, harm, phrases = OWN[family]
    path = tmp_path / "mine.nc"
    spoil(theirs).to_netcdf(path)
    if harm:
        harm(path)
    with pytest.raises(InputError) as caught:
        adopted(path)
    assert all(word in str(caught.value) for word in (str(path), *phrases)), str(caught.value)


def test_forecasts_that_end_early_leave_earlier_ones(
    adopted: Any, theirs: xr.Dataset, tmp_path: Path
) -> None:
    """A damaged last lead is found when the others have been read."""
    path = tmp_path / "mine.zarr"
    theirs.chunk(lead=1).to_zarr(path, zarr_format=2)
    before = state(adopted(path))
    (path / "z500/3.0.0.0.0").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"mine\.zarr' cannot be read to its end"):
        adopted(path)
    assert len(before) > 10 and state(tmp_path / "forecasts.zarr") == before


def test_external_forecasts_in_a_real_process(
    kedro: Any, whole: Path, theirs: xr.Dataset, tmp_path: Path
) -> None:
    conf, path = tmp_path / "conf", tmp_path / "mine.nc"
    shutil.copytree(ROOT / "conf", conf)
    text = f"forecast: {{mine: {{model: {{type: File, path: {path}}}}}}}"
    (conf / "base/parameters/experiments/forecast/mine.yml").write_text(text)
    theirs.isel(start=slice(1, None)).to_netcdf(path)
    phrases = ["--conf-source", str(conf), "--pipelines", "rollout", "--namespaces", "forecast.mine"]
    done = kedro(*phrases, "--params", f"data_root={whole}")
    only_a_sentence(done, str(path), "1 of the 4 scored starts", "`starts` lists them all")


# --- the tracking server


def test_a_server_that_is_down_is_reported_and_the_run_continues(
    kedro: Any, file: Path, tmp_path: Path
) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / "test/tracking.yml").write_text("tracking: true\n")
    with socket.socket() as item:
        item.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{item.getsockname()[1]}"  # bound, and nobody listens
        parameters = f"data_root={tmp_path / 'data'},ingestion.source=file,ingestion.path={file}"
        phrases = ["--conf-source", str(conf), "--pipelines", "ingestion", "--params", parameters]
        done = kedro(*phrases, MLFLOW_TRACKING_URI=server)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count(f"tracking at {server} failed, the run continues without it") == 1, done.stderr
    assert (tmp_path / "data/03_primary/splits.json").exists()
