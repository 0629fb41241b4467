"""Every setting has a test of its effect: each row of the tables of variables and labels names one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from proxy.core.labels.labels import LABELS
from proxy.settings.variables.all import VARIABLES
from proxy.settings.variables.simple import SIMPLE_VARIABLES

TESTS = Path(__file__).parent.parent

_PROXY = "haproxy/test_proxy_settings.py"
_LINES = "haproxy/test_extra_lines.py"
_TLS = "haproxy/test_tls.py"
_PROGRAM = "haproxy/test_program.py"
_SIMPLE = "unit/test_simple_routing.py"
_BAD_INPUT = "haproxy/test_cluster_bad_input.py"
_IMAGE = "e2e/test_image.py"

OF_VARIABLES = {
    "ADDITIONAL_SERVICES": "unit/test_services.py::test_scope",
    "BALANCE": f"{_PROXY}::test_balance_source_keeps_a_client_on_one_server",
    "EXTRA_ROUTE_SETTINGS": f"{_PROXY}::test_route_settings_stand_on_each_server_line",
    "HEALTH_CHECK": f"{_PROXY}::test_health_check_takes_a_dead_server_out",
    "HTTP_BASIC_AUTH": f"{_PROXY}::test_basic_auth_asks_for_the_password",
    "HTTP_BASIC_AUTH_SECURE": f"{_PROXY}::test_basic_auth_takes_crypted_passwords",
    "MODE": f"{_PROXY}::test_mode_tcp_forwards_connections_as_they_are",
    "MONITOR_PORT": f"{_PROXY}::test_monitor_uri_is_answered_by_the_proxy",
    "MONITOR_URI": f"{_PROXY}::test_monitor_uri_is_answered_by_the_proxy",
    "SKIP_FORWARDED_PROTO": "haproxy/test_forwarded_headers.py::test_what_another_proxy_tells_passes_when_asked_so",
    "PROXY_TRUSTED_PROXIES": "haproxy/test_forwarded_headers.py::test_what_visitors_say_about_themselves_is_replaced",
    "PROXY_ACCEPT_PROXY_FROM": "haproxy/test_proxy_protocol.py::test_balancer_says_for_whom_a_request_is",
    "FORCE_DEFAULT_BACKEND": f"{_PROXY}::test_default_backend_can_be_left_to_proxies_without_virtual_hosts",
    "EXTRA_FRONTEND_SETTINGS_<PORT>": f"{_LINES}::test_routing_sees_the_host_that_a_frontend_line_has_set",
    "EXTRA_FRONTEND_SETTINGS_FILE_<PORT>": f"{_LINES}::test_frontend_lines_come_from_a_file",
    "EXTRA_FRONTEND_SETTINGS_<PORT>_FILE": f"{_LINES}::test_frontend_lines_come_from_a_file",
    "ADDITIONAL_BACKEND_<NAME>": f"{_LINES}::test_backend_of_the_operator_is_used_by_frontend_lines",
    "ADDITIONAL_BACKEND_FILE_<NAME>": f"{_LINES}::test_backend_of_the_operator_comes_from_a_file",
    "PROXY_MODE": f"{_SIMPLE}::test_label_of_the_seed_names_its_addresses",
    "PROXY_NETWORK": "unit/test_whole_model.py::test_network_over_which_a_container_is_reached",
    "ROUTE_LINGER": "unit/test_spec_index.py::test_route_of_a_service_lingers_after_its_last_container",
    "PROXY_ALLOW_EXTRA_SETTINGS": "unit/test_labels.py::test_free_form_labels_can_be_forbidden",
    "DEFAULT_SSL_CERT": f"{_TLS}::test_certificate_of_the_proxy_answers_for_every_host",
    "SSL_CERT": f"{_TLS}::test_certificate_of_the_proxy_answers_for_every_host",
    "EXTRA_SSL_CERTS": f"{_TLS}::test_extra_certificates_of_the_proxy_are_chosen_by_sni",
    "CERT_FOLDER": f"{_TLS}::test_certificates_come_from_a_folder",
    "CA_CERT_FILE": f"{_TLS}::test_clients_must_present_a_certificate_of_the_authority",
    "CA_CERT": f"{_TLS}::test_clients_must_present_a_certificate_of_the_authority",
    "SSL_BIND_OPTIONS": f"{_TLS}::test_tls_options_can_be_set",
    "SSL_BIND_CIPHERS": f"{_TLS}::test_ciphers_can_be_set",
    "MAXCONN": f"{_PROXY}::test_number_of_connections_can_be_set",
    "PROXY_MAXCONN_PER_SOURCE": "haproxy/test_slow_visitors.py::test_one_source_has_a_bounded_number_of_connections",
    "NBTHREAD": f"{_PROXY}::test_number_of_threads_can_be_set",
    "NBPROC": f"{_PROXY}::test_number_of_threads_can_be_set",
    "OPTION": f"{_PROXY}::test_options_of_the_proxy_are_in_force",
    "TIMEOUT": f"{_PROXY}::test_timeouts_that_are_set_are_in_force",
    "EXTRA_GLOBAL_SETTINGS": f"{_LINES}::test_global_lines_are_in_force",
    "EXTRA_GLOBAL_SETTINGS_FILE": f"{_LINES}::test_global_lines_come_from_a_file",
    "EXTRA_DEFAULT_SETTINGS": f"{_LINES}::test_default_lines_are_in_force",
    "EXTRA_DEFAULT_SETTINGS_FILE": f"{_LINES}::test_default_lines_come_from_a_file",
    "EXTRA_BIND_SETTINGS": f"{_LINES}::test_bind_setting_stands_on_its_port",
    "RSYSLOG_DESTINATION": f"{_PROXY}::test_access_log_goes_to_the_syslog_server",
    "STATS_AUTH": f"{_PROXY}::test_statistics_ask_for_the_password_that_is_set",
    "STATS_PORT": f"{_PROXY}::test_statistics_are_on_the_port_that_is_set",
    "RELOAD_TIMEOUT": "haproxy/test_reloads.py::test_request_in_flight_is_cut_after_the_time_that_old_workers_have",
    "HAPROXY_USER": f"{_IMAGE}::test_processes_run_as_haproxy_not_root",
    "HAPROXY_GROUP": f"{_IMAGE}::test_processes_run_as_haproxy_not_root",
    "PROXY_PORT_OFFSET": f"{_PROGRAM}::test_services_of_the_file_are_served_and_followed",
    "PROXY_SOURCES": f"{_PROGRAM}::test_services_of_the_file_are_served_and_followed",
    "PROXY_SERVICES_FILE": f"{_PROGRAM}::test_services_of_the_file_are_served_and_followed",
    "PROXY_STATE_FOLDER": f"{_PROGRAM}::test_state_is_for_its_owner_only",
    "PROXY_TEMPLATES": f"{_PROGRAM}::test_templates_may_be_one_s_own",
    "PROXY_HAPROXY": f"{_PROGRAM}::test_services_of_the_file_are_served_and_followed",
    "PROXY_RESYNC_SECONDS": "unit/test_schedule.py::test_resync_is_due_after_its_time_even_when_other_passes_come_between",
    "PROXY_STOP_SECONDS": "haproxy/test_supervisor.py::test_request_that_never_ends_does_not_hold_the_stop_up",
    "PROXY_CLUSTER": "haproxy/test_cluster.py::test_container_of_another_node_is_routed_from_its_start_to_its_stop",
    "PROXY_CLUSTER_KEY_FILE": f"{_BAD_INPUT}::test_other_key_is_told_on_both_sides_until_it_is_the_same_and_is_never_shown",
    "PROXY_CLUSTER_PORT": "unit/test_cluster_settings.py::test_port_can_be_set",
    "PROXY_ROUTED_NETWORKS": "unit/test_addresses.py::test_address_of_a_container_of_another_node",
    "DEBUG": f"{_PROGRAM}::test_details_are_logged_when_asked_for",
}

_BACKEND = "haproxy/test_backend_settings.py"
_BACKEND_LINES = "haproxy/test_backend_lines.py"

OF_LABELS = {
    "VIRTUAL_HOST": "haproxy/test_routing_matches_reference.py::test_entry_matches_what_the_table_says",
    "VIRTUAL_HOST_WEIGHT": f"{_BACKEND}::test_service_of_a_higher_weight_is_asked_first",
    "required": f"{_BACKEND}::test_required_service_is_the_default_backend",
    "TCP_PORTS": "haproxy/test_tcp.py::test_tcp_port_is_balanced_over_every_service_that_names_it",
    "PORTS": f"{_BACKEND}::test_named_port_gets_the_requests_exposed_or_not",
    "EXCLUDE_PORTS": f"{_BACKEND}::test_excluded_port_gets_no_request",
    "BALANCE": f"{_BACKEND}::test_balance_of_a_service_wins_over_that_of_the_proxy",
    "COOKIE": f"{_BACKEND}::test_cookie_keeps_a_visitor_on_one_server",
    "APPSESSION": f"{_BACKEND}::test_application_s_session_keeps_a_visitor_on_one_server",
    "SSL_CERT": f"{_TLS}::test_certificates_of_services_are_chosen_by_sni",
    "DEFAULT_SSL_CERT": f"{_TLS}::test_default_certificate_of_a_service_is_shown_when_no_sni_matches",
    "FORCE_SSL": f"{_BACKEND}::test_force_ssl_sends_visitors_to_https",
    "HSTS_MAX_AGE": f"{_BACKEND}::test_answers_over_tls_carry_strict_transport_security",
    "GZIP_COMPRESSION_TYPE": f"{_BACKEND}::test_answers_of_the_named_types_are_compressed",
    "HEALTH_CHECK": f"{_BACKEND_LINES}::test_health_check_of_a_service_wins_over_that_of_the_proxy",
    "HTTP_CHECK": f"{_BACKEND_LINES}::test_http_check_asks_what_is_written",
    "OPTION": f"{_BACKEND_LINES}::test_option_of_a_service_wins_over_that_of_the_proxy",
    "EXTRA_ROUTE_SETTINGS": f"{_BACKEND_LINES}::test_text_of_a_service_stands_at_the_end_of_its_server_lines",
    "EXTRA_SETTINGS": f"{_BACKEND_LINES}::test_lines_of_a_service_are_in_force_for_it_alone",
    "EXCLUDE_BASIC_AUTH": f"{_BACKEND}::test_service_can_do_without_basic_auth",
    "FAILOVER": f"{_BACKEND}::test_failover_service_answers_only_when_the_others_are_down",
    "WEIGHT": f"{_BACKEND}::test_visitors_are_shared_by_the_weights_of_services",
    "NETWORK": "unit/test_whole_model.py::test_network_over_which_a_container_is_reached",
}


def has_test(place: str) -> bool:
    """Return whether the test exists."""
    path, _, name = place.partition("::")
    tree = ast.parse((TESTS / path).read_text())
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)


def test_every_variable_has_a_test() -> None:
    # The variables of simple routing are tested with its labels.
    rows = {variable.name for variable in VARIABLES} - {variable.name for variable in SIMPLE_VARIABLES}

    assert rows == OF_VARIABLES.keys()


def test_every_label_has_a_test() -> None:
    assert {label.name for label in LABELS} == OF_LABELS.keys()


def test_named_tests_are_there() -> None:
    assert [] == [place for place in (*OF_VARIABLES.values(), *OF_LABELS.values()) if not has_test(place)]


def test_tests_that_the_page_about_security_names_are_there() -> None:
    page = (TESTS.parent / "docs" / "security.md").read_text()
    named = re.findall(r"`(\w+/\w+\.py::\w+)`", page)

    assert len(named) > 20
    assert [] == [place for place in named if not has_test(place)]
    assert [] == [path for path in re.findall(r"`(\w+/\w+\.py)`", page) if not (TESTS / path).exists()]
