"""Numbers with their nouns, for messages: 1 time, 2 times."""


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun; the plural has an s more unless it is given: `counted(2, "date is", "dates are")`."""
    return f"{number} {singular if number == 1 else plural or f'{singular}s'}"
