"""The way through the proxy, from bytes to bytes: what goes on is one message to everybody, however it came.

What is asserted of a connection is what the fuzzers assert (tests/fuzz); here its bytes are drawn from the grammar.
"""

from __future__ import annotations

from itertools import pairwise

from fuzz.answers import check_answer
from fuzz.passage import pass_answer, pass_requests
from fuzz.peers import read_requests
from fuzz.requests import NEXT, check_alike, check_passed
from hypothesis import event, given, settings
from hypothesis import strategies as st

TCHAR = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
VCHAR = "".join(map(chr, range(0x21, 0x7F)))
values = st.text(VCHAR + " \t\x80\xe9\xff", max_size=20).map(lambda text: text.strip(" \t").encode("latin-1"))
OTHERS_ACT_ON = {
    *(b"connection", b"content-length", b"expect", b"host", b"max-forwards", b"origin", b"sec-fetch-site"),
    *(b"transfer-encoding", b"upgrade", b"via"),
}
names = st.text(TCHAR, min_size=1, max_size=12).map(str.encode).filter(lambda name: name.lower() not in OTHERS_ACT_ON)
NAMED = [b"X-A: 1\r\n", b"x-b:\t2 \r\n", b"Authorization: Basic QQ==\r\n", b"TE: trailers\r\n", b"Cookie: a=b\r\n"]
CONNECTIONS = [b"Connection: keep-alive\r\n", b"Connection: X-A, authorization\r\n", b"Connection:\r\n"]
lines = st.lists(
    st.sampled_from(NAMED + CONNECTIONS) | st.builds(b"%b: %b\r\n".__mod__, st.tuples(names, values)), max_size=6
).map(b"".join)
methods = st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"])
paths = st.text([c for c in VCHAR if c not in "#%;\\."], max_size=20).map(lambda text: f"/{text}".encode())
bodies = st.binary(max_size=40) | st.sampled_from([NEXT, b"0\r\n\r\n", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
cuts = st.lists(st.integers(0, 900), max_size=12)


def split(data: bytes, places: list[int]) -> list[bytes]:
    """Cut ``data`` at some places; empty pieces are left out, as a socket never gives one."""
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


def frame(draw: st.DrawFn, body: bytes) -> tuple[bytes, bytes]:
    """Return the field that tells where a body ends, and the body framed so."""
    if not draw(st.booleans(), label="chunked"):
        return b"Content-Length: %d\r\n" % len(body), body
    framed, at = b"", 0
    while at < len(body):
        size = draw(st.integers(1, 20))
        piece = body[at : at + size]
        framed += b"%x%b\r\n%b\r\n" % (len(piece), draw(st.sampled_from([b"", b";a=b", b' ; x="y"'])), piece)
        at += size
    return b"Transfer-Encoding: chunked\r\n", framed + b"0\r\n" + draw(st.sampled_from([b"", b"X: y\r\n"])) + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw a request, and its body."""
    body = draw(bodies)
    field, framed = frame(draw, body)
    around = draw(st.tuples(lines, lines))
    first = b"%b %b HTTP/1.1\r\nHost: cad\r\n" % (draw(methods), draw(paths))
    return first + around[0] + field + around[1] + b"\r\n" + framed, body


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw an answer with a body, and the body."""
    body = draw(bodies)
    field, framed = frame(draw, body)
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\nLink: </a>\r\n\r\n"]))
    status = draw(st.sampled_from([200, 201, 301, 404, 500, 599]))
    return interim + b"HTTP/1.1 %d x\r\n" % status + draw(lines) + field + b"\r\n" + framed, body


@given(st.lists(requests(), min_size=1, max_size=3), cuts)
def test_every_request_goes_on_as_one_to_everybody(drawn, places):
    """Pipelined, in any pieces: each is read with its method, path and body, and nothing behind it is lost."""
    stream = b"".join(raw for raw, _ in drawn)

    passage = pass_requests(split(stream, places))

    assert passage.error is None
    assert [passed.body for passed in passage.passed] == [body for _, body in drawn]
    assert all(passed.is_whole for passed in passage.passed)
    for passed in passage.passed:
        check_passed(passed)


@given(requests(), cuts)
def test_a_request_passes_a_second_proxy_unchanged(drawn, places):
    """What goes on is plain to us as well: another proxy of ours, by another name, would send the same."""
    (once,) = pass_requests([drawn[0]]).passed
    sent = once.sent.replace(b"Via: 1.1 rapidsos-proxy", b"Via: 1.1 the-first")

    (again,) = pass_requests(split(sent, places)).passed

    assert again.is_whole
    assert (again.head.method, again.body) == (once.head.method, once.body)
    assert {field for field in once.head.fields if field[0].lower() == "cookie"} == {
        field for field in again.head.fields if field[0].lower() == "cookie"
    }


ODD = [bytes([byte]) for byte in b'\0\t\n\v\f\r ",:;#_\x7f\x80\x85\xa0\xff']
PARTS = [
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"0\r\n\r\n",
    NEXT,
]


@st.composite
def mutants(draw: st.DrawFn, whole: st.SearchStrategy[tuple[bytes, bytes]]) -> bytes:
    """Draw a good message with pieces of it repeated, swapped, taken out, and odd bytes put in."""
    data = bytearray(draw(whole)[0])
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 20)))
        piece = bytes(data[start:end])
        match draw(st.sampled_from(["insert", "delete", "repeat", "swap", "lines"])):
            case "insert":
                data[start:start] = draw(st.sampled_from(ODD + PARTS))
            case "delete":
                del data[start:end]
            case "repeat":
                data[end:end] = piece
            case "swap":
                data[start:end] = piece[len(piece) // 2 :] + piece[: len(piece) // 2]
            case _:
                data = bytearray(b"\r\n".join(draw(st.permutations(bytes(data).split(b"\r\n")))))
    return bytes(data)


@given(mutants(requests()), cuts)
@settings(max_examples=200)
def test_no_byte_of_a_mutant_is_smuggled(stream, places):
    """What goes on of it is read alike by all, and in pieces as at once."""
    whole, cut = pass_requests([stream]), pass_requests(split(stream, places))
    event(f"{len(cut.passed)} went on")

    assert (whole.error is None) == (cut.error is None)
    check_alike(whole.passed, cut.passed, failed=whole.error is not None)
    for passed in cut.passed:
        check_passed(passed)


@given(answers(), st.sampled_from(["GET", "POST"]), st.sampled_from([0, 1]), cuts)
def test_every_answer_reaches_the_client_as_one(drawn, method, minor, places):
    """In any pieces, to HTTP/1.1 and, its chunks taken off, to HTTP/1.0."""
    raw, body = drawn

    answer = pass_answer(method, minor, split(raw, places))

    assert answer.error is None
    assert (answer.body, answer.rest, answer.is_whole) == (body, b"", True)
    check_answer(method.encode(), answer)


@given(mutants(answers()), st.sampled_from(["GET", "HEAD"]), st.booleans(), cuts)
@settings(max_examples=200)
def test_no_client_reads_a_mutant_answer_in_another_way(stream, method, eof, places):
    """What is sent of it means the same to every client, and whether it was cut is seen."""
    answer = pass_answer(method, 1, split(stream, places), eof=eof)
    whole = pass_answer(method, 1, [stream], eof=eof)
    event("refused" if answer.error else "whole" if answer.is_whole else "cut")

    assert (whole.error is None) == (answer.error is None)
    assert whole.error or (whole.body, whole.rest, whole.is_whole) == (answer.body, answer.rest, answer.is_whole)
    if answer.head is not None:
        check_answer(method.encode(), answer)


def test_the_other_parsers_see_what_is_smuggled():
    """Without it, the tests above would prove nothing: a second request inside a first is seen by each."""
    hidden = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + NEXT

    readings = read_requests(hidden)

    assert [len(messages) for messages in readings.values()] == [2, 2, 2]
