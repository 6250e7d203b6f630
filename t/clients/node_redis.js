// node_redis.js SOCKET [2|3] -- the node-redis row of the client matrix; README.md says what is printed.
'use strict';
const { createClient, RESP_TYPES } = require('redis');
const { check, same, fails, restart, end } = require('./node_common');

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
	restarting = true;
	await restart();
	same(await client.get('node:a'), 'one', 'get after the restart');
	restarting = false;
	same(await client.set('node:a', 'two'), 'OK', 'set after the restart');
	await client.close();
	end();
}

main(process.argv[2], Number(process.argv[3] || 2)).catch((error) => check(false, 'no exception', error.stack));
