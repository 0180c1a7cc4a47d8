"""Where files are: folders of this machine and of object stores, through one small interface.

Only the modules `object_...` know object stores.
"""

from batch_ser.storage.folder import Changed, Folder, StorageError, StoredFile
from batch_ser.storage.in_flight import in_order
from batch_ser.storage.local import LocalFolder, describe, describe_files
from batch_ser.storage.open_folder import STORES, WEB, is_store, is_web, open_folder, split_address
from batch_ser.storage.remote import Remote
from batch_ser.storage.scratch import scratch_folder

__all__ = [
    "STORES",
    "WEB",
    "Changed",
    "Folder",
    "LocalFolder",
    "Remote",
    "StorageError",
    "StoredFile",
    "describe",
    "describe_files",
    "in_order",
    "is_store",
    "is_web",
    "open_folder",
    "scratch_folder",
    "split_address",
]
