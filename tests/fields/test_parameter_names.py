from fieldcast.fields.parameter_names import at_level, short


def test_levels_make_short_names() -> None:
    assert at_level("geopotential", 500.0) == "z500"
    assert at_level("temperature", 92.5) == "t92.5"
    assert short("2m_temperature") == "t2m" and short("slp") == "slp"
