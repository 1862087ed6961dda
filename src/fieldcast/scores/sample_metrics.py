"""Scores of samples as records, in the order of their table; `sample` computes the values."""

from __future__ import annotations

from dataclasses import dataclass

from fieldcast.scores.score_info import ScoreInfo

RECOGNISED_ACCURACY = 0.95  # accuracy of a classifier that nearly always recognises samples


@dataclass(frozen=True, kw_only=True)
class SampleMetric(ScoreInfo):
    """A score of a set of samples or of a density.

    Parameters
    ----------
    unit
        Unit of the score; empty for a number without one.
    digits
        Number format of a value in the summary of a run.
    """

    unit: str = ""
    digits: str = ".3g"

    @property
    def heading(self) -> str:
        """Title and unit, for the head of a column."""
        return f"{self.title} [{self.unit}]" if self.unit else self.title


SAMPLE_METRICS: dict[str, SampleMetric] = {
    "elbo": SampleMetric(
        title="ELBO",
        explanation="evidence lower bound on the log-likelihood of a datum: its log-likelihood given the latent "
        "(reconstruction) minus the KL divergence from posterior to prior. Comparable only between models of the "
        "same data (binarised, dequantised, standardised …).",
        better="higher",
        summary=4,
        unit="nats",
        digits=".5g",
    ),
    "reconstruction": SampleMetric(
        title="reconstruction",
        explanation="log-likelihood of a datum given its latent, the first term of the ELBO.",
        better=None,
        unit="nats",
    ),
    "kl": SampleMetric(
        title="KL",
        explanation="KL divergence of the posterior of the latent from the prior, the second term of the ELBO.",
        better=None,
        unit="nats",
    ),
    "iwae": SampleMetric(
        title="IWAE",
        explanation="importance-weighted lower bound from K draws of the latent. It increases with K towards the "
        "log-likelihood, and is usually a few nats above the ELBO.",
        better="higher",
        summary=5,
        unit="nats",
        digits=".5g",
    ),
    "active_units": SampleMetric(
        title="active units",
        explanation="number of latent components whose posterior mean has a variance above 0.01 over the test data; "
        "the decoder ignores the others.",
        better=None,
    ),
    "outside_prior": SampleMetric(
        title="codes outside the prior",
        explanation="share of the codes of test data that lie outside the region of highest density that holds 95 % of "
        "the prior; 5 % if the codes are distributed as the prior.",
        better=0.05,
    ),
    "unused_prior": SampleMetric(
        title="unused prior",
        explanation="share of the prior where the aggregate posterior, the mixture of the posteriors of training data, "
        "has less than a tenth of its density: samples from there resemble no data. With many latent components nearly "
        "all of the prior lies between the posteriors.",
    ),
    "aggregate_kl": SampleMetric(
        title="KL of aggregate posterior",
        explanation="KL divergence of the aggregate posterior, the mixture of the posteriors of training data, from "
        "the prior; an upper bound for all data, close for a latent of few components. The rest of the KL is the "
        "information that a code carries on its datum.",
        unit="nats",
    ),
    "bits_per_dim": SampleMetric(
        title="bits/dim",
        explanation="negative log-likelihood in bits per value (a grey value of an image, a standardised value of a "
        "field), or an upper bound where the model gives only a bound on its density; for fields it may be negative.",
        summary=6,
        digits=".4g",
    ),
    "fid": SampleMetric(
        title="FID",
        explanation="Fréchet distance between the features of samples and of real data, each fitted by one Gaussian. "
        "The features are specific to this project: values are comparable neither with those of Inception features "
        "nor between data sets. The bias is positive and grows as the number of samples "
        "falls: compare only equal numbers.",
        summary=1,
        digits=".4g",
    ),
    "kid": SampleMetric(
        title="KID",
        explanation="kernel distance of the same features, unbiased and without the Gaussian assumption: for samples "
        "from the distribution of the data it is 0 on average, and sometimes negative.",
        summary=2,
    ),
    "kid_sd": SampleMetric(
        title="KID, deviation",
        explanation="standard deviation of KID over the 100 subsets of which it is the mean, the ± that is usually "
        "printed beside it; its interval is that of the mean.",
        better=None,
    ),
    "fid_floor": SampleMetric(
        title="FID of real data",
        explanation="FID of equally many training states, the score of a perfect model.",
        better=None,
    ),
    "kid_floor": SampleMetric(
        title="KID of real data",
        explanation="KID of equally many training states, the score of a perfect model.",
        better=None,
    ),
    "c2st": SampleMetric(
        title="C2ST",
        explanation="classifier two-sample test: the accuracy with which a classifier separates held-out samples "
        "from real data. 50 % means indistinguishable, 100 % always separated.",
        better=0.5,
        summary=3,
        digits=".3f",
    ),
    "test_loss": SampleMetric(
        title="test MSE",
        explanation="mean squared error of reconstructed test data.",
        summary=7,
    ),
    "train_loss": SampleMetric(
        title="training MSE",
        explanation="mean squared error of reconstructed training data.",
        better=None,
    ),
}
