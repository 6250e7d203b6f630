# Goal: commands on strings answer as Redis does, every option, error and edge; what Redis 7.0 does not have,
# as their page in doc/commands.md says.
#
# Method: tables of commands with the exact reply expected, in RESP2 and RESP3; what they say of commands that
# Redis 7.0 has is checked against redis-server where that is installed.
use Artery::Test;
use Artery::Cluster;
use Artery::Table;
use Artery::SoakWire;
use Test::More;

my $node = Artery::Cluster->new('strings');
$node->init(workers => 2, memory_limit => '256MB', wal_buffers => '64MB', wal_segment_size => '64MB', durability => 'none');
$node->start;

my $SYNTAX = '-ERR syntax error';
my $NUMBER = '-ERR value is not an integer or out of range';
my $FLOAT  = '-ERR value is not a valid float';
my $MAX    = '9223372036854775807';
my $FUTURE = 4_102_444_800;		# the year 2100
sub arity { return "-ERR wrong number of arguments for '$_[0]' command" }
sub expire_time { return "-ERR invalid expire time in '$_[0]' command" }

my @set = (
	[['FLUSHALL'], 'OK'],
	# conditions and GET
	[['SET', 'k', 'v'], 'OK'], [['SET', 'k', 'w', 'NX'], 'nil'], [['SET', 'k', 'w', 'nx', 'NX'], 'nil'], [['SET', 'k', 'w', 'xx'], 'OK'],
	[['SET', 'none', 'w', 'XX'], 'nil'], [['EXISTS', 'none'], ':0'], [['SET', 'k', 'x', 'GET'], '"w"'], [['SET', 'k', 'y', 'NX', 'GET'], '"x"'],
	[['GET', 'k'], '"x"'], [['SET', 'none', 'y', 'XX', 'GET'], 'nil'], [['EXISTS', 'none'], ':0'], [['SET', 'new', '1', 'GET', 'NX'], 'nil'],
	[['GET', 'new'], '"1"'], [['SET', 'k', 'v', 'NX', 'XX'], $SYNTAX], [['SET', 'k', 'v', 'XX', 'NX'], $SYNTAX], [['SET', 'k', 'v', 'BOGUS'], $SYNTAX],
	[['SET', 'k', 'v', ''], $SYNTAX], [['SET', 'k', 'v', 'PERSIST'], $SYNTAX], [['GET', 'k'], '"x"'], [['SET', 'k', 'x', 'GET', 'get'], '"x"'],
	# deadlines
	(map { [['SET', 'k', 'v', $_], $SYNTAX] } qw(EX PX EXAT PXAT)),
	(map { ([['SET', 'k', 'v', $_->[0], 100, $_->[1], 100], $SYNTAX]) } ['EX', 'PX'], ['PX', 'EX'], ['EX', 'EXAT'], ['EXAT', 'PXAT'], ['PXAT', 'PX'], ['PX', 'EXAT']),
	[['SET', 'k', 'v', 'EX', 100, 'KEEPTTL'], $SYNTAX], [['SET', 'k', 'v', 'KEEPTTL', 'PX', 100], $SYNTAX], [['SET', 'k', 'v', 'KEEPTTL', 'keepttl'], 'OK'],
	(map { my $option = $_; map { [['SET', 'k', 'v', $option, $_], expire_time('set')] } 0, -1, '-9223372036854775808' } qw(EX PX EXAT PXAT)),
	(map { my $option = $_; map { [['SET', 'k', 'v', $option, $_], $NUMBER] } 'x', '1.5', ' 1', '01', '+1', '', '9223372036854775808' } qw(EX PX EXAT PXAT)),
	[['SET', 'k', 'v', 'EX', $MAX], expire_time('set')], [['SET', 'k', 'v', 'EX', '9223372036854775'], expire_time('set')],
	[['SET', 'k', 'v', 'PX', $MAX], expire_time('set')], [['SET', 'k', 'v', 'EXAT', '9223372036854776'], expire_time('set')],
	[['SET', 'k', 'v', 'EX', 'x', 'EX'], $SYNTAX], [['SET', 'k', 'v', 'EX', 0, 'EX', 100], 'OK'], [['SET', 'k', 'v', 'EX', 100, 'EX', 0], expire_time('set')],
	[['SET', 'k', 'v1', 'EX', 100], 'OK'], [['GET', 'k'], '"v1"'], [['SET', 'k', 'v2', 'PX', 100_000, 'XX', 'GET'], '"v1"'],
	[['SET', 'k', 'v3', 'get', 'xx', 'exat', $FUTURE], '"v2"'], [['SET', 'k', 'v4', 'PXAT', $FUTURE . '000'], 'OK'], [['GET', 'k'], '"v4"'],
	[['SET', 'k', 'v', 'NX', 'EX', 0], expire_time('set')], [['SET', 'k', 'v5', 'NX', 'EX', 10], 'nil'],
	# in the past
	[['SET', 'k', 'v', 'EXAT', 1], 'OK'], [['GET', 'k'], 'nil'], [['EXISTS', 'k'], ':0'], [['DBSIZE'], ':1'],
	[['SET', 'k', 'v', 'PXAT', 1], 'OK'], [['EXISTS', 'k'], ':0'], [['SET', 'k', 'v', 'NX', 'PXAT', 1], 'OK'], [['EXISTS', 'k'], ':0'],
	[['SET', 'k', 'v', 'XX', 'PXAT', 1], 'nil'], [['SET', 'k', 'v'], 'OK'], [['SET', 'k', 'w', 'NX', 'PXAT', 1], 'nil'], [['GET', 'k'], '"v"'],
	[['SET', 'k', 'w', 'GET', 'EXAT', 1], '"v"'], [['EXISTS', 'k'], ':0'], [['SET', 'k', 'w', 'GET', 'EXAT', 1], 'nil'],
	# its kin
	[['SETNX', 'k', 'z'], ':1'], [['SETNX', 'k', 'y'], ':0'], [['GET', 'k'], '"z"'], [['SETNX', 'k'], arity('setnx')],
	[['GETSET', 'k', 'y'], '"z"'], [['GETSET', 'k3', 'y'], 'nil'], [['GETSET', 'k'], arity('getset')], [['GETDEL', 'k3'], '"y"'], [['GETDEL', 'k3'], 'nil'],
	[['EXISTS', 'k3'], ':0'], [['GETDEL'], arity('getdel')], [['GETDEL', 'a', 'b'], arity('getdel')],
	[['SETEX', 'k', 100, 'sv'], 'OK'], [['GET', 'k'], '"sv"'], [['PSETEX', 'k', 100_000, 'pv'], 'OK'], [['GET', 'k'], '"pv"'], [['SETEX', 'k', 100], arity('setex')],
	[['PSETEX', 'k', 100], arity('psetex')], [['SETEX', 'k', 100, 'v', 'NX'], arity('setex')],
	(map { ([['SETEX', 'k', $_, 'v'], expire_time('setex')], [['PSETEX', 'k', $_, 'v'], expire_time('psetex')]) } 0, -5, $MAX),
	(map { ([['SETEX', 'k', $_, 'v'], $NUMBER], [['PSETEX', 'k', $_, 'v'], $NUMBER]) } 'x', '', '1.0'), [['GET', 'k'], '"pv"'],
	# GETEX
	[['GETEX', 'k'], '"pv"'], [['GETEX', 'none'], 'nil'], [['GETEX'], arity('getex')], [['GETEX', 'k', 'BOGUS'], $SYNTAX], [['GETEX', 'k', 'EX'], $SYNTAX],
	[['GETEX', 'k', 'KEEPTTL'], $SYNTAX], [['GETEX', 'k', 'NX'], $SYNTAX], [['GETEX', 'k', 'EX', 10, 'PERSIST'], $SYNTAX], [['GETEX', 'k', 'PERSIST', 'EX', 10], $SYNTAX],
	[['GETEX', 'k', 'EX', 10, 'PX', 10], $SYNTAX], [['GETEX', 'k', 'EX', 0], expire_time('getex')], [['GETEX', 'k', 'PXAT', -1], expire_time('getex')],
	[['GETEX', 'k', 'EX', 'x'], $NUMBER], [['GETEX', 'none', 'EX', 'x'], 'nil'], [['GETEX', 'none', 'EX', 0], 'nil'], [['GETEX', 'none', 'EX', 10], 'nil'],
	[['GETEX', 'none', 'EXAT', 1], 'nil'], [['EXISTS', 'none'], ':0'], [['GETEX', 'k', 'EX', 1000], '"pv"'], [['GETEX', 'k', 'PX', 1000_000], '"pv"'],
	[['GETEX', 'k', 'PERSIST'], '"pv"'], [['GETEX', 'k', 'persist'], '"pv"'], [['GETEX', 'none', 'PERSIST'], 'nil'], [['GETEX', 'k', 'EXAT', $FUTURE], '"pv"'],
	[['GETEX', 'k', 'PXAT', $FUTURE . '000'], '"pv"'], [['GETEX', 'k', 'EXAT', 1], '"pv"'], [['EXISTS', 'k'], ':0'], [['SET', 'k', ''], 'OK'],
	[['GETEX', 'k', 'PX', 100_000], '""'], [['GET', 'k'], '""'], [['GETEX', 'k', 'PXAT', 1], '""'], [['GET', 'k'], 'nil'],
	[['FLUSHALL'], 'OK'],
);

