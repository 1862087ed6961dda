"""User options for draws, their evaluation and tables over seeds, checked before anything runs."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fieldcast.encoding.options import STRICT, Limits
from fieldcast.errors import InputError
from fieldcast.models.treatments import Treatment

Component = Annotated[int, Field(ge=0)]  # of a latent code
FEWEST_SAMPLES = 16  # for a comparison of sets


@dataclass(frozen=True, config=STRICT)
class Drawing:
    """Options for drawing one experiment's forecasts."""

    feedback: Literal["members", "mean"] = "members"  # what the next step starts from


@dataclass(frozen=True, config=STRICT)
class File:
    """The model of an experiment that was made elsewhere: a data set of this run, or a user's file.

    Raises
    ------
    InputError
        For a path and a data set, or neither.
    """

    type: Literal["File"]
    dataset: Literal["perfect_model"] | None = None
    path: str | None = None  # NetCDF file or Zarr store

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.path is None):
            raise InputError("a model of type File has either a path (a file of forecasts) or a dataset.")


@dataclass(frozen=True, config=STRICT)
class StateOptions:
    """Options of one experiment of `sample`: how its images are preprocessed, and which latents its grid shows."""

    treatment: Treatment = "threshold"  # of images (models/image_transforms.py); it has no meaning for fields
    grid: tuple[Component, Component] | None = None  # of the decoded grid; by default those that vary most


@dataclass(frozen=True, config=STRICT)
class Sampling:
    """Numbers of draws and data by which models of states are scored."""

    samples: Annotated[int, Field(ge=FEWEST_SAMPLES)] = 256  # drawn from each model
    data: Annotated[int, Field(ge=1)] = 256  # of the test split and of the training split, for the likelihood
    draws: Annotated[int, Field(ge=1)] = 128  # K of IWAE_K; for the bound of a diffusion, times of the chain

    def capped(self, limits: "Limits") -> dict[str, int]:
        """The numbers under the limits."""
        return {
            "samples": max(FEWEST_SAMPLES, limits.cap("times", self.samples)),
            "likelihood": limits.cap("times", self.data),
            "members": limits.cap("members", self.draws),
        }


@dataclass(frozen=True, config=STRICT)
class Evaluation:
    """Number of draws that are scored: 19 members make the coverage of 50 % and 90 % by ranks exact."""

    members: Annotated[int, Field(ge=1)] = 19

    def capped(self, limits: "Limits") -> dict[str, int]:
        """The number under the limits."""
        return {"members": limits.cap("members", self.members)}


@dataclass(frozen=True, config=STRICT)
class Seeds:
    """Runs with different seeds that are gathered into mean and standard deviation."""

    runs: str | list[str] | None = (
        None  # their data_root; in a string separated by `+`, as commas separate parameters
    )

    def folders(self) -> list[str]:
        """The folders of the runs.

        Raises
        ------
        InputError
            Without one.
        """
        named = self.runs.split("+") if isinstance(self.runs, str) else self.runs or []
        folders = [folder.strip() for folder in named if folder.strip()]
        if not folders:
            raise InputError(
                "seeds.runs is not set: say which runs, with --params seeds.runs=FOLDER+FOLDER+FOLDER."
            )
        return folders
