"""Fitting networks and heads: gradient descent, linear heads, discriminants, distillation."""

from train.fitting.calibration import best_temperature, is_calibrated
from train.fitting.discriminant import Sample
from train.fitting.distillation import distillation_recipe, train_encoder
from train.fitting.gradient import fit, log_probabilities
from train.fitting.history import Epoch, best_epoch, write_history
from train.fitting.initialisation import init_path, new_network, pretrained_teacher
from train.fitting.labelled_head import Labelled, MovedHead, Start, move_head, set_moved_head
from train.fitting.lda import FittedHead, fit_lda, fit_sample, sample_of, set_head
from train.fitting.left_out import Part, parts_left_out
from train.fitting.linear import fit_linear, held_out_logits, set_linear_head
from train.fitting.origin import encoder_corpora, fresh_head_init
from train.fitting.task import Task, training_features
from train.fitting.teacher import teacher_outputs
from train.fitting.weighting import weights_of

__all__ = [
    "Epoch",
    "FittedHead",
    "Labelled",
    "MovedHead",
    "Part",
    "Sample",
    "Start",
    "Task",
    "best_epoch",
    "best_temperature",
    "distillation_recipe",
    "encoder_corpora",
    "fit",
    "fit_lda",
    "fit_linear",
    "fit_sample",
    "fresh_head_init",
    "held_out_logits",
    "init_path",
    "is_calibrated",
    "log_probabilities",
    "move_head",
    "new_network",
    "parts_left_out",
    "pretrained_teacher",
    "sample_of",
    "set_head",
    "set_linear_head",
    "set_moved_head",
    "teacher_outputs",
    "train_encoder",
    "training_features",
    "weights_of",
    "write_history",
]
