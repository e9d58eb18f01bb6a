"""What a listener of TLS is built from, and what is said of files that it cannot be built from."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.hashes import SHA256
from harness.certificates import RARE_PEM
from structlog.testing import capture_logs

from proxy.certificates import DAY_S, CertificateError, Validity, name_client, read_server_tls
from proxy.config.models import ListenerTLS
from proxy.config.secret import Secret

AUTHORITY = trustme.CA()
LEAF = AUTHORITY.issue_cert("cad.psap.example", not_after=datetime(2034, 1, 2, tzinfo=UTC))
CERTIFICATE, KEY = LEAF.cert_chain_pems[0].bytes(), LEAF.private_key_pem.bytes()
OTHER_KEY = AUTHORITY.issue_cert("other").private_key_pem.bytes()
PASSPHRASE = "open-sesame"
LOCKED_KEY = serialization.load_pem_private_key(KEY, None).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(PASSPHRASE.encode()),
)
AUTHORITY_PEM = AUTHORITY.cert_pem.bytes()


@pytest.fixture
def write(tmp_path):
    """Return a function that writes the files and returns the table; a file of None is not written."""

    def write(certificate=CERTIFICATE, key=KEY, client_ca=None, password=None):
        for name, content in (("c.pem", certificate), ("k.pem", key), ("ca.pem", client_ca)):
            if content is not None:
                (tmp_path / name).write_bytes(content)
        return ListenerTLS(
            certificate=str(tmp_path / "c.pem"),
            key=str(tmp_path / "k.pem"),
            key_password=None if password is None else Secret(password, "test"),
            client_ca=None if client_ca is None else str(tmp_path / "ca.pem"),
        )

    return write


def test_good_files_make_a_context(write):
    """Whom the certificate is for and when it ends are known."""
    found = read_server_tls(write())

    assert found.validity.not_after == datetime(2034, 1, 2, tzinfo=UTC).timestamp()
    assert found.validity.until == "2034-01-02"
    assert found.context.verify_mode.name == "CERT_NONE"


def test_certificate_and_key_may_be_one_file(write):
    """As some authorities' tools write them."""
    both = KEY + CERTIFICATE

    assert read_server_tls(write(both, both)).subject


def test_the_chain_may_hold_what_only_openssl_can_read(write):
    """A key on a rare curve is not the listener's, and is no concern of ours."""
    assert read_server_tls(write(CERTIFICATE + RARE_PEM)).subject


def test_a_locked_key_is_opened(write):
    """With its passphrase."""
    assert read_server_tls(write(key=LOCKED_KEY, password=PASSPHRASE)).subject


def test_a_passphrase_that_is_not_needed_does_no_harm(write):
    """It may stay when the key is renewed without one."""
    assert read_server_tls(write(password=PASSPHRASE)).subject


def test_a_key_that_every_user_can_read_is_warned_of(write):
    """As other secrets in files are."""
    tls = write()
    with capture_logs() as exposed:
        Path(tls.key).chmod(0o644)
        read_server_tls(tls)
    with capture_logs() as hidden:
        Path(tls.key).chmod(0o600)
        read_server_tls(tls)

    assert [(line["event"], line["path"], line["fix"]) for line in exposed] == [
        ("secret.exposed", tls.key, f"chmod 640 {tls.key}")
    ]
    assert hidden == []


def test_client_ca_asks_for_certificates(write):
    """Of every client, at every handshake."""
    context = read_server_tls(write(client_ca=AUTHORITY_PEM)).context

    assert context.verify_mode.name == "CERT_REQUIRED"
    assert context.num_tickets == 0


@pytest.mark.parametrize(
    ("files", "key", "problem", "fix"),
    [
        ({"certificate": None}, "certificate", "c.pem cannot be read (No such file or directory)", "check the path"),
        ({"key": None}, "key", "k.pem cannot be read (No such file or directory)", "check the path"),
        ({"certificate": b"\x30\x82"}, "certificate", "c.pem holds no certificate in PEM form", "BEGIN CERTIFICATE"),
        ({"certificate": KEY}, "certificate", "c.pem holds no certificate in PEM form", "BEGIN CERTIFICATE"),
        ({"key": CERTIFICATE}, "key", "k.pem holds no private key in PEM form", "BEGIN PRIVATE KEY"),
        ({"certificate": RARE_PEM}, "key", "is not the key to the certificate in", "requested with"),
        ({"key": OTHER_KEY}, "key", "is not the key to the certificate in", "requested with"),
        (
            {"certificate": AUTHORITY_PEM + CERTIFICATE},
            "certificate",
            "does not begin with the certificate of the key",
            "put that certificate first",
        ),
        ({"key": LOCKED_KEY}, "key", "is encrypted, and there is no passphrase", "add key_password"),
        ({"key": LOCKED_KEY, "password": "wrong"}, "key_password", "does not open", "passphrase of that key"),
        ({"client_ca": b"none"}, "client_ca", "ca.pem holds no certificate in PEM form", "BEGIN CERTIFICATE"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_fix(write, files, key, problem, fix):
    """By the key of the table; never with a character of the private key or its passphrase."""
    with pytest.raises(CertificateError) as caught:
        read_server_tls(write(**files))

    assert caught.value.key == key
    assert problem in caught.value.problem
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (100, None),
        (15, None),
        (13.5, "expires in 13 days"),
        (1.5, "expires in 1 day"),
        (0.5, "expires in less than a day"),
        (-2.5, "has expired, 2 days ago: clients that verify it refuse it"),
    ],
)
def test_the_end_is_told_two_weeks_before(days, told):
    """In days, and for as long as nothing is done about it."""
    assert Validity(0.0, 1e9 + days * DAY_S).find_trouble(1e9) == told


def test_a_certificate_of_the_future_is_told():
    """More often the clock is wrong than the certificate."""
    told = Validity(1e9 + 3 * DAY_S, 2e9).find_trouble(1e9)

    assert told == "is not valid yet, for 3 days more; is this machine's clock right?"


def build_der(subject, names):
    """Build a client's certificate."""
    key = serialization.load_pem_private_key(KEY, None)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(subject))
        .issuer_name(x509.Name.from_rfc4514_string("CN=test"))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("subject", "names", "told"),
    [
        ("CN=cad 7,O=PSAP", [x509.DNSName("x.example")], "CN=cad 7,O=PSAP"),
        ("", [x509.DNSName("cad-7.psap.example"), x509.DNSName("b")], "cad-7.psap.example"),
        ("", [], "without a name"),
    ],
)
def test_a_client_is_called_by_its_subject(subject, names, told):
    """Else by its first alternative name."""
    assert name_client(build_der(subject, names)) == told
