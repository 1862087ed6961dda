"""Every score in plain words, and of which tasks it is."""

from __future__ import annotations

from collections.abc import Collection

TASKS = ("reconstruct", "forecast")

GUIDE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Fair CRPS",
        "the distance between the members, as a distribution, and the truth: it rewards an ensemble that is "
        "near, and as wide as its error. For a single estimate it is the mean absolute error. “Fair”: it "
        "does not depend on how many members there are. Lower is better, in the units of the variable.",
        TASKS,
    ),
    (
        "Anomaly standard deviations",
        "errors of all variables are made comparable by dividing each by the standard deviation of its "
        "departure from the climatology. The row “climatology” is the answer of knowing nothing but the day "
        "of the year: its RMSE is about 1, and whatever is above it is worse than no observation at all.",
        TASKS,
    ),
    (
        "Spread-skill ratio",
        "how large the members' spread is, relative to the error that their mean really makes (corrected "
        "for the number of members). 1: the ensemble knows how wrong it is; below 1: it is too sure of "
        "itself.",
        TASKS,
    ),
    (
        "Coverage by ranks",
        "how often the truth lies between two of the ordered members. With 19 members the 5th to the 15th "
        "hold exactly 50 % and the 1st to the 19th exactly 90 % of truths, if the ensemble is calibrated.",
        ("reconstruct",),
    ),
    (
        "Intervals",
        "95 %, from resampling blocks of at least ten days of the scored times: how much a score would vary "
        "with other weather, not with another training seed. Differences are paired: both experiments face "
        "the same times and masks, so a small difference can be certain though both scores vary much.",
        TASKS,
    ),
    (
        "Unobserved cells",
        "scores are of cells that the method did not see, unless a table says all cells. The truth is free "
        "of the noise that was added to the observations. k is the fraction of cells that were observed.",
        ("reconstruct",),
    ),
    (
        "Effective resolution",
        "the smallest wavelength at which the error of the mean has less than half the power of the truth.",
        ("reconstruct",),
    ),
    (
        "Skill",
        "1 − CRPS / CRPS of the climatological ensemble: the share of what a season’s weather leaves open that "
        "the forecast takes away. 1 is perfect; at 0 and below any days of the same season, drawn at random, do "
        "as well. Its horizon is the lead at which it crosses 0.",
        ("forecast",),
    ),
    (
        "Anomaly correlation",
        "how alike the departures of the ensemble mean and of the truth from the climatology are: 1 the same "
        "pattern, 0 none in common; 0.6 is an old rule of thumb for a forecast of use.",
        ("forecast",),
    ),
    (
        "Energy score",
        "the fair CRPS of whole maps: distances are between maps, so a member must be right everywhere at once.",
        ("forecast",),
    ),
    (
        "Blew up",
        "a member was no longer a finite number. Such a start counts as infinitely wrong from that lead on, so a "
        "mean over starts is infinite too; nobody else is affected.",
        ("forecast",),
    ),
)


def guide(tasks: Collection[str]) -> list[tuple[str, str]]:
    """Name and words of what these tasks show; without any task, of everything."""
    return [(name, words) for name, words, of in GUIDE if not tasks or set(of) & set(tasks)]
