"""What `make soak` finds: it must see each failure, loss and growth that it is there for, and forgive what must be."""

from collections import Counter

import pytest
from bench.soak.__main__ import find_failures
from bench.soak.gauge import Gauge, Sample
from bench.soak.ledger import Deeds, Ledger
from bench.soak.plan import GOOD_ACTS, KINDS, PHASE_S, PHASES, UNREACHABLE, Order, Planner, build_body, parse_target
from bench.soak.run import Evidence
from bench.soak.verdict import Book, Sight, Verdict, reconcile

MEBIBYTE = 1024 * 1024
CLOSED = "upstream_closed"


class Dice:
    """Gives what it is told to."""

    def __init__(self, kind, share):
        """Always give this kind of client, and this number from 0 up to 1."""
        self._kind = kind
        self._share = share

    def choices(self, _population, _weights):
        """Return the kind."""
        return [self._kind]

    def choice(self, items):
        """Return the first."""
        return items[0]

    def random(self):
        """Return the number."""
        return self._share


def attempt(status=200, error=None, *, reused=False, send=0.1):
    """Build what a record says of one attempt."""
    return {"status": status, "error": error, "reused": reused, "timing_ms": {"send": send}}


BROKEN = attempt(None, CLOSED)
RIGHT = Sight(200, is_whole=True, is_right=True)
TOLD = Sight(502, slug=CLOSED, is_whole=True)
FAILED = {"outcome": "upstream_failed", "error": CLOSED, "status": 502}


class Run:
    """Requests, what came of them, and the records: at first, one that went well."""

    def __init__(self, kind="get", act="length"):
        """Send request 7."""
        self.order = Order(7, kind, act, "ingress")
        self.orders = [self.order]
        self.sights = {7: RIGHT}
        self.ledger = Ledger()
        self.ledger.deeds[7] = Deeds(arrived=1)
        self.book = Book()

    def see(self, sight):
        """Have the client see this."""
        self.sights[7] = sight

    def record(self, *attempts, target=None, outcome="ok", error=None, status=200, token_ms=0.0):
        """Write a record."""
        self.book.add(
            {
                "event": "exchange.closed",
                "id": "abc-1",
                "request": {"method": self.order.method, "target": target or self.order.target},
                "response": {"status": status},
                "attempts": attempts or [attempt()],
                "outcome": outcome,
                "error": error,
                "timing_ms": {"token": token_ms, "total": 3.0},
            }
        )

    def judge(self):
        """Compare."""
        return reconcile(self.orders, self.sights, self.book, self.ledger)


