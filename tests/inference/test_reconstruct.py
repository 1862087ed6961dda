import math
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch

from fieldcast import runtime
from fieldcast.encoding.observations import sparsify
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.inference.reconstruct import context_of, draw, lineage_of, reconstruct
from fieldcast.kinds import require_layout
from fieldcast.models.climatology import Climatology
from fieldcast.models.core import Context, Solved
from fieldcast.training.options import Fit
from fieldcast.training.run import initial_model
from fieldcast.training.tuning import search, tune


@pytest.fixture(scope="module")
def observations(world):
    options = Sparsification(cases={"random": [0.1, 0.3]}, times=12, masks=3)
    return sparsify(world.fields, world.splits, world.codec, world.space, options, Limits())


@pytest.fixture(scope="module")
def vae(world):
    return initial_model({"type": "vae.ConditionalVAE", "latent": 4}, world.space, 0).eval()


def test_draws_do_not_depend_on_order_or_number(world, observations, vae):
    c = context_of(observations.isel(case=0), world.codec, world.space, 0.0)
    plain = draw(vae, c, 3, seed=5)
    shuffled = draw(vae, c, 3, seed=5, order=np.random.default_rng(0).permutation(12))
    assert torch.allclose(plain, shuffled, atol=1e-6)
    assert plain[:, 0].equal(draw(vae, c, 1, seed=5)[:, 0])
    assert not torch.allclose(plain, draw(vae, c, 3, seed=6), atol=1e-3)


def test_the_context_holds_what_was_observed(world, observations):
    c = context_of(observations.isel(case=1), world.codec, world.space, 0.2)
    assert c.noise == 0.2
    x = world.codec.encode(world.split("test").sel(time=observations["time"]))
    assert torch.allclose(c.observed, torch.where(c.mask, x, 0.0), atol=1e-4)
    assert float(c.mask.float().mean()) == pytest.approx(0.3, abs=0.01)


def test_reconstructions_obey_their_contract(world, observations, vae):
    pieces = list(reconstruct(vae, world.codec, observations, lineage_of("abc", observations, 3, 7)))
    assert [piece.fields.attrs["piece"] for piece in pieces] == [0, 1]
    for number, (piece, _, milliseconds) in enumerate(pieces):
        require_layout(piece, "reconstructions", "draw again")
        assert piece["k"].item() == observations["k"].values[number]
        assert milliseconds > 0
        assert {name: piece.attrs[name] for name in ("model", "members", "seed")} == {
            "model": "abc",
            "members": 3,
            "seed": 7,
        }
    assert not np.allclose(pieces[0].fields["t"], pieces[1].fields["t"])


def test_an_interrupted_run_resumes_after_its_last_complete_case(world, observations, vae):
    sources = lineage_of("abc", observations, 3, 7)

    def run(*earlier, sources=sources):
        return list(reconstruct(vae, world.codec, observations, sources, *earlier))

    first, second = run()
    for stored in (1, 2):  # two if the interruption fell between the saves of the draws and of the state
        (resumed,) = run(first.state, stored)
        assert resumed.fields.identical(second.fields) and resumed.state == second.state == b""
    assert len(run(first.state, 0)) == 2  # the draws have been removed
    assert len(run(None, 1)) == 2
    assert len(run(first.state, 1, sources=lineage_of("abc", observations, 3, 8))) == 2


def test_progress_counts_the_cases(world, observations, vae):
    for _ in reconstruct(vae, world.codec, observations, lineage_of("abc", observations, 1, 7)):
        assert f"of {observations.sizes['case']} cases" in runtime.state()


def test_a_deterministic_model_needs_one_member(world, observations):
    sources = lineage_of("abc", observations, 19, 0)
    piece = next(reconstruct(Climatology(world.space), world.codec, observations, sources)).fields
    assert piece.sizes["member"] == 1 and piece.attrs["members"] == 19  # as many as were asked for


def test_cells_that_never_exist_are_missing_in_what_is_drawn(world, observations, vae):

    exists = world.space.exists.clone()
    exists[2:4, 5] = False
    model = initial_model({"type": "vae.ConditionalVAE", "latent": 4}, world.space.replace(exists=exists), 0)
    x = draw(model, context_of(observations.isel(case=0), world.codec, model.space, 0.0), 2, 0)
    assert (torch.isnan(x) == ~exists).all()


class Shrunk(Solved):
    """a times the observed value spread to all cells of a variable; best at the a that the test knows."""

    deterministic = True
    choices = MappingProxyType({"a": (0.0, 0.5, 1.0, 1.5)})

    def __init__(self, space):
        super().__init__(space)
        self.register_buffer("a", torch.zeros(()))

    def solve(self, training): ...

    def sample(self, c: Context, draws):
        mean = c.observed.sum((2, 3), keepdim=True) / c.mask.sum((2, 3), keepdim=True)
        return (self.a * mean).expand_as(c.observed)[:, None]


def test_tuning_recovers_a_known_best_choice(world):
    """Each field is one number: the observed mean is the truth, so a = 1 is best."""
    from fieldcast.training.batches import ReconstructionBatches
    from fieldcast.training.state_source import InMemory

    value = torch.randn(60, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    x = value.expand(-1, *world.space.state_shape).contiguous()
    states = InMemory(x, torch.zeros(60), torch.zeros(60, dtype=torch.long))
    model = Shrunk(world.space)
    records = tune(model, ReconstructionBatches(states, world.space, Sparsification()), Fit(tuning=24), 0)
    assert model.tuned_values() == {"a": 1.0}
    assert {row["a"] for row in records} == {0.0, 0.5, 1.0, 1.5}

    observed = torch.ones_like(x, dtype=torch.bool)
    observed[::5] = (
        False  # times without a score: trials of all times at one fraction, were they not left out
    )
    empty = ReconstructionBatches(replace(states, observed=observed), world.space, Sparsification())
    records = tune(model, empty, Fit(tuning=60), 0)
    assert model.tuned_values() == {"a": 1.0}
    assert all(np.isfinite(row["validation"]) for row in records)


def test_where_no_value_gives_finite_draws_the_present_one_is_kept(world, caplog):
    model, table = Shrunk(world.space), []
    model.choose(a=1.5)
    for _ in search(model, lambda: math.nan, table):
        pass
    assert len(table) == 4
    assert model.tuned_values() == {"a": 1.5} and "not finite with any value of a; 1.5 is kept" in caplog.text
