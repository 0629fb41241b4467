"""The Swarm of the tests itself: it behaves as three machines do, also when one of them is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.engine import run
from tests.e2e.visitor import fetch
from tests.eventually import eventually
from tests.real.swarm import Swarm
from tests.real.swarm_node import SwarmNode
from tests.swarm.stack import Stack, Task, docker_on, running_stack

pytestmark = pytest.mark.swarm

PORT = 8080
STACK_FILE = f"""
version: "3.8"
services:
  web:
    image: proxy-test/backend
    networks: [shared]
    ports: [{{target: 80, published: {PORT}, mode: host}}]
    deploy:
      mode: global
      restart_policy: {{delay: 100ms}}
  scaled:
    image: proxy-test/backend
    networks: [shared]
    stop_grace_period: 1s
    deploy:
      replicas: 1
      update_config: {{parallelism: 3, monitor: 100ms}}
networks:
  shared: {{attachable: true}}
"""
ASK_ALL = """
import json, socket, urllib.request
addresses = socket.gethostbyname_ex("tasks.web")[2]
print(*(json.load(urllib.request.urlopen(f"http://{address}/", timeout=5))["hostname"] for address in addresses))
"""
ASK_FOR_NO_NAME = """
import socket
try:
    socket.gethostbyname("tasks.nothing")
except socket.gaierror as error:
    print({socket.EAI_NONAME: "no such name"}.get(error.errno, error))
"""
LOST_LEADER_SECONDS = 60.0


@pytest.fixture(scope="module")
def stack(swarm: Swarm) -> Iterator[Stack]:
    with running_stack(swarm, "rig", STACK_FILE) as stack:
        stack.await_tasks("web", len(swarm.nodes))
        yield stack


def answering(node: SwarmNode) -> str:
    """Return the host name of the container that answers at a node's published port."""
    return str(json.loads(fetch(PORT, address=node.address).body)["hostname"])


def is_reached(node: SwarmNode) -> bool:
    try:
        return fetch(PORT, address=node.address).status == 200
    except OSError:
        return False


def states(swarm: Swarm) -> dict[str, str]:
    """Return the state of each node, as the managers see it."""
    listed = docker_on(swarm.managers[0], "node", "ls", "--format", "{{.Hostname}} {{.Status}}/{{.ManagerStatus}}")
    return dict(line.split(" ") for line in listed.splitlines())


def test_two_managers_and_a_worker_are_ready(swarm: Swarm) -> None:
    leader = swarm.leader()

    assert leader in swarm.managers
    expected = {node.name: "Ready/Leader" if node == leader else "Ready/Reachable" for node in swarm.managers}
    assert {**expected, "worker-1": "Ready/"} == states(swarm)


def test_containers_of_all_nodes_answer_each_other_on_the_overlay_network(stack: Stack) -> None:
    tasks = stack.tasks("web")

    answers = {task.node.name: set(eventually(partial(asked_all, task, len(tasks)))) for task in tasks}

    assert {node.name: {task.hostname for task in tasks} for node in stack.swarm.nodes} == answers


def asked_all(task: Task, count: int) -> list[str]:
    """Return who answered, once the network's DNS knows all containers."""
    answered = task.call("python3", "-c", ASK_ALL).split()
    return answered if len(answered) == count else []


def test_container_that_is_attached_to_the_overlay_network_reaches_all_nodes(stack: Stack) -> None:
    (worker,) = stack.swarm.workers

    attached = ("run", "--rm", "--network", f"{stack.name}_shared", "proxy-test/backend")
    answered = docker_on(worker, *attached, "python3", "-c", ASK_ALL).split()

    assert {task.hostname for task in stack.tasks("web")} == set(answered)


def test_name_that_does_not_exist_is_refused_as_one_that_does_not_exist(stack: Stack) -> None:
    """A name server that does not answer would give another fault, after 10 s."""
    task, *_ = stack.tasks("web")

    assert "no such name" == task.call("python3", "-c", ASK_FOR_NO_NAME)


def test_port_that_is_published_in_host_mode_leads_to_the_container_of_its_node(stack: Stack) -> None:
    assert {task.node.name: task.hostname for task in stack.tasks("web")} == {
        node.name: answering(node) for node in stack.swarm.nodes
    }


def test_service_is_scaled_and_updated(stack: Stack) -> None:
    stack.scale("scaled", 3)
    before = stack.await_tasks("scaled", 3)
    stack.update("scaled", "--env-add", "NAME=updated")
    stack.await_update("scaled")

    after = stack.await_tasks("scaled", 3)

    assert not {task.container for task in before} & {task.container for task in after}
    assert {"updated"} == {task.call("printenv", "NAME") for task in after}


def test_node_that_is_cut_off_goes_on_and_is_reached_again_when_it_is_healed(stack: Stack) -> None:
    (worker,) = stack.swarm.workers
    before = stack.tasks("web")

    worker.cut()

    assert not is_reached(worker)
    assert before == stack.tasks("web")
    worker.heal()
    eventually(lambda: is_reached(worker))
    assert before == stack.tasks("web")


def test_node_that_is_killed_is_told_down_and_its_service_starts_again_when_it_comes_back(stack: Stack) -> None:
    (worker,) = stack.swarm.workers
    before = {task.node: task for task in stack.tasks("web")}

    worker.kill_engine()

    assert not is_reached(worker)
    eventually(lambda: states(stack.swarm)["worker-1"] == "Down/", timeout=30)
    worker.start_engine()
    eventually(
        lambda: answering(worker) in {task.hostname for task in stack.tasks("web") if task.node == worker}, timeout=30
    )
    after = {task.node: task for task in stack.await_tasks("web", len(before))}
    assert {worker} == {node for node in after if after[node] != before[node]}


def test_two_managers_of_which_one_is_lost_have_no_leader_but_containers_run(stack: Stack) -> None:
    leader = stack.swarm.leader()
    assert leader
    (follower,) = (node for node in stack.swarm.managers if node != leader)

    leader.kill_engine()

    eventually(lambda: "does not have a leader" in fault_of(follower), LOST_LEADER_SECONDS)
    assert stack.swarm.leader() is None
    assert [is_reached(node) for node in (follower, *stack.swarm.workers)] == [True, True]
    leader.start_engine()
    eventually(stack.swarm.leader, LOST_LEADER_SECONDS)
    eventually(lambda: is_reached(leader), LOST_LEADER_SECONDS)


def fault_of(manager: SwarmNode) -> str:
    """Return why a manager cannot list the nodes. It takes up to 40 s to say so, hence the limit."""
    return run("timeout", "5", "docker", "--host", manager.docker_host, "node", "ls").errors
