"""The answer's way to the client: what leaves, in which framing, and when."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from proxy.errors import UpstreamProtocol
from proxy.exchange import Exchange
from proxy.http.framing import response_body
from proxy.http.head import parse_request_head, parse_response_head
from proxy.http.problem import build_options_answer
from proxy.relay.answering import MOST_INTERIM, Answering


@dataclass
class Client:
    """Keeps what it is sent; stands for a socket."""

    sent: bytes = b""
    cuts: list[bool] = field(default_factory=list)

    def send(self, data):
        """Keep it."""
        self.sent += data

    def cut(self, *, reset):
        """Note it."""
        self.cuts.append(reset)


def answer(client, version="1.1", *, method="GET", fields="", draining=False):
    """Begin an answer to a request of this kind."""
    exchange = Exchange("x-1", 0.0, 0.0, "cad", "127.0.0.1")
    exchange.request = parse_request_head(f"{method} / HTTP/{version}\r\nHost: a\r\n{fields}\r\n".encode())
    relay = SimpleNamespace(pseudonym="us", log_bytes=1000, is_draining=draining, wall_clock=lambda: 0.0)
    return Answering(relay, client, exchange)


def take(answering, raw, *, method="GET", request_done=True):
    """Hand it an upstream's head."""
    head = parse_response_head(raw)
    answering.take_head(head, response_body(method, head), request_done=request_done)


def test_the_head_waits_for_the_first_of_the_body():
    """Until then the client can still be told in full what went wrong."""
    client = Client()
    answering = answer(client)
    take(answering, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    before = client.sent
    answering.take_body(b"hi")

    assert before == b""
    assert client.sent.endswith(b"\r\nVia: 1.1 us\r\n\r\nhi")


@pytest.mark.parametrize(
    ("version", "raw", "sent", "reset"),
    [
        ("1.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nhi\r\n", False),
        ("1.1", b"HTTP/1.1 200 OK\r\n\r\n", b"2\r\nhi\r\n", False),
        ("1.0", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"\r\n\r\nhi", True),
        ("1.1", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"\r\n\r\nhi", False),
    ],
    ids=["chunked", "by close", "chunked to HTTP/1.0", "by length"],
)
def test_an_answer_cut_short_looks_cut_short(version, raw, sent, reset):
    """No last chunk; and a reset where a mere close would look like the end."""
    client = Client()
    answering = answer(client, version)
    take(answering, raw)
    answering.take_body(b"hi")
    answering.cut()

    assert client.sent.endswith(sent)
    assert client.cuts == [reset]


def test_the_end_of_a_chunked_answer_is_told():
    """By the last chunk, once."""
    client = Client()
    answering = answer(client)
    take(answering, b"HTTP/1.1 200 OK\r\n\r\n")
    answering.take_body(b"hi")
    answering.end()

    assert client.sent.endswith(b"2\r\nhi\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("setting", "request_done", "keeps"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"fields": "Connection: close\r\n"}, True, False),
        ({"version": "1.0"}, True, False),
        ({"version": "1.0", "fields": "Connection: keep-alive\r\n"}, True, True),
        ({"draining": True}, True, False),
    ],
    ids=["plain", "request not done", "asked to close", "HTTP/1.0", "HTTP/1.0 keep-alive", "draining"],
)
def test_the_client_is_told_whether_its_connection_goes_on(setting, request_done, keeps):
    """Nobody could say where the next request begins while this one has not ended."""
    client = Client()
    answering = answer(client, **setting)
    take(answering, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", request_done=request_done)
    answering.take_body(b"")

    assert answering.keeps_alive(request_done=request_done) is keeps
    assert (b"Connection: close" in client.sent) is not keeps


def test_interim_answers_are_relayed_and_bounded():
    """RFC 9110, section 15.2: any number, within reason; HTTP/1.0 knows none."""
    client, old = Client(), Client()
    interim = parse_response_head(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    answering = answer(client)
    for _ in range(MOST_INTERIM):
        answering.take_interim(interim)
    answer(old, "1.0").take_interim(interim)

    assert client.sent.count(b"HTTP/1.1 103 Early Hints\r\n") == MOST_INTERIM
    assert old.sent == b""
    with pytest.raises(UpstreamProtocol):
        answering.take_interim(interim)


def test_nobody_switches_protocols_unasked():
    """RFC 9110, section 15.2.2."""
    with pytest.raises(UpstreamProtocol):
        answer(Client()).take_interim(parse_response_head(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"))


def test_an_answer_of_our_own_to_head_has_no_body():
    """RFC 9110, section 9.3.2."""
    client = Client()
    answer(client, method="HEAD").send_own(build_options_answer(now=0.0), request_done=True)

    assert client.sent.endswith(b"\r\n\r\n")