# deadlines stay, go and pass: [commands, is it gone in the end]
my @deadline = (
	[[['SET', 'k', 1, 'PX', 1000]], 1], [[['SETEX', 'k', 1, 1]], 1], [[['PSETEX', 'k', 1000, 1]], 1], [[['SET', 'k', 1], ['GETEX', 'k', 'PX', 1000]], 1],
	[[['PSETEX', 'k', 1000, 1], ['SET', 'k', 2]], 0], [[['PSETEX', 'k', 1000, 1], ['SET', 'k', 2, 'KEEPTTL']], 1], [[['PSETEX', 'k', 1000, 1], ['GETSET', 'k', 2]], 0],
	[[['PSETEX', 'k', 1000, 1], ['GETEX', 'k', 'PERSIST']], 0], [[['PSETEX', 'k', 1000, 1], ['GETEX', 'k']], 1], [[['PSETEX', 'k', 1000, 1], ['SET', 'k', 2, 'PX', 100_000]], 0],
	[[['PSETEX', 'k', 1000, 1], ['APPEND', 'k', 2]], 1], [[['PSETEX', 'k', 1000, 1], ['INCR', 'k']], 1], [[['PSETEX', 'k', 1000, 1], ['DECRBY', 'k', 2]], 1],
	[[['PSETEX', 'k', 1000, 1], ['MSET', 'k', 2]], 0], [[['PSETEX', 'k', 1000, 1], ['SET', 'k', 2, 'XX', 'KEEPTTL', 'GET']], 1],
	[[['PSETEX', 'k', 1000, 1], ['SET', 'k', 2, 'XX']], 0], [[['PSETEX', 'k', 1000, 1], ['SETNX', 'k', 2]], 1],
);

