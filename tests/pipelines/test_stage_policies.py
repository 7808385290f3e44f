"""The policies of node types: queues, attempts, weights."""

from __future__ import annotations

import pytest

from meshroom_tasks.pipelines import Pipelines
from meshroom_tasks.stage_policies import StagePolicies, StagePolicy, read_policies


def test_which_stages_read_the_photos(pipelines: Pipelines) -> None:
    stages = pipelines.get("default").template.nodes
    reading = {node.node_type for node in stages if pipelines.policy(node.node_type).reads_photos}
    assert reading == {"CameraInit", "FeatureExtraction", "StructureFromMotion", "PrepareDenseScene"}


def test_queues(pipelines: Pipelines) -> None:
    queues = {
        node.node_type: pipelines.policy(node.node_type).queue for node in pipelines.get("default").template.nodes
    }
    assert {name for name, queue in queues.items() if queue == "gpu"} == {"DepthMap"}


def test_a_node_type_that_nobody_knows(pipelines: Pipelines) -> None:
    assert pipelines.policy("SomethingNew") == StagePolicy(queue="cpu", reads_photos=True)


def test_policies_build_on_the_default() -> None:
    policies = read_policies('[default]\nweight = 2\n[stages.A]\nqueue = "gpu"\n')
    assert policies == StagePolicies({"A": StagePolicy(weight=2, queue="gpu")}, StagePolicy(weight=2))


def test_policies_add_to_earlier_ones() -> None:
    earlier = read_policies("[default]\nweight = 2\n[stages.A]\nattempts = 3\n[stages.B]\nattempts = 4\n")
    policies = read_policies("[stages.A]\nweight = 7\n[stages.C]\n", earlier)
    assert policies.of("A") == StagePolicy(weight=7, attempts=3)
    assert policies.of("B") == StagePolicy(weight=2, attempts=4)
    assert policies.of("C") == policies.of("D") == StagePolicy(weight=2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[stage.A]", "unknown section 'stage'"),
        ("[stages.A]\nweigth = 1", "unknown key 'weigth'"),
        ('[stages.A]\nqueue = "tpu"', "queue is cpu or gpu"),
        ('[stages.A]\nmemory = "much"', "memory is normal"),
        ("[stages.A]\nweight = 0", "above 0"),
        ("[stages.A]\ntime_limit_seconds = true", "above 0"),
        ('[stages.A]\nreads_photos = "yes"', "true or false"),
        ("[stages.A]\nattempts = 0", "attempts is a whole number"),
        ("[stages.A]\nattempts = 1.5", "attempts is a whole number"),
        ("[stages]\nA = 3", "A is no section"),
    ],
)
def test_policies_with_faults(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_policies(text)
