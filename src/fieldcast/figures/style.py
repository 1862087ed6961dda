"""How figures look: one look an experiment, the same in every figure.

Baselines are grey or black, dashed; learned models coloured and solid. The colours are those of Okabe and Ito
(2008), which readers with any of the common colour blindnesses tell apart, and markers differ as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 11.0  # inches: the width of a report's column
SMALL, NORMAL = 8.0, 9.0  # points
INK, FAINT = "#30353a", "#d8dce0"

Dash = str | tuple[int, tuple[float | int, ...]]


@dataclass(frozen=True)
class Look:
    """Of one experiment."""

    colour: str
    dash: Dash = "-"
    marker: str = "o"
    learned: bool = True

    @property
    def line(self) -> dict[str, object]:
        """Keywords of `Axes.plot`."""
        width = 1.8 if self.learned else 1.4
        return {
            "color": self.colour,
            "linestyle": self.dash,
            "marker": self.marker,
            "markersize": 4,
            "linewidth": width,
        }


def _baseline(colour: str, dash: Dash, marker: str) -> Look:
    return Look(colour, dash, marker, learned=False)


CLIMATOLOGY = {"climatology": _baseline("#a8a8a8", (0, (1, 1.5)), "")}
RECONSTRUCT: dict[str, Look] = {
    **CLIMATOLOGY,
    "nearest": _baseline("#9c9c9c", (0, (1, 1)), "x"),
    "linear": _baseline("#8a8a8a", (0, (6, 2)), "+"),
    "thin_plate": _baseline("#7c7c7c", (0, (4, 1.5, 1, 1.5)), "1"),
    "kriging": _baseline("#6a6a6a", (0, (3, 1.5)), "s"),
    "gappy_pca": _baseline("#8f8577", (0, (5, 1, 1, 1, 1, 1)), "^"),
    "optimal_interpolation": _baseline("#000000", (0, (5, 1.5)), "o"),
    "denoising_vae": Look("#0072B2", marker="o"),
    "denoising_vae_unconditioned": Look("#56B4E9", marker="s"),
    "denoising_vae_residual": Look("#E69F00", marker="^"),
    "denoising_vae_residual_rk4": Look("#D55E00", marker="v"),
    "corrected_interpolation": Look("#009E73", marker="D"),
}
FORECAST: dict[str, Look] = {
    **CLIMATOLOGY,
    "climatological_ensemble": _baseline("#8a8a8a", (0, (6, 2)), "+"),
    "persistence": _baseline("#7c7c7c", (0, (4, 1.5, 1, 1.5)), "1"),
    "damped_persistence": _baseline("#9c9c9c", (0, (1, 1)), "x"),
    "analogue": _baseline("#8f8577", (0, (5, 1, 1, 1, 1, 1)), "^"),
    "linear_inverse_model": _baseline("#000000", (0, (5, 1.5)), "o"),
    "perfect_model": _baseline("#4f5f6e", (0, (2, 1)), "*"),
    "crps_ensemble": Look("#009E73", marker="D"),
    "vae": Look("#0072B2", marker="o"),
    "vae_rk4": Look("#D55E00", marker="v"),
    "vae_rk4_trained": Look("#E69F00", marker="^"),
    "vae_direct": Look("#56B4E9", marker="s"),
    "vae_mean": Look("#C2408F", marker="P"),
    "decoder_l1": Look("#7A3E9D", marker="X"),
    "decoder_l2": Look("#A00044", marker="<"),
    "decoder_l5": Look("#B5A300", marker=">"),
}
SAMPLE: dict[str, Look] = {
    "probabilistic_pca": _baseline("#000000", (0, (5, 1.5)), "o"),
    "vae": FORECAST["vae"],
    "vae_mixture": Look("#56B4E9", marker="s"),
    "vae_vamp": Look("#1B3A93", marker="^"),
    "vae_flow": Look("#00A3A3", marker="D"),
    "vae_kl0": Look("#6F8CFF", marker="v"),
    "vae_kl30": Look("#5C7A00", marker="P"),
    "autoencoder": Look("#E69F00", marker="o"),
    "autodecoder": Look("#D55E00", marker="s"),
    "variational_autodecoder": Look("#A00044", marker="^"),
    "variational_autodecoder_uniform": Look("#C2408F", marker="v"),
    "variational_autodecoder_laplace": Look("#FF6F61", marker="D"),
    "flow": Look("#009E73", marker="P"),
    "ddpm": Look("#7A3E9D", marker="X"),
    "ddim": Look("#B36AE2", marker="*"),
}
KNOWN = RECONSTRUCT | FORECAST | SAMPLE
SPARE = ("#CC79A7", "#7A3E9D", "#8C564B", "#B5A300", "#1A7F8E", "#A00044")
MARKERS = "PX*<>h"


def looks(experiments: Iterable[str]) -> dict[str, Look]:
    """The look of each; those this page does not know take spare colours in alphabetical order.

    Call it once with all experiments of a report, or a newcomer changes colour from figure to figure.
    """
    names = list(experiments)
    found = {}
    taken = {KNOWN[name].colour for name in names if name in KNOWN}
    spare = [colour for colour in SPARE if colour not in taken]
    for place, name in enumerate(sorted(set(names) - set(KNOWN))):
        turn, colour = divmod(place, len(spare))
        dash: Dash = "-" if not turn else (0, (8, 1 + turn))
        found[name] = Look(spare[colour], dash, MARKERS[place % len(MARKERS)])
    return {name: KNOWN.get(name) or found[name] for name in names}


def chosen(experiments: Iterable[str], given: Mapping[str, Look] | None) -> dict[str, Look]:
    """The looks that were given, in their order, of these experiments; without any, those of `looks`."""
    names = list(experiments)
    return looks(names) if given is None else {name: look for name, look in given.items() if name in names}


def plain(text: object) -> str:
    """Text that matplotlib shows as it is: a dollar sign starts no formula."""
    return str(text).replace("$", r"\$")


def wrapped(name: str, width: int = 14) -> str:
    """A name broken after underscores into lines of about `width` letters."""
    lines = [""]
    words = name.split("_")
    for piece in [*(f"{word}_" for word in words[:-1]), words[-1]]:
        if lines[-1] and len(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return plain("\n".join(lines))


def percent(k: float) -> str:
    """A fraction as text: 0.1 is "10 %"."""
    return f"{100 * k:.4g} %"


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure whose parts find their room by themselves."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    return figure


def calm(axes: Axes, title: str = "", x: str = "", y: str = "") -> Axes:
    """No box, thin ticks, a faint grid; title and labels in the sizes of the report."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#888888")
    axes.tick_params(labelsize=SMALL, colors=INK, width=0.6, which="both")
    axes.grid(True, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(plain(title), fontsize=NORMAL, color=INK, loc="left")
    axes.set_xlabel(plain(x), fontsize=SMALL, color=INK)
    axes.set_ylabel(plain(y), fontsize=SMALL, color=INK)
    return axes


def key(figure: Figure, *panels: Axes, **options: object) -> None:
    """The legend of everything in the panels, to the right of the whole figure."""
    found: dict[str, object] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        labels, handles = list(found), list(found.values())
        outside = {"loc": "outside right upper", "fontsize": SMALL, "frameon": False, "handlelength": 3.2}
        figure.legend(handles, labels, **(outside | options))
