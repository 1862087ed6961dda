"""The example of a trained model in CONTRIBUTING trains; what a class of one's own returns is checked by name."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import fieldcast
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.errors import InputError
from fieldcast.inference.reconstruct import draw
from fieldcast.models.core import Context, Terms
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train

MODEL = {"type": "noisy_network.NoisyNetwork", "width": 8}


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the example, as if its file were there."""
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    source = re.findall(r"```python\n(.*?)```", text, re.S)[1]
    module = ModuleType("fieldcast.models.noisy_network")
    exec(compile(source, "noisy_network.py", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    yield module


def trained(world: Any, steps: int = 60) -> bytes:
    fit = Fit(steps=steps, batch=32, members=3, report_every=30, learning_rate=3e-3)
    recipe = Recipe(Reconstruction(Sparsification()), MODEL, fit, 0, Limits(), "cpu")
    return list(train(recipe, world.data, None))[-1].checkpoint


def test_the_example_learns_more_than_the_climatology(
    example: ModuleType, world: Any, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint").write_bytes(trained(world))
    model = fieldcast.load(tmp_path / "checkpoint")
    truth = world.split("test")[["t", "z"]].isel(time=slice(0, 200, 10))
    given = truth.copy(deep=True)
    given["t"][:, :, ::2], given["z"][:, :, ::2] = float("nan"), float("nan")
    filled = model.fill(given, members=3)
    codec = world.codec
    error, climatology = (
        codec.encode(filled[["t_mean", "z_mean"]].rename(t_mean="t", z_mean="z")) - codec.encode(truth),
        codec.encode(truth),
    )
    assert error[..., ::2].square().mean() < 0.7 * climatology[..., ::2].square().mean()


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        (lambda total: total, r"NoisyNetwork.loss returns a Tensor: it must return Terms\(total, parts\)"),
        (lambda total: Terms(total.expand(2), {}), r"NoisyNetwork.loss returns Terms with a total \(2,\)"),
        (lambda total: Terms(total.detach(), {}), "returns Terms with a total without a gradient"),
    ],
)
def test_another_loss_is_refused_by_name(
    example: ModuleType, world: Any, monkeypatch: pytest.MonkeyPatch, terms: Any, words: str
) -> None:
    right = example.NoisyNetwork.loss
    monkeypatch.setattr(
        example.NoisyNetwork, "loss", lambda self, batch, draws: terms(right(self, batch, draws).total)
    )
    with pytest.raises(InputError, match=words):
        trained(world, steps=1)


@pytest.mark.parametrize("members", [slice(0, 1), 0])
def test_draws_of_another_shape_are_refused_by_name(
    example: ModuleType, world: Any, monkeypatch: pytest.MonkeyPatch, members: Any
) -> None:
    right = example.NoisyNetwork.sample
    monkeypatch.setattr(
        example.NoisyNetwork, "sample", lambda self, c, draws: right(self, c, draws)[:, members]
    )
    model, shape = example.NoisyNetwork(world.space), (2, 2, 7, 12)
    c = Context(2, observed=torch.zeros(shape), mask=torch.zeros(shape, dtype=torch.bool), day=torch.zeros(2))
    with (
        torch.no_grad(),
        pytest.raises(InputError, match=r"sample returns a tensor \(2, .*M = draws.members"),
    ):
        draw(model, c, 3, 0)
