"""The proxy's own certificates: which is the default, and that a bad one is a problem that affects no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.adapters.files.certificate_files import GONE_SECONDS, CertificateFiles
from proxy.adapters.files.own_files import COPIED
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.own_files import OwnFiles
from proxy.errors import SettingsError
from tests.builders import make_own_files, make_pem, make_settings, one_line
from tests.controller import Controller

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


GOOD = make_pem("a.example")
HALVES = {
    "empty": "",
    "key-alone": GOOD.split(END_OF_KEY)[0] + END_OF_KEY,
    "cut-in-the-key": GOOD[:100],
    "cut-in-the-certificate": GOOD[:-100],
    "cut-at-the-last-line": GOOD[:-10],
    "of-somebody-else": GOOD.split(END_OF_KEY)[0] + END_OF_KEY + make_pem("b.example").split(END_OF_KEY)[1],
    "no-text": None,
    "no-file": "gone",
}


class Folder:
    """A folder of certificates that is read again and again. `now` is the time."""

    def __init__(self, path: Path, **pems: str) -> None:
        self.path = write(path, **pems)
        self.now = 0.0
        self.files = CertificateFiles(make_settings(CERT_FOLDER=str(path)).tls, clock=lambda: self.now)
        self.before = self.files.read()

    def break_file(self, name: str, half: str | None) -> None:
        if half == "gone":
            (self.path / name).unlink()
        else:
            (self.path / name).write_bytes(b"\xff\xfe" if half is None else half.encode())


@pytest.mark.parametrize("name", ["a.pem", "z.pem"], ids=["default", "other"])
@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_broken_file_does_not_displace_the_certificate_that_is_loaded(tmp_path: Path, half: str | None, name: str) -> None:
    folder = Folder(tmp_path, a__pem=GOOD, z__pem=GOOD)

    folder.break_file(name, half)
    broken = folder.files.read()
    write(tmp_path, **{name.replace(".", "__"): make_pem("new.example")})
    renewed = folder.files.read()

    assert (folder.before.default, folder.before.others) == (broken.default, broken.others)
    assert half == "gone" or broken.problems[0].reason.endswith("; the certificate that was read before stays in force")
    assert ("new.example",) in {renewed.default.names if renewed.default else (), *(c.names for _, c in renewed.others)}
    assert () == renewed.problems


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_only_certificate_that_breaks_does_not_end_tls(tmp_path: Path, half: str | None) -> None:
    folder = Folder(tmp_path, a__pem=GOOD)

    folder.break_file("a.pem", half)
    folder.files.read()
    folder.now += 100 * GONE_SECONDS

    assert folder.before.default == folder.files.read().default
    assert 1 == len(folder.files.read().problems)


def test_file_that_stays_away_is_forgotten_after_a_while(tmp_path: Path) -> None:
    folder = Folder(tmp_path, a__pem=GOOD, z__pem=make_pem("z.example"))
    (tmp_path / "z.pem").unlink()

    seen = []
    for seconds in (0, GONE_SECONDS - 1, 2):
        folder.now += seconds
        found = folder.files.read()
        seen.append((len(found.others), found.look_again_in))

    assert [(1, GONE_SECONDS), (1, 1.0), (0, None)] == seen


def test_folder_that_is_gone_does_not_end_tls(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    folder = Folder(tmp_path / "certs", a__pem=GOOD)
    (tmp_path / "certs").rename(tmp_path / "elsewhere")

    found = folder.files.read()

    assert folder.before.default == found.default
    assert ["cannot be listed: No such file or directory; the certificate that was read before stays in force"] == [
        problem.reason for problem in found.problems
    ]


PREVIOUS = {"default/cert0.pem": GOOD, "~z.pem": make_pem("z.example")}


@pytest.mark.parametrize("half", [HALVES["key-alone"], HALVES["cut-in-the-certificate"]], ids=["key-alone", "cut"])
def test_certificates_of_an_earlier_run_take_the_place_of_files_that_are_broken_at_the_start(
    tmp_path: Path, half: str
) -> None:
    write(tmp_path, a__pem=half, z__pem=half)

    found = CertificateFiles(make_settings(CERT_FOLDER=str(tmp_path)).tls, PREVIOUS).read()

    assert (("a.example",), ["~z"]) == names_of(found)
    assert 2 == len(found.problems)


def test_certificates_of_an_earlier_run_are_served_while_the_folder_is_not_there(tmp_path: Path) -> None:
    found = CertificateFiles(make_settings(CERT_FOLDER=str(tmp_path / "missing")).tls, PREVIOUS).read()

    assert (("a.example",), ["~z"]) == names_of(found)


def test_certificate_of_an_earlier_run_takes_the_place_of_a_variable_that_is_broken() -> None:
    settings = make_settings(DEFAULT_SSL_CERT=one_line(HALVES["key-alone"] or ""), EXTRA_SSL_CERTS="z", z="nothing")

    found = CertificateFiles(settings.tls, PREVIOUS).read()

    assert (("a.example",), ["~z"]) == names_of(found)
    assert ["DEFAULT_SSL_CERT", "z"] == sorted(problem.setting for problem in found.problems)


CA = make_pem("ca.example").split(END_OF_KEY)[1]


@pytest.mark.parametrize("half", ["", CA[:-30], "no PEM", CA + CA[:100]], ids=["empty", "cut", "no-pem", "second-cut"])
def test_broken_ca_does_not_displace_the_one_that_is_loaded(tmp_path: Path, half: str) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(CA)
    settings, state = make_settings(CA_CERT_FILE=str(ca)), tmp_path / "state"
    reader = make_own_files(settings, state)
    before = reader.read().certificates.client_ca

    ca.write_text(half)
    found = [reader.read(), make_own_files(settings, state).read()]

    assert before is not None
    assert [before.reveal()] * 2 == [f.certificates.client_ca and f.certificates.client_ca.reveal() for f in found]
    assert ["CA_CERT_FILE"] * 2 == [problem.setting for f in found for problem in f.certificates.problems]
    with pytest.raises(SettingsError):
        make_own_files(settings, tmp_path / "new").read()


def test_files_are_read_again_when_they_say_so(tmp_path: Path) -> None:
    """Without it, a certificate whose file has gone would stay until the next full rescan."""
    waits = [7.0, None]
    seen: list[float | None] = []

    def read() -> OwnFiles:
        seen.append(waits[min(len(seen), 1)])
        return OwnFiles(certificates=ProxyCertificates(look_again_in=seen[-1]))

    controller = Controller(tmp_path, own_files=read)
    controller.run()
    for _ in range(3):
        controller.run(seconds=4.0)

    assert [7.0, None] == seen


def test_copies_of_files_that_only_root_may_read_are_told(tmp_path: Path) -> None:
    folder = tmp_path / COPIED / "cert_folder"
    folder.mkdir(parents=True)
    settings = make_settings(CERT_FOLDER=str(write(folder, a__pem=GOOD)))

    found = make_own_files(settings).read()

    assert ["CERT_FOLDER"] == [problem.setting for problem in found.certificates.problems]
    assert "only after a restart" in found.certificates.problems[0].reason


def make_live(folder: Path, name: str, pem: str) -> Path:
    """Write what certbot writes for one certificate: links in `live` to files in `archive`."""
    key, chain = pem.split(END_OF_KEY)
    live, archive = folder / "live" / name, folder / "archive" / name
    for path in (live, archive):
        path.mkdir(parents=True)
    issuer = make_pem("issuer.example").split(END_OF_KEY)[1]
    for file, text in {"cert": chain, "chain": issuer, "fullchain": chain + issuer, "privkey": key + END_OF_KEY}.items():
        (archive / f"{file}1.pem").write_text(text)
        (live / f"{file}.pem").symlink_to(Path("..") / ".." / "archive" / name / f"{file}1.pem")
    (folder / "live" / "README").write_text("This directory contains your keys and certificates.")
    return folder / "live"


def test_folder_of_certbot_is_read(tmp_path: Path) -> None:
    make_live(tmp_path, "a.example", GOOD)
    live = make_live(tmp_path, "b.example", make_pem("b.example"))

    found = read_folder(live)

    names = {found.default.names if found.default else (), *(certificate.names for _, certificate in found.others)}
    assert ({("a.example",), ("b.example",)}, ()) == (names, found.problems)
    assert ("a.example",) == read_folder(live / "a.example").default.names  # type: ignore[union-attr]


def test_certbot_s_links_without_the_folder_that_they_lead_to_are_told(tmp_path: Path) -> None:
    live = make_live(tmp_path, "a.example", GOOD)
    (tmp_path / "archive").rename(tmp_path / "elsewhere")

    found = read_folder(live)

    assert (None, 4) == (found.default, len(found.problems))
    assert found.problems[0].reason == (
        "file a.example/cert.pem is a link to ../../archive/a.example/cert1.pem, which is not there; "
        "mount the folder with both"
    )


def test_secrets_of_the_engine_are_read(tmp_path: Path) -> None:
    """They have no ending. Other secrets lie in the same folder."""
    write(tmp_path, site_cert=GOOD, db_password="secret")

    found = read_folder(tmp_path)

    assert ((("a.example",), []), ()) == (names_of(found), found.problems)


def test_files_that_are_no_certificates_are_told_only_if_they_look_like_some(tmp_path: Path) -> None:
    write(tmp_path, a__pem=GOOD, x__key=make_pem("x.example").split(END_OF_KEY)[0] + END_OF_KEY, old__pem__bak=GOOD)
    for name in ("b.p12", "c.pem", "photo.jpg"):
        (tmp_path / name).write_bytes(b"\xff\xfe")
    (tmp_path / ".hidden.pem").write_text("half")

    found = read_folder(tmp_path)

    assert ["b.p12", "c.pem", "old.pem.bak", "x.key"] == sorted(problem.reason.split()[1] for problem in found.problems)
