"""Messages to the processes of a run: nodes and the catalog as bytes. Nothing that is stored is read in this way."""

import io
import pickle
from typing import Any

from kedro.framework.context import CatalogCommandsMixin
from kedro.io import DataCatalog

from fieldcast.errors import InputError


class Pickler(pickle.Pickler):
    """Serialises a catalog as Kedro's plain one: its class in a session is composed there, and cannot be imported."""

    def reducer_override(self, content: Any) -> Any:
        """Name the plain class for a catalog; leave everything else as it is."""
        if not isinstance(content, CatalogCommandsMixin):
            return NotImplemented
        return object.__new__, (DataCatalog,), content.__getstate__()


def pickled(content: Any, name: str) -> bytes:
    """Serialise what is sent to another process; raises InputError for what cannot be sent."""
    stream = io.BytesIO()
    try:
        Pickler(stream).dump(content)
        return stream.getvalue()
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise InputError(f"{name} cannot be sent to another process ({error}): leave out --runner.") from None
