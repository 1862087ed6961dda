"""Every score in plain words, and of which tasks it is."""

from __future__ import annotations

from collections.abc import Collection

TASKS = ("reconstruct", "forecast")
SAMPLE = ("sample",)

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
        "FID",
        "Fréchet distance: how far the mean and the covariance of features of samples are from those of real data, "
        "each taken as one Gaussian. Lower is better. The features are this project’s own, so no value may be set "
        "beside one by Inception features, nor beside one of other data. It is biased upwards, the more the fewer "
        "samples there are: only values of equally many compare.",
        SAMPLE,
    ),
    (
        "KID",
        "kernel distance: by the same features, without the bias and without the Gaussian. 0 on average for samples "
        "of the very law of the data, and so now and then below it.",
        SAMPLE,
    ),
    (
        "Real data and noise",
        "FID and KID of two other sets in the place of samples. Real data: as many training states, of fields, where "
        "possible, from years that the features were not fitted on; no model can be expected to do better. Noise: "
        "every cell right by itself, unrelated to its neighbours.",
        SAMPLE,
    ),
    (
        "Accuracy of a classifier",
        "a classifier learns to tell samples from real data by their features and is asked about others of both "
        "(a two-sample test, C2ST). 50 %: they cannot be told apart; 100 %: always.",
        SAMPLE,
    ),
    (
        "ELBO, reconstruction, KL",
        "a lower bound of the log-likelihood of a datum, in nats: how likely the datum is given its code, less what "
        "the code says beyond the prior. Higher is better. Only models that see the data alike (binarised, "
        "dequantised, standardised …) may be compared.",
        SAMPLE,
    ),
    (
        "IWAE",
        "a tighter bound of the same, from K draws of the code; it rises with K, to the log-likelihood itself. It "
        "lies above the ELBO by what the posterior misses: a few nats, as a rule.",
        SAMPLE,
    ),
    (
        "Bits a cell",
        "the density of a flow (exact) or of a diffusion (a bound), as the bits that it takes to store one cell of a "
        "datum: a grey value of an image, a standardised value of a field, which may be below 0. Fewer are better.",
        SAMPLE,
    ),
    (
        "Active units",
        "components of the code whose posterior mean varies over test data by more than 0.01 in variance: the "
        "others are noise that the decoder has learned to leave alone.",
        SAMPLE,
    ),
    (
        "Intervals of sampling",
        "95 %: of likelihoods and errors, how much they would vary with other test data; of KID, with other samples "
        "and test data; of the classifier, with as many other states. FID has none: the range of real data says how "
        "far it wanders.",
        SAMPLE,
    ),
    (
        "Very near samples",
        "the share of samples that are nearer to a training state than 95 % of test data are. Far above 5 %, with "
        "pictures that look alike, they are copies; blurred samples are near to many states and copies of none.",
        SAMPLE,
    ),
    (
        "Wasserstein distance",
        "how far the values of samples in one cell must be moved, on average, to be distributed as those of real "
        "states; in standard deviations of that cell.",
        SAMPLE,
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
