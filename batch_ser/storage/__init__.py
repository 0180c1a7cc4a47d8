"""Where files are: folders of this machine and of object stores, through one small interface.

Only `object_store.py` knows object stores.
"""

from batch_ser.storage.folder import Changed, Folder, StorageError, StoredFile
from batch_ser.storage.local import LocalFolder, describe, describe_files
from batch_ser.storage.open_folder import STORES, is_store, is_web, open_folder, split_address
from batch_ser.storage.scratch import scratch_folder

__all__ = [
    "STORES",
    "Changed",
    "Folder",
    "LocalFolder",
    "StorageError",
    "StoredFile",
    "describe",
    "describe_files",
    "is_store",
    "is_web",
    "open_folder",
    "scratch_folder",
    "split_address",
]
