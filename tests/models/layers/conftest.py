import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    """Draw the initial weights of layers from a fixed seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def randomise():
    """A function that draws all weights: layers that start at zero would make tests of them empty."""

    def draw(module):
        for p in module.parameters():
            torch.nn.init.normal_(p, std=0.1)
        return module

    return draw
