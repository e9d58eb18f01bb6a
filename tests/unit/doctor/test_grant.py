"""What a token call came to."""

import pytest

from proxy.config.models import Credential
from proxy.config.secret import Secret
from proxy.doctor.finding import Verdict
from proxy.doctor.grant import explain_fetch, judge_client, judge_token
from proxy.errors import FetchError
from proxy.tokens.answers import ParsedToken
from proxy.tokens.token import NETWORK, REFUSED, STATUS, TIMEOUT, UNREADABLE

HOST = "https://api-sandbox.rapidsos.com"


def credential(**changes):
    """Return a credential that asks for a scope."""
    return Credential.model_validate(
        {
            "grant": "client_credentials",
            "token_url": f"{HOST}/oauth/token",
            "client_id": Secret("a-client-id", "test"),
            "client_secret": Secret("c4nary-of-the-client", "test"),
            "scope": "alerts",
            **changes,
        }
    )


def refusal(code=None):
    """Return a refusal."""
    return FetchError(REFUSED, "the authorization server refused the credential (401)", refused=True, code=code)


def verdicts(findings):
    """Return link and verdict of each finding."""
    return [(finding.label, str(finding.verdict)) for finding in findings]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FetchError(STATUS, "404", status=404), ["failed", "skipped", "skipped", "skipped"]),
        (FetchError(STATUS, "502", status=502), ["failed", "skipped", "skipped", "skipped"]),
        (FetchError(TIMEOUT, "slow"), ["failed", "skipped", "skipped", "skipped"]),
        (FetchError(NETWORK, "cut"), ["failed", "skipped", "skipped", "skipped"]),
        (FetchError(UNREADABLE, "no JSON", status=200), ["failed", "skipped", "skipped", "skipped"]),
        (refusal("invalid_client"), ["ok", "failed", "skipped", "skipped"]),
        (refusal(), ["ok", "failed", "skipped", "skipped"]),
        (refusal("invalid_scope"), ["ok", "ok", "failed", "skipped"]),
    ],
)
def test_what_stands_before_the_broken_link_held(error, told):
    """And what stands behind it was not reached."""
    findings = explain_fetch("core", credential(), error)

    links = ["endpoint core", "grant core", "scope core", "token core"]
    assert verdicts(findings) == list(zip(links, told, strict=True))


def test_an_odd_secret_is_the_cause_of_a_refusal():
    """It stands in the place of the grant, which was never judged on its merits."""
    findings = explain_fetch("core", credential(client_secret=Secret("'c4nary'", "env X")), refusal("invalid_client"))

    assert verdicts(findings)[1:3] == [("secret core", "failed"), ("grant core", "skipped")]
    assert "c4nary" not in f"{findings}"


def test_an_odd_secret_is_not_blamed_for_a_server_that_fails():
    """Nobody has looked at it."""
    findings = explain_fetch("core", credential(client_secret=Secret("'c4nary'", "env X")), FetchError(TIMEOUT, "slow"))

    assert verdicts(findings)[0] == ("endpoint core", "failed")


def test_a_scope_that_nobody_asked_for_is_missing():
    """Some servers refuse to choose one."""
    findings = explain_fetch("core", credential(scope=None), refusal("invalid_scope"))

    assert verdicts(findings) == [("endpoint core", "ok"), ("grant core", "failed"), ("token core", "skipped")]
    assert "ask RapidSOS which scope" in findings[1].fix


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        (f"{HOST}/oauth/token", "sandbox"),
        ("https://api.rapidsos.com/oauth/token", "production"),
        ("https://gateway.example/oauth/token", "right"),
    ],
)
def test_a_refusal_names_the_environment(url, environment):
    """Keys of one are void in the other, and the server only says that it does not know them."""
    broken = explain_fetch("core", credential(token_url=url), refusal("invalid_client"))[1]

    assert f"those of the {environment} environment" in broken.fix
    assert "client_id a-…id" in broken.words


def test_a_secret_in_a_token_url_is_not_shown():
    """Some write one into the query."""
    url = f"{HOST}/token?key=c4nary"
    findings = explain_fetch("core", credential(token_url=url), FetchError(STATUS, "404", status=404))

    assert f"{HOST}/token is no token endpoint (404)" in findings[0].words
    assert "c4nary" not in f"{findings}"


@pytest.mark.parametrize(("life_s", "verdict"), [(60.0, Verdict.OK), (59.0, Verdict.WARNING), (0.0, Verdict.WARNING)])
def test_a_short_life_is_warned_of(life_s, verdict):
    """And what departs from the documentation is told."""
    token = ParsedToken(access_token="abc", life_s=life_s, oddities=("the token is called acces_token",))

    last = judge_token("core", credential(), token)[-1]

    assert last.verdict is verdict
    assert last.words == f"lives {life_s:.0f} s; the token is called acces_token"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, ["ok", "skipped", "skipped", "skipped"]),
        (refusal("invalid_grant"), ["ok", "skipped", "skipped", "skipped"]),
        (refusal("invalid_request"), ["ok", "skipped", "skipped", "skipped"]),
        (FetchError(REFUSED, "400", status=400, refused=True), ["ok", "skipped", "skipped", "skipped"]),
        (FetchError(STATUS, "422", status=422), ["ok", "skipped", "skipped", "skipped"]),
        (FetchError(REFUSED, "401", status=401, refused=True), ["skipped", "skipped", "skipped", "skipped"]),
        (refusal("invalid_client"), ["ok", "failed", "skipped", "skipped"]),
        (refusal("unsupported_grant_type"), ["ok", "failed", "skipped", "skipped"]),
        (refusal("invalid_scope"), ["ok", "ok", "failed", "skipped"]),
        (FetchError(STATUS, "404", status=404), ["failed", "skipped", "skipped", "skipped"]),
        (FetchError(NETWORK, "cut"), ["failed", "skipped", "skipped", "skipped"]),
    ],
)
def test_without_a_person_only_the_client_and_the_endpoint_are_judged(error, told):
    """A grant that nobody's login was tried with is never ok; a refusal that any gateway could give proves nothing."""
    people = credential(grant="password", from_client="basic")

    findings = judge_client("desk", people, error)

    assert [str(finding.verdict) for finding in findings] == told
