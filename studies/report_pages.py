"""The tables of claims on the pages of the reports, docs/reports/000.md to 004.md: `python -m studies.report_pages`.

It also writes the tables of two studies of report 000 to docs/results/report_000.md.

Each claim of a report (`studies.report_claims`) is a row: the number of the full tables and that of the pipeline
`report_00n`, with 95 % intervals where several times or seeds allow one, and a verdict, which `MEANINGS` explains.
Numbers of weather are paired differences that `--record full FOLDER COMMAND` or `--record quick FOLDER COMMAND` takes
from the scores of a finished data root into docs/results/claims.csv; those of images in full are those of
docs/results/samples.csv, over its seeds.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
import yaml
from scipy.stats import t as student

from fieldcast.atomic import write_atomically
from studies import full_vae, make_figures
from studies.make_tables import ROOT, between_marks
from studies.mse_of_000 import printed
from studies.paired import Difference, difference, statistics_at
from studies.report_claims import CLAIMS_OF_REPORTS, RESULTS, Compared, Stated, recorded

PAGES = ROOT / "docs" / "reports"
CLAIMS = RESULTS / "claims.csv"
STUDIES = RESULTS / "report_000.md"  # tables that report 000 refers to
Size = Literal["full", "quick"]
HEAD = "| claim | verdict | full tables | `report_{0} --env {1}` | picture |\n|---|---|---|---|---|"
MEANINGS = {  # of the verdicts of a table, in the order in which it explains them
    "holds": "the numbers agree with the claim; an interval, where there is one (95 %, Welch, of the difference of the "
    "means over seeds), excludes 0.",
    "does not": "they contradict it; an interval, where there is one, excludes 0 in the other direction.",
    "depends": "some cases agree with the claim, others do not.",
    "mostly holds": "but for what the text names.",
    "not shown": "the interval contains 0.",
    "no difference shown": "for a claim that two are equal: the interval contains 0.",
    "differs": "for a claim that two are equal: the interval excludes 0.",
    "no interval": "one seed, so that the numbers are shown without a verdict.",
    "not tried": "nothing here was trained for as long.",
    "by eye": "judged by looking at the picture.",
    "–": "not computed in that run.",
}
PAIRED = MEANINGS | {  # those of report 000
    "holds": "every 95 % interval of the full numbers excludes 0 in the direction of the claim; for a claim that one "
    "is no better, no interval shows it better.",
    "does not": "no interval excludes 0 in the direction of the claim, and at least one does in the other; without "
    "intervals, the numbers contradict the claim.",
    "not shown": "all intervals contain 0.",
    "depends": "some intervals exclude 0 in the direction of the claim, and others do not; for a claim that two are "
    "equal, some exclude 0; without intervals, it holds in some cases, or under a condition that the row names.",
    "not comparable": "a time, which depends on the machine and on the sizes of the models.",
    "below .01": "the verdict rests on differences below .01, whose sign another training may change: if they were 0, "
    "the verdict would change, or no case would agree with the claim.",
}
RETRAINED = 0.01  # standard deviations: a second training moves the third digit
NAMES = {
    "crps": "CRPS", "rmse": "RMSE", "test_loss": "test loss", "elbo": "ELBO", "iwae": "IWAE", "fid": "FID",
    "kid": "KID", "reconstruction": "log p(x given z)", "unused_prior": "share of the prior's mass in gaps",
    "outside_prior": "share of test codes outside the prior's 95 % region",
}  # fmt: skip


def main() -> int:
    """Record a finished run if asked to, and write the tables of all pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--record", nargs=3, metavar=("SIZE", "FOLDER", "COMMAND"), help="full or quick, data root"
    )
    arguments = parser.parse_args()
    if arguments.record:
        size, folder, command = arguments.record
        if size not in ("full", "quick"):
            parser.error(f"{size}: give full or quick")
        record(size, Path(folder), command)
    for page in [*sorted(PAGES.glob("00?.md")), STUDIES]:
        text = page.read_text(encoding="utf-8")
        for mark, content in contents(page.stem).items():
            text = between_marks(text, mark, content)
        write_atomically(page, text)
    return 0


