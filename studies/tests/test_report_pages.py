"""Verdicts on the claims of the reports, and their pages."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return importlib.import_module("studies.report_pages")


def test_a_claim_holds_if_all_intervals_exclude_zero_in_its_direction(script):
    below, about, above = (script.Difference(0, 0, d, d - 1, d + 1) for d in (-2.0, 0.0, 2.0))
    unknown = script.Difference(0, 0, -2.0, float("nan"), float("nan"))

    def verdict(direction, *found):
        return script.verdict_of(script.Compared("000", "", "", "", "rmse", direction), found)

    assert verdict("lower", below, below) == verdict("higher", above) == "holds"
    assert verdict("lower", below, about) == verdict("equal", about, above) == "depends"
    assert verdict("lower", above, above) == verdict("lower", above, about) == "does not"
    assert verdict("higher", below) == verdict("not lower", about, below) == "does not"
    assert verdict("not lower", above, about, below) == "depends"
    assert verdict("lower", about, about) == verdict("higher", about) == "not shown"
    assert verdict("equal", about) == "no difference shown" and verdict("equal", above, below) == "differs"
    assert verdict("not lower", above, about) == "holds" and verdict("not lower", below) == "does not"
    assert verdict("lower", unknown) == "no interval"


def test_a_verdict_on_differences_that_another_training_may_turn_is_marked(script):
    """A verdict is marked if it were another one, or no case agreed, without differences below .01."""
    small, large, opposed = (script.Difference(0, 0, d, d - 0.001, d + 0.001) for d in (-0.005, -0.05, 0.02))

    def verdict(direction, *found, task="forecast"):
        claim = script.Compared("000", "", f"{task}.a", f"{task}.b", "rmse", direction)
        return script.verdict_of(claim, found)

    assert verdict("lower", small, small) == verdict("lower", small, large) == "holds (below .01)"
    assert verdict("lower", large) == verdict("not lower", opposed) == "holds"
    assert verdict("higher", small) == verdict("not lower", small) == "does not (below .01)"
    assert verdict("lower", small, opposed) == "depends (below .01)"
    assert verdict("lower", small, large, opposed) == "depends"
    assert verdict("equal", small) == "differs (below .01)" and verdict("equal", large) == "differs"
    assert verdict("lower", small, task="sample") == "holds"  # other units: nats, FID


@pytest.mark.parametrize("report", ["000", "001", "002", "003", "004"])
def test_every_verdict_of_a_page_is_explained_and_every_pair_named(script, report):
    """Read from the page: a row has claim, verdict, numbers in full and of the quick run, picture."""
    page = (script.PAGES / f"{report}.md").read_text(encoding="utf-8")
    table, _, legend = (
        page.partition("<!-- claims: begin -->\n")[2].partition("<!-- claims: end -->")[0].partition("\n\n")
    )
    rows = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()[2:]]
    explained = " ".join(legend.lower().split())
    pairs = {
        claim.text: f"{claim.pair}: "
        for claim in script.CLAIMS_OF_REPORTS
        if isinstance(claim, script.Compared) and claim.report == report
    }
    assert pairs.keys() <= {row[0] for row in rows}
    for text, verdict, full, quick, *_ in rows:
        for mark in re.findall(r"[^,()]+", verdict) + ["–"] * (quick == "–"):
            assert f"*{mark.strip()}*:" in explained, (text, mark)
        if full not in ("–", ""):
            assert full.startswith(pairs.get(text, "")), text


def test_the_time_of_the_full_run_is_the_sum_of_its_records(script):
    import csv

    with (script.RESULTS / "runs.csv").open(encoding="utf-8") as file:
        seconds = {f"{row['task']}.{row['experiment']}": int(row["seconds"])
                   for row in csv.DictReader(file) if row["setting"] == "planet"}  # fmt: skip
    lines = (ROOT / "conf/base/parameters/reports.yml").read_text(encoding="utf-8").partition("report_001")[0]
    listed = re.findall(r"- (\w+\.\w+)", lines)
    total = sum(seconds.get(address, 0) for address in listed) / 60
    count = sum(address in seconds for address in listed)
    sentence = " ".join(script.time_in_full("000").split())
    assert f"{count} of its {len(listed)} experiments take {total:.0f} minutes in total" in sentence


def test_the_interval_over_seeds_is_that_of_welch(script, monkeypatch):
    import pandas as pd
    from scipy.stats import ttest_ind

    values = {"a": [1.0, 2.0, 4.0], "b": [3.0, 5.0, 5.5, 6.0]}
    monkeypatch.setattr(
        script, "recorded", lambda table, name, label="": pd.DataFrame({"elbo": values[name]})
    )
    ((_, found),) = script.over_seeds(script.Compared("002", "", "sample.a", "sample.b", "elbo"))
    expected = ttest_ind(values["a"], values["b"], equal_var=False).confidence_interval(0.95)
    assert found[3:] == pytest.approx(tuple(expected))


def test_a_single_seed_has_the_interval_of_the_choice_of_images(script, monkeypatch):
    """Independent errors add in squares: 3 and 4 give 5."""
    import pandas as pd

    lines = {
        "a": pd.DataFrame({"kid": [30.0], "kid_half": [3.0]}),
        "b": pd.DataFrame({"kid": [10.0], "kid_half": [4.0]}),
    }
    monkeypatch.setattr(script, "recorded", lambda table, name, label="": lines[name])
    claim = script.Compared("002", "", "sample.a", "sample.b", "kid")
    assert script.over_seeds(claim) == [("", script.Difference(30, 10, 20, 15, 25))]
    assert script.verdict_of(claim, [script.over_seeds(claim)[0][1]]) == "does not"


def test_a_row_is_compared_with_the_row_of_its_own_table(script):
    """Rows of other tables have the same experiment with other parameters, labelled, of one seed each."""
    claim = next(claim for claim in script.compared("001") if claim.experiment.endswith("by_class"))
    reference = script.recorded(claim.table, claim.names[1])
    assert list(reference.index.get_level_values("seed")) == [0, 1, 2]
    assert len(set(reference.index.get_level_values("row"))) == 1
    ddpm = next(claim for claim in script.compared("002") if claim.experiment == "sample.ddpm")
    assert len(script.recorded(ddpm.table, ddpm.names[0], ddpm.label)) == 1


def test_epochs_in_captions_are_those_of_the_trainings(script):
    epochs = {
        name: script.trained_for(name)["epochs"] for name in ("embeddings", "latent_grid", "denoising",
                                                              "denoising_fashion_mnist")
    }  # fmt: skip
    pages = {report: (script.PAGES / f"{report}.md").read_text(encoding="utf-8") for report in ("001", "004")}
    assert set(epochs["embeddings"].round()) == {19} and "1500 steps, 19 epochs." in pages["001"]
    assert epochs["latent_grid"].item() == 10 and "after ten epochs" in pages["004"]
    for name in ("denoising", "denoising_fashion_mnist"):
        assert re.search(rf"\b{epochs[name].item():.0f} epochs?\b", pages["004"])
    assert len(set(script.trained_for("kl_weight")["images"])) == 1  # one split, and so the same test images


def test_the_caption_of_the_long_rollouts_has_the_steps_of_the_stored_numbers(script):
    """The RMS of the anomalies is sqrt(mean^2 + std^2)."""
    import pandas as pd

    table = pd.read_csv(script.PAGES / "data" / "000" / "stability.csv")
    rms = (table["mean"] ** 2 + table["std"] ** 2) ** 0.5
    first = table[rms > 3].groupby("experiment")["step"].min()
    page = (script.PAGES / "000.md").read_text(encoding="utf-8")
    for name in ("vae", "vae_mean", "vae_rk4"):
        assert f"{first[name]} (`{name}`)" in page
    assert f"{first['vae_rk4_mean']} (`vae_rk4_mean`,\nof which the first 120 steps" in page
    assert table.groupby("experiment")["step"].max()["vae_rk4_mean"] == 120


def test_every_claim_is_a_row_of_its_page_and_every_picture_is_there(script):
    for report in ("000", "001", "002", "003", "004"):
        page = (script.PAGES / f"{report}.md").read_text(encoding="utf-8")
        claims = [claim for claim in script.CLAIMS_OF_REPORTS if claim.report == report]
        assert claims and all(f"| {claim.text} |" in page for claim in claims)
        assert f"--pipelines report_{report}" in page
        for name in re.findall(r"\(images/([\w.]+)\)", page):
            assert (script.PAGES / "images" / name).is_file(), name


def test_every_page_holds_what_the_script_writes(script):
    for file in [
        *(script.PAGES / f"{report}.md" for report in ("000", "001", "002", "003", "004")),
        script.STUDIES,
    ]:
        page = file.read_text(encoding="utf-8")
        for mark, content in script.contents(file.stem).items():
            begin, end = (f"<!-- {mark}: {edge} -->\n" for edge in ("begin", "end"))
            assert page.partition(begin)[2].partition(end)[0].strip() == content
