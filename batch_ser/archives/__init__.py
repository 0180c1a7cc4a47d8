"""Recordings in tar, zip and Parquet files: listed, and copied one by one, without unpacking."""

from batch_ser.archives.archive import Archive, Member
from batch_ser.archives.kinds import (
    BELOW,
    archive_kind,
    is_archive,
    is_in_order,
    is_table,
    split_member,
)
from batch_ser.archives.listing import ListedMember, Listing, list_archive
from batch_ser.archives.opening import OpenArchives

__all__ = [
    "BELOW",
    "Archive",
    "ListedMember",
    "Listing",
    "Member",
    "OpenArchives",
    "archive_kind",
    "is_archive",
    "is_in_order",
    "is_table",
    "list_archive",
    "split_member",
]
