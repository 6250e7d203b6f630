// node_common.js -- what the two Node rows of the client matrix share; README.md says what is printed.
'use strict';
const readline = require('readline');

const input = readline.createInterface({ input: process.stdin });

function check(good, what, detail) {
	console.log(good ? `ok ${what}` : `not ok ${what}: ${detail}`);
	if (!good)
		process.exit(1);
}

function same(got, want, what) {
	const text = (value) => (Buffer.isBuffer(value) ? value.toString('hex') : JSON.stringify(value));
	check(text(got) === text(want), what, String(text(got)).slice(0, 200));
}

async function fails(promise, pattern, what) {
	try {
		await promise;
	} catch (error) {
		return check(pattern.test(error.message), what, error.message);
	}
	return check(false, what, 'no error');
}

// collector -- what comes one by one; first(n): the first n, once they are there
function collector() {
	const items = [];
	let wake = null;
	return {
		add(item) {
			items.push(item);
			if (wake)
				wake();
		},
		async first(count) {
			while (items.length < count)
				await new Promise((resolve) => { wake = resolve; });
			return items.slice(0, count);
		},
	};
}

// until -- asks again and again, for half a minute at most
async function until(condition, what) {
	const end = Date.now() + 30000;
	while (!(await condition()) && Date.now() < end)
		await new Promise((resolve) => { setTimeout(resolve, 1); });
	check(Date.now() < end, what, 'waited in vain');
}

// restart -- resolves once the test has restarted the server
function restart() {
	return new Promise((resolve) => {
		input.once('line', resolve);
		console.log('restart');
	});
}

function end() {
	console.log('end');
	input.close();
}

module.exports = { check, same, fails, collector, until, restart, end };
