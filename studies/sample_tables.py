"""Tables of samples that `make tables` runs, and the budget of each setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Parameters = Mapping[str, object]
# distances in each of the other feature spaces
SPACE_SCORES = "fid", "fid_floor", "kid", "kid_half", "kid_floor"


@dataclass(frozen=True)
class Setting:
    """Budget of a run: `common` applies to every row, `of` to the rows of one table.

    A setting of some `tables` alone stands in docs/results/sample.md beside another one, between its own `mark`s.
    Tables in `fewer` have that number of seeds: their rows take hours, or only illustrate another table.
    """

    seeds: int
    common: Parameters
    of: Mapping[str, Parameters] = field(default_factory=dict)
    description: str = ""
    tables: tuple[str, ...] = ()  # all, if empty
    fewer: Mapping[str, int] = field(default_factory=dict)
    mark: str = "samples"

    def seeds_of(self, table: Table) -> range:
        """Seeds of the rows of a table."""
        return range(self.fewer.get(table.name, self.seeds))


@dataclass(frozen=True, eq=False)
class Row:
    """One experiment of one table."""

    experiment: str
    params: Parameters = field(default_factory=dict)
    reported: str = ""  # value in the report
    settings: tuple[str, ...] = ()  # to which the row is limited
    label: str = ""  # beside the experiment's name


@dataclass(frozen=True)
class Table:
    """Experiments to compare, the scores to print, and notes."""

    name: str
    env: str
    title: str
    scores: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: str
    against: str = ""  # experiment that the first score of the others is tested against
    reported_runs: int = 0  # number of runs behind each ± of the report
    shares: str = ""  # table whose runs it prints, with other scores

    def of(self, setting: str) -> list[Row]:
        """Rows of a setting."""
        if self.name not in (SETTINGS[setting].tables or (self.name,)):
            return []
        return [row for row in self.rows if setting in (row.settings or SETTINGS)]


def z40(experiment: str) -> dict[str, object]:
    """The literature's protocol (Tomczak and Welling 2018): z = 40, binarised again at each step."""
    model = f"sample.{experiment}.model"
    return {
        f"{model}.latent": 40, f"{model}.encoder.latent": 40, f"{model}.decoder.latent": 40,
        f"sample.{experiment}.options.treatment": "bernoulli",
    }  # fmt: skip


def by_class(experiment: str, reported: str) -> tuple[Row, Row]:
    """Means of a class start at a standard normal point, or around it, as far as the points are apart."""
    encoder = f"sample.{experiment}.model.encoder"
    start = {f"{encoder}.by_class": True, f"{encoder}.start": 1.0}
    return (
        Row(experiment, start, reported, label="one point"),
        Row(experiment, {**start, f"{encoder}.jitter": 1.0}, label="jitter 1"),
    )