my $DIGEST_HELLO = '9555e8555c62dcfd';		# XXH3 of "hello"

# of Valkey and of Redis after 7.0
my @conditional = (
	[['FLUSHALL'], 'OK'],
	[['SET', 'k', 'v', 'IFEQ', 'v'], 'nil'], [['EXISTS', 'k'], ':0'], [['SET', 'k', 'v', 'IFNE', 'x'], 'OK'], [['SET', 'k', 'w', 'IFEQ', 'x'], 'nil'], [['GET', 'k'], '"v"'],
	[['SET', 'k', 'w', 'ifeq', 'v'], 'OK'], [['GET', 'k'], '"w"'], [['SET', 'k', 'x', 'IFNE', 'w'], 'nil'], [['SET', 'k', 'x', 'IFNE', 'y'], 'OK'],
	[['SET', 'k', 'y', 'IFEQ', 'x', 'GET'], '"x"'], [['SET', 'k', 'z', 'IFEQ', 'x', 'GET'], '"y"'], [['GET', 'k'], '"y"'], [['SET', 'none', 'z', 'IFEQ', 'x', 'GET'], 'nil'],
	[['EXISTS', 'none'], ':0'], [['SET', 'none', 'z', 'GET', 'IFNE', 'x'], 'nil'], [['GETDEL', 'none'], '"z"'],
	(map { my $c = $_; (map { [['SET', 'k', 'v', $c, '0' x 16, $_], $SYNTAX], [['SET', 'k', 'v', $_, $c, '0' x 16], $SYNTAX] } 'NX', 'XX'), [['SET', 'k', 'v', $c], $SYNTAX] } qw(IFEQ IFNE IFDEQ IFDNE)),
	[['SET', 'k', 'v', 'IFEQ', 'y', 'IFEQ', 'y'], $SYNTAX], [['SET', 'k', 'v', 'IFEQ', 'y', 'IFVERSION', 1], $SYNTAX], [['SET', 'k', 'v', 'IFVERSION', 0, 'NX'], $SYNTAX],
	[['SET', 'k', 'hello', 'IFEQ', 'y', 'PX', 100_000], 'OK'], [['SET', 'k', 'hello', 'IFEQ', 'hello', 'KEEPTTL'], 'OK'], [['SET', 'k', 'x', 'IFEQ', 'hello', 'EX', 0], expire_time('set')],
	[['DIGEST', 'k'], "\"$DIGEST_HELLO\""], [['DIGEST', 'none'], 'nil'], [['DIGEST'], arity('digest')], [['DIGEST', 'k', 'k'], arity('digest')],
	[['SET', 'k', 'x', 'IFDNE', $DIGEST_HELLO], 'nil'], [['SET', 'k', 'hello', 'IFDEQ', $DIGEST_HELLO], 'OK'], [['SET', 'k', 'hello', 'IFDEQ', uc $DIGEST_HELLO], 'OK'],
	[['SET', 'k', 'x', 'IFDEQ', '0' x 16], 'nil'], [['SET', 'k', 'x', 'IFDNE', '0' x 16], 'OK'], [['SET', 'none', 'x', 'IFDEQ', '0' x 16], 'nil'],
	[['SET', 'new', 'x', 'IFDNE', '0' x 16], 'OK'],
	(map { my $digest = $_; map { [[@$_, $digest], '-ERR must be exactly 16 hexadecimal characters'] } ['SET', 'k', 'v', 'IFDEQ'], ['SET', 'k', 'v', 'IFDNE'], ['DELEX', 'k', 'IFDEQ'], ['DELEX', 'k', 'IFDNE'] }
		'', '0' x 15, '0' x 17, 'g' x 16, '0x' . '0' x 14, ' ' x 16, "\0" x 16, '@' x 16, '`' x 16),
	[['SET', 'e', ''], 'OK'], [['DIGEST', 'e'], '"2d06800538d394c2"'], [['SET', 'e', '1', 'IFEQ', ''], 'OK'], [['SET', 'e', '2', 'IFEQ', ''], 'nil'], [['DELIFEQ', 'e', '1'], ':1'],
	# DELIFEQ, DELEX
	[['SET', 'k', 'v'], 'OK'], [['DELIFEQ', 'k', 'x'], ':0'], [['DELIFEQ', 'k', 'v'], ':1'], [['DELIFEQ', 'k', 'v'], ':0'], [['DELIFEQ', 'k'], arity('delifeq')],
	[['DELEX', 'k'], ':0'], [['SET', 'k', 'v'], 'OK'], [['DELEX', 'k'], ':1'], [['SET', 'k', 'hello'], 'OK'], [['DELEX', 'k', 'IFEQ', 'x'], ':0'], [['DELEX', 'k', 'IFNE', 'hello'], ':0'],
	[['DELEX', 'k', 'IFDEQ', '0' x 16], ':0'], [['DELEX', 'k', 'IFDNE', $DIGEST_HELLO], ':0'], [['DELEX', 'k', 'IFEQ', 'hello'], ':1'], [['DELEX', 'k', 'IFNE', 'hello'], ':0'],
	[['DELEX', 'k', 'IFDNE', '0' x 16], ':0'], [['SET', 'k', 'hello'], 'OK'], [['DELEX', 'k', 'ifdeq', $DIGEST_HELLO], ':1'], [['SET', 'k', 'hello'], 'OK'],
	[['DELEX', 'k', 'ifdne', '0' x 16], ':1'], [['SET', 'k', 'hello'], 'OK'], [['DELEX', 'k', 'ifne', 'x'], ':1'],
	[['DELEX', 'k', 'IFEQ'], $SYNTAX], [['DELEX', 'k', 'BOGUS', 'x'], $SYNTAX], [['DELEX', 'k', 'IFEQ', 'x', 'IFNE', 'y'], $SYNTAX], [['DELEX'], arity('delex')],
	[['DELEX', 'k', 'NX'], $SYNTAX],
	# versions
	[['SET', 'v', 'a', 'IFVERSION', 0], 'OK'], [['SET', 'v', 'b', 'IFVERSION', 0], qr/^\["a" :[1-9]\d*\]$/], [['GET', 'v'], '"a"'], [['SET', 'v', 'b', 'IFVERSION', 1], qr/^\["a" :[1-9]\d*\]$/],
	[['SET', 'none', 'b', 'IFVERSION', 1], '[nil :0]'], [['DELEX', 'none', 'IFVERSION', 1], '[nil :0]'], [['DELEX', 'none', 'IFVERSION', 0], ':0'], [['DELEX', 'v', 'IFVERSION', 0], qr/^\["a" :\d+\]$/],
	(map { my $n = $_; map { [[@$_, 'IFVERSION', $n], $NUMBER] } ['SET', 'v', 'b'], ['DELEX', 'v'] } 'x', '', '-1', '1.5', '01'), [['SET', 'v', 'b', 'IFVERSION'], $SYNTAX],
	[['SET', 'v', 'b', 'IFVERSION', 1, 'GET'], $SYNTAX], [['SET', 'v', 'b', 'GET', 'IFVERSION', 1], $SYNTAX],
	[['SET', 'v', 'c', 'VERSION'], qr/^:[1-9]\d*$/], [['SET', 'v', 'd', 'GET', 'VERSION'], qr/^\["c" :[1-9]\d*\]$/], [['SET', 'v', 'e', 'NX', 'VERSION'], 'nil'],
	[['SET', 'v', 'e', 'NX', 'GET', 'VERSION'], '["d" nil]'], [['SET', 'v', 'e', 'EXAT', 1, 'VERSION'], ':0'], [['EXISTS', 'v'], ':0'], [['SET', 'v', 'e', 'NX', 'GET', 'VERSION'], qr/^\[nil :[1-9]\d*\]$/],
	[['FLUSHALL'], 'OK'],
);

