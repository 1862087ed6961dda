"""A VAE and a diffusion model beside public implementations, on the processor: `python -m benchmarks.sampling`.

Peers: `pip install -c constraints.txt '.[peers]'` (written for 0.1.2 and 2.3.4; an empty module stands for a
torchvision that was built for another torch, as that of PyPI is beside a CPU build). Stretches of ours and theirs
alternate in one run, the first a warm-up; the ratios are those of the medians. The goal: faster than both. Images are
random, 28 x 28.

VAE, an epoch and the loss of 64 other images: two hidden layers of 512, latent 2, Bernoulli. Ours is the training loop
as it is: a threshold at half of the grey values in every step, counter-based random numbers, fused AdamW with a
schedule and clipping, the moving average of the weights, the history. pythae is the two methods of its trainer that
`train` calls every epoch, on images that went through the threshold before, with the Adam it makes by default, which
is not fused and does not clip. Its checkpoints, copy of the best model, progress bars and logs are left out.

DDPM, a training step and a step of the ancestral chain: the U-Net of the environment `mnist`, 1000 times, a linear
schedule, learning the noise, float32. Ours dequantises in every step. Theirs holds our U-Net; its training step is
that of its `Trainer`: clipping, Adam (not fused), a moving average every ten steps. Left out: reading images from
files in processes of their own, flipping them at random. In its chain the variance is that of q(x_{t-1} | x_t, x_0),
in ours beta_t: other numbers at the same cost. Both clip x0.

The goals were 1.5 of the speed of pythae and 1.2 of both of the diffusion. The lines after each comparison show what
stands in the way: the share of the processor's time that each spends in matrix products and convolutions, forward and
backward, which are the same calls of torch for both, and the speed of ours if everything else took no time. Further
rows: trainings with `compile: true` and with `precision: bfloat16`, which are options of `fit`.
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import islice
from types import ModuleType
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

from fieldcast.encoding.states import ImageCodec, space_of_images
from fieldcast.models.core import Context
from fieldcast.models.diffusion import Diffusion, TimedUNet
from fieldcast.models.options import Treatment
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training.batches import StateBatches
from fieldcast.training.options import Fit
from fieldcast.training.run import initial_model
from fieldcast.training.state_source import InMemory
from fieldcast.training.steps import train_steps
from fieldcast.training.training_state import Training

try:
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import CallbackHandler, TrainingCallback
except ImportError as error:
    raise SystemExit(
        f"pythae cannot be imported ({error}): pip install -c constraints.txt '.[peers]'"
    ) from None
try:
    import torchvision  # noqa: F401
except (ImportError, RuntimeError):  # RuntimeError: it was built for another torch
    WITHOUT_TORCHVISION = True  # the peer reads and writes images by it, which is not timed
    empty = ModuleType("torchvision")
    empty.transforms, empty.utils = ModuleType("transforms"), ModuleType("utils")  # type: ignore[attr-defined]
    sys.modules["torchvision"] = empty
else:
    WITHOUT_TORCHVISION = False
try:
    from denoising_diffusion_pytorch import GaussianDiffusion
    from ema_pytorch import EMA
except ImportError as error:
    WITHOUT_DDPM = f"denoising-diffusion-pytorch cannot be imported ({str(error).splitlines()[0]})"
else:
    WITHOUT_DDPM = ""

SIDE, LEVELS = 28, 256
LATENT, HIDDEN, RATE = 2, 512, 1e-3
VAE_BATCH, BATCHES, SCORED, VAE_STRETCHES = 128, 78, 64, 7  # 9984 images: every batch is whole
DDPM_BATCH, DDPM_IMAGES, TIMES, STEPS, CHAIN, DDPM_STRETCHES = 64, 1000, 1000, 5, 10, 7
LAYERS = {"latent": LATENT, "hidden": [HIDDEN, HIDDEN]}
VAE_CONFIG = {
    "type": "vae.VAE", "latent": LATENT, "likelihood": {"type": "likelihoods.Bernoulli"},
    "encoder": {"type": "encoders.Network", **LAYERS}, "decoder": {"type": "decoders.DenseDecoder", **LAYERS},
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "ours": {}, "ours, compiled": {"compile": True}, "ours, bfloat16": {"precision": "bfloat16"}
}  # fmt: skip
PRODUCTS = (
    "aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm", "aten::mkldnn_convolution", "aten::convolution_backward",
    "aten::_slow_conv2d_forward",
)  # fmt: skip
DDPM_CONFIG = {
    "type": "diffusion.Diffusion", "steps": TIMES, "channels": [32, 64, 128, 128], "patch": 2, "clip": 1.0
}  # fmt: skip


def images(count: int, treatment: Treatment, seed: int, scored: bool = False) -> StateBatches:
    """Random images, dark for the most part as digits are: a sixth of the cells is above half."""
    generator = torch.Generator().manual_seed(seed)
    grey = (LEVELS * torch.rand(count, 1, SIDE, SIDE, generator=generator) ** 4).floor()
    space = space_of_images(xr.Dataset(coords={"y": range(SIDE), "x": range(SIDE)}))
    return StateBatches(InMemory.undated(grey), None, space, ImageCodec(treatment, LEVELS), scored)


def weights(ours: nn.Module, peer: nn.Module) -> int:
    """Number of trainable weights, which must be the same for both."""
    count, peer_count = (sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (ours, peer))
    assert count == peer_count, f"ours has {count} weights, theirs {peer_count}"
    return count


class TheirEncoder(BaseEncoder):
    """q(z | x) as pythae wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(SIDE**2, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()
        )
        self.mean, self.log_variance = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)

    def forward(self, x: Tensor) -> ModelOutput:
        h = self.layers(x)
        return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))


