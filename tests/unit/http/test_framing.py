"""Framing: one reading of where a body ends, or none."""

import pytest

from proxy.errors import LengthRequired, Malformed, UpstreamProtocol
from proxy.http.framing import (
    LAST_CHUNK,
    LONGEST_CHUNK_LINE,
    LONGEST_TRAILER,
    ChunkedBody,
    CloseBody,
    LengthBody,
    NoBody,
    build_chunk,
    request_body,
    response_body,
)
from proxy.http.head import parse_request_head, parse_response_head


def request(*fields: bytes, version: bytes = b"1.1"):
    """Parse a POST with these field lines."""
    return parse_request_head(b"\r\n".join([b"POST / HTTP/" + version, b"Host: a", *fields]) + b"\r\n\r\n")


def response(*fields: bytes, status: int = 200, version: bytes = b"1.1"):
    """Parse an answer with these field lines."""
    return parse_response_head(b"\r\n".join([b"HTTP/%b %d x" % (version, status), *fields]) + b"\r\n\r\n")


def feed_byte_by_byte(reader, raw):
    """Feed ``raw`` as the slowest sender would."""
    for position in range(len(raw)):
        reader.feed(raw[position : position + 1])


AMBIGUOUS = {
    "6.1 Transfer-Encoding and Content-Length": (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "6.1 the same, the other way round": (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "6.1 the same, in odd case": (b"cOnTeNt-LeNgTh: 0", b"tRaNsFeR-eNcOdInG: chunked"),
    "6.1 with a length of nothing": (b"Content-Length:", b"Transfer-Encoding: chunked"),
    "6.1 chunked twice": (b"Transfer-Encoding: chunked, chunked",),
    "6.1 chunked twice, in two fields": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "6.1 chunked is not the last": (b"Transfer-Encoding: chunked, gzip",),
    "another coding beside chunked": (b"Transfer-Encoding: gzip, chunked",),
    "another coding in a field of its own": (b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
    "another coding alone": (b"Transfer-Encoding: gzip",),
    "identity": (b"Transfer-Encoding: identity",),
    "identity beside chunked": (b"Transfer-Encoding: chunked, identity",),
    "no coding": (b"Transfer-Encoding:",),
    "an empty entry before": (b"Transfer-Encoding: , chunked",),
    "an empty entry behind": (b"Transfer-Encoding: chunked,",),
    "a parameter": (b"Transfer-Encoding: chunked;q=1",),
    "a quoted coding": (b'Transfer-Encoding: "chunked"',),
    "a longer coding": (b"Transfer-Encoding: xchunked",),
    "a coding cut short": (b"Transfer-Encoding: chunke",),
    "HTAB within": (b"Transfer-Encoding: chunk\ted",),
    "NEL behind": (b"Transfer-Encoding: chunked\x85",),
    "NBSP before": (b"Transfer-Encoding: \xa0chunked",),
    "obs-text behind": (b"Transfer-Encoding: chunked\xff",),
    "6.3 two lengths": (b"Content-Length: 5", b"Content-Length: 6"),
    "6.3 two equal lengths": (b"Content-Length: 5", b"Content-Length: 5"),
    "6.3 a list of lengths": (b"Content-Length: 5, 6",),
    "6.3 a list of equal lengths": (b"Content-Length: 5, 5",),
    "a list with an empty entry": (b"Content-Length: 5,",),
    "no length": (b"Content-Length:",),
    "a plus": (b"Content-Length: +5",),
    "a minus": (b"Content-Length: -5",),
    "minus zero": (b"Content-Length: -0",),
    "hex": (b"Content-Length: 0x5",),
    "hex digits": (b"Content-Length: a",),
    "an exponent": (b"Content-Length: 5e1",),
    "a fraction": (b"Content-Length: 5.0",),
    "an underscore": (b"Content-Length: 1_0",),
    "SP within": (b"Content-Length: 1 0",),
    "a parameter of a length": (b"Content-Length: 5;x",),
    "quotes": (b'Content-Length: "5"',),
    "SUPERSCRIPT TWO": (b"Content-Length: \xb2",),
    "ARABIC-INDIC DIGIT FIVE": ("Content-Length: \u0665".encode(),),
    "NBSP behind": (b"Content-Length: 5\xa0",),
    "2**64, the overflow to 0": (b"Content-Length: 18446744073709551616",),
    "2**64 + 5, the overflow to 5": (b"Content-Length: 18446744073709551621",),
    "2**63": (b"Content-Length: 9223372036854775808",),
    "a hundred digits": (b"Content-Length: " + b"9" * 100,),
    "five thousand digits": (b"Content-Length: " + b"0" * 5000,),
    "a word": (b"Content-Length: five",),
}


@pytest.mark.parametrize("fields", [pytest.param(fields, id=name) for name, fields in AMBIGUOUS.items()])
def test_length_that_could_be_read_two_ways_is_refused(fields):
    """RFC 9112, sections 6.1 and 6.3, the strict choice each time: 400 for a client, 502 for an upstream."""
    with pytest.raises(Malformed):
        request_body(request(*fields))
    with pytest.raises(UpstreamProtocol):
        response_body("GET", response(*fields))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_ambiguous_answer_is_refused_even_without_a_body(method):
    """An answer whose length is ambiguous shows an upstream out of step; HEAD and 304 do not hide that."""
    for status in (200, 304):
        with pytest.raises(UpstreamProtocol):
            response_body(method, response(b"Content-Length: 5", b"Transfer-Encoding: chunked", status=status))


def test_request_without_fields_has_no_body():
    """RFC 9112, section 6.3, rule 7: neither field means that nothing follows."""
    assert isinstance(request_body(request()), NoBody)


@pytest.mark.parametrize("length", [b"0", b"000"])
def test_length_of_zero_is_no_body(length):
    """Zero bytes are complete at once."""
    assert request_body(request(b"Content-Length: " + length)).is_complete
    assert response_body("GET", response(b"Content-Length: " + length)).is_complete


@pytest.mark.parametrize("value", [b"chunked", b"CHUNKED", b"Chunked \t"])
def test_chunked_is_read_in_any_case(value):
    """RFC 9112, section 7: codings are case-insensitive."""
    assert isinstance(request_body(request(b"Transfer-Encoding: " + value)), ChunkedBody)
    assert isinstance(response_body("GET", response(b"Transfer-Encoding: " + value)), ChunkedBody)


def test_longest_length_is_read():
    """18 digits are read exactly; limits.body, not the parser, says what is too much."""
    reader = request_body(request(b"Content-Length: 999999999999999999"))

    assert isinstance(reader, LengthBody)
    assert reader.remaining == 999_999_999_999_999_999


def test_coding_in_http_10_is_refused():
    """RFC 9112, section 6.1: a Transfer-Encoding in HTTP/1.0 is faulty framing."""
    with pytest.raises(LengthRequired):
        request_body(request(b"Transfer-Encoding: chunked", version=b"1.0"))
    with pytest.raises(UpstreamProtocol):
        response_body("GET", response(b"Transfer-Encoding: chunked", version=b"1.0"))


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
@pytest.mark.parametrize("field", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: y"])
def test_answer_that_never_has_a_body_has_none(method, status, field):
    """RFC 9112, section 6.3, rule 1: whatever the fields say."""
    assert isinstance(response_body(method, response(field, status=status)), NoBody)


def test_answer_without_fields_ends_with_the_connection():
    """RFC 9112, section 6.3, rule 8; only the end of the connection completes it."""
    reader = response_body("GET", response())
    given = reader.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    before = reader.is_complete
    reader.feed_eof()

    assert isinstance(reader, CloseBody)
    assert given == (b"HTTP/1.1 200 OK\r\n\r\n", b"")
    assert (before, reader.is_complete) == (False, True)


def test_end_of_the_connection_completes_nothing_else():
    """RFC 9112, section 8: a body cut short must never look whole."""
    length, chunked = LengthBody(5), ChunkedBody(UpstreamProtocol)
    length.feed(b"1234")
    chunked.feed(b"4\r\n1234\r\n0\r\n")
    length.feed_eof()
    chunked.feed_eof()

    assert not length.is_complete
    assert not chunked.is_complete


def test_bytes_behind_the_end_are_handed_back():
    """What follows a body is the next message, in every kind of body but the last of a connection."""
    assert NoBody().feed(b"GET") == (b"", b"GET")
    assert LengthBody(2).feed(b"abGET") == (b"ab", b"GET")
    assert ChunkedBody(Malformed).feed(b"2\r\nab\r\n0\r\n\r\nGET") == (b"ab", b"GET")


@pytest.mark.parametrize("make", [NoBody, lambda: LengthBody(1), lambda: ChunkedBody(Malformed)])
def test_complete_body_takes_nothing_more(make):
    """Fed after its end, a reader gives everything back and stays complete."""
    reader = make()
    reader.feed(b"x" if isinstance(reader, LengthBody) else b"0\r\n\r\n")

    assert reader.feed(b"A: b\r\n\r\n") == (b"", b"A: b\r\n\r\n")
    assert reader.is_complete


CHUNKED = {
    "7.1 hex in any case": (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    "7.1 leading zeros": (b"0002\r\nab\r\n000\r\n\r\n", b"ab"),
    "7.1 data that looks like framing": (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    "7.1.1 an extension": (b"2;a=b\r\nab\r\n0;last\r\n\r\n", b"ab"),
    "7.1.1 a quoted extension": (b'2;a="x;y"\r\nab\r\n0\r\n\r\n', b"ab"),
    "7.1.1 BWS around an extension": (b"2 \t; a = b\r\nab\r\n0\r\n\r\n", b"ab"),
    "7.1.2 trailers are dropped": (b"2\r\nab\r\n0\r\nX: y\r\nHost:\r\n\r\n", b"ab"),
    "no data": (b"0\r\n\r\n", b""),
}


@pytest.mark.parametrize(("raw", "body"), [pytest.param(*case, id=name) for name, case in CHUNKED.items()])
def test_chunked_body_is_read(raw, body):
    """Everything that RFC 9112, section 7.1, has is read, and only the data comes out."""
    reader = ChunkedBody(Malformed)

    assert reader.feed(raw) == (body, b"")
    assert reader.is_complete


BAD_CHUNKS = {
    "0x": b"0x2\r\nab\r\n",
    "an underscore": b"1_0\r\n0123456789abcdef\r\n",
    "a plus": b"+2\r\nab\r\n",
    "a minus": b"-2\r\nab\r\n",
    "minus zero": b"-0\r\n\r\n",
    "SP before the size": b" 2\r\nab\r\n",
    "HTAB before the size": b"\t2\r\nab\r\n",
    "SP behind the size": b"2 \r\nab\r\n",
    "VT behind the size": b"2\x0b\r\nab\r\n",
    "no size": b"\r\nab\r\n",
    "an extension without a size": b";a=b\r\nab\r\n",
    "not hex": b"g\r\nab\r\n",
    "a hex suffix": b"2h\r\nab\r\n",
    "a comma": b"2,2\r\nab\r\n",
    "a dot": b"2.0\r\nab\r\n",
    "SUPERSCRIPT TWO": b"\xb2\r\nab\r\n",
    "FULLWIDTH DIGIT TWO": "\uff12\r\nab\r\n".encode(),
    "2**64, the overflow to 0": b"10000000000000000\r\n\r\n",
    "2**64 + 2, the overflow to 2": b"10000000000000002\r\nab\r\n",
    "2**60": b"1000000000000000\r\nab\r\n",
    "LF alone behind the size": b"2\nab\r\n0\r\n\r\n",
    "CR alone behind the size": b"2\rab\r\n0\r\n\r\n",
    "CR CR LF": b"2\r\r\nab\r\n0\r\n\r\n",
    "LF in an extension": b"2;a\nb\r\nab\r\n",
    "CR in an extension": b"2;a\rb\r\nab\r\n",
    "NUL in an extension": b"2;a\0b\r\nab\r\n",
    "an endless extension": b"2;" + b"a" * (LONGEST_CHUNK_LINE + 2),
    "a long extension, ended": b"2;" + b"a" * (LONGEST_CHUNK_LINE + 1) + b"\r\nab\r\n",
    "data longer than its size": b"2\r\nabc\r\n0\r\n\r\n",
    "data shorter than its size": b"3\r\nab\r\n0\r\n\r\n",
    "LF alone behind the data": b"2\r\nab\n0\r\n\r\n",
    "CR alone behind the data": b"2\r\nab\r0\r\n\r\n",
    "nothing behind the data": b"2\r\nab0\r\n\r\n",
    "SP behind the data": b"2\r\nab \r\n0\r\n\r\n",
    "a trailer without a colon": b"0\r\nX\r\n\r\n",
    "a trailer without a name": b"0\r\n: y\r\n\r\n",
    "SP before a trailer's colon": b"0\r\nX : y\r\n\r\n",
    "a folded trailer": b"0\r\nX: y\r\n z\r\n\r\n",
    "SP within a trailer's name": b"0\r\nGET / HTTP/1.1\r\n\r\n",
    "a request line with a colon": b"0\r\nGET http://a/ HTTP/1.1\r\n\r\n",
    "NUL in a trailer": b"0\r\nX: \0\r\n\r\n",
    "LF in a trailer": b"0\r\nX: y\nZ: 1\r\n\r\n",
    "CR in a trailer": b"0\r\nX: y\rZ: 1\r\n\r\n",
    "obs-text in a trailer's name": b"0\r\n\xe9: y\r\n\r\n",
    "LF ends the trailers": b"0\r\n\n",
    "a long trailer": b"0\r\nX: " + b"y" * LONGEST_TRAILER + b"\r\n\r\n",
    "an endless trailer": b"0\r\nX: " + b"y" * (LONGEST_TRAILER + 2),
    "endless short trailers": b"0\r\n" + b"X: y\r\n" * LONGEST_TRAILER,
    "an endless size": b"0" * (LONGEST_CHUNK_LINE + 2),
}


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in BAD_CHUNKS.items()])
@pytest.mark.parametrize("error", [Malformed, UpstreamProtocol])
def test_chunk_off_the_grammar_is_refused(raw, error):
    """RFC 9112, section 7.1, to the letter, however the bytes were cut on their way."""
    with pytest.raises(error):
        ChunkedBody(error).feed(raw)

    with pytest.raises(error):
        feed_byte_by_byte(ChunkedBody(error), raw)


def test_chunks_built_are_chunks_read():
    """What build_chunk frames, a reader takes apart."""
    stream = build_chunk(b"x" * 31) + build_chunk(b"\r\n") + LAST_CHUNK

    assert stream.startswith(b"1f\r\n")
    assert ChunkedBody(UpstreamProtocol).feed(stream) == (b"x" * 31 + b"\r\n", b"")


LONGEST_LINES = {
    "size": b"2;" + b"a" * (LONGEST_CHUNK_LINE - 2) + b"\r\nab\r\n0\r\n\r\n",
    "trailer": b"2\r\nab\r\n0\r\nX:" + b"a" * (LONGEST_TRAILER - 2) + b"\r\n\r\n",
}


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in LONGEST_LINES.items()])
def test_longest_line_is_taken_in_any_split(raw):
    """A line of exactly the limit is good, also where its CR and its LF arrive apart."""
    reader = ChunkedBody(Malformed)
    feed_byte_by_byte(reader, raw)

    assert ChunkedBody(Malformed).feed(raw) == (b"ab", b"")
    assert reader.is_complete


def test_lines_of_chunks_that_outweigh_their_data_are_refused():
    """A few long extensions pass, and any number where the data is as long; an endless run of them does not."""
    line = b"1;" + b"a" * 200 + b"\r\nb\r\n"
    few, many, heavy = ChunkedBody(UpstreamProtocol), ChunkedBody(UpstreamProtocol), ChunkedBody(UpstreamProtocol)

    assert few.feed(line * 50) == (b"b" * 50, b"")
    assert heavy.feed((b"64;" + b"a" * 200 + b"\r\n" + b"b" * 100 + b"\r\n") * 1000)[0] == b"b" * 100_000
    with pytest.raises(UpstreamProtocol, match="much longer than their data"):
        many.feed(line * 200)
