"""What ``[store]`` must be."""

import base64

import pytest

from proxy.config.store import RedisPlace, parse_redis_url

KEY = bytes(range(200, 232))
ENCODED = base64.b64encode(KEY).decode()
ENVIRON = {"CORE_SECRET": "s3cret-value", "STORE_KEY": ENCODED, "REDIS_PASSWORD": "a-password"}
SOURCE = {"env": "STORE_KEY"}


@pytest.fixture
def refuse_store(refuse, sound):
    """Return a function that gives the message with which a ``[store]`` is refused."""
    return lambda **store: refuse(sound | {"store": store}, ENVIRON)


def test_a_file_with_a_key_is_sound(build, sound, tmp_path):
    """Its path starts from the configuration's directory."""
    store = build(sound | {"store": {"file": "tokens", "key": SOURCE}}, ENVIRON).store

    assert store.file == str(tmp_path / "tokens")
    assert repr(store.key) == "***"


@pytest.mark.parametrize("url", ["rediss://redis.psap.example:6380/2", "redis://127.0.0.1", "redis://localhost:6379"])
def test_a_redis_with_a_key_is_sound(build, sound, url):
    """Over TLS, or on this machine."""
    assert build(sound | {"store": {"redis": url, "key": SOURCE}}, ENVIRON).store.redis == url


@pytest.mark.parametrize("place", [{"file": "tokens"}, {"redis": "rediss://redis.example"}])
def test_nothing_is_stored_without_a_key(refuse_store, place):
    """The message has the command that makes one."""
    told = refuse_store(**place)

    assert "test.toml: store.key: is missing" in told
    assert "openssl rand -base64 32" in told


@pytest.mark.parametrize("key", ["", "a passphrase of many words", ENCODED[:-4], ENCODED + "AAAA", "é" * 44])
def test_a_key_is_32_bytes_in_base64(sound, refuse, key):
    """A passphrase could be guessed; the message does not quote what was given."""
    told = refuse(sound | {"store": {"file": "tokens", "key": SOURCE}}, ENVIRON | {"STORE_KEY": key})

    assert "store.key: env STORE_KEY " in told
    assert len(key) < 8 or key not in told


def test_a_key_is_not_written_out(refuse_store):
    """It is a secret like any other."""
    assert "store.key: is a secret in plain text" in refuse_store(file="tokens", key=ENCODED)


def test_there_is_one_store(refuse_store):
    """Two could say two things."""
    told = refuse_store(file="tokens", redis="rediss://redis.example", key=SOURCE)

    assert "store: has both file and redis" in told


def test_a_key_alone_stores_nothing(refuse_store):
    """Whoever gave one expected that something is stored."""
    assert "store.key: has no meaning without store.file or store.redis" in refuse_store(key=SOURCE)


@pytest.mark.parametrize(
    ("key", "value"),
    [("username", "u"), ("password", {"env": "REDIS_PASSWORD"}), ("prefix", "other"), ("allow_plain", True)],
)
def test_what_is_for_redis_needs_redis(refuse_store, key, value):
    """A file has no login."""
    told = refuse_store(**{"file": "tokens", "key": SOURCE, key: value})

    assert f"store.{key}: has no meaning without store.redis" in told


def test_redis_without_tls_stays_on_this_machine(refuse_store, build, sound):
    """Unless the operator says that the network may see the password."""
    store = {"redis": "redis://redis.psap.example", "key": SOURCE}

    told = refuse_store(**store)

    assert "store.redis: is without TLS" in told
    assert build(sound | {"store": store | {"allow_plain": True}}, ENVIRON).store.allow_plain


def test_a_user_needs_a_password(refuse_store):
    """Redis's AUTH has both."""
    told = refuse_store(redis="rediss://redis.example", key=SOURCE, username="u")

    assert "store.password: is missing" in told


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("rediss://Redis.Example", RedisPlace(is_tls=True, host="redis.example", port=6379, database=0)),
        ("redis://[::1]:7000/3", RedisPlace(is_tls=False, host="::1", port=7000, database=3)),
        ("rediss://10.0.0.5:7000/", RedisPlace(is_tls=True, host="10.0.0.5", port=7000, database=0)),
    ],
)
def test_a_redis_url_says_where_it_is(text, place):
    """Scheme, host, port, database."""
    assert parse_redis_url(text) == place


@pytest.mark.parametrize(
    "text", ["", "redis.example:6379", "http://redis.example", "rediss://", "rediss://h/x", "rediss://h:0x1"]
)
def test_what_is_no_redis_url_is_refused(refuse_store, text):
    """With an example of one."""
    assert "write rediss://host:port" in refuse_store(redis=text, key=SOURCE)


def test_a_login_in_the_url_is_refused_and_not_told(refuse_store):
    """It has keys of its own."""
    told = refuse_store(redis="rediss://user:pa55word@redis.example", key=SOURCE)

    assert "store.redis: holds a login" in told
    assert "pa55word" not in told


def test_an_unreadable_key_is_one_problem(refuse, sound):
    """That its value is no key either is not said."""
    told = refuse(sound | {"store": {"file": "tokens", "key": {"env": "NOT_SET"}}}, ENVIRON)

    assert told.count("store.key") == 1


def test_authorities_for_redis_are_looked_at(refuse_store, tmp_path):
    """As those of the way out are."""
    (tmp_path / "ca.pem").write_text("none")

    told = refuse_store(redis="rediss://redis.example", key=SOURCE, ca_file="ca.pem")

    assert f"store.ca_file: {tmp_path / 'ca.pem'} holds no certificate" in told
