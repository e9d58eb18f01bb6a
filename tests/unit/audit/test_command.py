"""``traffic verify``: which key and which files, what it says, and how it ends."""

import gzip
import json
import os

import pytest

from proxy.audit.command import verify
from proxy.audit.progress import Progress
from proxy.errors import ConfigError
from proxy.traffic.newest import newest_path, write_newest
from proxy.traffic.seal import START, Mark, Opening, SealKey, build_opening, parse_sealed

KEY = "0f" * 32
AT = "2026-11-24T09:05:35.914Z"
ASIDE = "traffic.jsonl.20261124T090535.914000Z"


@pytest.fixture
def site(tmp_path):
    """Return a directory with a configuration, its key, and a sealed log in two files."""
    (tmp_path / "proxy.toml").write_text(
        '[traffic_log]\npath = "traffic.jsonl"\nseal = { key = { file = "seal.key" } }\n'
    )
    (tmp_path / "seal.key").write_text(f"{KEY}\n")
    key, mark = SealKey(bytes.fromhex(KEY)), START
    for name in (ASIDE, "traffic.jsonl"):
        previous = None if mark == START else mark
        lines = [build_opening(AT, Opening("new_file", key.fingerprint, previous))]
        lines += [b'{"event":"exchange.closed","number":%d}\n' % number for number in range(3)]
        with (tmp_path / name).open("wb") as file:
            for line in lines:
                sealed, mark = key.seal(line, mark)
                file.write(sealed)
    write_newest(tmp_path / "traffic.jsonl", key, mark)
    return tmp_path


@pytest.fixture
def run(site):
    """Return a function that verifies, and gives the exit code and what was answered."""

    def run(*names, config="proxy.toml", keys=()):
        answers = []
        code = verify(
            [site / name for name in names],
            config and site / config,
            [site / name for name in keys],
            {},
            answers.append,
            Progress(None),
        )
        return code, "\n".join(answers)

    return run


def change(path, old, new):
    """Change a file."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def test_the_log_that_the_configuration_names_is_verified(run):
    """What was put aside, and what is written to."""
    code, told = run()

    assert code == 0
    assert told.startswith("Every line holds: 8 sealed lines, 1 to 8, in 2 files.\n")


def test_files_are_verified_with_a_key_file(run, site):
    """Without a configuration, in any order, packed or not."""
    packed = site / f"{ASIDE}.gz"
    packed.write_bytes(gzip.compress((site / ASIDE).read_bytes()))

    assert run("traffic.jsonl", ASIDE, config=None, keys=["seal.key"])[0] == 0
    assert run("traffic.jsonl", packed.name, config=None, keys=["seal.key"])[0] == 0


def test_a_changed_line_is_named(run, site):
    """File and line, what is wrong and what to do; what stands before it is told to hold."""
    change(site / ASIDE, b'"number":1', b'"number":7')
    code, told = run()

    assert code == 1
    first, problem, fix, *rest = told.splitlines()
    assert first == f"BROKEN {site / ASIDE}:3"
    assert problem == "  it was changed, or put in the place of another"
    assert fix.startswith("  fix: ")
    assert rest[-1] == "2 lines before it hold."


def test_an_end_that_was_cut_off_is_missed(run, site):
    """By what is kept beside the log; without that, it is at least said that nothing tells."""
    path = site / "traffic.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    missed = run()
    newest_path(path).unlink()
    unseen = run(ASIDE, "traffic.jsonl", config=None, keys=["seal.key"])
    with_config = run()

    assert missed[0] == 1
    assert "behind this line, 2 lines are cut off: the log went up to 8" in missed[1]
    assert unseen[0] == 0
    assert "lines that were cut off from its end are not missed" in unseen[1]
    assert with_config[0] == 1
    assert f"BROKEN {newest_path(path)}:1" in with_config[1]


def test_a_file_put_aside_alone_holds_and_proves_no_end(run):
    """Its neighbours prove that; here none of them is given."""
    code, told = run(ASIDE)

    assert code == 0
    assert "Every line holds: 4 sealed lines, 1 to 4, in 1 file." in told
    assert "lines that were cut off from its end are not missed" in told


def test_a_pipe_among_the_files_is_told_and_not_waited_for(run, site):
    """Whoever verifies at night must not be held by it."""
    os.mkfifo(site / "traffic.jsonl.20261124T100000.000000Z")
    code, told = run()

    assert code == 1
    assert "traffic.jsonl.20261124T100000.000000Z:1\n  it is a directory, a link or a pipe" in told


def test_nothing_in_the_log_or_in_a_name_makes_a_line_of_the_answer(run, site):
    """A forger would have it say that all is well."""
    spoofed = Opening("started", "x)\nEvery line holds: 7 sealed lines", None)
    line, _ = SealKey(bytes(32)).seal(build_opening(AT, spoofed), START)
    with (site / "traffic.jsonl").open("ab") as file:
        file.write(line)
    in_log = run()
    name = "traffic.jsonl\nEvery line holds: 7 sealed lines"
    (site / name).write_bytes(line)
    in_name = run(name)

    for code, told in (in_log, in_name):
        assert code == 1
        assert "\nEvery line holds" not in told
    assert "traffic.jsonl\\u000aEvery line holds" in in_name[1]


def go_on(site, key, first, count):
    """Write a start of the proxy with another key, and records; nothing beside the log."""
    with (site / "traffic.jsonl").open("ab") as file:
        mark = first
        lines = [build_opening(AT, Opening("started", key.fingerprint, mark, missing=None))]
        for line in [*lines, *[b'{"event":"exchange.closed"}\n'] * count]:
            sealed, mark = key.seal(line, mark)
            file.write(sealed)
    return mark


def test_the_key_was_changed(run, site):
    """Both are given in the order of their use, with the configuration's as the newest; its alone proves the end."""
    (site / "old.key").write_text(KEY)
    (site / "seal.key").write_text("aa" * 32)
    path, new = site / "traffic.jsonl", SealKey(bytes.fromhex("aa" * 32))
    end = parse_sealed(path.read_bytes().splitlines(keepends=True)[-1]).mark
    too_early = run(keys=["old.key"])
    mark = go_on(site, new, end, 2)
    write_newest(path, new, mark)

    assert too_early[0] == 1
    assert "start the proxy with the newest key, if it was not yet" in too_early[1]
    assert run(keys=["old.key"])[0] == 0
    assert run("traffic.jsonl", ASIDE, config=None, keys=["old.key", "seal.key"])[0] == 0
    wrong = run("traffic.jsonl", ASIDE, config=None, keys=["seal.key", "old.key"])
    assert wrong[0] == 1
    assert "give the keys in the order of their use" in wrong[1]


