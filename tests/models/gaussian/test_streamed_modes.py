"""Closed forms from several passes over the states are those of all states at once, to rounding."""

from dataclasses import replace

import pytest
import torch

from fieldcast.encoding.options import Sparsification
from fieldcast.models.gappy_pca import GappyPCA
from fieldcast.models.gaussian import modes as subject
from fieldcast.models.gaussian.modes import modes, streamed_modes
from fieldcast.models.kriging import Kriging
from fieldcast.models.linear_inverse_model import LinearInverseModel
from fieldcast.models.persistence import DampedPersistence
from fieldcast.models.probabilistic_pca import ProbabilisticPCA
from fieldcast.training.batches import ForecastWindows, ReconstructionBatches
from fieldcast.training.options import Fit
from fieldcast.training.task import OnFields

SHARD = 64


@pytest.fixture
def record():
    """A record whose variance falls by a fifth from mode to mode; its cells have areas."""
    generator = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.randn(60, 60, generator=generator)).Q
    x = torch.randn(3000, 60, generator=generator) * 0.8 ** torch.arange(60) @ basis
    return x, torch.rand(60, generator=generator)


def square(f):
    """F F^T, which does not depend on the signs of modes."""
    return f.T @ f


@pytest.mark.parametrize("exact", [4096, 0], ids=["second moment", "subspace"])
def test_modes_of_three_passes_are_those_in_memory(record, monkeypatch, exact):
    monkeypatch.setattr(subject, "MAX_EXACT_VALUES", exact)
    x, area = record
    passes = []

    def states():
        passes.append(1)
        yield from x.split(700)

    f, expected = streamed_modes(states, area, 12, 1e-6), modes(x, area, 12)
    assert f.shape == expected.shape and len(passes) == (1 if exact else 3)
    torch.testing.assert_close(square(f), square(expected), rtol=1e-4, atol=2e-6)


def test_an_orthonormal_basis_spans_the_columns(monkeypatch):
    """Eight columns span five dimensions; seven rows are processed at once."""
    monkeypatch.setattr(subject, "CELLS_PER_PIECE", 7)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 5, generator=generator) @ torch.randn(5, 8, generator=generator)
    q = subject.orthonormal_(x.clone())
    assert q.shape == (40, 5)
    torch.testing.assert_close(q.T @ q, torch.eye(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(q @ (q.T @ x), x, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="no variance"):
        subject.orthonormal_(torch.zeros(40, 8))


@pytest.fixture
def batches(world, monkeypatch):
    """Training data in memory and in 17 shards."""
    monkeypatch.setattr("fieldcast.training.state_source.SHARD_BYTES", SHARD * 4 * int(world.space.size))
    split = world.split("train")
    memory, stream = (
        OnFields().states(split, world.codec, world.space, Fit(data=data), (1, 1))
        for data in ("memory", "stream")
    )
    assert len(stream.shards) == 17
    windows = ForecastWindows(memory, world.space, 2)
    fields = ReconstructionBatches(memory, world.space, Sparsification())
    return {
        "windows": (windows, replace(windows, data=stream)),
        "fields": (fields, replace(fields, data=stream)),
    }


MODELS = [
    (DampedPersistence, "windows"),
    (LinearInverseModel, "windows"),
    (Kriging, "fields"),
    (GappyPCA, "fields"),
    (ProbabilisticPCA, "fields"),
]


@pytest.mark.parametrize("exact", [4096, 0], ids=["second moment", "subspace"])
@pytest.mark.parametrize("kind, data", MODELS, ids=[kind.__name__ for kind, _ in MODELS])
def test_a_streamed_solution_is_that_in_memory(world, batches, monkeypatch, kind, data, exact):
    monkeypatch.setattr(subject, "MAX_EXACT_VALUES", exact)
    (memory, stream), models = batches[data], [kind(world.space) for _ in range(2)]
    models[0].solve(memory.states())
    models[1].solve_streamed(stream.states)
    for name in {name for name, _ in models[0].named_buffers() if not name.startswith("space")}:
        a, b = (without_signs(name, model.get_buffer(name)) for model in models)
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=name)


def without_signs(name, buffer):
    """Return what does not depend on the signs of modes: F F^T, and the autocovariances of the first coefficients."""
    if name in ("features", "weights"):
        return square(buffer.flatten(1))
    return buffer.diagonal(dim1=1, dim2=2)[:, :4] if name == "covariances" else buffer