sub wire { return Artery::SoakWire->connect($_[0] // $node->socket_path) // die "connect: $!" }

sub deadlines
{
	my ($name, $path) = @_;
	my $wire = wire($path);
	my @wrong;
	my $n = 0;
	my $start = now();
	# one wait for all: each case has a key of its own
	for my $case (@deadline)
	{
		my $key = 'deadline' . $n++;
		for my $command (@{$case->[0]})
		{
			my @words = map { $_ eq 'k' ? $key : $_ } @$command;
			my $reply = shown($wire->command(@words));
			push @wrong, "@words: $reply" if $reply =~ /^-/;
		}
		my $there = $wire->command('EXISTS', $key)->[1];
		push @wrong, "$key is gone too early" unless $there || now() - $start > 0.9;
	}
	my @pass = map { "deadline$_" } grep { $deadline[$_][1] } 0 .. $#deadline;
	ok(poll_until(sub { !$wire->command('EXISTS', @pass)->[1] }), "$name: they pass");
	for my $i (0 .. $#deadline)
	{
		my $gone = !$wire->command('EXISTS', "deadline$i")->[1];
		push @wrong, join('; ', map { "@$_" } @{$deadline[$i][0]}) . ($gone ? ': gone' : ': still there') if !!$gone != !!$deadline[$i][1];
	}
	is(join("\n", @wrong), '', "$name: deadlines stay and go");
	return;
}

subtest 'SET and its kin' => sub {
	run_table('RESP2', $node->socket_path, \@set);
	run_table('RESP3', $node->socket_path, \@set, proto => 3);
	deadlines('artery', $node->socket_path);
	with_redis(sub {
		my ($path) = @_;
		run_table('the same of redis-server', $path, \@set);
		deadlines('redis-server', $path);
	});
};

subtest 'conditional by value and version' => sub {
	run_table('RESP2', $node->socket_path, \@conditional);
	run_table('RESP3', $node->socket_path, \@conditional, proto => 3);
	my $wire = wire();
	my $version = $wire->command('SET', 'v', 'one', 'VERSION')->[1];
	is(shown($wire->command('SET', 'v', 'two', 'IFVERSION', $version - 8)), "[\"one\" :$version]", 'another version: value and version');
	my $next = $wire->command('SET', 'v', 'two', 'IFVERSION', $version, 'VERSION')->[1];
	cmp_ok($next, '>', $version, 'the right one: a higher one');
	is(shown($wire->command('SET', 'v', 'three', 'IFVERSION', $version)), "[\"two\" :$next]", '... which the old one no longer matches');
	is(shown($wire->command('DELEX', 'v', 'IFVERSION', $version)), "[\"two\" :$next]", 'DELEX of another version');
	is(shown($wire->command('DELEX', 'v', 'IFVERSION', $next)), ':1', 'DELEX of the right one');
	is(shown($wire->command('SET', 'v', 'four', 'IFVERSION', $next)), '[nil :0]', 'a deleted key has version 0');
	is(shown($wire->command('SET', 'v', 'four', 'IFVERSION', 0)), 'OK', '... and can be made by it');
	# the counter that many raise by version: none is lost
	my @wires = map { wire() } 1 .. 4;
	$wire->command('SET', 'counter', 0);
	my ($raised, $refused) = (0, 0);
	my @seen = map { [0, 1] } @wires;		# value and version that each has last seen
	for my $round (1 .. 200)
	{
		$wires[$_]->queue(Artery::SoakWire::encode('SET', 'counter', $seen[$_][0] + 1, 'IFVERSION', $seen[$_][1], 'VERSION'))->turn(0) for 0 .. 3;
		for my $i (0 .. 3)
		{
			my $reply = $wires[$i]->reply;
			if ($reply->[0] eq ':') { $raised++; $seen[$i] = [$seen[$i][0] + 1, $reply->[1]] }
			else { $refused++; $seen[$i] = [map { $_->[1] } @{$reply->[1]}] }
		}
	}
	is($wire->command('GET', 'counter')->[1], $raised, "four writers by version: $raised raised, $refused refused");
	cmp_ok($refused, '>', 0, '... they did meet');
	# long values
	my $long = join '', map { chr(33 + $_ % 90) x 1000 } 1 .. 3000;
	$wire->command('SET', 'long', $long);
	is(shown($wire->command('SET', 'long', 'x', 'IFEQ', $long . 'x')), 'nil', 'IFEQ of 3 MB: longer');
	my $other = $long;
	substr($other, -1) = "\0";
	is(shown($wire->command('SET', 'long', 'x', 'IFEQ', $other)), 'nil', '... other');
	my $digest = $wire->command('DIGEST', 'long')->[1];
	like($digest, qr/^[0-9a-f]{16}$/, 'DIGEST');
	is(shown($wire->command('DELEX', 'long', 'IFDNE', $digest)), ':0', 'IFDNE');
	my $reply = $wire->command('SET', 'long', $other, 'IFVERSION', 8);
	ok($reply->[1][0][1] eq $long, 'IFVERSION shows all of it');
	is(shown($wire->command('SET', 'long', $other, 'IFEQ', $long)), 'OK', 'IFEQ equal');
	is(shown($wire->command('SET', 'long', $long, 'IFDEQ', $digest)), 'nil', 'IFDEQ of what was');
	is(shown($wire->command('DELIFEQ', 'long', $other)), ':1', 'DELIFEQ');
};

done_testing;
