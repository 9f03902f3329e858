-- Looks up the wallet of a consumer key and debits one call, in nanos.
-- KEYS[1]: key:<consumer key>; ARGV[1]: price. Returns what is left, -1: unknown key, -2: too little.
local wallet = redis.call('GET', KEYS[1])
if not wallet then return -1 end
local balance = tonumber(redis.call('GET', wallet) or '0')
local price = tonumber(ARGV[1])
if balance < price then return -2 end
return redis.call('DECRBY', wallet, price)
