// node_ioredis.js SOCKET -- the ioredis row of the client matrix; README.md says what is printed.
'use strict';
const Redis = require('ioredis');
const { check, same, fails, collector, restart, end } = require('./node_common');

async function transactions(client) {
	same(await client.multi().set('ioredis:t', 1).get('ioredis:t').incr('ioredis:t').exec(), [[null, 'OK'], [null, '1'], [null, 2]], 'multi');
	const failed = await client.multi().set('ioredis:t', 'x').incr('ioredis:t').get('ioredis:t').exec();
	same(failed.map(([error, reply]) => (error ? error.message : reply)), ['OK', 'ERR value is not an integer or out of range', 'x'], 'multi with a command that fails');
	const refused = await client.multi().set('ioredis:t', 'y').set('ioredis:t').exec().catch((error) => error);
	check(/^EXECABORT Transaction discarded because of previous errors\.$/.test(refused.message), 'multi with a command that is none', refused.message);
	await client.multi({ pipeline: false });
	same([await client.set('ioredis:t', 'z'), await client.get('ioredis:t'), await client.exec()], ['QUEUED', 'QUEUED', [[null, 'OK'], [null, 'z']]], 'multi, word by word');
	const other = client.duplicate();
	await client.watch('ioredis:t');
	await other.set('ioredis:t', 'yours');
	same(await client.multi().set('ioredis:t', 'mine').exec(), null, 'watch, and another one changes it');
	same(await other.quit(), 'OK', '... and goes');
}

async function messages(client) {
	const subscriber = client.duplicate();
	const got = collector();
	subscriber.on('message', (channel, message) => got.add(`${channel} ${message}`));
	subscriber.on('pmessage', (pattern, channel, message) => got.add(`${pattern} ${channel} ${message}`));
	subscriber.on('smessage', (channel, message) => got.add(`s ${channel} ${message}`));
	same([await subscriber.subscribe('ioredis:c1', 'ioredis:c2'), await subscriber.psubscribe('ioredis:c?'), await subscriber.ssubscribe('ioredis:s')], [2, 3, 1], 'subscribe');
	same([await client.publish('ioredis:c1', 'one'), await client.publish('ioredis:c3', 'two'), await client.spublish('ioredis:s', 'three'), await client.publish('none', '')], [2, 1, 1, 0], 'publish');
	same(await got.first(4), ['ioredis:c1 one', 'ioredis:c? ioredis:c1 one', 'ioredis:c? ioredis:c3 two', 's ioredis:s three'], 'messages');
	same(await client.pubsub('NUMSUB', 'ioredis:c1', 'none'), ['ioredis:c1', 1, 'none', 0], 'pubsub');
	await fails(subscriber.get('x'), /subscriber mode/, 'what a subscriber must not do');
	same([await subscriber.unsubscribe('ioredis:c1', 'ioredis:c2'), await subscriber.punsubscribe('ioredis:c?'), await subscriber.sunsubscribe('ioredis:s')], [1, 0, 0], 'unsubscribe');
	same(await subscriber.echo('x'), 'x', 'commands after the last unsubscribe');
	same(await subscriber.quit(), 'OK', 'quit of a subscriber');
}

async function options(client) {
	same([await client.set('ioredis:o', 'v', 'EX', 100, 'GET'), await client.set('ioredis:o', 'w', 'KEEPTTL', 'XX', 'GET'), (await client.ttl('ioredis:o')) > 90], [null, 'v', true], 'set EX, KEEPTTL, XX, GET');
	same([await client.pexpireat('ioredis:o', 4102444800123), await client.pexpiretime('ioredis:o'), await client.expire('ioredis:o', 10, 'GT'), await client.persist('ioredis:o'), await client.getex('ioredis:o', 'PX', 100000),
		await client.getdel('ioredis:o')], [1, 4102444800123, 0, 1, 'w', 'w'], 'deadlines');
	await client.mset('ioredis:l1', 'ohmytext', 'ioredis:l2', 'mynewtext');
	same([await client.lcs('ioredis:l1', 'ioredis:l2'), await client.lcs('ioredis:l1', 'ioredis:l2', 'IDX', 'MINMATCHLEN', 4)], ['mytext', ['matches', [[[4, 7], [5, 8]]], 'len', 6]], 'lcs');
	same([await client.bitfield('ioredis:b', 'SET', 'u8', '#1', 255, 'OVERFLOW', 'SAT', 'INCRBY', 'u8', '#1', 1), await client.bitcount('ioredis:b'), await client.bitpos('ioredis:b', 1)], [[0, 255], 8, 8], 'bits');
	const dump = await client.dumpBuffer('ioredis:l1');
	same([await client.restore('ioredis:l2', 0, dump, 'REPLACE'), await client.get('ioredis:l2'), await client.copy('ioredis:l1', 'ioredis:l3'), await client.renamenx('ioredis:l1', 'ioredis:l2')], ['OK', 'ohmytext', 1, 0], 'dump, restore, copy, renamenx');
	same(await client.call('RANGE', '[ioredis:l', '+', 'COUNT', 2, 'WITHVALUES'), ['(ioredis:l2', [['ioredis:l1', 'ohmytext'], ['ioredis:l2', 'ohmytext']]], 'a command that the library does not know');
	await fails(client.lpush('ioredis:list', 'x'), /^ERR unknown command 'lpush', with args beginning with: 'ioredis:list' 'x' $/, 'a list');
	const monitor = await client.monitor();
	const seen = collector();
	monitor.on('monitor', (time, args) => seen.add(args));
	await client.set('ioredis:m', 'a "b"');
	same(await seen.first(1), [['set', 'ioredis:m', 'a "b"']], 'monitor');
	monitor.disconnect();
}

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
	await transactions(client);
	await messages(client);
	await options(client);
	restarting = true;
	await restart();
	same(await client.get('ioredis:a'), 'one', 'get after the restart');
	restarting = false;
	same(await client.set('ioredis:a', 'two'), 'OK', 'set after the restart');
	same(await client.quit(), 'OK', 'quit');
	end();
}

main(process.argv[2]).catch((error) => check(false, 'no exception', error.stack));
