"""The files in deploy/ for clusters: they parse, name what exists, and hold no secret."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
import yaml
from conftest import REPOSITORY
from documents import read
from ray.autoscaler._private.util import prepare_config, validate_config

from jobs.cli import app
from jobs.ray_metrics import METRICS

DASHBOARD: dict[str, Any] = json.loads(read("deploy/grafana.json"))
EXPRESSIONS = [each["expr"] for panel in DASHBOARD["panels"] for each in panel["targets"]]
# fields of ray.io/v1, as KubeRay's types document them, by the place where they are
JOB = {
    *("activeDeadlineSeconds", "backoffLimit", "clusterSelector", "deletionStrategy"),
    *("entrypoint", "entrypointNumCpus", "entrypointNumGpus", "entrypointResources", "jobId"),
    *("managedBy", "metadata", "rayClusterSpec", "runtimeEnvYAML", "shutdownAfterJobFinishes"),
    *("submissionMode", "submitterConfig", "submitterPodTemplate", "suspend"),
    "ttlSecondsAfterFinished",
}
CLUSTER = {
    *("authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions"),
    *("headGroupSpec", "rayVersion", "suspend", "workerGroupSpecs"),
}
HEAD = {"enableIngress", "headService", "rayStartParams", "serviceType", "template"}
GROUP = {
    *("groupName", "idleTimeoutSeconds", "maxReplicas", "minReplicas", "numOfHosts"),
    *("rayStartParams", "replicas", "scaleStrategy", "template"),
}
SECRET = re.compile(r"AKIA[0-9A-Z]{16}|(?i:password|secret_?(access_?)?key)\s*[:=]\s*\S")


def labels_and_names(expression: str) -> tuple[str, set[str]]:
    """A metric's name and the labels that are asked of it; of each metric in an expression."""
    [(name, selector)] = re.findall(r"(ray_\w+)\{(.*?)\}", expression)
    return name, set(re.findall(r"(\w+)=", selector))


def series() -> Iterator[str]:
    for expression in EXPRESSIONS:
        yield from re.findall(r"ray_\w+\{.*?\}", expression)


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    """The names in the scraped output of a node are compared in tests/jobs/test_ray_metrics.py."""
    named = {name for text in (*EXPRESSIONS, *variables()) for name in re.findall(r"ray_\w+", text)}
    assert named == {f"ray_{each.name}_total" for each in METRICS}


def variables() -> list[str]:
    found = DASHBOARD["templating"]["list"]
    return [each["query"]["query"] for each in found if each["type"] == "query"]


def test_the_dashboard_asks_for_labels_that_there_are() -> None:
    own = {f"ray_{each.name}_total": set(each.labels) for each in METRICS}
    for text in series():
        name, labels = labels_and_names(text)
        assert labels - {"SessionName", "WorkerId"} <= own[name], text
    for expression in EXPRESSIONS:
        by = set(re.findall(r"by \((\w+)\)", expression))
        [name, *_] = re.findall(r"ray_\w+", expression)
        assert by <= own[name], expression
        assert expression.count("(") == expression.count(")")


def test_the_dashboard_has_what_grafana_needs() -> None:
    panels = DASHBOARD["panels"]
    assert DASHBOARD["schemaVersion"] >= 41
    assert DASHBOARD["id"] is None  # Grafana gives it one
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    names = {each["name"] for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert used - {"__all"} == names


def test_ray_accepts_the_cluster_file() -> None:
    config = yaml.safe_load(read("deploy/ray-cluster.yaml"))
    validate_config(prepare_config(config))
    types = config["available_node_types"]
    assert types["spot"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    for script in re.findall(r"deploy/\w+\.sh", read("deploy/ray-cluster.yaml")):
        assert (REPOSITORY / script).exists()


def rayjob() -> dict[str, Any]:
    return dict(yaml.safe_load(read("deploy/rayjob.yaml")))


def test_the_rayjob_has_fields_that_kuberay_knows() -> None:
    job = rayjob()
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["spec"].keys() <= JOB
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster.keys() <= CLUSTER
    assert cluster["headGroupSpec"].keys() <= HEAD
    for group in cluster["workerGroupSpecs"]:
        assert group.keys() <= GROUP
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        volumes = {each["name"] for each in pod["volumes"]}
        for container in pod["containers"]:
            assert {each["name"] for each in container["volumeMounts"]} <= volumes
            assert {"image", "name", "resources"} <= container.keys()


def test_the_rayjob_has_the_version_of_ray_and_workers_for_all_cpus() -> None:
    spec = rayjob()["spec"]
    versions = re.findall(r"^ray==(\S+)", read("constraints.txt"), re.MULTILINE)
    assert [spec["rayClusterSpec"]["rayVersion"]] == versions
    name, command, *arguments = shlex.split(spec["entrypoint"])
    assert (name, command) == ("batch-ser", "run")
    commands: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    options = commands[command].make_context(command, arguments).params
    assert options["address"] == "auto"
    assert options["out"].startswith("s3://")
    assert spec["backoffLimit"] > 0
    [group] = spec["rayClusterSpec"]["workerGroupSpecs"]
    [container] = group["template"]["spec"]["containers"]
    cpus = int(container["resources"]["limits"]["cpu"])
    assert options["workers"] == group["maxReplicas"] * cpus


@pytest.mark.parametrize("name", ["grafana.json", "ray-cluster.yaml", "rayjob.yaml"])
def test_no_secret_is_in_a_file(name: str) -> None:
    assert not SECRET.search(read(f"deploy/{name}"))
    assert SECRET.search("aws_secret_access_key: abc")
