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

module.exports = { check, same, fails, restart, end };
