"""The forms that a secret takes."""

import pytest

from proxy.traffic.fold import fold
from proxy.traffic.variants import build_folded, build_needles

SECRET = "a<b>&\"c'dé€"


@pytest.mark.parametrize(
    "escaped",
    [
        "a&lt;b&gt;&amp;\"c'd\u00e9\u20ac",
        "a&lt;b>&amp;&quot;c&apos;d&#233;&#8364;",
        'a<b>&#38;"c&#x27;d&#xe9;&#x20ac;',
        "a&#x3C;b&gt;&amp;&#034;c'd&#xE9;&#x20AC;",
        "a<b>&\\\"c'd\\u00E9\\u20AC",
        "a%3Cb%3E%26%22c%27d%C3%A9%e2%82%ac",
    ],
)
def test_what_is_not_ascii_is_found_in_every_spelling(escaped):
    """A LIS request is XML, and its writers escape as little or as much as they like."""
    folded = fold(escaped.encode())

    assert any(form in folded for form in build_folded(SECRET))


@pytest.mark.parametrize("secret", ["\\\\\\\\\\\\", "%%%%%%", "%\\%\\%\\\\"])
def test_of_a_secret_of_escapes_alone_the_escaped_forms_are_needles(secret):
    """Folded, nothing is left of it to be sought."""
    assert build_folded(secret) == set()
    assert {secret, secret.replace("\\", "%5C"), secret.replace("\\", "\\\\")} & set(build_needles(secret))
