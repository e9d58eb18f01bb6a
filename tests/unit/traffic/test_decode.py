"""What of a body stands in the record."""

import base64
import gzip
import zlib

import pytest

from proxy.exchange import Body
from proxy.http.head import parse_response_head
from proxy.traffic.decode import DECODE_MOST, decompress, describe_body
from proxy.traffic.names import SecretNames


def describe(redactor, data, *fields, cap=65_536, total=None):
    """Describe a body that came with some header fields, ``total`` bytes in all."""
    head = parse_response_head("\r\n".join(("HTTP/1.1 200 OK", *fields, "", "")).encode())
    body = Body()
    body.add_up_to(data, len(data))
    body.total = total or body.total
    return describe_body(body, head, cap, redactor, SecretNames())


@pytest.fixture
def redactor(make_redactor):
    """Return a redactor of one secret."""
    return make_redactor("s3cr3t-w0rd")[0]


def raw_deflate(data):
    """Compress as some servers do for "deflate": without zlib's header."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def test_no_body_is_an_empty_one(redactor):
    """Nothing was seen, and nothing was cut."""
    assert describe(redactor, b"") == {"body": "", "body_encoding": "utf-8", "body_bytes": 0, "body_cut": False}


def test_a_body_within_the_cap_is_whole(redactor):
    """The cap itself is still within it."""
    entries = describe(redactor, b"12345678", cap=8)

    assert entries == {"body": "12345678", "body_encoding": "utf-8", "body_bytes": 8, "body_cut": False}


def test_a_body_beyond_the_cap_is_cut_and_says_so(redactor):
    """The size stays that of the whole."""
    entries = describe(redactor, b"123456789", cap=8)

    assert entries == {"body": "12345678", "body_encoding": "utf-8", "body_bytes": 9, "body_cut": True}


def test_a_body_of_which_the_relay_kept_a_part_is_cut(redactor):
    """What it counted and did not keep is missing."""
    entries = describe(redactor, b"12345678", total=1_000_000)

    assert (entries["body_bytes"], entries["body_cut"]) == (1_000_000, True)


def test_a_cap_of_nothing_keeps_nothing(redactor):
    """The setting bodies = 0."""
    for fields in ((), ("Content-Encoding: gzip",)):
        entries = describe(redactor, b"12345678", *fields, cap=0)

        assert (entries["body"], entries["body_bytes"], entries["body_cut"]) == ("", 8, True)


def test_binary_is_base64(redactor):
    """What is not UTF-8 comes back bit by bit."""
    data = bytes(range(256))

    entries = describe(redactor, data)

    assert entries["body_encoding"] == "base64"
    assert base64.b64decode(entries["body"]) == data


def test_a_secret_in_binary_is_masked(redactor):
    """The rendered line would not show it through Base64."""
    entries = describe(redactor, b"\xff\xfe s3cr3t-w0rd \xff")

    assert base64.b64decode(entries["body"]) == b"\xff\xfe *** \xff"


@pytest.mark.parametrize("cap", [65_536, 50])
@pytest.mark.parametrize("coding", [(), ("Content-Encoding: deflate",)])
def test_secret_fields_of_what_is_not_utf8_are_masked(redactor, cap, coding):
    """Legacy clients write latin-1: one é must not show the password beside it."""
    data = b'{"user":"Jos\xe9","password":"kept-out","x":1} and so on and so on'

    entries = describe(redactor, raw_deflate(data) if coding else data, *coding, cap=cap)

    assert base64.b64decode(entries["body"]).startswith(b'{"user":"Jos\xe9","password":"***","x":1}')


def test_a_secret_that_the_cap_cuts_in_binary_is_masked(redactor):
    """Its beginning is enough."""
    entries = describe(redactor, b"\xff\xfe s3cr3t-w0rd \xff", cap=8)

    assert base64.b64decode(entries["body"]) == b"\xff\xfe ***"


def test_a_character_that_the_cap_splits_is_left_out(redactor):
    """One half of an é does not make the whole body binary."""
    entries = describe(redactor, "abcé".encode(), cap=4)

    assert (entries["body"], entries["body_encoding"]) == ("abc", "utf-8")


def test_a_split_character_at_the_end_of_a_whole_body_is_binary(redactor):
    """It was received like that."""
    assert describe(redactor, "abcé".encode()[:-1])["body_encoding"] == "base64"


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
    ],
)
def test_a_compressed_body_is_shown_decompressed(redactor, coding, compress):
    """The size is that of what was relayed."""
    data = compress(b'{"remarks": "smoke"}' * 9)

    entries = describe(redactor, data, f"Content-Encoding: {coding}")

    assert entries == {
        "body": '{"remarks": "smoke"}' * 9,
        "body_encoding": "utf-8",
        "body_bytes": len(data),
        "body_cut": False,
        "body_decoded": coding.lower(),
    }


def test_identity_is_no_coding(redactor):
    """Some servers say that there is none."""
    assert describe(redactor, b"abc", "Content-Encoding: identity")["body"] == "abc"


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip, br", "pack200-gzip", "aes128gcm"])
def test_what_cannot_be_decompressed_is_withheld(redactor, coding):
    """A secret could hide in it, in Base64 as well."""
    entries = describe(redactor, b"compressed", f"Content-Encoding: {coding}")

    assert entries == {
        "body": None,
        "body_encoding": None,
        "body_bytes": 10,
        "body_cut": True,
        "body_withheld": f"its content coding, {coding}, could not be undone",
    }


def test_two_content_encoding_fields_are_a_list(redactor):
    """Compressed twice, it is not read."""
    entries = describe(redactor, b"abc", "Content-Encoding: gzip", "Content-Encoding: gzip")

    assert entries["body_withheld"] == "its content coding, gzip, gzip, could not be undone"


def test_a_broken_gzip_body_is_withheld(redactor):
    """A body that is not what its header says shows nothing."""
    assert describe(redactor, b"s3cr3t-w0rd", "Content-Encoding: gzip")["body"] is None


def test_a_cut_gzip_body_shows_its_beginning(redactor):
    """The client left, or the cap was reached."""
    text = "".join(map(str, range(20_000)))
    data = gzip.compress(text.encode())

    entries = describe(redactor, data[:5000], "Content-Encoding: gzip", total=len(data))

    assert entries["body_cut"] is True
    assert len(entries["body"]) > 5000
    assert text.startswith(entries["body"])


def test_a_gzip_bomb_gives_no_more_than_the_limit(redactor):
    """Decompression is bounded, however large the cap of bodies is."""
    data = gzip.compress(bytes(50_000_000))

    entries = describe(redactor, data, "Content-Encoding: gzip", cap=100_000_000)

    assert len(entries["body"]) == DECODE_MOST
    assert entries["body_cut"] is True


def test_exactly_the_limit_is_whole(redactor):
    """Nothing was cut off."""
    entries = describe(redactor, gzip.compress(b"a" * 100), "Content-Encoding: gzip", cap=100)

    assert (entries["body"], entries["body_cut"]) == ("a" * 100, False)


def test_of_many_gzip_members_the_first_is_read():
    """Whoever sends thousands of them wants to keep us busy."""
    decoded = decompress("gzip", gzip.compress(b"one") + gzip.compress(b"two") * 1000, 65_536)

    assert (decoded.data, decoded.is_whole) == (b"one", False)


def test_secret_fields_of_a_compressed_body_are_masked(redactor):
    """By name as in any other body."""
    data = gzip.compress(b'{"client_secret": "other"}')

    assert describe(redactor, data, "Content-Encoding: gzip")["body"] == '{"client_secret": "***"}'


ESCAPES = {
    "references": b"&#65;" * 13_000,
    "JSON in URL, many deep": b"%" + b"25" * 8 + b"5Cu0041",
    "binary": b"\xff" + b"&#65;" * 13_000,
}


@pytest.mark.parametrize("data", ESCAPES.values(), ids=ESCAPES)
def test_a_body_of_too_many_escapes_is_withheld(redactor, data):
    """A secret could be in it, and to look would hold up all other clients; what is cut is no exception."""
    reason = "it has too many escapes, or too many inside each other, to be searched for secrets"
    withheld = {"body": None, "body_encoding": None, "body_cut": True, "body_withheld": reason}

    assert describe(redactor, data) == {**withheld, "body_bytes": len(data)}
    assert describe(redactor, data, total=1_000_000) == {**withheld, "body_bytes": 1_000_000}
    assert describe(redactor, gzip.compress(data), "Content-Encoding: gzip")["body_withheld"] == reason


def test_a_body_of_too_many_secret_fields_is_withheld(redactor):
    """Each would have to be masked."""
    entries = describe(redactor, b'{"token":1},' * 5000)

    assert entries["body"] is None
    assert entries["body_withheld"] == "it has too many fields whose values would have to be masked"
