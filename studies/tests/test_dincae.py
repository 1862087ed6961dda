"""DINCAE: its moments, loss and inputs in closed form, what it learns from a wave, and its table at smallest size."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from fieldcast.models.gaps.reach import Columns
from fieldcast.models.gaps.record import Record
from studies import dincae
from studies.dincae import Dincae, moments, negative_log_likelihood, network
from studies.gap_records import CASES, Case

SHAPE = 5, 7


def wave(times: int) -> Record:
    """A wave that moves by one column a step, half of it observed."""
    y, x, t = (torch.arange(n, dtype=torch.float32) for n in (*SHAPE, times))
    values = torch.sin(0.8 * (x - t[:, None, None])) + 0.0 * y[:, None]
    observed = torch.rand(times, math.prod(SHAPE), generator=torch.Generator().manual_seed(0)) < 0.5
    cells = math.prod(SHAPE)
    columns = Columns(np.zeros((cells, 3)), torch.zeros(cells, dtype=torch.long), torch.ones(cells))
    return Record(values.flatten(1), observed, torch.zeros(times, dtype=torch.long), columns)


def of_wave(times: int, version: int = 2, epochs: int = 1) -> Dincae:
    everywhere = torch.ones(1, *SHAPE, dtype=torch.bool)
    return Dincae(everywhere, np.arange(5.0), np.arange(7.0), torch.arange(times) / 365, version, epochs)


def test_mean_and_variance_follow_from_the_outputs_with_their_limits() -> None:
    """log precision 0: variance 1; -20: 1000; 20: exp(-10); the mean is the other output times the variance."""
    a, b = torch.tensor([2.0, 3.0, 4.0]), torch.tensor([0.0, -20.0, 20.0])
    mean, variance = moments(torch.stack([a, b])[None, :, None])
    expected = torch.tensor([1.0, 1000.0, math.exp(-10)])
    torch.testing.assert_close(variance[0, 0, 0], expected)
    torch.testing.assert_close(mean[0, 0, 0], a * expected)


def test_the_loss_is_the_likelihood_of_observed_values_alone() -> None:
    x, mean, variance = torch.randn(3, 4, 1, 6, generator=torch.Generator().manual_seed(1)).unbind()
    variance, observed = variance.exp(), torch.arange(24).reshape(4, 1, 6) % 3 > 0
    log_prob = torch.distributions.Normal(mean, variance.sqrt()).log_prob(x)[observed].mean()
    loss = negative_log_likelihood(mean, variance, x.masked_fill(~observed, 9.0), observed)
    assert float(loss) == pytest.approx(float(-2 * log_prob - math.log(2 * math.pi)), rel=1e-5)


def test_inputs_are_three_times_without_what_is_hidden_and_without_those_beyond_the_ends() -> None:
    record, filler = wave(9), of_wave(9)
    x, observed = (filler.on_grid(v) for v in (record.x, record.observed))
    shown = torch.zeros(2, 1, *SHAPE, dtype=torch.bool)
    shown[..., 0] = True
    inputs = filler.inputs(record, x * observed, observed, torch.tensor([0, 5]), shown)
    first, (before, here, after, *known, east, north, cosine, sine) = inputs[0], inputs[1]
    assert not first[[0, 3]].any() and first[2].any()
    torch.testing.assert_close(before, (x * observed)[4, 0])
    torch.testing.assert_close(after, (x * observed)[6, 0])
    assert not here[:, 1:].any() and torch.equal(here[:, 0], (x * observed)[5, 0, :, 0])
    assert torch.equal(torch.stack(known)[[0, 2]] > 0, observed[[4, 6], 0]) and not known[1][:, 1:].any()
    assert east[2].tolist() == pytest.approx(np.linspace(-1, 1, 7)) and north[:, 3].tolist() == [
        -1, -0.5, 0, 0.5, 1,
    ]  # fmt: skip
    assert float(cosine[0, 0]) == pytest.approx(math.cos(2 * math.pi * 5 / 365))
    assert float(sine[0, 0]) == pytest.approx(math.sin(2 * math.pi * 5 / 365))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("shape", [(17, 33), (5, 7), (16, 32)])
def test_outputs_are_at_the_cells_of_the_inputs(version: int, shape: Sequence[int]) -> None:
    x = torch.randn(2, 10, *shape)
    assert network(10, 2, shape, version)(x).shape == (2, 2, *shape)


def test_a_moving_wave_is_learnt_and_a_seed_repeats_all() -> None:
    """The error is a third of the standard deviation at most, where half is missing."""
    record = wave(120)
    filled = [of_wave(120, version=1, epochs=40)(record, None) for _ in range(2)]
    assert torch.equal(filled[0].mean, filled[1].mean)
    error = (filled[0].mean - record.x)[~record.observed].square().mean().sqrt()
    assert float(error) < 0.35 * float(record.x.std())


def test_predictions_of_the_last_fifth_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The eighth to tenth prediction, of the epochs 80, 90 and 100 of 100, have the mean 9."""
    made: list[Tensor] = []

    def predict(self: Dincae, *given: object) -> tuple[Tensor, Tensor]:
        made.append(torch.full((4, 35), len(made) + 1.0))
        return made[-1], made[-1]

    monkeypatch.setattr(Dincae, "predict", predict)
    monkeypatch.setitem(dincae.BATCH, 2, 4)
    filled = of_wave(4, epochs=100)(wave(4), None)
    assert len(made) == 10
    torch.testing.assert_close(
        filled.mean[~wave(4).observed], torch.tensor(9.0).expand(int((~wave(4).observed).sum()))
    )


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(CASES, "tiny", Case(60, (30, 46, 6), (0, 16, 6), 20, ""))
    monkeypatch.setattr("sys.argv", ["dincae", "tiny", "--epochs", "20"])
    dincae.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| tiny")]
    assert rows[0][2] == "DINCAE, version 2, 20 epochs" and rows[1][2] == "local_kriging"
    assert all(float(row[5]) > 0 and "nan" not in str(row) for row in rows)
