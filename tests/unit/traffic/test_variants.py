"""The forms that a secret takes."""

import pytest

from proxy.traffic.variants import build_pattern, unescape

SECRET = "a<b>&\"c'd"


@pytest.mark.parametrize(
    "escaped",
    ["a&lt;b&gt;&amp;\"c'd", "a&lt;b>&amp;&quot;c&apos;d", 'a<b>&#38;"c&#x27;d', "a&#x3C;b&gt;&amp;&#034;c'd"],
)
def test_xml_escapes_are_undone_and_found(escaped):
    """A LIS request is XML, and its writers escape as little or as much as they like."""
    assert SECRET in unescape(escaped)
    assert build_pattern(SECRET).fullmatch(escaped)
