"""RapidSOS in a box: rehearse without a contract, and the upstream of the integration tests.

    server        Simulator: one host of the RapidSOS family on a socket
    settings      what it answers to, and how: SimulatorSettings
    faults        PURE: which fault a request meets
    scenarios     PURE: named sets of faults
    misbehaviour  carries a fault out on the connection
    front         what every request passes: record, fault, authorization, error shape, log line
    journal       what arrived: SeenRequest, TokenRequest
    refusals      PURE: the documented error bodies
    answers       values to aiohttp answers
    parameters    PURE: query and body to values
    token_call    PURE: what one token request says
    tokens        PURE: the authorization server's rules, and its tokens
    token_answer  PURE: how a token is handed out
    world         PURE: what happens out there, shared by the hosts: alerts and locations
    alerts        PURE: one alert, and how RapidSOS writes it
    alert_book    PURE: all alerts, and who may change what
    locations     PURE: where callers are
    held          PURE: the LIS's XML
    token_api, core_api, alerts_api   the documented endpoints
    rehearsal     endpoints that RapidSOS has not: echo, bytes, sink and their like
    control       /_simulator: faults, revocation, state

PURE here means: no sockets, and the clock is an argument.  Where RapidSOS publishes no path or reply, the module
says that it is a guess.
"""
