"""The work on one shard: open files, choose channels, segment, score, account for every sample."""

from jobs.worker.durations import Decoded, decoded
from jobs.worker.fetching import Fetching
from jobs.worker.shard import PARTIAL_S, ShardResult, ShardSettings, failed, score_shard
from jobs.worker.streams import ChannelStream

__all__ = [
    "PARTIAL_S",
    "ChannelStream",
    "Decoded",
    "Fetching",
    "ShardResult",
    "ShardSettings",
    "decoded",
    "failed",
    "score_shard",
]
