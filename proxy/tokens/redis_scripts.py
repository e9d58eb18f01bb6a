"""What Redis does in one step each, in its own language.

The rule of this file: data only.  KEYS are always lock, fence and token of one credential; they share a hash tag, as a
server that could be part of a cluster demands.
"""

from __future__ import annotations

_NEXT_FENCE = """
local function next_fence(keep_ms)
    -- Redis may have lost the counter and not the token, as one that evicts keys does: numbers that begin anew must not
    -- be smaller than the one that the token was stored with, or nothing would take its place before it is dead.
    local fence = redis.call('INCR', KEYS[2])
    local stored = tonumber(redis.call('HGET', KEYS[3], 'fence') or '0') or 0
    if stored >= fence then
        fence = stored + 1
        redis.call('SET', KEYS[2], fence)
    end
    redis.call('PEXPIRE', KEYS[2], keep_ms)
    return fence
end
"""

AGREE = f"""{_NEXT_FENCE}
-- ARGV: sealed token or '', its life and what is left of it in ms, how long the fence is kept in ms, and by how many ms
-- a token must be the younger one to be that for all replicas, however long each was on its way here.
local left = redis.call('PTTL', KEYS[3])
if ARGV[1] ~= '' then
    local life = tonumber(redis.call('HGET', KEYS[3], 'life') or '0')
    if left <= 0 or life - left > tonumber(ARGV[2]) - tonumber(ARGV[3]) + tonumber(ARGV[5]) then
        redis.call('HSET', KEYS[3], 'token', ARGV[1], 'life', ARGV[2], 'fence', next_fence(ARGV[4]))
        redis.call('PEXPIRE', KEYS[3], ARGV[3])
        left = tonumber(ARGV[3])
    end
end
return {{redis.call('HGET', KEYS[3], 'token'), left}}
"""
"""Store a token if it is younger than what is stored; return what is stored then, and how long it lives."""

TAKE_TURN = f"""{_NEXT_FENCE}
-- ARGV: owner, how long the lock and the fence are kept in ms, '1' to take the lock from whoever has it.
local found, left = redis.call('HGET', KEYS[3], 'token'), redis.call('PTTL', KEYS[3])
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and ARGV[4] ~= '1' then
    return {{0, found, left}}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {{next_fence(ARGV[3]), found, left}}
"""
"""Take the lock and a number greater than all before it, the stored token's too; 0 while another has the lock.

Return what is stored as well.
"""

END_TURN = """
-- ARGV: owner, fence, sealed token or '', its life and what is left of it in ms, how long the fence is kept in ms.
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
if ARGV[3] == '' or tonumber(redis.call('HGET', KEYS[3], 'fence') or '0') > tonumber(ARGV[2]) then
    return 0
end
redis.call('HSET', KEYS[3], 'token', ARGV[3], 'life', ARGV[4], 'fence', ARGV[2])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
if tonumber(redis.call('GET', KEYS[2]) or '0') < tonumber(ARGV[2]) then
    -- Redis was emptied meanwhile: numbers that begin anew must not be smaller than the one just written.
    redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[6])
end
return 1
"""
"""Give the lock back, if it is still ours, and store a token unless a later turn's is there already."""

PROBE = """
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[3], 'token', '')
redis.call('PEXPIRE', KEYS[3], ARGV[1])
return 1
"""
"""Do what the others do, on keys that nobody reads: a Redis that refuses any of it is of no use."""
