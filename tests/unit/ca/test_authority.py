"""The authority that a configuration names: what cannot be used is told by key, problem and fix."""

import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from harness.certificates import RARE_PEM

from proxy.ca.authority import read_authority, read_authority_validity
from proxy.ca.founding import found_authority
from proxy.certificates import CertificateError
from proxy.config.models import Interception


def found(folder, *hosts):
    """Make an authority; return the section that names it."""
    made = found_authority(folder, "Ours", hosts, time.time(), 1)
    return Interception(ca_certificate=str(made.certificate_path), ca_key=str(made.key_path))


@pytest.fixture
def section(tmp_path):
    """Return the section of an authority for RapidSOS."""
    return found(tmp_path / "ours", "rapidsos.com")


def refuse(section, *hosts):
    """Return with what an authority is refused."""
    with pytest.raises(CertificateError) as caught:
        read_authority(section).build_contexts(hosts, time.time())
    assert caught.value.fix
    return caught.value


def shake(context, client, name):
    """Make a handshake in memory; return the client's end."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(there, back, server_side=True)
    theirs = client.wrap_bio(back, there, server_hostname=name)
    for end in (theirs, ours, theirs, ours) * 2:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return theirs


def test_a_client_that_trusts_the_authority_believes_each_host(section):
    """By the strictest rules that OpenSSL has, over TLS 1.2 and newer, with HTTP/1.1 agreed on."""
    contexts = read_authority(section).build_contexts({"a.rapidsos.com", "rapidsos.com"}, time.time())
    client = ssl.create_default_context(cafile=section.ca_certificate)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.set_alpn_protocols(["h2", "http/1.1"])
    ends = {host: shake(context, client, host) for host, context in contexts.items()}

    assert {host: end.selected_alpn_protocol() for host, end in ends.items()} == {
        "a.rapidsos.com": "http/1.1",
        "rapidsos.com": "http/1.1",
    }
    assert {context.minimum_version for context in contexts.values()} == {ssl.TLSVersion.TLSv1_2}


def test_a_context_is_for_its_host_alone(section):
    """Another server name is refused by an alert; none at all is the tunnel's."""
    [context] = read_authority(section).build_contexts({"a.rapidsos.com"}, time.time()).values()
    client = ssl.create_default_context(cafile=section.ca_certificate)
    with pytest.raises(ssl.SSLError) as caught:
        shake(context, client, "b.rapidsos.com")
    client.check_hostname = False

    assert caught.value.reason == "CALLBACK_FAILED"
    assert shake(context, client, None).getpeercert()["subjectAltName"] == (("DNS", "a.rapidsos.com"),)
    assert shake(context, client, "A.RapidSOS.com.").version()


def test_a_host_beyond_its_constraints_is_refused(section):
    """Before a client meets it; addresses too."""
    for host in ("evil.example", "10.0.0.1"):
        error = refuse(section, "a.rapidsos.com", host)

        assert error.key == "ca_certificate"
        assert f"does not hold for {host}" in error.problem
        assert f"ca init --host {host}" in error.fix


def test_an_authority_for_any_host_holds_for_any(tmp_path):
    """And one for addresses for those."""
    anybody = read_authority(found(tmp_path / "any")).build_contexts({"x.example", "10.0.0.1"}, time.time())
    address = read_authority(found(tmp_path / "one", "10.0.0.1"))

    assert sorted(anybody) == ["10.0.0.1", "x.example"]
    assert list(address.build_contexts({"10.0.0.1"}, time.time())) == ["10.0.0.1"]
    with pytest.raises(CertificateError):
        address.build_contexts({"x.example"}, time.time())


@pytest.mark.parametrize("when", [-30, 400])
def test_an_authority_out_of_its_time_is_used_all_the_same(section, when):
    """Whoever comes otherwise than by a tunnel is still served; that it has expired is told elsewhere."""
    now = time.time() + when * 86_400
    authority = read_authority(section)

    assert authority.build_contexts({"a.rapidsos.com"}, now)
    assert authority.validity.find_trouble(now) is not None
    assert read_authority_validity(section) == authority.validity


