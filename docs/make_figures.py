"""Figures of the original studies in docs/pictures.md: `make figures`, as the introduction of that page shows.

Copies the stored figures of finished runs to docs/images/ and writes the page: for each run its command, a table of
its scores, and the figures. Each PNG carries the digest of that table as the text `table`, and the test of the page
compares both, so that no picture is older than its table. `--run FOLDER COMMAND` is given once for each run; a figure
comes from the first run that has it, and a section without its run is dropped from the page.
"""

from __future__ import annotations

import argparse
import io
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fieldcast import lineage

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "pictures.md"
IMAGES = ROOT / "docs" / "images"
MAX_BYTES = 150_000  # size of a picture, at most [bytes]
MAX_WIDTH = 1300  # width of a picture, at most [pixels]
COLOURS = (256, 128, 64, 32)  # numbers of colours to try, in this order
SCORES = {"sample": ("elbo", "iwae", "kl", "fid", "kid"), "forecast": ("crps", "rmse", "ssr")}


class PageFigure(NamedTuple):
    """A figure to show: the file of the task's figures, and its caption."""

    task: str
    figure: str
    caption: str


FIGURES = (
    PageFigure("sample", "priors", "Density of the prior (shaded) and codes of test images"),
    PageFigure("sample", "samples", "Real images and samples of each model, none selected"),
    PageFigure("sample", "embeddings", "Codes of test images; more than two components by t-SNE"),
    PageFigure("sample", "decoded", "Test images, their reconstructions, and samples"),
    PageFigure("sample", "decoded_part1", "Test images, their reconstructions, and samples"),
    PageFigure("sample", "decoded_part2", "Test images, their reconstructions, and samples, of other models"),
    PageFigure("sample", "study_the-kl-weight", "The weights 0, 1 and 30 of the KL divergence"),
    PageFigure("sample", "latent_grid_vae", "Decoded latents of a VAE on a grid over two components"),
    PageFigure("sample", "denoising_ddpm", "A diffusion model on its way from noise to an image"),
    PageFigure("sample", "denoising_ddim", "The same weights, sampled in fewer steps"),
    PageFigure("forecast", "steps_vae_z500", "The first ten steps of the VAE by Euler's method"),
    PageFigure(
        "forecast",
        "steps_vae_convolutional_past_z500",
        "The first ten steps of the VAE with convolutional conditioning",
    ),
    PageFigure(
        "forecast", "steps_vae_rk4_z500", "The first ten steps with the weights of the VAE by Runge-Kutta"
    ),
    PageFigure("forecast", "stability", "The long rollout, step by step"),
)


def main() -> None:
    """Write pictures and page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--run",
        nargs=2,
        action="append",
        required=True,
        metavar=("FOLDER", "COMMAND"),
        help="data_root, command",
    )
    runs = {Path(folder): command for folder, command in parser.parse_args().run}
    missing = [str(folder) for folder in runs if not (folder / "08_reporting").is_dir()]
    if missing:
        sys.exit(f"There are no results in {', '.join(missing)}: run the commands first.")
    introduction = PAGE.read_text(encoding="utf-8").partition("\n## ")[0].rstrip()
    left = list(FIGURES)
    sections = []
    for folder, command in runs.items():
        for task in SCORES:
            drawn = [figure for figure in left if figure.task == task and source(folder, figure).exists()]
            if drawn:
                left = [figure for figure in left if figure not in drawn]
                sections.append("\n\n".join(section(folder, task, command, drawn)))
    PAGE.write_text("\n\n".join([introduction, *sections]) + "\n", encoding="utf-8")


def source(folder: Path, figure: PageFigure) -> Path:
    """The stored figure of a run."""
    return folder / "08_reporting" / "figures" / figure.task / f"{figure.figure}.png"


def section(folder: Path, task: str, command: str, figures: list[PageFigure]) -> Iterator[str]:
    """Heading, command, table and pictures of one task of a run."""
    table = scores(folder, task)
    yield f"## {'Samples' if task == 'sample' else 'Forecasts'}\n\n```bash\n{command}\n```"
    yield table
    for figure in figures:
        name = f"{figure.task}_{figure.figure}.png"
        (IMAGES / name).write_bytes(reduced_picture(source(folder, figure), lineage.digest(table)))
        yield f"![{figure.caption}](images/{name})\n\n*{figure.caption}.*"


def scores(folder: Path, task: str) -> str:
    """Scores of a run as a table in Markdown: of forecasts after the first, the middle and the last lead time."""
    board = pd.read_csv(folder / "08_reporting" / f"leaderboard_{task}.csv")
    columns = ["score"]
    if task == "forecast":
        leads = sorted(board["lead_hours"].unique())
        board = board[(board["variable"] == "all") & (board["region"] == board["region"].iloc[0])]
        board = board[board["lead_hours"].isin([leads[0], leads[len(leads) // 2], leads[-1]])]
        columns.append("lead_hours")
    board = board[board["score"].isin(SCORES[task])]
    wide = board.pivot_table(index="experiment", columns=columns, values="value", sort=False)
    head = [
        " ".join(heading(part) for part in ([name] if isinstance(name, str) else name))
        for name in wide.columns
    ]
    lines = [f"| {' | '.join(['experiment', *head])} |", "|---" * (len(head) + 1) + "|"]
    lines += [
        f"| `{name}` | {' | '.join('-' if pd.isna(value) else f'{value:.4g}' for value in row)} |"
        for name, row in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    return "\n".join(lines)


def heading(label: str | float) -> str:
    """A score's name, or a lead time [hours] in days."""
    return label if isinstance(label, str) else f"{label / 24:g} d"


def reduced_picture(file: Path, digest: str) -> bytes:
    """The picture with the digest of its table, in as few pixels and colours as its size requires."""
    text = PngInfo()
    text.add_text("table", digest)
    with Image.open(file) as stored:
        picture = stored.convert("RGB")
    picture.thumbnail((MAX_WIDTH, 2 * MAX_WIDTH), Image.Resampling.LANCZOS)
    for colours in itertools.chain(COLOURS, itertools.repeat(COLOURS[-1])):
        buffer = io.BytesIO()
        palette = picture.quantize(colours, dither=Image.Dither.NONE)
        palette.save(buffer, format="PNG", optimize=True, pnginfo=text)
        if buffer.tell() <= MAX_BYTES:
            break
        picture = picture.resize((int(picture.width * 0.9), int(picture.height * 0.9)))
    return buffer.getvalue()


def tables_of_pictures(page: str) -> dict[str, str]:
    """Digest of the table above each picture of the page."""
    digests: dict[str, str] = {}
    for part in page.split("\n## ")[1:]:
        table = re.findall(r"(?:^\|.*\n)+", part, re.M)[0].rstrip("\n")
        digests |= {name: lineage.digest(table) for name in re.findall(r"\]\(images/([\w.-]+)\)", part)}
    return digests


if __name__ == "__main__":
    main()