def contents(report: str) -> dict[str, str]:
    """Text between the marks of a page: the claims of a report, or the tables of `STUDIES`."""
    if report == STUDIES.stem:
        return studies_of_000()
    claims = table(report)
    parts = {"claims": f"{claims}\n\n{textwrap.fill(legend(report, claims), 120)}"}
    if report in ("002", "003"):
        parts |= {"002": {"samples": samples_caption()}, "003": {"kl_weight": kl_caption()}}[report]
    if report == "000":
        parts["time"] = time_in_full(report)
    return parts


def studies_of_000() -> dict[str, str]:
    """Output of the studies of the full VAE and of the mean squared error."""
    blocks = []
    for setting in ("planet", "sea_level_pressure"):
        command = f"python -m studies.full_vae {setting} --print-only"
        blocks.append(f"```\n$ {command}\n\n{full_vae.tables(setting)}\n```")
    errors = "\n".join(printed(pd.read_csv(RESULTS / "mse_of_000.csv"))).rstrip()
    return {
        "full_vae": "\n\n".join(blocks),
        "mse": f"```\n$ python -m studies.mse_of_000 --print-only\n\n{errors}\n```",
    }


def legend(report: str, claims: str) -> str:
    """The meaning of each verdict of a table of claims, and what else its numbers need."""
    cells = {cell for row in claims.splitlines()[2:] for cell in row.split(" | ")[1:4:2]}
    marks = {mark for cell in cells for mark in re.split(r", | \(", cell.strip("|) "))}
    meanings = PAIRED if report == "000" else MEANINGS
    parts = [
        f"*{mark[0].upper()}{mark[1:]}*: {meaning}" for mark, meaning in meanings.items() if mark in marks
    ]
    if "KID" in claims:
        parts.append(
            "For one seed, the interval of KID comes from the choice of images alone; that of a difference treats the "
            "images of the two models as independent."
        )
    return " ".join(parts)


def time_in_full(report: str) -> str:
    """Time that the experiments of a report took for the tables of the planet, as far as it is recorded."""
    file = ROOT / "conf" / "base" / "parameters" / "reports.yml"
    addresses = yaml.safe_load(file.read_text("utf-8"))["reports"][f"report_{report}"]["experiments"]
    runs = pd.read_csv(RESULTS / "runs.csv").query("setting == 'planet'")
    ours = runs[(runs["task"] + "." + runs["experiment"]).isin(addresses)]
    missing = sorted(set(addresses) - set(ours["task"] + "." + ours["experiment"]))
    sentence = (
        f"In full (`kedro run --env base --pipelines report_{report} --params data_root=data_full`) {len(ours)} of its "
        f"{len(addresses)} experiments take {ours['seconds'].sum() / 60:.0f} minutes in total, as recorded for `make "
        f"tables SETTING=planet` on {' and '.join(sorted(set(ours['machine'])))} in docs/results/runs.csv; no time is "
        f"recorded for {', '.join([*(f'`{name}`' for name in missing), 'the data and the page'])}."
    )
    return textwrap.fill(sentence, 120, break_long_words=False, break_on_hyphens=False)


def samples_caption() -> str:
    """Epochs of the models whose samples are drawn beside each other; they are the models of the table."""
    epochs = ", ".join(f"`{name}` {line['epochs']:.0f}" for name, line in trained_for("samples").iterrows())
    caption = (
        "*Real images of MNIST and twelve samples of each model as they were drawn, dark where the digits are white. "
        "The VAE's pixels are continuous Bernoulli variables, of which the means are drawn. "
        f"Epochs of training, as in the table: {epochs} (`docs/reports/data/images/trained.csv`). The flow "
        "leaves the background empty, and draws fragments; the diffusion model's strokes are the sharpest, and some "
        "of its samples are no digit.*"
    )
    return textwrap.fill(caption, 120, break_long_words=False, break_on_hyphens=False)


def kl_caption() -> str:
    """Epochs and images of the models with the weights 0, 1 and 30."""
    drawn = trained_for("kl_weight")
    trainings = ", ".join(f"`{name}` {line['epochs']:.0f}" for name, line in drawn.iterrows())
    caption = (
        "*Test images of MNIST, what the models make of them, and decoded random codes, for the weights 0, 1 and 30. "
        f"Epochs of training: {trainings} (`docs/reports/data/images/trained.csv`).*"
    )
    return textwrap.fill(caption, 120, break_long_words=False, break_on_hyphens=False)


