"""Values for tests, with sensible defaults and keyword overrides."""

from __future__ import annotations

import datetime
import functools
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from proxy.adapters.files.certificate_files import CertificateFiles
from proxy.adapters.files.host_names import HostNames
from proxy.adapters.files.kept_files import KeptFiles
from proxy.adapters.files.own_files import OwnFileReader
from proxy.core.containers.containers import Container, ContainerPort
from proxy.core.haproxy.cluster_section import ClusterOffer
from proxy.core.haproxy.own_lines import Substitutes
from proxy.core.haproxy.rendering import Paths, Renderer
from proxy.core.labels import simple_routing
from proxy.core.labels.labels import parse_container
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model import RoutingModel
from proxy.core.model.whole_model import build_routing_model
from proxy.settings import RoutingMode, Settings
from proxy.settings.parser import parse_settings

TEMPLATES = Path(__file__).parent.parent / "proxy" / "templates"
NOWHERE = Path("/nonexistent")
_ids = itertools.count(1)


def make_settings(**variables: str) -> Settings:
    """Return the settings that the program makes of these variables."""
    return parse_settings(variables, lambda path: path.read_text())


def make_container(name: str = "web-1", *, ports: tuple[int, ...] = (80,), **overrides: Any) -> Container:
    """Return a running container of project `shop` at 127.0.0.1. The keyword `virtual_host` sets that label."""
    labels: dict[str, str] = dict(overrides.pop("labels", {}))
    if "virtual_host" in overrides:
        labels["aliyun.proxy.VIRTUAL_HOST"] = str(overrides.pop("virtual_host"))
    values: dict[str, Any] = {
        "id": name.encode().hex().ljust(64, "0")[:64],
        "name": name,
        "project": "shop",
        "service": name.rpartition("-")[0] or name,
        "address": "127.0.0.1",
        "labels": labels,
        "ports": tuple(ContainerPort(number=port) for port in ports),
    }
    return Container(**{**values, **overrides})


def make_model(
    *containers: Container, settings: Settings | None = None, certificates: ProxyCertificates | None = None
) -> RoutingModel:
    """Return the model of `containers`, without problems of labels. The settings' mode decides which labels are read."""
    settings = settings or make_settings()
    if settings.routing.routing_mode is RoutingMode.SIMPLE:
        simple = settings.routing.simple
        specs = [spec for container in containers for spec in simple_routing.parse_container(container, simple)[0]]
    else:
        extra = settings.routing.extra_settings
        specs = [spec for spec, _ in (parse_container(one, extra_settings=extra) for one in containers) if spec]
    return build_routing_model(specs, None, certificates or ProxyCertificates(), settings)


def read_certificates(settings: Settings) -> ProxyCertificates:
    """Return the certificates and the CA in the proxy's own settings, as the program reads them."""
    return make_own_files(settings).read().certificates


def make_own_files(settings: Settings, state: Path = NOWHERE, addresses: Mapping[str, str] | None = None) -> OwnFileReader:
    """Return the reader of the proxy's own files. Copies of them go to `state`; the DNS knows `addresses`."""

    def resolve(host: str) -> tuple[str, ...]:
        if host in (addresses or {}):
            return ((addresses or {})[host],)
        raise OSError(-2, "Name or service not known")

    kept = KeptFiles(state, is_read_only=state == NOWHERE)
    return OwnFileReader(CertificateFiles(settings.tls).read, settings, kept, HostNames(resolve))


def make_environment(folder: Path = TEMPLATES) -> Environment:
    """Return a Jinja environment with the program's options."""
    return Environment(loader=FileSystemLoader(folder), undefined=StrictUndefined, keep_trailing_newline=True)


def make_renderer(
    settings: Settings,
    folder: Path,
    substitutes: Callable[[], Substitutes] = Substitutes,
    offer: ClusterOffer | None = None,
) -> Renderer:
    """Return a renderer whose sockets are in `folder`."""
    paths = Paths(runtime_socket=folder / "haproxy.sock", server_state=folder / "server-state")
    return Renderer(make_environment(), settings, paths, substitutes, lambda: offer)


@functools.cache
def make_pem(
    *names: str,
    not_before: float | None = None,
    not_after: float | None = None,
    key: CertificateIssuerPrivateKeyTypes | None = None,
) -> str:
    """Return a PEM for `names`: a private key, then a self-signed certificate. The times are in seconds since the epoch."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC).timestamp()
    begin = now - 86_400 if not_before is None else not_before
    end = now + 90 * 86_400 if not_after is None else not_after
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(next(_ids))
        .not_valid_before(datetime.datetime.fromtimestamp(begin, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(end, datetime.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()


def one_line(pem: str) -> str:
    r"""Return the PEM as one-line settings write it, with `\n` for newlines."""
    return pem.replace("\n", "\\n")


def with_labels(**labels: str) -> Mapping[str, str]:
    """Return labels of custom routing, given by their short names. Full names (`aliyun...`) stay as they are."""
    return {name if name.startswith("aliyun.") else f"aliyun.proxy.{name}": value for name, value in labels.items()}
