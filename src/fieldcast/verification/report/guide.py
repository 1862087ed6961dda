"""Every score in plain words."""

GUIDE = (
    (
        "Fair CRPS",
        "the distance between the members, as a distribution, and the truth: it rewards an ensemble that is "
        "near, and as wide as its error. For a single estimate it is the mean absolute error. “Fair”: it "
        "does not depend on how many members there are. Lower is better, in the units of the variable.",
    ),
    (
        "Anomaly standard deviations",
        "errors of all variables are made comparable by dividing each by the standard deviation of its "
        "departure from the climatology. The row “climatology” is the answer of knowing nothing but the day "
        "of the year: its RMSE is about 1, and whatever is above it is worse than no observation at all.",
    ),
    (
        "Spread-skill ratio",
        "how large the members' spread is, relative to the error that their mean really makes (corrected "
        "for the number of members). 1: the ensemble knows how wrong it is; below 1: it is too sure of "
        "itself.",
    ),
    (
        "Coverage by ranks",
        "how often the truth lies between two of the ordered members. With 19 members the 5th to the 15th "
        "hold exactly 50 % and the 1st to the 19th exactly 90 % of truths, if the ensemble is calibrated.",
    ),
    (
        "Intervals",
        "95 %, from resampling blocks of at least ten days of the scored times: how much a score would vary "
        "with other weather, not with another training seed. Differences are paired: both experiments face "
        "the same times and masks, so a small difference can be certain though both scores vary much.",
    ),
    (
        "Unobserved cells",
        "scores are of cells that the method did not see, unless a table says all cells. The truth is free "
        "of the noise that was added to the observations. k is the fraction of cells that were observed.",
    ),
    (
        "Effective resolution",
        "the smallest wavelength at which the error of the mean has less than half the power of the truth.",
    ),
)
