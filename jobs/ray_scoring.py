"""How a worker scores by a scorer, in another process or on another machine, and what it cannot."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from batch_ser.audio import Samples
from models.batching import Outputs

ANSWER_S = 300.0  # at most, for one batch, among those of all other workers


class NoScorer(Exception):
    """No scorer answers, or those that had a batch ended; `ended`: the batch may have been why."""

    def __init__(self, message: str, *, ended: bool = False) -> None:
        super().__init__(message, ended)
        self.message, self.ended = message, ended

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(NoScorer, ended=self.ended), (self.message,)


class ScorerLost(BaseException):
    """The same inside of a worker: no `Exception`, so that no file fails by it."""

    def __init__(self, reason: NoScorer) -> None:
        super().__init__(reason)
        self.reason = reason


class RemoteScorer:
    """A scorer in another process: `models.batching.Score`."""

    def __init__(self, actor: Any, *, embed: bool, file_timeout_s: float) -> None:
        """`embed` as in `Checkpoint.score_features`; waits end before a file took too long."""
        self._actor, self._embed = actor, embed
        self._answer_s = min(ANSWER_S, file_timeout_s / 2)

    def __call__(self, segments: Sequence[Samples]) -> Outputs:
        """The outputs for segments.

        Raises:
            ScorerLost: there is none.
        """
        import ray
        from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

        lengths = [len(each) for each in segments]
        try:
            call = self._actor.score.remote(np.concatenate(segments), lengths, embed=self._embed)
            outputs: Outputs = ray.get(call, timeout=self._answer_s)
        except GetTimeoutError:
            raise ScorerLost(NoScorer(f"no answer within {self._answer_s:g} s")) from None
        except RayActorError as error:
            raise ScorerLost(NoScorer("it ended at a batch", ended=True)) from error
        except NoScorer as error:
            raise ScorerLost(NoScorer(error.message, ended=error.ended)) from None
        except RayTaskError:  # of these segments
            raise
        except RayError as error:  # what was sent or answered is lost, or there is no room for it
            raise ScorerLost(NoScorer(type(error).__name__)) from error
        return outputs
