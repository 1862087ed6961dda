"""Claims of the reports, and the numbers that answer each; `studies.report_pages` writes them as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from studies import autodecoder_trials, full_vae
from studies.make_tables import ROOT, Job, key
from studies.mse_of_000 import last_below
from studies.sample_tables import SETTINGS, TABLES

RESULTS = ROOT / "docs" / "results"


@dataclass(frozen=True)
class Compared:
    """A claim that a score of an experiment is lower or higher than that of another one, in each of some cases."""

    report: str
    text: str
    experiment: str
    reference: str
    score: str
    direction: Literal["lower", "higher", "equal", "not lower"] = "lower"
    cases: tuple[Mapping[str, object], ...] = ({},)  # lead times, or patterns with k; samples have one case
    picture: str = ""
    table: str = ""  # samples: the setting and the table of studies/sample_tables.py
    label: str = ""  # samples: the label of the row of the experiment
    unit: str = ""
    beside: Callable[[], str] | None = None  # more numbers of the full tables

    @property
    def task(self) -> str:
        return self.experiment.partition(".")[0]

    @property
    def names(self) -> tuple[str, str]:
        """Names of both experiments without their task."""
        return self.experiment.partition(".")[2], self.reference.partition(".")[2]

    @property
    def pair(self) -> str:
        """Both experiments as the table names them."""
        ours, reference = self.names
        return f"`{ours}`{f' ({self.label})' if self.label else ''} against `{reference}`"


@dataclass(frozen=True)
class Stated:
    """A claim that other numbers answer: a function gives these, full and quick, and the verdict."""

    report: str
    text: str
    answer: Callable[[], tuple[str, str, str]]
    picture: str = ""


def k(*fractions: float) -> tuple[Mapping[str, object], ...]:
    """Cases of random masks."""
    return tuple({"pattern": "random", "k": fraction} for fraction in fractions)


def days(*leads: int) -> tuple[Mapping[str, object], ...]:
    """Cases of lead times."""
    return tuple({"lead_hours": 24 * lead} for lead in leads)


def recorded(table: str, experiment: str, label: str = "") -> pd.DataFrame:
    """Lines of docs/results/samples.csv of a row of a table, "setting table": one for each seed."""
    setting, _, name = table.partition(" ")
    keys = {
        key(Job(setting, each, row, seed))
        for each in TABLES
        for row in each.of(setting)
        if (each.name, row.experiment, row.label) == (name, experiment, label)
        for seed in SETTINGS[setting].seeds_of(each)
    }
    lines = pd.read_csv(RESULTS / "samples.csv", index_col=["setting", "row", "seed"])
    return lines[[line in keys for line in lines.index]]


def rollouts() -> tuple[str, str, str]:
    """The step at which members and fed-back means diverge."""
    table = pd.read_csv(RESULTS / "planet_rollouts.csv").set_index("experiment")["diverged"]
    steps = {name: int(table[name]) for name in ("vae", "vae_mean", "vae_rk4", "vae_rk4_mean")}
    text = ", ".join(f"`{name}` {step}" for name, step in steps.items())
    stable = steps["vae_mean"] > steps["vae"] and steps["vae_rk4_mean"] > steps["vae_rk4"]
    return (
        f"diverge (RMS of the anomalies above 3) at step: {text} (`make tables SETTING=planet`)",
        "–",
        "holds" if stable else "does not",
    )


def speed() -> tuple[str, str, str]:
    """Seconds of the long rollout and the machine, from the record of the benchmark; the report names no machine."""
    machine, *lines = (ROOT / "benchmarks" / "results" / "rollout.txt").read_text("utf-8").splitlines()
    line = next(" ".join(line.split()) for line in lines if "500 steps" in line)
    evaluations = "ten members by RK4, a draw at each stage: as many evaluations of the network as there"
    return f"{line}, on {machine}, {evaluations} (`python -m benchmarks.rollout`)", "–", "not comparable"


def training_times() -> tuple[str, str, str]:
    """Minutes of training and scoring of the full VAE and of the decoders; these differ from the report's in size."""
    table = pd.read_csv(RESULTS / "runs.csv").query("setting == 'planet' and task == 'forecast'")
    minutes = table.set_index("experiment")["seconds"] / 60
    text = ", ".join(f"`{name}` {minutes[name]:.1f} min" for name in ("vae", "decoder_l1", "decoder_l5"))
    measured = (
        "scores included, two cores: `vae` and `decoder_l5`, which has half of the channels, for 1200 steps, "
        "`decoder_l1` for up to 4000 (`make tables SETTING=planet`)"
    )
    return f"{text}, {measured}", "–", "not comparable"