class TheirDecoder(BaseDecoder):
    """The probabilities of p(x | z) as pythae wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, SIDE**2), nn.Sigmoid(), nn.Unflatten(1, (1, SIDE, SIDE)),
        )  # fmt: skip

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.layers(z))


def pythae_trainer(training: StateBatches, validation: StateBatches) -> BaseTrainer:
    """pythae's trainer on the same images, ready for its first epoch."""
    logging.disable(logging.INFO)  # its modules print what they do
    datasets = (BaseDataset(next(data.states()).x, torch.zeros(len(data))) for data in (training, validation))
    config = VAEConfig(input_dim=(1, SIDE, SIDE), latent_dim=LATENT, reconstruction_loss="bce")
    model = VAE(config, encoder=TheirEncoder(), decoder=TheirDecoder())
    sizes = {"per_device_train_batch_size": VAE_BATCH, "per_device_eval_batch_size": SCORED}
    trainer = BaseTrainer(model, *datasets, BaseTrainerConfig(**sizes, learning_rate=RATE, no_cuda=True))
    trainer.set_optimizer()
    trainer.callback_handler = CallbackHandler([TrainingCallback()], model)  # its own have progress bars
    return trainer


def our_epoch(steps: Iterator[bool]) -> None:
    next(row for row in steps if row)


def vae() -> None:
    """Compare an epoch."""
    training = images(BATCHES * VAE_BATCH, "threshold", seed=0)
    validation = images(SCORED, "threshold", seed=1, scored=True)
    epochs = VAE_STRETCHES + 2
    options = Fit(
        steps=epochs * BATCHES, batch=VAE_BATCH, learning_rate=RATE, report_every=BATCHES, patience=epochs,
        validation=SCORED,
    )  # fmt: skip
    runs = {
        name: Training(initial_model(VAE_CONFIG, training.space, 0), replace(options, **others), 0)
        for name, others in VARIANTS.items()
    }
    steps = {name: train_steps(run, training, validation) for name, run in runs.items()}
    run = runs["ours"]
    trainer = pythae_trainer(training, validation)
    count = weights(run.model, trainer.model)
    losses: list[float] = []

    def pythae_epoch() -> None:
        losses.append(trainer.train_step(epoch=len(losses) + 1))
        trainer.eval_step(epoch=len(losses))

    works: dict[str, Callable[[], object]] = {
        name: partial(our_epoch, epoch) for name, epoch in steps.items()
    }
    works["pythae"] = pythae_epoch
    times = alternate(works, VAE_STRETCHES)
    report(f"VAE of {count} weights, {len(training)} images, batch {VAE_BATCH}", "an epoch", times, works)
    loss = run.history[-1]["loss"] * SIDE**2
    print(f"loss of the last epoch: ours {loss:.1f}, pythae {losses[-1]:.1f} nats an image")


class TheirNetwork(nn.Module):
    """Our U-Net as a GaussianDiffusion wants it."""

    channels = out_dim = 1
    self_condition = False

    def __init__(self, network: TimedUNet):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, condition: None) -> Tensor:
        return self.network(x, t, Context(len(x)))


def our_training(steps: Iterator[bool]) -> None:
    for _ in islice(steps, STEPS):
        pass


def their_training(model: GaussianDiffusion, optimiser: torch.optim.Adam, average: EMA, x: Tensor) -> None:
    for _ in range(STEPS):
        loss = model(x[torch.randperm(len(x))[:DDPM_BATCH]])
        loss.item()  # its trainer reports every step
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        average.update()