def trained_for(picture: str) -> pd.DataFrame:
    """Steps, images and epochs of the experiments of a picture, in its order."""
    lines = (
        pd.read_csv(make_figures.DATA / "trained.csv").query("picture == @picture").set_index("experiment")
    )
    return lines.loc[[name for name in make_figures.PICTURES[picture].experiments if name in lines.index]]


def compared(report: str = "") -> Iterator[Compared]:
    """The claims about two experiments, of one report or of all."""
    yield from (c for c in CLAIMS_OF_REPORTS if isinstance(c, Compared) and report in ("", c.report))


def record(size: Size, folder: Path, command: str) -> None:
    """Put the differences that a data root holds into the record, in place of those of the same size."""
    rows = []
    for claim in compared():
        scores = {
            name: folder / "08_reporting" / claim.task / name / "scores.parquet" for name in claim.names
        }
        if not all(file.exists() for file in scores.values()) or (claim.task == "sample" and size == "full"):
            continue
        tables = [pd.read_parquet(scores[name]) for name in claim.names]
        for case in claim.cases:
            if claim.task == "sample":
                value, other = (
                    float(t.set_index("score")["value"].get(claim.score, math.nan)) for t in tables
                )
                differences = Difference(value, other, value - other, math.nan, math.nan)
            else:
                ours, reference = (statistics_at(table, case) for table in tables)
                if ours.empty or reference.empty:
                    continue
                differences = difference(claim.score, [ours], [reference])
            rows.append(
                {
                    "claim": claim.text,
                    "size": size,
                    "case": label_of(case),
                    **differences._asdict(),
                    "command": command,
                }
            )
    before = pd.read_csv(CLAIMS, keep_default_na=False) if CLAIMS.exists() else pd.DataFrame()
    whole = pd.concat([before, pd.DataFrame(rows)]).drop_duplicates(["claim", "size", "case"], keep="last")
    write_atomically(
        CLAIMS, whole.sort_values(["claim", "size"], kind="stable").to_csv(index=False, float_format="%.5g")
    )


def label_of(case: Mapping[str, object]) -> str:
    """A lead time in days, or an observed fraction in percent."""
    if "k" in case:
        return f"{float(str(case['k'])):.0%}"
    return f"{int(str(case['lead_hours'])) // 24} d" if case else ""


def table(report: str) -> str:
    """The claims of a report, a row each."""
    lines = [HEAD.format(report, "demo" if report == "000" else "digits")]
    for claim in CLAIMS_OF_REPORTS:
        if claim.report == report:
            full, quick, verdict = claim.answer() if isinstance(claim, Stated) else answered(claim)
            drawn = claim.picture and (PAGES / "images" / claim.picture).exists()
            picture = f"[picture](images/{claim.picture})" if drawn else ""
            lines.append(f"| {claim.text} | {verdict} | {full} | {quick} | {picture} |")
    return "\n".join(lines)


def answered(claim: Compared) -> tuple[str, str, str]:
    """Numbers of both sizes, and the verdict of the full one."""
    full = over_seeds(claim) if claim.task == "sample" else differences_of(claim, "full")
    quick = differences_of(claim, "quick")
    command = command_of(claim)
    numbers = [described(claim, differences) if differences else "running" for differences in (full, quick)]
    numbers[0] = f"{claim.pair}: {numbers[0]}"
    if full and command:
        numbers[0] += f" ({command})"
    beside = claim.beside() if claim.beside else ""
    return numbers[0] + beside, numbers[1], verdict_of(claim, [differences for _, differences in full])


def command_of(claim: Compared) -> str:
    """The command behind the full numbers; empty if none is recorded."""
    lines = claims()
    ours = lines[(lines["claim"] == claim.text) & (lines["size"] == "full")]
    setting = claim.table.partition(" ")[0]
    return (
        f"`{ours['command'].iloc[0]}`" if len(ours) else f"`make tables SETTING={setting}`" if setting else ""
    )


def claims() -> pd.DataFrame:
    """The record."""
    columns = ["claim", "size", "case", *Difference._fields, "command"]
    return pd.read_csv(CLAIMS, keep_default_na=False) if CLAIMS.exists() else pd.DataFrame(columns=columns)


