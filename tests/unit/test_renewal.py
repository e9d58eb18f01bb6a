"""Certificates that are renewed: when their files are read, and what becomes of those that cannot be used."""

import asyncio
import ssl
import threading
from datetime import UTC, datetime

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from harness.held_file import HeldFile
from harness.running import until
from structlog.testing import capture_logs

from proxy.certificates import read_server_tls
from proxy.config import watch
from proxy.config.models import ListenerTLS
from proxy.config.places import File
from proxy.errors import ConfigError
from proxy.renewal import Renewal, WatchedCertificate, stamp_files

AUTHORITY = trustme.CA()


class Pair:
    """The two files of a listener."""

    def __init__(self, folder):
        """Write a first pair."""
        self.folder = folder
        self.certificate, self.key = folder / "c.pem", folder / "k.pem"
        self.key.touch(mode=0o600)
        self.renew()

    def issue(self):
        """Issue another pair, and write neither."""
        leaf = AUTHORITY.issue_cert("cad.example", not_after=datetime(2034, 1, 1, tzinfo=UTC))
        return leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()

    def renew(self):
        """Write another pair."""
        certificate, key = self.issue()
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(key)

    def table(self, **more):
        """Return the table ``tls``."""
        return ListenerTLS(certificate=str(self.certificate), key=str(self.key), **more)


@pytest.fixture
def pair(tmp_path):
    """Return a pair of files that belong together."""
    return Pair(tmp_path)


def watch_files(tls):
    """Watch the files as they are."""
    paths = [path for path in (tls.certificate, tls.key, tls.client_ca) if path is not None]
    return WatchedCertificate("cad", "listener[cad].tls", paths, stamp_files(paths), lambda: read_server_tls(tls))


def build_listener(tls):
    """Return as much of a listener of the configuration as matters."""
    return type("Listener", (), {"name": "cad", "tls": tls})


def test_nothing_is_read_while_nothing_changes(pair):
    """A look is a stat."""
    watched = watch_files(pair.table())

    assert [watched.look() for _ in range(3)] == [None] * 3


def test_a_new_pair_is_read_when_it_has_stopped_changing(pair):
    """At the second look at which it is the same."""
    watched = watch_files(pair.table())
    pair.renew()
    looks = [watched.look() for _ in range(3)]

    assert looks[0] is None
    assert looks[1].validity.until == "2034-01-01"
    assert looks[2] is None


def test_a_certificate_without_its_key_waits_for_it(pair):
    """The old pair serves on; that is told once, with the fix, and the pair is used when it is whole."""
    watched = watch_files(pair.table())
    certificate, key = pair.issue()
    pair.certificate.write_bytes(certificate)
    with capture_logs() as logs:
        looks = [watched.look() for _ in range(5)]
    pair.key.write_bytes(key)

    assert looks == [None] * 5
    [told] = logs
    assert (told["event"], told["key"], told["used"]) == (
        "certificate.unusable",
        "listener[cad].tls.key",
        "the old one",
    )
    assert [watched.look() is None for _ in range(2)] == [True, False]


def test_a_missing_file_is_told_once(pair):
    """It may be on its way."""
    watched = watch_files(pair.table())
    pair.certificate.unlink()
    with capture_logs() as logs:
        looks = [watched.look() for _ in range(5)]
    pair.renew()

    assert looks == [None] * 5
    assert [line["problem"].endswith("cannot be read (No such file or directory)") for line in logs] == [True]
    assert [watched.look() is None for _ in range(2)] == [True, False]


