"""A run submits to its record, for each data set that a node saves, the right entries and no others."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from kedro.pipeline import Pipeline, node

from fieldcast.frame.relay import message_of
from fieldcast.frame.tracking.tracked_run import PARENT, TrackedRun
from fieldcast.lineage import FINISHED_BEFORE

KINDS = {
    "fields": "data",
    "sample.a.checkpoint": "model",
    "sample.a.history": "history",
    "sample.a.loss_curve": "figure",
    "sample.a.scores": "metrics",
    "leaderboard": "artifact",
    "film": "artifact",
}
SHAPED = xr.Dataset(
    {"t": (("time", "latitude", "longitude"), np.zeros((5, 2, 3)))},
    attrs={"digest": "0123", "source": "a toy"},
)

TRAINING, EVALUATION = "sample.a.training", "sample.a.evaluation"
OUTPUTS = ["sample.a.checkpoint", "sample.a.history"]
FIT = node(lambda fields: (fields, fields), "fields", OUTPUTS, name=f"{TRAINING}.fit", namespace=TRAINING)
PLOT = node(abs, "sample.a.history", "sample.a.loss_curve", name=f"{TRAINING}.plot", namespace=TRAINING)
SCORE = node(abs, "fields", "sample.a.scores", name=f"{EVALUATION}.score", namespace=EVALUATION)
RANK = node(lambda: (0, 0), None, ["leaderboard", "film"], name="reporting.rank", tags="reporting")


@pytest.fixture
def tracked() -> Any:
    """Begin a run of nodes, whose writer keeps what it is given: the run, and a function that lists one action's."""

    def begin(*nodes: Any) -> tuple[TrackedRun, Any]:
        entries = {
            name: SimpleNamespace(metadata={"mlflow": kind}, _filepath=Path(name))
            for name, kind in KINDS.items()
        }
        catalog = SimpleNamespace(get=entries.get)
        writer = MagicMock()
        run = TrackedRun(writer, Pipeline(nodes), catalog, {})  # type: ignore[arg-type]

        def submitted(action: str) -> list[tuple[Any, ...]]:
            calls = [call.args for call in writer.submit.call_args_list]
            return [arguments[1:] for arguments in calls if arguments[0] is getattr(writer, action)]

        return run, submitted

    return begin


def history(finished_before: bool, column: str = "loss") -> pd.DataFrame:
    table = pd.DataFrame({"step": [1], column: [0.5]})
    table.attrs[FINISHED_BEFORE] = finished_before
    return table


@pytest.mark.parametrize(("finished_before", "tag"), [(False, "true"), (True, "false")])
def test_a_run_that_only_loads_a_finished_model_has_not_trained_it(
    tracked: Any, finished_before: bool, tag: str
) -> None:
    run, submitted = tracked(FIT)
    run.begin_node(FIT)
    assert submitted("begin")[0][3]["trained"] == "false"
    for _ in range(2 - finished_before):  # a training saves several times
        run.saved("sample.a.checkpoint", (None, b"state"))
        run.saved("sample.a.history", history(finished_before))
    tags = [tags["trained"] for name, tags in submitted("tag") if name == "sample.a"]
    assert tags[-1] == tag and len(tags) <= 2


@pytest.mark.parametrize(("column", "files"), [("loss", 1), ("validation", 0)])
@pytest.mark.parametrize("trains", [True, False])
def test_the_curve_of_a_model_without_a_loss_is_not_stored(
    tracked: Any, column: str, files: int, trains: bool
) -> None:
    run, submitted = tracked(*([FIT] if trains else []), PLOT)
    if trains:
        run.saved("sample.a.history", history(False, column))
    run.begin_node(PLOT)
    run.loaded("sample.a.history", history(False, column))
    run.saved("sample.a.loss_curve", b"PNG")
    run.end_node()
    assert len(submitted("artifact")) == files


def test_empty_tables_and_texts_are_not_stored(tracked: Any) -> None:
    table = pd.DataFrame({"score": ["crps"]})
    for board, film, files in ((table[:0], b"", []), (table, b"GIF", ["film", "leaderboard"])):
        run, submitted = tracked(RANK)
        run.begin_node(RANK)
        run.saved("leaderboard", board)
        run.saved("film", film)
        run.end_node()
        assert [path.name for _, path in submitted("artifact")] == files


@pytest.mark.parametrize("sent", [lambda data: data, message_of], ids=["here", "from another process"])
@pytest.mark.parametrize(("checkpoint", "models"), [(None, 0), (b"weights", 1)])
def test_the_model_of_a_training_that_has_not_finished_is_not_stored(
    tracked: Any, sent: Any, checkpoint: bytes | None, models: int
) -> None:
    """The file of such a checkpoint is that of an earlier training."""
    run, submitted = tracked(FIT)
    run.begin_node(FIT)
    run.saved("sample.a.checkpoint", sent((checkpoint, b"state")))
    run.end("KILLED", 1.0)
    assert len(submitted("model")) == models


@pytest.mark.parametrize("sent", [lambda data: data, message_of], ids=["here", "from another process"])
def test_data_are_recorded_with_their_variables_and_what_they_are_read_for(tracked: Any, sent: Any) -> None:
    variables = (("t", "float64", (-1, 2, 3)),)
    for nodes, context in (([FIT, SCORE], "training"), ([SCORE], "evaluation")):
        run, submitted = tracked(*nodes)
        run.loaded("fields", sent(SHAPED))
        run.begin_node(nodes[0])
        expected = [(name, "0123", "a toy", variables, context) for name in (PARENT, "sample.a")]
        assert submitted("read") == expected
    run, submitted = tracked(RANK)
    run.loaded("fields", sent(SHAPED))
    assert [arguments[-1] for arguments in submitted("read")] == ["evaluation"]
