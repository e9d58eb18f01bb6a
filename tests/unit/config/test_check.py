"""What keys must be to each other."""

import time

import pytest
import trustme

from proxy.ca.founding import found_authority

TOKEN_URL = "https://api-sandbox.rapidsos.com/oauth/token"
SECRET = {"env": "CORE_SECRET"}


@pytest.mark.parametrize("bind", ["0.0.0.0:8080", "10.20.0.5:8080", "[::]:8080", "[fd00::5]:8080"])
def test_a_bind_beyond_loopback_needs_allow(refuse, build, sound, bind):
    """Whoever reaches the proxy is RapidSOS's customer."""
    sound["listener"][0]["bind"] = bind

    told = refuse(sound)
    sound["listener"][0]["allow"] = ["10.20.0.0/16"]

    assert f"test.toml: listener[cad].allow: is missing: whoever reaches {bind} would speak to RapidSOS as you" in told
    assert str(build(sound).listener[0].bind) == bind


@pytest.mark.parametrize("bind", ["127.0.0.1:8080", "127.0.0.2:8080", "[::1]:8080"])
def test_a_bind_to_loopback_does_not(build, sound, bind):
    """This machine is trusted to be itself."""
    sound["listener"][0]["bind"] = bind

    assert build(sound).listener[0].allow == ()


def test_no_listener_is_refused(refuse, sound):
    """A list may be there and be empty."""
    sound["listener"] = []

    assert "test.toml: listener: is empty: no client could connect" in refuse(sound)


def test_two_listeners_cannot_share_a_port(refuse, sound):
    """The second would fail at start."""
    sound["listener"].append({"name": "b", "bind": "0.0.0.0:8080", "allow": ["10.0.0.0/8"]})

    assert "test.toml: listener[b].bind: 0.0.0.0:8080 is taken by listener[cad].bind" in refuse(sound)


def test_the_admin_listener_cannot_share_a_port(refuse, sound):
    """It is a listener as well."""
    sound["listener"][0]["bind"] = "127.0.0.1:9090"

    assert "test.toml: admin.bind: 127.0.0.1:9090 is taken by listener[cad].bind" in refuse(sound)


@pytest.mark.parametrize("bind", ["0.0.0.0:9090", "10.20.0.5:9090", "[::]:9090"])
def test_the_admin_listener_stays_on_this_machine(refuse, sound, bind):
    """Its login would cross the network in plain text."""
    sound["admin"] = {"bind": bind}

    told = refuse(sound)

    assert f"test.toml: admin.bind: {bind} can be reached from other machines" in told
    assert "write 127.0.0.1:9090, and reach it through an SSH tunnel" in told


@pytest.mark.parametrize("bind", ["0.0.0.0:9091", "10.20.0.5:9091", "[::]:9091"])
def test_the_health_address_may_be_reached_from_other_machines(build, sound, bind):
    """It shows no secret, and probes need no login."""
    sound["admin"] = {"health_bind": bind}

    assert str(build(sound).admin.health_bind) == bind


@pytest.mark.parametrize(
    ("bind", "taken_by"), [("0.0.0.0:8080", "listener[cad].bind"), ("127.0.0.1:9090", "admin.bind")]
)
def test_the_health_address_cannot_share_a_port(refuse, sound, bind, taken_by):
    """It is one more."""
    sound["admin"] = {"health_bind": bind}

    assert f"test.toml: admin.health_bind: {bind} is taken by {taken_by}" in refuse(sound)


@pytest.mark.parametrize(
    ("credential", "told"),
    [
        ({"grant": "client_credentials"}, ["client_id", "client_secret", "token_url"]),
        ({"grant": "password", "token_url": TOKEN_URL}, ["client_id", "client_secret", "password", "username"]),
        ({"grant": "basic", "username": "u"}, ["password"]),
    ],
)
def test_what_a_grant_needs_must_be_there(refuse, sound, credential, told):
    """Each key that is missing is told."""
    sound["credential"]["core"] = credential

    message = refuse(sound)

    assert message.count(f'is missing, and grant "{credential["grant"]}" needs it') == len(told)
    assert all(f"credential.core.{key}: is missing" in message for key in told)


