"""Which recordings train, validate and test: folds by chance, by speaker, by benchmark."""

from train.splits.emobox import shared_folder
from train.splits.sides import Fold
from train.splits.splits import Split, default_split, everything, make_split

__all__ = [
    "Fold",
    "Split",
    "default_split",
    "everything",
    "make_split",
    "shared_folder",
]
