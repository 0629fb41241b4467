"""What this proxy offers to the others: its files for HAProxy, and its own state, kept up to date while HAProxy runs.

In: the cluster's key, this node's state. Out: files in the folder `cluster` of the state folder, and commands that tell the
running HAProxy of new ones. The files come first, so that an HAProxy that starts meanwhile has them, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from proxy.adapters.cluster.peer import CredentialFiles
from proxy.adapters.cluster.trust import RENEWAL, is_open_to_all, make_credentials, read_key
from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from proxy.core.containers.engine_address import engine_address
from proxy.core.containers.node_state import NodeState, format_state, parse_state
from proxy.core.haproxy.cluster_section import STATE_KEY, ClusterOffer, EngineServer
from proxy.core.haproxy.runtime_commands import Command, escape, put_certificate
from proxy.errors import THE_PROXY, Problem, RuntimeApiError, SourceError, TrustError
from proxy.secret import Secret
from proxy.settings import ClusterSettings
from proxy.settings.value_parsers import is_address

logger = logging.getLogger(__name__)

FOLDER = "cluster"
_KEY_SETTING = "PROXY_CLUSTER_KEY_FILE"


class NodeOffer:
    """The files in `folder`. One thread calls `maintain` and `publish`; any thread may call the others."""

    def __init__(
        self, folder: Path, settings: ClusterSettings, environment: Mapping[str, str], runtime: RuntimeSocket
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._engine_address = engine_address(environment)
        self._certificates_folder = environment.get("DOCKER_CERT_PATH") if environment.get("DOCKER_TLS_VERIFY") else None
        self._runtime = runtime
        self._renewed_at: datetime | None = None
        self._known_key = ""
        self._text = ""
        self._untold: dict[str, list[Command]] = {}
        self._fault = ""
        self.files = CredentialFiles(certificate=folder / "node.pem", ca=folder / "ca.pem")

    def section(self) -> ClusterOffer | None:
        """Return what HAProxy's section needs; None while there is no key, or no engine that can be offered."""
        engine, state = self._engine_server(), self._folder / "state.map"
        if engine is None or not all(path.exists() for path in (self.files.certificate, self.files.ca, state)):
            return None
        return ClusterOffer(
            port=self._settings.port, certificate=self.files.certificate, ca=self.files.ca, state=state, engine=engine
        )

    def maintain(self, now: datetime) -> bool:
        """Renew what is due, and tell HAProxy. Return whether it has to be reloaded, because the key is another one.

        Raises SourceError while there is no key that can be used.
        """
        try:
            key = read_key(self._settings.key_file)
        except TrustError as error:
            self._fault = str(error)
            if self.files.certificate.exists():
                return False  # what was made of the key still counts
            raise SourceError(f"{_KEY_SETTING}: {error}") from error
        self._fault = ""
        digest = hashlib.sha256(key.reveal().encode()).hexdigest()
        has_other_ca = False
        if digest != self._known_key or self._renewed_at is None or abs(now - self._renewed_at) >= RENEWAL:
            before = self._read_ca()
            self._renew(key, now)
            has_other_ca = before not in ("", self._read_ca())
        self._known_key = digest
        self._tell()
        return has_other_ca

    def publish(self, state: NodeState) -> None:
        """Have HAProxy tell the others this state."""
        text = format_state(state)
        if text == self._text:
            return
        self._write({"state.map": f"{STATE_KEY} {text}\n"})
        self._text = text
        file = escape(str(self._folder / "state.map"))
        self._untold["state"] = [Command(text=f"set map {file} {STATE_KEY} {escape(text)}")]
        self._tell()

    def read_instance(self) -> str:
        """Return which start of a proxy has published its state here last; empty if none has."""
        try:
            text = (self._folder / "state.map").read_text(encoding="utf-8")
            return parse_state(text.removeprefix(f"{STATE_KEY} ")).instance
        except (OSError, ValueError):
            return ""

    def problems(self) -> Sequence[Problem]:
        """Return what is wrong with the key and with the engine that is to be offered."""
        found = []
        if fault := self._fault or self._read_fault():
            found.append(_problem(fault))
        elif is_open_to_all(self._settings.key_file):
            reason = (
                f"{self._settings.key_file} can be read by all users of the machine; chmod 600 it, or use a Docker secret"
            )
            found.append(_problem(reason))
        if self._engine_server() is None:
            reason = (
                f"the engine at {self._engine_address} cannot be offered to the other proxies, because HAProxy reaches no "
                "engine over ssh; mount its socket"
            )
            found.append(Problem(service=THE_PROXY, setting="DOCKER_HOST", reason=reason))
        return found

    def _read_fault(self) -> str:
        """Return what is wrong with the key, for a command that only looks and makes nothing of it."""
        if self._renewed_at is None:
            try:
                read_key(self._settings.key_file)
            except TrustError as error:
                return str(error)
        return ""

    def _read_ca(self) -> str:
        """Return the CA that an HAProxy that runs may have loaded, also from an earlier start; empty if there is none."""
        try:
            return self.files.ca.read_text(encoding="utf-8")
        except OSError:
            return ""

    def _renew(self, key: Secret, now: datetime) -> None:
        credentials = make_credentials(key, now)
        texts = {"ca.pem": credentials.ca, "node.pem": credentials.certificate.reveal()}
        self._write({**texts, **self._engine_certificate()})
        self._renewed_at = now
        self._untold["certificate"] = put_certificate(str(self.files.certificate), credentials.certificate, is_new=False)

    def _tell(self) -> None:
        """Send HAProxy what it does not know yet. One that does not answer is told later."""
        try:
            for kind, commands in [*self._untold.items()]:
                for command in commands:
                    self._runtime.send(command.text, command.payload.reveal())
                del self._untold[kind]
        except RuntimeApiError as error:
            logger.debug("HAProxy has not been told of new files of the cluster: %s", error)

    def _write(self, texts: Mapping[str, str]) -> None:
        """Write files for the owner alone. Either all of them are replaced, or none, as when the disk is full."""
        drafts = {name: self._folder / f"{name}.new" for name in texts}
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for name, text in texts.items():
                file = os.open(drafts[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(file, "w", encoding="utf-8") as draft:
                    draft.write(text)
            for name, path in drafts.items():
                path.replace(self._folder / name)
        except OSError as error:
            for path in drafts.values():
                with contextlib.suppress(OSError):
                    path.unlink()
            raise SourceError(f"{self._folder / min(texts)} cannot be written: {error.strerror}") from error

    def _engine_server(self) -> EngineServer | None:
        """Return how HAProxy reaches the engine; None where it cannot."""
        parts = urlsplit(self._engine_address)
        if parts.scheme == "unix":
            return EngineServer(address=f"unix@{parts.path}")
        if parts.scheme not in ("tcp", "http", "https") or not parts.hostname:
            return None
        is_name = not is_address(parts.hostname)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        server = EngineServer(address=f"{host}:{parts.port or 2375}", host=parts.hostname if is_name else "")
        if self._certificates_folder is None:
            return server
        return EngineServer(
            address=server.address,
            host=server.host,
            ca=Path(self._certificates_folder) / "ca.pem",
            certificate=self._folder / "engine.pem",
        )

    def _engine_certificate(self) -> Mapping[str, str]:
        """Return the file with certificate and key for an engine over TLS, as HAProxy wants them; none for another one."""
        if not self._certificates_folder:
            return {}
        try:
            texts = [(Path(self._certificates_folder) / name).read_text() for name in ("cert.pem", "key.pem")]
        except OSError as error:
            raise SourceError(f"DOCKER_CERT_PATH: {error}") from error
        return {"engine.pem": "".join(texts)}


def _problem(reason: str) -> Problem:
    return Problem(service=THE_PROXY, setting=_KEY_SETTING, reason=reason)
