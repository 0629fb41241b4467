"""The certificates of CERT_FOLDER: each file is served, whatever the other files are called."""

from __future__ import annotations

from pathlib import Path

from proxy.adapters.files.certificate_files import CertificateFiles
from proxy.core.model.certificate_set import collect_certificates
from tests.builders import make_pem, make_settings, one_line


def test_files_that_differ_only_in_ending_or_case_are_all_served(tmp_path: Path) -> None:
    files = ["a.pem", "a.crt", "a.cer", "A.pem", "a.PEM", "b c.pem", "b-c.pem", "商.pem", "店.pem"]
    pems = {file: make_pem(f"{number}.example") for number, file in enumerate(files)}
    for file, pem in pems.items():
        (tmp_path / file).write_text(pem)
    (tmp_path / "default.pem").write_text(make_pem("default.example"))

    stored = collect_certificates((), CertificateFiles(make_settings(CERT_FOLDER=str(tmp_path)).tls).read())

    assert {*pems.values(), make_pem("default.example")} == {entry.certificate.pem.reveal() for entry in stored}
    assert len(files) + 1 == len({entry.name.lower() for entry in stored})
    assert {"default/cert0.pem", "~a.pem", "~b-c.pem"} <= {entry.name for entry in stored}


def test_variables_that_differ_in_case_are_both_served() -> None:
    first, second = make_pem("first.example"), make_pem("second.example")
    settings = make_settings(EXTRA_SSL_CERTS="shop, SHOP", shop=one_line(first), SHOP=one_line(second))

    stored = collect_certificates((), CertificateFiles(settings.tls).read())

    assert {first, second} == {entry.certificate.pem.reveal() for entry in stored}
    assert "~shop.pem" in {entry.name for entry in stored}
