"""Images of README and docs, from a finished run: `python -m studies.make_images [--data FOLDER] [--only SCREEN ...]`.

Stores and draws a field that was filled and one that was forecast, and takes screenshots of the report, kedro-viz and
MLflow with a headless Chromium. Both servers listen on localhost only, and end with this program.
"""

from __future__ import annotations

import argparse
import base64
import io
import itertools
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image
from websockets.sync.client import connect  # comes with kedro-viz's server

from fieldcast.atomic import atomic
from studies.stored_pictures import write_picture

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
IMAGES = ROOT / "docs" / "images"
PICTURE = IMAGES / "filled_and_forecast.png"
FIELDS = IMAGES / "numbers" / "filled_and_forecast.nc"  # from which it is drawn
VARIABLE, DAYS = "z500", 3  # variable of the picture of fields, and lead of its forecast
FILLED_BY, FORECAST_BY = "corrected_interpolation", "corrected_inverse_model"
SCREENS = ("report", "graph", "history")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAX_BYTES = 400_000  # size of an image, at most [bytes]
TIMEOUT = 120.0  # time for a server to start, or a page to load [s]
LOG = logging.getLogger("make_images")

# local storage of kedro-viz: no tour, a light background
VIZ = {"KedroViz": {"showFeatureHints": False, "theme": "light"}}
# local storage of MLflow: charts of losses and scores, no assistant
CHARTS = {
    "runsHiddenMode": "CUSTOM", "lifecycleFilter": "Active", "startTime": "ALL", "modelVersionFilter": "All Runs",
    "orderByKey": "attributes.start_time", "orderByAsc": False, "searchFilter": "", "groupBy": None,
    "hideEmptyCharts": True, "chartsSearchFilter": "^loss|^validation|^headline$|^(crps|rmse|ssr)(/.*)?$",
    "selectedColumns": [], "datasetsFilter": [], "columnOrder": [], "columnWidths": {}, "runsPinned": [],
    "runsHidden": [], "groupsExpanded": {},
}  # fmt: skip
NO_ASSISTANT = {"mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True, "mlflow.assistant.panelOpen_v1": False}


class Browser:
    """Headless Chromium with one page, controlled through its DevTools protocol."""

    def __init__(self, program: str, profile: Path) -> None:
        options = ["--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        place = [f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
        self.process = start([program, *options, *sandbox, *place])
        port_file = profile / "DevToolsActivePort"
        wait(lambda: port_file.exists() and len(port_file.read_text().split()) == 2, program)
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=TIMEOUT) as answer:
            (page,) = (target for target in json.load(answer) if target["type"] == "page")
        self._wire = connect(page["webSocketDebuggerUrl"], max_size=None, proxy=None, legacy=True)
        self._number = itertools.count()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Result of a DevTools command."""
        number = next(self._number)
        self._wire.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._wire.recv(timeout=TIMEOUT))
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def value(self, script: str) -> Any:
        """Value of a JavaScript expression on the page."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        return result["result"].get("value")

    def visit(
        self, url: str, size: tuple[int, int], until: str, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Open a page in a window of `size` with `memory` as local storage, and wait until an expression is true."""
        width, height = size
        self.call("Page.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        script = "".join(
            f"localStorage.setItem({json.dumps(key)}, {json.dumps(json.dumps(value))});"
            for key, value in (memory or {}).items()
        )
        identifier = (
            self.call("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
            if script
            else None
        )
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        wait(lambda: self.value(f"document.readyState === 'complete' && !!({until})"), url)
        if identifier:
            self.call("Page.removeScriptToEvaluateOnNewDocument", identifier=identifier)
        time.sleep(2)  # until animations have ended

    def photograph(self, name: str, scale: float = 1.0) -> None:
        """Save a screenshot of the window."""
        box = self.value("({x: scrollX, y: scrollY, width: innerWidth, height: innerHeight})")
        clip = {**box, "scale": scale}
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png", clip=clip)["data"])
        with Image.open(io.BytesIO(data)) as picture:
            save(picture, name)


def save(picture: Image.Image, name: str) -> None:
    """Save an image with the largest palette for which the file is small enough."""
    IMAGES.mkdir(exist_ok=True)
    for colours in (256, 128, 64, 32):
        reduced = picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
        reduced.save(IMAGES / name, optimize=True)
        if (IMAGES / name).stat().st_size < MAX_BYTES:
            break
    note(IMAGES / name)


def note(file: Path) -> None:
    """Log the size of an image."""
    with Image.open(file) as picture:
        LOG.info("%s: %d x %d pixels, %d kB", file.name, *picture.size, file.stat().st_size // 1000)


def start(command: Sequence[str], **environment: str) -> subprocess.Popen[bytes]:
    """Start a quiet process at the head of a new process group."""
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)


def wait(ready: Callable[[], Any], what: str) -> None:
    """Wait until a condition holds."""
    last = time.monotonic() + TIMEOUT
    while not ready():
        if time.monotonic() > last:
            raise TimeoutError(f"{what} was not ready within {TIMEOUT:.0f} seconds")
        time.sleep(0.3)


def answers(url: str) -> bool:
    """Whether a server answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:  # refused, or too slow
        return False


def fetch(url: str, body: Mapping[str, Any] | None = None) -> Any:
    """Answer of a server, as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return json.load(answer)


@contextmanager
def server(*command: str, **environment: str) -> Iterator[str]:
    """Run a server for the duration of the context, with its address; `{port}` in the command is a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    process = start([word.format(port=port) for word in command], **environment)
    try:
        wait(lambda: process.poll() is not None or answers(address), command[0])
        if process.returncode is not None:
            raise RuntimeError(f"`{' '.join(command)}` ended at once")
        yield address
    finally:
        end(process)


def stored_fields(data: Path) -> xr.Dataset:
    """The numbers of the picture of a filled and a forecast field: given, mean, truth and spread of both."""
    reconstructions, forecasts = (
        xr.open_zarr(data / "07_model_output" / task / name / "draws.zarr")[VARIABLE]
        for task, name in (("reconstruct", FILLED_BY), ("forecast", FORECAST_BY))
    )
    fields = xr.open_zarr(data / "03_primary" / "fields.zarr")[VARIABLE]
    case = int(np.flatnonzero(np.isclose(reconstructions["k"], 0.1))[0])
    filled = reconstructions.isel(case=case, time=0)
    given = xr.open_zarr(data / "04_feature" / "observations.zarr")[VARIABLE].isel(case=case, time=0)
    start, valid = (forecasts["start"].values[0] + np.timedelta64(days, "D") for days in (0, DAYS))
    rows = {
        "filled": (given, filled, fields.sel(time=filled["time"])),
        "forecast": (fields.sel(time=start), forecasts.isel(start=0, lead=DAYS - 1), fields.sel(time=valid)),
    }
    grid = ("latitude", "longitude")
    maps = {
        f"{name}_{kind}": values.transpose(*grid).reset_coords(drop=True).astype(np.float32).load()
        for name, (begin, draws, truth) in rows.items()
        for kind, values in (
            ("given", begin),
            ("mean", draws.mean("member")),
            ("truth", truth),
            ("spread", draws.std("member", ddof=1)),
        )
    }
    attributes = {
        "units": fields.attrs["units"],
        "limits": [float(fields.quantile(q)) for q in (0.001, 0.999)],
        "filled_members": filled.sizes["member"],
        "forecast_members": forecasts.sizes["member"],
    }
    return xr.Dataset(maps, attrs=attributes)


def draw_fields(stored: xr.Dataset) -> Figure:
    """Draw a field that was filled and a forecast of the same variable: what was given, mean, truth and spread."""
    low, high = stored.attrs["limits"]
    titles = {
        "filled": ("a tenth of the cells", "filled"),
        "forecast": ("the latest state", f"{DAYS} days ahead"),
    }
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    axes = figure.subplots(2, 4, sharex=True, sharey=True)
    for line, (row, (given, title)) in zip(axes, titles.items(), strict=True):
        mean = f"{title}: mean of {stored.attrs[f'{row}_members']} members"
        for axis, kind, heading in zip(
            line, ("given", "mean", "truth"), (given, mean, "truth"), strict=False
        ):
            field = stored[f"{row}_{kind}"]
            drawn = axis.pcolormesh(
                field["longitude"], field["latitude"], field, vmin=low, vmax=high, cmap="viridis"
            )
            axis.set_title(heading, fontsize=9)
        figure.colorbar(drawn, ax=line[:3], label=f"{VARIABLE} [{stored.attrs['units']}]", pad=0.01)
        spread = stored[f"{row}_spread"]
        drawn = line[3].pcolormesh(spread["longitude"], spread["latitude"], spread, cmap="magma_r", vmin=0)
        line[3].set_title("spread of the members", fontsize=9)
        figure.colorbar(drawn, ax=line[3], label=stored.attrs["units"], pad=0.02)
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[], facecolor="0.92")
    return figure


def show_report(browser: Browser, report: Path) -> None:
    """Take a screenshot of the first screen of the report."""
    browser.visit(report.as_uri(), (1366, 900), "document.body")
    browser.value("document.querySelector('[id*=at-a-glance]').scrollIntoView()")
    time.sleep(1)
    browser.photograph("report.png")


FOCUS = "reconstruct.denoising_vae"


def show_graph(browser: Browser, data: Path, env: str) -> None:
    """Take screenshots of the demo's pipeline in kedro-viz, and of one of its experiments alone."""
    command = (BIN / "kedro", "viz", "run", "--no-browser", "--port", "{port}", "--env", env)
    with server(*map(str, command), f"--params=data_root={data.resolve()}") as address:
        browser.visit(f"{address}/?pid=demo", (1440, 900), "document.querySelector('.pipeline-node')", VIZ)
        dismiss = (
            "[...document.querySelectorAll('button')].find(each => each.textContent === 'Dismiss')?.click()"
        )
        browser.value(dismiss)
        browser.photograph("graph.png")
        open_box(browser, FOCUS.partition(".")[0])
        browser.value(f"document.getElementById('{FOCUS}-focus').click()")
        time.sleep(3)
        open_box(browser, FOCUS)
        browser.photograph("graph_experiment.png")


def open_box(browser: Browser, name: str) -> None:
    """Click a box of the graph."""
    browser.value(
        f"[...document.querySelectorAll('.pipeline-node')].filter(node => node.textContent.trim() === '{name}')"
        ".forEach(node => node.dispatchEvent(new MouseEvent('click', {bubbles: true})))"
    )
    time.sleep(3)


def show_history(browser: Browser) -> None:
    """Take a screenshot of the comparison of the newest run's experiments in MLflow."""
    store = f"sqlite:///{ROOT / 'mlflow.db'}"
    command = (BIN / "mlflow", "ui", "--backend-store-uri", store, "--workers", "1", "--port", "{port}")
    with server(*map(str, command), MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false") as address:
        folder = fetch(f"{address}/api/2.0/mlflow/experiments/get-by-name?experiment_name=fieldcast")
        number = folder["experiment"]["experiment_id"]
        query = {"experiment_ids": [number], "order_by": ["attributes.start_time DESC"]}
        runs = fetch(f"{address}/api/2.0/mlflow/runs/search", query)["runs"]
        parent = next(run["info"]["run_id"] for run in runs if not nested(run))
        charts = {**CHARTS, "runsExpanded": {parent: True}, "runsVisibilityMap": {parent: False}}
        memory = {
            f'MLflowLocalStorage-1.1-ExperimentPage-["{number}"]-ReactComponentState': charts,
            **NO_ASSISTANT,
        }
        page = f"{address}/#/experiments/{number}/runs?workflowType=machine_learning&compareRunsMode=CHART"
        browser.visit(page, (1600, 1000), "document.body.innerText.includes('(reconstruct)')", memory)
        tools = ".modebar {display: none !important}"
        browser.value(f"document.head.appendChild(document.createElement('style')).textContent = '{tools}'")
        browser.value(
            "document.elementFromPoint(innerWidth - 38, innerHeight - 35)?.closest('button')?.remove()"
        )
        time.sleep(4)
        browser.photograph("history.png")


def nested(run: Mapping[str, Any]) -> bool:
    """Whether an MLflow run is a child of another."""
    return any(tag["key"] == "mlflow.parentRunId" for tag in run["data"]["tags"])


def main() -> None:
    """Make all images."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="the run's data_root")
    parser.add_argument("--env", default="demo", help="the run's environment")
    parser.add_argument("--only", nargs="+", choices=SCREENS, default=SCREENS, help="which screenshots")
    arguments = parser.parse_args()
    reporting = arguments.data.resolve() / "08_reporting"
    if not (reporting / "report.html").exists():
        sys.exit(
            f"There is no report in {reporting}: run `make run` first, or name the run's folder with --data."
        )
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        sys.exit(f"The images require one of {', '.join(PROGRAMS)}; none is installed.")
    with atomic(FIELDS) as partial:
        stored_fields(arguments.data.resolve()).to_netcdf(partial)
    note(write_picture(PICTURE, draw_fields(xr.load_dataset(FIELDS)), FIELDS))
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(program, Path(profile))
        try:
            if "report" in arguments.only:
                show_report(browser, reporting / "report.html")
            if "graph" in arguments.only:
                show_graph(browser, arguments.data, arguments.env)
            if "history" in arguments.only:
                show_history(browser)
        finally:
            end(browser.process)


if __name__ == "__main__":
    main()
