"""Core concepts shared by all models, training, inference and pipelines: a model is a distribution p(x | c).

All tensors are standardised. Letters of shapes: B data, M members, L past states, V variables, Y x X cells (an image:
V = 1, L = 0). The context c distinguishes the tasks: observations (`reconstruct`), past states
(`forecast`), or nothing (`sample`).

context   c
batch     states with their contexts
model     p(x | c): `Trained` by gradient steps, or `Solved` in closed form
"""

from fieldcast.models.core.batch import Batch, join_batches, observed_values
from fieldcast.models.core.context import Context, ExtraChannel, channel_count
from fieldcast.models.core.model import Density, Model, Solved, Terms, Trained

__all__ = [
    "Batch",
    "Context",
    "Density",
    "ExtraChannel",
    "Model",
    "Solved",
    "Terms",
    "Trained",
    "channel_count",
    "join_batches",
    "observed_values",
]
