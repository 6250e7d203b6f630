// node_ioredis.js SOCKET -- the ioredis row of the client matrix; README.md says what is printed.
'use strict';
const Redis = require('ioredis');
const { check, same, fails, restart, end } = require('./node_common');

async function main(path) {
	let restarting = false;
	const client = new Redis({ path, connectionName: 'matrix_ioredis' });
	client.on('error', (error) => { if (!restarting) check(false, 'no error event', error.message); });
	await new Promise((resolve) => client.once('ready', resolve));
	same(await client.ping(), 'PONG', 'ping');
	same(await client.client('GETNAME'), 'matrix_ioredis', 'the name given on connect');
	same(await client.set('ioredis:a', 'one'), 'OK', 'set');
	same(await client.get('ioredis:a'), 'one', 'get');
	same(await client.get('ioredis:none'), null, 'get of nothing');
	const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
	await client.set(bytes, bytes);
	same(await client.getBuffer(bytes), bytes, 'all bytes');
	const large = Buffer.alloc(1000000, 'ioredis');
	await client.set('ioredis:large', large);
	same(await client.getBuffer('ioredis:large'), large, '1 MB');
	same(await client.del('ioredis:large', bytes), 2, 'del');
	same(await client.set('ioredis:a', 'x', 'NX'), null, 'set NX refused');
	same(await client.mset({ 'ioredis:m1': 1, 'ioredis:m2': 2 }), 'OK', 'mset');
	same(await client.mget('ioredis:m1', 'ioredis:none', 'ioredis:m2'), ['1', null, '2'], 'mget');
	const pipeline = client.pipeline();
	const wanted = [];
	for (let number = 0; number < 1000; number++) {
		pipeline.set(`ioredis:p:${number}`, number).get(`ioredis:p:${number}`);
		wanted.push([null, 'OK'], [null, String(number)]);
	}
	same(await pipeline.exec(), wanted, 'a pipeline');
	const seen = new Set();
	for await (const keys of client.scanStream({ match: 'ioredis:p:*', count: 100 }))
		keys.forEach((key) => seen.add(key));
	same(seen.size, 1000, 'scanStream');
	await fails(client.incr('ioredis:a'), /^ERR value is not an integer or out of range$/, 'incr of text fails');
	same(await client.ping(), 'PONG', '... and the connection goes on');
	same((await client.config('GET', 'maxclients')).length, 2, 'config get');
	check(/redis_version:/.test(await client.info()), 'info');
	await client.select(2);
	same(await client.get('ioredis:a'), null, 'select');
	await client.select(0);
	restarting = true;
	await restart();
	same(await client.get('ioredis:a'), 'one', 'get after the restart');
	restarting = false;
	same(await client.set('ioredis:a', 'two'), 'OK', 'set after the restart');
	same(await client.quit(), 'OK', 'quit');
	end();
}

main(process.argv[2]).catch((error) => check(false, 'no exception', error.stack));
