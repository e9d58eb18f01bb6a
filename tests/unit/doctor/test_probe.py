"""The harmless question, and what its answer says."""

import pytest

from proxy.config.models import Route
from proxy.doctor.finding import Place, Verdict, Whose
from proxy.doctor.probe import ALERT, LOCATION, NO_PRODUCT, NOTHING, build_probe, choose_probe, judge_reply

UPSTREAM = Place("upstream", "core")


def route(upstream="https://api.rapidsos.com", **match):
    """Return a route."""
    return Route.model_validate({"name": "r", "upstream": upstream, "credential": "core", "match": match})


@pytest.mark.parametrize(
    ("routes", "probe"),
    [
        ([route()], LOCATION),
        ([route(path="/ingress/"), route(path="/egress/")], LOCATION),
        ([route("https://edx.rapidsos.com")], ALERT),
        ([route("https://edx-sandbox.rapidsos.com")], ALERT),
        ([route("http://127.0.0.1:9912", host="edx-sandbox.rapidsos.com")], ALERT),
        ([route("http://gateway.centre.example", path="/egress/v1/alerts")], ALERT),
    ],
)
def test_the_question_is_one_that_the_host_knows(routes, probe):
    """The alerts host has an API of its own."""
    assert choose_probe(routes, is_tried=True) is probe


def test_a_login_is_not_tried():
    """Whatever the host."""
    assert choose_probe([route("https://edx.rapidsos.com")], is_tried=False) is NOTHING


def test_the_question_is_a_get_without_a_caller():
    """Nothing in it names anybody, and the connection ends with it."""
    assert build_probe(LOCATION, "api.rapidsos.com", "Bearer t") == (
        b"GET /v1/location HTTP/1.1\r\nHost: api.rapidsos.com\r\nAccept: application/json\r\n"
        b"User-Agent: rapidsos-auth-proxy doctor\r\nConnection: close\r\nAuthorization: Bearer t\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("probe", "status", "verdict", "whose"),
    [
        (LOCATION, 400, Verdict.OK, None),
        (LOCATION, 200, Verdict.OK, None),
        (ALERT, 404, Verdict.OK, None),
        (LOCATION, 404, Verdict.WARNING, Whose.RAPIDSOS),
        (LOCATION, 302, Verdict.WARNING, Whose.RAPIDSOS),
        (ALERT, 429, Verdict.WARNING, Whose.RAPIDSOS),
        (LOCATION, 401, Verdict.FAILED, Whose.CONFIGURATION),
        (LOCATION, 403, Verdict.FAILED, Whose.RAPIDSOS),
        (LOCATION, 500, Verdict.FAILED, Whose.RAPIDSOS),
        (NOTHING, 404, Verdict.SKIPPED, None),
        (NOTHING, 502, Verdict.FAILED, Whose.RAPIDSOS),
    ],
)
def test_an_answer_is_judged_by_what_was_asked(probe, status, verdict, whose):
    """What proves nothing is a warning."""
    finding = judge_reply(UPSTREAM, probe, status, b"{}", is_page=False)

    assert (finding.verdict, finding.whose) == (verdict, whose)
    assert f"({status})" in finding.words or f": {status})" in finding.words


def test_a_missing_product_hides_behind_401():
    """RapidSOS's gateway says so in the body alone."""
    body = b'{"fault":{"detail":{"errorcode":"keymanagement.service.' + NO_PRODUCT + b'"}}}'

    finding = judge_reply(UPSTREAM, LOCATION, 401, body, is_page=False)

    assert finding.whose is Whose.RAPIDSOS
    assert finding.words == "the token is good, but has no right to this product (401)"


@pytest.mark.parametrize("status", [200, 302, 403, 404])
def test_a_web_page_is_a_filters(status):
    """No API sends one."""
    finding = judge_reply(UPSTREAM, LOCATION, status, b"<html>", is_page=True)

    assert (finding.verdict, finding.whose) == (Verdict.FAILED, Whose.NETWORK)
