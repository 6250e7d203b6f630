# Goal: the commands on keys answer as Redis 7 does: DEL of several, TOUCH, RANDOMKEY,
# RENAME, RENAMENX, COPY, MOVE, SWAPDB; what they move keeps its deadline and its bytes,
# long ones too, and what they change survives a crash.
#
# Method: a table of commands with the exact replies, run against artery and against
# redis-server; then what a table cannot say: long values, RANDOMKEY's spread, kills.
use Artery::Against;
use Artery::Cluster;
use Artery::SoakWire;
use Artery::Test;
use Test::More;

my $node = Artery::Cluster->new('keys');
$node->init(workers => 2, memory_limit => '256MB', wal_buffers => '64MB', wal_segment_size => '64MB');
$node->start;

my $SAME  = '-ERR source and destination objects are the same';
my $RANGE = '-ERR DB index is out of range';
my $FAR   = 4102444800;			# the year 2100

my @table = (
	[['FLUSHALL'], 'OK'], [['RANDOMKEY'], 'nil'], [['RANDOMKEY', 'x'], arity('randomkey')],
	[['SET', 'only', 1], 'OK'], [['RANDOMKEY'], '"only"'], [['SELECT', 1], 'OK'], [['RANDOMKEY'], 'nil'], [['SELECT', 0], 'OK'],
	[['TOUCH'], arity('touch')], [['TOUCH', 'only', 'only', 'none'], ':2'], [['TOUCH', 'none'], ':0'],
	[['DEL', 'only', 'only', 'none'], ':1'], [['DEL', 'only'], ':0'], [['UNLINK', 'a', 'b'], ':0'], [['DEL'], arity('del')],
	# RENAME, RENAMENX
	[['SET', 'a', 'value'], 'OK'], [['RENAME', 'a', 'b'], 'OK'], [['GET', 'a'], 'nil'], [['GET', 'b'], '"value"'],
	[['RENAME', 'none', 'b'], '-ERR no such key'], [['GET', 'b'], '"value"'], [['RENAME', 'none', 'none'], '-ERR no such key'],
	[['RENAME', 'b', 'b'], 'OK'], [['GET', 'b'], '"value"'], [['SET', 'c', 'other'], 'OK'], [['RENAME', 'b', 'c'], 'OK'], [['GET', 'c'], '"value"'],
	[['RENAMENX', 'none', 'x'], '-ERR no such key'], [['RENAMENX', 'c', 'c'], ':0'], [['SET', 'd', 'stays'], 'OK'], [['RENAMENX', 'c', 'd'], ':0'],
	[['MGET', 'c', 'd'], '["value" "stays"]'], [['RENAMENX', 'c', 'e'], ':1'], [['MGET', 'c', 'e'], '[nil "value"]'],
	[['RENAME', 'a'], arity('rename')], [['RENAMENX', 'a', 'b', 'c'], arity('renamenx')],
	[['EXPIREAT', 'e', $FAR], ':1'], [['RENAME', 'e', 'd'], 'OK'], [['EXPIRETIME', 'd'], ":$FAR"], [['SET', 'e', 'no deadline'], 'OK'],
	[['RENAME', 'e', 'd'], 'OK'], [['EXPIRETIME', 'd'], ':-1'], [['SET', 'empty', ''], 'OK'], [['RENAME', 'empty', 'empty2'], 'OK'], [['GET', 'empty2'], '""'],
	# COPY
	[['FLUSHALL'], 'OK'], [['SET', 'a', 'value'], 'OK'], [['COPY', 'a', 'b'], ':1'], [['MGET', 'a', 'b'], '["value" "value"]'],
	[['SET', 'a', 'newer'], 'OK'], [['COPY', 'a', 'b'], ':0'], [['GET', 'b'], '"value"'], [['COPY', 'a', 'b', 'REPLACE'], ':1'], [['GET', 'b'], '"newer"'],
	[['COPY', 'none', 'b', 'REPLACE'], ':0'], [['GET', 'b'], '"newer"'], [['COPY', 'a', 'a'], $SAME], [['COPY', 'a', 'a', 'REPLACE'], $SAME],
	[['COPY', 'a', 'a', 'DB', 0], $SAME], [['COPY', 'a', 'a', 'DB', 1], ':1'], [['COPY', 'a', 'a', 'DB', 1], ':0'], [['COPY', 'a', 'a', 'replace', 'db', 1], ':1'],
	[['COPY', 'a', 'b', 'db', 1, 'REPLACE', 'db', 2], ':1'], [['COPY', 'a', 'b', 'DB'], $SYNTAX], [['COPY', 'a', 'b', 'DB', 'x'], $NUMBER],
	[['COPY', 'a', 'b', 'DB', 16], $RANGE], [['COPY', 'a', 'b', 'DB', -1], $RANGE], [['COPY', 'a', 'b', 'BOGUS'], $SYNTAX], [['COPY', 'a'], arity('copy')],
	[['COPY', 'a', 'b', 'DB', '9999999999'], '-ERR value is out of range, value must between -2147483648 and 2147483647'],
	[['SELECT', 2], 'OK'], [['GET', 'b'], '"newer"'], [['SELECT', 1], 'OK'], [['GET', 'a'], '"newer"'], [['DBSIZE'], ':1'], [['SELECT', 0], 'OK'],
	[['PEXPIREAT', 'a', $FAR * 1000 + 7], ':1'], [['COPY', 'a', 'b', 'REPLACE'], ':1'], [['PEXPIRETIME', 'b'], ':' . ($FAR * 1000 + 7)],
	# MOVE
	[['FLUSHALL'], 'OK'], [['SET', 'a', 'value'], 'OK'], [['EXPIREAT', 'a', $FAR], ':1'], [['MOVE', 'a', 3], ':1'], [['GET', 'a'], 'nil'], [['MOVE', 'a', 3], ':0'],
	[['SET', 'a', 'second'], 'OK'], [['MOVE', 'a', 3], ':0'], [['GET', 'a'], '"second"'], [['MOVE', 'a', 0], $SAME], [['MOVE', 'none', 0], $SAME],
	[['MOVE', 'a', 16], $RANGE], [['MOVE', 'a', -1], $RANGE], [['MOVE', 'a', 'x'], $NUMBER], [['MOVE', 'a'], arity('move')],
	[['MOVE', 'a', '9999999999'], '-ERR value is out of range, value must between -2147483648 and 2147483647'],
	[['SELECT', 3], 'OK'], [['GET', 'a'], '"value"'], [['EXPIRETIME', 'a'], ":$FAR"], [['SELECT', 0], 'OK'],
	# SWAPDB
	[['FLUSHALL'], 'OK'], [['SET', 'zero', 0], 'OK'], [['SWAPDB', 0, 1], 'OK'], [['GET', 'zero'], 'nil'], [['DBSIZE'], ':0'], [['SET', 'one', 1], 'OK'],
	[['b:', 'SELECT', 1], 'OK'], [['b:', 'GET', 'zero'], '"0"'], [['b:', 'GET', 'one'], 'nil'], [['SWAPDB', 1, 0], 'OK'], [['b:', 'GET', 'one'], '"1"'],
	[['GET', 'zero'], '"0"'], [['SWAPDB', 0, 0], 'OK'], [['GET', 'zero'], '"0"'], [['SWAPDB', 0, 15], 'OK'], [['SWAPDB', 15, 1], 'OK'], [['b:', 'GET', 'zero'], '"0"'],
	[['SWAPDB', 'x', 0], '-ERR invalid first DB index'], [['SWAPDB', 0, 'x'], '-ERR invalid second DB index'], [['SWAPDB', 0, 16], $RANGE],
	[['SWAPDB', -1, 0], $RANGE], [['SWAPDB', 0], arity('swapdb')], [['SWAPDB', '9999999999', 0], '-ERR invalid first DB index'],
	[['FLUSHALL'], 'OK'], [['b:', 'GET', 'zero'], 'nil'],
	[['SELECT', 'x'], $NUMBER], [['EXISTS', 'none', 'none'], ':0'],
);

