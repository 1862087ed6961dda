"""Tables of samples: one row an experiment."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fieldcast.report.html import Cell, Markup, missing, significant, table, tag
from fieldcast.report.sample_results import Results, SampleBoard
from fieldcast.report.scores import cell
from fieldcast.scores.sample_metrics import SAMPLE_METRICS

DISTANCES = ("fid", "kid", "c2st")
LIKELIHOODS = ("elbo", "reconstruction", "kl", "iwae", "bits_per_dim", "active_units")
LOSSES = ("test_loss", "train_loss")


def score_table(results: Results, board: SampleBoard, scores: Sequence[str], caption: str) -> Markup:
    """Experiments by scores, with intervals and, of distances, what real data have.

    The best is bold, among those that see the data alike: others are not comparable. Of images it is said how they see
    them, even if all do alike.
    """
    shown = [score for score in scores if board.having(score)]
    if not shown:
        return missing("No experiment has any of these scores.")
    seen = results.treatments if results.images or len(set(results.treatments.values())) > 1 else {}
    rows = []
    for name in board.having(*shown):
        line: list[Cell | str] = [Cell(tag("code", name))]
        line += [seen.get(name, "–")] if seen else []
        line += [score_cell(results, board, name, score) for score in shown]
        rows.append(line)
    head = ["experiment", *(["sees"] if seen else []), *(SAMPLE_METRICS[score].heading for score in shown)]
    return table(head, rows, caption)


def score_cell(results: Results, board: SampleBoard, name: str, score: str) -> Cell:
    """A value, its interval, and below it what real data have."""
    if score == "active_units":
        return number(board.value(name, score), whole=True)
    floor = results.floor(name, score)
    extra = "" if floor is None else tag("small", f"real data {significant(floor.value, 2)}")
    return cell(
        board.scores.get((name, score)), extra, "best" if is_best(results, board, name, score) else ""
    )


def is_best(results: Results, board: SampleBoard, name: str, score: str) -> bool:
    """Whether no other is better that sees the data alike; one alone, or one of
    several, is not the best."""
    alike = results.alike(board.having(score), score).get(results.seen(name, score), [])
    values = [board.value(one, score) for one in alike]
    best = SAMPLE_METRICS[score].best(values) if len(values) > 1 else math.nan
    return board.value(name, score) == best and values.count(best) == 1


def near_table(results: Results) -> Markup:
    """Distances to the nearest training state, of samples and of test data."""
    if not results.near:
        return missing("No distances to training states were stored.")
    rows: list[list[Cell | str]] = [
        [
            Cell(tag("code", name)),
            Cell(significant(drawn), drawn),
            Cell(significant(test), test),
            Cell(f"{100 * share:.0f} %", share),
        ]
        for name, (drawn, test, share) in results.near.items()
    ]
    caption = (
        "Median distance to the nearest training state, root-mean-square over cells (of fields standardised, of images "
        "shares of white); and the share of samples that are nearer to one than 95 % of test data are: of test data it "
        "is 5 %."
    )
    return table(["experiment", "samples", "test data", "very near samples"], rows, caption)


def cells_table(results: Results) -> Markup:
    """Mean Wasserstein distance of a cell, beside what real data have; nothing where it was not stored."""
    rows = []
    for name, found in results.ordered("diagnostics").items():
        values = [float(found.attrs.get(f"wasserstein_{part}", math.nan)) for part in ("mean", "floor")]
        if not math.isnan(values[0]):
            rows.append([Cell(tag("code", name)), *(number(value) for value in values)])
    head = ["experiment", "samples", "real data"]
    words = (
        "Mean Wasserstein distance of a cell over all variables, of samples and of as many training states."
    )
    return table(head, rows, words) if rows else Markup("")


def wide_table(board: SampleBoard) -> Markup:
    """Every score of every experiment, without intervals."""
    present = {score for _, score in board.scores}
    names = [score for score in SAMPLE_METRICS if score in present]
    rows: list[list[Cell | str]] = []
    for name in board.order:
        values = [board.value(name, score) for score in names]
        if any(math.isfinite(value) for value in values):
            rows.append([Cell(tag("code", name)), *(number(value) for value in values)])
    return table(["experiment", *names], rows)


def number(value: float, whole: bool = False) -> Cell:
    """Three digits, or (of several seeds) as few as a count needs; a dash where there is none."""
    if math.isinf(value):
        return Cell("∞" if value > 0 else "−∞", value)
    if math.isnan(value):
        return Cell("–")
    return Cell(f"{value:.3g}" if whole else significant(value), value)
