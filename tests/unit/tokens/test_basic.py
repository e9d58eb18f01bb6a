"""The source of a constant Basic credential."""

from __future__ import annotations

import base64

from proxy.config.models import Credential
from proxy.config.secret import Secret
from proxy.tokens.basic import BasicSource
from proxy.tokens.token import TokenKey


def build_source():
    """Build a source."""
    return BasicSource("lis", Secret("user", "test"), Secret("Zürich:1", "test"))


async def test_value_is_always_there():
    """The credential is at hand before the start and after the stop, and waiting for it does not wait."""
    source = build_source()
    before = source.current()
    await source.start()
    waited = await source.wait()
    await source.stop()

    assert before is waited is source.current()
    assert base64.b64decode(before.authorization.removeprefix("Basic ")) == "user:Zürich:1".encode()


async def test_rejected_value_has_no_other():
    """After a 401 there is no other value to try."""
    source = build_source()
    source.prove(source.current())

    assert await source.replace(source.current()) is None


def test_another_login_is_used_at_once():
    """From the next request on; there is nothing to fetch first."""
    source = build_source()
    login = {"username": Secret("user", "test"), "password": Secret("2", "test")}

    source.renew_credential(Credential(grant="basic", **login), TokenKey("of no use"))

    assert base64.b64decode(source.current().authorization.removeprefix("Basic ")) == b"user:2"


def test_status():
    """The status says that it is usable and shows no secret."""
    status = build_source().status()

    assert (status.name, status.grant, status.usable, status.fetches) == ("lis", "basic", True, 0)
    assert "Zürich" not in repr(status)
