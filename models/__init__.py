"""The networks, one file per architecture, and the checkpoints that hold their weights."""

from models.architectures import ARCHITECTURES, parameter_count
from models.checkpoint import CheckpointInfo
from models.loading import load_checkpoint
from models.scoring import Checkpoint

__all__ = ["ARCHITECTURES", "Checkpoint", "CheckpointInfo", "load_checkpoint", "parameter_count"]