def changes_with_k() -> tuple[str, str, str]:
    """The error of the model that is given k, from the smallest to the largest observed fraction."""
    table = pd.read_csv(RESULTS / "planet_reconstruct.csv")
    matching = table.query("experiment == 'denoising_vae' and pattern == 'random' and variable == 'all'")
    rmse = matching[(matching["score"] == "rmse") & (matching["cells"] == "unobserved")].set_index("k")[
        "value"
    ]
    text = ", ".join(f"{rmse[fraction]:.3f} at {fraction:.0%}" for fraction in (0.01, 0.05, 0.1, 0.2, 0.5))
    ratio, of_the_report = rmse.max() / rmse.min(), rmse[0.05] / rmse[0.2]
    text += f": {ratio - 1:.0%} higher at 1% than at 50%, {of_the_report - 1:.0%} at 5% than at 20% (up to 10%: hardly)"
    verdict = "holds" if ratio < 1.1 else "depends" if of_the_report < 1.1 else "does not"
    return f"`denoising_vae`: RMSE {text} (`make tables SETTING=planet`)", "–", verdict


def below_one() -> tuple[str, str, str]:
    """The steps to which the mean squared error stays below 1 in the settings that the report may have had."""
    file = RESULTS / "mse_of_000.csv"
    if not file.exists():
        return "running (`python -m studies.mse_of_000 planet`)", "–", "–"
    names = {"variable": "one mean and deviation a variable", "cell": "by cell"}
    parts, agree, runs = [], [], 0
    for (data, by), lines in pd.read_csv(file).query("variable == 'all'").groupby(["data", "by"], sort=False):
        mse = lines.set_index("step")
        steps = ", ".join(
            f"{label} to {last_below(mse[label])}" for label in ("rk4", "persistence", "climatology")
        )
        parts.append(f"{data}, {names[str(by)]}: {steps}".replace("rk4 to -", "rk4 running"))
        runs += 1
        if mse["rk4"].notna().any():
            agree.append(int(last_below(mse["rk4"]).rstrip("+")) >= 50)
    head = "last step with an MSE of six-hourly fields below 1"
    text = f"{head}: {'; '.join(parts)} (`python -m studies.mse_of_000 --print-only`)"
    verdict = "holds" if all(agree) else "depends" if any(agree) else "does not"
    return text, "–", verdict if len(agree) == runs else "–"


def light_kl() -> tuple[str, str, str]:
    """The full VAE with the selected weight of the KL minus the decoder, on both records."""
    lines = pd.read_csv(RESULTS / "full_vae_differences.csv").query("variant == 'kl_.03' and score == 'rmse'")
    parts, agree = [], []
    for setting in ("planet", "sea_level_pressure"):
        differences = lines[lines["setting"] == setting].set_index("lead")
        cells = {lead: full_vae.cell(differences.loc[lead]).rstrip() for lead in (1, 3, 10)}
        parts.append(
            f"{setting.replace('_', ' ')}: "
            + "; ".join(f"{text} at {lead} d" for lead, text in cells.items())
            + f" (`python -m studies.full_vae {setting} --print-only`)"
        )
        agree += [differences.loc[lead, "high"] < 0 for lead in cells]
    verdict = "holds" if all(agree) else "depends" if any(agree) else "does not"
    return f"`kl_.03` against `decoder_l1`: difference of the RMSE, {'; '.join(parts)}", "–", verdict


