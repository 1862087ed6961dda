"""The one error that a user can cause: a sentence saying what is wrong, where, and what to do."""


class InputError(ValueError):
    """Bad input, configuration or environment; shown as its one sentence, without a traceback."""
