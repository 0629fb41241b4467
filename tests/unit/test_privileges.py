"""From root to an ordinary user: what that user may read, what is copied for it, and what it keeps."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from proxy.adapters.files.own_files import COPIED
from proxy.commands.privileges import Identity, capability_options, copy_unreadable
from proxy.errors import SettingsError
from tests.builders import make_settings

USER, GROUP = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name


def make_identity(*, is_owner: bool = False, groups: tuple[int, ...] = ()) -> Identity:
    """Return an identity that owns the files of this test or does not, and that is in these groups."""
    identity = Identity(USER, GROUP, None)
    identity.groups = list(groups)
    if not is_owner:
        identity.uid += 1
    return identity


def test_unknown_user_is_a_fault_of_the_settings() -> None:
    with pytest.raises(SettingsError, match="HAPROXY_USER, HAPROXY_GROUP"):
        Identity("no-such-user", GROUP, None)


def test_group_of_the_socket_is_joined(tmp_path: Path) -> None:
    socket = tmp_path / "docker.sock"
    socket.touch()

    with_socket, without = Identity(USER, GROUP, socket), Identity(USER, GROUP, tmp_path / "missing")

    assert sorted({os.getgid(), socket.stat().st_gid}) == with_socket.groups
    assert [os.getgid()] == without.groups


@pytest.mark.parametrize(
    ("mode", "readers"),
    [
        (0o600, ["owner"]),
        (0o040, ["member"]),
        (0o004, ["stranger"]),
        (0o644, ["owner", "member", "stranger"]),
        (0o000, []),
    ],
    ids=["owner", "group", "others", "everybody", "nobody"],
)
def test_mode_of_a_file_says_who_may_read_it(tmp_path: Path, mode: int, readers: list[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(mode)
    identities = {
        "owner": make_identity(is_owner=True),
        "member": make_identity(groups=(file.stat().st_gid,)),
        "stranger": make_identity(),
    }

    assert readers == [name for name, identity in identities.items() if identity.may_read(file)]


def test_certificates_that_only_root_may_read_are_copied_as_a_whole(tmp_path: Path) -> None:
    folder, state = tmp_path / "certs", tmp_path / "state"
    folder.mkdir()
    for name, mode in (("a.pem", 0o644), ("b.pem", 0o600)):
        (folder / name).write_text(name)
        (folder / name).chmod(mode)

    variables = copy_unreadable(make_identity(), make_settings(CERT_FOLDER=str(folder)), state)

    copies = state / COPIED / "cert_folder"
    assert {"CERT_FOLDER": str(copies)} == variables
    assert {"a.pem": ("a.pem", 0o600), "b.pem": ("b.pem", 0o600)} == {
        file.name: (file.read_text(), file.stat().st_mode & 0o777) for file in copies.iterdir()
    }


def test_folders_of_certbot_are_copied_with_what_their_links_lead_to(tmp_path: Path) -> None:
    live, archive, state = tmp_path / "live", tmp_path / "archive", tmp_path / "state"
    (live / "a.example").mkdir(parents=True)
    archive.mkdir()
    (archive / "privkey1.pem").write_text("key")
    (archive / "privkey1.pem").chmod(0o600)
    (live / "a.example" / "privkey.pem").symlink_to(archive / "privkey1.pem")
    (live / "a.example" / "gone.pem").symlink_to(archive / "gone1.pem")

    copy_unreadable(make_identity(), make_settings(CERT_FOLDER=str(live)), state)

    (copy,) = (path for path in (state / COPIED).rglob("*") if path.is_file())
    assert ("a.example/privkey.pem", "key") == (str(copy.relative_to(state / COPIED / "cert_folder")), copy.read_text())


def test_folder_that_only_root_may_enter_is_copied(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "a.pem").write_text("a")
    (folder / "a.pem").chmod(0o644)
    folder.chmod(0o700)

    assert copy_unreadable(make_identity(), make_settings(CERT_FOLDER=str(folder)), tmp_path / "state")


def test_copies_of_an_earlier_start_go(tmp_path: Path) -> None:
    authority, state = tmp_path / "ca.pem", tmp_path / "state"
    authority.write_text("new")
    authority.chmod(0o600)
    old = state / COPIED / "ca_cert_file"
    old.mkdir(parents=True)
    (old / "old.pem").write_text("old")

    variables = copy_unreadable(make_identity(), make_settings(CA_CERT_FILE=str(authority)), state)

    assert {"CA_CERT_FILE": str(old / "ca.pem")} == variables
    assert ["ca.pem"] == [file.name for file in old.iterdir()]


def test_key_of_the_cluster_that_only_root_may_read_is_copied(tmp_path: Path) -> None:
    key, state = tmp_path / "key", tmp_path / "state"
    key.write_text("the secret of the cluster")
    key.chmod(0o400)
    settings = make_settings(PROXY_CLUSTER="tasks.lb", PROXY_CLUSTER_KEY_FILE=str(key))

    variables = copy_unreadable(make_identity(), settings, state)

    copy = Path(variables["PROXY_CLUSTER_KEY_FILE"])
    assert ("the secret of the cluster", 0o600) == (copy.read_text(), copy.stat().st_mode & 0o777)
    assert 0o700 == copy.parent.stat().st_mode & 0o777


def test_what_everybody_may_read_stays_where_it_is(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch(mode=0o644)
    settings = make_settings(CA_CERT_FILE=str(authority), CERT_FOLDER=str(tmp_path / "missing"))

    assert ({}, False) == (copy_unreadable(make_identity(), settings, tmp_path), (tmp_path / COPIED).exists())


def test_command_drops_everything_but_the_groups_and_the_low_ports() -> None:
    identity = make_identity(groups=(7, 99))

    command = identity.command(["proxy", "run"])

    assert ["setpriv", f"--reuid={identity.uid}", f"--regid={identity.gid}", "--groups=7,99"] == command[:4]
    assert [*capability_options(), "--no-new-privs", "--", "proxy", "run"] == command[4:]
