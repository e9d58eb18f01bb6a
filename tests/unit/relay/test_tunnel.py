"""Failures in tunnels: what the client may not trust, and which file it needs."""

import pytest

from proxy.relay.handshakes import LEFT, NOT_TLS, TOO_SLOW, Failure
from proxy.relay.tunnel import explain_distrust

FILE = "rapidsos-proxy-ca.crt"


@pytest.mark.parametrize("failure", [LEFT, Failure("certificate_refused", "p", "f"), Failure("gave_up", "p", "f")])
def test_what_may_be_distrust_names_the_file_to_import(failure):
    """And keeps its reason, which metrics count."""
    told = explain_distrust(failure, FILE)

    assert told.reason == failure.reason
    assert f"import {FILE} into the trust store" in told.fix
    assert "RapidSOS's place" in told.problem + told.fix


@pytest.mark.parametrize("failure", [NOT_TLS, TOO_SLOW])
def test_what_is_no_distrust_stays_as_it_is(failure):
    """Another file would not help."""
    assert explain_distrust(failure, FILE) is failure
