"""Every fault that the proxy is built to live with, what is right then, and the tests that make it for real.

The rule of this file: data.  tests/unit/test_fault_matrix.py proves that each test that is named is there.
A test is named as ``folder/module::test``, below tests/ and without ``test_`` before the module.
"""

from __future__ import annotations

from dataclasses import dataclass

_NETWORK = "integration/faults/network::test_"
_MACHINE = "integration/faults/machine::test_"
_CROWDS = "integration/faults/crowds::test_"
_RELAY = "integration/relay/"
_TOKENS = "unit/tokens/"
_TRAFFIC = "unit/traffic/"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault.

    Attributes:
        fault: What goes wrong.
        right: What the proxy does then.
        tests: That show it; none only where ``waits_for`` says why.
        waits_for: What has to be built before all of it can be shown, in words; empty where nothing is missing.
    """

    fault: str
    right: str
    tests: tuple[str, ...] = ()
    waits_for: str = ""


_TOKEN_SERVER = (
    Row(
        "the token server is down when the proxy starts",
        "it starts, is unready, answers 503, and serves within one back-off of the server's return",
        (
            f"{_RELAY}peer_defects::test_peer_defect_21_cannot_start_while_token_server_is_down",
            "integration/admin::test_unready_says_why",
        ),
    ),
    Row(
        "it is down while the token lives",
        "traffic goes on, renewal is tried again with back-off",
        (
            f"{_RELAY}tokens_in_use::test_a_dead_token_server_is_not_noticed_while_the_token_lives",
            f"{_TOKENS}bearer::test_backoff_while_a_token_is_valid",
        ),
    ),
    Row(
        "it is down when the token ends",
        "503 within the wait, never a request without a token",
        (
            f"{_RELAY}token_outages::test_an_outage_is_noticed_at_the_true_expiry_and_its_end_at_once",
            f"{_RELAY}tokens_in_use::test_without_a_token_nothing_is_forwarded",
        ),
    ),
    Row(
        "it answers 500, 503 or 429, with or without Retry-After",
        "back-off, Retry-After honoured, one call at a time",
        (
            f"{_NETWORK}an_answer_that_is_no_token_is_never_sent_on",
            f"{_TOKENS}fetch::test_retry_after",
            f"{_TOKENS}bearer::test_retry_after_is_honoured",
        ),
    ),
    Row(
        "it never answers",
        "the call has a limit of its own, and those who wait share its outcome",
        (f"{_NETWORK}a_way_to_the_token_server_that_fails_is_tried_one_call_at_a_time",),
    ),
    Row(
        "its answer is reset, or cut at any byte",
        "no part of a token is a token",
        (f"{_NETWORK}a_token_answer_cut_at_any_byte_brings_no_token", f"{_TOKENS}fetch::test_connection_reset"),
    ),
    Row(
        "it answers with a web page, broken JSON or nothing",
        "refused, the old token serves on, the body is in no log",
        (
            f"{_NETWORK}an_answer_that_is_no_token_is_never_sent_on",
            f"{_RELAY}peer_defects::test_peer_defect_04_token_failure_becomes_empty_200",
            f"{_TOKENS}answers::test_unreadable_answers",
        ),
    ),
    Row(
        "it spells the member as RapidSOS's documentation misspells it",
        "accepted, and told once",
        (f"{_TOKENS}answers::test_documented_variants", f"{_TOKENS}history::test_oddity_is_told_once"),
    ),
    Row(
        "its token is missing, null, empty, a number, or has a line break",
        "refused, and not remembered",
        (f"{_NETWORK}an_answer_that_is_no_token_is_never_sent_on", f"{_TOKENS}answers::test_what_is_no_token"),
    ),
    Row(
        "issued_at is in other units, in the past, in the future, or text",
        "it plays no part",
        (f"{_NETWORK}an_answer_that_is_no_token_is_never_sent_on", f"{_TOKENS}answers::test_issued_at_is_ignored"),
    ),
    Row(
        "expires_in is text, a fraction, nought, negative, endless or missing",
        "a usable token is used, its life clamped, no calls in a row",
        (
            f"{_NETWORK}an_answer_that_is_no_token_is_never_sent_on",
            f"{_TOKENS}answers::test_expires_in",
            f"{_TOKENS}bearer::test_tiny_life_does_not_storm",
            f"{_RELAY}tokens_in_use::test_a_token_without_a_life_serves_whoever_waited_for_it",
        ),
    ),
    Row(
        "it refuses, and echoes the secret",
        "the secret is in neither log nor answer",
        ("integration/no_secret_leaks::test_no_secret_leaves_the_program",),
    ),
    Row("it redirects", "not followed", (f"{_TOKENS}fetch::test_redirect_is_not_followed",)),
    Row(
        "its answer has megabytes, or no end",
        "no more than 64 KiB are read",
        (f"{_TOKENS}fetch::test_answer_of_six_megabytes", f"{_TOKENS}fetch::test_endless_answer"),
    ),
    Row(
        "the secret was changed at the server",
        "one attempt a minute, an alarm, and the new secret is used as soon as it is in its file",
        (
            "integration/secret_rotation::test_a_secret_that_was_refused_is_replaced_at_once",
            "integration/secret_rotation::test_a_changed_secret_file_costs_no_request",
        ),
    ),
    Row(
        "hundreds of clients at the moment when a token ends",
        "one call",
        (
            f"{_RELAY}tokens_in_use::test_many_at_the_refresh_cause_one_token_call",
            f"{_RELAY}token_outages::test_a_revocation_under_load_costs_one_call_and_no_request",
        ),
    ),
    Row(
        "the wall clock is stepped, on and back",
        "only the time of records changes",
        (
            f"{_MACHINE}a_clock_that_is_stepped_changes_nothing_but_the_time_of_records",
            f"{_TOKENS}clock::test_clock_runs_through_suspend",
        ),
    ),
    Row(
        "the machine sleeps past the end of its token",
        "one renewal, and whoever asks then is served",
        (
            f"{_MACHINE}a_machine_that_slept_past_its_token_renews_it_once",
            f"{_TOKENS}bearer::test_suspend_never_sends_a_dead_token",
        ),
    ),
)

_UPSTREAM = (
    Row(
        "401 once",
        "a new token and one more try with the same body; both are in the record",
        (f"{_RELAY}tokens_in_use::test_a_body_goes_again_after_401",),
    ),
    Row(
        "401 always",
        "relayed after one new token; the next is paused",
        (f"{_RELAY}tokens_in_use::test_401_for_ever_is_relayed_after_one_new_token",),
    ),
    Row("403", "relayed, no new token", (f"{_RELAY}tokens_in_use::test_403_and_404_are_relayed_and_mint_nothing",)),
    Row(
        "429 or 5xx",
        "relayed untouched; nothing is sent twice",
        (
            f"{_RELAY}forwarding::test_answer_is_relayed_as_it_is",
            f"{_RELAY}tokens_in_use::test_a_server_error_says_nothing_of_a_new_token",
        ),
    ),
    Row(
        "its port is closed",
        "502 at once, recovery at once",
        (f"{_RELAY}upstream_faults::test_refused_connection_is_502_at_once",),
    ),
    Row(
        "it closes or resets before its answer",
        "GET goes once more, POST never; the client is told which",
        (
            f"{_RELAY}upstream_faults::test_get_goes_once_more_on_a_new_connection",
            f"{_RELAY}upstream_faults::test_get_is_given_up_after_the_second_death",
            f"{_RELAY}upstream_faults::test_post_is_never_sent_twice",
            f"{_NETWORK}a_post_whose_answer_is_lost_on_the_way_is_sent_once",
        ),
    ),
    Row(
        "it closes within its head, or sends what is no HTTP",
        "502, the connection thrown away",
        (
            f"{_RELAY}upstream_faults::test_get_is_not_repeated_once_its_answer_has_begun",
            f"{_RELAY}upstream_faults::test_an_answer_that_could_be_read_two_ways_is_refused",
        ),
    ),
    Row(
        "it breaks off within its body",
        "the client sees the break, the record how far it came",
        (
            f"{_RELAY}upstream_faults::test_an_answer_cut_short_looks_cut_short",
            f"{_RELAY}upstream_faults::test_a_cut_answer_resets_a_client_that_waits_for_the_close",
        ),
    ),
    Row(
        "it never answers, or stops within its answer",
        "504, or a visible break, in the configured time; others are served meanwhile",
        (
            f"{_NETWORK}a_line_that_falls_silent_is_504_and_holds_up_no_other",
            f"{_RELAY}time_limits::test_an_upstream_that_never_answers",
            f"{_RELAY}time_limits::test_an_upstream_that_stops_within_its_body",
        ),
    ),
    Row(
        "it is slow and honest",
        "not cut: silence is limited, not the whole; others are served meanwhile",
        (
            f"{_NETWORK}a_slow_line_to_one_upstream_holds_up_no_other",
            f"{_RELAY}time_limits::test_a_slow_answer_is_not_cut_off",
        ),
    ),
    Row(
        "an idle connection is closed",
        "the next request is not lost",
        (
            f"{_NETWORK}a_network_that_breaks_all_connections_costs_no_get",
            f"{_RELAY}upstream_faults::test_post_avoids_a_pooled_connection_that_the_upstream_closed",
        ),
    ),
    Row(
        "an idle connection dies in the moment of sending",
        "GET goes once more; POST is 502",
        (
            f"{_RELAY}upstream_faults::test_get_goes_once_more_on_a_new_connection",
            f"{_RELAY}upstream_faults::test_post_is_never_sent_twice",
        ),
    ),
    Row(
        "it answers while the body is still coming",
        "the client gets the answer",
        (
            f"{_RELAY}upstream_faults::test_an_early_answer_reaches_the_client",
            f"{_RELAY}backpressure::test_an_upstream_that_answers_early_and_never_reads_loses_its_connection",
        ),
    ),
    Row(
        "it sends more than its answer, or one that nobody asked for",
        "that connection is closed, and no client gets it",
        (
            f"{_RELAY}upstream_faults::test_bytes_after_an_answer_never_become_the_next_one",
            f"{_RELAY}upstream_faults::test_an_answer_nobody_asked_for_is_thrown_away",
        ),
    ),
    Row(
        "its framing or its head can be read two ways, or has no end",
        "502",
        (f"{_RELAY}upstream_faults::test_an_answer_that_could_be_read_two_ways_is_refused",),
    ),
    Row(
        "1xx that nobody asked for",
        "relayed to HTTP/1.1; 101 is 502",
        (
            f"{_RELAY}forwarding::test_interim_answers_are_relayed",
            f"{_RELAY}upstream_faults::test_an_answer_that_could_be_read_two_ways_is_refused",
        ),
    ),
    Row(
        "it redirects to another host",
        "the client's to follow; the token stays",
        (f"{_RELAY}forwarding::test_redirects_are_relayed_not_followed",),
    ),
    Row(
        "its answer is a compressed bomb, or broken",
        "relayed as it is; the log unpacks no more than its share",
        (
            f"{_RELAY}forwarding::test_compressed_answers_stay_compressed",
            "integration/traffic_log::test_a_body_made_to_cost_much_is_relayed_and_withheld_from_the_log",
        ),
    ),
    Row(
        "DNS fails, hangs, or changes",
        "502 in time; the last good addresses serve; a new address is used",
        (
            f"{_RELAY}dialling::test_a_route_is_served_while_dns_hangs",
            f"{_RELAY}dialling::test_a_name_that_never_resolved_is_502_in_time",
            f"{_RELAY}dialling::test_a_hanging_name_holds_up_nothing_else",
            f"{_RELAY}stopping::test_a_dns_that_hangs_holds_up_neither_requests_nor_the_end",
            "unit/resolver::test_while_dns_fails_the_last_good_addresses_are_used",
            "unit/resolver::test_each_dial_after_an_answer_asks_anew",
        ),
    ),
    Row(
        "TLS is wrong: expired, another name, unknown authority, too old, silent",
        "502, and the reason in words; no switch turns it off",
        (
            f"{_RELAY}dialling::test_a_handshake_that_fails_says_how",
            f"{_RELAY}dialling::test_a_certificate_of_an_unknown_authority_says_what_to_do",
            "integration/doctor/network_faults::test_a_certificate_that_is_not_good",
            "integration/doctor/network_faults::test_nothing_newer_than_tls_1_1",
        ),
    ),
    Row(
        "the file of additional authorities is replaced",
        "used after a reload",
        waits_for="changing the configuration without a restart",
    ),
    Row(
        "a FIN without close_notify",
        "a cut, not an end",
        (f"{_RELAY}upstream_faults::test_tls_cut_without_close_notify_is_no_end",),
    ),
)

_CLIENTS = (
    Row(
        "leaves in the middle of its request",
        "the upstream sees no whole request; the record says so",
        (
            f"{_NETWORK}a_request_cut_at_any_byte_is_never_delivered_as_another",
            f"{_RELAY}upstream_faults::test_client_that_leaves_in_mid_upload_delivers_no_whole_request",
        ),
    ),
    Row(
        "leaves in the middle of its answer",
        "the upstream is stopped; the record says how far it came",
        (f"{_RELAY}upstream_faults::test_client_that_leaves_stops_the_upstream",),
    ),
    Row(
        "closes its sending side after the request",
        "it is answered",
        (
            f"{_RELAY}forwarding::test_client_that_half_closes_gets_its_answer",
            f"{_RELAY}last_words::test_pipelined_requests_before_a_half_close_are_all_answered",
        ),
    ),
    Row(
        "is silent, slow, or does not read; alone, in a crowd, and as slowhttptest",
        "it is cut off in time; memory is flat, and others are served",
        (
            f"{_CROWDS}a_crowd_that_is_slow_is_cut_off_and_holds_up_no_other",
            f"{_CROWDS}slowhttptest_in_all_its_modes_holds_up_no_other",
            f"{_NETWORK}a_client_whose_line_falls_silent_keeps_nothing",
            f"{_RELAY}time_limits::test_a_head_that_trickles_in_is_cut_off_too",
            f"{_RELAY}time_limits::test_a_client_that_never_reads_is_cut_off",
            f"{_RELAY}time_limits::test_a_trickle_does_not_hold_a_place_for_ever",
            "integration/large_bodies::test_slow_reader_holds_the_upstream_and_not_the_memory",
        ),
    ),
    Row(
        "a target, a head or a number of fields beyond the limits",
        "414, 431 or 400, and close",
        (f"{_RELAY}limits::test_what_is_beyond_a_limit_is_refused",),
    ),
    Row(
        "a body beyond the limit, stated or not",
        "413, before it is sent where that can be known",
        (
            f"{_RELAY}limits::test_what_is_beyond_a_limit_is_refused",
            f"{_RELAY}limits::test_a_chunked_body_beyond_the_limit_is_cut_off",
        ),
    ),
    Row(
        "a request that two parsers would read differently",
        "400 and close",
        (
            "property/framing::test_accepted_mutant_is_read_alike_or_refused_by_others",
            "property/head::test_accepted_mutant_is_read_alike_or_refused_by_others",
        ),
    ),
    Row(
        "thousands of pipelined requests, read or not",
        "answered in order; no more is taken than is read",
        (
            f"{_RELAY}pipelines::test_each_request_of_a_pipeline_gets_its_answer_and_its_record",
            f"{_RELAY}backpressure::test_a_client_that_pipelines_and_never_reads_is_not_served_on",
        ),
    ),
    Row(
        "asks for another host: absolute-form, CONNECT, Host, Origin",
        "refused, and never dialled",
        (
            f"{_RELAY}gate::test_absolute_form_to_a_foreign_host_is_refused",
            f"{_RELAY}gate::test_connect_and_trace_are_not_allowed",
            f"{_RELAY}interception::test_other_tunnels_are_refused",
            f"{_RELAY}interception::test_request_for_another_host_is_refused",
            f"{_RELAY}gate::test_a_rebound_host_name_is_refused",
            f"{_RELAY}gate::test_web_pages_of_other_sites_are_refused",
        ),
    ),
    Row(
        "is in none of the networks",
        "403, and a record",
        (
            f"{_RELAY}gate::test_client_outside_the_networks_is_refused_and_recorded",
            f"{_RELAY}limits::test_strangers_take_nobodys_place",
        ),
    ),
    Row(
        "10,000 idle connections",
        "others are served; who comes on top is told; memory is known for each",
        (f"{_CROWDS}ten_thousand_idle_connections_take_no_ones_place",),
    ),
    Row(
        "one client floods",
        "it is held to its share, and others are served",
        (
            f"{_CROWDS}a_client_that_floods_is_held_to_its_share",
            f"{_RELAY}limits::test_one_client_cannot_have_every_exchange",
            f"{_RELAY}backpressure::test_a_pipeline_of_refusals_holds_nobody_up_and_keeps_nothing",
        ),
    ),
)

_HOST = (
    Row(
        "the disk of the traffic log is full",
        "by default records give way, counted and told; else requests; no line is half",
        (
            f"{_MACHINE}a_disk_that_fills_up_costs_records_and_no_answer",
            f"{_MACHINE}a_disk_that_fails_ends_nothing",
            f"{_TRAFFIC}log::test_a_full_disk_costs_records_until_there_is_room",
            "integration/traffic_log::test_a_log_that_fails_has_requests_refused_at_once_if_told_to",
        ),
    ),
    Row(
        "the log's file is moved, deleted, unreadable, or fails with EIO",
        "a new one is begun; nothing crashes, and nobody waits",
        (
            f"{_MACHINE}a_disk_that_fails_ends_nothing",
            f"{_TRAFFIC}writer::test_a_file_that_is_deleted_under_load_loses_no_line",
            f"{_TRAFFIC}sink::test_a_file_that_was_replaced_is_followed",
            f"{_RELAY}stopping::test_a_log_that_cannot_be_opened_is_an_error_of_the_configuration",
        ),
    ),
    Row(
        "standard output or standard error is closed, or nobody reads it",
        "told once; traffic goes on",
        (
            f"{_MACHINE}standard_error_that_nobody_reads_holds_nobody_up",
            "unit/logs::test_a_stream_that_is_closed_ends_nothing",
            f"{_MACHINE}a_log_whose_reader_goes_away_ends_nothing",
            f"{_MACHINE}a_log_whose_reader_stops_reading_holds_nobody_up",
        ),
    ),
    Row(
        "the disk is slow",
        "nobody waits for it",
        (
            f"{_MACHINE}a_slow_disk_is_not_noticed",
            f"{_TRAFFIC}log::test_a_slow_disk_costs_records_and_no_time",
            "integration/stores/restart::test_a_disk_that_hangs_keeps_it_neither_from_serving_nor_from_ending",
        ),
    ),
    Row(
        "the process is killed in the middle of a record",
        "at most the last line is torn; the next start says so, and needs nobody to tidy up",
        (
            f"{_MACHINE}a_kill_under_load_tears_no_more_than_the_last_line",
            f"{_TRAFFIC}sink::test_a_torn_line_is_ended_before_the_next",
            "integration/second_proxy::test_a_killed_proxy_leaves_its_files_free",
        ),
    ),
    Row(
        "Redis is gone, frozen, emptied, or holds something else",
        "each replica has tokens of its own; nobody waits; they agree again afterwards",
        (
            "integration/stores/replicas::test_redis_dies_and_comes_back_under_load",
            "integration/stores/replicas::test_a_frozen_redis_is_not_noticed_by_clients",
            "integration/stores/redis_store::test_fences_grow_on_after_redis_was_emptied",
            "integration/stores/redis_store::test_a_key_of_another_type_costs_nobody_a_token",
        ),
    ),
    Row(
        "two proxies renew at once",
        "one token for both, or each its own; neither harms the other",
        ("integration/stores/replicas::test_replicas_fetch_one_token_for_each_life",),
    ),
    Row(
        "a worker crashes",
        "it costs what it held",
        waits_for="more than one process on one machine's port",
    ),
    Row(
        "SIGTERM under load",
        "no exchange is cut within the drain limit; readiness falls; the log is whole; exit code 0",
        (
            f"{_MACHINE}sigterm_under_load_cuts_no_exchange",
            f"{_RELAY}stopping::test_a_signal_drains",
        ),
    ),
    Row(
        "the drain limit passes, or a second SIGTERM comes",
        "what is left is cut, and recorded as such",
        (
            f"{_RELAY}stopping::test_what_outlasts_the_drain_is_cut_and_recorded",
            f"{_RELAY}stopping::test_a_second_signal_ends_at_once",
        ),
    ),
    Row(
        "SIGHUP, with a good file or a bad one",
        "nothing is dropped",
        (f"{_RELAY}stopping::test_a_hangup_does_not_end_the_program",),
        waits_for="changing the configuration without a restart",
    ),
    Row(
        "descriptors run out",
        "who is in is served; an upstream that cannot be dialled is told in words; afterwards all is as before",
        (
            f"{_MACHINE}without_descriptors_those_who_are_in_are_served",
            f"{_MACHINE}an_upstream_that_no_descriptor_is_left_for_is_told_in_words",
            "unit/cli::test_check_and_serve_tell_of_too_few_descriptors",
        ),
    ),
    Row(
        "memory is short",
        "bodies are streamed: memory does not grow with them",
        (
            "integration/large_bodies::test_large_body_arrives_whole_in_little_memory",
            "integration/large_bodies::test_slow_upstream_holds_the_client_and_not_the_memory",
        ),
    ),
    Row(
        "a body that is dear to record",
        "its record gives way, and no other client waits",
        ("integration/traffic_log::test_a_body_made_to_cost_much_is_relayed_and_withheld_from_the_log",),
    ),
    Row(
        "a port that is taken, data or admin; a configuration or a secret that cannot be used",
        "exit code 2, key and fix, no traceback, no secret",
        (
            f"{_RELAY}stopping::test_a_port_that_is_taken_is_an_error_of_the_configuration",
            f"{_RELAY}stopping::test_a_second_listener_that_cannot_be_had_closes_the_first",
            "integration/no_secret_leaks::test_an_unusable_configuration_is_refused_without_its_secrets",
        ),
    ),
    Row(
        "an exception on the way",
        "neither log nor answer has what it held",
        (
            f"{_TOKENS}fetch::test_errors_hold_no_secret",
            "unit/logs::test_a_secret_in_an_exception_never_passes",
            "integration/admin::test_defect_shows_no_traceback",
        ),
    ),
    Row(
        "others on the machine look at the process",
        "a secret from a file is neither in its environment nor among its arguments",
        (f"{_MACHINE}a_secret_from_a_file_is_neither_in_the_environment_nor_among_the_arguments",),
    ),
    Row(
        "probes and metrics",
        "an address of their own; no secret; nothing of it is forwarded",
        (
            "integration/admin::test_open_paths_need_no_login_and_answer_head",
            "integration/admin::test_password_stands_in_no_answer",
        ),
    ),
    Row(
        "an address family, or the first address, is dead",
        "the next one answers",
        (
            f"{_RELAY}dialling::test_an_address_family_that_is_dead_costs_nothing",
            f"{_RELAY}dialling::test_an_address_that_is_silent_is_overtaken",
        ),
    ),
    Row(
        "the year, or daylight saving, ends",
        "records are in UTC, and in order by their numbers",
        (f"{_MACHINE}a_clock_that_is_stepped_changes_nothing_but_the_time_of_records",),
    ),
    Row(
        "an aiohttp that is too old, or without its C parser",
        "the proxy does not start, and says what to install",
        (
            "unit/process::test_an_old_aiohttp_is_refused",
            "unit/process::test_an_aiohttp_without_its_c_parser_is_refused",
        ),
    ),
    Row("the browser of the live page is slow", "it loses events, and slows nobody", waits_for="the live page"),
    Row("a WebSocket peer is hostile, slow or gone", "as any client or upstream", waits_for="WebSocket"),
    Row("the store of records is full or broken", "traffic goes on", waits_for="the store and replay of records"),
)

MATRIX = {"token server": _TOKEN_SERVER, "upstream": _UPSTREAM, "clients": _CLIENTS, "host": _HOST}
"""By whose fault it is."""