def test_an_authority_of_the_centres_own_may_be_no_root(tmp_path):
    """With those that signed it behind it; an RSA key does as well."""
    root = trustme.CA(key_type=trustme.KeyType.RSA)
    middle = root.create_child_ca(key_type=trustme.KeyType.RSA)
    certificate, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    certificate.write_bytes(middle.cert_pem.bytes() + root.cert_pem.bytes())
    key.touch(mode=0o600)
    key.write_bytes(middle.private_key_pem.bytes())
    section = Interception(ca_certificate=str(certificate), ca_key=str(key))
    [context] = read_authority(section).build_contexts({"a.example"}, time.time()).values()
    client = ssl.create_default_context(cadata=root.cert_pem.bytes().decode())

    assert shake(context, client, "a.example").getpeercert()["subjectAltName"] == (("DNS", "a.example"),)


def test_a_key_that_no_client_takes_is_refused(tmp_path):
    """As OpenSSL would when it is to be shown: RSA of 1024 bits."""
    key = rsa.generate_private_key(65_537, 1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Old")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    (tmp_path / "ca.pem").write_bytes(certificate.sign(key, SHA256()).public_bytes(Encoding.PEM))
    (tmp_path / "ca.key").touch(0o600)
    (tmp_path / "ca.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    error = refuse(Interception(ca_certificate=str(tmp_path / "ca.pem"), ca_key=str(tmp_path / "ca.key")), "a.example")

    assert (error.key, error.problem) == ("ca_certificate", "cannot be shown to clients (CA_KEY_TOO_SMALL)")
    assert "2048" in error.fix


def test_an_authority_on_a_rare_curve_is_refused(section):
    """Its key is none that clients know."""
    Path(section.ca_certificate).write_bytes(RARE_PEM)

    assert refuse(section).key == "ca_key"


def test_files_that_are_not_there_are_named(section):
    """Each by its key."""
    gone = section.model_copy(update={"ca_certificate": "gone.crt"})
    no_key = section.model_copy(update={"ca_key": "gone.key"})

    assert (refuse(gone).key, refuse(no_key).key) == ("ca_certificate", "ca_key")
    assert "gone.key cannot be read" in refuse(no_key).problem


def test_a_key_that_everybody_can_read_is_refused(section):
    """Whoever reads it can be RapidSOS; a group may."""
    Path(section.ca_key).chmod(0o640)
    assert read_authority(section)
    Path(section.ca_key).chmod(0o644)
    error = refuse(section)

    assert error.key == "ca_key"
    assert "can be read by every user" in error.problem
    assert f"chmod 600 {section.ca_key}" in error.fix


def test_a_certificate_of_a_host_is_no_authority(section, tmp_path):
    """It may sign nothing."""
    leaf = tmp_path / "leaf.pem"
    trustme.CA().issue_cert("a.example").cert_chain_pems[0].write_to_path(str(leaf))
    error = refuse(section.model_copy(update={"ca_certificate": str(leaf)}))

    assert error.key == "ca_certificate"
    assert "may not sign others" in error.problem


def write_key(path, key, encryption):
    """Write a private key as PEM."""
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return str(path)


def test_keys_that_cannot_be_used_are_told_apart(section, tmp_path):
    """Another's, an encrypted one, one of a kind that clients do not know, and what is none."""
    ours = load_pem_private_key(Path(section.ca_key).read_bytes(), None)
    other = found(tmp_path / "other", "rapidsos.com").ca_key
    encrypted = write_key(tmp_path / "encrypted", ours, BestAvailableEncryption(b"pass"))
    strange = write_key(tmp_path / "strange", ed25519.Ed25519PrivateKey.generate(), NoEncryption())
    none = tmp_path / "none"
    none.touch(mode=0o600)
    told = [refuse(section.model_copy(update={"ca_key": str(path)})) for path in (other, encrypted, strange, none)]

    assert {error.key for error in told} == {"ca_key"}
    assert [error.problem.rpartition("/")[2].partition(" ")[2] for error in told] == [
        told[0].problem.rpartition("/")[2].partition(" ")[2],
        "is encrypted",
        "is neither an EC nor an RSA key, and clients know no others",
        "holds no private key in PEM form",
    ]
    assert "is not the key to the certificate" in told[0].problem


def test_what_it_is_called_holds_no_secret(section):
    """Its repr is its name."""
    assert repr(read_authority(section)) == "<LocalAuthority CN=Ours>"
