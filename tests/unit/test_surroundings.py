"""A change of what every service depends on (own container, certificates) gives the same model as building it anew."""

from __future__ import annotations

from proxy.core.containers.containers import Attachment, ProxyContainer
from proxy.core.labels.labels import parse_container
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.service_table import label_specs
from proxy.core.model.whole_model import build_routing_model
from proxy.grammar.certificates import parse_certificate
from tests.builders import make_container, make_pem, make_settings

NETWORKS = (Attachment(network="front", address="10.0.1.2"), Attachment(network="back", address="10.0.2.2"))
CONTAINER = make_container(virtual_host="https://a.com, b.com", networks=NETWORKS, address="")
SPECS = tuple(spec for spec, _ in [parse_container(CONTAINER)] if spec)
PROXY = ProxyContainer(id="0" * 64, project="shop", networks=(Attachment(network="back", address="10.0.2.9"),))
CERTIFICATES = ProxyCertificates(default=parse_certificate(make_pem("a.com")))


def make_index() -> ModelIndex:
    index = ModelIndex(make_settings(), None, ProxyCertificates())
    index.update(label_specs(SPECS))
    return index


def test_other_surroundings_come_to_what_is_built_anew() -> None:
    index = make_index()

    index.set_surroundings(PROXY, CERTIFICATES)

    assert build_routing_model(SPECS, PROXY, CERTIFICATES, make_settings()) == index.model()


def test_same_surroundings_change_nothing() -> None:
    index = make_index()
    index.set_surroundings(PROXY, CERTIFICATES)

    change = index.set_surroundings(PROXY, CERTIFICATES)

    assert ([], []) == (list(change.backend_pairs()), list(change.backends))