def gap() -> tuple[str, str, str]:
    """Losses of the autodecoder on training and test images."""
    lines = recorded(CODES, "autodecoder")
    if lines.empty:
        return "running", "–", "–"
    train, test = lines["train_loss"].mean(), lines["test_loss"].mean()
    trial = pd.read_csv(autodecoder_trials.RECORD).set_index(["trial", "steps", "split"])["error"]
    name, steps = autodecoder_trials.TRIALS[0].label, autodecoder_trials.STEPS[0]
    learnt, short = trial[name, 0, "train"], trial[name, steps, "test"]
    return (
        f"`autodecoder`: {train:.4f} in training, {test:.4f} in the test, {test / train:.1f} times "
        f"(`make tables SETTING=reduced`); after {steps} steps of the fit of the codes {short:.4f} in the test, "
        f"{short / learnt:.1f} times the error of the learned ones "
        "(`python -m studies.autodecoder_trials --print-only`)",
        "–",
        "depends" if short > 2 * learnt else "does not",
    )


def variational_gaps() -> tuple[str, str, str]:
    """Losses of the variational autodecoders on training and test images."""
    losses = {}
    for name in (
        "variational_autodecoder",
        "variational_autodecoder_uniform",
        "variational_autodecoder_laplace",
    ):
        lines = recorded(CODES, name)
        losses[name] = lines["train_loss"].mean(), lines["test_loss"].mean()
    parts = [
        f"`{name}` {train:.4f} and {test:.4f}, {test / train:.1f} times"
        for name, (train, test) in losses.items()
    ]
    normal, uniform, laplace = (test / train for train, test in losses.values())
    agree = [normal > 2, uniform < 2, laplace > 2]
    verdict = "holds" if all(agree) else "depends" if any(agree) else "does not"
    return f"{'; '.join(parts)} (`make tables SETTING=reduced`)", "–", verdict


def wide_start() -> str:
    """Errors of uniform posteriors that start narrow and wide."""
    trial = pd.read_csv(autodecoder_trials.RECORD).set_index(["trial", "steps", "split"])["error"]
    narrow, wide = (row.label for row in autodecoder_trials.TRIALS[3:5])
    return (
        f"; with the width 1 at the start, in one seed, {trial[wide, 0, 'train']:.4f} with the learned codes against "
        f"{trial[narrow, 0, 'train']:.4f} (`python -m studies.autodecoder_trials --print-only`)"
    )


def converged() -> tuple[str, str, str]:
    """The training of the diffusion model, which is far shorter than that of the report."""
    lines = recorded(QUALITY, "ddpm", SHORT)
    fid, floor = lines["fid"].mean(), lines["fid_floor"].mean()
    return (
        f"`ddpm`: after 3 epochs FID {fid:.1f}, real images {floor:.1f} (`make tables SETTING=002`); 100 were "
        "not tried",
        "–",
        "not tried",
    )


def iwae() -> tuple[str, str, str]:
    """ELBO and IWAE of the VAE with a Gaussian prior."""
    lines = recorded(PRIORS, "vae")
    elbo, bound = lines["elbo"].mean(), lines["iwae"].mean()
    verdict = "does not" if bound - elbo < 20 else "holds"
    return f"`vae`: ELBO {elbo:.1f}, IWAE {bound:.1f} with K = 256 (`make tables SETTING=002`)", "–", verdict


def notebook(compared_by: str, verdict: str = "holds") -> Callable[[], tuple[str, str, str]]:
    """A derivation that the notebook compares with something else."""
    link = "[notebook](../../notebooks/generative_models.ipynb)"
    return lambda: (f"{compared_by} ({link})", "–", verdict)