subtest 'replies' => sub {
	run_table('artery', $node->socket_path, @table);
	my $redis = redis_start();
	SKIP: {
		skip 'no redis-server', 1 unless $redis;
		run_table('redis-server', $redis->socket_path, @table);
	}
};

subtest 'our own errors' => sub {
	my $long = 'k' x 4097;
	run_table('keys that are too long', $node->socket_path, map { [[@$_], '-ERR key is too long (4097 bytes, maximum 4096)'] }
		['RENAME', $long, 'a'], ['RENAME', 'a', $long], ['RENAMENX', 'a', $long], ['COPY', $long, 'a'], ['COPY', 'a', $long], ['MOVE', $long, 1],
		['TOUCH', $long], ['DEL', 'a', $long]);
};

subtest 'long values' => sub {
	my $c = $node->connect;
	my $value = join '', map { pack 'N', $_ * 2654435761 % 4294967296 } 1 .. 2_000_000;
	$c->cmd('SET', 'long', $value);
	is($c->cmd('COPY', 'long', 'copied'), 1, 'COPY of 8 MB');
	is($c->cmd('RENAME', 'copied', 'renamed'), 'OK', 'RENAME of 8 MB');
	is($c->cmd('MOVE', 'renamed', 9), 1, 'MOVE of 8 MB');
	$c->cmd('SELECT', 9);
	ok($c->cmd('GET', 'renamed') eq $value, 'not a byte has changed');
	$c->cmd('SELECT', 0);
	ok($c->cmd('GET', 'long') eq $value, 'nor of what was copied');
	my @replies = $c->pipeline(map { (['SET', 'x', ("$_" x 100_000)], ['RENAME', 'x', 'y'], ['STRLEN', 'y'], ['EXISTS', 'x']) } 1 .. 9);
	is_deeply(\@replies, [map { ('OK', 'OK', 100_000, 0) } 1 .. 9], 'in a pipeline');
};

