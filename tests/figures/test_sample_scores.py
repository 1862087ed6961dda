"""Dots of distances lie between what real data have and what noise has."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection, PolyCollection

from fieldcast.figures.samples import distance_dots


def test_dots_intervals_and_bounds_are_the_leaderboards(sampled):
    board = sampled()["leaderboard"]
    figure = distance_dots(board, {"vae": {"fid": 90.0, "kid": 5.0}})
    fid, kid, c2st = figure.axes
    names = [item.get_text() for item in fid.get_yticklabels()]
    assert names == ["vae", "vae_kl0", "autoencoder", "flow", "ddpm"]
    values = board.query("score == 'fid'").set_index("experiment")
    dots = {line.get_ydata()[0]: line.get_xdata()[0] for line in fid.lines if len(line.get_xdata()) == 1}
    assert dots == {place: values.loc[name, "value"] for place, name in enumerate(names)}
    spans = [item.get_segments()[0] for item in fid.collections if isinstance(item, LineCollection)]
    assert {(span[0, 0], span[1, 0], span[0, 1]) for span in spans} == {
        (values.loc[name, "low"], values.loc[name, "high"], place) for place, name in enumerate(names)
    }
    upright = [tuple(line.get_xdata()) for line in fid.lines if len(line.get_xdata()) == 2]
    assert upright.count((0.5, 0.5)) == 5
    assert upright.count((90.0, 90.0)) == 1
    bands = [
        item.get_paths()[0].get_extents() for item in fid.collections if isinstance(item, PolyCollection)
    ]
    assert {(item.x0, item.x1) for item in bands} == {(0.45, 0.55)}
    assert fid.get_xscale() == "log"
    assert kid.get_xscale() == "symlog"  # an unbiased distance may be below 0
    (chance,) = [line for line in c2st.lines if line.get_label() == "chance"]
    assert tuple(chance.get_xdata()) == (0.5, 0.5)


def test_real_data_that_are_recognised_are_not_drawn_at_chance(sampled):
    """Training and test data of other years differ: a classifier may tell them apart."""
    board = sampled()["leaderboard"]
    floor = board[board["score"] == "c2st"].assign(score="c2st_floor", value=0.68, low=0.66, high=0.7)
    c2st = distance_dots(pd.concat([board, floor])).axes[2]
    real = [line for line in c2st.lines if line.get_label() == "real data"]
    assert real and all(tuple(line.get_xdata()) == (0.68, 0.68) for line in real)


def test_a_model_that_blew_up_and_scores_that_are_missing_are_no_fault(sampled):
    board = sampled()["leaderboard"].query("score == 'fid'").reset_index(drop=True)
    board.loc[0, ["value", "low", "high"]] = np.inf
    (axes,) = distance_dots(pd.DataFrame(board)).axes
    assert np.isfinite(axes.get_xlim()).all()
    assert len([line for line in axes.lines if len(line.get_xdata()) == 1]) == 4


def test_an_experiment_much_farther_than_noise_is_an_arrow(sampled):
    board = sampled()["leaderboard"].query("score == 'fid'").reset_index(drop=True)
    board.loc[board["experiment"] == "vae_kl0", ["value", "low", "high"]] = 1e12, 1e11, 1e13
    (axes,) = distance_dots(pd.DataFrame(board), {"vae": {"fid": 90.0}, "flow": {"fid": 80.0}}).axes
    arrows = [line for line in axes.lines if line.get_marker() == ">"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in arrows] == [(900.0, 1)]
    assert axes.get_xlim()[1] < 1e4
