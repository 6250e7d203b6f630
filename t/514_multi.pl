# Goal: MULTI EXEC DISCARD WATCH UNWATCH answer as Redis 7 does: order and errors of queued
# commands, what discards a transaction, what WATCH notices, in RESP2 and RESP3.
#
# Method: a table of commands over several connections with the exact replies, run against artery
# and against redis-server; then limits, counters, cold keys, and connections that end in the middle.
use Artery::Against;
use Artery::Cluster;
use Artery::SoakWire;
use Artery::Test;
use Test::More;
use Time::HiRes qw(sleep);

my $node = Artery::Cluster->new('multi');
$node->init(workers => 2, memory_limit => '256MB', wal_buffers => '64MB', wal_segment_size => '64MB', durability => 'none', enable_debug_command => 'yes');
$node->start;

my $ABORT   = '-EXECABORT Transaction discarded because of previous errors.';
my $FAR     = 4102444800;			# the year 2100
sub queued { return map { [$_, 'QUEUED'] } @_ }

my @table = (
	[['FLUSHALL'], 'OK'],
	# the states
	[['EXEC'], '-ERR EXEC without MULTI'], [['DISCARD'], '-ERR DISCARD without MULTI'], [['MULTI', 'x'], arity('multi')], [['EXEC', 'x'], "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"],
	[['DISCARD', 'x'], arity('discard')], [['UNWATCH', 'x'], arity('unwatch')], [['WATCH'], arity('watch')], [['UNWATCH'], 'OK'],
	[['MULTI'], 'OK'], [['EXEC'], '[]'], [['EXEC'], '-ERR EXEC without MULTI'],
	[['MULTI'], 'OK'], [['MULTI'], '-ERR MULTI calls can not be nested'], queued(['SET', 'a', 1]), [['EXEC'], '[OK]'],
	[['MULTI'], 'OK'], queued(['SET', 'a', 2]), [['DISCARD'], 'OK'], [['GET', 'a'], '"1"'], [['DISCARD'], '-ERR DISCARD without MULTI'],
	# what is queued runs in order and sees what came before it
	[['MULTI'], 'OK'], queued(['SET', 'a', 5], ['INCR', 'a'], ['GET', 'a'], ['APPEND', 'a', 'x'], ['GET', 'a'], ['STRLEN', 'a'], ['MSET', 'b', 1, 'c', 2], ['MGET', 'a', 'b', 'c', 'd'],
		['DEL', 'b', 'c', 'd'], ['EXISTS', 'a', 'b', 'c'], ['PING'], ['ECHO', 'hello'], ['GETDEL', 'a'], ['EXISTS', 'a'], ['DBSIZE'], ['KEYS', '*']),
	[['EXEC'], '[OK :6 "6" :2 "6x" :2 OK ["6x" "1" "2" nil] :2 :1 PONG "hello" "6x" :0 :0 []]'],
	[['MULTI'], 'OK'], queued(['SET', 'k', 'v'], ['SETNX', 'k', 'w'], ['GETSET', 'k', 'x'], ['SET', 'k', 'y', 'XX', 'GET'], ['RENAME', 'k', 'l'], ['COPY', 'l', 'm'], ['RENAMENX', 'l', 'm'], ['RENAMENX', 'l', 'k'],
		['MOVE', 'm', 1], ['TYPE', 'k'], ['TOUCH', 'k', 'l', 'm'], ['EXPIREAT', 'k', $FAR], ['EXPIRETIME', 'k'], ['PERSIST', 'k'], ['TTL', 'k'], ['EXPIRE', 'k', -1], ['GET', 'k'], ['RANDOMKEY']),
	[['EXEC'], '[OK :0 "v" "x" OK :1 :0 :1 :1 string :1 :1 :' . $FAR . ' :1 :-1 :1 nil nil]'], [['SELECT', 1], 'OK'], [['GETDEL', 'm'], '"y"'], [['SELECT', 0], 'OK'],
	# errors while they run stop nothing
	[['MULTI'], 'OK'], queued(['SET', 'a', 'x'], ['INCR', 'a'], ['SET', 'b', 1], ['INCRBY', 'b', 'x'], ['RENAME', 'none', 'n'], ['EXPIRE', 'b', 'x'], ['CLIENT', 'KILL', '1.2.3.4:5']),
	[['EXEC'], "[OK -ERR value is not an integer or out of range OK $NUMBER -ERR no such key $NUMBER -ERR No such client]"], [['MGET', 'a', 'b'], '["x" "1"]'],
	# errors while they are queued discard all
	(map { ([['MULTI'], 'OK'], queued(['SET', 'b', 2]), $_, queued(['SET', 'b', 3]), [['EXEC'], $ABORT], [['GET', 'b'], '"1"'], [['EXEC'], '-ERR EXEC without MULTI']) }
		[['BOGUS', 'x'], "-ERR unknown command 'BOGUS', with args beginning with: 'x' "], [['GET'], arity('get')], [['GET', 'a', 'b'], arity('get')],
		[['CONFIG', 'BOGUS'], "-ERR unknown subcommand 'BOGUS'. Try CONFIG HELP."], [['SAVE'], '-ERR Command not allowed inside a transaction'],
		[['SHUTDOWN'], '-ERR Command not allowed inside a transaction'], [['MULTI', 'x'], arity('multi')], [['UNWATCH', 'x'], arity('unwatch')]),
	[['MULTI'], 'OK'], queued(['SET', 'b', 2]), [['GET'], arity('get')], [['DISCARD'], 'OK'], [['MULTI'], 'OK'], queued(['GET', 'b']), [['EXEC'], '["1"]'],
	[['MULTI'], 'OK'], queued(['SET', 'b', 2]), [['EXEC', 'x'], "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"], [['EXEC'], '-ERR EXEC without MULTI'], [['GET', 'b'], '"1"'],
	[['MULTI'], 'OK'], [['WATCH', 'a'], '-ERR WATCH inside MULTI is not allowed'], queued(['SET', 'b', 4]), [['EXEC'], '[OK]'], [['GET', 'b'], '"4"'],
	# SELECT and what it leads to
	[['MULTI'], 'OK'], queued(['SELECT', 3], ['SET', 'three', 3], ['SELECT', 16]), [['EXEC'], '[OK OK -ERR DB index is out of range]'], [['GET', 'three'], '"3"'], [['SELECT', 0], 'OK'], [['GET', 'three'], 'nil'],
	[['MULTI'], 'OK'], queued(['SELECT', 3], ['DEL', 'three'], ['SELECT', 0]), [['EXEC'], '[OK :1 OK]'],
	# RESET and QUIT are not queued
	[['MULTI'], 'OK'], queued(['SET', 'b', 5]), [['RESET'], 'RESET'], [['EXEC'], '-ERR EXEC without MULTI'], [['GET', 'b'], '"4"'],
	[['q:', 'MULTI'], 'OK'], [['q:', 'SET', 'b', 6], 'QUEUED'], [['q:', 'QUIT'], 'OK'], [['q:', 'closed'], 1], [['GET', 'b'], '"4"'],
	# WATCH
	[['WATCH', 'a'], 'OK'], [['MULTI'], 'OK'], queued(['SET', 'b', 1]), [['EXEC'], '[OK]'],
	[['WATCH', 'a', 'b'], 'OK'], [['b:', 'SET', 'b', 'other'], 'OK'], [['MULTI'], 'OK'], queued(['SET', 'a', 'mine']), [['EXEC'], 'nil array'], [['MGET', 'a', 'b'], '["x" "other"]'],
	[['MULTI'], 'OK'], queued(['SET', 'a', 'mine']), [['EXEC'], '[OK]'],
	[['WATCH', 'a'], 'OK'], [['SET', 'a', 'own'], 'OK'], [['MULTI'], 'OK'], queued(['PING']), [['EXEC'], 'nil array'],
	[['WATCH', 'a'], 'OK'], [['b:', 'SET', 'a', 'own'], 'OK'], [['WATCH', 'a'], 'OK'], [['MULTI'], 'OK'], [['EXEC'], 'nil array'],
	[['WATCH', 'a'], 'OK'], [['b:', 'SET', 'a', 1], 'OK'], [['UNWATCH'], 'OK'], [['MULTI'], 'OK'], queued(['PING']), [['EXEC'], '[PONG]'],
	[['WATCH', 'a'], 'OK'], [['MULTI'], 'OK'], [['b:', 'SET', 'a', 2], 'OK'], [['DISCARD'], 'OK'], [['MULTI'], 'OK'], queued(['GET', 'a']), [['EXEC'], '["2"]'],
	[['WATCH', 'a'], 'OK'], [['MULTI'], 'OK'], [['b:', 'SET', 'a', 3], 'OK'], queued(['UNWATCH'], ['SET', 'a', 4]), [['EXEC'], 'nil array'], [['GET', 'a'], '"3"'],
	[['WATCH', 'a'], 'OK'], [['b:', 'SET', 'a', 5], 'OK'], [['RESET'], 'RESET'], [['MULTI'], 'OK'], queued(['PING']), [['EXEC'], '[PONG]'],
	[['WATCH', 'a'], 'OK'], [['b:', 'SET', 'a', 6], 'OK'], [['MULTI'], 'OK'], [['GET'], arity('get')], [['EXEC'], $ABORT], [['MULTI'], 'OK'], [['EXEC'], '[]'],
	[['WATCH', 'a'], 'OK'], [['MULTI'], 'OK'], [['EXEC', 'x'], qr/^-EXECABORT/], [['b:', 'SET', 'a', 7], 'OK'], [['MULTI'], 'OK'], [['EXEC'], '[]'],
	# WATCH: absent, deleted, made again, expired
	[['WATCH', 'absent'], 'OK'], [['MULTI'], 'OK'], queued(['SET', 'absent', 1]), [['EXEC'], '[OK]'], [['DEL', 'absent'], ':1'],
	[['WATCH', 'absent'], 'OK'], [['b:', 'SET', 'absent', 1], 'OK'], [['MULTI'], 'OK'], [['EXEC'], 'nil array'],
	[['WATCH', 'absent'], 'OK'], [['b:', 'DEL', 'absent'], ':1'], [['MULTI'], 'OK'], [['EXEC'], 'nil array'],
	[['WATCH', 'absent'], 'OK'], [['b:', 'DEL', 'absent'], ':0'], [['MULTI'], 'OK'], [['EXEC'], '[]'],
	[['SET', 'a', 1], 'OK'], [['WATCH', 'a'], 'OK'], [['b:', 'DEL', 'a'], ':1'], [['b:', 'SET', 'a', 1], 'OK'], [['MULTI'], 'OK'], [['EXEC'], 'nil array'],
	[['WATCH', 'a'], 'OK'], [['b:', 'EXPIRE', 'a', 100], ':1'], [['MULTI'], 'OK'], [['EXEC'], 'nil array'],
	[['WATCH', 'a'], 'OK'], [['b:', 'PERSIST', 'a'], ':1'], [['MULTI'], 'OK'], [['EXEC'], 'nil array'],
	[['WATCH', 'a'], 'OK'], [['b:', 'GET', 'a'], '"1"'], [['b:', 'TTL', 'a'], ':-1'], [['b:', 'SETNX', 'a', 2], ':0'], [['MULTI'], 'OK'], [['EXEC'], '[]'],
	[['PEXPIRE', 'a', 30], ':1'], [['WATCH', 'a'], 'OK'], [['wait', 0.06], ''], [['MULTI'], 'OK'], queued(['SET', 'b', 'late']), [['EXEC'], 'nil array'], [['GET', 'b'], '"other"'],
	[['SET', 'a', 1, 'XX'], 'nil'], [['WATCH', 'a'], 'OK'], [['MULTI'], 'OK'], queued(['GET', 'a']), [['EXEC'], '[nil]'],
	# FLUSHDB and FLUSHALL within
	[['FLUSHALL'], 'OK'], [['MSET', 'a', 1, 'b', 2], 'OK'], [['b:', 'SELECT', 1], 'OK'], [['b:', 'SET', 'a', 'one'], 'OK'],
	[['MULTI'], 'OK'], queued(['SET', 'c', 3], ['FLUSHDB'], ['DBSIZE'], ['SET', 'd', 4], ['KEYS', '*'], ['FLUSHDB', 'BOGUS']), [['EXEC'], "[OK OK :0 OK [\"d\"] $SYNTAX]"], [['KEYS', '*'], '["d"]'], [['b:', 'GET', 'a'], '"one"'],
	[['WATCH', 'd'], 'OK'], [['b:', 'MULTI'], 'OK'], [['b:', 'FLUSHALL', 'ASYNC'], 'QUEUED'], [['b:', 'DBSIZE'], 'QUEUED'], [['b:', 'EXEC'], '[OK :0]'], [['MULTI'], 'OK'], [['EXEC'], 'nil array'],
	[['DBSIZE'], ':0'], [['MULTI'], 'OK'], queued(['FLUSHALL'], ['FLUSHDB']), [['EXEC'], '[OK OK]'], [['b:', 'SELECT', 0], 'OK'], [['SET', 'a', 3], 'OK'], [['SET', 'b', 'other'], 'OK'],
	# the slow log has queued commands when they run, and not EXEC
	[['CONFIG', 'SET', 'slowlog-log-slower-than', 0], 'OK'], [['SLOWLOG', 'RESET'], 'OK'], [['MULTI'], 'OK'], queued(['PING'], ['SET', 'b', 1]), [['SLOWLOG', 'LEN'], 'QUEUED'], [['EXEC'], '[PONG OK :4]'],
	[['SLOWLOG', 'LEN'], ':5'], [['CONFIG', 'SET', 'slowlog-log-slower-than', 10000], 'OK'],
	# ... by database, and what empties or swaps them
	[['SET', 'a', 1], 'OK'], [['WATCH', 'a'], 'OK'], [['b:', 'SELECT', 1], 'OK'], [['b:', 'SET', 'a', 2], 'OK'], [['MULTI'], 'OK'], [['EXEC'], '[]'],
	[['WATCH', 'a'], 'OK'], [['SELECT', 1], 'OK'], [['SET', 'a', 3], 'OK'], [['MULTI'], 'OK'], [['EXEC'], '[]'], [['SELECT', 0], 'OK'],
	[['WATCH', 'a'], 'OK'], [['b:', 'FLUSHDB'], 'OK'], [['MULTI'], 'OK'], [['EXEC'], '[]'],
	[['WATCH', 'a'], 'OK'], [['b:', 'FLUSHALL'], 'OK'], [['MULTI'], 'OK'], [['EXEC'], 'nil array'],
	[['WATCH', 'none'], 'OK'], [['b:', 'FLUSHALL'], 'OK'], [['MULTI'], 'OK'], [['EXEC'], '[]'],
	# the map of databases
	[['FLUSHALL'], 'OK'], [['MSET', 'a', 1, 'c', 3], 'OK'], [['MULTI'], 'OK'],
	queued(['SET', 'x', 1], ['FLUSHDB'], ['DBSIZE'], ['GET', 'a'], ['SET', 'b', 2], ['KEYS', '*'], ['DBSIZE'], ['SWAPDB', 0, 1], ['GET', 'b'], ['DBSIZE'], ['SELECT', 1], ['GET', 'b'], ['DBSIZE'], ['SET', 'd', 4], ['SELECT', 0], ['SET', 'e', 5]),
	[['EXEC'], '[OK OK :0 nil OK ["b"] :1 OK nil :0 OK "2" :1 OK OK OK]'],
	[['KEYS', '*'], '["e"]'], [['DBSIZE'], ':1'], [['SELECT', 1], 'OK'], [['MGET', 'b', 'd', 'a', 'x'], '["2" "4" nil nil]'], [['DBSIZE'], ':2'], [['SELECT', 0], 'OK'],
	[['MULTI'], 'OK'], queued(['FLUSHALL'], ['SET', 'a', 1], ['FLUSHALL'], ['DBSIZE']), [['EXEC'], '[OK OK OK :0]'], [['DBSIZE'], ':0'], [['SELECT', 1], 'OK'], [['DBSIZE'], ':0'], [['SELECT', 0], 'OK'],
	[['SET', 'a', 1], 'OK'], [['MULTI'], 'OK'], queued(['SWAPDB', 0, 1], ['SWAPDB', 0, 1], ['GET', 'a']), [['EXEC'], '[OK OK "1"]'], [['GET', 'a'], '"1"'],
	[['WATCH', 'a'], 'OK'], [['MULTI'], 'OK'], queued(['FLUSHALL']), [['EXEC'], '[OK]'], [['DBSIZE'], ':0'],
	[['SET', 'a', 1], 'OK'], [['WATCH', 'a'], 'OK'], [['b:', 'SWAPDB', 0, 1], 'OK'], [['MULTI'], 'OK'], [['EXEC'], 'nil array'], [['b:', 'SWAPDB', 1, 0], 'OK'],
	[['FLUSHALL'], 'OK'],
);

