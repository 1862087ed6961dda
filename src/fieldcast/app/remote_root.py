"""Check that a remote data root can be reached, before a data set fails there."""

import logging
from collections.abc import Mapping
from inspect import signature
from typing import Any

import fsspec
from fsspec.registry import known_implementations
from fsspec.utils import get_protocol

from fieldcast.datasets.base import OBJECT_STORES
from fieldcast.errors import InputError
from fieldcast.fields.paths import installation

LOG = logging.getLogger(__name__)

READ_ONLY_PROTOCOLS = ("http", "https")
CREDENTIALS = "the entry data_root in the credentials.yml of the environment"
CHOICE = "give a folder, or a bucket such as s3://bucket/run"


def refuse_unusable_address(address: str, credentials: Mapping[str, Any]) -> None:
    """Raise InputError for an address that is read-only or does not fit its credentials; nothing is sent."""
    protocol = get_protocol(address)
    if protocol in READ_ONLY_PROTOCOLS:
        raise InputError(f"data_root = {address} can only be read: {CHOICE}.")
    if protocol not in known_implementations:
        raise InputError(f"data_root = {address}: '{protocol}' is not a kind of address: {CHOICE}.")
    try:
        signature(fsspec.get_filesystem_class(protocol).__init__).bind(None, **credentials)
    except ImportError as error:  # its text names the package
        raise InputError(
            f"data_root = {address} needs a package that is not installed ({error}): {installation(protocol)}."
        ) from error
    except TypeError as error:
        raise InputError(
            f"data_root = {address} cannot be opened ({error}): {CHOICE}, or correct {CREDENTIALS}."
        ) from error


def refuse_unreachable(address: str, credentials: Mapping[str, Any]) -> None:
    """Raise InputError for a bucket that is missing, refuses access or cannot be reached; warn of memory://."""
    protocol = get_protocol(address)
    if protocol == "memory":
        LOG.warning("data_root = %s: results in memory:// end with this process.", address)
    if protocol not in OBJECT_STORES:
        return
    bucket = address.partition("://")[2].partition("/")[0]
    try:
        fsspec.filesystem(protocol, **{"use_listings_cache": False, **credentials}).ls(bucket)
    except FileNotFoundError as error:
        raise InputError(
            f"data_root = {address}: there is no bucket '{bucket}': create it, or check its name and {CREDENTIALS}."
        ) from error
    except PermissionError as error:
        raise InputError(
            f"data_root = {address}: access is denied ({error}): check {CREDENTIALS}."
        ) from error
    except Exception as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(
            f"data_root = {address} cannot be reached ({reason}): check the network, and {CREDENTIALS}."
        ) from error
