"""The command line. The environment is read only here; `wiring` builds the objects.

Exit codes: 0 all is well; 1 there are problems, or the action did not succeed; 2 the settings or the command line are
wrong; 3 the engine, HAProxy or the controller does not answer.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from proxy import __version__
from proxy.adapters.files.kept_files import KeptFiles
from proxy.commands.exit_codes import NO_ANSWER, OK, PROBLEMS, SETTINGS_WRONG
from proxy.core.haproxy.refused_lines import name_variables
from proxy.errors import ConfigCheckError, ProxyError, SettingsError, SourceError
from proxy.log import set_up_logging
from proxy.printable import printable
from proxy.settings.parser import parse_settings, state_folder

# A module is imported only when its command runs. The supervisor lives as long as the proxy, so it must not load what only
# the controller needs.
COMMANDS = (
    ("run", "proxy.commands.run:run", "run HAProxy and the controller until SIGTERM or Ctrl-C"),
    ("control", "proxy.commands.run:control", "run only the controller; `run` starts this command itself"),
    (
        "check",
        "proxy.commands.inspection:check",
        "check whether HAProxy would load the configuration, and list every problem by container; change nothing",
    ),
    (
        "render",
        "proxy.commands.inspection:render",
        "print haproxy.cfg and the maps, without passwords and keys; change nothing",
    ),
    (
        "routes",
        "proxy.commands.inspection:routes",
        "list hosts and paths in the order in which they are matched, with their services, servers and states",
    ),
    (
        "weight",
        "proxy.commands.weight:weight",
        "set a service's share of the visitors (SERVICE N, or SERVICE default), or list all",
    ),
    (
        "reload",
        "proxy.commands.operation:reload",
        "do a full rescan, reload HAProxy, and wait until the new worker serves",
    ),
    ("health", "proxy.commands.operation:health", "tell whether HAProxy runs, and what the last pass did (for HEALTHCHECK)"),
)

EPILOG = """\
Settings are environment variables (see the README). Inside a container, the commands read the container's variables.

Exit codes: 0 success; 1 the command found problems or failed; 2 the settings or the command line are wrong;
3 the engine, HAProxy or the controller does not answer.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Messages for people go to standard error."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    if options.name is None:
        parser.print_help(sys.stderr)
        return SETTINGS_WRONG
    environment = dict(os.environ)
    if options.mode:
        environment["PROXY_MODE"] = options.mode
    try:
        settings = parse_settings(environment, KeptFiles(state_folder(environment)).read_text)
        if options.name in ("run", "control"):
            set_up_logging(debug=settings.runtime.debug, output=sys.stdout, target=settings.haproxy.log_target)
        else:
            set_up_logging(debug=settings.runtime.debug, output=sys.stderr)
        module, _, function = options.command.partition(":")
        code: int = getattr(importlib.import_module(module), function)(options, settings, environment)
    except SettingsError as error:
        for fault in error.faults:
            _tell(fault)
        return SETTINGS_WRONG
    except ConfigCheckError as error:
        places = error.places or [("", "")] * len(error.messages)
        refused = zip(error.messages, places, strict=True)
        named = [name_variables(message, place, settings, environment) for message, place in refused]
        _tell("HAProxy refuses the proxy's own settings:", *named)
        return SETTINGS_WRONG
    except SourceError as error:
        _tell(str(error))
        return NO_ANSWER
    except ProxyError as error:
        _tell(str(error))
        return PROBLEMS
    except BrokenPipeError:
        # The reader of our output has gone (`proxy render | head`). Without this, Python would print an error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return code


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=f"proxy {__version__}", help="print the version")


def _tell(*lines: str) -> None:
    """Print a message for people. Each argument is a line."""
    print("proxy: " + "\n".join(map(printable, lines)), file=sys.stderr)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="proxy",
        description="Routes requests to containers by their labels, with HAProxy.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_version(parser)
    commands = parser.add_subparsers(metavar="COMMAND", dest="name")
    for name, command, text in COMMANDS:
        command_parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command_parser.set_defaults(command=command)
        _add_version(command_parser)
        command_parser.add_argument(
            "--mode", choices=("custom", "acsrouting"), help="which labels are read (default: PROXY_MODE, else custom)"
        )
        if name == "weight":
            command_parser.add_argument("service", nargs="?", help="name of a service, as `proxy routes` prints it")
            command_parser.add_argument(
                "weight", nargs="?", help="a number from 0, or `default` for the weight of its label"
            )
        if name == "run":
            command_parser.add_argument(
                "--drop-root", action="store_true", help="when started as root, continue as HAPROXY_USER"
            )
    return parser
