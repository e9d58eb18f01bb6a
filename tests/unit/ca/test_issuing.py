"""What the local authority issues: good for as little as it is for, and for no longer."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.ca.issuing import BACKDATED, LEAF_LIFE, LONGEST_COMMON_NAME, YEAR, build_authority, build_leaf

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
LEAF_KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
AUTHORITY = build_authority("Ours", KEY, ["rapidsos.com"], NOW, 2)


def find(certificate, kind):
    """Return an extension's value, and whether it is critical."""
    extension = certificate.extensions.get_extension_for_class(kind)
    return extension.value, extension.critical


def leaf(host="a.rapidsos.com", now=NOW):
    """Issue a certificate for a host."""
    return build_leaf(host, LEAF_KEY, AUTHORITY, KEY, now)


def test_an_authority_vouches_for_hosts_and_for_no_authority():
    """RFC 5280: a path of no length, keys that sign certificates, and each of it critical."""
    usage, is_critical = find(AUTHORITY, x509.KeyUsage)

    assert find(AUTHORITY, x509.BasicConstraints) == (x509.BasicConstraints(ca=True, path_length=0), True)
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature, is_critical) == (True, True, False, True)
    assert AUTHORITY.subject == AUTHORITY.issuer
    assert (AUTHORITY.not_valid_before_utc, AUTHORITY.not_valid_after_utc) == (NOW - BACKDATED, NOW + 2 * YEAR)


def test_an_authority_is_limited_to_its_hosts():
    """Section 4.2.1.10: names are permitted, and every address is excluded, or it would be neither."""
    constraints, is_critical = find(AUTHORITY, x509.NameConstraints)

    assert is_critical
    assert constraints.permitted_subtrees == [x509.DNSName("rapidsos.com")]
    assert [str(name.value) for name in constraints.excluded_subtrees] == ["0.0.0.0/0", "::/0"]


def test_an_authority_for_addresses_vouches_for_no_name():
    """The other way round."""
    constraints, _ = find(build_authority("Ours", KEY, ["10.0.0.1", "::1"], NOW, 1), x509.NameConstraints)

    assert [str(name.value) for name in constraints.permitted_subtrees] == ["10.0.0.1/32", "::1/128"]
    assert constraints.excluded_subtrees == [x509.DNSName("")]


def test_an_authority_for_any_host_has_no_constraint():
    """For clients that do not understand one."""
    with pytest.raises(x509.ExtensionNotFound):
        find(build_authority("Ours", KEY, [], NOW, 1), x509.NameConstraints)


def test_a_leaf_is_for_one_host_and_a_week():
    """For servers alone; begun a day ago, for clients whose clock is slow."""
    issued = leaf()

    assert find(issued, x509.SubjectAlternativeName)[0] == x509.SubjectAlternativeName([x509.DNSName("a.rapidsos.com")])
    assert find(issued, x509.BasicConstraints) == (x509.BasicConstraints(ca=False, path_length=None), True)
    assert list(find(issued, x509.ExtendedKeyUsage)[0]) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]
    assert (issued.not_valid_before_utc, issued.not_valid_after_utc) == (NOW - BACKDATED, NOW + LEAF_LIFE)
    issued.verify_directly_issued_by(AUTHORITY)


def test_a_leaf_for_an_address_names_the_address():
    """And has no subject, so that the alternative name is critical (RFC 5280, section 4.2.1.6)."""
    issued = leaf("::1")
    names, is_critical = find(issued, x509.SubjectAlternativeName)

    assert (list(issued.subject), is_critical) == ([], True)
    assert [str(name) for name in names.get_values_for_type(x509.IPAddress)] == ["::1"]


def test_a_long_name_is_whole_where_it_is_read():
    """The common name has room for 64 characters."""
    host = f"{'a' * 60}.{'b' * 60}.rapidsos.com"
    issued = leaf(host)

    assert find(issued, x509.SubjectAlternativeName)[0].get_values_for_type(x509.DNSName) == [host]
    assert issued.subject.rfc4514_string() == f"CN={host[:LONGEST_COMMON_NAME]}"


@pytest.mark.parametrize(
    "now",
    [
        AUTHORITY.not_valid_before_utc - 30 * timedelta(days=1),
        AUTHORITY.not_valid_before_utc,
        AUTHORITY.not_valid_after_utc - timedelta(hours=1),
        AUTHORITY.not_valid_after_utc + 30 * timedelta(days=1),
    ],
)
def test_a_leaf_keeps_within_its_authoritys_life(now):
    """Whatever the clock says; it can be built, so that a proxy starts, and lives no longer than it may."""
    issued = leaf(now=now)

    assert AUTHORITY.not_valid_before_utc <= issued.not_valid_before_utc
    assert issued.not_valid_after_utc <= AUTHORITY.not_valid_after_utc
    assert issued.not_valid_after_utc - issued.not_valid_before_utc <= LEAF_LIFE + BACKDATED
