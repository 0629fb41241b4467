"""The command line: `python3 -m tests.real up [--only PART] | env | bare | swarm | down`."""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.real import bare, engine
from tests.real.environment import EnvFile
from tests.real.places import Places
from tests.real.steps import StepError, run_steps
from tests.real.swarm import Swarm
from tests.real.up import PARTS, Up


def main() -> int:
    arguments = _parse_arguments()
    places = Places.of_this_checkout()
    env_file = EnvFile(places.env_file)
    try:
        match arguments.command:
            case "env":
                sys.stdout.write(env_file.text())
                return 0 if env_file.text() else 1
            case "up":
                with _alone(places):
                    return _up(places, env_file, arguments.only or list(PARTS))
            case "bare":
                with _alone(places):
                    return 0 if bare.prove(places) else 1
            case "swarm":
                return _swarm(Swarm(places))
            case _:
                with _alone(places):
                    return _down(places, env_file)
    except (StepError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.real", description="Real parts for the tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="set up what is missing; a second run only looks")
    up.add_argument("--only", action="append", choices=list(PARTS), help="set up this part and what it needs")
    commands.add_parser("env", help="print where the parts are, as KEY=VALUE lines")
    commands.add_parser("bare", help="prove on a bare Debian that the set-up names everything that it needs")
    commands.add_parser("swarm", help="start the Swarm of the tests, without images, and remove it at Ctrl-C")
    commands.add_parser("down", help="stop the engine if `up` started it; images and programs stay for the next `up`")
    return parser.parse_args()


@contextmanager
def _alone(places: Places) -> Iterator[None]:
    """Wait for another `up` or `down` of this checkout to end, and make the next one wait."""
    places.cache.mkdir(parents=True, exist_ok=True)
    with places.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _up(places: Places, env_file: EnvFile, parts: list[str]) -> int:
    if run_steps(Up(places, env_file).steps(parts)):
        sys.stdout.write(f"ready; see {places.env_file}\n")
        return 0
    sys.stdout.write("not everything could be set up\n")
    return 1


def _swarm(swarm: Swarm) -> int:
    swarm.start()
    try:
        for node in swarm.nodes:
            sys.stdout.write(f"{node.name} at {node.address}: DOCKER_HOST={node.docker_host}\n")
        sys.stdout.flush()
        signal.pause()
    except KeyboardInterrupt:
        sys.stdout.write("removing the Swarm\n")
    finally:
        swarm.stop()
    return 0


def _down(places: Places, env_file: EnvFile) -> int:
    private_host = engine.private_host(places)
    outcome = engine.stop(places)
    if env_file.read().get("DOCKER_HOST") == private_host:
        env_file.update(DOCKER_HOST=None)
    sys.stdout.write(f"{outcome}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