@pytest.mark.parametrize(
    ("credential", "superfluous"),
    [
        (
            {
                "grant": "client_credentials",
                "token_url": TOKEN_URL,
                "client_id": "a",
                "client_secret": SECRET,
                "username": "u",
            },
            "username",
        ),
        ({"grant": "basic", "username": "u", "password": SECRET, "token_url": TOKEN_URL}, "token_url"),
        ({"grant": "basic", "username": "u", "password": SECRET, "client_id": "a"}, "client_id"),
        ({"grant": "basic", "username": "u", "password": SECRET, "scope": "a"}, "scope"),
        ({"grant": "basic", "username": "u", "password": SECRET, "request": "form"}, "request"),
    ],
)
def test_what_a_grant_has_no_use_for_is_refused(refuse, sound, credential, superfluous):
    """A key without effect is a misunderstanding."""
    sound["credential"]["core"] = credential

    told = f'credential.core.{superfluous}: has no meaning with grant "{credential["grant"]}"'

    assert told in refuse(sound)


def test_every_grant_can_be_complete(build, sound):
    """What is needed, and no more."""
    sound["credential"] |= {
        "user": {
            "grant": "password",
            "token_url": "https://api-sandbox.rapidsos.com/oauth/v2/token",
            "client_id": "a",
            "client_secret": SECRET,
            "username": {"env": "CORE_SECRET"},
            "password": SECRET,
        },
        "lis": {"grant": "basic", "username": "u", "password": SECRET},
    }

    assert set(build(sound).credential) == {"core", "user", "lis"}


@pytest.mark.parametrize("name", ["client_secret", "grant_type", "scope"])
def test_extra_cannot_replace_what_the_proxy_sends_itself(refuse, sound, name):
    """Two values of one parameter would be read as either."""
    sound["credential"]["core"]["extra"] = {name: "x"}

    assert f"credential.core.extra.{name}: is a parameter that the proxy sends by itself" in refuse(sound)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("api-sandbox.rapidsos.com/oauth/token", "it does not begin with https://"),
        ("ftp://api-sandbox.rapidsos.com/", "it does not begin with https://"),
        ("https:///oauth/token", "the host is empty"),
        ("https://api-sandbox.rapidsos.com:99999/", "a port is a number from 1 to 65535"),
        ("https://id:canary@api-sandbox.rapidsos.com/oauth/token", "a user name or password before the host"),
        ("https://api-sandbox.rapidsos.com/oauth/token#x", "it has a space, a # or an invisible character"),
        ("https://api-sandbox.rapidsos.com/oauth token", "it has a space, a # or an invisible character"),
    ],
)
def test_a_token_url_is_a_url(refuse, sound, url, told):
    """And a login in it is not repeated."""
    sound["credential"]["core"]["token_url"] = url

    message = refuse(sound)

    assert f"test.toml: credential.core.token_url: is not the URL of a token endpoint: {told}" in message
    assert "canary" not in message


def test_a_client_secret_does_not_travel_in_the_clear(refuse, build, sound):
    """Unless the file says that it may."""
    credential = sound["credential"]["core"]
    credential["token_url"] = "http://tokens.example/oauth/token"

    told = refuse(sound)
    credential["allow_plain_http"] = True

    assert "credential.core.token_url: is plain http: tokens.example would get the client secret in the clear" in told
    assert build(sound).credential["core"].allow_plain_http


@pytest.mark.parametrize("host", ["127.0.0.1:9911", "localhost:9911", "[::1]:9911", "LOCALHOST"])
def test_a_token_server_on_this_machine_may_be_plain_http(build, sound, host):
    """For the simulator."""
    sound["credential"]["core"]["token_url"] = f"http://{host}/oauth/token"

    assert build(sound).credential["core"].token_url == f"http://{host}/oauth/token"


def test_a_token_does_not_travel_in_the_clear(refuse, build, sound):
    """The upstream is held to the same rule."""
    route = sound["route"][0]
    route["upstream"] = "http://upstream.example"

    told = refuse(sound)
    route["allow_plain_http"] = True

    assert "route[ingress].upstream: is plain http: upstream.example would get the token in the clear" in told
    assert build(sound).route[0].allow_plain_http


