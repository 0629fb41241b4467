"""The codec of HAProxy's command sockets, on replies that 2.6 and 3.4 gave."""

import pytest

from proxy.core.haproxy.replies import (
    HaproxyVersion,
    Processes,
    ReloadReply,
    Worker,
    encode_command,
    make_state_file,
    parse_processes,
    parse_reload_reply,
    parse_version,
    select_alerts,
)
from proxy.errors import RuntimeApiError

PROCESSES_26 = """\
#<PID>          <type>          <reloads>       <uptime>        <version>
16851           master          2 [failed: 1]   0d00h00m03s     2.6.12-1+deb12u4
# workers
17202           worker          1               0d00h00m01s     2.6.12-1+deb12u4
# old workers
17100           worker          3               0d00h10m01s     2.6.12-1+deb12u4
# programs
"""
PROCESSES_34_FAILED = """\
#<PID>          <type>          <reloads>       <uptime>        <version>
18584           master          3 [failed: 1]   0d00h00m07s     3.4.7-1
# workers
# old workers
18111           worker          4               0d00h00m05s     3.4.7-1
18922           worker          2               0d00h00m05s     3.4.7-1
"""
FAILED_RELOAD = """\
Success=0
--
[NOTICE]   (13498) : Initializing new worker (14118)
[ALERT]    (14118) : config : parsing [haproxy.cfg:1]: unknown keyword 'garbage' out of section.
[ALERT]    (14118) : config : Error(s) found in configuration file : haproxy.cfg
[ALERT]    (14118) : config : Fatal errors found in configuration.
[WARNING]  (13498) : Failed to load worker (14118) exited with code 1 (Exit)
"""


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param("HAProxy version 2.6.12-1+deb12u4", HaproxyVersion(major=2, minor=6, patch=12), id="2.6"),
        pytest.param("3.4.7-1", HaproxyVersion(major=3, minor=4, patch=7), id="3.4"),
        pytest.param("HAProxy version 3.5-dev2-abc", HaproxyVersion(major=3, minor=5, patch=2), id="development"),
    ],
)
def test_version_is_read_without_suffixes(text: str, version: HaproxyVersion) -> None:
    assert version == parse_version(text)


def test_versions_compare_by_number() -> None:
    old, new = HaproxyVersion(major=2, minor=6, patch=12), HaproxyVersion(major=2, minor=10, patch=0)

    assert [old, new] == sorted([new, old])


def test_backends_at_runtime_come_with_3_4() -> None:
    versions = [parse_version(text) for text in ("2.6.12", "3.3.9", "3.4.0", "4.0.0")]

    assert [False, False, True, True] == [version.has_runtime_backends for version in versions]


def test_text_without_a_version_is_refused() -> None:
    with pytest.raises(RuntimeApiError, match="does not tell a version"):
        parse_version("Unknown command")


def test_command_is_one_line() -> None:
    assert b"show info\n" == encode_command("show info")


def test_payload_ends_with_an_empty_line() -> None:
    message = encode_command("add map hosts", "a.test shop\nb.test shop\n")

    assert b"add map hosts <<\na.test shop\nb.test shop\n\n" == message


@pytest.mark.parametrize(
    "command", ["show info\nshow stat", "show info\r", "show info; show stat", "add map m k v;x", "add map m k v\\\\;x"]
)
def test_text_that_would_be_a_second_command_is_refused(command: str) -> None:
    with pytest.raises(RuntimeApiError):
        encode_command(command)


def test_escaped_semicolon_is_part_of_its_word() -> None:
    assert b"add map m k a\\;b\n" == encode_command("add map m k a\\;b")


def test_payload_with_an_empty_line_inside_is_refused() -> None:
    with pytest.raises(RuntimeApiError, match="empty line"):
        encode_command("set ssl cert shop.pem", "one\n\nshow info\n")