subtest 'RANDOMKEY draws all' => sub {
	my $c = $node->connect;
	$c->cmd('FLUSHALL');
	my %want = map { $_ => 1 } '', 'a', "a\0", 'ab', 'abc', "\xff", "\xff\xff", (map { sprintf 'key:%06d', $_ * 37 } 0 .. 99);
	$c->cmd('MSET', map { $_ => 1 } keys %want);
	my %got;
	$got{$_}++ for $c->pipeline(map { ['RANDOMKEY'] } 1 .. 20_000);
	is_deeply([sort keys %got], [sort keys %want], 'every key has come, and no other') or diag(scalar keys %got);
	my ($most) = sort { $b <=> $a } values %got;
	cmp_ok($most, '<', 10_000, 'none of them every other time');
	$c->cmd('DEL', $_) for grep { /^key:/ && !/^key:0000/ } keys %want;
	my @late = $c->pipeline(map { ['RANDOMKEY'] } 1 .. 500);
	is_deeply([grep { /^key:/ && !/^key:0000/ } @late], [], 'what has been deleted is not drawn');
	$c->cmd('FLUSHDB');
	$c->pipeline(map { ['SET', "gone:$_", 1] } 1 .. 5000);
	$c->cmd('SET', 'zz', 'last');
	$c->pipeline(map { ['DEL', "gone:$_"] } 1 .. 5000);
	is($c->cmd('RANDOMKEY'), 'zz', 'behind thousands of deleted ones it finds the one that lives');
};

