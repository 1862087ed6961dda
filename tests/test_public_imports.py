"""Names that users import or write in YAML stay importable, wherever the code behind them moves."""

import importlib
import re
from pathlib import Path

import pytest

import fieldcast

ROOT = Path(__file__).parents[1]
FUNCTIONS = ["cycle", "explore", "fill_gaps", "fit", "grid_stations", "load", "score"]
FOR_MODELS = """
    core.Batch core.Context core.Solved core.Terms core.Trained core.channel_count interpolation.Interpolation
    layers.crps.fair_crps layers.grid_convolutions.GridConv random_streams.RandomStreams space.Space
"""
TYPES = """
    analogue.Analogue assimilation.baselines.FreeRun assimilation.by_fraction.ByFraction
    assimilation.hybrid.EnsembleOptimalInterpolation assimilation.hybrid.Hybrid
    assimilation.kalman_filter.KalmanFilter assimilation.letkf.LETKF assimilation.perfect_letkf.PerfectLETKF
    climatological_ensemble.ClimatologicalEnsemble climatology.Climatology conditional.ContextEncoder
    conditional.FieldDecoder conditional.PriorEncoder conditional.VectorDecoder corrected.Corrected
    corrected_dynamics.CorrectedDynamics decoders.ConvolutionDecoder decoders.DenseDecoder
    decoders.TransposedDecoder diffusion.Diffusion dineof.Dineof edm.EDM edm.GuidedEDM emos.EMOS encoders.Network
    ensemble.Ensemble flow.Flow gappy_pca.GappyPCA interpolation.Linear interpolation.Nearest
    interpolation.ThinPlate kriging.Kriging latent_table.LatentTable likelihoods.Bernoulli
    likelihoods.ContinuousBernoulli likelihoods.Gaussian likelihoods.LearnedGaussian
    linear_inverse_model.LinearInverseModel low_rank.LowRankGaussian optimal_interpolation.OptimalInterpolation
    persistence.DampedPersistence persistence.Persistence pool.Pool posterior_samplers.MMPS priors.CouplingPrior
    priors.Mixture priors.Vamp probabilistic_pca.ProbabilisticPCA stepped.Stepped vae.ConditionalVAE
    vae.LearnedPriorVAE vae.VAE
"""
CONFIGURED = [file.read_text() for file in (ROOT / "conf").rglob("*.yml")]
CLASSES = sorted({path for text in CONFIGURED for path in re.findall(r"\bfieldcast[\w.]*\.[A-Z]\w+", text)})
OF_MODELS = [f"fieldcast.models.{name}" for name in (FOR_MODELS + TYPES).split()]


@pytest.mark.parametrize("path", [*(f"fieldcast.{name}" for name in FUNCTIONS), *OF_MODELS, *CLASSES])
def test_a_public_name_can_be_imported(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))


def test_public_names_are_documented() -> None:
    assert fieldcast.__all__ == dir(fieldcast) == FUNCTIONS
    documents = [file.read_text() for file in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))]
    types = {
        kind for text in CONFIGURED + documents for kind in re.findall(r"type: ([a-z_.]+\.[A-Z]\w+)", text)
    }
    models = {kind for kind in types if not kind.startswith("fieldcast.") and not kind.endswith("Dataset")}
    assert models >= {*TYPES.split()}, "a type of the list is in no configuration and no document"
