"""Replace remote Zarr stores, object by object: object stores cannot rename."""

import fsspec


def publish_objects(fs: fsspec.AbstractFileSystem, partial: str, path: str, manifest: str) -> None:
    """Move a store to its place; whenever this is cut short, the store is complete or has no manifest.

    Parameters
    ----------
    fs
        Where both lie.
    partial, path
        The finished store, and its place.
    manifest
        The object without which a store is treated as missing: the first that is removed, the last that is copied.
    """
    if fs.exists(f"{path}/{manifest}"):
        fs.rm_file(f"{path}/{manifest}")
    if fs.exists(path):
        fs.rm(path, recursive=True)
    root = fs._strip_protocol(partial)
    names = [name for name in fs.find(partial) if not name.endswith(f"/{manifest}")]
    fs.copy(names, [f"{path}{name[len(root) :]}" for name in names])  # in parallel, if the store supports it
    fs.copy(f"{root}/{manifest}", f"{path}/{manifest}")
    fs.rm(partial, recursive=True)