# the same in RESP3
my @resp3 = (
	[['HELLO', 3], qr/^%/], [['SET', 'a', 1], 'OK'],
	[['MULTI'], 'OK'], queued(['GET', 'a'], ['GET', 'none'], ['MGET', 'a', 'none'], ['INCR', 'a'], ['INCRBY', 'a', 'x']), [['EXEC'], "[\"1\" null [\"1\" null] :2 $NUMBER]"],
	[['WATCH', 'a'], 'OK'], [['b:', 'SET', 'a', 5], 'OK'], [['MULTI'], 'OK'], queued(['GET', 'a']), [['EXEC'], 'null'],
	[['MULTI'], 'OK'], [['NOSUCH'], qr/^-ERR unknown command/], [['EXEC'], $ABORT],
	[['MULTI'], 'OK'], queued(['CONFIG', 'GET', 'databases']), [['EXEC'], '[%["databases" "16"]]'],
	[['MULTI'], 'OK'], queued(['HELLO', 2], ['GET', 'none']), [['EXEC'], qr/^\[.* nil\]$/], [['FLUSHALL'], 'OK'],
);

subtest 'replies' => sub {
	run_table('artery', $node->socket_path, @table);
	run_table('artery, RESP3', $node->socket_path, @resp3);
	my $redis = redis_start();
	SKIP: {
		skip 'no redis-server', 2 unless $redis;
		run_table('redis-server', $redis->socket_path, @table);
		run_table('redis-server, RESP3', $redis->socket_path, @resp3);
	}
};

