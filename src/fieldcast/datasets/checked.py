"""Detect damaged or lost chunks of a local Zarr store when they are read."""

import json
import re
from pathlib import Path
from typing import Any

from numcodecs import CRC32C
from zarr.storage import LocalStore

from fieldcast.datasets.damage import DamagedError, refusing_damage

CHUNK = re.compile(r"\d+(\.\d+)*")  # the name of a chunk in its array
CHECKSUM = CRC32C()  # the last filter of every array: covers the bytes as they are stored


class CheckedStore(LocalStore):
    """A local Zarr store (format 2) that raises DamagedError for a chunk that is missing or fails its checksum.

    Zarr reads a missing chunk as fill values, which is right for stores that omit such chunks. Arrays with checksums
    have all their chunks written; arrays without, which another program wrote, are read as Zarr reads them.
    """

    def __init__(self, root: Path | str, *, read_only: bool = True) -> None:
        """root: the folder of the store."""
        super().__init__(root, read_only=read_only)
        self._arrays: dict[str, bool] = {}  # whether the chunks of each array have checksums

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Read an object of the store, and check it if it is a chunk."""
        content = await super().get(key, prototype, byte_range)
        array, _, name = key.rpartition("/")
        if byte_range is None and CHUNK.fullmatch(name) and self._has_checksums(array):
            self._check(key, content)
        return content

    def _check(self, key: str, content: Any) -> None:
        if content is None:
            raise DamagedError(str(self.root), f"its chunk {key} is missing")
        try:
            CHECKSUM.decode(content.as_numpy_array())
        except (RuntimeError, ValueError) as error:
            raise DamagedError(str(self.root), f"its chunk {key} does not match its checksum") from error

    def _has_checksums(self, array: str) -> bool:
        if array not in self._arrays:
            metadata = self.root / array / ".zarray"
            if not metadata.exists():
                raise DamagedError(str(self.root), f"its file {array}/.zarray is missing")
            with refusing_damage(str(self.root)):
                filters = json.loads(metadata.read_bytes())["filters"] or [{}]
                self._arrays[array] = filters[-1].get("id") == CHECKSUM.codec_id
        return self._arrays[array]
