"""A configuration in words."""

import base64
from datetime import UTC, datetime

import trustme

from proxy.ca.founding import found_authority
from proxy.config.describe import build_table, describe

NOW = datetime(2026, 11, 24, tzinfo=UTC).timestamp()


def test_columns_are_as_wide_as_their_widest_cell():
    """Rows may end early."""
    lines = list(build_table([("a", "bb", "c"), ("aaa", "b"), ("", "", "cc")]))

    assert lines == ["  a    bb  c", "  aaa  b", "           cc"]


def test_everything_that_will_happen_is_told_and_no_secret(build, sound):
    """Who may connect, what goes where as whom, where secrets come from, what is dialled."""
    sound["listener"].append({"name": "desk", "bind": "10.0.0.5:80", "allow": ["10.0.0.0/8"], "names": ["cad.example"]})
    sound["credential"]["lis"] = {"grant": "basic", "username": "a-user", "password": {"env": "CORE_SECRET"}}
    match = {
        "path": "/lis/",
        "listener": "desk",
        "host": "cad.example",
        "methods": ["GET", "POST"],
        "clients": ["10.1.0.0/16"],
        "headers": {"X-Agency": "north"},
    }
    upstream = "https://lis.example:8443"
    sound["route"].append(
        {"name": "lis", "match": match, "upstream": upstream, "credential": "lis", "addresses": ["203.0.113.1"]}
    )
    sound["route"][-1] |= {"methods": ["GET"], "paths": ["/lis/v1", "/lis/v2"], "deadline": "20s"}

    told = describe(build(sound), NOW)

    assert "  cad    http://127.0.0.1:8080  this machine only\n" in told
    assert "  desk   http://10.0.0.5:80     10.0.0.0/8                       as cad.example\n" in told
    assert (
        "cad.example/lis/ on desk by GET/POST from 10.1.0.0/16 with X-Agency: north  ->  https://lis.example:8443"
        in told
    )
    assert "  as lis   only GET; only /lis/v1, /lis/v2; within 20s\n" in told
    assert told.index("  ingress  /ingress/") < told.index("  lis      cad.example/lis/")
    assert "  core  client_credentials  https://api-sandbox.rapidsos.com/oauth/token\n" in told
    assert "        client_secret       env CORE_SECRET\n" in told
    assert "  lis   basic               sent with each request\n" in told
    assert told.endswith("Dialled\n  api-sandbox.rapidsos.com:443\n  lis.example:8443 at 203.0.113.1")
    assert "s3cret-value" not in told


def test_the_admin_listeners_are_told(build, sound):
    """Who can reach which."""
    sound["admin"] = {"health_bind": "10.0.0.5:9091"}

    told = describe(build(sound), NOW)

    assert "  admin   http://127.0.0.1:9090  this machine only, with a login\n" in told
    assert "  health  http://10.0.0.5:9091   whoever reaches it: live, ready and metrics, without a login\n" in told


def test_a_listener_of_tls_is_told_with_the_end_of_its_certificate(build, sound, tmp_path):
    """And that its clients need one; what is near its end is a warning."""
    authority = trustme.CA()
    leaf = authority.issue_cert("cad.example", not_after=datetime(2026, 12, 1, tzinfo=UTC))
    leaf.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    sound["listener"][0]["tls"] = {"certificate": "both.pem", "key": "both.pem", "client_ca": "ca.pem"}

    told = describe(build(sound), NOW)

    assert "  cad    https://127.0.0.1:8080  this machine only" in told
    assert "certificate until 2026-12-01: WARNING, it expires in 7 days; clients must have one by " in told


def test_what_goes_through_a_corporate_proxy_is_told_so(build, sound):
    """The firewall's rule is another one then; this machine is reached directly."""
    sound["outbound"] = {"proxy": "http://proxy.example:3128"}
    sound["route"][0]["upstream"] = "http://127.0.0.1:9911"

    told = describe(build(sound), NOW)

    assert "  api-sandbox.rapidsos.com:443 through http://proxy.example:3128" in told
    assert told.splitlines()[-2:] == [
        "  127.0.0.1:9911",
        "  api-sandbox.rapidsos.com:443 through http://proxy.example:3128",
    ]