# A key that has expired and is still in memory is absent for WATCH; that it leaves memory changes nothing.
sub expired_and_watched
{
	my ($name, $path) = @_;
	my ($c, $other) = map { Artery::SoakWire->connect($path) } 1, 2;
	my $active = sub { $other->ok('DEBUG', 'SET-ACTIVE-EXPIRE', $_[0]) };
	# reading would delete it in Redis: what has expired is told by the time alone
	my $dead = sub { $active->(0); $other->ok('SET', 'a', 1, 'PX', 20); sleep 0.05 };
	my $until;		# the deadline of a key that must have been there when it was watched
	my $lives = sub { $active->(0); $until = now() + 0.3; $other->ok('SET', 'a', 1, 'PX', 300) };
	my $gone = sub { $active->(1); poll_until(sub { $other->ok('DBSIZE') == 0 }) or die "$name: nobody deletes what has expired" };
	my @in = (['GET', 'a'], ['SET', 'done', 1], ['DEL', 'done']);
	my $held = '[nil OK :1]';
	for (
		['absent, and stays as it is', $held, $dead, undef],
		['absent, and its memory is freed', $held, $dead, $gone],
		['... and somebody deletes it in vain', $held, $dead, sub { $other->ok('DEL', 'a') }],
		['... and somebody sets it', 'nil array', $dead, sub { $other->ok('SET', 'a', 2) }],
		['... and somebody sets it when it is gone', 'nil array', $dead, sub { $gone->(); $other->ok('SET', 'a', 2) }],
		['... and somebody sets and deletes it', 'nil array', $dead, sub { $other->ok('SET', 'a', 2); $other->ok('DEL', 'a') }],
		['... and the same when it is gone', 'nil array', $dead, sub { $gone->(); $other->ok('SET', 'a', 2); $other->ok('DEL', 'a') }],
		['... and somebody sets it, and that expires, too', 'nil array', $dead, sub { $other->ok('SET', 'a', 2, 'PX', 20); sleep 0.05; $gone->() }],
		['there, and expires', 'nil array', $lives, sub { sleep 0.35 }],
		['there, and expires, and is gone', 'nil array', $lives, sub { sleep 0.35; $gone->() }],
		['there, deleted and made again', 'nil array', sub { $other->ok('SET', 'a', 1, 'PX', 60_000) }, sub { $other->ok('DEL', 'a'); $other->ok('SET', 'a', 1, 'PX', 60_000) }],
		['there, set to what it is', 'nil array', sub { $other->ok('SET', 'a', 1) }, sub { $other->ok('SET', 'a', 1) }],
	)
	{
		my ($what, $want, $before, $between) = @$_;
		undef $until;
		do
		{
			$c->ok('UNWATCH');
			$other->ok('FLUSHALL');
			$before->();
			$c->ok('WATCH', 'a');
		} while (defined $until && now() >= $until);
		$between->() if $between;
		$c->ok('MULTI');
		$c->ok(@$_) for @in;
		is(shown($c->command('EXEC')), $want, "$name: $what");
	}
	$active->(1);
	$_->close for $c, $other;
	return;
}

