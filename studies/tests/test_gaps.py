"""The tables of errors of filled records: their rows, and what the report of a fill says."""

from pathlib import Path

import numpy as np
import pytest

from studies import gaps
from studies.gap_records import CASES, Case, blobs, record_of


def test_a_row_holds_moments_weighted_by_area() -> None:
    """Errors of 1 and 3 with weights 3 and 1: a mean square of 3; spreads of 1 and 2: one of 1.75."""
    filled = gaps.Filled(
        "sst", "m", "1.02", np.array([1.0, -3.0]), np.array([1.0, 2.0]), np.array([3.0, 1.0])
    )
    row = filled.row(np.array([True, True]), "all")
    assert row == "| sst | m | all | 2 | 1.73 | 0.76 | 1.02 | 1.00 | 0.000% |"
    assert (
        filled.row(np.array([True, False]), "1 on") == "| sst | m | 1 on | 1 | 1 | 1.00 |  | 1.00 | 0.000% |"
    )


def test_the_method_and_the_reported_ratio_are_read_from_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, _ = record_of(Case(60, (30, 46, 6), (0, 16, 6), 20, ""), "waves")
    filled = gaps.remove_and_fill(truth, blobs(60, 6, 6, np.random.default_rng(0)), "sst")
    assert filled.method in gaps.FILLERS and 0.3 < float(filled.reported) < 3
    assert len(filled.error) == len(filled.spread) == len(filled.area) > 1000


@pytest.mark.proof
@pytest.mark.parametrize(
    "arguments", [["lengths", "tiny", "1", "3"], ["distances", "tiny"], ["counts", "tiny"], ["tiny"]]
)
def test_each_command_prints_its_rows(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CASES, "tiny", Case(60, (30, 46, 6), (0, 16, 6), 20, ""))
    monkeypatch.setattr("sys.argv", ["gaps", *arguments])
    gaps.main()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("sst: RMSE" if arguments == ["tiny"] else "| sst") and "nan" not in last


@pytest.mark.proof
def test_a_predictor_that_determines_a_variable_lowers_its_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, _ = record_of(Case(120, (30, 46, 6), (0, 16, 6), 20, ""), "waves")
    noise = np.random.default_rng(1).normal(size=truth["sst"].shape)
    both = truth.assign(other=truth["sst"] + 0.1 * float(truth["sst"].std()) * noise.astype(np.float32))
    both.to_netcdf(tmp_path / "both.nc")
    gaps.by_predictor(str(tmp_path / "both.nc"), "sst", "other", None)
    alone, with_other = (line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines())
    assert alone[0] == "sst alone" and with_other[0] == "sst with other"
    assert float(with_other[2]) < min(0.15, float(alone[2]))
