// node_redis.js SOCKET [2|3] -- the node-redis row of the client matrix; README.md says what is printed.
'use strict';
const { createClient, createClientPool, BasicClientSideCache, RESP_TYPES } = require('redis');
const { check, same, fails, collector, until, restart, end } = require('./node_common');

const unwanted = (who) => (error) => check(false, `no error event (${who})`, error.message);

async function transactions(client, path, resp) {
	same(await client.multi().set('node:t', '1').get('node:t').incr('node:t').exec(), ['OK', '1', 2], 'multi');
	const failed = await client.multi().set('node:t', 'x').incr('node:t').get('node:t').exec().catch((error) => error);
	same(failed.replies.map(String), ['OK', 'Error: ERR value is not an integer or out of range', 'x'], 'multi with a command that fails');
	same(await client.multi().set('node:t', '5').incr('node:t').execAsPipeline(), ['OK', 6], 'execAsPipeline');
	const pool = createClientPool({ socket: { path }, RESP: resp }, { minimum: 1, maximum: 4 });
	pool.on('error', unwanted('pool'));
	await pool.connect();
	await Promise.all(Array.from({ length: 20 }, () => pool.incr('node:t')));
	same(await client.get('node:t'), '26', 'a pool');
	const watched = (between) => pool.execute(async (one) => {
		await one.watch('node:t');
		await between();
		return one.multi().set('node:t', 'mine').get('node:t').exec();
	});
	same(await watched(() => null), ['OK', 'mine'], 'watch');
	same((await watched(() => client.set('node:t', 'yours')).catch((error) => error)).constructor.name, 'WatchError', 'watch, and another one changes it');
	same(await client.get('node:t'), 'yours', '... who wins');
	await pool.close();
}

async function messages(client) {
	const subscriber = client.duplicate();
	subscriber.on('error', unwanted('subscriber'));
	await subscriber.connect();
	const got = collector();
	await subscriber.subscribe(['node:c1', 'node:c2'], (message, channel) => got.add(`${channel} ${message}`));
	await subscriber.pSubscribe('node:c*', (message, channel) => got.add(`p ${channel} ${message}`));
	await subscriber.sSubscribe('node:s', (message, channel) => got.add(`s ${channel} ${message}`));
	await subscriber.subscribe('node:bytes', (message) => got.add(message.toString('hex')), true);
	same([await client.publish('node:c1', 'one'), await client.publish('node:c3', 'two'), await client.sPublish('node:s', 'three'),
		await client.publish('node:bytes', Buffer.from([0, 13, 10, 255])), await client.publish('node:none', '')], [2, 1, 1, 1, 0], 'publish');
	same(await got.first(5), ['node:c1 one', 'p node:c1 one', 'p node:c3 two', 's node:s three', '000d0aff'], 'messages');
	same(await client.pubSubNumSub(['node:c1', 'node:none']), { 'node:c1': 1, 'node:none': 0 }, 'pubSubNumSub');
	same((await client.pubSubChannels('node:c*')).sort(), ['node:c1', 'node:c2'], 'pubSubChannels');
	await subscriber.unsubscribe(['node:c1', 'node:c2', 'node:bytes']);
	await subscriber.pUnsubscribe('node:c*');
	await subscriber.sUnsubscribe('node:s');
	same(String(await subscriber.echo('x')), 'x', 'commands after the last unsubscribe');
	await subscriber.close();
}

