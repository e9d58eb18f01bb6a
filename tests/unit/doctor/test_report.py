"""Findings as people and programs are told them."""

from proxy.doctor.finding import Place, Whose
from proxy.doctor.report import (
    Entry,
    build_conclusion,
    build_config_document,
    build_document,
    build_lines,
    choose_exit_code,
)
from proxy.errors import ConfigError

OK = Entry("host:443", Place("dns").ok("host resolves"))
WARNING = Entry("host:443", Place("tls").warning("ends soon", "renew it", Whose.RAPIDSOS))
FAILED = Entry("host:443", Place("grant", "core").failed("refused", "correct client_secret", Whose.CONFIGURATION))
SKIPPED = Entry("Routes", Place("route", "ingress").skipped("not looked at"))


def test_a_line_has_a_mark_a_link_and_words():
    """Marks can be told apart without colours."""
    heads = [next(build_lines(entry.finding)) for entry in (OK, WARNING, FAILED, SKIPPED)]

    assert heads == [
        "  ok       dns               host resolves",
        "  warning  tls               ends soon",
        "  FAILED   grant core        refused",
        "  skipped  route ingress     not looked at",
    ]


def test_the_fix_stands_below():
    """Under the words that it belongs to."""
    assert list(build_lines(FAILED.finding))[1] == f"{' ' * 29}fix: correct client_secret"


def test_long_words_are_wrapped_and_keep_their_column():
    """So that a report can be read in a mail."""
    lines = list(build_lines(Place("dns").ok("word " * 60)))

    assert len(lines) > 2
    assert max(map(len, lines)) <= 118
    assert all(line.startswith(" " * 29) for line in lines[1:])


def test_what_a_server_wrote_cannot_drive_the_terminal():
    """A certificate may hold any character."""
    finding = Place("tls").failed("signed by \x1b[2JEvil\nok", "\x07", Whose.NETWORK)

    text = "\n".join(build_lines(finding)) + build_conclusion([Entry("host", finding)])

    assert "\x1b" not in text
    assert "\x07" not in text
    assert r"signed by \u001b[2JEvil\u000aok" in text


def test_the_end_names_link_owner_and_next_step():
    """In one line, of the first that is broken; it counts the others."""
    assert build_conclusion([OK, WARNING, FAILED, SKIPPED]) == (
        "Broken: grant core (host:443), in the configuration. Next step: correct client_secret."
    )
    assert build_conclusion([FAILED, FAILED]).endswith(" (1 more marked FAILED above.)")


def test_the_end_of_a_good_day():
    """Warnings are no failure, and are not forgotten."""
    assert build_conclusion([OK]) == "Every link holds."
    assert build_conclusion([OK, WARNING, WARNING]) == "Every link holds; 2 warnings, see above."


def test_the_end_names_what_was_not_tried():
    """Nobody reads of a link that holds, and was not looked at."""
    assert build_conclusion([OK, SKIPPED]) == "Every link that was tried holds; not tried: route ingress."
    assert build_conclusion([WARNING, SKIPPED, SKIPPED]) == (
        "Every link that was tried holds; not tried: route ingress, route ingress; 1 warning, see above."
    )


def test_the_exit_code_is_that_of_a_failure_alone():
    """A warning is none."""
    assert [choose_exit_code([entry]) for entry in (OK, WARNING, SKIPPED, FAILED)] == [0, 0, 0, 1]


def test_programs_are_told_the_broken_link_by_itself():
    """With the same words."""
    document = build_document({"version": "1"}, [OK, FAILED])

    assert document["exit_code"] == 1
    assert document["broken"] == document["findings"][1]
    assert document["broken"] == {
        "group": "host:443",
        "link": "grant",
        "subject": "core",
        "verdict": "failed",
        "words": "refused",
        "fix": "correct client_secret",
        "whose": "the configuration",
    }


def test_programs_are_told_of_a_configuration_that_cannot_be_used():
    """In the same shape."""
    document = build_config_document({"version": "1"}, ConfigError("x.toml: route", "is not there", "add it"))

    assert document["exit_code"] == 2
    assert document["broken"]["words"] == "x.toml: route: is not there"
    assert document.keys() == build_document({"version": "1"}, [OK]).keys()
