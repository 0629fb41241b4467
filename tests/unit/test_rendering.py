"""The parts of the configuration's text that do not follow from the model alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from proxy.core.haproxy.rendering import Paths, Renderer
from tests.builders import (
    TEMPLATES,
    make_container,
    make_environment,
    make_model,
    make_renderer,
    make_settings,
    read_certificates,
)


def test_changed_template_of_backends_is_read_again(tmp_path: Path) -> None:
    """The text of each backend is kept, and must be dropped when its template changes."""
    own = tmp_path / "templates"
    shutil.copytree(TEMPLATES, own)
    paths = Paths(runtime_socket=tmp_path / "haproxy.sock", server_state=tmp_path / "server-state")
    renderer = Renderer(make_environment(own), make_settings(), paths)
    model = make_model(make_container(virtual_host="a.com"))
    before = renderer.render_config(model, show_secrets=True)
    template = own / "backend.cfg.j2"

    template.write_text(template.read_text() + "    # our own\n")
    os.utime(template, (1, 1))  # differs from the time of the copy, whatever the steps of the clock

    assert (False, True) == ("# our own" in before, "# our own" in renderer.render_config(model, show_secrets=True))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, ["log stdout format raw local0"], id="standard output"),
        pytest.param(
            {"RSYSLOG_DESTINATION": "10.0.0.9"},
            ["log 10.0.0.9:514 local0", "log 10.0.0.9:514 local1 notice"],
            id="syslog",
        ),
    ],
)
def test_haproxy_logs_where_the_settings_say(tmp_path: Path, variables: dict[str, str], expected: list[str]) -> None:
    config = make_renderer(make_settings(**variables), tmp_path).render_config(make_model(), show_secrets=True)

    assert expected == [line.strip() for line in config.splitlines() if line.startswith("    log ") and "global" not in line]


def test_certificate_of_an_authority_in_a_variable_becomes_a_file(tmp_path: Path) -> None:
    settings = make_settings(CA_CERT="-----BEGIN CERTIFICATE-----\\nAAAA")
    model = make_model(settings=settings, certificates=read_certificates(settings))

    files = make_renderer(settings, tmp_path).render(model).files

    assert ["-----BEGIN CERTIFICATE-----\nAAAA\n"] == [text for name, text in files.items() if "/ca/" in name]