def by_eye(verdict: str = "–") -> Callable[[], tuple[str, str, str]]:
    """A claim about pictures, with the verdict of whoever looked at them."""
    return lambda: ("see the picture", "–", f"{verdict}, by eye" if verdict != "–" else verdict)


RESIDUAL = "reconstruct.denoising_vae_residual"
PRIORS, CODES, QUALITY = "002 priors", "reduced codes", "002 quality"
SHORT = "without patches, 3 epochs"  # label of the diffusion model's row
NATS = "nats"
CLAIMS_OF_REPORTS: tuple[Compared | Stated, ...] = (
    Compared(
        "000", "A model that returns the filled field, told k, has a lower error than one that returns a correction.",
        "reconstruct.denoising_vae", RESIDUAL, "rmse", cases=k(0.05, 0.1, 0.2), picture="reconstructions.png",
    ),
    Compared(
        "000", "An RK4 step of the correction is not better than an Euler step.",
        f"{RESIDUAL}_rk4", RESIDUAL, "rmse", "not lower", k(0.05, 0.1, 0.2), "error_over_time.png",
        beside=lambda: "; with weights trained for the Euler step",
    ),
    Stated("000", "With k told, the error hardly changes with k.", changes_with_k, "error_over_time.png"),
    Compared(
        "000", "Telling the decoder k works.",
        "reconstruct.denoising_vae", "reconstruct.denoising_vae_unconditioned", "rmse", cases=k(0.05, 0.1, 0.2),
        beside=lambda: "; elsewhere the report says that it \"didn't matter too much\"",
    ),
    Stated(
        "000",
        "The full VAE trains faster than the decoder: in two minutes, against five for the five-state decoder.",
        training_times,
    ),
    Compared(
        "000", "Predicting the next state itself works less well than predicting its change.",
        "forecast.vae_direct", "forecast.vae", "rmse", "higher", days(1, 3, 10),
    ),
    Stated(
        "000", "Feeding back the mean of an ensemble makes the iteration much more stable.", rollouts, "stability.png"
    ),
    Stated("000", "500 RK4 steps with ten samples at each stage take 30 s.", speed),
    Stated("000", "The mean squared error stays below 1 up to step 50, almost two weeks.", below_one, "mse_of_000.png"),
    Compared(
        "000", "With two previous states the decoder is no better than the full VAE.",
        "forecast.decoder_l2", "forecast.vae", "rmse", "not lower", days(1, 3, 10), "decoder_errors.png",
    ),
    Compared(
        "000", "With five previous states the decoder is no better than the full VAE.",
        "forecast.decoder_l5", "forecast.vae", "rmse", "not lower", days(1, 3, 10), "decoder_errors.png",
    ),
    Compared(
        "000", "RK4 steps of the decoder of two states are equivalent to Euler steps.",
        "forecast.decoder_l2_rk4", "forecast.decoder_l2", "rmse", "equal", days(1, 3, 10),
    ),
    Compared(
        "000", "The full VAE has a lower error than the decoder alone.",
        "forecast.vae", "forecast.decoder_l1", "rmse", cases=days(1, 3, 10), picture="decoder_errors.png",
    ),
    Compared(
        "000", "The full VAE has a lower CRPS than the decoder alone.",
        "forecast.vae", "forecast.decoder_l1", "crps", cases=days(1, 3, 10),
    ),
    Compared(
        "000", "RK4 steps of the full VAE are usually slightly better than Euler steps.",
        "forecast.vae_rk4", "forecast.vae", "rmse", cases=days(1, 3, 10),
    ),
    Stated(
        "000",
        "(Not in the report.) The full VAE has a lower error than the decoder if its KL is light enough that it uses z "
        "(weight .03).",
        light_kl,
    ),
    Stated(
        "000", "Forward diffusion tends to a Gaussian.",
        notebook(
            "simulated chains beside the closed form: it does if the sum of the beta_t diverges; variances of noise "
            "add, not standard deviations as in the report",
            "depends",
        ),
    ),
    Stated("001", "The autodecoder's loss is .0252 on training images and .1186 on test images: five times.", gap),
    Stated(
        "001",
        "The variational ones have .0186 and .1112 (normal), .1457 and .1644 (uniform), .0204 and .1118 (Laplace): "
        "five to six times, of uniform ones 1.1 times.",
        variational_gaps,
    ),
    Stated(
        "001", "Codes of test images decode to better pictures than random codes.", by_eye("holds"), "decoded_codes.png"
    ),
    Compared(
        "001", "Starting all codes of a class at one point helps the variational autodecoder.",
        "sample.variational_autodecoder_by_class", "sample.variational_autodecoder", "test_loss",
        table=CODES,
    ),
    Compared(
        "001",
        "(By its numbers.) The variational autodecoder has a lower test loss (.1112) than the autodecoder (.1186).",
        "sample.variational_autodecoder", "sample.autodecoder", "test_loss", table=CODES,
    ),
    Stated(
        "001",
        "In the t-SNE of the codes Pullover and Shirt lie among one another, so that they cannot be generated well "
        "(the latter was not tried).",
        by_eye("mostly holds"), "embeddings.png",
    ),
    Stated(
        "001", "The t-SNE of test codes is divided by class: the latent space was learned, not left as it started.",
        by_eye("mostly holds"), "embeddings.png",
    ),
    Compared(
        "001", "(By its numbers.) Uniform posteriors are far worse (.1644).",
        "sample.variational_autodecoder_uniform", "sample.variational_autodecoder", "test_loss", "higher", table=CODES,
        beside=wide_start,
    ),
    Compared(
        "001", "(By its numbers.) Laplace posteriors are about as good as normal ones (.1118 and .1112).",
        "sample.variational_autodecoder_laplace", "sample.variational_autodecoder", "test_loss", "equal", table=CODES,
    ),
    *(
        Compared(
            "002", f"A {prior} prior does not change the ELBO (in the report by {change}).",
            f"sample.{name}", "sample.vae", "elbo", "equal", picture="priors.png", table=PRIORS, unit=NATS,
        )
        for prior, name, change in (
            ("mixture", "vae_mixture", "+.93"), ("VampPrior", "vae_vamp", "+1.00"), ("flow", "vae_flow", "+.12"),
        )
    ),
    *(
        Compared(
            "002", f"A {prior} prior does not change the IWAE.",
            f"sample.{name}", "sample.vae", "iwae", "equal", table=PRIORS, unit=NATS,
        )
        for prior, name in (("mixture", "vae_mixture"), ("VampPrior", "vae_vamp"), ("flow", "vae_flow"))
    ),
    Stated("002", "The IWAE is −29, a hundred nats above the ELBO.", iwae),
    *(
        Compared(
            "002", f"The Gaussian prior has more gaps than the {prior}: mass where no image is encoded.",
            "sample.vae", f"sample.{name}", "unused_prior", "higher", picture="priors.png", table="002 prior_fit",
        )
        for prior, name in (("mixture", "vae_mixture"), ("VampPrior", "vae_vamp"), ("flow", "vae_flow"))
    ),
    *(
        Compared(
            "002", f"More points lie where the prior's density is low with the Gaussian prior than with the {prior}.",
            "sample.vae", f"sample.{name}", "outside_prior", "higher", picture="priors.png", table="002 prior_fit",
        )
        for prior, name in (("mixture", "vae_mixture"), ("VampPrior", "vae_vamp"), ("flow", "vae_flow"))
    ),
    Compared(
        "002", "The flow's samples have a lower FID than the VAE's (.452 and 4.168).",
        "sample.flow_two_networks", "sample.vae_flow", "fid", picture="samples.png", table=QUALITY,
    ),
    Compared(
        "002", "The flow's samples have a lower KID than the VAE's (.158 and .189).",
        "sample.flow_two_networks", "sample.vae_flow", "kid", picture="samples.png", table=QUALITY,
    ),
    Compared(
        "002", "The DDPM's samples have a lower FID (.018) than the flow's.",
        "sample.ddpm", "sample.flow_two_networks", "fid", picture="samples.png", table=QUALITY,
        label=SHORT,
    ),
    Compared(
        "002", "The DDPM's samples have a lower KID (.012) than the flow's.",
        "sample.ddpm", "sample.flow_two_networks", "kid", picture="samples.png", table=QUALITY,
        label=SHORT,
    ),
    Stated(
        "002", "The DDPM's digits are the clearest, the VAE's easier to read than the flow's.", by_eye("holds"),
        "samples.png",
    ),
    Stated(
        "002",
        "FID and KID reflect the visual quality of the samples (against which the report's own prefer the flow).",
        by_eye("depends"), "samples.png",
    ),
    Stated("002", "The flow captures the black background perfectly.", by_eye("mostly holds"), "samples.png"),
    Stated("002", "The DDPM has converged after 100 epochs, the others after 20.", converged),
    Compared(
        "003", "With a weight of 30 of the KL divergence, reconstructions are blurred.",
        "sample.vae_kl30", "sample.vae", "reconstruction", picture="kl_weight.png", table="reduced kl_weight",
        unit=NATS,
    ),
    Compared(
        "003", "With a weight of 0 reconstructions are good (here: as good as with 1).",
        "sample.vae_kl0", "sample.vae", "reconstruction", "equal", picture="kl_weight.png", table="reduced kl_weight",
        unit=NATS,
    ),
    Compared(
        "003", "With a weight of 0 the VAE is not a generative model (here: its samples are worse than with 1).",
        "sample.vae_kl0", "sample.vae", "fid", "higher", picture="kl_weight.png", table="reduced kl_weight",
    ),
    Stated(
        "003", "With a weight of 0 some digits stay unclear in the reconstructions (4 or 9).", by_eye("depends"),
        "kl_weight.png",
    ),
    Stated(
        "003", "(Question 3.) The KL divergence is a regularisation: it pulls the posterior towards the prior.",
        notebook(
            "trainings with the weights 0, 1 and 30: it also measures the information that z carries about the image"
        ),
    ),
    Stated(
        "003", "q(x₃ given x₀) is Gaussian, with the mean and the variance of three merged steps.",
        notebook("Gaussian, with the mean √(α₁α₂α₃) x₀: the report has α₁α₂α₃; closed form and simulation", "depends"),
    ),
    Stated(
        "004", "(Questions 1 to 3.) Each term of the ELBO, its weight, and the distribution of the means of the codes.",
        notebook("trainings with the weights 0, 1 and 30; the means need not be Gaussian, and are not"),
    ),
    Stated(
        "004", "(Question 6.) Decoded latents on a grid over two components show the classes.", by_eye("holds"),
        "latent_grid.png",
    ),
    Stated(
        "004",
        "(Questions 7 to 10.) q(xₜ given x₀) and its divergence from N(0, I); q(xₜ₋₁ given xₜ) and its divergence from "
        "p.",
        notebook(
            "closed forms beside sums and simulations; the report has √ᾱₜ in place of √αₜ in its equation 6, ε = xₜ "
            "− xₜ₋₁, which is not the noise, and a Gaussian q(xₜ₋₁ given xₜ), which is Gaussian only given x₀ as well",
            "depends",
        ),
    ),
    Stated(
        "004", "(Question 12.) A trained diffusion model turns noise into a picture over t = 200 … 0.",
        by_eye("holds"), "denoising.png",
    ),
    Stated(
        "004", "(Question 13.) A diffusion model has an encoder, a decoder and a latent, as a VAE has.",
        notebook("a table of what each is, and of their sizes"),
    ),
)  # fmt: skip