async function options(client, binary) {
	await client.del(['node:o', 'node:b', 'node:e1', 'node:e2']);
	same(await client.set('node:o', 'v', { expiration: { type: 'EX', value: 100 }, GET: true }), null, 'set EX GET');
	same(await client.set('node:o', 'w', { expiration: 'KEEPTTL', condition: 'XX', GET: true }), 'v', 'set KEEPTTL XX GET');
	check((await client.ttl('node:o')) > 90, 'ttl');
	same([await client.expire('node:o', 1000, 'GT'), await client.pExpireAt('node:o', 4102444800123), await client.pExpireTime('node:o'), await client.expireTime('node:o'),
		await client.persist('node:o'), await client.ttl('node:o')], [1, 1, 4102444800123, 4102444800, 1, -1], 'deadlines');
	same([await client.getEx('node:o', { type: 'PX', value: 100000 }), await client.getDel('node:o'), await client.getEx('node:o', { type: 'PERSIST' })], ['w', 'w', null], 'getEx, getDel');
	same([await client.setBit('node:b', 7, 1), await client.bitCount('node:b', { start: 0, end: -1, mode: 'BIT' }), await client.bitPos('node:b', 1), await client.bitOp('NOT', 'node:b', 'node:b'),
		await client.bitField('node:b', [{ operation: 'INCRBY', encoding: 'u8', offset: 0, increment: 3 }, { operation: 'OVERFLOW', behavior: 'FAIL' }, { operation: 'SET', encoding: 'i4', offset: '#0', value: 100 }])],
		[0, 1, 7, 1, [1, null]], 'bits');
	await client.mSet({ 'node:l1': 'ohmytext', 'node:l2': 'mynewtext' });
	same(await client.lcsIdxWithMatchLen('node:l1', 'node:l2', { MINMATCHLEN: 2 }), { matches: [[[4, 7], [5, 8], 4], [[2, 3], [0, 1], 2]], len: 6 }, 'lcs');
	const dump = await binary.dump('node:l1');
	same([await client.restore('node:l2', 0, dump, { REPLACE: true }), await client.get('node:l2'), await client.copy('node:l1', 'node:l1', { DB: 3, REPLACE: true }), await client.rename('node:l1', 'node:l3'),
		await client.touch(['node:l2', 'node:l3', 'node:l1'])], ['OK', 'ohmytext', 1, 'OK', 2], 'dump, restore, copy, rename, touch');
	same([await client.mSetEx({ 'node:e1': '1', 'node:e2': '2' }, { expiration: { type: 'EX', value: 100 }, mode: 'NX' }), (await client.digest('node:e1')).length,
		await client.delEx('node:e1', { condition: 'IFEQ', matchValue: '2' }), await client.delEx('node:e1', { condition: 'IFEQ', matchValue: '1' })], [1, 16, 0, 1], 'mSetEx, digest, delEx');
	same(await client.sendCommand(['RANGE', '[node:e', '+', 'PREFIX', 'node:', 'COUNT', '1', 'WITHVALUES']), ['(node:e2', [['node:e2', '2']]], 'a command that the library does not know');
}

async function server(client) {
	same(await client.aclWhoAmI(), 'default', 'aclWhoAmI');
	same((await client.aclGetUser('default')).flags, ['on', 'nopass'], 'aclGetUser');
	same((await client.commandInfo(['get', 'nosuch'])).map((entry) => entry && entry.name), ['get', null], 'commandInfo');
	same(await client.commandGetKeys(['MSET', 'a', '1', 'b', '2']), ['a', 'b'], 'commandGetKeys');
	same((await client.role()).role, 'master', 'role');
	check((await client.memoryUsage('node:a')) > 0 && (await client.memoryStats())['keys.count'] > 0, 'memory');
	same([await client.configSet({ 'slowlog-max-len': '100', timeout: '0' }), (await client.configGet('slowlog-max-len'))['slowlog-max-len'], await client.configSet('slowlog-max-len', '128')], ['OK', '100', 'OK'], 'configSet');
	same([await client.clientTrackingInfo(), await client.clientGetRedir()], [{ flags: ['off'], redirect: -1, prefixes: [] }, -1], 'clientTrackingInfo');
	same([await client.scriptExists(['a'.repeat(40)]), await client.scriptFlush(), await client.functionFlush(), await client.moduleList()], [[0], 'OK', 'OK', []], 'what there is of scripts and modules');
	await fails(client.lPush('node:list', 'x'), /^ERR unknown command 'LPUSH', with args beginning with: 'node:list' 'x' $/, 'a list');
	const monitor = client.duplicate();
	monitor.on('error', unwanted('monitor'));
	await monitor.connect();
	const seen = collector();
	await monitor.monitor((line) => seen.add(line.replace(/^.*\] /, '')));
	await client.set('node:m', 'a "b"');
	same(await seen.first(1), ['"SET" "node:m" "a \\"b\\""'], 'monitor');
	monitor.destroy();
}

