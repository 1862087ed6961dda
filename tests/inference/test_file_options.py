"""Options of the commands on a user's own files."""

import pytest

from fieldcast.errors import InputError
from fieldcast.inference.file_options import Fill, RecordCycleOptions, StationFields


@pytest.mark.parametrize(
    ("ask", "command"),
    [
        (Fill(experiment="reconstruct.linear").table, "fieldcast fill --stations FILE"),
        (StationFields().table, "fieldcast grid-stations FILE"),
        (Fill(experiment="reconstruct.linear").file, "fieldcast fill FILE"),
        (
            RecordCycleOptions(forecaster="forecast.vae", updater="assimilate.letkf").file,
            "fieldcast record-cycle FILE",
        ),
    ],
)
def test_a_file_that_is_not_set_is_asked_for_with_its_command(ask, command):
    with pytest.raises(
        InputError, match=rf"is not set: say which file, with --params .*, or as in `{command}`\.$"
    ):
        ask()


def test_an_error_of_observations_is_a_number_or_a_text():
    given = [
        Fill(experiment="reconstruct.linear", noise=each).noise for each in (0.2, "0.2", "35%", {"t": "0.2"})
    ]
    assert given == [0.2, 0.2, "35%", {"t": 0.2}]
