"""The other proxies: each is set up to do what ours does, and as fast as it can."""

from __future__ import annotations

import json

import pytest
from bench.peers import envoy, haproxy, mitmproxy, nginx, tutorial
from bench.peers.peer import Place, RunningPeer
from bench.process import BenchError
from bench.programs import Program, check_indispensable
from bench.proxies import Setting

from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

TOKEN = "a-token-of-some-length"  # a canary


@pytest.fixture
async def build_place(tmp_path):
    """Return what builds a place, towards an upstream over plain HTTP or over TLS."""
    authority = Simulator(SimulatorSettings(client_id="race", client_secret="race-secret"))
    await authority.start()

    def build(*, tls=False):
        upstream = "https://127.0.0.1:9443" if tls else "http://127.0.0.1:9080"
        setting = Setting(upstream, authority, tmp_path, None, tmp_path / "ca.pem" if tls else None)
        return Place(setting, "program", tmp_path, 8000, TOKEN)

    yield build
    await authority.stop()


@pytest.mark.parametrize(
    ("prepare", "file", "signs"),
    [
        (nginx.prepare, "nginx.conf", ("proxy_ssl_verify on;", "proxy_ssl_trusted_certificate {ca};", "https://")),
        (haproxy.prepare, "haproxy.cfg", ("ssl verify required ca-file {ca}", "verifyhost localhost")),
        (envoy.prepare, "envoy.yaml", ('"filename": "{ca}"', '"exact": "localhost"')),
    ],
)
def test_towards_tls_a_peer_verifies_the_certificate(build_place, tmp_path, prepare, file, signs):
    """One that did not would be racing with less to do."""
    prepare(build_place(tls=True))
    config = (tmp_path / file).read_text()

    for sign in signs:
        assert sign.format(ca=tmp_path / "ca.pem") in config


@pytest.mark.parametrize(
    ("prepare", "sign"),
    [
        (mitmproxy.prepare, "ssl_verify_upstream_trusted_ca={ca}"),
        (tutorial.prepare, "{ca}"),
    ],
)
def test_one_that_is_set_up_by_arguments_verifies_too(build_place, tmp_path, prepare, sign):
    """The authority is among its arguments towards TLS, and only there."""
    wanted = sign.format(ca=tmp_path / "ca.pem")

    assert wanted in prepare(build_place(tls=True))
    assert wanted not in prepare(build_place())


def test_envoy_fetches_tokens_itself_and_logs_the_headers(build_place, tmp_path):
    """By client credentials, from the authority that ours asks; one worker thread; the log is JSON."""
    place = build_place()
    command = envoy.prepare(place)
    config = json.loads((tmp_path / "envoy.yaml").read_text())
    (listener,) = config["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    injector = manager["http_filters"][0]["typed_config"]["credential"]["typed_config"]

    assert injector["token_endpoint"]["uri"] == place.setting.token_url
    assert injector["client_credentials"]["client_id"] == "race"
    assert TOKEN not in json.dumps(config)
    assert "%REQ(USER-AGENT)%" in manager["access_log"][0]["typed_config"]["log_format"]["json_format"].values()
    assert command[command.index("--concurrency") + 1] == "1"


def test_nginx_logs_the_request_body_through_a_buffer(build_place, tmp_path):
    """Its body stays in memory, its log is written in pieces of 64 KiB, its upstream's connections are kept."""
    nginx.prepare(build_place())
    config = (tmp_path / "nginx.conf").read_text()

    for sign in ("$request_body", "full buffer=64k;", "keepalive 256;", f'"Bearer {TOKEN}"', "worker_processes 1;"):
        assert sign in config


def test_haproxy_is_one_thread_and_keeps_connections(build_place, tmp_path):
    """And adds the token that it is given."""
    haproxy.prepare(build_place())
    config = (tmp_path / "haproxy.cfg").read_text()

    for sign in ("nbthread 1\n", "http-reuse always", f'set-header Authorization "Bearer {TOKEN}"'):
        assert sign in config


def test_a_log_is_emptied_after_each_round(tmp_path):
    """A race would fill a disk else."""
    log = tmp_path / "access.log"
    log.write_text("something\n")

    RunningPeer("nginx", "log", None, 8000, log).tidy()
    assert log.stat().st_size == 0


def test_a_peer_that_should_log_and_does_not_ends_the_race(tmp_path):
    """It would be racing with less to do."""
    log = tmp_path / "access.log"
    log.touch()

    with pytest.raises(BenchError, match="nginx keeps no log"):
        RunningPeer("nginx", "log", None, 8000, log).tidy()


def test_what_a_bare_machine_lacks_is_named_with_one_command_for_it():
    """Not one after the other."""
    lacking = [Program(f"no-such-{name}", f"apt-get install {name}", ()) for name in ("upstream", "load")]

    with pytest.raises(BenchError, match=r"no-such-upstream and no-such-load .*: apt-get install upstream load\)"):
        check_indispensable(lacking)


def test_a_version_is_not_taken_from_the_path(tmp_path, monkeypatch):
    """Envoy says its path first, and that may have Python's version in it."""
    program = tmp_path / "python3.11" / "envoy"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$0  version: f1a2/1.40.0/Clean"\n')
    program.chmod(0o755)
    monkeypatch.setattr("bench.programs.REPOSITORY", tmp_path)

    assert Program("envoy", "", ("--version",), "python3*/envoy").find_version() == "1.40.0"
