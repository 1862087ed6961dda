"""Costs of filling records: each command at its smallest size, and readings of the time left in closed form."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fieldcast.runtime import Progress
from studies import gap_costs
from studies.dineof_example import by_program
from studies.gap_costs import Reading, by_race, errors_of, peers, sizes, within
from studies.gap_records import CASES, Case, record_of, variable

TINY = Case(40, (30, 46, 5), (0, 16, 6), 20, "")


@pytest.mark.parametrize(
    ("lefts", "text"),
    [
        ([100.0 - t for t in range(100)], "10 of 10"),
        ([44.0] * 100, "8 of 10"),  # 44 s after 26 to 86 s are within 30 s of the end: 28, 36 ... 84
        ([60.0] * 100, "7 of 10"),  # 60 s after 10 to 70 s: 20, 28 ... 68
        ([80.0], "10 of 10"),  # told once after 20 s, it is what is known on
    ],
)
def test_the_time_left_is_judged_by_the_total_that_it_predicts(lefts: list[float], text: str) -> None:
    first = 100 - len(lefts) if len(lefts) > 1 else 20
    read = [Reading(1000.0 + first + t, "of 3 steps", left) for t, left in enumerate(lefts)]
    assert within(read, 1000.0, 1100.0) == text
    assert within(read[len(read) :], 1000.0, 1100.0) == "0 of 10"
    assert within(read, 1000.0, 1029.0) == ""


@pytest.mark.parametrize("kind", gap_costs.KINDS)
def test_the_row_of_a_size(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CASES, "tiny", TINY._replace(share=60, variables=2))
    gap_costs.size("tiny", kind)
    row = dict(
        zip(
            gap_costs.HEADINGS,
            capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | "),
            strict=False,
        )
    )
    assert [row["case"], row["kind"], row["times x cells"], row["aim [s]"]] == ["tiny", kind, "40 x 60", "20"]
    assert float(row["RMSE"]) > 0 and float(row["/ linear in time"]) < 1.5


def test_peers_fill_the_same_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The RMSE of linear interpolation is that beside which `sizes` prints its own."""
    pytest.importorskip("pydineof")
    monkeypatch.setitem(CASES, "tiny", TINY)
    peers(["tiny"])
    linear, one_mode = (line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:])
    truth, _ = record_of(TINY, "waves")
    of_linear = errors_of(truth.rename(sst="sst_mean"), "tiny", "waves")[1]
    assert (linear[1], float(linear[-1])) == ("linear in time", pytest.approx(of_linear, abs=5e-4))
    assert one_mode[1] == "pyDINEOF, one mode" and 0 < float(one_mode[-1]) < truth["sst"].std()


PROGRAM = """#!{python}
import numpy as np, xarray as xr
record = xr.load_dataset("record.nc", decode_times=False)
cells = np.argwhere(record["mask"].values.T > 0)  # columns of the grid, one after the other, as Fortran reads them
cell, time = record["clouds"].values.astype(int) - 1
x, y = cells[cell].T
print("expected error calculated by cross-validation", record["SST"].values[time, y, x].mean())
record["SST"].fillna(record["time"]).to_netcdf("filled.nc")
"""


def test_dineof_is_given_the_record_and_the_values_to_hold_out(tmp_path: Path) -> None:
    """A program in its place reads them as its sources do, and its result is read."""
    program = tmp_path / "dineof"
    program.write_text(PROGRAM.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    rng = np.random.default_rng(0)
    sea, x = rng.random((4, 7)) < 0.6, rng.standard_normal((5, 4, 7))
    x[:, ~sea] = np.nan
    x[3, 1] = np.nan
    held_out = np.isfinite(x[:, sea]) & (rng.random((5, sea.sum())) < 0.2)
    times = np.array(["2001-01-01", "2001-01-02", "2001-01-03", "2001-01-06", "2001-01-07"], "M8[ns]")
    error, filled = by_program(program, x, times, sea, 3, held_out)
    assert error == pytest.approx(x[:, sea][held_out].mean(), rel=1e-5)
    expected = np.where(np.isfinite(x), x, np.array([0, 1, 2, 5, 6])[:, None, None])
    np.testing.assert_allclose(filled, expected, rtol=1e-5)
    program.write_text(f"#!{sys.executable}\nprint('not enough data')\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="dineof: not enough data"):
        by_program(program, x, times, sea, 3)


def test_errors_are_those_at_the_removed_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill that is wrong by 2 degC at each removed value, and by far more elsewhere."""
    monkeypatch.setitem(CASES, "tiny", TINY)
    truth, removed = record_of(TINY, "waves")
    filled = (truth + np.where(removed, 2.0, 100.0)).rename(sst="sst_mean")
    assert 0.2 < removed.mean() < 0.5
    assert errors_of(filled, "tiny", "waves")[0] == pytest.approx(2.0, rel=1e-5)
    exact = truth.where(~removed).interpolate_na("time").rename(sst="sst_mean")
    assert errors_of(exact, "tiny", "waves")[1] == pytest.approx(
        errors_of(exact, "tiny", "waves")[0], rel=0.2
    )


def test_a_size_that_fails_has_a_row_that_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    sizes(["none"], ["waves"], busy=True)
    assert "| none | waves | " in capsys.readouterr().out.splitlines()[-1]


def test_a_row_of_the_race_names_the_best_and_the_winner(capsys: pytest.CaptureFixture[str]) -> None:
    by_race("small", 60.0, 40)
    row, *rounds = capsys.readouterr().out.splitlines()
    source, share, size, best, winner, ratio = row.strip("| ").split(" | ")[:6]
    assert (source, share, size) == ("small", "60", "40 x 561") and best == winner and ratio == "1.000"
    assert len(rounds) == 1 and "whole:" in rounds[0]  # too small for a race


def test_the_first_times_of_a_source_are_read() -> None:
    data = variable("small", 12)
    assert data["sst"].shape == (12, 17, 33) and abs(float(data["sst"].mean()) - 15) < 3


def test_loops_of_a_run_are_judged_one_by_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: list[str], standalone_mode: bool) -> None:
        assert arguments == ["run", "--env", "demo", "-p", "training"] and not standalone_mode
        for _ in Progress(range(20), unit="step"):
            time.sleep(0.02)

    monkeypatch.setattr(gap_costs, "fieldcast", run)
    monkeypatch.setattr(gap_costs, "EVERY", 0.01)
    monkeypatch.setattr(gap_costs, "SHORTEST", 0.0)
    monkeypatch.setattr("sys.argv", ["gap_costs", "training", "--env", "demo", "-p", "training"])
    gap_costs.main()
    (row,) = capsys.readouterr().out.splitlines()[2:]
    assert row.startswith("| of 20 steps | 0 | ")


@pytest.mark.parametrize("arguments", [["sizes", "--slow"], ["sizes", "huge"], ["race"]])
def test_unknown_arguments_are_refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gap_costs", *arguments])
    with pytest.raises(SystemExit):
        gap_costs.main()
    assert "error: " in capsys.readouterr().err
