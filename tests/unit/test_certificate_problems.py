"""What is wrong with certificates that can be loaded: their dates, their hosts, and files that are passed over."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from proxy.core.containers.containers import Container
from proxy.core.labels.labels import parse_container
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.certificate_cover import CertificateCover
from proxy.core.model.certificate_dates import DAY_SECONDS, find_dated_problems
from proxy.core.model.certificate_pairs import pair_files
from proxy.core.model.certificate_set import Origin, ProxyCertificates, collect_certificates
from proxy.core.model.model import StoredCertificate
from proxy.core.model.own_files import OwnFiles
from proxy.grammar.certificates import Certificate, parse_certificate
from tests.builders import make_container, make_pem, one_line, with_labels
from tests.controller import Controller

GOOD = parse_certificate(make_pem("a.example"))
END_OF_KEY = "-----END PRIVATE KEY-----\n"


def halves(pem: str) -> tuple[str, str]:
    """Return key and certificate."""
    key, chain = pem.split(END_OF_KEY)
    return key + END_OF_KEY, chain


def stored(*certificates: Certificate) -> tuple[StoredCertificate, ...]:
    """Return the certificates as HAProxy has them. The first is the default."""
    others = tuple((f"~{number}", certificate) for number, certificate in enumerate(certificates[1:]))
    return collect_certificates((), ProxyCertificates(default=certificates[0], others=others))


def make(*names: str, days: float, valid_in: float = -1) -> Certificate:
    """Return a certificate that expires in `days`, and is valid from `valid_in` days on."""
    now = time.time()
    return parse_certificate(make_pem(*names, not_before=now + valid_in * DAY_SECONDS, not_after=now + days * DAY_SECONDS))


def reasons(*certificates: Certificate, after_days: float = 0) -> list[str]:
    now = time.time() + after_days * DAY_SECONDS
    return [problem.reason for problem in find_dated_problems(stored(*certificates), {}, now).problems]


@pytest.mark.parametrize(
    ("days", "valid_in", "expected"),
    [
        pytest.param(-0.01, -1, "the certificate for x.example expired on ", id="expired"),
        pytest.param(0.01, -1, "the certificate for x.example expires on ", id="today"),
        pytest.param(28.9, -1, "the certificate for x.example expires on ", id="soon"),
        pytest.param(60, 0.01, "the certificate for x.example is valid only from ", id="not-yet"),
    ],
)
def test_certificate_that_is_refused_now_or_soon_is_told(days: float, valid_in: float, expected: str) -> None:
    (reason,) = reasons(make("x.example", days=days, valid_in=valid_in))

    assert reason.startswith(expected)


def test_certificate_that_is_good_for_a_month_is_no_problem() -> None:
    assert [] == reasons(make("x.example", days=31))


def test_problems_say_when_they_change() -> None:
    """So that nobody has to look at all certificates at each pass."""
    certificate = make("x.example", days=60, valid_in=1)

    now, times = time.time(), []
    for _ in range(4):
        times.append(find_dated_problems(stored(certificate), {}, now).until)
        now = times[-1]

    assert [certificate.not_before, certificate.not_after - 29 * DAY_SECONDS, certificate.not_after] == times[:3]
    assert float("inf") == times[3]


def test_clock_that_was_never_set_says_nothing() -> None:
    assert () == find_dated_problems(stored(GOOD), {}, 1000.0).problems


def test_two_pairs_in_one_pem_are_told() -> None:
    both = parse_certificate(make_pem("a.example") + make_pem("b.example"))

    assert [
        "the certificate for a.example is one of 2 in one PEM, and the others are not used; give each a PEM of its own"
    ] == reasons(both)


@pytest.mark.parametrize(
    ("expired", "valid", "is_told"),
    [
        pytest.param("a.example", "a.example", True, id="same-name"),
        pytest.param("a.example", "*.example", True, id="wildcard"),
        pytest.param("*.example", "a.example", False, id="only-part-of-the-wildcard"),
        pytest.param("a.b.example", "*.example", False, id="wildcard-of-one-label-only"),
        pytest.param("a.example", "b.example", False, id="another-name"),
    ],
)
def test_expired_certificate_that_hides_a_valid_one_is_told(expired: str, valid: str, is_told: bool) -> None:
    found = reasons(make(expired, days=-1), make(valid, days=60))

    what = f"the certificate for {expired}"
    hidden = f"{what} is expired, and visitors of {expired} get it although that for {valid} is valid; remove it"
    assert is_told == (hidden in found)
    assert f"the certificate for {expired} expired on " in found[0]


def test_problem_names_the_file_or_the_variable() -> None:
    certificate = make("x.example", days=-1)
    origins = {certificate.fingerprint: Origin(setting="CERT_FOLDER", value="/certs", file="x.pem")}

    (problem,) = find_dated_problems(stored(certificate), origins, time.time()).problems

    assert str(problem).startswith("the proxy: CERT_FOLDER='/certs': file x.pem: the certificate for x.example expired")


def cover(certificates: tuple[Certificate, ...], **labels: str) -> list[str]:
    """Return the problems of a service with these labels."""
    found = CertificateCover()
    spec = make_spec(make_container("web-1", labels=with_labels(**labels)))
    found.set_specs("shop:web", (spec,))
    found.set_certificates(stored(*certificates) if certificates else ())
    return [f"{problem.setting}: {problem.reason}" for problem in found.problems()]


def make_spec(container: Container) -> ContainerSpec:
    spec, _ = parse_container(container)
    assert spec
    return spec


@pytest.mark.parametrize(
    ("entry", "names", "is_covered"),
    [
        ("https://a.example", ("a.example",), True),
        ("https://A.Example:444/path", ("a.example",), True),
        ("https://a.example", ("b.example", "*.example"), True),
        ("https://a.b.example", ("*.example",), False),
        ("https://example.org", ("*.example.org",), False),
        ("wss://a.example", ("b.example",), False),
        ("https://*.example.org", ("*.example.org",), True),
        ("https://*.example.org", ("a.example.org",), True),
        ("https://*.example.org", ("a.example",), False),
        ("https://*", ("a.example",), True),
        ("https://[::1]", ("a.example",), True),
        ("https://10.0.0.1", ("a.example",), True),
        ("http://b.example", ("a.example",), True),
    ],
)
def test_host_without_a_certificate_of_its_own_is_told(entry: str, names: tuple[str, ...], is_covered: bool) -> None:
    found = cover((parse_certificate(make_pem(*names)),), VIRTUAL_HOST=entry)

    assert is_covered == (not found)
    assert all("no certificate is for " in reason for reason in found)


def test_certificate_that_comes_later_ends_the_problem() -> None:
    found = CertificateCover()
    spec = make_spec(make_container("web-1", virtual_host="https://a.example"))
    found.set_specs("shop:web", (spec,))

    counts = []
    for certificates in (stored(make("b.example", days=60)), stored(GOOD), ()):
        found.set_certificates(certificates)
        counts.append(len(found.problems()))
    found.set_certificates(stored(make("b.example", days=60)))
    found.set_specs("shop:web", ())

    assert ([1, 0, 0], []) == (counts, found.problems())


@pytest.mark.parametrize(
    ("hosts", "told"),
    [
        ("a.example", ["a.example"]),
        ("https://a.example", []),
        ("a.example, https://a.example", []),
        ("a.example, b.example, https://a.example", ["b.example"]),
        ("a.example, https://*", []),
        ("a.example, https://a.example:444/", []),
    ],
)
@pytest.mark.parametrize("certificates", [(), (GOOD,)], ids=["no-certificate", "certificate"])
def test_force_ssl_without_https_is_told(hosts: str, told: list[str], certificates: tuple[Certificate, ...]) -> None:
    found = cover(certificates, VIRTUAL_HOST=hosts, FORCE_SSL="yes")

    assert [
        f"FORCE_SSL: http://{host}: visitors are to be sent to https, but VIRTUAL_HOST has no https entry; add https://{host}"
        for host in told
    ] == found


KEY, CHAIN = halves(make_pem("a.example"))
OTHER_KEY, OTHER_CHAIN = halves(make_pem("b.example"))


@pytest.mark.parametrize(
    ("texts", "served"),
    [
        pytest.param({"site_cert": KEY + CHAIN}, ["site_cert"], id="secret-without-ending"),
        pytest.param({"x.crt": CHAIN, "x.key": KEY}, ["x.crt"], id="crt-and-key"),
        pytest.param({"x.pem": CHAIN, "x.pem.key": KEY}, ["x.pem"], id="pem-and-pem-key"),
        pytest.param({"x.crt": CHAIN, "x.key": KEY, "y.crt": OTHER_CHAIN, "y.key": OTHER_KEY}, ["x.crt", "y.crt"], id="two"),
        pytest.param({"tls_cert": CHAIN, "tls_private": KEY}, ["tls_cert"], id="secrets-that-only-fit"),
        pytest.param(
            {"a/cert.pem": CHAIN, "a/chain.pem": OTHER_CHAIN, "a/fullchain.pem": CHAIN + OTHER_CHAIN, "a/privkey.pem": KEY},
            ["a/fullchain.pem"],
            id="certbot",
        ),
        pytest.param({"a/x.crt": CHAIN, "a/x.key": KEY, "README": "text"}, ["a/x.crt"], id="subfolder"),
        pytest.param({"x.pem": KEY + CHAIN, "x.crt": CHAIN}, ["x.pem"], id="certificate-twice"),
    ],
)
def test_files_that_belong_together_are_one_certificate(texts: dict[str, str], served: list[str]) -> None:
    found = pair_files(texts)

    assert (served, {}) == (sorted(found.pems), found.passed_over)
    for pem in found.pems.values():
        parse_certificate(pem)


@pytest.mark.parametrize(
    ("texts", "passed_over"),
    [
        pytest.param({"x.crt": CHAIN}, {"x.crt": "no private key"}, id="certificate-alone"),
        pytest.param({"x.key": KEY}, {"x.key": "no certificate"}, id="key-alone"),
        pytest.param({"a/x.crt": CHAIN, "b/x.key": KEY}, {"a/x.crt": "no private", "b/x.key": "no cert"}, id="two-folders"),
        pytest.param({"x.pem.bak": KEY + CHAIN}, {"x.pem.bak": "looks like a backup"}, id="backup"),
        pytest.param({"x.p12": ""}, {"x.p12": "is not PEM"}, id="pkcs12"),
        pytest.param({"notes.txt": "text"}, {}, id="no-pem-at-all"),
    ],
)
def test_file_that_is_passed_over_is_told(texts: dict[str, str], passed_over: dict[str, str]) -> None:
    found = pair_files(texts)

    assert ({}, passed_over.keys()) == (found.pems, found.passed_over.keys())
    assert all(part in found.passed_over[name] for name, part in passed_over.items())


def test_key_that_does_not_fit_the_certificate_of_its_name_is_reported_with_it() -> None:
    found = pair_files({"x.crt": CHAIN, "x.key": OTHER_KEY})

    with pytest.raises(ValueError, match="does not belong to"):
        parse_certificate(found.pems["x.crt"])


def test_certificate_that_expires_while_the_proxy_runs_is_told(tmp_path: Path) -> None:
    own = OwnFiles(certificates=ProxyCertificates(default=make("a.example", days=0.001)))
    controller = Controller(tmp_path, own_files=lambda: own)
    web = make_container("web-1", virtual_host="https://a.example")

    told = []
    for now in (time.time(), time.time() + 100):
        controller.now = now
        told.append([problem.reason.split(" on ")[0] for problem in controller.run(web).problems])

    assert [["the certificate for a.example expires"], ["the certificate for a.example expired"]] == told


def test_expired_certificate_of_a_label_is_a_problem_of_its_service(tmp_path: Path) -> None:
    now = time.time()
    pem = make_pem("a.example", not_before=now - 2 * DAY_SECONDS, not_after=now - DAY_SECONDS)
    controller = Controller(tmp_path)
    controller.now = now

    outcome = controller.run(
        make_container("web-1", labels=with_labels(VIRTUAL_HOST="https://a.example", SSL_CERT=one_line(pem)))
    )

    assert [("shop:web", "SSL_CERT")] == [(problem.service, problem.setting) for problem in outcome.problems]
