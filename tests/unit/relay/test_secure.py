"""TLS under a client's connection, over memory: what one turn takes, and whom it ends."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest
import trustme
from harness.certificates import build_client_tls, write_pair
from harness.forged_records import DATA, Forger, MemoryClient
from structlog.testing import capture_logs

from proxy.certificates import read_server_tls
from proxy.config.models import ListenerTLS
from proxy.relay.handshakes import MOST_S, Handshakes
from proxy.relay.secure import MOST_ANSWERS, MOST_EMPTY, MOST_IGNORED, SecureConnection
from proxy.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Socket(asyncio.Transport):
    """The transport of a socket, as memory."""

    def __init__(self) -> None:
        """Begin with nothing sent."""
        super().__init__()
        self.sent = b""
        self.is_paused = self.is_closed = False

    def write(self, data: Any) -> None:
        """Keep it."""
        self.sent += data

    def take(self) -> bytes:
        """Return what was sent since this was last asked."""
        sent, self.sent = self.sent, b""
        return sent

    def pause_reading(self) -> None:
        """Note it."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Note it."""
        self.is_paused = False

    def is_closing(self) -> bool:
        """Return whether it was closed."""
        return self.is_closed

    def abort(self) -> None:
        """Note it."""
        self.is_closed = True

    close = write_eof = abort


class Behind(asyncio.Protocol):
    """What speaks behind the TLS."""

    address = "10.0.0.7"

    def __init__(self) -> None:
        """Begin with nothing received."""
        self.received: list[bytes] = []
        self.certificate: str | None = None
        self.is_secured = self.has_ended = False
        self.transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self.transport = cast("asyncio.Transport", transport)

    def secured(self, certificate: str | None) -> None:
        """Note the client's certificate."""
        self.is_secured, self.certificate = True, certificate

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.received.append(data)

    def eof_received(self) -> bool:
        """Stay, as one that still answers does."""
        self.has_ended = True
        return True


class Listener:
    """One listener's TLS.

    Attributes:
        handshakes: What failed.
    """

    def __init__(self, tls: ListenerTLS, clock: Callable[[], float] = lambda: 0.0) -> None:
        """Read the files."""
        self.context = read_server_tls(tls).context
        self.handshakes = Handshakes("cad", clock)

    def accept(self) -> tuple[SecureConnection, Socket, Behind]:
        """Return a new connection."""
        socket, behind = Socket(), Behind()
        connection = SecureConnection(behind, self.context, self.handshakes, 10.0)  # type: ignore[arg-type]  # it is that to TLS
        connection.connection_made(socket)
        return connection, socket, behind


@pytest.fixture
def authority() -> trustme.CA:
    """Return who vouches for everybody."""
    return trustme.CA()


@pytest.fixture
def pair(tmp_path: Path, authority: trustme.CA) -> dict[str, str]:
    """Return the table of a listener."""
    return write_pair(tmp_path, authority)


@pytest.fixture
def listener(pair: dict[str, str]) -> Listener:
    """Return one that asks for no certificates."""
    return Listener(ListenerTLS(**pair))


@pytest.fixture
def keylog(tmp_path: Path) -> Path:
    """Return where a client's secrets go."""
    return tmp_path / "keylog"


def shake(connection: SecureConnection, socket: Socket, client: MemoryClient) -> None:
    """Do a handshake, as far as it goes."""
    received = b""
    while (data := client.shake(received)) and not socket.is_closed:
        connection.data_received(data)
        received = socket.take()


def open_forged(listener: Listener, authority: trustme.CA, keylog: Path) -> tuple[Any, ...]:
    """Return a connection after its handshake, and what makes its further records."""
    tls = build_client_tls(authority)
    tls.keylog_filename = str(keylog)
    connection, socket, behind = listener.accept()
    shake(connection, socket, MemoryClient(tls))
    socket.take()
    return connection, socket, behind, Forger(keylog)


async def test_small_records_are_taken_over_many_turns(listener: Listener, authority: trustme.CA, keylog: Path) -> None:
    """Ten thousand of a byte come in one read: 84 a turn, the socket unread meanwhile, and none is lost."""
    connection, socket, behind, forger = open_forged(listener, authority, keylog)
    connection.data_received(b"".join(forger.forge(DATA, b"a") for _ in range(10_000)))
    paused = []
    while socket.is_paused:
        paused.append(len(behind.received))
        await asyncio.sleep(0)

    assert {len(part) for part in behind.received[:-1]} == {84}
    assert sum(map(len, behind.received)) == 10_000
    assert paused == list(range(1, len(behind.received)))


