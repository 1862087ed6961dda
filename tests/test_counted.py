from fieldcast.errors import counted, listed


def test_the_noun_agrees_with_its_number() -> None:
    assert [counted(number, "time") for number in (0, 1, 2)] == ["0 times", "1 time", "2 times"]
    assert counted(1, "date is", "dates are") == "1 date is"
    assert counted(3, "date is", "dates are") == "3 dates are"


def test_a_list_ends_with_the_number_of_further_entries() -> None:
    assert listed(["a", "b"], 2) == "a; b"
    assert listed(list("abcde"), 5) == "a; b; c; d; e"
    assert listed(list("abcde"), 7) == "a; b; c; d; e, and 2 more"
