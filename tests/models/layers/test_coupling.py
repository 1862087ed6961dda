import torch

from fieldcast.models.layers.coupling import Convolutions, Coupling, Dense, checkerboard


def randomised(layer):
    for p in layer.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return layer.double()


def layers(space):
    everywhere = space.exists.expand(space.state_shape)
    mask = checkerboard(space.state_shape, odd=True)
    yield Coupling(Dense(space.state_shape, 8), mask, everywhere)
    yield Coupling(Convolutions(space, 8), mask, everywhere)


def test_the_inverse_and_the_log_determinant_equal_autograd(space):
    for layer in layers(space):
        randomised(layer)
        x = torch.randn(2, *space.state_shape, dtype=torch.float64)
        y, log_det = layer(x)
        assert torch.allclose(layer.inverse(y), x, atol=1e-10)
        jacobian = torch.autograd.functional.jacobian(lambda x, f=layer: f(x[None])[0][0].flatten(), x[0])
        expected = torch.linalg.slogdet(jacobian.flatten(1))[1]
        assert torch.allclose(log_det[0], expected, atol=1e-9)


def test_accepted_values_and_nonexistent_cells_are_unchanged(space):
    exists = space.exists.clone()
    exists[:2] = False
    mask = checkerboard(space.state_shape, odd=False)
    layer = randomised(Coupling(Convolutions(space, 8), mask, exists.expand(space.state_shape)))
    x = torch.randn(3, *space.state_shape, dtype=torch.float64)
    moved = layer(x)[0] != x
    assert not moved[:, mask].any()
    assert not moved[..., :2, :].any()
    assert moved[:, ~mask & exists].all()


def test_two_masks_are_the_two_colours_of_a_board():
    black, white = checkerboard((2, 3, 4), True), checkerboard((2, 3, 4), False)
    assert torch.equal(black, ~white)
    assert white[0, 0].tolist() == [True, False, True, False]
    assert white[0, 1].tolist() == [False, True, False, True]
    assert white[1, 0].tolist() == [False, True, False, True]


def test_a_layer_starts_as_the_identity(space):
    for layer in layers(space):
        x = torch.randn(2, *space.state_shape)
        y, log_det = layer(x)
        assert torch.equal(y, x)
        assert not log_det.any()