def test_processes_are_told_apart() -> None:
    processes = parse_processes(PROCESSES_26)

    assert processes == Processes(
        master_pid=16851,
        reloads=2,
        failed_reloads=1,
        workers=(Worker(pid=17202, reloads=1),),
        old_workers=(Worker(pid=17100, reloads=3),),
    )


@pytest.mark.parametrize(
    ("reply", "pid"),
    [
        pytest.param(PROCESSES_26, 17202, id="the current worker"),
        pytest.param(PROCESSES_34_FAILED, 18922, id="youngest old worker after a failed reload"),
        pytest.param(PROCESSES_34_FAILED.split("# workers")[0], 0, id="no worker"),
    ],
)
def test_serving_worker(reply: str, pid: int) -> None:
    assert pid == parse_processes(reply).serving_pid


def test_reply_without_a_master_is_refused() -> None:
    with pytest.raises(RuntimeApiError, match="no master"):
        parse_processes("Permission denied\n")


def test_failed_reload_says_why_without_noise() -> None:
    reply = parse_reload_reply(FAILED_RELOAD)

    alert = "config : parsing [haproxy.cfg:1]: unknown keyword 'garbage' out of section."
    assert ReloadReply(is_success=False, alerts=(alert,)) == reply


def test_successful_reload_is_told_from_silence() -> None:
    assert ReloadReply(is_success=True) == parse_reload_reply("Success=1\n--\n[NOTICE]   (1) : Loading success.")
    assert parse_reload_reply("") is None


def test_lines_that_go_on_belong_to_their_alert() -> None:
    output = "[ALERT]    (7) : config : unknown keyword\n  did you mean 'bind'?\n[NOTICE]   (7) : bye\n  and more\n"

    assert ("config : unknown keyword did you mean 'bind'?",) == select_alerts(output)


def test_long_list_of_keywords_is_cut() -> None:
    words = ", ".join(f"'word-{number}'" for number in range(100))

    (alert,) = select_alerts(f"[ALERT]    (7) : config : 'http-request' expects {words}, but got 'foo'.\n")

    assert "config : 'http-request' expects 'word-0', 'word-1', 'word-2', ..., but got 'foo'." == alert


def test_short_list_of_keywords_is_whole() -> None:
    (alert,) = select_alerts("[ALERT]    (7) : 'hash-type' only supports 'a', 'b', 'c', 'd' and 'e'.\n")

    assert "'hash-type' only supports 'a', 'b', 'c', 'd' and 'e'." == alert


def test_lone_summary_is_better_than_nothing() -> None:
    output = "[ALERT]    (7) : config : Fatal errors found in configuration.\n"

    assert ("config : Fatal errors found in configuration.",) == select_alerts(output)


def test_state_file_has_no_empty_lines() -> None:
    """HAProxy calls a state file with an empty line corrupted, and its own reply ends with one."""
    reply = "1\n# be_id be_name srv_id srv_name\n3 b1 1 s1\n\n"

    assert "1\n# be_id be_name srv_id srv_name\n3 b1 1 s1\n" == make_state_file(reply)


def test_state_file_leaves_out_servers_in_maintenance() -> None:
    """The configuration decides on them. The file would keep a server down that is ready by now."""
    reply = "1\n# be_id srv_name srv_admin_state\n3 ready 0\n3 waiting 1\n3 configured 5\n3 was-configured 4\n3 draining 8\n"

    assert "1\n# be_id srv_name srv_admin_state\n3 ready 0\n3 was-configured 4\n3 draining 8\n" == make_state_file(reply)


def test_weights_are_left_to_the_configuration() -> None:
    """Only the model decides on a server's weight. A weight that somebody has set by hand is lost at a reload."""
    head = "1\n# be_name srv_name srv_uweight srv_iweight\n"

    written = make_state_file(f"{head}web ours 3 1\nweb by-hand 7 2\n")

    assert f"{head}web ours 1 1\nweb by-hand 2 2\n" == written


def test_error_is_not_taken_for_servers_state() -> None:
    with pytest.raises(RuntimeApiError, match="something else"):
        make_state_file("Permission denied\n")
