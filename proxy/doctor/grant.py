"""What a token call came to, link by link: the endpoint, the credential, the scope, the token.

The rule of this file: pure.  A server says little when it refuses, so the words say what it can have meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.config.environments import tell_environment
from proxy.doctor.finding import STATUS_PAGE, Cause, Place, Whose, skip
from proxy.doctor.secrets import describe_oddities, shorten
from proxy.routing.origin import parse_url_origin
from proxy.tokens import policy
from proxy.tokens.grants import printable_url
from proxy.tokens.token import STATUS, TIMEOUT, UNREADABLE

if TYPE_CHECKING:
    from proxy.config.models import Credential
    from proxy.doctor.finding import Finding
    from proxy.errors import FetchError
    from proxy.tokens.answers import ParsedToken

SHORT_LIFE_S = 60.0
"""RapidSOS's tokens live an hour; one that dies within a minute is fetched anew all day long."""
UNDERSTOOD: Final = frozenset({400, 422})
"""What an endpoint may say to a request that lacks something, with or without a code."""
NOT_AN_ENDPOINT: Final = frozenset({404, 405, 410, 501})
TOO_MANY, FIRST_REDIRECT, FIRST_CLIENT_ERROR, FIRST_SERVER_ERROR = 429, 300, 400, 500
KNOWN_PATHS = ("/oauth/token", "/oauth/v2/token")
_PATHS = "/oauth/token, for people's accounts /oauth/v2/token"
_REFUSAL_FIXES: Final = {
    "unsupported_grant_type": f"correct grant or token_url: the paths are {_PATHS}",
    "unauthorized_client": "ask RapidSOS to allow this client the grant, or correct grant",
    "invalid_request": 'try request = "json" or "form", and client_auth = "basic" or "body": see the interface\'s page',
    "invalid_grant": "correct username and password, and see whether the account is locked",
    "invalid_scope": "ask RapidSOS which scope the interface wants, and set it",
    "access_denied": "ask RapidSOS whether the client is switched on",
}
"""By error code; what is not here is said of the client id and secret."""


def list_places(name: str, credential: Credential) -> tuple[Place, ...]:
    """List the links of a token call; the scope is one where it is asked for."""
    links = ("endpoint", "grant", "scope", "token") if credential.scope is not None else ("endpoint", "grant", "token")
    return tuple(Place(link, name) for link in links)


def judge_token(name: str, credential: Credential, token: ParsedToken) -> tuple[Finding, ...]:
    """Judge a token call that brought a token."""
    told = {
        "endpoint": f"{_show_url(credential)} answers token requests",
        "grant": f"{credential.grant} accepted{_show_client(credential)}",
        "scope": f"{credential.scope} was not refused",
    }
    *before, last = list_places(name, credential)
    return (*(place.ok(told[place.link]) for place in before), _judge_life(last, token))


def _judge_life(place: Place, token: ParsedToken) -> Finding:
    words = "; ".join([f"lives {token.life_s:.0f} s", *token.oddities])
    if token.life_s < SHORT_LIFE_S:
        fix = "ask RapidSOS why: the proxy fetches a new one at half its life, and rides out no outage with it"
        return place.warning(words, fix, Whose.RAPIDSOS)
    return place.ok(words)


def explain_fetch(name: str, credential: Credential, error: FetchError) -> tuple[Finding, ...]:
    """Say which link of a token call broke; those before it held, those after it were not reached."""
    places = {place.link: place for place in list_places(name, credential)}
    if not error.refused:
        broken = _explain_endpoint(places["endpoint"], credential, error)
    elif error.code == "invalid_scope" and "scope" in places:
        broken = _explain_scope(places["scope"], credential, error)
    else:
        broken = _explain_refusal(name, credential, error)
    held = {"endpoint": f"{_show_url(credential)} answers token requests", "grant": "not what was refused"}
    order = list(places)
    at = order.index("grant" if broken.link == "secret" else broken.link)
    before = tuple(places[link].ok(held[link]) for link in order[:at])
    reached = at if broken.link == "secret" else at + 1
    return (*before, broken, *skip([places[link] for link in order[reached:]], Cause(broken.label)))