def build_gauge(growth=0, leak=0):
    """Build the looks of a run; in its second half come ``growth`` bytes and ``leak`` descriptors."""
    return Gauge([Sample(float(at), 60 * MEBIBYTE + growth * at // 500, 30 + leak * at // 500) for at in range(1001)])


@pytest.fixture
def build_evidence():
    """Build what a run leaves behind, with a verdict of one's own, and whatever else is given."""

    def build(verdict, **others):
        known = {
            "elapsed_s": 100.0,
            "gauge": build_gauge(),
            "dead": Counter(revoked=3),
            "met": Counter({"500": 4}),
            "issued": 20,
            "fetches": Counter(ok=16, status=4),
            "drops": 5,
            "files": 2,
            "lag_s": 0.01,
        }
        return Evidence(verdict=verdict, **(known | others))

    return build


def good_verdict(**others):
    """Build a verdict that is as it should be, but for what is given."""
    return Verdict(sent=9, right=8, demanded=Counter({"POST broken": 1}), **others)


def test_answered_right():
    """An answer that is the upstream's, and one record that says so, are right."""
    run = Run()
    run.record()
    verdict = run.judge()

    assert (verdict.sent, verdict.right, verdict.wrong) == (1, 1, [])
    assert (verdict.missing, verdict.double, verdict.strange) == ([], [], [])


def test_missing_record():
    """A request that is not in the log is found, whatever its client saw."""
    run = Run()

    assert run.judge().missing == [7]


def test_double_record():
    """A request that is in the log twice is found."""
    run = Run()
    run.record()
    run.record()

    assert run.judge().double == [7]


@pytest.mark.parametrize("target", ["/ingress/v1/soak?number=8&act=length&bytes=600", "/ingress/v1/other"])
def test_strange_record(target):
    """A record of a request that nobody sent is found."""
    run = Run()
    run.record()
    run.record(target=target)

    assert len(run.judge().strange) == 1


@pytest.mark.parametrize("kind", ["get", "post"])
def test_unexplained_failure(kind):
    """A failure for which the upstream did nothing is found, though client and log agree on it."""
    run = Run(kind)
    run.see(TOLD)
    run.record(BROKEN, BROKEN, **FAILED)

    assert "without a fault" in run.judge().wrong[0]


@pytest.mark.parametrize(
    ("slug", "status"), [("no_token", 503), ("upstream_timeout", 504), ("upstream_protocol", 502), ("internal", 500)]
)
def test_failure_of_another_kind(slug, status):
    """No fault of these upstreams demands an error of another kind, even where they broke the request off."""
    run = Run("post", "reset")
    run.ledger.deeds[7] = Deeds(arrived=1, broken=1)
    run.see(Sight(status, slug=slug, is_whole=True))
    run.record(attempt(None, slug), outcome="upstream_failed", error=slug, status=status)

    assert "no fault demands it" in run.judge().wrong[0]


def test_post_broken():
    """A POST that was broken off is demanded to fail."""
    run = Run("post", "reset")
    run.ledger.deeds[7] = Deeds(arrived=1, broken=1)
    run.see(TOLD)
    run.record(BROKEN, **FAILED)
    verdict = run.judge()

    assert verdict.wrong == []
    assert verdict.demanded == {"POST broken": 1}


def test_post_sent_again():
    """A POST that arrived twice is found, though its client got the right answer."""
    run = Run("post", "reset")
    run.ledger.deeds[7] = Deeds(arrived=2, broken=1)
    run.record(BROKEN, attempt())

    assert "once more than it may" in run.judge().wrong[0]


@pytest.mark.parametrize(("send", "is_right"), [(0.1, False), (None, True)])
def test_post_sent_again_elsewhere(send, is_right):
    """A POST may go again only if it had not left; that its first way led nowhere is no excuse."""
    run = Run("post")
    run.ledger.drops.append(0.0)
    run.record(attempt(None, CLOSED, reused=True, send=send), attempt())
    verdict = run.judge()

    assert (verdict.right == 1) is is_right
    assert bool(verdict.wrong) is not is_right


def test_get_not_sent_again():
    """A GET that was broken off once is to go again: its failure is found."""
    run = Run("get", "reset")
    run.ledger.deeds[7] = Deeds(arrived=1, broken=1)
    run.see(TOLD)
    run.record(BROKEN, **FAILED)

    assert "not sent again" in run.judge().wrong[0]


def test_get_sent_again():
    """A GET that was broken off once, and answered then, is right."""
    run = Run("get", "reset")
    run.ledger.deeds[7] = Deeds(arrived=2, broken=1)
    run.record(BROKEN, attempt())
    verdict = run.judge()

    assert (verdict.right, verdict.again, verdict.wrong) == (1, 1, [])


@pytest.mark.parametrize(("dropped_at", "is_reused", "demanded"), [(50.0, True, 1), (40.0, True, 0), (50.0, False, 0)])
def test_post_met_a_close(dropped_at, is_reused, demanded):
    """A POST that never arrived is forgiven if it was sent on a used connection while one was dropped, else not."""
    run = Run("post")
    del run.ledger.deeds[7]
    run.ledger.drops.append(dropped_at)
    run.see(Sight(502, slug=CLOSED, is_whole=True, started=49.99, ended=50.01))
    run.record(attempt(None, CLOSED, reused=is_reused), **FAILED)
    verdict = run.judge()

    assert verdict.demanded.total() == demanded
    assert len(verdict.wrong) == 1 - demanded


@pytest.mark.parametrize(
    ("slug", "status", "route", "started", "demanded"),
    [
        ("upstream_refused", 502, "ingress", 50.0, 1),
        ("upstream_refused", 502, "ingress", 54.5, 0),
        ("upstream_refused", 502, "tls", 50.0, 0),
        ("breaker_open", 503, "ingress", 54.5, 1),
        ("breaker_open", 503, "ingress", 61.0, 0),
        ("breaker_open", 502, "ingress", 54.5, 0),
    ],
)
def test_upstream_out_of_reach(slug, status, route, started, demanded):
    """A request fails rightly while the plain upstream takes no connection, or while the breaker has yet to learn."""
    run = Run()
    run.orders = [Order(7, "get", "length", route)]
    run.ledger.outages.append((50.0, 54.0))
    run.see(Sight(status, slug=slug, is_whole=True, started=started, ended=started + 0.1))
    run.record(attempt(None, slug), outcome="upstream_failed", error=slug, status=status)
    verdict = run.judge()

    assert verdict.demanded.total() == demanded
    assert len(verdict.wrong) == 1 - demanded


def test_answer_cut():
    """An answer that was cut must look cut to its client."""
    run = Run("get", "cut")
    run.ledger.deeds[7] = Deeds(arrived=1, broken=1)
    run.see(Sight(200, is_whole=False))
    run.record(attempt(200, CLOSED), **(FAILED | {"status": 200}))
    cut = run.judge()
    run.see(Sight(200, is_whole=True))
    passed_off = run.judge()

    assert cut.demanded == {"answer cut": 1}
    assert "not told so" in passed_off.wrong[0]


def test_wrong_answer():
    """An answer with another's body is found."""
    run = Run()
    run.see(Sight(200, is_whole=True, is_right=False))
    run.record()

    assert len(run.judge().wrong) == 1


@pytest.mark.parametrize("said", [{"status": 503}, {"outcome": "client_left"}, {"error": "internal"}])
def test_log_that_says_something_else(said):
    """A record that says another thing than the client saw is found."""
    run = Run()
    run.record(**said)

    assert "does not say what the client saw" in run.judge().wrong[0]


def test_rejection_that_was_none():
    """A 401 by the log that no upstream gave is found; one that it gave, and a wait for the next token, is no fault."""
    run = Run()
    run.record(attempt(401), attempt(), token_ms=20.0)
    invented = run.judge()
    run.ledger.deeds[7] = Deeds(arrived=2, rejected=1)
    real = run.judge()

    assert "did not reject" in invented.wrong[0]
    assert (real.right, real.renewed, real.waited) == (1, 1, 0)


def test_wait_for_a_token():
    """A request that waited for a token without a rejection is counted."""
    run = Run()
    run.record(token_ms=0.1)

    assert (run.judge().waited, run.judge().outlived) == (1, 0)


@pytest.mark.parametrize(("outcomes", "is_forgiven"), [(["status", "ok"], 1), (["status", "ok", "ok"], 0), (["ok"], 0)])
def test_wait_at_the_end_of_an_outage(outcomes, is_forgiven):
    """A wait is forgiven only if the call that ended it was the first to go well."""
    run = Run()
    for outcome in outcomes:
        run.book.add({"event": "token.fetched", "outcome": outcome})
    run.record(token_ms=1.5)
    verdict = run.judge()

    assert (verdict.outlived, verdict.waited) == (is_forgiven, 1 - is_forgiven)


def test_client_that_left():
    """A client that left may be on record as gone or as served, and as nothing else."""
    gone, refused = Run("leaves_waiting", "late"), Run("leaves_waiting", "late")
    gone.see(Sight(None, has_left=True))
    gone.record(outcome="client_left", status=None)
    refused.see(Sight(None, has_left=True))
    refused.record(outcome="refused", error="overloaded", status=503)

    assert gone.judge().left == 1
    assert len(refused.judge().wrong) == 1


def test_client_without_a_sight():
    """A request of which its client says nothing is found."""
    run = Run()
    run.sights.clear()
    run.record()

    assert len(run.judge().wrong) == 1


def test_good_run_passes(build_evidence):
    """A run in which everything holds has no failure."""
    assert list(find_failures(build_evidence(good_verdict()))) == []


@pytest.mark.parametrize(
    "found",
    [{"missing": [7]}, {"double": [7]}, {"strange": ["abc-1: ok, None"]}, {"wrong": ["request 7"]}, {"waited": 1}],
    ids=lambda found: next(iter(found)),
)
def test_bad_verdict_fails(build_evidence, found):
    """Each thing found in the requests or in the log fails the run."""
    assert list(find_failures(build_evidence(good_verdict(**found))))


@pytest.mark.parametrize(
    "found",
    [
        {"dead": Counter(expired=1)},
        {"dead": Counter(absent=1)},
        {"issued": 402, "fetches": Counter(ok=402)},
        {"fetches": Counter(ok=19)},
        {"fetches": Counter(ok=21)},
        {"met": Counter()},
        {"drops": 0},
        {"gauge": build_gauge(growth=9 * MEBIBYTE)},
        {"gauge": build_gauge(leak=40)},
    ],
    ids=[
        "expired",
        "absent",
        "storm",
        "unrecorded_call",
        "invented_call",
        "no_weather",
        "no_drops",
        "memory",
        "descriptors",
    ],
)
def test_bad_evidence_fails(build_evidence, found):
    """Each thing found beside the requests fails the run; so does one in which nothing happened."""
    assert list(find_failures(build_evidence(good_verdict(), **found)))


def test_a_call_that_the_end_has_cut_short_need_not_have_arrived(build_evidence):
    """It is in the log as what it was."""
    assert list(find_failures(build_evidence(good_verdict(), fetches=Counter(ok=20, stopped=1)))) == []


def test_run_without_demanded_failures_fails(build_evidence):
    """A run whose faults reached no client shows nothing."""
    assert list(find_failures(build_evidence(Verdict(sent=9, right=9))))


def test_with_calm_upstreams_no_client_may_see_a_failure(build_evidence):
    """Nothing is demanded there, so whatever failed is a failure; that no connection was dropped is none."""
    calm = build_evidence(Verdict(sent=9, right=9), drops=0)

    assert list(find_failures(calm, is_calm=True)) == []
    assert list(find_failures(build_evidence(good_verdict()), is_calm=True))


@pytest.mark.parametrize("index", range(len(PHASES)))
def test_calm_upstreams_answer_as_they_should(index):
    """In each phase, whatever the dice say."""
    for kind in ("get", "post_large"):
        [order] = Planner(Dice(kind, 0.0), is_calm=True).plan(PHASE_S * index)

        assert order.act in GOOD_ACTS


@pytest.mark.parametrize("kind", KINDS)
def test_orders(kind):
    """An upstream reads in the target what was planned; two requests of one client have numbers of their own."""
    orders = Planner(Dice(kind, 0.9)).plan(0.0)

    assert [order.number for order in orders] == list(range(len(orders)))
    for order in orders:
        asked = parse_target(order.target.removeprefix("/ingress"))
        assert (asked.number, asked.act, asked.size) == (order.number, order.act, KINDS[kind].answer)
        assert len(order.answer) == KINDS[kind].answer


@pytest.mark.parametrize(
    ("index", "act"), [(index, act) for index, act in enumerate(PHASES) if act not in {None, UNREACHABLE}]
)
def test_phases(index, act):
    """In its phase a fault is met by some requests, and by none whose client cannot bear it."""
    dice = Dice("get", 0.1)
    [met] = Planner(dice).plan(PHASE_S * index)
    [left] = Planner(Dice("leaves_waiting", 0.1)).plan(PHASE_S * index)

    assert met.act == act
    assert left.act == "late"


def test_bodies_are_nobody_elses():
    """Bodies differ by request, by what they answer, and by length."""
    bodies = [build_body(1, 600, 0), build_body(2, 600, 0), build_body(1, 600, 5), build_body(1, 601, 0)]

    assert len(set(bodies)) == len(bodies)
    assert [len(body) for body in bodies] == [600, 600, 600, 601]
