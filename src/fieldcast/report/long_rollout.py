"""The section on the long rollout: what stays weather, what fades, what blows up."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from fieldcast.figures.png import Picture
from fieldcast.report.forecast_results import Results
from fieldcast.report.html import Cell, Markup, join, missing, paragraph, picture, significant, table, tag
from fieldcast.scores.stability import DIVERGED_RMS, stability_horizons

CURVES = (
    "Anomaly standard deviations over all cells, variables, members and starts. A forecast that has forgotten its "
    "start, but is still weather, has an MSE of the ensemble mean a little above the climatology's, standard "
    "deviation 1, mean 0 and the truth's power at short waves (the shortest third of the zonal wavelengths that the "
    "truth has). Fading: standard deviation or power falls. A cross: a value was no longer finite."
)
SPECTRA = "Power of two members at each snapshot over the power of the scored truth; 1 is the right amount."
MAPS = "One member of one start; colours of the first map for all."
STD = 0.5, 2.0  # what counts as the right amount of variance
POWER = 0.1, 10.0  # of power at short waves, over the truth's
SIZE = (
    f" end with a standard deviation outside {STD[0]:g} to {STD[1]:g}, or with power at short waves outside "
    f"{POWER[0]:g} to {POWER[1]:g} times the truth’s."
)
HEAD = (
    *("experiment", "MSE below 1 until step", "passes the climatology at step", "diverged at step"),
    *("blew up at step", "standard deviation at the end", "mean at the end", "power at short waves / truth"),
)


def long_rollout(results: Results, figures: Mapping[str, Picture]) -> Markup:
    """Sentences, the table of steps, curves, spectra and maps."""
    if not results.stability:
        return missing("No long rollout: no experiment has made one.")
    found = stability_horizons(results.ordered("stability"))
    parts = [fates(found), steps_table(found)]
    shown = {
        "stability": ("The long rollout, step by step", CURVES),
        "stability_spectra": ("Spectra along the long rollout", SPECTRA),
        "snapshots": ("Snapshots of the long rollout", MAPS),
    }
    parts += [picture(figures[name], *words) for name, words in shown.items() if name in figures]
    return join(parts)


def fates(found: pd.DataFrame) -> Markup:
    """Which experiments blew up or diverged, and when; which others lack the variance or the power of weather."""
    lost = found["blow_up"].notna()
    diverged = found["diverged"].notna() & ~lost
    told = [
        join([f"{words}: ", join(those(found[chosen], column), ", "), ". "])
        for words, column, chosen in (
            ("Blew up", "blow_up", lost),
            (
                f"Diverged, finite anomalies with a root mean square above {DIVERGED_RMS:g} (weather has 1)",
                "diverged",
                diverged,
            ),
        )
        if chosen.any()
    ]
    finite = found[~lost & ~diverged]
    which = f"The other {len(finite)}" if told else f"All {len(finite)} experiments"
    steady = f"{which} stayed finite and below {DIVERGED_RMS:g} over {int(found['steps'].max())} steps."
    kept = finite["std"].between(*STD) & finite["spectrum_ratio"].between(*POWER)
    gone = [tag("code", name) for name in finite.loc[~kept, "experiment"]]
    return paragraph(*told, steady, *([" Of these, ", join(gone, ", "), SIZE] if gone else []))


def those(found: pd.DataFrame, column: str) -> list[Markup]:
    """Experiments with a step each."""
    return [
        join([tag("code", name), f" at step {number:.0f}"])
        for name, number in zip(found["experiment"], found[column], strict=True)
    ]


def steps_table(found: pd.DataFrame) -> Markup:
    """A row an experiment."""
    rows = [
        [
            Cell(tag("code", one.experiment)),
            *(step(value) for value in (one.below_one, one.passes_climatology, one.diverged, one.blow_up)),
            *(Cell(of_any_size(value), value) for value in (one.std, one.mean, one.spectrum_ratio)),
        ]
        for one in found.itertuples()
    ]
    caption = (
        "Of the ensemble mean, in steps of the model. The climatology's error is that of knowing the day of the year "
        "alone. The end is the last finite step."
    )
    return table(list(HEAD), rows, caption)


def of_any_size(value: float) -> str:
    """Three digits; of what faded away or is blowing up the power of ten."""
    ordinary = value == 0 or 1e-3 <= abs(value) < 1e4 or not math.isfinite(value)
    return significant(value) if ordinary else f"{value:.0e}".replace("-", "−")


def step(value: float) -> Cell:
    """A number of steps; a dash where that did not happen."""
    return Cell("–") if pd.isna(value) else Cell(f"{value:.0f}", float(value))
