"""Three compiled training steps: prints their losses, those of eager steps, and the operations of the graphs.

A process of its own: the checks of types that the tests switch on cannot be compiled.
"""

import functools
import json
import sys
from typing import Any

import torch
from torch import fx

from benchmarks.training_step import planet_sized
from fieldcast.training.options import Fit
from fieldcast.training.run import initial_model
from fieldcast.training.steps import train_steps
from fieldcast.training.training_state import Training

STEPS = 3


def main() -> None:
    graphs: list[fx.GraphModule] = []

    def collected(graph: fx.GraphModule, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch.compile = functools.partial(torch.compile, backend=collected)
    batches, losses = planet_sized("random"), {}
    for compiled in (True, False):
        model = initial_model({"type": "vae.ConditionalVAE", "latent": 4}, batches.space, 0)
        run = Training(model, Fit(steps=10, batch=2, report_every=10, compile=compiled), 0)
        steps = train_steps(run, batches, batches)
        for _ in range(STEPS):
            next(steps)
        losses[str(compiled)] = float(run.sums["loss"])
    operations = {getattr(node.target, "__name__", "") for graph in graphs for node in graph.graph.nodes}
    json.dump({"losses": losses, "operations": sorted(operations)}, sys.stdout)


if __name__ == "__main__":
    main()
