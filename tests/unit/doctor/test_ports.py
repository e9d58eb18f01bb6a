"""The certificate of a listener, as the doctor sees it."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import trustme

from proxy.ca.founding import found_authority
from proxy.config.models import Interception, ListenerTLS
from proxy.doctor.finding import Place, Verdict
from proxy.doctor.ports import check_authority, check_certificate
from proxy.threads import in_thread


@pytest.mark.parametrize(
    ("days", "verdict", "words"),
    [
        (100, Verdict.OK, "is good until"),
        (5, Verdict.WARNING, "expires in 4 days"),
        (-2, Verdict.WARNING, "has expired"),
    ],
)
async def test_a_certificate_is_judged_by_its_end(tmp_path, days, verdict, words):
    """It is a warning, since some clients do not look; the fix is to renew it."""
    path = tmp_path / "both.pem"
    end = datetime.now(UTC) + timedelta(days=days)
    trustme.CA().issue_cert("cad.example", not_after=end).private_key_and_cert_chain_pem.write_to_path(str(path))
    result = await check_certificate(Place("certificate", "cad"), ListenerTLS(certificate=str(path), key=str(path)))
    [finding] = result.findings

    assert finding.verdict is verdict
    assert words in finding.words
    assert bool(finding.fix) is (verdict is Verdict.WARNING)


async def test_a_certificate_that_has_gone_is_a_broken_link(tmp_path):
    """Whoever replaces it may have taken it away for good."""
    gone = str(tmp_path / "gone.pem")
    result = await check_certificate(Place("certificate", "cad"), ListenerTLS(certificate=gone, key=gone))
    [finding] = result.findings

    assert finding.is_broken
    assert "cannot be read" in finding.words


async def test_the_local_authority_is_judged_by_its_end(tmp_path):
    """Clients have to trust the next one before that."""
    begun = datetime.now(UTC) - timedelta(days=360)
    found = partial(found_authority, tmp_path, "Ours", ["rapidsos.com"], begun.timestamp(), 1)
    founded = await in_thread(found, name="operator")
    settings = Interception(ca_certificate=str(founded.certificate_path), ca_key=str(founded.key_path))
    [finding] = (await check_authority(Place("certificate", "interception"), settings)).findings

    assert finding.verdict is Verdict.WARNING
    assert "expires in " in finding.words
    assert "have the clients trust it" in finding.fix
