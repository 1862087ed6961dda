"""Kedro's configuration loader, which also reads archives."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf._utils import get_yaml_loader
from omegaconf.errors import GrammarParseError, OmegaConfBaseException

from fieldcast.errors import InputError
from fieldcast.experiments import YAML_LOADER, yaml_fault
from fieldcast.lineage import leaves

# content of files that have been parsed, as a run reads its parameters several times
PARSED_FILES: dict[tuple[Any, ...], dict[Path, Any]] = {}
NO_KEY = re.compile(r"Interpolation key '[^']*' not found|Unsupported interpolation type")
TOO_DEEP = "contains itself, or is nested too deeply: write it with fewer levels, and without '&' and '*'."
MAX_DEPTH = 50  # levels of a configuration file, at most
PRINTED = {"text", "path"}  # parts of an output that the end of a run can print
LOCAL = "local"  # environment of this machine alone
DATA_ROOT = "data_root"  # the credentials that every entry of conf/base/catalog.yml names


class ConfigLoader(OmegaConfigLoader):
    """Reads each environment from the project's folder, which may be an archive."""

    def __init__(self, conf_source: str, env: str | None = None, *arguments: Any, **options: Any) -> None:
        """conf_source: a folder, or an archive of one such as `kedro package` writes."""
        # a path would be searched for configuration files
        if env and (env == ".." or Path(env).name != env):
            raise InputError(f"--env {env}: give the name of a folder of the configuration, not a path.")
        if Path(conf_source).is_file():
            self._unpacked = TemporaryDirectory(prefix="fieldcast-")
            shutil.unpack_archive(conf_source, self._unpacked.name, **extraction_filter(conf_source))
            folder = Path(self._unpacked.name)
            conf_source = str(next((base.parent for base in folder.glob("**/base")), folder))
        super().__init__(conf_source, env, *arguments, **options)
        if not self._folders(self.default_run_env):  # an installed configuration has no `local`
            self.default_run_env = self.base_env

    def __getitem__(self, key: str) -> Any:
        if key == "credentials":
            return {DATA_ROOT: {}, **self._credentials()}
        try:
            config = super().__getitem__(key)
        except OmegaConfBaseException as error:
            raise InputError(self._unresolved(key, error)) from error
        if key == "catalog":
            check_entries(config)
        return config

    def declared(self) -> dict[str, Any]:
        """Parameters by dotted name as the files give them, without those of the command line.

        Read by a parser in C and not resolved, which takes a tenth of the time of `self["parameters"]`.
        """
        values: dict[str, Any] = {}
        for environment in (self.base_env, self.env or self.default_run_env):
            for _, content in self.parameter_files(environment):
                values |= dict(leaves(content, empty=True))
        return values

    def parameter_files(
        self, environment: str, group: str = "parameters"
    ) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Yield each file of a group, of an environment, as messages name it, with its content, not resolved."""
        for folder in self._folders(environment):
            for file in sorted(folder.rglob("*.y*ml")):
                if any(part.startswith(group) for part in file.relative_to(folder).parts):
                    yield self._listed(file), read_mapping(file)

    def _folders(self, environment: str) -> list[Path]:
        """The folder of an environment, if there is one."""
        folder = Path(self.conf_source) / environment
        return [folder] if folder.is_dir() else []

    def _unresolved(self, group: str, error: OmegaConfBaseException) -> str:
        """Name the file and the key of a value `${...}` that cannot be resolved, and the remedy."""
        key, reason = str(error.full_key or ""), str(error).partition("\n")[0].rstrip(".")
        name = key.partition("[")[0]  # of the list, if the value is in one
        environments = dict.fromkeys((self.env or self.default_run_env, self.base_env))
        files = (file for environment in environments for file in self.parameter_files(environment, group))
        holding = (
            file
            for file, content in files
            if any(leaf == name and "${" in str(value) for leaf, value in leaves(content))
        )
        place = ", ".join(filter(None, (str(next(holding, group)), key)))
        escape = (
            ", or write \\${ where a value, such as a path, holds ${ itself" if NO_KEY.match(reason) else ""
        )
        remedy = "correct it" if isinstance(error, GrammarParseError) else "set it, or correct its name"
        return f"{place}: {reason}: {remedy}{escape}."

    def _listed(self, file: Path) -> Path:
        """A file of configuration as messages name it."""
        beside = Path(self.conf_source).parent
        return file.relative_to(beside) if file.is_relative_to(beside) else file

    def _credentials(self) -> Mapping[str, Any]:
        """The credentials in `local`, which is never packaged, for every environment, and those of the environment."""
        local = OmegaConfigLoader(self.conf_source, LOCAL, base_env=self.base_env)
        credentials: dict[str, Any] = {}
        for read in (local.__getitem__, super().__getitem__):
            with suppress(MissingConfigException):
                credentials |= read("credentials")
        return credentials

    def _read_dir_configs(
        self, conf_path: str, patterns: Iterable[str], key: str, processed_files: set[Path], *arguments: Any
    ) -> dict[Path, Any]:
        environment = os.path.relpath(conf_path, self.conf_source)
        configs: dict[Path, Any] = {}
        for folder in self._folders(environment) or [Path(conf_path)]:
            present = files(folder)
            state = key, tuple(patterns), arguments, *present
            if state not in PARSED_FILES:
                yaml_files = {
                    Path(path): status for path, *status in present if path.endswith((".yml", ".yaml"))
                }
                for file, status in yaml_files.items():
                    refuse_malformed_once(file, self._listed(file), *status)
                try:
                    PARSED_FILES[state] = super()._read_dir_configs(
                        str(folder), patterns, key, set(), *arguments
                    )
                except yaml.YAMLError:
                    for file in yaml_files:  # Kedro does not say of which file
                        refuse_malformed(file, self._listed(file), get_yaml_loader())
                    raise
            configs |= deepcopy(PARSED_FILES[state])  # Kedro merges in place
        processed_files.update(configs)
        return configs


def files(folder: Path) -> list[tuple[str, int, int]]:
    """Path, time of modification and size of every file in a folder, which change when its content does."""
    return sorted(
        (str(file), (status := file.stat()).st_mtime_ns, status.st_size)
        for file in folder.rglob("*")
        if file.is_file()
    )


def read_mapping(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file; empty for any other file, which Kedro's own reading refuses."""
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), YAML_LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def refuse_malformed(file: Path, name: Path, loader: Any = YAML_LOADER) -> None:
    """Raise InputError for a file of configuration that is not YAML, or no mapping of keys to values."""
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), loader)
    except UnicodeDecodeError:
        raise InputError(f"{name} is not text in UTF-8: save it as UTF-8.") from None
    except yaml.YAMLError as error:
        raise InputError(f"{name}{yaml_fault(error)}") from None
    except RecursionError:
        raise InputError(f"{name} {TOO_DEEP}") from None
    if content is not None and not isinstance(content, dict):
        kind = "list" if isinstance(content, list) else "single value"
        raise InputError(f"{name} is a {kind}, not a mapping of keys to values: write 'key: value'.")
    if not is_finite(content):
        raise InputError(f"{name} {TOO_DEEP}")


