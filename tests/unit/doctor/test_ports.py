"""The certificate of a listener, as the doctor sees it."""

from datetime import UTC, datetime, timedelta

import pytest
import trustme

from proxy.config.models import ListenerTLS
from proxy.doctor.finding import Place, Verdict
from proxy.doctor.ports import check_certificate


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
