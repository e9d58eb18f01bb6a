"""TLS towards the outside."""

import ssl

import pytest

from proxy.errors import ConfigError
from proxy.tls import build_tls_context


def test_everything_is_verified():
    """Certificate and name, with TLS 1.2 as the least."""
    context = build_tls_context(None)

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_ca_file_without_a_certificate_is_refused(tmp_path):
    """The message names the key and the fix."""
    path = tmp_path / "ca.pem"
    path.write_text("nothing of the kind")

    with pytest.raises(ConfigError, match=r"(?s)outbound\.ca_file: .* holds no certificate .*BEGIN CERTIFICATE"):
        build_tls_context(str(path))


def test_a_ca_file_that_is_not_there_is_refused(tmp_path):
    """In the system's words."""
    with pytest.raises(ConfigError, match="cannot be read"):
        build_tls_context(str(tmp_path / "absent.pem"))