def judge_client(name: str, credential: Credential, error: FetchError | None) -> tuple[Finding, ...]:
    """Judge a token request that named no person, on behalf of a credential whose persons prove themselves.

    Whether the endpoint is one, and whether it refuses the client, can be tried so; whether it takes a person cannot.

    Args:
        name: Of the credential.
        credential: Without a person.
        error: How the call failed; None where it brought a token all the same.
    """
    if error is not None and not _is_for_want_of_a_person(error):
        return explain_fetch(name, credential, error)
    endpoint, grant, *others = list_places(name, credential)
    status = 200 if error is None else error.status
    if error is None or error.code is not None or status in UNDERSTOOD:
        told = endpoint.ok(f"{_show_url(credential)} answers token requests")
    else:
        told = endpoint.skipped(f"{_show_url(credential)} answers ({status}), but any gateway could say so")
    words = f"the client is not refused{_show_client(credential)} (asked without a person: {status}); a person's login"
    return (
        told,
        grant.skipped(f"{words} is for real requests to try"),
        *skip(others, Cause(f"{grant.link} {grant.subject}", is_broken=False)),
    )


def _is_for_want_of_a_person(error: FetchError) -> bool:
    """Return whether a request that named nobody may have failed for that, and for nothing that we can mend."""
    if error.refused:
        return not policy.is_client_refused(error)
    return error.kind == STATUS and error.status in UNDERSTOOD


def _explain_endpoint(place: Place, credential: Credential, error: FetchError) -> Finding:
    url = _show_url(credential)
    status = error.status or 0
    if error.kind == UNREADABLE:
        fix = f"check token_url: RapidSOS's ends in {_PATHS}; if it is right, report it to RapidSOS"
        return place.failed(f"{url}: {error.detail}", fix, Whose.CONFIGURATION)
    if error.kind == TIMEOUT:
        words = f"{url} takes the connection and gives no answer in time"
        return place.failed(words, STATUS_PAGE, Whose.RAPIDSOS)
    if error.kind != STATUS:
        fix = "check the way there, which held a moment ago: firewall, corporate proxy"
        return place.failed(f"{url}: {error.detail}", fix, Whose.NETWORK)
    if status == TOO_MANY:
        fix = "wait, and look for what else asks for tokens with the same client id"
        return place.failed(f"{url} says that it is asked too often ({status})", fix, Whose.RAPIDSOS)
    if status >= FIRST_SERVER_ERROR and status not in NOT_AN_ENDPOINT:
        return place.failed(f"{url} fails ({status})", STATUS_PAGE, Whose.RAPIDSOS)
    what = "leads elsewhere" if FIRST_REDIRECT <= status < FIRST_CLIENT_ERROR else "is no token endpoint"
    fix = f"correct token_url: RapidSOS's ends in {_PATHS}"
    return place.failed(f"{url} {what} ({status})", fix, Whose.CONFIGURATION)


def _explain_scope(place: Place, credential: Credential, error: FetchError) -> Finding:
    words = f'the scope "{credential.scope}" was refused ({error.status}, {error.code})'
    fix = "correct scope, or leave it out, which gives the client's own; or ask RapidSOS for the right to it"
    return place.failed(words, fix, Whose.CONFIGURATION)


def _explain_refusal(name: str, credential: Credential, error: FetchError) -> Finding:
    if oddities := describe_oddities(credential):
        words = f"{oddities}; and {error.detail}"
        return Place("secret", name).failed(words, "put the value alone there", Whose.CONFIGURATION)
    words = f"{error.detail}{_show_client(credential)}"
    fix = _REFUSAL_FIXES.get(error.code or "") or _explain_credential(credential)
    return Place("grant", name).failed(words, fix, Whose.CONFIGURATION)


def _explain_credential(credential: Credential) -> str:
    origin = None if credential.token_url is None else parse_url_origin(credential.token_url)
    environment = tell_environment(origin) or "right"
    is_person = credential.username is not None
    secrets = "client_id, client_secret, username and password" if is_person else "id and secret"
    path = "" if (credential.token_url or "").endswith(KNOWN_PATHS) else f"; and token_url: RapidSOS's ends in {_PATHS}"
    return (
        f"compare {secrets} with RapidSOS's portal: they must be those of the {environment} environment, and the "
        f"alerts host may have a pair of its own{path}"
    )


def _show_url(credential: Credential) -> str:
    return printable_url(credential.token_url or "")


def _show_client(credential: Credential) -> str:
    return f", client_id {shorten(credential.client_id.reveal())}" if credential.client_id is not None else ""
