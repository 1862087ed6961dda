"""A new task is new files and one record: a copy of `reconstruct` under another name has the scores of the original."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
NAMES = "linear", "optimal_interpolation"
CATALOG = """
_infilled: ${in_project:${runtime_params:data_root}}/07_model_output/infill/{experiment}
"infill.{experiment}.draws": &draws
  type: fieldcast.datasets.ResumableDataset
  dataset: {type: fieldcast.datasets.ZarrDataset, filepath: "${_infilled}/draws.zarr", append: case}
  state: ${_infilled}/state.safetensors
"params:infill.{experiment}.previous_draws":
  {type: fieldcast.datasets.PreviousDataset, dataset: *draws, metadata: {optional: true}}
"""


def renamed(file: Path, target: Path) -> None:
    """Copy a file of the task under its new name."""
    draw = "inference.reconstruct import reconstruct"  # which stays
    text = file.read_text().replace(draw, f"{draw} as infill")
    text = re.sub(
        rf"(?<!inference\.)(?<!{draw[:-11]})(?<![a-z])reconstruct(?![a-z]|_summary)", "infill", text
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text.replace("pipelines.reconstruction", "pipelines.infilling"))


@pytest.mark.proof
def test_a_new_task_is_new_files_and_one_record(tmp_path: Path) -> None:
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    source, experiments = tmp_path / "src/fieldcast", tmp_path / "conf/base/parameters/experiments"
    renamed(source / "tasks/reconstruct.py", source / "tasks/infill.py")
    for folder, new in (("tasks/reconstruct", "tasks/infill"), ("reconstruction", "infilling")):
        for file in sorted((source / "pipelines" / folder).glob("*.py")):
            renamed(file, source / "pipelines" / new / file.name)
    for name in NAMES:
        renamed(experiments / f"reconstruct/{name}.yml", experiments / f"infill/{name}.yml")
    (tmp_path / "conf/base/catalog_infill.yml").write_text(CATALOG)
    records = source / "tasks/records.py"
    before, begin, rest = records.read_text().partition("RECONSTRUCT = Task(")
    record, end, after = rest.partition("\n)\n")
    new = record.replace('"reconstruct"', '"infill"').replace("tasks.reconstruct", "tasks.infill")
    new = new.replace('"reconstruction"', '"infilling"')
    after = after.replace("(RECONSTRUCT,", "(RECONSTRUCT, INFILL,")
    records.write_text(f"{before}{begin}{record}{end}\n\nINFILL = Task({new}{end}{after}")

    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "OMP_NUM_THREADS": "1"}
    pipelines = ",".join(f"{task}.{name}" for task in ("infill", "reconstruct") for name in NAMES)
    for command in (pipelines, "reporting"):
        words = "run", "--env", "test", "--pipelines", command, "--params", f"data_root={tmp_path}/data"
        subprocess.run([sys.executable, "-m", "kedro", *words], cwd=tmp_path, env=environment, check=True)
    stored = tmp_path / "data/08_reporting"
    boards = [pd.read_csv(stored / f"leaderboard_{task}.csv") for task in ("infill", "reconstruct")]
    assert set(boards[0]["experiment"]) == {*NAMES}
    pd.testing.assert_frame_equal(*boards)
    assert (stored / "summary_infill.txt").read_text() == (stored / "summary_reconstruct.txt").read_text()
    assert "infill: mean fair CRPS" in (stored / "headlines.txt").read_text()
    assert len(list((stored / "figures/infill").glob("*.png"))) > 3
