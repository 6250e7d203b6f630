# Goal: what queued commands do to the connection, the server and to those who listen happens in
# its place among the other commands of EXEC, once, and not at all when EXEC answers nil or an error.
#
# Method: scripts of one connection that subscribes, publishes and is notified within MULTI, in RESP2
# and RESP3, true of redis-server 7.0, too, where that is installed.  Redis puts messages for the
# connection itself into the middle of EXEC's reply (7.0) or behind it (7.2, and here): replies and
# messages are compared apart.  Then transactions that fail in each way that there is, and many
# connections that get in each other's way, so that transactions begin anew.
use Artery::Against;
use Artery::Cluster;
use Artery::SoakServer;
use Artery::SoakWire;
use Artery::Test;
use Test::More;

my $node = Artery::Cluster->new('multi');
$node->init(workers => 2, durability => 'none', enable_debug_command => 'yes');
$node->start;

# one_of -- the reply at $$at as text, undef for a message, which goes to @$messages: replies as shown() has them, pushes like arrays
sub one_of
{
	my ($bytes, $at, $messages) = @_;
	my $end = index $$bytes, "\r\n", $$at;
	my ($type, $line) = (substr($$bytes, $$at, 1), substr($$bytes, $$at + 1, $end - $$at - 1));
	$$at = $end + 2;
	return $type eq '-' ? "-$line" : $type eq ':' ? ":$line" : $line if index('+-:', $type) >= 0;
	return 'nil' if $type eq '_' || $line == -1;
	if ($type eq '$' || $type eq '=')
	{
		my $data = substr $$bytes, $$at, $line;
		$$at += $line + 2;
		return "\"$data\"";
	}
	die "what is this: $type$line" if index('*>%~', $type) < 0;
	my @items;
	while (@items < $line * ($type eq '%' ? 2 : 1)) { push @items, grep { defined } one_of($bytes, $at, $messages) }
	return '[' . join(' ', @items) . ']' if @items == 0 || $items[0] !~ /^"[ps]?message"$/;
	push @$messages, join ' ', map { s/^"|"$//gr } @items[1 .. $#items];
	return undef;
}

# asked -- all that the commands are answered, up to the PING behind them; then " | " and the messages
sub asked
{
	my ($wire, @commands) = @_;
	$wire->queue(join '', (map { encode(@$_) } @commands), encode('PING', 'the end'));
	my $bytes = $wire->raw(20, sub { $_[0] =~ /the end\r\n$/ });
	my ($at, @replies, @messages) = (0);
	while ($at < length $bytes) { push @replies, grep { defined } one_of(\$bytes, \$at, \@messages) }
	pop @replies;
	return join(' ', @replies) . (@messages ? ' | ' . join(', ', @messages) : '');
}

# transaction -- the words of MULTI ... EXEC, and what is answered before EXEC
sub transaction { return (['MULTI'], (map { ref $_ ? $_ : [split / /, $_] } @_), ['EXEC']) }
sub exec_of { my ($wire, @queued) = @_; return asked($wire, transaction(@queued)) =~ s/^OK (QUEUED ?)*//r }

# [queued commands], EXEC's reply | messages to oneself
my @own = (
	[['PUBLISH ch early', 'SUBSCRIBE ch', 'PUBLISH ch one', 'PING', 'UNSUBSCRIBE ch', 'PUBLISH ch late'], '[:0 ["subscribe" "ch" :1] :1 PONGED ["unsubscribe" "ch" :0] :0] | ch one'],
	[['PSUBSCRIBE c*', 'SUBSCRIBE ch', 'PUBLISH ch both', 'PUNSUBSCRIBE', 'PUBLISH ch one', 'UNSUBSCRIBE'],
		'[["psubscribe" "c*" :1] ["subscribe" "ch" :2] :2 ["punsubscribe" "c*" :1] :1 ["unsubscribe" "ch" :0]] | ch both, c* ch both, ch one'],
	[['UNSUBSCRIBE', 'PUNSUBSCRIBE', 'SUNSUBSCRIBE s'], '[["unsubscribe" nil :0] ["punsubscribe" nil :0] ["sunsubscribe" "s" :0]]'],
	[['SSUBSCRIBE s', 'SPUBLISH s m', 'SUNSUBSCRIBE'], "[-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client :0 [\"sunsubscribe\" nil :0]]"],
	[['MONITOR'], "[-ERR MONITOR isn't allowed for DENY BLOCKING client]"],
	# notifications come in the same order
	[['SET k 0', 'PSUBSCRIBE __key*', 'SET k 1', 'PUBLISH __key between', 'DEL k', 'PUNSUBSCRIBE', 'SET k 2'],
		'[OK ["psubscribe" "__key*" :1] OK :1 :1 ["punsubscribe" "__key*" :0] OK] | __key* __keyevent@0__:set k, __key* __key between, __key* __keyevent@0__:del k'],
	# replies stand where they belong, whatever stands between them
	[['SET k 7', 'CLIENT SETNAME first', 'GET k', 'CLIENT GETNAME', 'INCR k', 'CLIENT SETNAME second', 'CLIENT GETNAME', 'GET none', 'CONFIG SET slowlog-max-len x', 'PUBLISH nobody m', 'INCRBY k x', 'PUBSUB NUMPAT', 'GET k'],
		'[OK OK "7" "first" :8 OK "second" nil -ERR CONFIG SET failed (possibly related to argument \'slowlog-max-len\') - argument couldn\'t be parsed into an integer :0 -ERR value is not an integer or out of range :0 "8"]'],
	[['SELECT 3', 'SET three 3', 'CLIENT SETNAME n', 'GET three', 'SELECT 0', 'GET three', 'CLIENT GETNAME'], '[OK OK OK "3" OK nil "n"]'],
	[['CLIENT TRACKINGINFO', 'UNWATCH', 'CLIENT SETNAME third'], '[["flags" ["off"] "redirect" :-1 "prefixes" []] OK OK]'],
);

# only a connection in RESP3 may use MULTI when it has subscribed
my @listening = (
	[['PUBLISH ch x', 'PING', 'PUBLISH ch y'], '[:1 PONG :1] | ch x, ch y'],
	[['PUBLISH ch x', 'UNSUBSCRIBE ch', 'PUBLISH ch y', 'SUBSCRIBE ch'], '[:1 ["unsubscribe" "ch" :0] :0 ["subscribe" "ch" :1]] | ch x'],
	[['PSUBSCRIBE c*', 'PUBLISH ch x', 'PUNSUBSCRIBE c*', 'PUBLISH ch y'], '[["psubscribe" "c*" :2] :2 ["punsubscribe" "c*" :1] :1] | ch x, c* ch x, ch y'],
);

sub run_own
{
	my ($name, $path) = @_;
	my @wrong;
	for my $proto (2, 3)
	{
		my $wire = wire($path, ['CONFIG', 'SET', 'notify-keyspace-events', 'Eg$'], $proto == 3 ? ['HELLO', 3] : ());
		my $check = sub { my ($queued, $want) = @_; $want =~ s/PONGED/$proto == 2 ? '["pong" ""]' : 'PONG'/e; my $got = exec_of($wire, @$queued); push @wrong, "RESP$proto @$queued: got $got, expected $want" if $got ne $want };
		$check->(@$_) for @own;
		next if $proto == 2;
		asked($wire, ['SUBSCRIBE', 'ch']);
		$check->(@$_) for @listening;
		push @wrong, 'outside of MULTI: ' . asked($wire, ['PUBLISH', 'ch', 'x']) if asked($wire, ['PUBLISH', 'ch', 'x']) ne ':1 | ch x';
	}
	# CLIENT REPLY OFF: pushes are sent, and nothing else of EXEC
	for my $proto (2, 3)
	{
		my $wire = wire($path, ['FLUSHALL'], $proto == 3 ? ['HELLO', 3] : ());
		$wire->queue(join '', map { encode(@$_) } ['CLIENT', 'REPLY', 'OFF'], transaction('GET k', 'SUBSCRIBE a', 'SET k 1', 'PING', 'SUBSCRIBE b', 'PUBLISH x y', 'UNSUBSCRIBE a b'), ['CLIENT', 'REPLY', 'ON']);
		my $got = join ' ', asked($wire);
		my $want = '["subscribe" "a" :1] ["subscribe" "b" :2] ["unsubscribe" "a" :1] ["unsubscribe" "b" :0] OK';
		push @wrong, "CLIENT REPLY OFF in RESP$proto: got $got, expected $want" if $got ne $want;
		# SKIP is over with a reply that is a push
		$got = asked($wire, ['CLIENT', 'REPLY', 'SKIP'], ['SUBSCRIBE', 'a'], ['UNSUBSCRIBE', 'a']);
		push @wrong, "CLIENT REPLY SKIP: got $got" if $got ne '["subscribe" "a" :1] ["unsubscribe" "a" :0]';
	}
	is(join("\n", @wrong), '', $name);
	wire($path, ['CONFIG', 'SET', 'notify-keyspace-events', '']);
	return;
}

subtest 'in its place' => sub {
	run_own('artery', $node->socket_path);
	my $redis = redis_start();
	SKIP: {
		skip 'no redis-server', 1 unless $redis;
		run_own('the scripts are true of redis-server', $redis->socket_path);
	}
};

# what must not happen; the first of them would close the connection if it did
my @doings = ('SELECT 3', 'HELLO 3 SETNAME named', 'CLIENT SETNAME other', 'CLIENT NO-EVICT on', 'SUBSCRIBE ch', 'PSUBSCRIBE c*', 'PUBLISH news m', 'CLIENT TRACKING on',
	'CLIENT REPLY off', 'CLIENT DURABILITY periodic', 'CONFIG SET slowlog-max-len 17', 'CLIENT PAUSE 60000', 'SLOWLOG RESET', 'SET k mine');

# nothing_done -- ... of all this, by the connection itself and the one that listens
sub nothing_done
{
	my ($name, $wire, $listener) = @_;
	my $figures = asked($wire, ['CLIENT', 'GETNAME'], ['PUBSUB', 'NUMSUB', 'ch'], ['PUBSUB', 'NUMPAT'], ['CLIENT', 'TRACKINGINFO'], ['CLIENT', 'DURABILITY'], ['CONFIG', 'GET', 'slowlog-max-len'], ['GET', 'k']);
	is($figures, 'nil ["ch" :0] :0 ["flags" ["off"] "redirect" :-1 "prefixes" []] "none" ["slowlog-max-len" "128"] "theirs"', "$name: nothing remains");
	like(asked($wire, ['CLIENT', 'INFO']), qr/ flags=U db=0 .* resp=2 /, '... of SELECT, HELLO and CLIENT NO-EVICT');
	is(asked($listener), '', '... and nobody has heard anything');
	return;
}

subtest 'nothing remains' => sub {
	my $other = wire($node, ['SET', 'k', 'theirs']);
	my $listener = wire($node, ['SUBSCRIBE', 'news']);
	my $wire = wire($node);
	asked($wire, ['WATCH', 'k']);
	$other->ok('SET', 'k', 'theirs');
	is(exec_of($wire, @doings), 'nil', 'a watched key has changed');
	nothing_done('WATCH', $wire, $listener);
	is(exec_of($wire, @doings, 'ASSERT ABSENT k'), 'nil', 'an assertion does not hold');
	nothing_done('ASSERT', $wire, $listener);
	$other->ok('CONFIG', 'SET', 'transaction_max_bytes', '64kB');
	like(exec_of($wire, @doings, (map { ['SET', "part$_", 'x' x 10_000] } 1 .. 8)), qr/^-ERR transaction too large/, 'refused by the commit');
	nothing_done('too large', $wire, $listener);
	$other->ok('CONFIG', 'SET', 'transaction_max_bytes', 0);
	like(exec_of($wire, grep { !/REPLY|PAUSE|SLOWLOG/ } @doings), qr/^\[OK \[.*"named"|^\[OK /, 'the same goes through without');
	is(asked($wire, ['CLIENT', 'GETNAME']) =~ s/ \|.*//r, '"other"', '... and leaves what it did');
	is(asked($listener), ' | news m', '... the message is heard, once');
	$other->ok('CONFIG', 'SET', 'slowlog-max-len', 128);
};

subtest 'begun anew, done once' => sub {
	my $listener = wire($node, ['SUBSCRIBE', 'turn']);
	my $admin = wire($node, ['FLUSHALL'], ['CONFIG', 'RESETSTAT']);
	my $retries = sub { my ($n) = $admin->ok('INFO', 'artery') =~ /^multi_key_retries:(\d+)/m; return $n };
	my $before = $retries->();
	my @w = map { wire($node) } 1 .. 4;
	my $reads = 1100;			# more than EXEC runs in one turn of the loop: others come in between
	my ($rounds, $sent, @wrong) = (0, 0);
	while ($rounds < 10 || ($retries->() - $before < 20 && $rounds < 200))
	{
		$rounds++;
		for my $i (0 .. $#w)
		{
			my @words = transaction('INCR c', 'PUBLISH turn m', ('GET c') x $reads, "SUBSCRIBE mine:$i", "PUBLISH mine:$i m", "UNSUBSCRIBE mine:$i", 'GET c');
			$w[$i]->queue(join '', map { encode(@$_) } @words[0 .. $#words - 1]);
		}
		$_->replies($reads + 7, 60) for @w;
		$_->send_raw(encode('EXEC')) for @w;
		for my $wire (@w)
		{
			my ($exec) = $wire->replies(2, 60);			# and its own message
			my @r = $exec ? map { $_->[1] } @{$exec->[1]} : ('nothing');
			push @wrong, "round $rounds: @r[0, 1, 2, -4 .. -1]" if @r != $reads + 6 || grep({ $_ != $r[0] } @r[2 .. $reads + 1], $r[-1]) || $r[1] != 1 || $r[-3] != 1;
			$sent++;
		}
	}
	cmp_ok($retries->() - $before, '>=', 20, 'transactions began anew');
	is(join("\n", @wrong), '', 'each was answered as if it were alone');
	is(scalar(my @heard = $listener->replies($sent, 30)), $sent, "all $sent messages are heard");
	is(asked($listener), '', '... and each once');
	is($admin->ok('GET', 'c'), $sent, 'as often as the counter says');
	like($admin->ok('INFO', 'commandstats'), qr/^cmdstat_publish:calls=${\(2 * $sent)},/m, 'so do the statistics');
};

subtest 'each its own time' => sub {
	my $admin = wire($node, ['CONFIG', 'SET', 'slowlog-log-slower-than', 0], ['CONFIG', 'SET', 'latency-monitor-threshold', 200], ['LATENCY', 'RESET']);
	my $wire = wire($node, ['SELECT', 7]);
	my $monitor = wire($node, ['MONITOR']);
	$admin->ok('SLOWLOG', 'RESET');
	is(exec_of($wire, 'SET k v', 'DEBUG SLEEP 0.4', 'SELECT 5', 'CLIENT ID', 'GET k', 'SELECT 7'), '[OK OK OK :' . $wire->ok('CLIENT', 'ID') . ' nil OK]', 'a transaction with a long command');
	my @log = map { [$_->[1][2][1], join ' ', map { $_->[1] } @{$_->[1][3][1]}] } reverse @{$admin->ok('SLOWLOG', 'GET', -1)};
	my ($first) = grep { $log[$_][1] eq 'SET k v' } 0 .. $#log;
	is(join(', ', map { $_->[1] } @log[$first .. $first + 5]), 'SET k v, DEBUG SLEEP 0.4, SELECT 5, CLIENT ID, GET k, SELECT 7', 'the slow log has them in their order, and no EXEC');
	cmp_ok($log[$first + 1][0], '>=', 400_000, 'the long one with its time');
	is(scalar(grep { $_->[0] >= 400_000 } @log), 1, '... and no other has it');
	like(join(' ', map { plain($_)->[0] . '=' . plain($_)->[3] } @{$admin->ok('LATENCY', 'LATEST')}), qr/\bcommand=(?:4|5|6|7|8|9|\d\d)\d\d/, 'LATENCY, too');
	my @seen;
	while (my $line = $monitor->reply(10)) { my ($db, $words) = $line->[1] =~ /\[(\d+) \S+\] (.*)/ or next; push @seen, "$db $words" if @seen || $words =~ /MULTI/; last if $words =~ /EXEC/ }
	is(join(', ', @seen), '7 "MULTI", 7 "SET" "k" "v", 5 "SELECT" "5", 5 "CLIENT" "ID", 5 "GET" "k", 7 "SELECT" "7", 7 "EXEC"', 'MONITOR names the database of each');
	$admin->ok('CONFIG', 'SET', 'slowlog-log-slower-than', 10000);
	$admin->ok('CONFIG', 'SET', 'latency-monitor-threshold', 0);
};

subtest 'nothing waits within' => sub {
	my $wire = wire($node);
	my $flushed = $wire->ok('WAL', 'INSERT');
	my $end = now() + 30;
	like(exec_of($wire, 'SET k v', 'WAIT 1 0', 'WAITAOF 1 1 0', "CHANGES $flushed BLOCK 0", 'SET k w'), qr/^\[OK :0 \[:[01] :0\] \[.* OK\]$/, 'WAIT, WAITAOF, CHANGES BLOCK answer at once');
	cmp_ok(now(), '<', $end, '... indeed');
	my $admin = wire($node, ['SET', 'k', 'v']);
	# CLIENT PAUSE WRITE holds EXEC if anything that it would run writes or tells
	for (['SET', 'k', 'w'], ['PUBLISH', 'x', 'y'])
	{
		$wire->ok(@$_) for ['MULTI'], ['GET', 'k'], $_;
		$admin->ok('CLIENT', 'PAUSE', 60_000, 'WRITE');
		$wire->queue(encode('EXEC'));
		is($wire->reply(0.2), undef, "EXEC with $_->[0] waits for the end of CLIENT PAUSE WRITE");
		$admin->ok('CLIENT', 'UNPAUSE');
		is(scalar @{$wire->reply(10)->[1]}, 2, '... and is done then');
	}
};

subtest 'who is killed in between' => sub {
	# a command that takes many turns of the loop and is no transaction has happened as far as it has got:
	# those who track are told of that much
	my $keys = 20_000;			# more to delete than the log's ring takes while the walwriter stands still
	my $tracker = wire($node, ['HELLO', 3], ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'many:']);
	my $admin = wire($node);
	my $wire = wire($node);
	my $id = $wire->ok('CLIENT', 'ID');
	my %told;
	my $hear = sub { my ($enough) = @_; while (keys %told < $enough) { my $reply = $tracker->reply(20) or last; $told{$_->[1]} = 1 for @{$reply->[1][1][1]} } };
	$wire->queue(join '', map { my $i = $_; encode('MSET', map { ('many:' . 'x' x 300 . ($i * 1000 + $_), 1) } 1 .. 1000) } 0 .. $keys / 1000 - 1);
	$wire->replies($keys / 1000, 60);
	$hear->($keys);
	is(scalar keys %told, $keys, 'all were told of when they were set');
	%told = ();
	my $pid = $node->signal_child('walwriter', 'STOP');
	my ($left, $last) = (0, -1);
	eval {
		$wire->queue(encode('DELPREFIX', 'many:'));
		$wire->turn(1);
		poll_until(sub { $last = $left; $left = $admin->ok('COUNTPREFIX', 'many:'); return $left < $keys && $left == $last }) or die 'nothing is deleted';
		is($admin->ok('CLIENT', 'KILL', 'ID', $id), 1, 'killed in the middle');
		ok($wire->at_end(20), '... and gone');
	};
	my $error = $@;
	kill 'CONT', $pid;
	die $error if $error;
	cmp_ok($left, '>', 0, "$left keys are left");
	$hear->($keys - $left);
	is(scalar keys %told, $keys - $admin->ok('COUNTPREFIX', 'many:'), '... and every other was told of');
};

quiet_log($node);
$node->stop;
done_testing;