@cache
def refuse_malformed_once(file: Path, name: Path, *status: int) -> None:
    """Refuse a malformed file when it is first read, and again after it has changed."""
    refuse_malformed(file, name)


def is_finite(content: Any, depth: int = 0) -> bool:
    """Whether a structure ends within MAX_DEPTH levels."""
    items = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return depth < MAX_DEPTH and all(is_finite(item, depth + 1) for item in items)


def extraction_filter(archive: str) -> dict[str, Any]:
    """The option that keeps the members of a tar archive within the folder to which it is unpacked."""
    return {} if archive.endswith(".zip") else {"filter": "data"}


def check_entries(catalog: Mapping[str, Any]) -> None:
    """Raise InputError for an entry without a type, or with an option that would fail only at the end of a run.

    These are: a data set of this package that is to be versioned, and metadata `print` other than text and path.
    """
    for name, entry in catalog.items():
        if not isinstance(entry, Mapping) or "type" not in entry:
            raise InputError(
                f"catalog, {name}: there is no 'type': a file of an environment replaces an entry of conf/base as a "
                "whole, so copy that entry, and change the copy."
            )
        if entry.get("versioned") and str(entry.get("type", "")).startswith("fieldcast."):
            raise InputError(
                f"catalog, {name}: 'versioned: true' is not supported, because a run replaces earlier outputs; remove "
                "it, and keep versions in folders of their own with --params data_root=FOLDER."
            )
        metadata = entry.get("metadata")
        printed = (metadata.get("print") or []) if isinstance(metadata, Mapping) else []
        parts = [printed] if isinstance(printed, str) else printed
        if not isinstance(parts, list) or not set(map(str, parts)) <= PRINTED:
            raise InputError(
                f"catalog, {name}: metadata.print is {printed}: give text, path or [text, path]."
            )