async def test_reading_stays_paused_where_the_client_behind_has_paused_it(
    listener: Listener, authority: trustme.CA, keylog: Path
) -> None:
    """What has been read is handed on; the socket is read again when both say so."""
    connection, socket, behind, forger = open_forged(listener, authority, keylog)
    transport = behind.transport
    connection.data_received(b"".join(forger.forge(DATA, b"a") for _ in range(100)))
    transport.pause_reading()
    await asyncio.sleep(0)
    still = socket.is_paused
    transport.resume_reading()

    assert [len(part) for part in behind.received] == [84, 16]
    assert (still, socket.is_paused) == (True, False)


async def test_key_updates_end_the_connection(listener: Listener, authority: trustme.CA, keylog: Path) -> None:
    """Thousands that bring nothing: one turn's worth is answered, then the client is closed and told of."""
    connection, socket, _, forger = open_forged(listener, authority, keylog)
    connection.data_received(b"".join(forger.update_keys() for _ in range(5_000)))

    assert socket.is_closed
    assert len(socket.take()) < 84 * 40
    assert listener.handshakes.failures == {"empty_records": 1}


async def test_some_key_updates_do_no_harm(listener: Listener, authority: trustme.CA, keylog: Path) -> None:
    """As many as are allowed, again and again between bytes: each is answered, and the connection goes on."""
    connection, socket, behind, forger = open_forged(listener, authority, keylog)
    for _ in range(3):
        for _ in range(MOST_EMPTY):
            connection.data_received(forger.update_keys())
        connection.data_received(forger.forge(DATA, b"a"))

    assert behind.received == [b"a"] * 3
    assert not socket.is_closed
    assert listener.handshakes.failures == {}


async def test_answers_that_nobody_reads_end_the_connection(
    listener: Listener, authority: trustme.CA, keylog: Path
) -> None:
    """KeyUpdates between bytes, from a client that takes none of the answers: they do not gather without end."""
    connection, socket, _, forger = open_forged(listener, authority, keylog)
    connection.pause_writing()
    for _ in range(5_000):
        if socket.is_closed:
            break
        connection.data_received(forger.update_keys() + forger.forge(DATA, b"a"))

    assert MOST_ANSWERS < len(socket.take()) < 2 * MOST_ANSWERS
    assert listener.handshakes.failures == {"unread_answers": 1}