def our_chain(model: Diffusion) -> None:
    # the first of the trajectory is the initial noise
    streams = RandomStreams(0, torch.arange(DDPM_BATCH))
    list(islice(model.trajectory(Context(DDPM_BATCH), streams), CHAIN + 1))


def their_chain(model: GaussianDiffusion) -> None:
    x = torch.randn(DDPM_BATCH, 1, SIDE, SIDE)
    for t in range(TIMES - 1, TIMES - 1 - CHAIN, -1):
        x, _ = model.p_sample(x, t)


def ddpm() -> None:
    """Compare a training step and a step of the chain."""
    task = images(DDPM_IMAGES, "symmetric", seed=0)
    ours, same = (initial_model(DDPM_CONFIG, task.space, 0) for _ in range(2))
    keywords = {"timesteps": TIMES, "objective": "pred_noise", "beta_schedule": "linear"}
    peer = GaussianDiffusion(TheirNetwork(same.network), image_size=SIDE, **keywords)
    torch.testing.assert_close(peer.alphas_cumprod, ours.schedule.abar_by_step.float())
    count = weights(ours, peer)
    options = Fit(steps=10**6, report_every=10**6, batch=DDPM_BATCH)  # no validation
    runs = [
        train_steps(
            Training(initial_model(DDPM_CONFIG, task.space, 0), replace(options, **others), 0), task, task
        )
        for others in VARIANTS.values()
    ]
    optimiser = torch.optim.Adam(peer.parameters(), lr=RATE, betas=(0.9, 0.99))
    average, x = EMA(peer, beta=0.995, update_every=10), task.data[:] / (LEVELS - 1)
    training: dict[str, Callable[[], object]] = {
        name: partial(our_training, steps) for name, steps in zip(VARIANTS, runs, strict=True)
    }
    training["theirs"] = lambda: their_training(peer, optimiser, average, x)
    chain: dict[str, Callable[[], object]] = {
        "ours": lambda: our_chain(ours),
        "theirs": lambda: their_chain(peer),
    }
    for name, works, steps in (("training", training, STEPS), ("ancestral chain", chain, CHAIN)):
        times = alternate(works, DDPM_STRETCHES, steps)
        report(f"DDPM of {count} weights, batch {DDPM_BATCH}, {name}", "a step", times, works)


def product_share(work: Callable[[], object]) -> float:
    """Share of the processor's time that a piece of work spends in matrix products and convolutions."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        work()
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    return sum(spent for name, spent in times.items() if name in PRODUCTS) / sum(times.values())


def alternate(
    works: Mapping[str, Callable[[], object]], count: int, steps: int = 1
) -> dict[str, list[float]]:
    """Seconds a step of each in so many stretches, one after the other; the first stretch is a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for stretch in range(count + 1):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            if stretch:
                times[name].append((time.perf_counter() - begin) / steps)
    return times


def report(
    title: str, unit: str, times: Mapping[str, list[float]], works: Mapping[str, Callable[[], object]]
) -> None:
    """Medians, ranges, ratios, and what share of the time products take."""
    print(f"\n{title}")
    medians = {name: statistics.median(values) for name, values in times.items()}
    peer = list(medians)[-1]
    for name, median in medians.items():
        low, high = 1000 * min(times[name]), 1000 * max(times[name])
        ratio = "" if name == peer else f"   {medians[peer] / median:.2f} of the speed of {peer}"
        print(f"{name:14} {1000 * median:8.1f} ms {unit}   ({low:.1f} to {high:.1f}){ratio}")
    shares = {name: product_share(works[name]) for name in ("ours", peer)}
    for name, share in shares.items():
        print(f"products and convolutions of {name}: {share:.2f} of the processor's time")
    bound = medians[peer] / (medians["ours"] * shares["ours"])
    print(f"speed of ours, if all else took no time: {bound:.2f} of {peer}", flush=True)


def main() -> None:
    torch.manual_seed(0)  # theirs draw from torch's global generator
    print(", ".join(f"{name} {version(name)}" for name in ("torch", "pythae", "denoising-diffusion-pytorch")))
    print(f"{torch.get_num_threads()} threads, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    vae()
    if WITHOUT_DDPM:
        print(f"\nno comparison of the DDPM: {WITHOUT_DDPM}")
    else:
        if WITHOUT_TORCHVISION:
            print("\nan empty module stands for torchvision, which was built for another torch")
        ddpm()


if __name__ == "__main__":
    main()