@pytest.mark.parametrize(
    ("upstream", "problem"),
    [
        (
            "https://api-sandbox.rapidsos.com/v1",
            "is not an upstream: an upstream is https://host or https://host:port,",
        ),
        ("api.rapidsos.com", "is not an upstream: an upstream is https://host or https://host:port,"),
        ("wss://a.example", "is not an upstream: an upstream is https://host or https://host:port,"),
        (
            "https://user:hunter2@a.example",
            "is not an upstream: a user name or password before the host is not allowed",
        ),
        (5, "is not a text"),
    ],
)
def test_an_upstream_is_scheme_host_and_port(refuse, sound, upstream, problem):
    """What else was written could hold a login, and is not quoted."""
    sound["route"][0]["upstream"] = upstream

    told = refuse(sound)

    assert f"test.toml: route[ingress].upstream: {problem}" in told
    assert "hunter2" not in told


def test_two_listeners_cannot_share_a_name(refuse, sound):
    """A route or a record could mean either."""
    sound["listener"].append({"name": "cad", "bind": "127.0.0.1:8081"})

    assert "test.toml: listener[cad].name: names two listeners" in refuse(sound)


@pytest.mark.parametrize(
    ("token_url", "upstream", "told"),
    [
        (TOKEN_URL, "https://api.rapidsos.com", "is a production host, and credential core is for sandbox"),
        (
            "https://edx.rapidsos.com/oauth/token",
            "https://edx-sandbox.rapidsos.com",
            "is a sandbox host, and credential core is for production",
        ),
        (TOKEN_URL, "https://api-staging.rapidsos.com", "is a staging host, and credential core is for sandbox"),
    ],
)
def test_sandbox_and_production_are_not_mixed(refuse, sound, token_url, upstream, told):
    """Keys of one are void in the other, and a live centre must not speak to a sandbox."""
    sound["credential"]["core"]["token_url"] = token_url
    sound["route"][0]["upstream"] = upstream

    assert f"test.toml: route[ingress].upstream: {told}" in refuse(sound)


def test_a_basic_credential_is_of_one_environment_too(refuse, sound):
    """It has no token URL; its first route tells."""
    sound["credential"]["lis"] = {"grant": "basic", "username": "u", "password": SECRET}
    for name, host in (("one", "api-sandbox"), ("two", "api")):
        match = {"path": f"/{name}/"}
        route = {"name": name, "match": match, "upstream": f"https://{host}.rapidsos.com", "credential": "lis"}
        sound["route"].append(route)

    assert "route[two].upstream: is a production host, and credential lis is for sandbox" in refuse(sound)


def test_the_environment_of_a_strangers_host_cannot_be_told(build, sound):
    """A gateway of the centre's own may stand before either."""
    sound["route"][0]["upstream"] = "https://gateway.psap.example"

    assert str(build(sound).route[0].upstream) == "https://gateway.psap.example"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://proxy.example:3128", "does not begin with http://"),
        ("socks5://proxy.example:1080", "does not begin with http://"),
        ("proxy.example:3128", "does not begin with http://"),
        ("http://proxy.example", "has no port"),
        ("http://proxy.example:3128/path", "is not a proxy's URL"),
        ("http://user:canary@proxy.example:3128", "holds a login, which would stand in plain text here"),
    ],
)
def test_an_outbound_proxy_is_http_host_and_port(refuse, sound, url, told):
    """And its login has keys of its own."""
    sound["outbound"] = {"proxy": url}

    message = refuse(sound)

    assert f"test.toml: outbound.proxy: {told}" in message
    assert "canary" not in message


@pytest.mark.parametrize(
    ("outbound", "told"),
    [
        ({"proxy": "http://p.example:3128", "username": "u"}, "outbound.password: is missing: a login has both parts"),
        (
            {"proxy": "http://p.example:3128", "password": SECRET},
            "outbound.username: is missing: a login has both parts",
        ),
        ({"username": "u", "password": SECRET}, "outbound.username: has no meaning without outbound.proxy"),
    ],
)
def test_an_outbound_login_is_whole_and_has_a_proxy(refuse, sound, outbound, told):
    """Half a login is a mistake."""
    sound["outbound"] = outbound

    assert f"test.toml: {told}" in refuse(sound)


def test_an_outbound_proxy_with_a_login_is_sound(build, sound):
    """All three keys together."""
    sound["outbound"] = {"proxy": "http://p.example:3128/", "username": "u", "password": SECRET}

    assert build(sound).outbound.password.reveal() == "s3cret-value"


