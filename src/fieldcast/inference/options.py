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
    """Options for drawing one experiment's forecasts."""

    feedback: Literal["members", "mean"] = "members"  # state from which the next step starts


@dataclass(frozen=True, config=STRICT)
class File:
    """The `model` of an experiment whose forecasts were made elsewhere: a data set of this run, or a user's file."""

    type: Literal["File"]
    dataset: Literal["perfect_model"] | None = None
    path: str | None = None  # NetCDF file or Zarr store

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.path is None):
            raise InputError("a model of type File has either a path (a file of forecasts) or a dataset.")


@dataclass(frozen=True, config=STRICT)
class StateOptions:
    """Options of one experiment of `sample`: how its images are preprocessed, and which latents its grid shows."""

    treatment: Treatment = "threshold"  # preprocessing of images (`models.image_transforms`)
    grid: tuple[Component, Component] | None = None  # components of the grid; by default those that vary most


@dataclass(frozen=True, config=STRICT)
class Sampling:
    """Numbers of draws and data by which models of states are scored."""

    samples: Annotated[int, Field(ge=MIN_SAMPLES)] = 256  # number of draws from each model
    data: Annotated[int, Field(ge=1)] = 256  # number of test data, and of training data, for the likelihood
    draws: Annotated[int, Field(ge=1)] = 128  # K of IWAE_K; number of times in the bound of a diffusion model

    def capped(self, limits: "Limits") -> dict[str, int]:
        """The numbers under the limits."""
        return {
            "samples": max(MIN_SAMPLES, limits.cap("times", self.samples)),
            "likelihood": limits.cap("times", self.data),
            "members": limits.cap("members", self.draws),
        }


@dataclass(frozen=True, config=STRICT)
class Evaluation:
    """Number of scored draws; with 19 members the coverage of 50 % and 90 % by ranks is exact."""

    members: Annotated[int, Field(ge=1)] = 19

    def capped(self, limits: "Limits") -> dict[str, int]:
        """The number under the limits."""
        return {"members": limits.cap("members", self.members)}


@dataclass(frozen=True, config=STRICT)
class Seeds:
    """Runs with different seeds that are gathered into mean and standard deviation."""

    # data_root of each run; a string separates them by `+`, because commas separate parameters
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
