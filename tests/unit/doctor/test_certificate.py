"""What a certificate says."""

import datetime as dt

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from proxy.doctor.certificate import parse_certificate


@pytest.fixture(scope="module")
def authority():
    """Return an authority with a name of its own."""
    return trustme.CA(organization_name="Centre 7 Firewall", organization_unit_name="TLS inspection")


def to_der(pem):
    """Return a certificate in the form in which ``ssl`` gives it."""
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def test_names_issuer_and_dates_are_read(authority):
    """What people recognise an inspecting firewall by."""
    end = dt.datetime(2030, 1, 2, tzinfo=dt.UTC)
    leaf = authority.issue_cert("api.rapidsos.com", "10.0.0.1", not_after=end)

    certificate = parse_certificate(to_der(leaf.cert_chain_pems[0].bytes()))

    assert certificate.names == ("api.rapidsos.com", "10.0.0.1")
    assert certificate.issuer == "Centre 7 Firewall, TLS inspection"
    assert certificate.not_after == end
    assert not certificate.is_self_signed


def test_one_that_signed_itself_is_told(authority):
    """It has no names of hosts."""
    certificate = parse_certificate(to_der(authority.cert_pem.bytes()))

    assert certificate.is_self_signed
    assert certificate.shown_names == "no host"


def test_of_many_names_a_few_are_shown(authority):
    """Some have hundreds."""
    leaf = authority.issue_cert(*(f"host-{number}.example" for number in range(5)))

    certificate = parse_certificate(to_der(leaf.cert_chain_pems[0].bytes()))

    assert certificate.shown_names == "host-0.example, host-1.example, host-2.example and 2 more"


@pytest.mark.parametrize("der", [b"", b"nothing of the kind"])
def test_what_is_none_is_none(der):
    """It came from whoever answered."""
    assert parse_certificate(der) is None
