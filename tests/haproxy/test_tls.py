"""Spec 1.5, through a running HAProxy: certificates from all sources, SNI, client certificates, TLS policy, HTTP/2."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.builders import make_pem, one_line
from tests.haproxy import client
from tests.haproxy.authority import Authority
from tests.haproxy.client import HOST, any_tls
from tests.haproxy.product import Product, Serving

pytestmark = pytest.mark.haproxy

OTHER = "other.example"


def shown_name(serving: Serving, sni: str = HOST, *, port: int = 443, tls: ssl.SSLContext | None = None) -> str:
    return client.shown_name(serving.haproxy.port(port), sni, tls=tls)


def tls_connection(serving: Serving, *, tls: ssl.SSLContext) -> ssl.SSLSocket:
    return client.connect_tls(serving.haproxy.port(443), tls=tls)


@pytest.mark.parametrize("variable", ["DEFAULT_SSL_CERT", "SSL_CERT"])
def test_certificate_of_the_proxy_answers_for_every_host(product: Product, variable: str) -> None:
    container = product.backend().container(VIRTUAL_HOST=f"https://{HOST}")

    serving = product.serve(container, **{variable: one_line(make_pem("default.example"))})

    assert "default.example" == shown_name(serving, "any.example")
    assert "web-1" == serving.ask(port=443, tls=any_tls()).server


def test_extra_certificates_of_the_proxy_are_chosen_by_sni(product: Product) -> None:
    serving = product.serve(
        DEFAULT_SSL_CERT=one_line(make_pem("default.example")),
        EXTRA_SSL_CERTS="CERT_A, CERT_B",
        CERT_A=one_line(make_pem(HOST, f"www.{HOST}")),
        CERT_B=one_line(make_pem(f"*.{OTHER}")),
    )

    shown = [shown_name(serving, sni) for sni in (HOST, f"www.{HOST}", f"a.{OTHER}", "any.example")]

    assert [HOST, HOST, f"*.{OTHER}", "default.example"] == shown


def test_certificates_come_from_a_folder(product: Product, tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    for name in ("cert0", HOST):
        (folder / f"{name}.pem").write_text(make_pem(name))

    serving = product.serve(CERT_FOLDER=str(folder))

    assert [HOST, "cert0"] == [shown_name(serving, sni) for sni in (HOST, "any.example")]


def test_folder_of_certificates_wins_over_all_others(product: Product, tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "a.pem").write_text(make_pem("folder.example"))
    container = product.backend().container(VIRTUAL_HOST=f"https://{HOST}", SSL_CERT=one_line(make_pem(HOST)))

    serving = product.serve(container, CERT_FOLDER=str(folder), DEFAULT_SSL_CERT=one_line(make_pem("unused.example")))

    assert ["folder.example"] * 2 == [shown_name(serving, sni) for sni in (HOST, "unused.example")]


def test_certificates_of_services_are_chosen_by_sni(product: Product) -> None:
    containers = [
        product.backend(f"{name}-1").container(VIRTUAL_HOST=f"https://{host}", SSL_CERT=one_line(make_pem(host)))
        for name, host in (("web", HOST), ("api", OTHER))
    ]

    serving = product.serve(*containers)

    assert [HOST, OTHER] == [shown_name(serving, sni) for sni in (HOST.upper(), OTHER)]
    assert ["web-1", "api-1"] == [serving.ask(port=443, host=host, tls=any_tls()).server for host in (HOST, OTHER)]


def test_default_certificate_of_a_service_is_shown_when_no_sni_matches(product: Product) -> None:
    first = product.backend("api-1").container(VIRTUAL_HOST=f"https://{OTHER}", SSL_CERT=one_line(make_pem(OTHER)))
    second = product.backend("web-1").container(VIRTUAL_HOST=f"https://{HOST}", DEFAULT_SSL_CERT=one_line(make_pem(HOST)))

    serving = product.serve(first, second)

    assert [OTHER, HOST, HOST] == [shown_name(serving, sni) for sni in (OTHER, HOST, "any.example")]


def test_broken_certificate_costs_only_its_own_service(product: Product) -> None:
    broken = product.backend("api-1").container(VIRTUAL_HOST=f"https://{OTHER}", SSL_CERT="no\\nPEM\\nSECRET")
    shop = product.backend("web-1").container(VIRTUAL_HOST=f"https://{HOST}", SSL_CERT=one_line(make_pem(HOST)))

    serving = product.serve(broken, shop)

    assert [503, 200] == [serving.ask(port=443, host=host, tls=any_tls()).status for host in (OTHER, HOST)]
    assert (
        "container api-1: aliyun.proxy.SSL_CERT: the PEM contains no certificate; write the private key, "
        "then the certificate chain",
    ) == serving.problems


def test_broken_file_in_the_folder_costs_no_other(product: Product, tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "a.pem").write_text("broken")
    (folder / "b.pem").write_text(make_pem(HOST))

    serving = product.serve(CERT_FOLDER=str(folder))

    assert HOST == shown_name(serving)
    assert any("a.pem" in problem for problem in serving.problems)


def test_https_entry_without_any_certificate_is_reported(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=f"{HOST}, https://{HOST}")

    serving = product.serve(container)

    assert "web-1" == serving.ask().server
    assert (
        f"service shop:web: VIRTUAL_HOST: https://{HOST} needs a certificate, but there is none; set SSL_CERT",
    ) == serving.problems


def test_entry_on_another_port_is_served_with_tls_there(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=f"https://{HOST}:444", SSL_CERT=one_line(make_pem(HOST)))

    serving = product.serve(container)

    assert HOST == shown_name(serving, port=444)
    assert "web-1" == serving.ask(port=444, host=f"{HOST}:444", tls=any_tls()).server
    assert 503 == serving.ask(port=443, tls=any_tls()).status


def test_service_without_virtual_hosts_is_served_with_tls_too(product: Product) -> None:
    container = product.backend().container(required="true", SSL_CERT=one_line(make_pem(HOST)))

    assert "web-1" == product.serve(container).ask(port=443, tls=any_tls(), host="10.0.0.1").server


def test_backends_are_told_that_the_visitor_came_by_https(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=f"https://{HOST}", SSL_CERT=one_line(make_pem(HOST)))

    assert "https" == product.serve(container).ask(port=443, tls=any_tls()).forwarded["x-forwarded-proto"]


@pytest.mark.parametrize("variable", ["CA_CERT", "CA_CERT_FILE"])
def test_clients_must_present_a_certificate_of_the_authority(product: Product, tmp_path: Path, variable: str) -> None:
    authority, stranger = Authority("ours"), Authority("strangers")
    (tmp_path / "ca.pem").write_text(authority.certificate)
    value = {"CA_CERT": one_line(authority.certificate), "CA_CERT_FILE": str(tmp_path / "ca.pem")}[variable]
    container = product.backend().container(VIRTUAL_HOST=f"https://{HOST}", SSL_CERT=one_line(make_pem(HOST)))
    serving = product.serve(container, **{variable: value})
    ours, theirs = any_tls(), any_tls()
    ours.load_cert_chain(authority.client(tmp_path))
    theirs.load_cert_chain(stranger.client(tmp_path))

    answer = serving.ask(port=443, tls=ours)

    assert "web-1" == answer.server
    for refused in (any_tls(), theirs):
        with pytest.raises(OSError, match=r"(?i)alert|reset|closed|EOF|certificate"):
            serving.ask(port=443, tls=refused)


def test_file_of_the_authority_wins_over_the_variable(product: Product, tmp_path: Path) -> None:
    authority = Authority("ours")
    (tmp_path / "ca.pem").write_text(authority.certificate)
    container = product.backend().container(VIRTUAL_HOST=f"https://{HOST}", SSL_CERT=one_line(make_pem(HOST)))
    tls = any_tls()
    tls.load_cert_chain(authority.client(tmp_path))

    serving = product.serve(
        container, CA_CERT_FILE=str(tmp_path / "ca.pem"), CA_CERT=one_line(Authority("unused").certificate)
    )

    assert "web-1" == serving.ask(port=443, tls=tls).server


def test_tls_ports_speak_http_2(product: Product) -> None:
    serving = product.serve(DEFAULT_SSL_CERT=one_line(make_pem(HOST)))
    tls = any_tls()
    tls.set_alpn_protocols(["h2", "http/1.1"])

    with tls_connection(serving, tls=tls) as connection:
        chosen = connection.selected_alpn_protocol()

    assert "h2" == chosen


def only(version: ssl.TLSVersion, ciphers: str = "DEFAULT:@SECLEVEL=0") -> ssl.SSLContext:
    """Return a TLS context that accepts only one version."""
    tls = any_tls()
    tls.set_ciphers(ciphers)
    tls.minimum_version = tls.maximum_version = version
    return tls


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_versions_of_tls_are_refused_by_default(product: Product) -> None:
    serving = product.serve(DEFAULT_SSL_CERT=one_line(make_pem(HOST)))

    assert HOST == shown_name(serving, tls=only(ssl.TLSVersion.TLSv1_2))
    with pytest.raises(OSError, match=r"(?i)alert|reset|EOF|version"):
        tls_connection(serving, tls=only(ssl.TLSVersion.TLSv1_1))


def test_weak_ciphers_are_refused_by_default(product: Product) -> None:
    serving = product.serve(DEFAULT_SSL_CERT=one_line(make_pem(HOST)))

    with pytest.raises(OSError, match=r"(?i)alert|reset|EOF"):
        tls_connection(serving, tls=only(ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"))


def test_tls_options_can_be_set(product: Product) -> None:
    serving = product.serve(DEFAULT_SSL_CERT=one_line(make_pem(HOST)), SSL_BIND_OPTIONS="ssl-min-ver TLSv1.3")

    assert HOST == shown_name(serving, tls=only(ssl.TLSVersion.TLSv1_3))
    with pytest.raises(OSError, match=r"(?i)alert|reset|EOF|version"):
        tls_connection(serving, tls=only(ssl.TLSVersion.TLSv1_2))


def test_ciphers_can_be_set(product: Product) -> None:
    cipher = "ECDHE-ECDSA-AES256-GCM-SHA384"
    serving = product.serve(DEFAULT_SSL_CERT=one_line(make_pem(HOST)), SSL_BIND_CIPHERS=cipher)

    with tls_connection(serving, tls=only(ssl.TLSVersion.TLSv1_2)) as connection:
        chosen = connection.cipher()

    assert chosen
    assert cipher == chosen[0]