// cached -- a client that keeps what it has read until the server says that it has changed
async function cached(client, path) {
	const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 0, evictPolicy: 'LRU' });
	const reader = createClient({ socket: { path }, RESP: 3, clientSideCache: cache });
	reader.on('error', unwanted('reader'));
	await reader.connect();
	await client.set('node:k', '1');
	same([await reader.get('node:k'), await reader.get('node:k'), cache.stats().hitCount], ['1', '1', 1], 'a cache in the client');
	await client.set('node:k', '2');
	await until(async () => (await reader.get('node:k')) === '2', 'a change by another one');
	same(await reader.mGet(['node:k', 'node:a']), ['2', await client.get('node:a')], 'mGet through the cache');
	await client.del('node:k');
	await until(async () => (await reader.get('node:k')) === null, 'a deletion');
	await reader.close();
}

async function main(path, resp) {
	let restarting = false;
	const client = createClient({ socket: { path }, RESP: resp, name: 'matrix_node' });
	client.on('error', (error) => { if (!restarting) check(false, 'no error event', error.message); });
	await client.connect();
	same(await client.ping(), 'PONG', 'ping');
	same(await client.clientGetName(), 'matrix_node', 'the name given on connect');
	same(await client.set('node:a', 'one'), 'OK', 'set');
	same(await client.get('node:a'), 'one', 'get');
	same(await client.get('node:none'), null, 'get of nothing');
	const binary = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
	const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
	await binary.set(bytes, bytes);
	same(await binary.get(bytes), bytes, 'all bytes');
	const large = Buffer.alloc(1000000, 'node');
	await binary.set('node:large', large);
	same(await binary.get('node:large'), large, '1 MB');
	same(await binary.del(['node:large', bytes]), 2, 'del');
	same(await client.set('node:a', 'x', { NX: true }), null, 'set NX refused');
	same(await client.mSet({ 'node:m1': '1', 'node:m2': '2' }), 'OK', 'mSet');
	same(await client.mGet(['node:m1', 'node:none', 'node:m2']), ['1', null, '2'], 'mGet');
	const numbers = Array.from({ length: 1000 }, (_, index) => index);
	const replies = await Promise.all(numbers.flatMap((number) => [client.set(`node:p:${number}`, number), client.get(`node:p:${number}`)]));
	same(replies.filter((_, index) => index % 2), numbers.map(String), 'a pipeline');
	const seen = new Set();
	for await (const keys of client.scanIterator({ MATCH: 'node:p:*', COUNT: 100 }))
		keys.forEach((key) => seen.add(key));
	same(seen.size, 1000, 'scanIterator');
	await fails(client.incr('node:a'), /^ERR value is not an integer or out of range$/, 'incr of text fails');
	same(await client.ping(), 'PONG', '... and the connection goes on');
	same((await client.configGet('maxclients')).maxclients !== undefined, true, 'configGet');
	same((await client.clientList()).some((entry) => entry.name === 'matrix_node'), true, 'clientList');
	check((await client.commandCount()) > 30, 'commandCount');
	check(/redis_version:/.test(await client.info()), 'info');
	await client.select(2);
	same(await client.get('node:a'), null, 'select');
	await client.select(0);
	await transactions(client, path, resp);
	await messages(client);
	await options(client, binary);
	await server(client);
	if (resp === 3)
		await cached(client, path);
	restarting = true;
	await restart();
	same(await client.get('node:a'), 'one', 'get after the restart');
	restarting = false;
	same(await client.set('node:a', 'two'), 'OK', 'set after the restart');
	await client.close();
	end();
}

main(process.argv[2], Number(process.argv[3] || 2)).catch((error) => check(false, 'no exception', error.stack));
