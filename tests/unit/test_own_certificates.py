"""The proxy's own certificates: which is the default, and that a bad one is a problem that affects no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.adapters.files.certificate_files import CertificateFiles
from proxy.core.model.certificate_set import ProxyCertificates
from tests.builders import make_pem, make_settings, one_line

END_OF_KEY = "-----END PRIVATE KEY-----\n"


def write(folder: Path, **pems: str) -> Path:
    """Write one file per keyword. `__` stands for the dot of its name."""
    for name, pem in pems.items():
        (folder / name.replace("__", ".")).write_text(pem)
    return folder


def read_folder(folder: Path) -> ProxyCertificates:
    return CertificateFiles(make_settings(CERT_FOLDER=str(folder)).tls).read()


def names_of(certificates: ProxyCertificates) -> tuple[tuple[str, ...], list[str]]:
    """Return the names in the default certificate, and the file names of the others."""
    default = certificates.default.names if certificates.default else ()
    return default, [name for name, _ in certificates.others]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(("b.pem", "cert0.pem", "default.pem"), "cert0.pem", id="cert0"),
        pytest.param(("b.pem", "default.pem"), "default.pem", id="default"),
        pytest.param(("c.crt", "b.pem"), "b.pem", id="first-by-name"),
    ],
)
def test_default_certificate_of_a_folder(tmp_path: Path, files: tuple[str, ...], expected: str) -> None:
    for name in files:
        (tmp_path / name).write_text(make_pem(name))

    certificates = read_folder(tmp_path)

    assert (expected,) == names_of(certificates)[0]
    assert len(files) - 1 == len(certificates.others)


def test_other_files_of_a_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sub.pem").mkdir()
    write(tmp_path, a__pem=make_pem("a.example"), readme__txt="not a certificate")

    certificates = read_folder(tmp_path)

    assert ((("a.example",), []), ()) == (names_of(certificates), certificates.problems)


def test_key_may_lie_in_a_file_of_its_own_beside_the_chain(tmp_path: Path) -> None:
    key, chain = make_pem("a.example").split(END_OF_KEY)
    write(tmp_path, a__crt=chain, a__crt__key=key + END_OF_KEY)

    assert (("a.example",), []) == names_of(read_folder(tmp_path))


def test_bad_file_is_a_problem_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, a__pem="nothing", b__pem=make_pem("b.example"))
    (tmp_path / "c.pem").write_bytes(b"\xff\xfe")

    certificates = read_folder(tmp_path)

    assert (("b.example",), []) == names_of(certificates)
    unreadable, empty = sorted(certificates.problems)[::-1]
    assert ("the proxy", "file c.pem cannot be read: not text") == (unreadable.service, unreadable.reason)
    assert str(empty).startswith(f"the proxy: CERT_FOLDER='{tmp_path}': file a.pem: the PEM contains no certificate")


def test_folder_that_cannot_be_listed_is_a_problem(tmp_path: Path) -> None:
    certificates = read_folder(tmp_path / "missing")

    (problem,) = certificates.problems
    assert (None, "cannot be listed: No such file or directory") == (certificates.default, problem.reason)


def test_renewed_file_is_read_again(tmp_path: Path) -> None:
    files = CertificateFiles(make_settings(CERT_FOLDER=str(write(tmp_path, a__pem=make_pem("old.example")))).tls)
    files.read()

    write(tmp_path, a__pem=make_pem("new.example"))

    assert ("new.example",) == names_of(files.read())[0]


def test_certificates_of_variables_are_the_default_and_further_ones() -> None:
    variables = {
        "DEFAULT_SSL_CERT": one_line(make_pem("default.example")),
        "EXTRA_SSL_CERTS": "SHOP, BROKEN",
        "SHOP": one_line(make_pem("shop.example")),
        "BROKEN": "nothing",
    }

    certificates = CertificateFiles(make_settings(**variables).tls).read()

    default, [other] = names_of(certificates)
    assert ("default.example",) == default
    assert other.startswith("~SHOP~~"), "upper case counts as changed: see make_file_name"
    assert [("the proxy", "BROKEN")] == [(problem.service, problem.setting) for problem in certificates.problems]
