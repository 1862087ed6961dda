from fieldcast.fields.conventions import names_in_file, short


def test_long_names_are_shortened_unless_two_variables_would_have_one_name() -> None:
    assert short("2m_temperature") == "t2m" and short("slp") == "slp"
    assert names_in_file(["geopotential", "slp"]) == {"geopotential": "z", "slp": "slp"}
    both = ["2m_temperature", "t2m", "geopotential"]
    assert names_in_file(both) == {"2m_temperature": "2m_temperature", "t2m": "t2m", "geopotential": "z"}
