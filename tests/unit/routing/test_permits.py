"""What a route lets through of the requests that it takes."""

import pytest

from proxy.config.models import Route
from proxy.errors import Malformed, MethodNotAllowed, TargetNotAllowed
from proxy.http.head import parse_request_head
from proxy.routing.permits import build_permits


def permit(**lists):
    """Build the permits of a route with these lists."""
    return build_permits(Route(name="api", upstream="https://up.example", credential="core", **lists))


def head(method="GET", *fields):
    """Build a request's head."""
    return parse_request_head("\r\n".join([f"{method} / HTTP/1.1", "Host: localhost", *fields]).encode() + b"\r\n\r\n")


def test_a_route_without_lists_permits_everything():
    """And costs nothing."""
    assert permit() is None


@pytest.mark.parametrize(
    "path", ["/v1/location", "/v1/location/", "/v1/location?caller_id=1", "/v1/location/a%2Fb//c", "/v2/x/y"]
)
def test_what_begins_with_a_permitted_path_goes_through(path):
    """By whole segments; what is behind is data."""
    permit(paths=("/v1/location", "/v2/x/")).check(head(), path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/locations",
        "/V1/location",
        "/v1/%6cocation",
        "/v1//location",
        "/v1/location;x",
        "/v1/location%2f..",
        "/x?/v1/location",
        "/x/../v1/location",
    ],
)
def test_what_does_not_is_refused(path):
    """Other spellings too: only what is listed goes on."""
    with pytest.raises(TargetNotAllowed, match="route api forwards /v1/location/, not /"):
        permit(paths=("/v1/location",)).check(head(), path)


@pytest.mark.parametrize(
    "rest", ["/../users", "/%2e%2e/users", "/..;/users", "/a/..%2f..%2f..", "/%252e%252e/users", "\\..\\users", "/a%00"]
)
def test_what_could_lead_out_of_a_permitted_path_is_refused(rest):
    """As on the way out of a route; by the bytes it may even begin with what is permitted."""
    with pytest.raises((Malformed, TargetNotAllowed)):
        permit(paths=("/v1/location",)).check(head(), f"/v1/location{rest}")


def test_a_method_that_is_not_listed_is_refused_with_those_that_are():
    """RFC 9110, section 15.5.6: the client is told what it may use."""
    permits = permit(methods=("GET", "POST"))
    permits.check(head("POST"), "/")
    with pytest.raises(MethodNotAllowed, match="route api forwards GET, POST, not DELETE; ") as caught:
        permits.check(head("DELETE"), "/")

    assert caught.value.allow == ("GET", "POST")


@pytest.mark.parametrize("method", ["get", "HEAD"])
def test_methods_are_exact(method):
    """They are case-sensitive (RFC 9110, section 9.1), and GET does not imply HEAD."""
    with pytest.raises(MethodNotAllowed):
        permit(methods=("GET",)).check(head(method), "/")


@pytest.mark.parametrize("field", ["X-HTTP-Method-Override", "X_Http_Method"])
def test_a_field_that_asks_for_another_method_counts_as_one(field):
    """Servers that heed it would do what was refused."""
    permits = permit(methods=("GET", "POST"))
    permits.check(head("POST", f"{field}: GET"), "/")
    with pytest.raises(MethodNotAllowed):
        permits.check(head("POST", f"{field}: DELETE"), "/")
