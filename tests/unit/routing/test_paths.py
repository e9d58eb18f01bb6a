"""Prefixes: whole segments by their bytes, and no way out or around."""

import pytest

from proxy.errors import Malformed
from proxy.routing.paths import check_inside, is_odd, normal_form, parse_prefix


@pytest.mark.parametrize("text", ["/ingress/", "/ingress"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/ingress", True),
        ("/ingress/", True),
        ("/ingress?x=1", True),
        ("/ingress/v1/x", True),
        ("/ingress//", True),
        ("/ingress/?", True),
        ("/ingressx", False),
        ("/ingress;x", False),
        ("/ingress%2Fx", False),
        ("/Ingress/", False),
        ("/ingres", False),
        ("/x/ingress/", False),
        ("//ingress/", False),
        ("/?/ingress/", False),
        ("/", False),
        ("*", False),
    ],
)
def test_prefix_takes_whole_segments(text, path, expected):
    """With or without its last slash a prefix means the same: it, its query, and what lies under it."""
    assert parse_prefix(text).is_in(path) is expected


@pytest.mark.parametrize("path", ["/", "/x", "/?x", "//", "/../x", "*"])
def test_root_takes_everything(path):
    """``/`` is every path, OPTIONS's ``*`` included."""
    prefix = parse_prefix("/")

    assert prefix.is_in(path)
    assert not prefix.is_narrow


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("/", "/a/", True),
        ("/a/", "/a", True),
        ("/a", "/a/b", True),
        ("/a/", "/ab", False),
        ("/a/b", "/a/", False),
        ("/a/", "/", False),
        ("/", "/", True),
    ],
)
def test_prefix_covers_what_lies_under_it(wide, narrow, expected):
    """One prefix covers another when each path of the other is one of its own."""
    assert parse_prefix(wide).covers(parse_prefix(narrow)) is expected


@pytest.mark.parametrize("path", ["/a/b-c_d~e/f.g?x=%2e%2e&y=//;z\\", "/", "/a.b/c..", "*", "/a?/../"])
def test_plain_path_is_not_odd(path):
    """Dots within a segment are plain unless they begin it, and a query is nobody's path."""
    assert not is_odd(path)


LEADS_OUT = {
    "a dot segment": "/p/../x",
    "at the end": "/p/..",
    "before the query": "/p/..?x",
    "a single dot": "/p/./x",
    "a single dot at the end": "/p/.",
    "deep": "/p/a/b/../../../x",
    "going down first": "/p/a/../x",
    "behind empty segments": "/p//../x",
    "encoded": "/p/%2e%2e/x",
    "encoded in upper case": "/p/%2E%2E/x",
    "half encoded": "/p/.%2e/x",
    "the other half": "/p/%2e./x",
    "a single one encoded": "/p/%2e/x",
    "encoded twice": "/p/%252e%252e/x",
    "encoded three times": "/p/%25252e%25252e/x",
    "its digits encoded": "/p/%%32%65%%32%65/x",
    "overlong UTF-8": "/p/%c0%ae%c0%ae/x",
    "overlong UTF-8 of three": "/p/%e0%80%ae%e0%80%ae/x",
    "overlong UTF-8 of four": "/p/%F0%80%80%AE%F0%80%80%AE/x",
    "overlong UTF-8 without its mark": "/p/%c0%2e%c0%2e/x",
    "a mixture": "/p/.%c0%ae/x",
    "full-width dots": "/p/%EF%BC%8E%EF%BC%8E/x",
    "one full-width dot": "/p/%ef%bc%8e./x",
    "two dots in one character": "/p/%E2%80%A5/x",
    "Microsoft's escapes": "/p/%u002e%u002E/x",
    "Microsoft's escapes, encoded": "/p/%25u002e%25u002e/x",
    "Microsoft's escapes of full-width dots": "/p/%uff0e%uff0e/x",
    "a full-width percent sign": "/p/%EF%BC%852e%EF%BC%852e/x",
    "before a full-width slash": "/p/..%EF%BC%8Fx",
    "between division slashes": "/p/v%u2215..%u2215x",
    "before a full-width backslash": "/p/..%ef%bc%bcx",
    "NUL in overlong UTF-8": "/p/a%c0%80",
    "with a parameter": "/p/..;a=b/x",
    "with an empty parameter": "/p/..;/x",
    "with an encoded parameter": "/p/..%3Ba/x",
    "encoded with a parameter": "/p/%2e%2e;a/x",
    "before an encoded slash": "/p/..%2fx",
    "before an encoded slash in upper case": "/p/..%2Fx",
    "between encoded slashes": "/p/v%2f..%2fx",
    "behind an encoded slash": "/p/v%2f..",
    "all encoded": "/p/%2e%2e%2fx",
    "a slash encoded twice": "/p/v%252f..%252fx",
    "a slash in overlong UTF-8": "/p/..%c0%afx",
    "before an encoded backslash": "/p/..%5cx",
    "between encoded backslashes": "/p/v%5C..%5Cx",
    "a backslash in overlong UTF-8": "/p/..%c1%9cx",
    "before an encoded question mark": "/p/..%3fx",
    "before an encoded number sign": "/p/..%23x",
    "before an encoded space": "/p/..%20/x",
    "before an encoded tab": "/p/..%09/x",
    "a backslash": "/p/a\\b",
    "dots behind a backslash": "/p\\..\\x",
    "a backslash at the end": "/p/\\",
    "NUL": "/p/a%00",
    "NUL within": "/p/a%00.json",
    "NUL encoded twice": "/p/a%2500",
    "NUL in a parameter": "/p/a;%00",
}


@pytest.mark.parametrize("path", [pytest.param(path, id=name) for name, path in LEADS_OUT.items()])
def test_path_that_could_lead_out_is_refused(path):
    """Each is a spelling that some upstream takes for a path outside ``/p/``, or for a shorter one."""
    assert is_odd(path)
    with pytest.raises(Malformed):
        check_inside(path)


@pytest.mark.parametrize(
    "path",
    [
        "/p/a%2Fb",
        "/p/a%2fb%2F",
        "/p//",
        "/p//a//b",
        "/p/+/%2B/%20",
        "/p/..a/a../.a/...",
        "/p/%2e%2ea",
        "/p/a;b=c;d",
        "/p/a%5Cb",
        "/p/%C3%A9/%E2%82%AC/%e9",
        "/p/%EF%BC%8Ea/%u0041/%u002ejson",
        "/p/%E5%8D%97/%C0x",
        "/p/100%",
        "/p/%zz/%2",
        "/p/%25/%252F",
        "/p/a%3Fb%23c",
        "/p/x?../../%2e%2e/%00\\",
    ],
)
def test_data_behind_the_prefix_passes(path):
    """%2F, +, empty segments, parameters and anything in the query are the client's own business."""
    check_inside(path)


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/a%2fb", "/a/b"),
        ("/a%252Fb/", "/a/b"),
        ("/a%u002fb", "/a/b"),
        ("/%EF%BD%81%EF%BC%8Fb", "/a/b"),
        ("//a//b//", "/a/b"),
        ("/a;x/b;y=z", "/a/b"),
        ("/;x/a", "/a"),
        ("/%61/b?c", "/a/b"),
        ("/c/../a/./b", "/a/b"),
        ("/../../a/b", "/a/b"),
        ("\\a\\b", "/a/b"),
        ("/..", "/"),
        ("/", "/"),
    ],
)
def test_normal_form_is_what_the_most_eager_upstream_reads(path, normal):
    """Decoded, without parameters, without empty and dot segments."""
    assert normal_form(path) == normal
