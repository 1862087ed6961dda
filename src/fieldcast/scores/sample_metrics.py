"""Every score of samples as one record, in the order of its table. The values are computed by `sample`."""

from __future__ import annotations

from dataclasses import dataclass

from fieldcast.scores.metrics import Legend


@dataclass(frozen=True, kw_only=True)
class SampleMetric(Legend):
    """A score of a set of samples or of a density.

    Parameters
    ----------
    unit
        Unit of the score; empty for a number without one.
    digits
        Format of a value in the summary of a run.
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
        explanation="a lower bound of the log-likelihood of a datum: the log-likelihood of the datum given its latent "
        "(reconstruction) minus the KL divergence of posterior and prior. Only models that see the same data "
        "(binarised, dequantised, standardised …) compare.",
        better="higher",
        summary=4,
        unit="nats",
        digits=".5g",
    ),
    "reconstruction": SampleMetric(
        title="reconstruction",
        explanation="the log-likelihood of a datum given its latent, the first term of the ELBO.",
        better=None,
        unit="nats",
    ),
    "kl": SampleMetric(
        title="KL",
        explanation="how far the posterior of the latent is from the prior, the second term of the ELBO.",
        better=None,
        unit="nats",
    ),
    "iwae": SampleMetric(
        title="IWAE",
        explanation="a tighter lower bound from K draws of the latent; it rises with K to the log-likelihood itself, "
        "and usually lies a few nats above the ELBO.",
        better="higher",
        summary=5,
        unit="nats",
        digits=".5g",
    ),
    "active_units": SampleMetric(
        title="active units",
        explanation="components of the latent whose posterior mean has a variance above 0.01 over test data: the "
        "decoder ignores the others.",
        better=None,
    ),
    "bits_per_dim": SampleMetric(
        title="bits/dim",
        explanation="the density of a flow (exact) or of a diffusion (a bound) as the bits that store one cell of a "
        "datum: a grey value of an image or a standardised value of a field, which may be below 0.",
        summary=6,
        digits=".4g",
    ),
    "fid": SampleMetric(
        title="FID",
        explanation="the Fréchet distance of the features of samples and of real data, each as one Gaussian. The "
        "features are this project’s own: values compare neither with those of Inception features nor between data "
        "sets. It is biased upwards, more so for fewer samples: only values of equally many compare.",
        summary=1,
        digits=".4g",
    ),
    "kid": SampleMetric(
        title="KID",
        explanation="the kernel distance of the same features, unbiased and without the Gaussian assumption: 0 on "
        "average, and sometimes below it, for samples of the distribution of the data.",
        summary=2,
    ),
    "fid_floor": SampleMetric(
        title="FID of real data", explanation="the FID of as many training states.", better=None
    ),
    "kid_floor": SampleMetric(
        title="KID of real data", explanation="the KID of as many training states.", better=None
    ),
    "c2st": SampleMetric(
        title="C2ST",
        explanation="the accuracy of a classifier of samples and real data on others of both (two-sample test). 50 %: "
        "indistinguishable; 100 %: always told apart.",
        better=0.5,
        summary=3,
        digits=".3f",
    ),
    "test_loss": SampleMetric(
        title="test MSE",
        explanation="the mean squared error of reconstructed test data.",
        summary=7,
    ),
    "train_loss": SampleMetric(
        title="training MSE",
        explanation="the mean squared error of reconstructed training data.",
        better=None,
    ),
}