def differences_of(claim: Compared, size: Size) -> list[tuple[str, Difference]]:
    """Recorded differences of a claim, by case."""
    lines = claims()
    ours = lines[(lines["claim"] == claim.text) & (lines["size"] == size)].set_index("case")
    cases = [label_of(case) for case in claim.cases]
    numbers = ours[list(Difference._fields)].apply(pd.to_numeric)
    return [(case, Difference(**numbers.loc[case].to_dict())) for case in cases if case in numbers.index]


def over_seeds(claim: Compared) -> list[tuple[str, Difference]]:
    """The difference of the means over seeds, with Welch's 95 % interval if both have two seeds or more.

    For single seeds that of the choice of images, h = sqrt(h_1^2 + h_2^2) from those of both, where these are recorded.
    """
    ours, reference = claim.names
    lines = [recorded(claim.table, ours, claim.label), recorded(claim.table, reference)]
    sides = [each.get(claim.score, pd.Series(dtype=float)).dropna() for each in lines]
    if not all(map(len, sides)):
        return []
    value, other = (float(side.mean()) for side in sides)
    gap = value - other
    halves = [each.get(f"{claim.score}_half", pd.Series(dtype=float)).dropna() for each in lines]
    half = (
        math.hypot(*map(float, pd.concat(halves))) if [len(each) for each in halves] == [1, 1] else math.nan
    )
    if min(map(len, sides)) > 1:
        errors = [side.var() / len(side) for side in sides]
        freedom = sum(errors) ** 2 / sum(
            e**2 / (len(side) - 1) for e, side in zip(errors, sides, strict=True)
        )
        half = float(student.ppf(0.975, freedom)) * math.sqrt(sum(errors))
    return [("", Difference(value, other, gap, gap - half, gap + half))]


def described(claim: Compared, differences: Sequence[tuple[str, Difference]]) -> str:
    """Both values and their difference, case by case."""
    parts = []
    for case, numbers in differences:
        size = abs(numbers.value)
        digits = 5 if size < 0.1 else 3 if size < 10 else 1 if size < 1000 else 0
        plain = f"{numbers.value:.{digits}f} against {numbers.reference:.{digits}f}"
        gap = f", {numbers.text(digits)}" if not math.isnan(numbers.low) else ""
        parts.append(f"{plain}{gap}{f' at {case}' if case else ''}")
    name = NAMES[claim.score]
    return f"{name}{f' [{claim.unit}]' if claim.unit else ''} " + "; ".join(parts)


def verdict_of(claim: Compared, differences: Sequence[Difference]) -> str:
    """The verdict by the intervals, as `MEANINGS` and `PAIRED` explain it; a dash without any.

    Another training moves the scores of weather by up to `RETRAINED`, the verdict too if it rests on such differences.
    """
    intervals = [numbers for numbers in differences if not math.isnan(numbers.low)]
    if not intervals:
        return "no interval" if differences else "–"
    small = [claim.task != "sample" and abs(numbers.difference) < RETRAINED for numbers in intervals]
    below, above = ([numbers.high < 0 for numbers in intervals], [numbers.low > 0 for numbers in intervals])
    verdict, larger = (
        agreement(
            claim.direction,
            [each and not left_out for each, left_out in zip(below, without, strict=True)],
            [each and not left_out for each, left_out in zip(above, without, strict=True)],
        )
        for without in ([False] * len(small), small)
    )
    return verdict[0] if verdict == larger else f"{verdict[0]} (below .01)"


def agreement(direction: str, below: Sequence[bool], above: Sequence[bool]) -> tuple[str, bool]:
    """The verdict on differences that are below or above 0 in each case, and whether any case agrees with the claim."""
    apart = [each or other for each, other in zip(below, above, strict=True)]
    if direction == "equal":
        verdict = "no difference shown" if not any(apart) else "differs" if all(apart) else "depends"
        return verdict, not all(apart)
    if direction == "not lower" and not any(below):
        return "holds", True
    agree = below if direction == "lower" else above
    if any(agree):
        return "holds" if all(agree) else "depends", True
    return "does not" if any(apart) else "not shown", False


if __name__ == "__main__":
    sys.exit(main())