def test_a_new_key_may_have_a_new_passphrase(pair, tmp_path):
    """Which is read together with it, from its source."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("first")
    passphrase.chmod(0o600)
    watched = watch_files(pair.table(key_password=File(passphrase).read()))
    certificate, key = pair.issue()
    pair.certificate.write_bytes(certificate)
    pair.key.write_bytes(
        serialization.load_pem_private_key(key, None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"second"),
        )
    )
    passphrase.write_text("second")

    assert [watched.look() is None for _ in range(2)] == [True, False]


def test_what_nobody_has_foreseen_is_told_once(pair):
    """With its traceback, and the old pair serves on."""

    def fail():
        raise ZeroDivisionError

    paths = [str(pair.certificate)]
    watched = WatchedCertificate("cad", "listener[cad].tls", paths, stamp_files(paths), fail)
    pair.renew()
    with capture_logs() as logs:
        looks = [watched.look() for _ in range(5)]

    assert looks == [None] * 5
    assert [(line["event"], line["key"], type(line["exc_info"])) for line in logs] == [
        ("certificate.unusable", "listener[cad].tls", ZeroDivisionError)
    ]


@pytest.mark.parametrize("spoil", [lambda pair: pair.key.unlink(), lambda pair: pair.certificate.write_text("x")])
async def test_a_start_without_a_usable_pair_is_refused(pair, spoil):
    """By the key of the configuration."""
    spoil(pair)
    listener = build_listener(pair.table())
    renewal = Renewal([listener])
    with pytest.raises(ConfigError, match=r"listener\[cad\]\.tls\."):
        await renewal.start()
    await renewal.stop()

    assert renewal.find("cad") is None


async def test_what_has_not_changed_is_kept(pair):
    """A reload reads no file again whose listener is as before, and looks at none of a listener that has gone."""
    listener = build_listener(pair.table())
    renewal = Renewal([listener])
    await renewal.start()
    before = renewal.find("cad")
    renewal.use(await renewal.prepare([listener]))
    same = renewal.find("cad")
    renewal.use(await renewal.prepare([]))
    gone = renewal.find("cad")
    await renewal.stop()

    assert same is before
    assert gone is None
    assert list(renewal.statuses()) == []


@pytest.fixture
def passphrase(tmp_path):
    """Return one that is read whenever the key is, though it is not needed."""
    path = tmp_path / "passphrase"
    path.touch(0o600)
    path.write_text("not needed")
    return File(path).read()


@pytest.fixture
async def renewing(pair, passphrase, monkeypatch):
    """Return what watches a listener, that listener, and what holds up the look that is reading its new files."""
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    listener = build_listener(pair.table(key_password=passphrase))
    renewal = Renewal([listener])
    await renewal.start()
    held = HeldFile(passphrase.place.path)
    pair.renew()
    await until(held.is_read)
    yield renewal, listener, held
    await renewal.stop()


async def test_what_was_read_for_former_settings_is_not_used(renewing, pair, tmp_path):
    """A reload may come in the middle of a look; from then on nobody is let in without a certificate."""
    renewal, _, held = renewing
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.cert_pem.bytes())
    former = [thread for thread in threading.enumerate() if thread.name == "watched files"]
    stricter = build_listener(pair.table(client_ca=str(tmp_path / "ca.pem")))
    renewal.use(await renewal.prepare([stricter]))
    held.give(b"not needed")
    await until(lambda: not any(thread.is_alive() for thread in former))
    await asyncio.sleep(0)

    assert renewal.find("cad").context.verify_mode is ssl.CERT_REQUIRED


async def test_a_reload_loses_no_renewal(renewing):
    """What is being read is used, where the listener is as before."""
    renewal, listener, held = renewing
    before = renewal.find("cad").tls
    renewal.use(await renewal.prepare([listener]))
    held.give(b"not needed")

    await until(lambda: renewal.find("cad").tls is not before)


async def test_files_that_cannot_be_used_leave_what_is_kept(pair, tmp_path):
    """They are told by the key, and nothing has changed."""
    listener = build_listener(pair.table())
    renewal = Renewal([listener])
    await renewal.start()
    before = renewal.find("cad")
    wrong = pair.table().model_copy(update={"certificate": str(tmp_path / "none")})
    with pytest.raises(ConfigError, match=r"listener\[cad\]\.tls\.certificate"):
        await renewal.prepare([build_listener(wrong)])
    await renewal.stop()

    assert renewal.find("cad") is before
