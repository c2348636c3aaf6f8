"""The scripts that change a pipeline's control keys in one step; EVAL only, so that Redis 6.2 will do.

`known` is the highest lease number known to Redis or, through the floor, to the lake: who comes with less has lost.
"""

from __future__ import annotations

_KNOWN = """
local function known(floor)
  local begun = tonumber(redis.call('GET', KEYS[2]) or '0')
  local moved = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
  return math.max(begun, moved, tonumber(floor))
end
"""

BEGIN = (
    _KNOWN
    + """
-- KEYS pointer fence registry; ARGV fence floor generation buckets. Returns {1 or 0, known}.
local high = known(ARGV[2])
if tonumber(ARGV[1]) < high then return {0, high} end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[3], ARGV[1] .. ' ' .. ARGV[4])
return {1, high}
"""
)

TOUCH = (
    _KNOWN
    + """
-- KEYS pointer fence registry; ARGV fence floor generation buckets. Ends every batch of writes: even a publisher that has
-- lost leaves its generation on the list, so that the next one drops what the batch wrote. Returns {1 or 0, known}.
redis.call('HSETNX', KEYS[3], ARGV[3], ARGV[1] .. ' ' .. ARGV[4])
local high = known(ARGV[2])
if tonumber(ARGV[1]) < high then return {0, high} end
return {1, high}
"""
)

MOVE = (
    _KNOWN
    + """
-- KEYS pointer fence registry; ARGV fence floor generation buckets. Returns {1 or 0, known}.
local high = known(ARGV[2])
if tonumber(ARGV[1]) < high then return {0, high} end
local now = redis.call('HMGET', KEYS[1], 'generation', 'buckets', 'previous', 'previous_buckets')
local previous, previous_buckets = now[1], now[2]
if now[1] == ARGV[3] then previous, previous_buckets = now[3], now[4] end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[3], ARGV[1] .. ' ' .. ARGV[4])
redis.call('HSET', KEYS[1], 'generation', ARGV[3], 'buckets', ARGV[4], 'fence', ARGV[1], 'moved_by', 'publish',
  'previous', previous or '', 'previous_buckets', previous_buckets or '0')
return {1, high}
"""
)

ROLLBACK = (
    _KNOWN
    + """
-- KEYS pointer fence registry; ARGV fence floor from to. Returns {1, 0 or -1 (the pointer has changed meanwhile), known}.
local high = known(ARGV[2])
if tonumber(ARGV[1]) < high then return {0, high} end
local now = redis.call('HMGET', KEYS[1], 'generation', 'buckets', 'previous', 'previous_buckets')
if now[1] ~= ARGV[3] or now[3] ~= ARGV[4] then return {-1, high} end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], 'generation', now[3], 'buckets', now[4], 'fence', ARGV[1], 'moved_by', 'rollback',
  'previous', now[1], 'previous_buckets', now[2])
return {1, high}
"""
)

FACTS = (
    _KNOWN
    + """
-- KEYS pointer fence registry facts; ARGV fence floor generation buckets, the number of facts to remove, those, then fact value …
-- Only while readers look at that generation. Returns {1 or 0, known}.
local high = known(ARGV[2])
if tonumber(ARGV[1]) < high or redis.call('HGET', KEYS[1], 'generation') ~= ARGV[3] then return {0, high} end
local last = 5 + tonumber(ARGV[5])
for at = 6, last do redis.call('HDEL', KEYS[4], ARGV[at]) end
for at = last + 1, #ARGV, 2 do redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 1]) end
return {1, high}
"""
)

CHANGE = """
-- KEYS bucket; ARGV fence, how many of the rest are fields and values, those, then fields to remove. The bucket remembers its
-- last writer: one with an older lease writes nothing. Returns {1, fields that are new, fields that are gone} or {0, the newer lease}.
local held = tonumber(redis.call('HGET', KEYS[1], '[v]') or '0')
if tonumber(ARGV[1]) < held then return {0, held} end
local added, removed, last = 0, 0, 2 + tonumber(ARGV[2])
for at = 3, last, 2 do added = added + redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
for at = last + 1, #ARGV do removed = removed + redis.call('HDEL', KEYS[1], ARGV[at]) end
redis.call('HSET', KEYS[1], '[v]', ARGV[1])
return {1, added, removed}
"""
