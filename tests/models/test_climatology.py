"""Climatology: zero anomalies whatever is known."""

import torch

from fieldcast.models.climatology import Climatology
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


def test_the_climatology_is_zero_for_every_context_and_member():
    points = torch.nn.functional.normalize(torch.arange(18.0).reshape(2, 3, 3), dim=-1)
    ones = torch.ones(2, 3)
    space = Space(("a", "b"), True, ones, ones.bool(), points, torch.zeros(0, 2, 3), torch.ones(2))
    model = Climatology(space)
    model.solve([])
    state = torch.ones(4, 2, 2, 3)
    for c in (Context(4), Context(4, observed=state, mask=state.bool()), Context(4, past=state[:, None])):
        x = model.sample(c, RandomStreams(0, torch.arange(4), members=3))
        assert x.shape == (4, 3, 2, 2, 3)
        assert (x == 0).all()
    assert model.deterministic
    assert model.state_dict() == {}