subtest 'through a crash' => sub {
	my $c = $node->connect;
	$c->cmd('FLUSHALL');
	$c->cmd('SET', 'in zero', 0);
	$c->cmd('SELECT', 1);
	$c->cmd('SET', 'in one', 1);
	$c->cmd('CHECKPOINT');
	$c->cmd('SWAPDB', 0, 1);
	$c->cmd('SET', 'after', 'swap');		# into what is 1 now
	$c->cmd('SWAPDB', 1, 5);
	$c->cmd('SELECT', 0);
	$c->cmd('RENAME', 'in one', 'renamed');
	$c->cmd('COPY', 'renamed', 'copied', 'DB', 7);
	$c->cmd('MOVE', 'renamed', 8);
	my $look = sub {
		my ($when) = @_;
		my $d = $node->connect;
		my %db;
		for my $db (0, 1, 5, 7, 8)
		{
			$d->cmd('SELECT', $db);
			$db{$db} = join ' ', map { "$_=" . $d->cmd('GET', $_) } sort @{$d->cmd('KEYS', '*')};
			is($d->cmd('DBSIZE'), scalar @{$d->cmd('KEYS', '*')}, "$when: DBSIZE of $db");
		}
		is_deeply(\%db, {0 => '', 1 => '', 5 => 'after=swap in zero=0', 7 => 'copied=1', 8 => 'renamed=1'}, "$when: every key is where it was put");
	};
	$look->('before');
	$node->kill9;
	$node->start;
	$look->('after a crash');
	$c = $node->connect;
	$c->cmd('SWAPDB', 5, 7);
	$c->cmd('SWAPDB', 5, 7);
	$c->cmd('CHECKPOINT');
	$look->('after a checkpoint');
	$node->kill9;
	$node->start;
	$look->('from the base');
	$c = $node->connect;
	$c->cmd('SWAPDB', 8, 9);
	$c->cmd('FLUSHALL');
	$node->kill9;
	$node->start;
	is($node->cmd('DBSIZE'), 0, 'FLUSHALL after SWAPDB');
};

subtest 'swapped while others write' => sub {
	my $c = $node->connect;
	my @writers = map { $node->connect } 1 .. 4;
	$writers[$_]->cmd('SELECT', $_ % 2) for 0 .. 3;
	for my $round (1 .. 30)
	{
		$writers[$_]->send('SET', "w$_:$round", $round) for 0 .. 3;
		$c->cmd('SWAPDB', 0, 1);
		$_->recv for @writers;
	}
	my %seen;
	for my $db (0, 1)
	{
		$c->cmd('SELECT', $db);
		$seen{$_}++ for @{$c->cmd('KEYS', 'w*')};
	}
	is(scalar keys %seen, 120, 'no write is lost');
	is_deeply([grep { $seen{$_} != 1 } keys %seen], [], 'and none is twice');
	$c->cmd('FLUSHALL');
};

subtest 'swapped and emptied while others read' => sub {
	my @c = map { $node->connect } 1 .. 3;
	$c[0]->pipeline(['SELECT', 0], ['SET', 'k', 'a'], ['SELECT', 1], ['SET', 'k', 'b'], ['SELECT', 0]);
	my (%pairs, $done);
	for my $round (1 .. 300)
	{
		$c[0]->send('SWAPDB', 0, 1);
		for my $c (@c[1, 2])
		{
			my @r = $c->pipeline(['MULTI'], ['SELECT', 0], ['GET', 'k'], ['SELECT', 1], ['GET', 'k'], ['EXEC']);
			$pairs{$r[-1][1] . $r[-1][3]}++;
		}
		$c[0]->recv;
	}
	is_deeply([sort keys %pairs], ['ab', 'ba'], 'a transaction over both sees them before or after');
	my %seen;
	for my $round (1 .. 100)
	{
		$c[0]->pipeline(map { (['SELECT', $_], ['SET', 'k', $round]) } 0 .. 3);
		$c[0]->send('FLUSHALL');
		for my $c (@c[1, 2])
		{
			my @r = $c->pipeline(['MULTI'], (map { (['SELECT', $_], ['EXISTS', 'k']) } 3, 1, 0, 2), ['EXEC']);
			$seen{join '', @{$r[-1]}[1, 3, 5, 7]}++;
		}
		$c[0]->recv;
	}
	is_deeply([grep { !/^(0000|1111)$/ } keys %seen], [], 'FLUSHALL empties all at once');
};

$node->stop;
done_testing;
