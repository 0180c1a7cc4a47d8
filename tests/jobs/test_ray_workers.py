"""What a job on a cluster does with its workers and scorers, by a Ray that executes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from ray.core.generated import common_pb2
from ray.exceptions import ActorDiedError, RayTaskError

from batch_ser.errors import CheckpointError, Incomplete, UsageError
from batch_ser.inputs import InputFile
from batch_ser.results import TableSchemas
from jobs import on_ray, ray_scorers, ray_workers
from jobs.ray_nodes import Node, Nodes
from jobs.ray_scorers import RayScorers
from jobs.ray_scoring import NoScorer
from jobs.ray_workers import Call, RayWorkers
from jobs.sharding import Shard
from jobs.stop import OrderlyStop
from jobs.tasks import Task

SHARDS: list[Shard] = [[InputFile(name, f"/{name}")] for name in ("a.wav", "b.wav")]
RESULT = SimpleNamespace(is_partial=False, files=pa.table({"reason": [None]}))
OTHER = CheckpointError("--model fast: found another")


@dataclass(eq=False)
class Actor:
    """A worker or a scorer as a driver knows it: what it is called with, and where it is."""

    options: dict[str, Any]
    node: str
    is_killed: bool = False

    def __getattr__(self, name: str) -> Any:
        def remote(*_: object, **given: object) -> Reference:
            return Reference(name, self, given)

        method = SimpleNamespace(remote=remote)
        return SimpleNamespace(remote=remote, options=lambda **_: method)


@dataclass(eq=False)
class Reference:
    """What Ray returns of a call, and of each of its several results."""

    method: str
    actor: Actor
    given: dict[str, Any]

    def __next__(self) -> "Reference":
        return self


def loaded(_: Reference) -> object:
    return RESULT


@dataclass
class FakeRay:
    """Ray as far as a driver calls it. Actors start on `places`, one after the other."""

    places: list[str]
    outcome: Callable[[Reference], object] = loaded
    actors: list[Actor] = field(default_factory=list)

    def remote(self, _: type) -> Any:
        return SimpleNamespace(options=lambda **given: SimpleNamespace(remote=self._start(given)))

    def _start(self, options: dict[str, Any]) -> Callable[..., Actor]:
        def start(*_: object) -> Actor:
            self.actors.append(Actor(options, self.places.pop(0)))
            return self.actors[-1]

        return start

    def kill(self, actor: Actor) -> None:
        actor.is_killed = True

    def wait(self, calls: Sequence[Reference], num_returns: int, **_: object) -> Any:
        return calls[:num_returns], calls[num_returns:]

    def get(self, reference: Reference, **_: object) -> object:
        return self.outcome(reference)


def nodes_of(*names: str) -> Nodes:
    """Nodes with two CPUs and a GPU each, whose ids are their names."""
    nodes = Nodes.__new__(Nodes)
    nodes.alive = {name: Node("127.0.0.1", cpus=2.0, gpus=1.0) for name in names}
    nodes._names = {name: f"node {name}" for name in names}
    nodes._answered_s, nodes._is_another = float("inf"), False
    return nodes


def workers_of(count: int, scorers: int = 0) -> Any:
    return SimpleNamespace(
        count=count,
        scorers=scorers,
        cpus_per_worker=1.0,
        gpus_per_worker=1.0 if scorers else 0.0,
        settings=SimpleNamespace(schemas=TableSchemas(("neutral",))),
        file_timeout_s=3600.0,
    )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    found = FakeRay([])
    for module in (on_ray, ray_workers, ray_scorers):
        monkeypatch.setattr(module, "ray", found)
        monkeypatch.setattr(module, "node_of", lambda actor: actor.node)
    return found


def pool_of(fake: FakeRay, nodes: Nodes | None, *places: str) -> RayWorkers:
    """Workers on some nodes that have loaded; the last one's task is a shard, the others' none."""
    fake.places += places
    pool = RayWorkers(object, workers_of(len(places)), nodes, lambda _: None)
    pool.start_all()
    for worker in fake.actors:
        pool.loaded(worker)
    pool.calls.clear()
    busy = pool.idle.pop()
    pool.calls[busy.score.remote()] = Call(busy, Task(SHARDS[0]))
    return pool


def test_workers_on_a_node_that_is_left_out_get_no_further_task(fake: FakeRay) -> None:
    """The idle ones end at once, and one with a task after it; as many start elsewhere."""
    pool = pool_of(fake, nodes_of("a", "b"), "b", "a", "a", "a")
    on_b, idle, blind, busy = fake.actors
    pool.idle.remove(blind)
    pool.unusable(blind, UsageError("it cannot read /a.wav"))
    assert (idle.is_killed, busy.is_killed, pool.idle) == (True, False, [on_b])
    fake.places += "bbb"
    pool.adjust(None)
    pool.calls = {ref: call for ref, call in pool.calls.items() if call.worker is not busy}
    pool.free(busy)
    assert busy.is_killed
    pool.adjust(None)
    assert pool.idle == [on_b]
    selectors = [each.options.get("label_selector") for each in fake.actors]
    assert selectors == [None] * 4 + [{"ray.io/node-id": "!in(a)"}] * 3


@pytest.mark.parametrize("waiting", [None, 1, 0])
def test_a_job_whose_only_node_is_left_out_ends_after_the_last_task_there(
    fake: FakeRay, waiting: int | None
) -> None:
    """By the reason, unless all tasks are done."""
    pool = pool_of(fake, nodes_of("a"), "a", "a")
    blind, busy = fake.actors
    pool.idle.remove(blind)
    pool.unusable(blind, UsageError("it cannot read /a.wav"))
    fake.places += "aa"  # none starts there
    pool.adjust(waiting)
    pool.calls = {ref: call for ref, call in pool.calls.items() if call.worker is not busy}
    pool.free(busy)
    if waiting == 0:
        pool.adjust(waiting)
        return
    with pytest.raises(UsageError, match=r"no node .* can do this job; node a is left out: it can"):
        pool.adjust(waiting)


def test_workers_without_a_task_end_and_start_again_when_one_comes_back(fake: FakeRay) -> None:
    """So that nodes can go while the last recording is scored."""
    pool = pool_of(fake, nodes_of("a", "b"), "a", "a", "b", "b")
    idle, busy = fake.actors[:3], fake.actors[3]
    pool.calls[idle[0].load.remote()] = Call(pool.idle.pop(0))  # which has not loaded yet
    pool.adjust(None)
    assert not any(each.is_killed for each in fake.actors)
    pool.adjust(1)
    assert sum(each.is_killed for each in idle) == 2
    pool.adjust(0)
    assert all(each.is_killed for each in idle)
    assert [call.worker for call in pool.calls.values()] == [busy]
    fake.places += "abab"
    pool.adjust(2)
    assert len(pool.calls) == 1 + 2
    pool.adjust(9)
    assert len(pool.calls) == 4  # the number that there was


def test_without_a_cluster_workers_stay(fake: FakeRay) -> None:
    pool = pool_of(fake, None, "a", "a")
    pool.adjust(0)
    assert not any(each.is_killed for each in fake.actors)


def died(node_died: bool) -> ActorDiedError:
    text = "its node has died" if node_died else "The process receives a SIGTERM."
    context: Any = common_pb2
    return ActorDiedError(
        context.ActorDiedErrorContext(
            error_message=f"The actor died because {text}", actor_id=b"0" * 16
        )
    )


@pytest.mark.parametrize(
    ("node_died", "notice"),
    [
        (True, "node b was lost; what its workers were at is done again"),
        (False, "a worker on node b was ended by SIGTERM; its task is done again"),
    ],
)
def test_a_worker_that_is_lost_when_no_other_has_a_task(
    fake: FakeRay, node_died: bool, notice: str
) -> None:
    """What ended it is reported as far as it is known, and another worker does its task."""
    fake.places += "aba"
    ended_before: list[bool] = []

    def outcome(call: Reference) -> object:
        if call.method == "score" and call.actor.node == "b":
            ended_before.append(fake.actors[0].is_killed)
            raise died(node_died)
        return RESULT

    fake.outcome = outcome
    notices: list[str] = []
    results = on_ray.execute(
        iter(SHARDS), workers_of(2), OrderlyStop(), nodes=nodes_of("a", "b"), notice=notices.append
    )
    assert list(results) == [RESULT, RESULT]
    assert ended_before == [True]
    assert notices == [notice]


def task_error(cause: Exception) -> Exception:
    """What Ray raises where an actor raised an error."""
    found: Exception = RayTaskError("call", f"Traceback\n{cause}", cause).as_instanceof_cause()
    return found


def test_workers_get_the_scorer_that_starts_in_place_of_another(fake: FakeRay) -> None:
    """The first cannot load where it starts; the second is started again by Ray on a node where it
    cannot load. Neither ends the job, and no file is blamed.
    """
    fake.places += ["a", "w", "b", "w", "c"]  # a scorer that cannot load delays its worker
    failing, used, notices = {"a"}, list[str](), list[str]()

    def outcome(call: Reference) -> object:
        if call.method == "ready" and call.actor.node in failing:
            raise task_error(OTHER)
        if call.method == "score":
            used.append(call.given["scorer"].node)
            if used == ["b"]:
                failing.add("b")
                raise task_error(NoScorer("it ended at a batch", ended=True))
        return {} if call.method == "examine" else RESULT

    fake.outcome = outcome
    results = on_ray.execute(
        iter(SHARDS),
        workers_of(1, scorers=1),
        OrderlyStop(),
        nodes=nodes_of("a", "b", "c", "w"),
        notice=notices.append,
    )
    assert list(results) == [RESULT, RESULT]
    assert used == ["b", "c", "c"]
    assert notices == [f"node {each} is left out: {OTHER}" for each in "ab"]


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (task_error(OTHER), UsageError, f"node a is left out: {OTHER}"),
        (
            ActorDiedError(RayTaskError("__init__", "ModuleNotFoundError: jobs", OTHER)),
            UsageError,
            "node a is left out: a scorer cannot be made there .*install the same on all nodes",
        ),
        (ActorDiedError(), Incomplete, "node a is left out: a scorer ended there while it loaded"),
    ],
)
def test_a_job_ends_only_where_no_node_is_left_for_a_scorer(
    fake: FakeRay, error: Exception, expected: type[Exception], message: str
) -> None:
    """A second one that has loaded is enough, and so is a node that could hold one."""

    def outcome(call: Reference) -> object:
        if call.actor.node == "a":
            raise error
        return None

    fake.outcome = outcome
    for nodes, places in ((nodes_of("a"), "ba"), (nodes_of("a", "b"), "a")):
        fake.places[:] = [*places, "pending"]
        scorers = RayScorers(workers_of(1, scorers=len(places)), nodes, lambda *_: None)
        scorers.check()
        assert [each.node for each in scorers.loading.values()] == ["pending"]
        assert fake.actors[-1].options["label_selector"] == {"ray.io/node-id": "!in(a)"}
        [given_up] = [each for each in fake.actors if each.is_killed]
        assert given_up.node == "a"
        assert not scorers.doubt(given_up)  # so that no file is blamed for its end
        fake.actors.clear()
    fake.places[:] = "a"
    scorers = RayScorers(workers_of(1, scorers=1), nodes_of("a"), lambda *_: None)
    with pytest.raises(expected, match=f"no node of the cluster can do this job; {message}"):
        scorers.check()


def test_a_scorer_of_this_machine_that_cannot_load_ends_the_job(fake: FakeRay) -> None:
    """By what it raised, without the traceback that Ray puts before."""

    def outcome(_: Reference) -> object:
        raise task_error(OTHER)

    fake.outcome, fake.places = outcome, ["a"]
    with pytest.raises(CheckpointError) as found:
        RayScorers(workers_of(1, scorers=1), None, lambda *_: None).check()
    assert str(found.value) == str(OTHER)


def test_tasks_are_spread_over_the_scorers_that_have_loaded(fake: FakeRay) -> None:
    fake.places += "abc"
    scorers = RayScorers(workers_of(1, scorers=3), nodes_of("a", "b", "c"), lambda *_: None)
    first, second, third = fake.actors
    assert not scorers.ready
    fake.wait = lambda calls, **_: (calls[:2], calls[2:])  # type: ignore[method-assign, assignment]
    scorers.check()
    assert scorers.ready
    assert scorers.least_used([None, first, second, first]) is second
    assert scorers.doubt(second)
    assert scorers.least_used([first]) is first
    assert third in scorers.loading.values()
