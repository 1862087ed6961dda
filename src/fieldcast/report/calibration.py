"""Sections on what a mean error does not show: calibration of the spread, and structure by wavelength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import xarray as xr

from fieldcast.figures.png import Picture
from fieldcast.figures.style import percent
from fieldcast.report.board import Board
from fieldcast.report.html import (
    Cell,
    Markup,
    folded,
    join,
    missing,
    paragraph,
    picture,
    significant,
    table,
    tag,
)
from fieldcast.report.scores import cell

UNDERSPREAD = (
    "Expect the VAEs to spread too little: a draw is the decoder’s mean for a random code, without the noise of the "
    "likelihood (whose sigma is one of the units they are trained in, unless the configuration says otherwise), and "
    "squared error + KL does not reward spread. Low ratios are a property of the method, not a fault of this run."
)
RANKS = (
    "Where the truth lies among the members, on unobserved cells, averaged over variables: how often each "
    "rank occurs, times what a calibrated ensemble has (dashed); whiskers are 95 % intervals. High ends: "
    "too little spread; a dome: too much; a slope: a bias."
)
SPECTRA = (
    "Above: power of members, where 1 is the right amount of structure of that size. Below: power of the "
    "error of the mean, which resolves the waves for which it stays below 0.5."
)


def calibration(
    board: Board | None,
    diagnostics: Mapping[str, xr.Dataset],
    order: Sequence[str],
    figures: Mapping[str, Picture],
) -> Markup:
    """Rank histograms, and coverage beside its exact nominal value."""
    shown = (
        picture(figures["rank_histograms"], "Rank histograms", RANKS)
        if "rank_histograms" in figures
        else missing("No rank histograms: no diagnostics of an experiment with several members were stored.")
    )
    note = [paragraph(UNDERSPREAD, kind="note")] if any("vae" in name for name in order) else []
    return join([shown, *note, coverage(board, diagnostics) if board else ""])


def coverage(board: Board, diagnostics: Mapping[str, xr.Dataset]) -> Markup:
    """Spread-skill ratio and coverage of every stochastic experiment in every case, folded."""
    names = ("ssr", "coverage50", "coverage90")
    body = [
        [
            Cell(tag("code", name)),
            Cell(case.pattern),
            Cell(percent(case.k), case.k),
            *(cell(board.scores.get((name, case, score))) for score in names),
        ]
        for case in (*board.cases(random=True), *board.cases(random=False))
        for name in board.order
        if (name, case, "ssr") in board.scores
    ]
    head = ["experiment", "pattern", "observed", "spread-skill ratio (ideal 1)"]
    head += [f"{name[-2:]} % coverage ({exactly(diagnostics, name)})" for name in names[1:]]
    title = f"Spread-skill ratio and coverage by ranks, with 95 % intervals ({len(body)} rows)"
    return folded(title, table(head, body)) if body else Markup("")


def exactly(diagnostics: Mapping[str, xr.Dataset], name: str) -> str:
    """Between which members, and the exact nominal coverage, of the largest ensemble."""
    found = [one for one in diagnostics.values() if one.sizes["rank"] > 2]
    if not found:
        return "between ranks"
    return (
        f"between members {max(found, key=lambda one: one.sizes['rank']).attrs.get(f'{name}_interval', '')}"
    )


def spectra(
    diagnostics: Mapping[str, xr.Dataset], order: Sequence[str], figures: Mapping[str, Picture]
) -> Markup:
    """Power of members and of errors, and, folded, the effective resolution."""
    if "spectra" not in figures:
        return missing("No spectra: no diagnostics were stored.")
    stored = {name: diagnostics[name] for name in order if name in diagnostics}
    first = next(iter(stored.values()))
    where = "; ".join(str(first.attrs[name]) for name in ("spectrum", "latitudes") if name in first.attrs)
    variables = [f"{name}, km" for name in first["variable"].to_numpy()]
    rows = [row for name, found in stored.items() for row in resolution(name, found)]
    words = "Smallest wavelength that the mean resolves; a dash: none."
    resolved = table(["experiment", "pattern", "observed", *variables], rows, words)
    return join(
        [
            picture(
                figures["spectra"],
                "Spectra relative to the truth",
                f"Zonal power relative to the truth's ({where}). {SPECTRA}",
            ),
            folded(f"Effective resolution ({len(rows)} rows)", resolved),
        ]
    )


def resolution(name: str, diagnostics: xr.Dataset) -> list[list[Cell]]:
    """A row for each case of one experiment."""
    patterns, fractions = (
        diagnostics["pattern"].to_numpy().astype(str),
        diagnostics["k"].to_numpy().astype(float),
    )
    values = diagnostics["effective_resolution"].transpose("case", "variable").to_numpy().astype(float)
    return [
        [
            Cell(tag("code", name)),
            Cell(pattern),
            Cell(percent(k), k),
            *(Cell(significant(one), one) for one in line),
        ]
        for pattern, k, line in zip(patterns, fractions, values, strict=True)
    ]