subtest 'expired when it was watched' => sub {
	expired_and_watched('artery', $node->socket_path);
	SKIP: {
		my $redis = redis_start('--enable-debug-command', 'yes') or skip 'no redis-server', 12;
		expired_and_watched('redis-server', $redis->socket_path);
	}
};

subtest 'what differs' => sub {
	run_table('artery', $node->socket_path,
		[['WATCH', 'k' x 4097], '-ERR key is too long (4097 bytes, maximum 4096)'],
		[['MULTI'], 'OK'], queued(['GET', 'k' x 4097], ['SET', 'a', 1]), [['EXEC'], '[-ERR key is too long (4097 bytes, maximum 4096) OK]'],
		[['MULTI'], 'OK'], queued(['WAITAOF', 1, 0, 0], ['WAITAOF', 1, 1, 0], ['SET', 'a', 2]), [['EXEC'], qr/^\[\[:[01] :0\] \[:[01] :0\] OK\]$/],
	);
};

subtest 'counters' => sub {
	my $c = $node->connect;
	my $calls = sub { my %n = $c->cmd('INFO', 'commandstats') =~ /cmdstat_(\w+):calls=(\d+)/g; return map { $n{$_} // 0 } qw(set get multi exec) };
	my $failed = sub { my ($n) = $c->cmd('INFO', 'commandstats') =~ /cmdstat_\Q$_[0]\E:.*?failed_calls=(\d+)/; return $n // 0 };
	$c->cmd('CONFIG', 'RESETSTAT');
	$c->pipeline(['MULTI'], ['SET', 'a', 1], ['SET', 'a', 2], ['INCRBY', 'a', 'x'], ['GET', 'a'], ['EXEC'], ['MULTI'], ['SET', 'a', 3], ['DISCARD']);
	is_deeply([$calls->()], [2, 1, 2, 1], 'calls are those that have run');
	is($failed->('incrby'), 1, 'a failed one is the queued command');
	is($failed->('exec'), 0, '... not EXEC');
	like($c->cmd('CLIENT', 'INFO'), qr/ multi=-1 /, 'CLIENT INFO outside of MULTI');
	my @in = $c->pipeline(['MULTI'], ['PING'], ['PING'], ['CLIENT', 'INFO'], ['EXEC']);
	like($in[-1][2], qr/ multi=3 /, 'and within');
	like($in[-1][2], qr/flags=\S*x/, 'with the flag x');
};

subtest 'limits' => sub {
	my $c = $node->connect;
	$c->cmd('CONFIG', 'SET', 'client_query_buffer_limit', '1MB');
	is($c->cmd('MULTI'), 'OK', 'MULTI');
	my @replies = map { my $r = $c->reply_to('SET', "k$_", 'x' x 100_000); "$r" } 1 .. 12;
	is($replies[0], 'QUEUED', 'queued until client_query_buffer_limit');
	like($replies[-1], qr/^ERR too much is queued and watched \(\d+ bytes, maximum 1048576, see client_query_buffer_limit\)/, 'then refused');
	is($c->err('EXEC'), substr($ABORT, 1), 'and EXEC discards all');
	is($c->cmd('EXISTS', 'k1'), 0, 'nothing was done');
	$c->cmd('WATCH', map { "$_" . 'w' x 4000 } 1 .. 200);
	like($c->err('WATCH', map { "$_" . 'w' x 4000 } 201 .. 260), qr/^ERR too much is queued and watched/, 'watched keys count, too');
	is($c->cmd('UNWATCH'), 'OK', 'UNWATCH');
	is($c->cmd('WATCH', map { "$_" . 'w' x 4000 } 201 .. 260), 'OK', 'makes room');
	$c->cmd('UNWATCH');
	$c->cmd('CONFIG', 'SET', 'client_query_buffer_limit', '1GB');
	my @many = $c->pipeline(['MULTI'], (map { ['INCR', 'many'] } 1 .. 20_000), ['EXEC']);
	is_deeply($many[-1], [1 .. 20_000], '20,000 commands in one EXEC');
	my $other = $node->connect;
	$c->send_raw(join '', map { Artery::Client->encode(@$_) } ['MULTI'], (map { ['SET', "big$_", 'y' x 100_000] } 1 .. 100), (map { ['GET', "big$_"] } 1 .. 100), ['EXEC']);
	is($other->cmd('PING'), 'PONG', 'others are served meanwhile');
	my @big = map { $c->recv } 1 .. 202;
	is(scalar(grep { $_ eq 'y' x 100_000 } @{$big[-1]}), 100, '10 MB of replies');
};

subtest 'too large' => sub {
	my $c = $node->connect;
	$c->cmd('CONFIG', 'SET', 'transaction_max_bytes', '64kB');
	my $too_large = qr/^ERR transaction too large \(\d+ bytes, maximum 65536\)$/;
	$c->cmd('SET', 'before', 1);
	my @r = $c->pipeline(['MULTI'], ['SET', 'before', 2], (map { ['SET', "part$_", 'x' x 10_000] } 1 .. 10), ['GET', 'before'], ['EXEC']);
	like("$r[-1]", $too_large, 'EXEC says so');
	is_deeply($c->cmd('MGET', 'before', 'part1', 'part10'), [1, undef, undef], 'and nothing was written');
	like($c->err('RENAMENX', 'long', 'short'), qr/^ERR no such key/, 'other errors stay what they are');
	$c->cmd('SET', 'long', 'y' x 200_000);
	like($c->err('RENAME', 'long', 'short'), $too_large, 'RENAME of a long value');
	is_deeply([map { length($_ // '') } @{$c->cmd('MGET', 'long', 'short')}], [200_000, 0], 'leaves it where it is');
	$c->pipeline(map { ['SET', 'd' x 1000 . $_, 1] } 1 .. 100);
	like($c->err('DEL', map { 'd' x 1000 . $_ } 1 .. 100), $too_large, 'DEL of many long keys');
	is($c->cmd('EXISTS', map { 'd' x 1000 . $_ } 1 .. 100), 100, 'deletes none');
	is_deeply(($c->pipeline(['MULTI'], ['SET', 'small', 1], ['EXEC']))[-1], ['OK'], 'a small one goes on');
	$c->cmd('CONFIG', 'SET', 'transaction_max_bytes', 0);
	is_deeply(($c->pipeline(['MULTI'], (map { ['SET', "part$_", 'x' x 10_000] } 1 .. 10), ['EXEC']))[-1], [('OK') x 10], 'and the same one under a higher limit');
	$c->cmd('FLUSHALL');
};

subtest 'all at the same keys' => sub {
	my @c = map { $node->connect } 1 .. 8;
	my (%seen, @wrong);
	for my $round (1 .. 150)
	{
		$_->send_raw(join '', map { Artery::Client->encode(@$_) } ['MULTI'], ['SELECT', 2], ['INCR', 'c'], ['GETV', 'c'], ['SELECT', 0], ['INCR', 'c'], ['CLIENT', 'SETNAME', "n$round"], ['INCR', 'c'], ['GETV', 'c'], ['EXEC'], ['INCR', 'single'], ['CLIENT', 'GETNAME']) for @c;
		for my $c (@c)
		{
			my @r = map { $c->recv } 1 .. 12;
			my $e = $r[9];
			my $n = $e->[1];
			push @wrong, "round $round: " . join ' ', map { ref $_ eq 'ARRAY' ? "[@$_]" : $_ } @$e
			  if "@$e[0, 3, 4, 5, 6]" ne 'OK OK ' . (2 * $n - 1) . ' OK ' . 2 * $n || $e->[2][0] != $n || $e->[7][0] != 2 * $n || $e->[2][1] != $e->[7][1] || $r[11] ne "n$round" || $seen{$n}++;
		}
	}
	is_deeply(\@wrong, [], 'each EXEC sees the state that one other has left');
	is($c[0]->cmd('GET', 'c'), 2400, 'and leaves its own');
	is($c[0]->cmd('GET', 'single'), 1200, 'single commands in between');
	$c[0]->cmd('FLUSHALL');
};

subtest 'keys that others write all the time' => sub {
	my $c = $node->connect;
	my $many = 50_000;
	my @keys = map { "busy/$_" } 1 .. $many;
	$c->cmd('SET', 'quiet', 1);
	my @writer;
	for my $n (1 .. 2)
	{
		my $pid = fork() // die "fork: $!";
		if ($pid == 0)
		{
			my $w = $node->connect;
			for (;;) { $w->pipeline(map { ['INCR', 'busy/' . (1 + int rand $many)] } 1 .. 50) }
		}
		push @writer, $pid;
	}
	ok(poll_until(sub { $c->cmd('COUNTPREFIX', 'busy/') > 100 }), 'they write');
	my $exec = ($c->pipeline(['MULTI'], (map { ['INCR', $_] } @keys), ['EXEC']))[-1];
	is(ref $exec eq 'ARRAY' ? scalar @$exec : "$exec", $many, 'a large EXEC comes to its end all the same');
	$exec = ($c->pipeline(['MULTI'], (map { ['GET', $_] } @keys), ['EXEC']))[-1];
	is(ref $exec eq 'ARRAY' ? scalar @$exec : "$exec", $many, '... one that only reads, too');
	is(scalar(grep { defined } @{$c->cmd('MGET', @keys)}), $many, '... MGET');
	is($c->cmd('EXISTS', @keys), $many, '... EXISTS');
	is($c->cmd('DEL', @keys), $many, '... and DEL of many keys');
	my $before = $c->cmd('COUNTPREFIX', 'busy/');
	ok(poll_until(sub { $c->cmd('COUNTPREFIX', 'busy/') > $before }), 'and the others go on');
	kill 'KILL', @writer;
	waitpid $_, 0 for @writer;
	$c->cmd('FLUSHALL');
};

subtest 'cold keys' => sub {
	my $c = $node->connect;
	$c->cmd('FLUSHALL');
	$c->pipeline(map { ['SET', "cold$_", $_] } 1 .. 2000);
	$c->cmd('CHECKPOINT');
	$node->stop;
	$node->append_conf(prewarm => 'off');
	$node->start;
	$c = $node->connect;
	is($c->cmd('WATCH', map { "cold$_" } 1 .. 50), 'OK', 'WATCH of keys on disk');
	my @r = $c->pipeline(['MULTI'], (map { ['INCR', "cold$_"], ['GET', 'cold' . ($_ + 1000)] } 51 .. 100), ['EXEC']);
	is_deeply($r[-1], [map { ($_ + 1, $_ + 1000) } 51 .. 100], 'EXEC of keys on disk');
	$c->cmd('WATCH', 'cold1500');
	$node->connect->cmd('SET', 'cold1500', 'changed');
	is(($c->pipeline(['MULTI'], ['GET', 'cold1'], ['EXEC']))[-1], undef, 'WATCH notices a change of what was on disk');
};

subtest 'no memory' => sub {
	my $small = Artery::Cluster->new('small');
	$small->init(workers => 2, memory_limit => '16MB', wal_buffers => '128MB', wal_segment_size => '64MB');
	$small->start;
	my $c = $small->connect;
	my $set = sub { my ($n) = @_; return ($c->pipeline(['MULTI'], ['SET', 'n', $n], (map { ['SET', "big$_", 'x' x 1_000_000] } 1 .. $n), ['EXEC']))[-1] };
	is_deeply($set->(4), [('OK') x 5], 'a transaction that memory can hold');
	like($set->(20), qr/^OOM command not allowed when used memory/, 'one that it never can');
	is_deeply([$c->cmd('GET', 'n'), $c->cmd('DBSIZE')], [4, 5], 'leaves everything as it was');
	my @selected = $c->pipeline(['MULTI'], ['SELECT', 3], (map { ['SET', "big$_", 'x' x 1_000_000] } 1 .. 20), ['EXEC'], ['GET', 'n']);
	is($selected[-1], 4, 'the database that was chosen, too');
	is_deeply($set->(6), [('OK') x 7], 'and others go on');
	$small->stop;
};

subtest 'connections that end in the middle' => sub {
	$node->cmd('CHECKPOINT');
	$node->restart;
	for (1 .. 30)
	{
		my $e = $node->connect;
		$e->send_raw(join '', map { Artery::Client->encode(@$_) } ['WATCH', map { "cold$_" } 1 .. 100], ['MULTI'], (map { (['INCR', "cold$_"], ['RENAME', "cold$_", 'x']) } map { 1 + int rand 2000 } 1 .. 100), ['EXEC'], ['PING']);
		$e->recv if rand() < 0.3;
		$e->close;
	}
	my $c = $node->connect;
	$c->cmd('SET', 'a', 'before');
	my $d = $node->connect;
	$d->pipeline(['WATCH', 'a'], ['MULTI'], ['SET', 'a', 'never']);
	$d->close;
	my @half = map { $node->connect } 1 .. 20;
	$_->pipeline(['WATCH', 'a', 'b'], ['MULTI'], map { ['SET', 'a', 'x' x 1000] } 1 .. 50) for @half;
	$_->close for @half;
	is($c->cmd('GET', 'a'), 'before', 'nothing happens without EXEC');
	ok($node->running, 'and the server lives');
};

$node->stop;
subtest 'figures' => sub {
	$node->start;
	my $c = $node->connect;
	my $figure = sub { $c->cmd('INFO', 'artery') =~ /^$_[0]:(\d+)/m ? $1 : undef };
	cmp_ok($figure->('transaction_max_bytes'), '>', 0, 'the bound that is in force');
	my $most = $figure->('transaction_max_bytes');
	$c->cmd('CONFIG', 'SET', 'transaction_max_bytes', '64kB');
	is($figure->('transaction_max_bytes'), 65536, '... follows the setting');
	$c->cmd('CONFIG', 'SET', 'transaction_max_bytes', '1GB');
	is($figure->('transaction_max_bytes'), $most, '... and never passes a quarter of the ring');
	$c->cmd('CONFIG', 'SET', 'transaction_max_bytes', 0);
	my $before = $figure->('transactions_committed');
	$c->cmd(@$_) for ['MULTI'], ['SET', 'a', 1], ['EXEC'];
	is($figure->('transactions_committed'), $before + 1, 'commits are counted');
	like($figure->('transactions_aborted_by_others'), qr/^\d+$/, 'and what others have aborted');
	$c->close;
	$node->stop;
};

done_testing;
