"""The commands that run until they are stopped: `run` (supervisor, HAProxy and controller) and `control` (controller)."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Mapping

from proxy import __version__
from proxy.adapters.haproxy.haproxy_process import HaproxyProgram
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.commands.exit_codes import OK
from proxy.commands.privileges import Identity, drop_root
from proxy.core.containers.engine_address import docker_socket, engine_address
from proxy.settings import HaproxySettings, Settings
from proxy.settings.variables.all import VARIABLES
from proxy.supervision.supervisor import Supervisor

logger = logging.getLogger(__name__)

INIT = ("tini", "-g", "--")
"""The init program that runs as the first process of the image, after root has been dropped. It reaps orphans."""


def run(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    """Keep HAProxy and the controller running; return the exit code at the end."""
    folder = settings.runtime.state_folder
    if options.drop_root:
        argv = [*INIT, sys.executable, "-m", "proxy", "run", *(("--mode", options.mode) if options.mode else ())]
        if os.geteuid() == 0:
            identity = Identity(settings.haproxy.user, settings.haproxy.group, docker_socket(environment))
            drop_root(identity, settings, argv, environment)
        os.execvp(argv[0], argv)
    program = HaproxyProgram(settings.runtime.haproxy_binary, environment)
    python = sys.version.partition(" ")[0]
    versions = __version__, program.version(), program.path, python
    logger.info("proxy %s, HAProxy %s at %s, Python %s; state in %s", *versions, folder)
    if has_default_password(settings.haproxy):
        port = (settings.haproxy.stats_port or 0) + settings.haproxy.port_offset
        logger.info("the statistics page on port %d has the default password; set STATS_AUTH, or STATS_PORT=off", port)
    controller = [sys.executable, "-m", "proxy", "control"]
    stop_seconds = settings.runtime.stop_seconds
    return Supervisor(program, StateLayout(folder=folder), controller, environment, stop_seconds).run()


def has_default_password(haproxy: HaproxySettings) -> bool:
    """Return whether everybody who has read the README can see the statistics page."""
    default = next(variable.default for variable in VARIABLES if variable.name == "STATS_AUTH")
    return haproxy.stats_port is not None and default in {f"{user}:{word.reveal()}" for user, word in haproxy.stats_users}


def control(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    """Run the controller until SIGTERM."""
    del options
    if not engine_address(environment).startswith("ssh://"):
        # docker-py imports it if it is installed, for 8 MB. None marks a module as missing (Python reference, import).
        sys.modules.setdefault("paramiko", None)  # type: ignore[arg-type]
    # The wiring imports every module. The supervisor must not carry their memory (see cli.COMMANDS).
    importlib.import_module("proxy.wiring").run_controller(settings, environment)
    return OK