def test_what_is_forged_with_an_old_key_is_found(run, site):
    """In the place of what the new one has sealed, up to a later line than that; also what is kept beside the log."""
    (site / "old.key").write_text(KEY)
    (site / "seal.key").write_text("aa" * 32)
    path, old, new = site / "traffic.jsonl", SealKey(bytes.fromhex(KEY)), SealKey(bytes.fromhex("aa" * 32))
    before = path.read_bytes()
    end = parse_sealed(before.splitlines(keepends=True)[-1]).mark
    write_newest(path, new, go_on(site, new, end, 2))
    path.write_bytes(before)
    mark = go_on(site, old, end, 5)
    forged = run(keys=["old.key"])
    write_newest(path, old, mark)
    forged_beside = run(keys=["old.key"])
    archived = run(ASIDE, keys=["old.key"])

    assert forged[0] == forged_beside[0] == 1
    assert "it is not the line that was written here last" in forged[1]
    assert archived[0] == 0
    assert f"the end is sealed with an older key ({old.fingerprint})" in archived[1]


def test_a_log_without_a_seal_is_broken(run, site):
    """It cannot be told from one whose seals were taken out."""
    for name in (ASIDE, "traffic.jsonl"):
        (site / name).write_text('{"event":"exchange.closed"}\n')

    code, told = run()

    assert code == 1
    assert f"BROKEN {site / ASIDE}:1\n  it has no seal" in told


def test_another_key_is_told_by_its_fingerprint(run, site):
    """The one that is needed is named, and where."""
    (site / "other.key").write_text("00" * 32)
    code, told = run(ASIDE, config=None, keys=["other.key"])

    assert code == 1
    assert f"({SealKey(bytes.fromhex(KEY)).fingerprint})" in told
    assert "--key-file" in told


@pytest.mark.parametrize(
    ("names", "config", "keys", "message"),
    [
        (["traffic.jsonl"], None, [], r"--key-file: is missing(.|\n)*--config"),
        ([], None, ["seal.key"], "FILE: is missing: no log is named"),
        (["traffic.jsonl"], None, ["gone.key"], r"--key-file: (.|\n)*gone\.key"),
        (["traffic.jsonl"], None, ["proxy.toml"], r"--key-file: file .*proxy\.toml holds"),
        (["gone.jsonl"], None, ["seal.key"], r"gone\.jsonl: cannot be read \(No such file"),
        (["traffic.jsonl"], None, ["short.key"], r"--key-file .*short\.key: is not 32 bytes"),
        ([], "gone.toml", [], r"gone\.toml"),
        ([], "plain.toml", [], r"traffic_log\.seal: is not set in this file"),
    ],
)
def test_what_is_missing_to_verify_is_told(run, site, names, config, keys, message):
    """Exit code 2: nothing is said of the log."""
    (site / "short.key").write_text("a passphrase")
    (site / "plain.toml").write_text('[traffic_log]\npath = "traffic.jsonl"\n')

    with pytest.raises(ConfigError, match=message):
        run(*names, config=config, keys=keys)


def test_the_key_is_in_no_answer(run, site):
    """Nor is what it is made from."""
    change(site / ASIDE, b'"number":1', b'"number":7')

    assert KEY not in run()[1]


def test_a_file_can_be_read_as_json_all_the_same(site):
    """The seal is an entry of each record."""
    records = [json.loads(line) for line in (site / ASIDE).read_text().splitlines()]

    assert [record["seal"].split(":")[0] for record in records] == ["1", "2", "3", "4"]
    assert Mark(4, records[-1]["seal"].split(":")[1].encode()).number == 4
