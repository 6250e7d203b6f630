# Goal: MONITOR shows the commands of all workers as Redis 7 does; CLIENT PAUSE holds the clients
# of all workers, UNPAUSE lets them go, UNBLOCK ends one client's wait; CLIENT LIST and KILL know
# the kinds of clients.
#
# Method: commands and the lines expected, also from redis-server 7.0 where that is installed;
# clients on every worker; time is measured only where time is what the command is about.
use Artery::Against;
use Artery::Test;
use Artery::Cluster;
use Artery::Redis qw(with_redis);
use Artery::SoakServer;
use Artery::SoakWire;
use Test::More;

my $node = Artery::Cluster->new('monitor');
$node->init(workers => 3, durability => 'none', wal_flush_interval => '50ms');
$node->start;

# error -- the text of an error reply, or what else came
sub answer { my ($wire, @command) = @_; return plain($wire->command(@command)) // 'nil' }

my @seen = (
	[['SET', "a\x01\"\\b\n\r\t\a\b\xff", 'v'], '0 "SET" "a\x01\"\\\\b\n\r\t\a\b\xff" "v"'],
	[['get', 'none'], '0 "get" "none"'], [['GET']], [['NONSENSE', 'x']], [['PING', ''], '0 "PING" ""'], [['INCR', 'a b'], '0 "INCR" "a b"'],
	[['CONFIG', 'GET', 'save']], [['CLIENT', 'LIST']], [['CLIENT', 'ID'], '0 "CLIENT" "ID"'], [['CLIENT', 'SETNAME', 'x'], '0 "CLIENT" "SETNAME" "x"'],
	[['AUTH', 'secret'], '0 "AUTH" "(redacted)"'], [['AUTH', 'default', 'secret'], '0 "AUTH" "(redacted)" "(redacted)"'],
	[['HELLO', 2, 'AUTH', 'default', 'secret', 'SETNAME', 'n'], '0 "HELLO" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "n"'],
	[['SELECT', 3], '3 "SELECT" "3"'], [['GET', 'k'], '3 "GET" "k"'], [['SELECT', 0], '0 "SELECT" "0"'],
	[['MULTI'], '0 "MULTI"'], [['SET', 'm', 1]], [['GET', 'm']], [['EXEC'], '0 "SET" "m" "1"', '0 "GET" "m"', '0 "EXEC"'],
);

sub run_monitor
{
	my ($name, $path) = @_;
	my $wire = wire($path);
	my @monitor = map { wire($path) } 1 .. 3;
	is(answer($_, 'MONITOR'), 'OK', "$name: MONITOR") for @monitor;
	my @wrong;
	for (@seen)
	{
		my ($command, @want) = @$_;
		$wire->command(@$command);
		for my $monitor (@monitor)
		{
			my @got = map { $_->[1] =~ s/^\d{10}\.\d{6} \[(\d+) unix:\Q$path\E\]/$1/r } $monitor->replies(scalar @want);
			push @wrong, "@$command: got @got, expected @want" if "@got" ne "@want";
		}
	}
	push @wrong, 'something else: ' . $_->[1] for map { $_->replies(1, 0.1) } @monitor;
	is(join("\n", @wrong), '', "$name: " . @seen . ' commands');
	return;
}

subtest 'MONITOR' => sub {
	run_monitor('artery', $node->socket_path);
	with_redis(sub { run_monitor('the table is true of redis-server', $_[0]) });
	my $wire = wire($node);
	my $monitor = wire($node, ['MONITOR']);
	like($wire->ok('CLIENT', 'LIST'), qr/flags=OU /, 'CLIENT LIST shows it');
	$wire->queue(join '', map { encode('ECHO', $_) } 1 .. 5000);
	$wire->replies(5000, 30);
	is(join(' ', map { $_->[1] =~ /"(\d+)"$/ } $monitor->replies(5000, 30)), join(' ', 1 .. 5000), 'all of many, in order');
	$monitor->ok('RESET');
	$wire->ok('PING');
	is($monitor->reply(0.2) // 'nothing', 'nothing', 'RESET ends it');
	my $slow = wire($node, ['MONITOR']);
	$wire->ok('CONFIG', 'SET', 'client_output_buffer_limit', '1MB');
	my $long = 'x' x 100_000;
	for (1 .. 50) { $wire->ok('ECHO', $long) }
	ok(poll_until(sub { $wire->ok('CLIENT', 'LIST') !~ /flags=O/ }), 'one that does not read is closed');
	$wire->ok('CONFIG', 'SET', 'client_output_buffer_limit', '256MB');
};

subtest 'CLIENT PAUSE' => sub {
	my $admin = wire($node, ['SET', 'k', 'v']);
	is(answer($admin, 'CLIENT', 'PAUSE', @{$_->[0]}), $_->[1], "CLIENT PAUSE @{$_->[0]}")
	  for [['x'], '-ERR timeout is not an integer or out of range'], [[-1], '-ERR timeout is negative'], [[1, 'SOME'], '-ERR CLIENT PAUSE mode must be WRITE or ALL'],
	  [[1, 'ALL', 'x'], "-ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP."], [[], "-ERR wrong number of arguments for 'client|pause' command"];
	my @w = map { wire($node) } 1 .. 6;
	my $listener = wire($node, ['SUBSCRIBE', 'news']);
	# writes only
	$admin->ok('CLIENT', 'PAUSE', 60_000, 'WRITE');
	is($_->ok('GET', 'k'), 'v', 'reads go on') for @w;
	$w[0]->queue(encode('SET', 'k', 'w'));
	$w[1]->queue(encode('PUBLISH', 'news', 'm'));
	$w[2]->queue(encode('DEL', 'x', 'y'));
	$w[3]->queue(encode('MULTI') . encode('GET', 'k') . encode('EXEC'));
	is(scalar($w[3]->replies(3)), 3, 'a transaction that only reads goes on');
	$w[4]->queue(encode('MULTI'));
	$w[4]->reply;
	$w[4]->queue(encode('SET', 'k', 'x'));
	is(answer($w[5], 'GET', 'k'), 'v', 'nothing is written');
	is(scalar(map { $_->reply(0.2) // () } @w[0, 1, 2, 4]), 0, 'writes and PUBLISH wait, on every worker');
	is($listener->reply(0.05) // 'nothing', 'nothing', '... nothing is published');
	my $offset = now();
	is($admin->ok('CLIENT', 'UNPAUSE'), 'OK', 'UNPAUSE');
	is(join(' ', map { plain($_->reply) } @w[0, 1, 2, 4]), 'OK 1 0 QUEUED', '... and all are done');
	cmp_ok(now() - $offset, '<', 30, '... long before the pause is over');
	is(plain($listener->reply)->[2], 'm', '... the message is heard');
	$w[4]->ok('DISCARD');
	# all
	$offset = now();
	$admin->ok('CLIENT', 'PAUSE', 600);
	$_->queue(encode('GET', 'k') . encode('PING')) for @w;
	is(join(' ', map { join ' ', map { $_->[1] } $_->replies(2) } @w), join(' ', ('w PONG') x 6), 'ALL holds reads, too, until its time is over');
	cmp_ok(now() - $offset, '>', 0.5, '... and not less');
	# longer and wider, never the opposite
	$offset = now();
	$admin->ok('CLIENT', 'PAUSE', 700, 'WRITE');
	$admin->ok('CLIENT', 'PAUSE', 1, 'WRITE');
	$w[0]->ok('SET', 'k', 1);
	cmp_ok(now() - $offset, '>', 0.6, 'a shorter pause does not end a longer one');
	# a client that goes while it is held
	$admin->ok('CLIENT', 'PAUSE', 60_000, 'WRITE');
	$w[1]->queue(encode('SET', 'gone', 1));
	$w[1]->turn(0);
	$w[1]->close;
	$admin->ok('CLIENT', 'UNPAUSE');
	is(answer($w[0], 'SET', 'k', 2), 'OK', 'who goes while held hurts nobody');
};

subtest 'CLIENT UNBLOCK' => sub {
	my $admin = wire($node);
	is(answer($admin, 'CLIENT', 'UNBLOCK', @{$_->[0]}), $_->[1], "CLIENT UNBLOCK @{$_->[0]}")
	  for [['x'], '-ERR value is not an integer or out of range'], [[999999], 0], [[0], 0], [[1, 'SOON'], '-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR'],
	  [[1, 'ERROR', 'x'], "-ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP."];
	for my $command (['WAITAOF', 1, 1, 0], ['WAIT', 1, 0], ['CHANGES', '$', 'BLOCK', 0])
	{
		for my $reason ('TIMEOUT', 'ERROR')
		{
			my @w = map { wire($node) } 1 .. 3;		# one on each worker
			for my $wire (@w)
			{
				my $id = $wire->ok('CLIENT', 'ID');
				my @command = map { $_ eq '$' ? $wire->ok('WAL', 'FLUSHED') : $_ } @$command;
				$wire->queue(encode(@command) . encode('PING'));
				$wire->turn(0);
				ok(poll_until(sub { $admin->ok('CLIENT', 'LIST', 'ID', $id) =~ /flags=\S*b/ }), "@$command[0 .. 1] waits") or diag(answer($admin, 'CLIENT', 'LIST', 'ID', $id));
				is($admin->ok('CLIENT', 'UNBLOCK', $id, $reason), 1, "... UNBLOCK $reason");
				my ($reply, $pong) = $wire->replies(2);
				if ($reason eq 'ERROR') { is(plain($reply), '-UNBLOCKED client unblocked via CLIENT UNBLOCK', '... an error') }
				else { isnt($reply->[0], '-', '... as if its time were over') or diag($reply->[1]) }
				is(plain($pong), 'PONG', '... and it goes on');
				is($admin->ok('CLIENT', 'UNBLOCK', $id), 0, '... and waits no more');
			}
		}
	}
};

subtest 'kinds of clients' => sub {
	my $admin = wire($node);
	my @n = map { wire($node) } 1 .. 3;
	my @p = map { wire($node, ['SUBSCRIBE', 'x']) } 1 .. 3;
	push @p, wire($node, ['PSUBSCRIBE', 'x*']);
	is(scalar(() = $admin->ok('CLIENT', 'LIST', 'TYPE', 'pubsub') =~ /^id=/mg), 4, 'CLIENT LIST TYPE pubsub');
	is(scalar(grep { /flags=PU/ } split /\n/, $admin->ok('CLIENT', 'LIST', 'TYPE', 'normal')), 0, 'CLIENT LIST TYPE normal has none of them');
	is($admin->ok('CLIENT', 'LIST', 'TYPE', 'replica'), '', 'there are no replicas');
	is($admin->ok('CLIENT', 'KILL', 'TYPE', 'pubsub'), 4, 'CLIENT KILL TYPE pubsub');
	for (@p) { $_->raw(10); ok($_->closed, '... closes a listener') }
	is(answer($_, 'PING'), 'PONG', '... and nobody else') for @n;
	$n[0]->ok('SUBSCRIBE', 'x');
	$n[0]->ok('UNSUBSCRIBE', 'x');
	is($admin->ok('CLIENT', 'KILL', 'TYPE', 'pubsub'), 0, 'who has left his channels is none');
	like($admin->ok('CLIENT', 'LIST'), qr/ sub=0 psub=0 ssub=0 multi=-1 .* redir=-1 resp=2 /, 'the fields are there');
};

# a table for both servers; [client:, words ...]
my @CONTEXT = ([['m:', 'MONITOR'], 'OK'], map { [['m:', @$_], "-ERR Replica can't interact with the keyspace"] } ['GET', 'k'], ['SET', 'k', 'v'], ['PUBLISH', 'a', 'b'], ['DBSIZE']);
my $WRONG = '-WRONGPASS invalid username-password pair or user is disabled.';
my @table = (
	# HELLO: options in their order, each at once
	[['HELLO', 3, 'SETNAME', 'one', 'AUTH', 'nobody', 'x'], $WRONG], [['CLIENT', 'GETNAME'], '"one"'],
	[['HELLO', 3, 'SETNAME', 'two', 'AUTH', 'default'], "-ERR Syntax error in HELLO option 'AUTH'"], [['CLIENT', 'GETNAME'], '"two"'],
	[['HELLO', 3, 'AUTH', 'nobody', 'x', 'SETNAME', 'three'], $WRONG], [['CLIENT', 'GETNAME'], '"two"'],
	[['HELLO', 2, 'SETNAME', 'four', 'SETNAME', 'f v'], '-ERR Client names cannot contain spaces, newlines or special characters.'], [['CLIENT', 'GETNAME'], '"four"'],
	[['HELLO', 3, 'SETNAME', 'five', 'AUTH', 'default', 'any', 'SETNAME', 'six'], qr/"proto" :3/], [['CLIENT', 'GETNAME'], '"six"'],
	[['HELLO', 4, 'SETNAME', 'seven'], '-NOPROTO unsupported protocol version'], [['CLIENT', 'GETNAME'], '"six"'], [['RESET'], 'RESET'],
	# within MULTI
	[['MULTI'], 'OK'], [['HELLO', 3, 'SETNAME', 'eight'], 'QUEUED'], [['GET', 'none'], 'QUEUED'], [['CLIENT', 'GETNAME'], 'QUEUED'], [['EXEC'], qr/^\[%.* null "eight"\]$/], [['RESET'], 'RESET'],
	# MONITOR: a client for that, which has nothing to do with keys
	@CONTEXT, [['m:', 'RESET'], qr/./],
	# killed once
	[['k:', 'SUBSCRIBE', 'x'], qr/subscribe/], [['CLIENT', 'KILL', 'TYPE', 'pubsub'], ':1'], [['CLIENT', 'KILL', 'TYPE', 'pubsub'], ':0'], [['k:', 'closed'], 1],
);

subtest 'connections' => sub {
	run_table('artery', $node->socket_path, @table);
	my $redis = redis_start();
	SKIP: {
		skip 'no redis-server', 1 unless $redis;
		run_table('the table is true of redis-server', $redis->socket_path, @table);
	}
};

quiet_log($node);
$node->stop;
done_testing;
