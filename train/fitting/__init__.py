"""Fitting networks and heads: gradients, linear heads, discriminants, distillation."""

from train.fitting.calibration import best_temperature
from train.fitting.discriminant import Sample
from train.fitting.distillation import recipe_of, teacher_outputs, train_encoder
from train.fitting.gradient import fit, judge
from train.fitting.history import Epoch, best_epoch, write_history
from train.fitting.lda import FittedHead, fit_lda, fit_sample, sample_of, set_head
from train.fitting.linear import fit_linear, held_out_logits, set_linear_head
from train.fitting.start import encoder_corpora, init_path, new_network, pretrained_teacher
from train.fitting.task import Task, training_features
from train.fitting.transfer import Part, parts_left_out

__all__ = [
    "Epoch",
    "FittedHead",
    "Part",
    "Sample",
    "Task",
    "best_epoch",
    "best_temperature",
    "encoder_corpora",
    "fit",
    "fit_lda",
    "fit_linear",
    "fit_sample",
    "held_out_logits",
    "init_path",
    "judge",
    "new_network",
    "parts_left_out",
    "pretrained_teacher",
    "recipe_of",
    "sample_of",
    "set_head",
    "set_linear_head",
    "teacher_outputs",
    "train_encoder",
    "training_features",
    "write_history",
]
