"""The published algorithm written out in numpy; a record of few modes is recovered."""

import numpy as np
import pytest
import torch

from fieldcast.errors import InputError
from fieldcast.models.gaps.dineof import (
    PATIENCE,
    TOLERANCE,
    choose_held_out,
    dineof,
    fill_by_axes,
    fill_by_dineof,
    held_out_number,
)


def record(
    times: int = 80, cells: int = 60, modes: int = 3, noise: float = 0.05, missing: float = 0.4
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A record of a few modes and noise, which values are observed, and which of those are held out."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((times, modes)) * (3.0, 2.0, 1.0)[:modes] @ rng.standard_normal((modes, cells))
    x = 10 + x + noise * rng.standard_normal(x.shape)
    observed = torch.from_numpy(rng.random(x.shape) >= missing)
    return torch.from_numpy(x), observed, choose_held_out(observed, torch.Generator().manual_seed(0))


def published(x: np.ndarray, observed: np.ndarray, held_out: np.ndarray, largest: int) -> tuple:
    """Beckers and Rixen (2003), section 2, with numpy's decomposition."""
    mean = x[observed].mean()
    deviation = x[observed].std(ddof=1)

    def filled(start, missing, modes):
        field = start.copy()
        while True:
            u, s, vt = np.linalg.svd(field, full_matrices=False)
            new = (u[:, :modes] * s[:modes]) @ vt[:modes]
            change = np.sqrt(np.mean((new - field)[missing] ** 2))
            field[missing] = new[missing]
            if change < TOLERANCE * deviation:
                return field

    anomaly = np.where(observed, x - mean, 0.0)
    fields, errors = [np.where(held_out, 0.0, anomaly)], []
    while len(errors) < largest and len(errors) - 1 - np.argmin(errors or [0]) < PATIENCE:
        fields.append(filled(fields[-1], ~observed | held_out, len(errors) + 1))
        errors.append(np.sqrt(np.mean((fields[-1] - anomaly)[held_out] ** 2)))
    best = int(np.argmin(errors)) + 1
    return filled(np.where(held_out, anomaly, fields[best]), ~observed, best) + mean, best, errors


@pytest.mark.parametrize("shape", [(80, 60), (30, 50)])
def test_equals_the_published_algorithm(shape: tuple[int, int]) -> None:
    x, observed, held_out = record(*shape)
    filled = dineof(x, observed, held_out, largest=10)
    values, modes, errors = published(x.numpy(), observed.numpy(), held_out.numpy(), 10)
    assert filled.modes == modes
    assert np.allclose(filled.errors, errors, rtol=1e-6)
    assert np.allclose(filled.values[~observed], values[~observed.numpy()], atol=1e-6)


def test_observed_values_are_kept_and_the_others_recovered() -> None:
    x, observed, held_out = record()
    filled = dineof(torch.where(observed, x, torch.nan), observed, held_out, largest=10)
    assert torch.equal(filled.values[observed], x[observed])
    assert float((filled.values - x)[~observed].std()) < 0.1 * float(x.std())
    assert filled.modes == 3 and filled.axes.shape == (3, 60)
    assert torch.allclose(filled.axes @ filled.axes.T, torch.eye(3, dtype=x.dtype), atol=1e-6)


def test_the_number_of_held_out_values_is_that_of_the_program() -> None:
    assert held_out_number(1000) == 30 and held_out_number(100_000) == 1040
    _, observed, held_out = record()
    assert int(held_out.sum()) == held_out_number(int(observed.sum())) and not (held_out & ~observed).any()


def test_too_little_to_fill_from() -> None:
    x, observed, held_out = record()
    with pytest.raises(InputError, match="DINEOF needs at least two times, two cells and some"):
        dineof(x[:1], observed[:1], held_out[:1], 5)
    with pytest.raises(InputError, match="DINEOF needs at least two times, two cells and some"):
        dineof(x, observed, torch.zeros_like(held_out), 5)


def test_a_large_record_needs_no_whole_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    x, observed, held_out = record()
    exact = dineof(x, observed, held_out, largest=5)
    monkeypatch.setattr("fieldcast.models.gaps.dineof.MAX_EXACT_SIZE", 10)
    iterated = dineof(x, observed, held_out, largest=5)
    assert iterated.modes == exact.modes
    assert float((iterated.values - exact.values).abs().max()) < 0.02 * float(x.std())


def test_the_quick_method_gives_the_values_of_the_published_one_in_fewer_iterations() -> None:
    x, observed, held_out = record()
    published, quick = (dineof(x, observed, held_out, largest=10, quick=quick) for quick in (False, True))
    assert quick.modes == published.modes and quick.iterations < 0.75 * published.iterations
    assert float((quick.values - published.values).abs().max()) < 0.02 * float(x.std())
    again = fill_by_axes(x[:5], observed[:5], quick.axes, quick.mean, quick.difference)
    assert float((again - quick.values[:5]).abs().max()) < 0.02 * float(x.std())


def test_many_modes_do_not_describe_clouds_of_zeros() -> None:
    """A strong season and many weak waves under clouds: the first mode fills them before the others are added."""
    rng = np.random.default_rng(2)
    t, place = np.arange(120)[:, None], np.arange(200)[None] / 200
    x = 5 * np.sin(2 * np.pi * t / 120) * (1 + 0.2 * np.cos(2 * np.pi * place))
    for k in range(1, 21):
        phase, frequency = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.3)
        x = x + k**-1.5 * np.cos(2 * np.pi * k * place + frequency * t + phase)
    cloudy = np.zeros(x.shape, bool)
    for day in range(120):
        for begin in rng.integers(200, size=2):
            cloudy[day, (begin + np.arange(60)) % 200] = True
    record, observed = torch.from_numpy(x), torch.from_numpy(~cloudy)
    filled = fill_by_dineof(record, observed, quick=True)
    assert filled.modes > 20
    assert float((filled.values - record)[~observed].square().mean().sqrt()) < 0.2 * float(record.std())
