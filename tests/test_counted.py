from fieldcast.counted import counted


def test_the_noun_agrees_with_its_number() -> None:
    assert [counted(number, "time") for number in (0, 1, 2)] == ["0 times", "1 time", "2 times"]
    assert counted(1, "date is", "dates are") == "1 date is"
    assert counted(3, "date is", "dates are") == "3 dates are"
