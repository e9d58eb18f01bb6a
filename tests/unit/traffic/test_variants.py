"""The forms that a secret takes."""

from proxy.traffic.variants import build_needles


def test_xml_escapes_are_among_the_needles():
    """A LIS request is XML, and its writers escape quotes in different ways."""
    needles = build_needles("a<b>&\"c'd")

    assert {"a&lt;b&gt;&amp;\"c'd", "a&lt;b&gt;&amp;&quot;c&apos;d", "a&lt;b&gt;&amp;&quot;c&#x27;d"} <= set(needles)
