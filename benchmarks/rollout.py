"""A rollout beside a bare loop over the same network, its throughput and its memory: `python -m benchmarks.rollout`.

The network is the reports' VAE with a latent of 1000 at 64 x 32 x 4, stepped by Runge-Kutta with 10 members, as in
`forecast.vae_rk4`. The bare loop calls the network four times a step with torch's own random numbers and does nothing
else. Stretches of both alternate in one run; the ratio is that of the medians; the goal is 0.9. Peak memory is that of
a process of its own, for 50 and for 5000 steps of a smaller network.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.training_step import planet_sized
from fieldcast.loops.rollout import rollout
from fieldcast.models.core import Context
from fieldcast.models.draws import Draws
from fieldcast.models.stepped import Stepped
from fieldcast.models.vae import VAE

STRETCH, STRETCHES, LONG = 20, 5, 500


def model(latent: int = 1000) -> Stepped:
    torch.manual_seed(0)
    space = planet_sized().space
    return Stepped(space, VAE(space, latent=latent, history=1, random=1), "rk4", scale=0.01).eval()


def context(one: Stepped, members: int) -> Context:
    return Context(1, past=torch.randn(1, 1, *one.space.state), day=torch.zeros(1)).repeat(members)


@torch.no_grad()
def ours(one: Stepped, members: int, steps: int) -> None:
    for _ in rollout(one, context(one, members), Draws(0, torch.zeros(1, dtype=torch.long), members), steps):
        pass


@torch.no_grad()
def bare(one: Stepped, members: int, steps: int) -> None:
    vae, c = one.model, context(one, members)
    x, static = c.base(), c.channels(one.space)[:, x_channels(one) :]

    def f(x: Tensor, eps: Tensor, r: Tensor) -> Tensor:
        known = torch.cat([x, static], dim=1)
        h = vae.encoder.network(known)
        z = vae.encoder.mean(h) + torch.exp(vae.encoder.log_variance(h) / 2) * eps
        past = vae.decoder.past.features_of(known)
        return one.scale * vae.decoder.network(torch.cat([z, r], dim=1), past)

    for _ in range(steps):
        eps, r = torch.randn(members, 1000), torch.randn(members, 1)
        k1 = f(x, eps, r)
        k2 = f(x + k1 / 2, eps, r)
        k3 = f(x + k2 / 2, eps, r)
        x = x + (k1 + 2 * (k2 + k3) + f(x + k3, eps, r)) / 6


def x_channels(one: Stepped) -> int:
    return len(one.space.variables)


def seconds(run: Callable[..., None], *arguments: object) -> float:
    begin = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - begin


def memory(steps: int) -> float:
    """Peak memory in MB of a process that rolls out so many steps."""
    code = (
        "import torch; import benchmarks.rollout as b; from fieldcast.loops.costs import peak_mb; "
        f"b.ours(b.model(50), 10, {steps}); print(peak_mb(torch.device('cpu')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(found.stdout)


def main() -> None:
    one = model()
    for run in (ours, bare):
        run(one, 10, 2)
    pairs = [(seconds(ours, one, 10, STRETCH), seconds(bare, one, 10, STRETCH)) for _ in range(STRETCHES)]
    mine, theirs = (statistics.median(column) / STRETCH for column in zip(*pairs, strict=True))
    print(f"a step, 10 members, RK4: {1000 * mine:.1f} ms, of the bare loop {1000 * theirs:.1f} ms")
    print(f"speed against the bare loop: {theirs / mine:.2f}")
    print(f"{LONG} steps: {seconds(ours, one, 10, LONG):.1f} s")
    for members in (1, 10, 100):
        rate = members * STRETCH / seconds(ours, one, members, STRETCH)
        print(f"{members:>3} members: {rate:.0f} steps of a member a second")
    print(f"peak memory: 50 steps {memory(50):.0f} MB, 5000 steps {memory(5000):.0f} MB")


if __name__ == "__main__":
    main()
