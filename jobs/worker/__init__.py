"""What a worker does with a shard: open, choose channels, cut, score, account for everything."""

from jobs.worker.accounts import ChannelBooks
from jobs.worker.shard import ShardResult, ShardSettings, failed, work

__all__ = [
    "ChannelBooks",
    "ShardResult",
    "ShardSettings",
    "failed",
    "work",
]
