"""User options for draws, their evaluation and tables over several seeds, checked before anything runs."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fieldcast.encoding.options import STRICT, Limits
from fieldcast.errors import InputError
from fieldcast.models.options import Treatment

Component = Annotated[int, Field(ge=0)]  # index of a component of a latent code
MIN_SAMPLES = 16  # smallest number of samples in a comparison of sets


@dataclass(frozen=True, config=STRICT)
class Drawing:
    """Options for drawing one experiment's forecasts.

    Parameters
    ----------
    feedback
        State from which the next step starts: with `members` each member continues from its own state, with `mean`
        every member from the ensemble mean.
    """

    feedback: Literal["members", "mean"] = "members"


@dataclass(frozen=True, config=STRICT)
class File:
    """The `model` of an experiment whose forecasts were made elsewhere (docs/data.md#forecasts-made-elsewhere).

    Parameters
    ----------
    type
        `File`.
    dataset
        `perfect_model`, in place of `path`, for the perfect model.
    path
        NetCDF file or Zarr store with the forecasts.
    """

    type: Literal["File"]
    dataset: Literal["perfect_model"] | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.path is None):
            raise InputError("a model of type File has either a path (a file of forecasts) or a dataset.")


@dataclass(frozen=True, config=STRICT)
class StateOptions:
    """Options of one experiment of `sample`: the presentation of images to its model, and the latents that figures
    vary.

    Parameters
    ----------
    treatment
        For images: `threshold` (1 if the grey value exceeds one half), `bernoulli` (1 with the grey value as its
        probability; redrawn at each training step, and drawn once for the test set), `grey` (grey values from 0 to 1),
        `dequantised` (0 to 1, with uniform noise within a grey level), `symmetric` (as `dequantised`, from -1 to 1).
        Fields are standardised instead.
    grid
        The two components `[i, j]` of the latent, counted from 0, that the figure of decoded latents varies; by default
        those whose posterior means vary most.
    """

    treatment: Treatment = "threshold"
    grid: tuple[Component, Component] | None = None


@dataclass(frozen=True, config=STRICT)
class Sampling:
    """Numbers of samples and data by which models of states are scored.

    Parameters
    ----------
    samples
        Number of samples of each model.
    data
        Number of test and of training states (or images) whose likelihood and reconstruction are computed.
    draws
        Number of draws K of the importance-weighted bound IWAE_K; for a diffusion model, the number of diffusion steps
        at which its bound is evaluated.
    """

    samples: Annotated[int, Field(ge=MIN_SAMPLES)] = 256
    data: Annotated[int, Field(ge=1)] = 256
    draws: Annotated[int, Field(ge=1)] = 128

    def capped(self, limits: "Limits") -> dict[str, int]:
        """The numbers under the limits."""
        return {
            "samples": max(MIN_SAMPLES, limits.cap("times", self.samples)),
            "likelihood": limits.cap("times", self.data),
            "members": limits.cap("members", self.draws),
        }


@dataclass(frozen=True, config=STRICT)
class Evaluation:
    """Options of the task `reconstruct` and of the pipeline `station_scores`.

    Parameters
    ----------
    members
        Number of ensemble members; with 19, the coverage of 50 % and 90 % by ranks is exact.
    """

    members: Annotated[int, Field(ge=1)] = 19

    def capped(self, limits: "Limits") -> dict[str, int]:
        """The number under the limits."""
        return {"members": limits.cap("members", self.members)}


@dataclass(frozen=True, config=STRICT)
class Seeds:
    """Runs that differ only in their `seed`, which `kedro run --pipelines seeds` combines into one table for each task.

    The output is `<data_root>/08_reporting/seeds_<task>.csv`: the rows of the leaderboards with `seeds` (the number of
    seeds with a value), `value` (the mean over them) and `sd` (the standard deviation with n - 1; empty for a single
    seed). Scores that do not depend on the seed have `sd` 0. Runs with different data, different cases or equal seeds
    are refused, and so are runs whose experiments were trained or scored with different options (except options for
    drawing of experiments that use the weights of another, which are not recorded).

    Parameters
    ----------
    runs
        The `data_root` of each run, joined by `+`, because commas separate parameters: `data+data_seed1+data_seed2`. In
        a file, a list also works.
    """

    runs: str | list[str] | None = None

    def folders(self) -> list[str]:
        """The folders of the runs."""
        named = self.runs.split("+") if isinstance(self.runs, str) else self.runs or []
        folders = [folder.strip() for folder in named if folder.strip()]
        if not folders:
            raise InputError(
                "seeds.runs is not set: say which runs, with --params seeds.runs=FOLDER+FOLDER+FOLDER."
            )
        return folders