def test_the_seal_is_told_by_where_its_key_is(build, sound):
    """The key itself is nowhere."""
    key = "00" * 31 + "01"
    sound["traffic_log"] = {"path": "/var/log/traffic.jsonl", "seal": {"key": {"env": "SEAL_KEY"}}}
    told = describe(build(sound, {"CORE_SECRET": "s3cret-value", "SEAL_KEY": key}), NOW)

    assert "  all files have             as much room as they take: traffic_log.retain_size would set a limit\n" in told
    assert "  seal                       each line, with the key of env SEAL_KEY\n" in told
    assert key not in told


def test_the_traffic_log_is_told(build, sound):
    """Where it goes, what of tokens, bodies and fields stands in it, and for how long; what gives way when it fails."""
    by_default = describe(build(sound), NOW)
    sound["traffic_log"] = {
        "path": "/var/log/traffic.jsonl",
        "token": "fingerprint",
        "bodies": 0,
        "mask": ["caller_id", "X-Dispatcher"],
        "when_full": "refuse",
        "rotate": {"size": "512 MiB", "age": "12h"},
        "retain": "30d",
        "retain_size": "20 GiB",
    }
    told = describe(build(sound), NOW)

    assert by_default.partition("Traffic log\n")[2].partition("\n\n")[0].splitlines() == [
        "  to                         standard output",
        "  token                      as it was sent: whoever reads it can use it until it expires",
        "  bodies                     the first 64 KiB of each",
        "  masked                     long-lived secrets, and fields that are named like one",
        "  when it cannot be written  records are dropped, and counted",
    ]
    assert told.partition("Traffic log\n")[2].partition("\n\n")[0].splitlines() == [
        "  to                         /var/log/traffic.jsonl",
        "  token                      by its fingerprint: nobody can use it",
        "  bodies                     none",
        "  masked                     long-lived secrets, and fields that are named like one, caller_id, X-Dispatcher",
        "  when it cannot be written  requests are refused (503)",
        "  a new file                 at 512 MiB, and after 12h",
        "  an old file is removed     after 30d",
        "  all files have             20 GiB at most: the oldest are removed sooner if need be",
        "  seal                       none: whoever can write to the file can change it unseen",
    ]


def test_where_tokens_are_kept_is_told(build, sound):
    """In memory, in a file, or in a Redis, which is dialled."""
    environ = {"CORE_SECRET": "s3cret-value", "STORE_KEY": base64.b64encode(bytes(32)).decode()}
    store = {"redis": "rediss://redis.example/1", "key": {"env": "STORE_KEY"}}

    assert "Tokens are kept\n  in memory\n" in describe(build(sound), NOW)
    told = describe(build(sound | {"store": store}, environ), NOW)

    assert "  in rediss://redis.example/1  encrypted\n" in told
    assert "key: env STORE_KEY" in told
    assert told.endswith("\n  redis.example:6379")
    assert environ["STORE_KEY"] not in told


def test_interception_is_told_with_whose_hosts_and_whose_key(build, sound, tmp_path):
    """And with the authority's end."""
    founded = found_authority(tmp_path, "Ours", ["rapidsos.com"], NOW, 1)
    sound["listener"][0]["intercept"] = True
    sound["route"][0]["match"]["host"] = "api-sandbox.rapidsos.com"
    sound["interception"] = {"ca_certificate": str(founded.certificate_path), "ca_key": str(founded.key_path)}

    told = describe(build(sound), NOW)

    assert "  cad        https:// to api-sandbox.rapidsos.com\n" in told
    assert f"  authority  {founded.certificate_path}, until 2027-11-24\n" in told
    assert f"  key        {founded.key_path}: whoever has it can be these hosts to the clients\n" in told


def test_without_interception_tunnels_are_refused(build, sound):
    """Which is the default, and told."""
    assert "  none: a client that asks for a tunnel (CONNECT) is refused\n" in describe(build(sound), NOW)
