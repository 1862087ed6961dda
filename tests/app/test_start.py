"""Start of the commands that run nothing: lists, help and refusals import no library that takes seconds."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.proof

ROOT = Path(__file__).parents[2]
COMMANDS = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from kedro.framework.cli.cli import main as kedro
from fieldcast.__main__ import main as fieldcast

printed = []
for line in sys.argv[1:]:
    sys.argv = line.split()
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            {"kedro": kedro, "fieldcast": fieldcast}[sys.argv[0]]()
        except SystemExit:
            pass
        except Exception as error:
            sys.excepthook(type(error), error, error.__traceback__)
    slow = sorted({"mlflow", "torch", "zarr"} & set(sys.modules))
    printed.append((out.getvalue() + err.getvalue(), slow))
print(json.dumps(printed))
"""
HERE = "--env test --params data_root={tmp}"
EXPECTED = {
    "kedro registry list": "reconstruct.linear",
    "kedro run --help": "--only-missing-outputs",
    "fieldcast --help": "fill-gaps",
    "kedro run --runer ThreadRunner": "No such option",
    "kedro run --async": "--async is not supported",
    "kedro run --env nothing": "there is no environment 'nothing'",
    "kedro run --env ..": "there is no environment '..'; there are base,",
    "kedro run --env ../..": "there is no environment '../..'; there are base,",
    "kedro run --params ingestion.variables=slp": 'should be a valid list, as in "ingestion.variables=[slp]"',
    "kedro run --params ingestion.variables=[]": "ingestion.variables = [] should have at least 1 item",
    f"kedro run {HERE},devise=cpu": "--params devise: there is no such parameter; did you mean device?",
    f"kedro run {HERE},limits.steps=many --pipelines reconstruct.linear": "limits.steps = 'many' should be",
    f"kedro run {HERE} --pipelines reconstruct.nothing": "Failed to find the pipeline named 'reconstruct.nothing'",
    f"kedro run {HERE} --pipelines sample.vae_grey": "sample.vae_grey needs images, but ingestion.source = 'planet' "
    "provides fields: choose an environment with images, such as --env digits",
    f"kedro run {HERE} --pipelines report_001": "report_001 needs images, but ingestion.source = 'planet' provides",
    f"kedro run {HERE} --pipelines training --namespaces sample.vae_grey": "not contain nodes with the following names",
    f"kedro run {HERE} --pipelines training": "does not exist yet: run `kedro run --pipelines ingestion "
    "--env test --params data_root={tmp}` first",
    f"kedro run {HERE},ingestion.source=file,ingestion.path=no.nc --pipelines ingestion": "(ingestion.path)",
    f"fieldcast fill {{tmp}}/no.nc {HERE}": "does not exist: check its name (fill.observations)",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, list[str]]]:
    """Output of each command, and the slow libraries that were imported by then, in one fresh process."""
    tmp = tmp_path_factory.mktemp("start")
    run = subprocess.run(
        [sys.executable, "-c", COMMANDS, *(command.format(tmp=tmp) for command in EXPECTED)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    printed: list[tuple[str, list[str]]] = json.loads(run.stdout.splitlines()[-1])
    return printed


@pytest.mark.parametrize(("place", "command"), list(enumerate(EXPECTED)), ids=list(EXPECTED))
def test_a_command_that_runs_nothing_imports_no_slow_library(
    answers: list[tuple[str, list[str]]], place: int, command: str
) -> None:
    text, slow = answers[place]
    assert re.search(re.escape(EXPECTED[command]).replace(r"\{tmp\}", r"\S+"), text), text
    assert slow == []