def four_halvings(epochs: int) -> Row:
    """The report's U-Net, 28 x 28 cells padded to 32 x 32 and halved four times; all images except 1000."""
    fit = "sample.ddpm_four_halvings.fit"
    options: Parameters = {f"{fit}.steps": epochs * 59_000 // 64, f"{fit}.patience": 20}
    label = f"{epochs} epoch{'s' if epochs > 1 else ''}"
    return Row("ddpm_four_halvings", options, ".018 / .012 ± .004", settings=("002",), label=label)


CONTINUOUS = {
    "sample.vae_flow.model.likelihood.type": "likelihoods.ContinuousBernoulli",
    "sample.vae_flow.options.treatment": "dequantised",
}
GREY = {
    "sample.vae.model.latent": 10,
    "sample.vae.model.likelihood.type": "likelihoods.ContinuousBernoulli",
    "sample.vae.options.treatment": "grey",
}
TWO_HOURS = 7  # epochs of the U-Net with four halvings that two hours of two cores allow
PRIORS = (
    Row("vae", reported="-135.00 ± .40 / -29.40 ± 2.95"),
    Row("vae_mixture", reported="-134.07 ± .41 / -29.12 ± 2.10"),
    Row("vae_vamp", reported="-134.00 ± .29 / -28.83 ± 1.76"),
    Row("vae_flow", reported="-134.88 ± .66 / -27.27 ± 2.71"),
)
QUALITY = (
    Row("vae_flow", CONTINUOUS, reported="4.168 / .189 ± .008"),
    Row("flow", reported=".452 / .158 ± .010", settings=("full",)),
    Row("flow_two_networks", reported=".452 / .158 ± .010"),
    Row(
        "ddpm", {"sample.ddpm.model.patch": 1, "sample.ddpm.fit.steps": 3 * 59_000 // 64}, ".018 / .012 ± .004",
        settings=("002",), label="without patches, 3 epochs",
    ),
    *map(four_halvings, (1, 3, TWO_HOURS)),
    Row("ddpm_four_halvings", reported=".018 / .012 ± .004", settings=("full",)),
)  # fmt: skip
LATENT = "the published values: Exemplar VAE's table, S = 5000"
TABLES = (
    Table(
        "priors", "mnist", "Priors of a VAE with a latent of two components, MNIST binarised at 1/2",
        ("elbo", "reconstruction", "kl", "iwae", "active_units"),
        PRIORS,
        "The report's columns are ELBO / IWAE; its IWAE is impossible: a tighter bound lies a few nats above "
        "the ELBO. It used 10 runs of 20 epochs with batches of 128; here layers (two of 512), batch and epochs are "
        "the same, with a moving average of the weights and a decaying learning rate. The report finds that the prior "
        "has no significant impact; its own table says otherwise, as the test below shows.",
        against="vae", reported_runs=10,
    ),
    Table(
        "prior_fit", "mnist", "The aggregate posterior beside the prior, a latent of two components, MNIST binarised",
        ("outside_prior", "unused_prior", "aggregate_kl"),
        tuple(Row(row.experiment, row.params) for row in PRIORS),
        "Gaps in the prior, and points where its density is low, by numbers that do not depend on the scale of the "
        "latent: the share of the codes of 2000 test images, each drawn from its posterior, outside the prior's "
        "region "
        "of highest density of 95 % (.05 for a prior that fits); the share of the prior's mass where the aggregate "
        "posterior, the mixture of the posteriors of 20 000 training images, has less than a tenth of the prior's "
        "density (0 for a prior that fits); and the KL divergence of the aggregate posterior from the prior in nats, "
        "each by 4000 draws. The report sees more gaps and more points of low density with the Gaussian "
        "prior "
        "than with the others, in four pictures. The models are those of the table above, with their first three "
        "seeds.",
        against="vae",
    ),
    Table(
        "quality", "mnist", "Samples of three kinds of model, MNIST dequantised",
        (
            "fid", "fid_floor", "fid_ceiling", "kid", "kid_half", "kid_sd", "kid_floor", "kid_ceiling", "c2st",
            "bits_per_dim",
        ),
        QUALITY,
        "The report's columns are FID / KID of 256 test images against 256 samples; it cites the papers of "
        "both distances and does not say in which features it computed them, so only the order is comparable. "
        "FID and "
        "KID here use a project-specific classifier and must never be compared with Inception values; FID is biased "
        "by the number of samples; the floor is the score of training images, the ceiling that of noise with the "
        "correct marginal distribution in each pixel. A VAE's samples are means of pixels. The bits per "
        "dimension of a "
        "diffusion model are the bound of its training chain of 1000 steps, whichever sampler is used. In the "
        "report the flow, after 20 epochs, is far ahead of the VAE by FID alone: by KID they are close, and "
        "it finds the VAE's digits easier to read. "
        "kid_half is half of the 95 % interval of KID, by the jackknife over images; kid_sd its standard deviation "
        "over "
        "subsets, as in the report's ±. The rows of a diffusion model are trainings of their own: each lets "
        "its "
        "learning rate decay to zero over its epochs. The report trains 100 epochs of a U-Net with four "
        "halvings; "
        "its sampler adds no noise at its last two steps, the one here none at its last.",
    ),
    Table(
        "spaces", "mnist", "The order of the three kinds of model in two other feature spaces, MNIST dequantised",
        (*SPACE_SCORES, *(f"{score}_{space}" for space in ("pixels", "fashion") for score in SPACE_SCORES)),
        tuple(Row(row.experiment, row.params, settings=row.settings, label=row.label) for row in QUALITY),
        "The samples of the table above, each column in one space: fid and kid, that table's; pixels, the 64 "
        "leading principal "
        "components of the grey values of the training images, as fractions of white; fashion, the last hidden "
        "layer of "
        "the classifier of Fashion-MNIST, which never saw a digit. Half is half of the 95 % interval.",
        shares="quality",
    ),
    Table(
        "codes", "fashion_mnist", "Autodecoders, Fashion-MNIST, latent 100: mean squared error of a pixel",
        ("train_loss", "test_loss", "elbo"),
        (
            Row("autodecoder", reported=".0252 / .1186"),
            Row("variational_autodecoder", reported=".0186 / .1112"),
            Row("variational_autodecoder_uniform", reported=".1457 / .1644"),
            Row("variational_autodecoder_laplace", reported=".0204 / .1118"),
            Row("variational_autodecoder_by_class", reported=".0186 / .1112"),
        ),
        "The report's columns are train / test; it does not define its loss. Here the codes of both sets are "
        "fitted afresh by gradient descent with a fixed decoder. Images are presented as grey values, so the ELBO is "
        "that of a Gaussian density of grey values and not comparable with that of binarised images. The "
        "report trained by Adam with a learning rate of 0.01; here AdamW has a decaying rate of at most 0.01. "
        "In the last row all parameters of a class start at one random set, as in the report's variational "
        "models: a mean N(0, 1) and a log variance N(0, 1) in each component; codes of the scored images start at "
        "random, "
        "there as here.",
    ),
    Table(
        "codes_by_class", "fashion_mnist", "Autodecoders whose codes of a class start at one point, Fashion-MNIST",
        ("train_loss", "test_loss", "elbo"),
        (
            *by_class("autodecoder", ".0252 / .1186"),
            *by_class("variational_autodecoder", ".0186 / .1112"),
            *by_class("variational_autodecoder_uniform", ".1457 / .1644"),
            *by_class("variational_autodecoder_laplace", ".0204 / .1118"),
        ),
        "The models of the table above with the means of a class at one point, and a spread of .1 for all: a random "
        "point for each class, N(0, 1) in each component, is the initial code of all its images; with jitter 1 the "
        "codes "
        "scatter around it as far as the points are apart.",
    ),
    Table(
        "grey", "fashion_mnist", "A VAE of grey values, Fashion-MNIST, latent 10",
        ("elbo", "reconstruction", "kl", "iwae", "active_units", "test_loss"),
        (Row("vae", GREY, reported="-"),),
        "The report gives no numbers; it asks for decoded grids over two components of the latent. The "
        "likelihood is a continuous Bernoulli of the grey values.",
    ),
    Table(
        "kl_weight", "mnist", "The weight of the KL divergence, MNIST binarised at 1/2",
        ("reconstruction", "kl", "iwae", "fid", "fid_floor", "fid_ceiling", "active_units"),
        (
            Row("vae_kl0", reported="sharp reconstructions, no sampling"),
            Row("vae", reported="-"),
            Row("vae_kl30", reported="blurry"),
        ),
        "The report gives no numbers. FID compares means of pixels with binary images.",
    ),
    Table(
        "literature", "mnist", "The literature's protocol: z = 40, dynamic binarisation",
        ("elbo", "iwae", "active_units"),
        (
            Row("vae", z40("vae"), reported="-84.45 ± 0.12"),
            Row(
                "vae_vamp", {**z40("vae_vamp"), "sample.vae_vamp.model.prior.components": 500},
                reported="-82.43 ± 0.06",
            ),
        ),
        f"The last column has {LATENT}, after up to 2000 epochs with early stopping, a KL weight that rises over 100 "
        "epochs, a learning rate of 5e-4 and two gated layers of 300; here the model has two layers of 512 with "
        "ReLU, "
        "no gates and no KL warm-up.",
    ),
)  # fmt: skip
FASHION = {"ingestion.images.train": 12_000, "ingestion.images.test": 2_000}
CODES = {
    f"sample.{row.experiment}.fit.steps": 1500
    for table in TABLES
    if table.name.startswith("codes")
    for row in table.rows
}
EPOCHS = 20 * 59_000 // 128  # steps of 20 epochs of the report's setting
SETTINGS = {
    "002": Setting(
        10,
        {
            "ingestion.images.validation": 1000,
            "sampling.samples": 256, "sampling.data": 2000, "sampling.draws": 256,
            **{
                f"sample.{name}.fit.{option}": value
                for name in ("vae", "vae_mixture", "vae_vamp", "vae_flow")
                for option, value in (("steps", EPOCHS), ("report_every", 461), ("patience", 20))
            },
        },
        description="002, the budget of report 002: ten seeds (one for samples); 20 epochs of all training "
        "images except 1000, on which the best weights are selected. Scores use 2000 of the 10 000 test images, and "
        "an IWAE with K = 256. The KL, where it has no closed form, is estimated from 256 draws (in training from "
        "one; the report uses 256). The flow with two networks for s and t is trained for the report's 20 epochs, the "
        f"DDPM on 28 x 28 cells for 1, 3 and {TWO_HOURS} of its 100: with four halvings a step of 64 images takes "
        "1.7 s of "
        f"a core, an epoch 25 minutes, and two hours of two cores allow {TWO_HOURS} epochs and the samples",
        of={
            "quality": {
                "sampling.data": 256,
                "sample.flow_two_networks.fit.steps": EPOCHS, "sample.flow_two_networks.fit.report_every": 461,
                "sample.flow_two_networks.fit.patience": 20, "sample.flow_two_networks.fit.validation": 1000,
            },
        },
        tables=("priors", "prior_fit", "quality", "spaces"), fewer={"quality": 1, "spaces": 1, "prior_fit": 3},
        mark="002",
    ),
    "reduced": Setting(
        3,
        {"sampling.samples": 1000, "sampling.data": 1000, "sampling.draws": 500},
        {
            "codes": {**FASHION, **CODES, "sampling.data": 256, "sampling.draws": 64},
            "codes_by_class": {**FASHION, **CODES, "sampling.data": 256, "sampling.draws": 64},
        },
        "reduced, for a CPU: three seeds (one for codes that start by class); IWAE with K = 500 on 1000 test images; "
        "1000 samples (FID is biased by that number); autodecoders: 10 000 training and 2000 test images, with "
        "losses "
        "and ELBO computed on 256 of each",
        tables=("codes", "codes_by_class", "grey", "kl_weight", "literature"), fewer={"codes_by_class": 1},
    ),
    "full": Setting(
        10,
        {"sampling.samples": 10_000, "sampling.data": 10_000, "sampling.draws": 5000},
        {
            "quality": {
                "sample.flow.fit.steps": 40_000, "sample.flow_two_networks.fit.steps": 40_000,
                "sample.ddpm_four_halvings.fit.steps": 80_000, "sampling.draws": 1000,
            },
            "codes": {"sampling.data": 10_000, "sampling.draws": 500},
            "codes_by_class": {"sampling.data": 10_000, "sampling.draws": 500},
            "literature": {
                "sample.vae.fit.steps": 200_000, "sample.vae_vamp.fit.steps": 200_000,
                "sample.vae.fit.patience": 50, "sample.vae_vamp.fit.patience": 50,
            },
        },
        "full, for a GPU: ten seeds; IWAE with K = 5000 and 10 000 samples on all test images; 40 000 steps of the "
        "flows, 80 000 of the diffusion model (87 epochs) and 200 000 of the VAEs of the literature's protocol",
    ),
}  # fmt: skip
