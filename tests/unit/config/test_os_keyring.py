"""The keyring of the operating system, by the library that knows them all and a backend that is a file."""

import sys
import threading

import keyring
import pytest
from harness.keyring_file import FileKeyring
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringLocked

from proxy.config import os_keyring
from proxy.config.places import SourceError
from proxy.config.sources import Sources

CANARY = "c4nary-value"
WRITTEN = {"keyring": {"service": "rapidsos", "username": "client-secret"}}


class Locked(FileKeyring):
    """A keyring that refuses, and quotes what it should not."""

    def get_password(self, *_entry):
        """Refuse."""
        raise KeyringLocked(CANARY)


class Broken(FileKeyring):
    """A backend with a defect."""

    def get_password(self, *_entry):
        """Fail as plug-ins do."""
        raise ZeroDivisionError(CANARY)


class Asking(FileKeyring):
    """A backend that waits for a person."""

    answered = threading.Event()

    def get_password(self, *_entry):
        """Wait."""
        self.answered.wait()


@pytest.fixture
def use(tmp_path):
    """Return a function that lets the library use a backend; afterwards it has none."""

    def use(backend):
        made = backend(tmp_path / "keyring.json") if issubclass(backend, FileKeyring) else backend()
        keyring.set_keyring(made)
        return made

    yield use
    keyring.set_keyring(NoKeyring())


@pytest.fixture
def fail(tmp_path):
    """Return a function that gives the error of the entry, after proving that no value is in it."""

    def fail():
        with pytest.raises(SourceError) as caught:
            Sources(tmp_path, {}).read(WRITTEN, may_be_literal=False)
        assert CANARY not in f"{caught.value.problem} {caught.value.fix}"
        return caught.value.problem, caught.value.fix

    return fail


def test_a_secret_comes_from_the_keyring(use, tmp_path):
    """By service and user name, and again with its new value once that has changed."""
    backend = use(FileKeyring)
    backend.set_password("rapidsos", "client-secret", CANARY)
    backend.set_password("rapidsos", "other", "another")

    secret = Sources(tmp_path, {}).read(WRITTEN, may_be_literal=False)
    backend.set_password("rapidsos", "client-secret", "the-next")

    assert (secret.reveal(), secret.origin) == (CANARY, "keyring rapidsos/client-secret")
    assert secret.place.read().reveal() == "the-next"


def test_an_entry_that_is_not_there_is_named(use, fail):
    """The fix is the command that makes it."""
    use(FileKeyring)

    problem, fix = fail()

    assert problem == "keyring rapidsos/client-secret is not in the keyring"
    assert fix == 'as the proxy\'s user: keyring set "rapidsos" "client-secret"'


def test_a_library_that_is_not_installed_is_named(monkeypatch, fail):
    """The fix is what to type."""
    monkeypatch.setitem(sys.modules, "keyring", None)

    problem, fix = fail()

    assert problem == "keyring rapidsos/client-secret needs the library keyring, which is not installed"
    assert fix == "pip install 'rapidsos-auth-proxy[keyring]'"


def test_a_machine_without_a_keyring_is_told(use, fail):
    """A service's user on a server has none as a rule."""
    use(NoKeyring)

    assert "cannot be read: this user has no keyring" in fail()[0]


@pytest.mark.parametrize(("backend", "name"), [(Locked, "KeyringLocked"), (Broken, "ZeroDivisionError")])
def test_a_backend_that_fails_is_told_by_the_kind_of_its_error(use, fail, backend, name):
    """Its text may quote anything."""
    use(backend)

    assert fail()[0] == f"keyring rapidsos/client-secret cannot be read ({name})"


def test_a_keyring_that_waits_for_a_person_is_given_up(use, fail, monkeypatch):
    """The proxy starts, or says why not."""
    use(Asking)
    monkeypatch.setattr(os_keyring, "KEYRING_LIMIT_S", 0.1)

    problem, fix = fail()
    Asking.answered.set()

    assert problem == "keyring rapidsos/client-secret did not answer within 0.1 s"
    assert fix == "unlock the keyring for the proxy's user, or take the secret from a file"