def test_a_certificate_file_is_read_to_see_that_it_is_one(refuse, build, sound, tmp_path):
    """Found by check, not by the first handshake; its path starts from the file."""
    sound["outbound"] = {"ca_file": "ca.pem"}

    missing = refuse(sound)
    (tmp_path / "ca.pem").write_text("no certificate")
    empty = refuse(sound)
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")

    assert f"test.toml: outbound.ca_file: {tmp_path / 'ca.pem'} cannot be read (No such file or directory)" in missing
    assert f"test.toml: outbound.ca_file: {tmp_path / 'ca.pem'} holds no certificate in PEM form" in empty
    assert build(sound).outbound.ca_file == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"line": 2048, "head": 1024}, "limits.line: is more than limits.head, which it is a part of"),
        ({"body": 1024}, "limits.replay: is more than limits.body"),
    ],
)
def test_a_part_is_not_more_than_the_whole(refuse, sound, limits, told):
    """Such a limit would never be the one that holds."""
    sound["limits"] = limits

    assert f"test.toml: {told}" in refuse(sound)


def test_all_files_of_the_log_have_room_for_two(build, refuse, sound):
    """With less, each file would be gone as soon as it is put aside."""
    rotate = {"size": "1 GiB"}

    told = refuse(sound | {"traffic_log": {"rotate": rotate, "retain_size": "2047 MiB"}})
    assert "test.toml: traffic_log.retain_size: has no room for two files of traffic_log.rotate.size" in told
    assert "fix: write at least 2 GiB, or make rotate.size smaller" in told
    assert build(sound | {"traffic_log": {"rotate": rotate, "retain_size": "2 GiB"}}).traffic_log.retain_size == 2 << 30


def test_answers_that_would_count_as_failures_need_something_to_be_counted_by(build, refuse, sound):
    """Statuses alone would have no effect."""
    assert "test.toml: breaker.statuses: has no meaning" in refuse(sound | {"breaker": {"statuses": [503]}})
    assert build(sound | {"breaker": {"statuses": [503], "unanswered": 5}}).breaker.statuses == (503,)


def test_what_the_route_table_objects_to_is_told_by_the_routes_name(refuse, sound):
    """Together with all the rest."""
    sound["route"][0]["credential"] = "cor"
    sound["admin"] = {"bind": "0.0.0.0:9090"}

    told = refuse(sound)

    assert told.startswith("test.toml: 2 problems")
    assert 'test.toml: route[ingress].credential: there is no credential "cor"\n  fix: did you mean "core"?' in told


def persons(sound, **keys):
    """Turn the credential into one of persons; return it."""
    credential = sound["credential"]["core"] = {
        "grant": "password",
        "token_url": "https://api-sandbox.rapidsos.com/oauth/v2/token",
        "client_id": "id",
        "client_secret": SECRET,
        **keys,
    }
    return credential


ALICE = {"alice": {"username": "alice@psap.example", "password": SECRET}}


def test_persons_may_prove_themselves_on_this_machine(build, sound):
    """No password crosses a network; name and password are not the configuration's."""
    persons(sound, from_client="basic")

    assert build(sound).credential["core"].username is None


def test_passwords_cross_no_network_in_clear_unless_told(refuse, build, sound):
    """The listener whose route wants logins must say that its network may see them."""
    persons(sound, from_client="basic")
    sound["listener"][0] |= {"bind": "10.20.0.5:8080", "allow": ["10.20.0.0/16"]}

    assert "listener[cad].allow_plain_http: is false, and passwords for route" in refuse(sound)
    sound["listener"][0]["allow_plain_http"] = True

    assert build(sound).listener[0].allow_plain_http


@pytest.fixture
def pair(tmp_path):
    """Write certificate and key beside the configuration; return the table of a listener that has them."""
    trustme.CA().issue_cert("cad.example").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    return {"certificate": "both.pem", "key": "both.pem"}


def test_passwords_may_come_over_tls(build, sound, pair):
    """They cross the network, and not in clear."""
    persons(sound, from_client="basic")
    sound["listener"][0] |= {"bind": "10.20.0.5:8443", "allow": ["10.20.0.0/16"], "tls": pair}

    assert not build(sound).listener[0].allow_plain_http


