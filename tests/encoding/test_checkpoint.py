import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save

from fieldcast.encoding import tensor_file
from fieldcast.encoding.checkpoint import READABLE, model_digest, pack, read_header, unpack
from fieldcast.encoding.tensor_file import pack_bytes, tensor_digest, unpack_bytes
from fieldcast.errors import InputError
from fieldcast.models.configuration import build
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams

CONFIG = {"type": "vae.ConditionalVAE", "latent": 4}


@pytest.fixture
def packed(world):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(CONFIG, world.space)
    return model, pack(model, world.codec, {"model": CONFIG, "note": "a test"})


def context(space):
    observed = torch.ones(2, *space.state_shape)
    return Context(2, observed=observed, mask=observed > 0, day=torch.zeros(2))


def test_a_model_rebuilt_from_its_file_draws_the_same(world, packed):
    model, data = packed
    result = unpack(data)
    a, b = (
        m.sample(context(world.space), RandomStreams(0, torch.arange(2), 3)) for m in (model, result.model)
    )
    assert torch.equal(a, b)
    assert result.header["note"] == "a test"
    assert result.codec.attrs == world.codec.attrs
    assert (result.codec.climatology == world.codec.climatology).all()


def test_the_year_of_its_calendar_returns_with_a_model(world, packed):
    stored = pack(packed[0], world.codec, {"model": CONFIG, "calendar": "360_day"})
    assert unpack(stored).model.space.days_per_year == 360
    assert unpack(packed[1]).model.space.days_per_year == 365


def test_the_weights_may_be_drawn_from_in_another_way(world, packed):
    noisy = unpack(packed[1], model={**CONFIG, "likelihood_noise": True}).model
    assert noisy.likelihood_noise
    with pytest.raises(InputError, match="do not fit the requested model"):
        unpack(packed[1], model={**CONFIG, "latent": 5})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:100],
        lambda data: b"",
        lambda data: b"not a checkpoint at all",
        lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],  # one bit of a weight
        lambda data: data.replace(b"a test", b"a text"),  # a word of the header
    ],
)
def test_a_damaged_file_is_reported_in_one_sentence(packed, spoil):
    with pytest.raises(InputError) as raised:
        unpack(spoil(packed[1]), "x/checkpoint.safetensors")
    assert "x/checkpoint.safetensors" in str(raised.value)
    assert "\n" not in str(raised.value)


def a_weight(model, codec):
    next(model.parameters()).view(-1)[3] = torch.nan
    return codec


def the_climatology(model, codec):
    climatology = codec.climatology.copy()
    climatology[17, 0, 2, 3] = np.inf
    return replace(codec, climatology=climatology)


def a_statistic(model, codec):
    return replace(codec, deviation=np.full_like(codec.deviation, np.nan))


@pytest.mark.parametrize(
    ("spoil", "name"),
    [(a_weight, "model."), (the_climatology, "codec.climatology"), (a_statistic, "codec.deviation")],
)
def test_numbers_that_are_not_finite_are_reported_in_one_sentence(world, packed, spoil, name):
    """Such a file is whole, as its digest says; what is drawn from it would be NaN, or worse."""
    model = deepcopy(packed[0])
    with torch.no_grad():
        codec = spoil(model, world.codec)
    with pytest.raises(InputError, match=rf"^x.safetensors holds numbers .* not finite .{name}") as raised:
        unpack(pack(model, codec, {"model": CONFIG}), "x.safetensors")
    assert "train the experiment again" in str(raised.value) and "\n" not in str(raised.value)


def test_cells_that_do_not_exist_need_no_climatology(world, packed):
    exists = world.space.exists.clone()
    exists[2, 3] = False
    model = build(CONFIG, world.space.replace(exists=exists))
    data = pack(model, the_climatology(model, world.codec), {"model": CONFIG})
    assert unpack(data).codec.climatology[17, 0, 2, 3] == np.inf


def test_the_digest_of_draws_follows_the_tensors_and_the_model_alone(world, packed):
    """Draws do not depend on the cost of a run or on the version that trained it."""

    def digest_of(data, model=CONFIG):
        return model_digest(unpack(data).header, model)

    model, data = packed
    again = pack(model, world.codec, {"model": CONFIG, "note": "another"})
    assert again != data and digest_of(again) == digest_of(data)
    assert digest_of(data, {**CONFIG, "likelihood_noise": True}) != digest_of(data)
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-3
    assert digest_of(pack(model, world.codec, {"model": CONFIG, "note": "a test"})) != digest_of(data)


def test_a_checkpoint_of_another_version_is_reported_in_one_sentence(packed):
    tensors, header = unpack_bytes(packed[1], "it")
    earlier = pack_bytes(tensors, {**header, "format": min(READABLE) - 1})
    for read in (read_header, unpack):
        with pytest.raises(InputError, match="is not a checkpoint of this version of Fieldcast"):
            read(earlier, "it")