async def test_what_follows_close_notify_is_ignored_in_measure(listener: Listener, authority: trustme.CA) -> None:
    """A little is (RFC 8446, section 6.1); who goes on is closed."""
    connection, socket, behind = listener.accept()
    client = MemoryClient(build_client_tls(authority))
    shake(connection, socket, client)
    connection.data_received(client.encrypt(b"GET") + client.end() + bytes(MOST_IGNORED // 2))
    is_open = not socket.is_closed
    connection.data_received(bytes(MOST_IGNORED))
    connection.data_received(bytes(MOST_IGNORED))

    assert (behind.received, behind.has_ended, is_open) == ([b"GET"], True, True)
    assert socket.is_closed
    assert listener.handshakes.failures == {"after_end": 1}


async def test_what_came_before_a_bad_record_is_handed_on(
    listener: Listener, authority: trustme.CA, keylog: Path
) -> None:
    """In the same read: the client sent it, so it is not lost; nothing can be answered, and that is told of."""
    connection, socket, behind, forger = open_forged(listener, authority, keylog)
    with capture_logs() as logs:
        connection.data_received(forger.forge(DATA, b"GET") + b"\x17\x03\x03\x00\x20" + bytes(32))
    socket.take()
    behind.transport.write(b"too late")

    assert (behind.received, socket.is_closed, socket.take()) == ([b"GET"], True, b"")
    assert listener.handshakes.failures == {"bad_record": 1}
    assert [line["event"] for line in logs] == ["tls.failed"]


async def test_handshakes_have_a_part_of_a_turn(pair: dict[str, str], authority: trustme.CA) -> None:
    """Many that come at once are taken over many turns; each turn brings one on at least."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 2 * MOST_S
        return now

    listener = await build(pair, clock)
    tls = build_client_tls(authority)
    accepted = [listener.accept() for _ in range(10)]
    for connection, _, _ in accepted:
        connection.data_received(MemoryClient(tls).shake())
    answered = [sum(bool(socket.sent) for _, socket, _ in accepted)]
    while answered[-1] < 10:
        await asyncio.sleep(0)
        answered.append(sum(bool(socket.sent) for _, socket, _ in accepted))

    assert [after - before for before, after in zip([0, *answered], answered, strict=False)] == [1] * 10
    assert not any(socket.is_paused for _, socket, _ in accepted[:9])


async def test_many_connections_share_a_part_of_a_turn(
    pair: dict[str, str], authority: trustme.CA, keylog: Path
) -> None:
    """When it is used up, each takes a record a turn, as most requests are, and none waits for nothing."""
    now = 0.0
    listener = await build(pair, lambda: now)
    opened = [open_forged(listener, authority, keylog) for _ in range(3)]
    await asyncio.sleep(0)  # which begins another turn
    for connection, _, _, forger in opened:
        connection.data_received(b"".join(forger.forge(DATA, b"a") for _ in range(10)))
        now += 2 * MOST_S
    received = [[len(part) for part in behind.received] for _, _, behind, _ in opened]
    await asyncio.sleep(0)

    assert received == [[10], [1], [1]]
    assert [sum(map(len, behind.received)) for _, _, behind, _ in opened] == [10, 10, 10]
    assert not any(socket.is_paused for _, socket, _, _ in opened)


async def test_handshake_that_goes_on_and_on_is_ended(
    pair: dict[str, str], tmp_path: Path, authority: trustme.CA
) -> None:
    """A client with a chain of hundreds of certificates is closed before OpenSSL reads them."""
    listener, tls = await build_mutual(pair, tmp_path, authority)
    chain = tmp_path / "chain.pem"
    leaf = authority.issue_cert("cad")
    chain.write_bytes(leaf.private_key_and_cert_chain_pem.bytes() + authority.cert_pem.bytes() * 60)
    await in_thread(partial(tls.load_cert_chain, chain), name="chain")
    connection, socket, behind = listener.accept()
    shake(connection, socket, MemoryClient(tls))

    assert listener.handshakes.failures == {"too_long": 1}
    assert (socket.is_closed, behind.is_secured) == (True, False)


async def test_client_shows_its_certificate_at_every_handshake(
    pair: dict[str, str], tmp_path: Path, authority: trustme.CA
) -> None:
    """No session is kept that it could resume, which under TLS 1.2 would hold its certificate in memory for hours."""
    listener, tls = await build_mutual(pair, tmp_path, authority)
    first = MemoryClient(tls)
    shake_out(listener, first)
    second = MemoryClient(tls, first.tls.session)
    behind = shake_out(listener, second)

    assert listener.context.session_stats()["number"] == 0
    assert second.tls.session_reused is False
    assert behind.certificate is not None


async def test_authority_for_clients_may_be_no_root(
    pair: dict[str, str], tmp_path: Path, authority: trustme.CA
) -> None:
    """What stands in the file is trusted as it stands."""
    middle = authority.create_child_ca()
    middle.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    listener = await build({**pair, "client_ca": str(tmp_path / "ca.pem")})
    behind = shake_out(listener, MemoryClient(build_client_tls(authority, middle.issue_cert("cad-7"))))

    assert behind.certificate is not None


async def test_session_does_not_outlive_its_authority(
    pair: dict[str, str], tmp_path: Path, authority: trustme.CA
) -> None:
    """Files that are read anew count at once: a certificate of an authority that was taken out is refused."""
    listener, tls = await build_mutual(pair, tmp_path, authority)
    first = MemoryClient(tls)
    shake_out(listener, first)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    renewed = await build({**pair, "client_ca": str(tmp_path / "ca.pem")})
    with pytest.raises(ssl.SSLError, match="alert"):
        shake_out(renewed, MemoryClient(tls, first.tls.session))

    assert renewed.handshakes.failures == {"client_certificate": 1}


async def build(tls: dict[str, str], clock: Callable[[], float] = lambda: 0.0) -> Listener:
    """Read a listener's files in a thread, as the product does."""
    return await in_thread(partial(Listener, ListenerTLS(**tls), clock), name="certificates")


async def build_mutual(pair: dict[str, str], folder: Path, authority: trustme.CA) -> tuple[Listener, ssl.SSLContext]:
    """Return a listener that asks for certificates, and a client of TLS 1.2 that has one."""
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = build_client_tls(authority, authority.issue_cert("cad-7", not_after=datetime.now(UTC) + timedelta(days=1)))
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    return await build({**pair, "client_ca": str(folder / "ca.pem")}), tls


def shake_out(listener: Listener, client: MemoryClient) -> Behind:
    """Do a handshake, and end the connection well if it went well."""
    connection, socket, behind = listener.accept()
    received = b""
    while data := client.shake(received):
        connection.data_received(data)
        received = socket.take()
    behind.transport.close()
    return behind