def test_files_of_tls_are_looked_at(refuse, sound, pair, tmp_path):
    """Beside the configuration, by the listener's name."""
    sound["listener"][0]["tls"] = pair | {"key": "other.pem"}

    told = refuse(sound)

    assert f"test.toml: listener[cad].tls.key: {tmp_path / 'other.pem'} cannot be read" in told


def test_a_key_password_is_a_secret(refuse, build, sound, pair):
    """In plain text it is refused; from a source it is read, and one that is not there is told of alone."""
    sound["listener"][0]["tls"] = pair | {"key_password": "plain"}
    assert "listener[cad].tls.key_password: is a secret in plain text" in refuse(sound)
    sound["listener"][0]["tls"] = pair | {"key_password": {"env": "NONE"}}
    assert "listener[cad].tls.key_password: env NONE is not set" in refuse(sound)
    sound["listener"][0]["tls"] = pair | {"key_password": SECRET}

    assert build(sound).listener[0].tls.key_password.origin == "env CORE_SECRET"


def test_users_have_their_secrets_read(build, sound):
    """Each from its own source."""
    persons(sound, from_client="header:X-Dispatcher", users=ALICE, clients=["127.0.0.0/8"])
    user = build(sound).credential["core"].users["alice"]

    assert (user.username.reveal(), user.password.origin) == ("alice@psap.example", "env CORE_SECRET")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"from_client": "cookie"}, 'credential.core.from_client: "cookie" is no way to name a person'),
        ({"from_client": "header:Host"}, "has a meaning of its own"),
        ({"from_client": "header:X-User", "clients": ["10.0.0.0/8"]}, "credential.core.users: is missing"),
        ({"from_client": "header:X-User", "users": ALICE}, "credential.core.clients: is missing"),
        ({"from_client": "basic", "users": ALICE}, "credential.core.users: has no meaning"),
        (
            {"from_client": "basic", "username": "u"},
            'core.username: has no meaning with from_client = "basic"',
        ),
        (
            {"from_client": "basic", "grant": "client_credentials"},
            "core.from_client: needs a grant of persons",
        ),
        ({}, 'credential.core.password: is missing, and grant "password" needs it'),
    ],
)
def test_what_is_said_of_persons_must_make_sense(refuse, sound, keys, told):
    """Each with the key and the fix."""
    persons(sound, **keys)

    assert told in refuse(sound)


@pytest.fixture
def intercepting(sound, tmp_path):
    """Return the sound document with a listener that intercepts."""
    founded = found_authority(tmp_path, "Ours", ["rapidsos.com"], time.time(), 1)
    sound["listener"][0]["intercept"] = True
    sound["route"][0]["match"]["host"] = "api-sandbox.rapidsos.com"
    sound["interception"] = {"ca_certificate": founded.certificate_path.name, "ca_key": founded.key_path.name}
    return sound


def test_an_authority_is_found_beside_the_configuration(build, intercepting, tmp_path):
    """Its paths are relative to the file."""
    assert build(intercepting).interception.ca_key == str(tmp_path / intercepting["interception"]["ca_key"])


def test_interception_needs_an_authority_hosts_and_no_tls(refuse, intercepting, pair):
    """Each is told by its key, with the fix."""
    without = {key: value for key, value in intercepting.items() if key != "interception"}
    assert "listener[cad].intercept: needs a local authority\n  fix: add the section [interception]" in refuse(without)
    intercepting["listener"][0]["tls"] = pair
    assert "listener[cad].intercept: does not go with tls" in refuse(intercepting)
    del intercepting["listener"][0]["tls"], intercepting["route"][0]["match"]["host"]
    assert "no route for this listener names a host" in refuse(intercepting)


def test_an_authority_that_nobody_uses_is_told(refuse, intercepting):
    """It may be that `intercept` was forgotten."""
    intercepting["listener"][0]["intercept"] = False

    assert "interception: has no meaning while no listener has intercept = true" in refuse(intercepting)


def test_an_authority_that_clients_would_not_believe_is_refused(refuse, intercepting, tmp_path):
    """For a host beyond its constraints, and with a key that everybody can read."""
    intercepting["route"][0]["match"]["host"] = "lis.example"
    assert "interception.ca_certificate: does not hold for lis.example" in refuse(intercepting)
    (tmp_path / intercepting["interception"]["ca_key"]).chmod(0o604)
    assert "interception.ca_key: " in refuse(intercepting)
