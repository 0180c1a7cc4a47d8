"""The second head: for each corpus an expert that hears what differs from a voice's mean.

What all recordings of a voice have in common says who speaks, and into what; what differs between
them says how. A regression that hears statistics relative to their voice need not tell the two
apart. It is linear and held small, so that it rests on what varies most and carries over to other
corpora; and each corpus has its own, since one for all of them knows each of them less well.
Nobody's label is needed to know a voice's mean: a job knows its groups, too.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from batch_ser.features import Features, pad
from models.network import Network
from train.groups import means_of, voices_of
from train.linear import UNHEARD, regression
from train.loss import IMPOSSIBLE
from train.task import Task

AT_ONCE = 64
OTHERS = 3  # views beside the first: each recording is heard as it is and in one of these
MOST_ITERATIONS = 200
GATE_C = 1.0
Rows = NDArray[np.int64]


@torch.no_grad()
def fit_experts(network: Network, task: Task) -> None:
    """Fit each corpus's expert on its recordings, relative to their voices."""
    heard, rows = _relative_statistics(network, task)
    for each in (network.known, network.experts.weight, network.experts.bias):
        each.zero_()
    for corpus, own in enumerate(task.corpora.T):
        mine = own[rows] > 0
        if not mine.any():  # all of it is on the valid side
            continue
        known, weight, bias = regression(
            heard[mine], task.targets[rows[mine]], task.recipe.adapt, MOST_ITERATIONS
        )
        network.known[corpus, known] = 1
        outputs = corpus * len(task.labels) + known
        network.experts.weight[outputs] = torch.from_numpy(weight).to(network.experts.weight)
        network.experts.bias[outputs] = torch.from_numpy(bias).to(network.experts.bias)


@torch.no_grad()
def fit_gate(network: Network, task: Task) -> None:
    """Store what training's embeddings are like, and learn how the corpora's voices differ."""
    embeddings = embeddings_of(network, task, task.train)
    means = means_of(embeddings, voices_of(task.groups, task.train))
    network.spread.copy_((embeddings - means).std(0).clamp(min=1e-6))
    network.centre.copy_(embeddings.mean(0))
    network.centre[network.heard_width :] = network.experts.bias  # said of a voice's own mean
    means -= network.centre.cpu()
    points, first = np.unique(means[:, : network.heard_width].numpy(), return_index=True, axis=0)
    corpora = task.corpora[task.train[first]].argmax(1)
    network.gate.weight.zero_()
    network.gate.bias.fill_(UNHEARD)
    known, weight, bias = regression(points, corpora, GATE_C, MOST_ITERATIONS)
    network.gate.weight[known] = torch.from_numpy(weight).to(network.gate.weight)
    network.gate.bias[known] = torch.from_numpy(bias).to(network.gate.bias)


def _relative_statistics(network: Network, task: Task) -> tuple[NDArray[np.float32], Rows]:
    """Statistics (n, pooled) relative to their voice's mean in the same view, and whose."""
    others = min(OTHERS, task.recipe.views - 1)  # with views=0 they come and go: none, then
    found, rows = [], []
    for view in range(1 + max(others, 0)):
        heard = statistics_of(network, task, view)
        heard -= means_of(heard, voices_of(task.groups, task.train))
        chosen = np.ones(len(heard), np.bool_)
        if view:
            chosen = task.train % others == view - 1
        found.append(heard[torch.from_numpy(chosen)].numpy())
        rows.append(task.train[chosen])
    return np.concatenate(found), np.concatenate(rows)


@torch.no_grad()
def statistics_of(network: Network, task: Task, view: int) -> torch.Tensor:
    """What experts hear of the training side in a view (rows, pooled)."""
    network.eval()
    batches = (_batch(task, view, some) for some in _at_once(task.train))
    return torch.cat([network.statistics(batch).float().cpu() for batch in batches])


@torch.no_grad()
def embeddings_of(network: Network, task: Task, rows: Rows) -> torch.Tensor:
    """Embeddings (rows, width) of recordings as they are."""
    network.eval()
    batches = (_batch(task, 0, some) for some in _at_once(rows))
    return torch.cat([network.represent(batch).float().cpu() for batch in batches])


def _at_once(rows: Rows) -> list[Rows]:
    return [rows[first : first + AT_ONCE] for first in range(0, len(rows), AT_ONCE)]


def _batch(task: Task, view: int, rows: Rows) -> Features:
    return pad([task.view(view).piece(int(row)) for row in rows], task.device)


@torch.no_grad()
def judge_adapted(network: Network, task: Task) -> NDArray[np.float64]:
    """Log-probabilities (valid side, labels) of the head for groups, each voice wholly its own."""
    embeddings = embeddings_of(network, task, task.valid)
    offsets = means_of(embeddings, voices_of(task.groups, task.valid)) - network.centre.cpu()
    shares = network.resemblance(offsets.to(task.device))
    relative = (embeddings - offsets).to(task.device)
    logits = network.classify_adapted(relative, shares).double().cpu()
    possible = torch.from_numpy(task.possible[task.valid])
    return logits.masked_fill(~possible, IMPOSSIBLE).log_softmax(1).numpy()
