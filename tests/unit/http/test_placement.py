"""A token in the query."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.placement import place_in_query


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1", "/v1?token=T"),
        ("/v1?", "/v1?&token=T"),
        ("/v1?event_types=a,b", "/v1?event_types=a,b&token=T"),
        ("/v1?a=%2F+&&a=1", "/v1?a=%2F+&&a=1&token=T"),
        ("/v1?a?b=c", "/v1?a?b=c&token=T"),
    ],
)
def test_the_token_comes_behind_what_the_client_asked_for(path, expected):
    """And not a byte of that is changed."""
    assert place_in_query(path, "token", "T") == expected


@pytest.mark.parametrize("own", ["token=mine", "token", "Token=mine", "%74oken=mine", "+token=mine", "token=1&token=2"])
def test_the_clients_own_is_taken_out(own):
    """Two of them would be a guess of the upstream's."""
    assert place_in_query(f"/v1?a=1&{own}&b=2", "token", "T") == "/v1?a=1&b=2&token=T"
    assert place_in_query(f"/v1?{own}", "token", "T") == "/v1?token=T"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1?a=1;token=mine", "/v1?a=1&token=T"),
        ("/v1?token=mine;b=2", "/v1?b=2&token=T"),
        ("/v1?a=1;b=2", "/v1?a=1;b=2&token=T"),
    ],
)
def test_a_semicolon_parts_parameters_too(path, expected):
    """Some servers read it so."""
    assert place_in_query(path, "token", "T") == expected


def test_other_parameters_that_look_alike_stay():
    """Only the name itself counts."""
    assert place_in_query("/v1?tokens=1&my_token=2", "token", "T") == "/v1?tokens=1&my_token=2&token=T"


@given(st.text(alphabet="abcXYZ019-._~+/=", min_size=1))
def test_the_upstream_reads_the_token_that_we_have(token):
    """Whatever of RFC 6750's characters is in it."""
    assert parse_qsl(place_in_query("/v1?a=b", "token", token).partition("?")[2])[-1] == ("token", token)