def repacked(data, header):
    """The tensors of a checkpoint with the text of another header and a digest that fits."""
    tensors, _ = unpack_bytes(data, "x")
    return save(tensors, {"fieldcast": json.dumps([tensor_digest(tensors, header), header])})


def lacking(key):
    return lambda data: repacked(
        data, json.dumps({k: v for k, v in unpack_bytes(data, "x")[1].items() if k != key})
    )


def without_tensor(data):
    tensors, header = unpack_bytes(data, "x")
    return pack_bytes({k: v for k, v in tensors.items() if k != "space.area"}, header)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: repacked(data, "[1, 2]"),
        lambda data: repacked(data, "[" * 200_000 + "]" * 200_000),
        lambda data: repacked(data, '{"a":' * 200_000 + "1" + "}" * 200_000),
        lambda data: repacked(data, "null"),
        lambda data: repacked(data, '{"format": 5, "model": [1]}'),
        *map(lacking, ("model", "variables", "wraps", "step_hours", "weights", "attrs")),
        without_tensor,
    ],
)
def test_a_header_that_is_none_is_reported_in_one_sentence(packed, spoil):
    """A list, one nested without end, and one that lacks entries, each with a digest that fits."""
    with pytest.raises(InputError, match=r"^x/checkpoint.*train the experiment again") as raised:
        unpack(spoil(packed[1]), "x/checkpoint.safetensors")
    assert "\n" not in str(raised.value)


def test_a_damaged_header_alone_is_reported_in_one_sentence(packed):
    for text in ("[1, 2]", "[" * 200_000, '{"format": 5, "model": [1]}'):
        with pytest.raises(InputError, match=r"^x/checkpoint.*train the experiment again"):
            read_header(repacked(packed[1], text), "x/checkpoint.safetensors")


HEADERS = {
    "model": (3, None, {}, {"type": 3}),
    "variables": ([1], "t", None),
    "step_hours": ("x", None),
    "wraps": ("x", None),
    "attrs": (None, 3, "x", {"a": 1}),
}


@pytest.mark.parametrize("name", HEADERS)
def test_entries_of_a_wrong_type_are_reported_in_one_sentence(packed, name):
    tensors, header = unpack_bytes(packed[1], "")
    for value in HEADERS[name]:
        data = pack_bytes(tensors, {**header, name: value})
        with pytest.raises(InputError, match=r"^x.safetensors is damaged .*train the experiment again\.$"):
            unpack(data, "x.safetensors")


@pytest.mark.parametrize(
    "name",
    ["space.exists", "space.area", "space.points", "space.tendency", "codec.climatology", "codec.latitude"],
)
def test_tensors_of_a_wrong_shape_are_reported_in_one_sentence(packed, name):
    tensors, header = unpack_bytes(packed[1], "")
    wrong = (tensors[name][:-1], tensors[name][None], tensors[name].flatten()[0])
    for value in (*wrong, tensors[name].float()) if name == "space.exists" else wrong:
        data = pack_bytes({**tensors, name: value}, header)
        with pytest.raises(InputError, match=r"^x.safetensors is damaged .*train the experiment again\.$"):
            unpack(data, "x.safetensors")


@pytest.mark.parametrize("name", ["model.number", "model.days"])
def test_training_days_of_a_wrong_shape_are_reported_in_one_sentence(world, name):
    config = {"type": "optimal_interpolation.OptimalInterpolation"}
    model = build(config, world.space)
    days = torch.arange(3.0)
    model.days, model.number = days, torch.arange(3)
    model.anomalies = torch.zeros(3, *model.anomalies.shape[1:])
    tensors, header = unpack_bytes(pack(model, world.codec, {"model": config}), "")
    assert (unpack(pack_bytes(tensors, header)).model.days == days).all()
    for value in (tensors[name][:-1], tensors[name][None], tensors[name][0]):
        with pytest.raises(InputError, match=rf"^x.safetensors is damaged .*(model.number|{name}).*: train"):
            unpack(pack_bytes({**tensors, name: value}, header), "x.safetensors")


def test_a_large_file_passes_through_the_disk_unchanged(monkeypatch):
    tensors = {
        "b": torch.arange(6.0).view(2, 3),
        "a": torch.zeros(0, 2, dtype=torch.int64),
        "c": torch.tensor(True),
    }
    small = pack_bytes(tensors, {"x": 1})
    monkeypatch.setattr(tensor_file, "MAX_BYTES_IN_MEMORY", 0)
    assert pack_bytes(tensors, {"x": 1}) == small
