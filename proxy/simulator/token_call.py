"""What one call of a token endpoint says (RFC 6749, sections 2.3.1, 4.3.2 and 4.4.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from proxy.simulator.parameters import FORM, JSON, parse_basic, parse_form, parse_media_type, parse_object
from proxy.simulator.refusals import RefusalError

Encoding = Literal["form", "json", "unreadable"]


@dataclass(frozen=True, slots=True)
class TokenCall:
    """A token request, taken apart and not yet judged.

    Attributes:
        path: The endpoint.
        encoding: What the body is.
        labelled: What Content-Type says that it is.
        fields: The body's fields.
        basic: Client id and secret from the Authorization field, or None.
    """

    path: str
    encoding: Encoding
    labelled: Encoding
    fields: dict[str, str] = field(repr=False)
    basic: tuple[str, str] | None = field(repr=False)

    @property
    def client_id(self) -> str | None:
        """Who asks."""
        return self.basic[0] if self.basic else self.fields.get("client_id")

    @property
    def client_auth(self) -> Literal["body", "basic", "both", "none"]:
        """Where the client's secret is."""
        in_body = "client_secret" in self.fields
        if self.basic:
            return "both" if in_body else "basic"
        return "body" if in_body else "none"


def parse_token_call(path: str, content_type: str, authorization: str, body: bytes) -> TokenCall:
    """Take a token request apart; what cannot be read is ``unreadable``, never an error."""
    labels: dict[str, Encoding] = {JSON: "json", FORM: "form"}
    labelled = labels.get(parse_media_type(content_type), "unreadable")
    encoding, fields = _read_body(body)
    return TokenCall(path, encoding, labelled, fields, parse_basic(authorization))


def _read_body(body: bytes) -> tuple[Encoding, dict[str, str]]:
    if body.lstrip().startswith(b"{"):
        try:
            found = parse_object(body)
        except RefusalError:
            return "unreadable", {}
        return "json", {name: value for name, value in found.items() if isinstance(value, str)}
    fields = parse_form(body)
    return ("form", fields) if fields else ("unreadable", {})
