"""Files and names in the proxy's own settings that go away after a good start: what was read last stays in force."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.adapters.files.host_names import Answer
from proxy.adapters.files.kept_files import KeptFiles
from proxy.adapters.files.own_names import OwnNames
from proxy.errors import SettingsError
from tests.builders import make_own_files, make_pem, make_settings

CERTIFICATE = make_pem("ca.example").partition("-----END PRIVATE KEY-----\n")[2]


def reasons(problems: object) -> str:
    return "\n".join(map(str, problems))  # type: ignore[call-overload]


def test_ca_that_is_gone_at_a_restart_is_the_one_that_was_read_last(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(CERTIFICATE)
    settings = make_settings(CA_CERT_FILE=str(ca))
    before = make_own_files(settings, tmp_path / "state").read().certificates.client_ca
    ca.unlink()

    after = make_own_files(settings, tmp_path / "state").read().certificates

    assert before is not None
    assert before == after.client_ca
    assert "HAProxy keeps the CA that it has" in reasons(after.problems)


def test_ca_that_was_never_there_lets_nobody_in(tmp_path: Path) -> None:
    """A copy of something else that a broken file held counts no more than the file."""
    ca = tmp_path / "ca.pem"
    ca.write_text("nothing")
    settings = make_settings(CA_CERT_FILE=str(ca))

    for _ in range(2):
        with pytest.raises(SettingsError, match="CA_CERT_FILE"):
            make_own_files(settings, tmp_path / "state").read()


def test_file_that_a_line_names_is_kept_and_stands_in_for_it(tmp_path: Path) -> None:
    page = tmp_path / "503.http"
    page.write_text("HTTP/1.0 503 first\r\n\r\n")
    settings = make_settings(EXTRA_FRONTEND_SETTINGS_80=f"errorfile 503 {page}")
    reader = make_own_files(settings, tmp_path / "state")
    reader.read()
    page.write_text("HTTP/1.0 503 second one\r\n\r\n")
    reader.read()
    was_there = reader.substitutes().files
    page.unlink()
    at_once = reader.substitutes().files

    files = make_own_files(settings, tmp_path / "state")
    problems = files.read().certificates.problems

    copy = Path(files.substitutes().files[str(page)])
    assert ({}, "HTTP/1.0 503 second one\r\n\r\n", 0o600) == (
        was_there,
        copy.read_bytes().decode(),
        copy.stat().st_mode & 0o777,
    )
    assert files.substitutes().files == at_once
    assert f"{page}: a setting names this file, which is missing" in reasons(problems)


def test_file_that_was_never_there_has_no_copy(tmp_path: Path) -> None:
    """Then HAProxy says what it misses."""
    reader = make_own_files(make_settings(EXTRA_FRONTEND_SETTINGS_80=f"errorfile 503 {tmp_path}/none"), tmp_path / "state")

    problems = reader.read().certificates.problems

    assert ({}, ()) == (reader.substitutes().files, problems)


def test_templates_that_are_gone_are_told_and_kept(tmp_path: Path) -> None:
    own = tmp_path / "templates"
    own.mkdir()
    (own / "haproxy.cfg.j2").write_text("# mine\n")
    settings = make_settings(PROXY_TEMPLATES=str(own))
    make_own_files(settings, tmp_path / "state").read()
    (own / "haproxy.cfg.j2").unlink()
    own.rmdir()

    problems = make_own_files(settings, tmp_path / "state").read().certificates.problems

    copy = KeptFiles(tmp_path / "state").copy_of(own) / "haproxy.cfg.j2"
    assert ("# mine\n", True) == (copy.read_text(), "haproxy.cfg.j2 cannot be read" in reasons(problems))


def test_lines_of_a_file_that_is_gone_are_those_that_were_read_last(tmp_path: Path) -> None:
    lines = tmp_path / "global.cfg"
    lines.write_text("spread-checks 5\n")
    kept = KeptFiles(tmp_path / "state")
    settings = make_settings(EXTRA_GLOBAL_SETTINGS_FILE=str(lines))
    make_own_files(settings, tmp_path / "state").read()
    lines.unlink()

    problems = make_own_files(settings, tmp_path / "state").read().certificates.problems

    assert "spread-checks 5\n" == kept.read_text(lines)
    assert "EXTRA_GLOBAL_SETTINGS_FILE" in reasons(problems)
    with pytest.raises(FileNotFoundError):
        kept.read_text(tmp_path / "another")


def test_commands_that_change_nothing_keep_nothing(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("page")

    KeptFiles(tmp_path / "state", is_read_only=True).keep(tmp_path / "page")

    assert not (tmp_path / "state").exists()


def test_disk_that_refuses_a_copy_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("page")
    (tmp_path / "state").write_text("no folder")

    assert KeptFiles(tmp_path / "state").keep(tmp_path / "page")


def test_file_is_copied_once_as_long_as_it_does_not_change(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text("page")
    kept = KeptFiles(tmp_path / "state")
    kept.keep(page)
    os.utime(kept.copy_of(page), (1, 1))

    kept.keep(page)

    assert 1 == kept.copy_of(page).stat().st_mtime


def test_name_without_an_address_is_told_with_what_that_means() -> None:
    settings = make_settings(RSYSLOG_DESTINATION="logs:514", ADDITIONAL_BACKEND_a="server one legacy:80")

    files = make_own_files(settings).read()

    told = reasons(files.certificates.problems)
    assert "RSYSLOG_DESTINATION='logs:514': logs cannot be resolved (Name or service not known)" in told
    assert "the log goes to standard output until the name has an address" in told
    assert "the host name legacy in a setting cannot be resolved" in told


class Answers:
    """Stands for `HostNames`: what the DNS says now."""

    def __init__(self) -> None:
        self.now: dict[str, Answer] = {}

    def answers(self, hosts: object) -> dict[str, Answer]:
        return self.now


@pytest.mark.parametrize(
    ("is_log", "first", "second", "expected"),
    [
        pytest.param(True, ("10.0.0.9",), ("10.0.0.7",), "10.0.0.7", id="a-container-that-was-recreated"),
        pytest.param(True, ("10.0.0.9",), ("10.0.0.7", "10.0.0.9"), "10.0.0.9", id="it-still-has-the-address"),
        pytest.param(True, ("8.8.8.8",), ("8.8.4.4",), "8.8.8.8", id="a-public-name-with-many"),
        pytest.param(True, ("10.0.0.9",), (), "10.0.0.9", id="the-name-is-gone"),
        pytest.param(False, ("10.0.0.9",), ("10.0.0.7",), "10.0.0.9", id="a-server"),
    ],
)
def test_address_changes_only_where_haproxy_can_follow(
    is_log: bool, first: tuple[str, ...], second: tuple[str, ...], expected: str
) -> None:
    answers = Answers()
    name = frozenset({"logs"})
    names = OwnNames(answers, name if is_log else frozenset(), name)  # type: ignore[arg-type]
    answers.now = {"logs": Answer(addresses=first)}
    names.read()
    answers.now = {"logs": Answer(addresses=second, fault="gone")}

    assert ({"logs": expected}, {}) == names.read()
