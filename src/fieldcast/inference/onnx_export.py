"""Export to ONNX: the step of a forecast model, or the decoder of a VAE of states, for programs without torch.

    step      x' = step(states, day, lead, noise)    states (member, history, variable, latitude, longitude)
    decoder   x = decoder(latent)                    latent (sample, latent), a draw of the prior

States are in physical units: the anomalies are taken inside. `day` is the fraction of the year of each state and of the
forecast: (day of the year - 1 + hour / 24) / 365, where 29 February is 28 February; in the calendar `360_day`, with its
own day of the year, over 360. `lead` is the number of the step, from 1, which red noise depends on. Noise is an input,
standard normal or uniform on (0, 1) as its name says; noise called persistent is drawn once for a rollout. The metadata
name variables, units, grid and calendar.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fieldcast.arguments import write_named
from fieldcast.calendars import TimeStep, days_of_a_year
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint import Checkpoint
from fieldcast.encoding.states import AnyDayCodec
from fieldcast.errors import InputError
from fieldcast.inference.trained_model import load
from fieldcast.models.core import Context, Model, Solved
from fieldcast.models.random_streams import PERSISTENT, RandomStreams
from fieldcast.models.vae import VAE

MIDNIGHT_TOLERANCE = 3e-4  # days; more than single precision can round midnight down
OPSET = 18  # version of the ONNX operators
Key = tuple[Any, ...]  # kind, path, call and shape of a draw


@dataclass
class NoiseInputs(RandomStreams):
    """Random streams that return given tensors, keyed by fork and call; missing tensors are drawn and kept."""

    given: dict[Key, Tensor] = field(default_factory=dict, kw_only=True)

    def uniform(self, *shape: int) -> Tensor:
        """The given uniform numbers of this call."""
        return self._take("uniform", super().uniform, shape)

    def normal(self, *shape: int) -> Tensor:
        """The given normal numbers of this call."""
        return self._take("normal", super().normal, shape)

    def _take(self, kind: str, draw: Any, shape: tuple[int, ...]) -> Tensor:
        key = (kind, self.path, self.call, shape)
        if key not in self.given:
            self.given[key] = draw(*shape)
        else:
            self.call += 1
        return self.given[key]

    @property
    def names(self) -> list[str]:
        """Names of the given tensors, in the order of their first use: `persistent_normal_0`, `normal_1` ..."""
        return [
            f"{'persistent_' if any(kind == PERSISTENT for kind, _, _ in path) else ''}{kind}_{number}"
            for number, (kind, path, _, _) in enumerate(self.given)
        ]


class ForecastStep(nn.Module):
    """One step of a forecast in physical units; `keys` identify the draw of each noise tensor."""

    climatology: Tensor
    deviation: Tensor

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        codec = checkpoint.field_codec
        self.model = checkpoint.model
        self.keys: list[Key] = []
        days = days_of_a_year(checkpoint.header.get("calendar", ""))
        climatology = torch.from_numpy(codec.climatology[days - 1])
        self.register_buffer("climatology", climatology)  # NaN in cells that do not exist
        self.register_buffer("deviation", torch.from_numpy(codec.deviation)[:, None, None])

    def forward(
        self, states: Float[Tensor, "member history variable y x"], day: Float[Tensor, " history_and_next"],
        lead: Int[Tensor, ""], *noise: Tensor,
    ) -> Float[Tensor, "member variable y x"]:  # fmt: skip
        members = torch.arange(states.shape[0])
        draws = NoiseInputs(0, members, given=dict(zip(self.keys, noise, strict=True)))
        draws.lead = lead  # a tensor stays an input
        return self.next_states(states, day, draws)

    def next_states(self, states: Tensor, day: Tensor, streams: RandomStreams) -> Tensor:
        """The next states, one for each member."""
        year = len(self.climatology)
        climatology = self.climatology[(day * year + MIDNIGHT_TOLERANCE).long().clamp(max=year - 1)]
        past = torch.nan_to_num((states - climatology[:-1]) / self.deviation)
        c = Context(states.shape[0], past=past, day=day[-1:].expand(states.shape[0]))
        return self.model.sample(c, streams)[:, 0] * self.deviation + climatology[-1]


class LatentDecoder(nn.Module):
    """The mean of p(x | z) of a VAE, in physical units."""

    def __init__(self, vae: VAE, codec: AnyDayCodec):
        super().__init__()
        self.vae = vae
        self.register_buffer("mean", torch.from_numpy(codec.mean)[:, None, None])
        self.register_buffer("deviation", torch.from_numpy(codec.deviation)[:, None, None])

    def forward(self, latent: Float[Tensor, "sample latent"]) -> Float[Tensor, "sample variable y x"]:
        output = self.vae.decoder(latent[:, None], Context(latent.shape[0]))[:, 0]
        return self.vae.likelihood.mean(output) * self.deviation + self.mean


def export(checkpoint: str | Path, output: str | Path, members: int = 1) -> str:
    """Write the ONNX model of a checkpoint file, for a fixed number of members, or of samples.

    Returns a line with the path, its size, and the names and shapes of the inputs.
    """
    if not Path(output).parent.is_dir():
        raise InputError(f"{output} cannot be written: there is no folder {Path(output).parent}.")
    if Path(output).exists() and Path(checkpoint).exists() and Path(output).samefile(checkpoint):
        raise InputError(
            f"the output is the checkpoint itself, '{output}', and would replace it: choose another file."
        )
    trained = load(checkpoint, "cpu").checkpoint
    module, inputs = module_and_inputs(trained, str(checkpoint), members)
    try:
        import onnx
        from onnxscript import opset18
    except ImportError:
        raise InputError("an export needs onnx and onnxscript: pip install 'fieldcast[export]'.") from None
    # onnxruntime has no tangent in double precision, which red noise needs
    tangent = {torch.ops.aten.tan.default: lambda x: opset18.Div(opset18.Sin(x), opset18.Cos(x))}
    try:
        with torch.no_grad(), quiet():
            program = torch.onnx.export(
                module.eval(), tuple(inputs.values()), input_names=list(inputs), output_names=["state"],
                opset_version=OPSET, dynamo=True, verbose=False, custom_translation_table=tangent,
            )  # fmt: skip
    except Exception as error:
        kind = trained.header["model"]["type"]
        raise InputError(
            f"{checkpoint}: a model of type {kind} cannot be written as ONNX ({type(error).__name__})."
        ) from error
    model = program.model_proto
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata(trained).items()})
    write_named(str(output), model.SerializeToString())
    shapes = ", ".join(f"{name} {tuple(example.shape)}" for name, example in inputs.items())
    return f"{output}: {Path(output).stat().st_size / 1e6:.1f} MB, inputs {shapes}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence torch, which warns of absent packages and deprecated calls, and prints the graph of a failed export."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def module_and_inputs(trained: Checkpoint, where: str, members: int) -> tuple[nn.Module, dict[str, Tensor]]:
    """The module to export, with example inputs by name."""
    model, codec = trained.model, trained.codec
    if mapped := getattr(codec, "quantities", {}):
        name, quantity = next(iter(mapped.items()))
        raise InputError(
            f"{where} holds a model in which '{name}' is mapped ({quantity.kind}), which an export does not hold: "
            "train it with ingestion.quantities: none."
        )
    if model.calibrates:
        raise InputError(
            f"{where} holds a model of type {trained.header['model']['type']}, whose calibration depends on the lead "
            "time, which a single step does not know: export the experiment that it calibrates."
        )
    if isinstance(codec, FieldCodec) and model.history:
        freeze(model)
        return step_and_inputs(trained, members)
    if isinstance(codec, AnyDayCodec) and isinstance(model, VAE):
        return LatentDecoder(model, codec), {"latent": torch.zeros(members, model.decoder.latent)}
    raise InputError(
        f"{where} holds a model of type {trained.header['model']['type']}, which cannot be exported: only the step of "
        "a forecast that reads past states can, and the decoder of a VAE of fields."
    )


def freeze(model: Model) -> None:
    """Turn the buffers of all closed-form parts into constants, and tuned values into numbers.

    Quantities derived from buffers, such as the eigenvectors of a covariance, then become constants of the export.
    """
    for part in (part for part in model.modules() if isinstance(part, Solved)):
        for name, buffer in list(part.named_buffers(recurse=False)):
            delattr(part, name)
            setattr(part, name, float(buffer) if name in part.choices else buffer)


def step_and_inputs(trained: Checkpoint, members: int) -> tuple[ForecastStep, dict[str, Tensor]]:
    """The step of a forecast with example inputs; a trial step records its draws and fills the caches of the model."""
    step, history = ForecastStep(trained), trained.model.history
    states = step.climatology[:history].expand(members, *step.climatology[:history].shape).clone()
    day = torch.arange(history + 1) / len(step.climatology)
    draws = NoiseInputs(0, torch.arange(members), lead=1)
    with torch.no_grad():
        step.next_states(states, day, draws)
    step.keys = list(draws.given)
    noise = dict(zip(draws.names, draws.given.values(), strict=True))
    return step, {"states": states, "day": day, "lead": torch.tensor(1), **noise}


def metadata(trained: Checkpoint) -> dict[str, Any]:
    """Metadata: task, variables with their units, grid, step, calendar and, for a VAE, the prior of its latent."""
    codec: Any = trained.codec
    prior = getattr(trained.model, "prior", None)
    return {
        **({} if prior is None else {"prior": type(prior).__name__}),
        "task": trained.header["task"],
        "model": trained.header["model"]["type"],
        "weights": trained.header["weights"],
        "variables": list(codec.names),
        "units": {v: codec.attrs[v].get("units", "1") for v in codec.names},
        "latitude": codec.latitude.tolist(),
        "longitude": codec.longitude.tolist(),
        **TimeStep.stored_in(trained.header).attrs(),
        **({"calendar": trained.header["calendar"]} if "calendar" in trained.header else {}),
    }
