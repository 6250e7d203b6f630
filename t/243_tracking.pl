# Goal: CLIENT TRACKING: a client that keeps what it has read is told of every change of it, by
# whichever worker, and never later than a read could show the old value after the write was
# acknowledged.
#
# Method: a script of several clients' commands, each with every frame that any of them is sent;
# where redis-server 7.0 is installed the script must be true of it, too.  Then what only several
# workers can get wrong: every command that changes a key, expiry, transactions, the gate
# (walwriter stopped by SIGSTOP), and a cache that must never be stale while others write.
use Artery::Test;
use Artery::Cluster;
use Artery::Redis qw(frame with_redis);
use Artery::SoakServer;
use Artery::SoakWire;
use Test::More;

my $WAIT = 0.3;		# seconds after which what has not come counts as not sent

my $node = Artery::Cluster->new('tracking');
$node->init(workers => 3, wal_flush_interval => '50ms');
$node->start;

sub invalid { return join ' ', map { ">[\"invalidate\" [\"$_\"]]" } @_ }
my $ALL   = '>["invalidate" nil]';
my $MODE  = '-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled';
my $BCAST = q(-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.);
my $OPT   = q(-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.);
sub trackinginfo { my ($push, $flags, $redirect, @prefixes) = @_; return ($push ? '%' : '') . '["flags" [' . join(' ', map { "\"$_\"" } split / /, $flags) . "] \"redirect\" :$redirect \"prefixes\" [" . join(' ', map { "\"$_\"" } @prefixes) . ']]' }

# [client, [command] or undef, frames that this client is sent]; a client's name ends in its protocol; ID:x is the number of client x
my @script = (
	['a3', ['CLIENT', 'TRACKINGINFO'], trackinginfo(1, 'off', -1)], ['a3', ['CLIENT', 'GETREDIR'], ':-1'],
	['w2', ['SET', 'k', 'v'], 'OK'], ['a3', ['CLIENT', 'TRACKING', 'ON'], 'OK'], ['a3', ['CLIENT', 'GETREDIR'], ':0'],
	['w2', ['SET', 'k', 'v1'], 'OK'],		# not read by anyone
	['a3', ['GET', 'k'], '"v1"'], ['w2', ['SET', 'k', 'v2'], 'OK'], ['a3', undef, invalid('k')], ['w2', ['SET', 'k', 'v3'], 'OK'],	# once
	['a3', ['GET', 'none'], 'nil'], ['w2', ['SET', 'none', 1], 'OK'], ['a3', undef, invalid('none')],	# also what was not there
	['a3', ['MGET', 'k', 'l', 'm'], '["v3" nil nil]'], ['w2', ['SET', 'l', 1], 'OK'], ['a3', undef, invalid('l')], ['w2', ['DEL', 'k'], ':1'], ['a3', undef, invalid('k')],
	['b3', ['CLIENT', 'TRACKING', 'on'], 'OK'], ['a3', ['GET', 'both'], 'nil'], ['b3', ['GET', 'both'], 'nil'], ['w2', ['APPEND', 'both', 'x'], ':1'],
	['a3', undef, invalid('both')], ['b3', undef, invalid('both')],
	['w2', ['SELECT', 5], 'OK'], ['a3', ['GET', 'db'], 'nil'], ['w2', ['SET', 'db', 1], 'OK'], ['a3', undef, invalid('db')], ['w2', ['SELECT', 0], 'OK'],	# names, whatever the database
	['a3', ['GET', 'f'], 'nil'], ['w2', ['FLUSHDB'], 'OK'], ['a3', undef, $ALL], ['b3', undef, $ALL],
	['b3', ['CLIENT', 'TRACKING', 'OFF'], 'OK'], ['a3', ['CLIENT', 'TRACKING', 'OFF'], 'OK'], ['w2', ['FLUSHALL'], 'OK'],
	# NOLOOP
	['a3', ['CLIENT', 'TRACKING', 'ON', 'NOLOOP'], 'OK'], ['a3', ['GET', 'own'], 'nil'], ['a3', ['SET', 'own', 1], 'OK'], ['a3', ['GET', 'own'], '"1"'],
	['w2', ['SET', 'own', 2], 'OK'], ['a3', undef, invalid('own')], ['a3', ['CLIENT', 'TRACKINGINFO'], trackinginfo(1, 'on noloop', 0)],
	# OPTIN, OPTOUT
	['a3', ['CLIENT', 'CACHING', 'YES'], '-ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.'], ['a3', ['CLIENT', 'TRACKING', 'ON', 'OPTIN'], 'OK'], ['a3', ['CLIENT', 'CACHING', 'NO'], '-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.'],
	['a3', ['CLIENT', 'CACHING', 'maybe'], '-ERR syntax error'],
	['a3', ['GET', 'not'], 'nil'], ['w2', ['SET', 'not', 1], 'OK'], ['a3', ['CLIENT', 'CACHING', 'YES'], 'OK'], ['a3', ['CLIENT', 'TRACKINGINFO'], trackinginfo(1, 'on optin caching-yes', 0)],
	['a3', ['GET', 'opted'], 'nil'], ['a3', ['GET', 'not'], '"1"'], ['w2', ['MSET', 'not', 2, 'opted', 2], 'OK'], ['a3', undef, invalid('opted')],
	['a3', ['CLIENT', 'TRACKING', 'ON', 'OPTOUT'], $OPT], ['a3', ['CLIENT', 'TRACKING', 'OFF'], 'OK'], ['a3', ['CLIENT', 'TRACKING', 'ON', 'OPTOUT'], 'OK'],
	['a3', ['CLIENT', 'CACHING', 'YES'], '-ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.'],
	['a3', ['GET', 'out'], 'nil'], ['a3', ['CLIENT', 'CACHING', 'NO'], 'OK'], ['a3', ['GET', 'left'], 'nil'], ['w2', ['MSET', 'left', 1, 'out', 1], 'OK'], ['a3', undef, invalid('out')],
	['a3', ['CLIENT', 'TRACKING', 'OFF'], 'OK'],
	# BCAST
	['a3', ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'user:', 'PREFIX', 'obj:'], 'OK'], ['a3', ['CLIENT', 'TRACKINGINFO'], trackinginfo(1, 'on bcast', 0, 'obj:', 'user:')],
	['w2', ['SET', 'user:1', 1], 'OK'], ['a3', undef, invalid('user:1')], ['w2', ['SET', 'user', 1], 'OK'], ['w2', ['SET', 'obj:', 1], 'OK'], ['a3', undef, invalid('obj:')],
	['w2', ['SET', 'user:1', 2], 'OK'], ['a3', undef, invalid('user:1')], ['a3', ['GET', 'other'], 'nil'], ['w2', ['SET', 'other', 1], 'OK'],
	['a3', ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'user:9'], "-ERR Prefix 'user:9' overlaps with an existing prefix 'user:'. Prefixes for a single client must not overlap."],
	['a3', ['CLIENT', 'TRACKING', 'ON'], $BCAST], ['a3', ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'more:'], 'OK'], ['w2', ['SET', 'more:1', 2], 'OK'], ['a3', undef, invalid('more:1')],
	['a3', ['CLIENT', 'TRACKING', 'OFF'], 'OK'], ['a3', ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'NOLOOP'], 'OK'], ['w2', ['SET', 'any', 1], 'OK'], ['a3', undef, invalid('any')], ['a3', ['SET', 'any', 2], 'OK'],
	['w2', ['FLUSHALL'], 'OK'], ['a3', undef, $ALL], ['a3', ['CLIENT', 'TRACKING', 'OFF'], 'OK'],
	# REDIRECT: to a listener in RESP2, to RESP3, to one that goes
	['r2', ['SUBSCRIBE', '__redis__:invalidate'], '["subscribe" "__redis__:invalidate" :1]'], ['c2', ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', 'ID:r2'], 'OK'], ['c2', ['CLIENT', 'GETREDIR'], ':ID:r2'],
	['c2', ['GET', 'k'], 'nil'], ['w2', ['SET', 'k', 1], 'OK'], ['r2', undef, '["message" "__redis__:invalidate" ["k"]]'],
	['w2', ['FLUSHALL'], 'OK'], ['r2', undef, '["message" "__redis__:invalidate" nil]'], ['c2', ['CLIENT', 'TRACKINGINFO'], trackinginfo(0, 'on', 'ID:r2')],
	['c2', ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', 'ID:b3'], 'OK'], ['c2', ['GET', 'k'], 'nil'], ['w2', ['SET', 'k', 1], 'OK'], ['b3', undef, invalid('k')],
	['a3', ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', 'ID:r2'], 'OK'], ['a3', ['GET', 'k'], '"1"'], ['r2', ['QUIT'], 'OK'],
	['w2', ['PING'], 'PONG', 'wait'], ['w2', ['SET', 'k', 2], 'OK'], ['a3', undef, '>["tracking-redir-broken" :ID:r2]'], ['a3', ['CLIENT', 'TRACKINGINFO'], trackinginfo(1, 'on broken_redirect', 'ID:r2')],
	# nothing can be told in RESP2
	['w2', ['CLIENT', 'TRACKING', 'ON'], 'OK'], ['w2', ['GET', 'k'], '"2"'], ['b3', ['SET', 'k', 3], 'OK'], ['w2', ['PING'], 'PONG'],
	# RESET, and errors
	['a3', ['RESET'], 'RESET'], ['a3', ['HELLO', 3], undef], ['a3', ['CLIENT', 'GETREDIR'], ':-1'],
	['a3', ['CLIENT', 'TRACKING'], "-ERR wrong number of arguments for 'client|tracking' command"], ['a3', ['CLIENT', 'TRACKING', 'perhaps'], '-ERR syntax error'],
	['a3', ['CLIENT', 'TRACKING', 'ON', 'REDIRECT'], '-ERR syntax error'], ['a3', ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', 'x'], '-ERR value is not an integer or out of range'],
	['a3', ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', 999999], '-ERR The client ID you want redirect to does not exist'], ['a3', ['CLIENT', 'TRACKING', 'ON', 'PREFIX', 'a'], '-ERR PREFIX option requires BCAST mode to be enabled'],
	['a3', ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', 'ID:b3', 'REDIRECT', 'ID:b3'], '-ERR A client can only redirect to a single other client'],
	['a3', ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'OPTIN'], '-ERR OPTIN and OPTOUT are not compatible with BCAST'], ['a3', ['CLIENT', 'TRACKING', 'ON', 'OPTIN', 'OPTOUT'], "-ERR You can't specify both OPTIN mode and OPTOUT mode"],
	['a3', ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'aa', 'PREFIX', 'a'], "-ERR Prefix 'aa' overlaps with another provided prefix 'a'. Prefixes for a single client must not overlap."],
	['a3', ['CLIENT', 'TRACKING', 'ON', 'BOGUS'], '-ERR syntax error'], ['a3', ['CLIENT', 'CACHING', 'YES'], $MODE], ['a3', ['CLIENT', 'TRACKINGINFO'], trackinginfo(1, 'off', -1)],
);

# prefixes come in any order
sub sorted { return $_[0] =~ s/"prefixes" \[([^\]]*)\]/'"prefixes" [' . join(' ', sort split ' ', $1) . ']'/er }

sub run_script
{
	my ($name, $path) = @_;
	my (%client, %id);
	my @wrong;
	my $open = sub {
		my ($who) = @_;
		return if $client{$who};
		$client{$who} = wire($path, $who =~ /3$/ ? ['HELLO', 3] : ());
		$id{$who} = $client{$who}->ok('CLIENT', 'ID');
	};
	for (@script)
	{
		my ($who, $command, @want) = @$_;
		my $wait = @want > 1 && $want[-1] eq 'wait' ? pop @want : undef;
		my @command = $command ? @$command : ();
		$open->($_) for $who, map { /ID:(\w+)/ ? $1 : () } @command;
		s/ID:(\w+)/$id{$1}/g for @command;
		my $wire = $client{$who};
		$wire->queue(encode(@command)) if @command;
		my @got = $wire->replies(scalar @want);
		if ($wait) { my $list; poll_until(sub { $list = $wire->ok('CLIENT', 'LIST'); $list !~ /^id=$id{r2} /m }) }
		next if @want && !defined $want[0];
		my ($got, $want) = (join(' ', map { frame($_) } @got), join(' ', @want) =~ s/ID:(\w+)/$id{$1}/gr);
		push @wrong, "$who @command: got $got, expected $want" if sorted($got) ne sorted($want);
	}
	for (sort keys %client)
	{
		next if $_ eq 'r2';
		push @wrong, "$_ is left with something else: " . frame($_) for $client{$_}->replies(1, 0.2);
	}
	is(join("\n", @wrong), '', "$name: " . @script . ' steps');
	return;
}

subtest 'the script' => sub {
	run_script('artery', $node->socket_path);
	with_redis(sub { run_script('the script is true of redis-server', $_[0]) });
};

# tracking clients, one on each worker
sub trackers { my (@options) = @_; return map { wire($node, ['HELLO', 3], ['CLIENT', 'TRACKING', 'ON', @options]) } 1 .. 3 }
sub told { my ($wire, $seconds) = @_; my $reply = $wire->reply($seconds); return !$reply ? 'nothing' : $reply->[0] ne '>' ? frame($reply) : join ' ', map { $_->[1] // 'all' } @{$reply->[1][1][1] // [['$', undef]]} }

subtest 'every command that changes a key' => sub {
	my @t = trackers();
	my @w = map { wire($node) } 1 .. 3;
	my @changes = (
		[qw(SET k v)], [qw(SET k v XX GET)], [qw(SETEX k 100 v)], [qw(SET k v KEEPTTL)], [qw(GETSET k v)], [qw(APPEND k x)], [qw(SETRANGE k 0 y)], [qw(SETBIT k 0 1)],
		[qw(EXPIRE k 100)], [qw(PEXPIREAT k 99999999999999)], [qw(PERSIST k)], [qw(GETEX k EX 100)], [qw(GETEX k PERSIST)], [qw(SET k 5)], [qw(INCR k)], [qw(INCRBY k 2)], [qw(DECR k)],
		[qw(INCRBYFLOAT k 1.5)], [qw(MSET k v other v)], [qw(GETDEL k)], [qw(SETNX k v)], [qw(DEL k)], [qw(MSETNX k 1 another 2)], [qw(UNLINK k another)], [qw(MSET from v k v)], [qw(RENAME from k)], [qw(RENAME k from)],
		[qw(COPY from k)], [qw(MOVE k 7)], [qw(SET k v)], [qw(EXPIRE k -1)], [qw(SET k v)], [qw(DELPREFIX k)], [qw(BITOP NOT k other)], [qw(FLUSHDB)], [qw(SWAPDB 0 7)],
	);
	for my $i (0 .. $#changes)
	{
		my $w = $w[$i % 3];
		my @wrong;
		$_->command('GET', 'k') for @t;
		my $reply = $w->command(@{$changes[$i]});
		if ($reply->[0] eq '-') { like($reply->[1], qr/unknown command/, "@{$changes[$i]} is no command here"); next }
		for (@t) { my $told = told($_); push @wrong, $told if $told !~ /^(?:k|all)$/ }
		is(join(' ', @wrong), '', "@{$changes[$i]}") or diag(frame($reply));
	}
};

subtest 'transactions' => sub {
	my @t = trackers();
	my $w = wire($node, ['SET', 'x', 1], ['SET', 'y', 1]);
	$_->ok('MGET', 'x', 'y', 'z') for @t;
	$w->ok($_->[0], @$_[1 .. $#$_]) for ['MULTI'], ['SET', 'x', 2], ['DEL', 'y'], ['INCR', 'z'];
	is(told($_, $WAIT), 'nothing', 'queued commands change nothing') for @t;
	$w->ok('EXEC');
	is(join(' ', sort map { told($t[$_ / 3]) } 0 .. 8), 'x x x y y y z z z', 'EXEC tells of all');
	# a read within EXEC is remembered
	$t[0]->ok($_->[0], @$_[1 .. $#$_]) for ['MULTI'], ['GET', 'x'], ['EXEC'];
	$w->ok('SET', 'x', 3);
	is(told($t[0]), 'x', 'what EXEC has read is tracked');
	$t[0]->command('CLIENT', 'TRACKING', 'OFF');
	$t[0]->ok('CLIENT', 'TRACKING', 'ON', 'OPTIN');
	$t[0]->ok($_->[0], @$_[1 .. $#$_]) for ['CLIENT', 'CACHING', 'YES'], ['MULTI'], ['GET', 'x'], ['GET', 'y'], ['EXEC'];
	$w->ok('MSET', 'y', 1, 'x', 3);
	is(join(' ', sort map { told($t[0]) } 1, 2), 'x y', 'CACHING YES is for all of a transaction');
};

subtest 'what a snapshot shows' => sub {
	my @t = trackers();
	my $w = wire($node, ['MSET', 'old', 1, 'new', 1]);
	$_->ok('SNAPSHOT', 'OPEN') for @t;
	for (@t) { $_->ok('GET', 'old'); $_->ok('MULTI'); $_->ok('MGET', 'old', 'new'); $_->ok('EXEC') }
	$w->ok('MSET', 'old', 2, 'new', 2);
	is(told($_, $WAIT), 'nothing', 'is no copy of the present: nothing to be told of') for @t;
	$_->ok('SNAPSHOT', 'CLOSE') for @t;
	is($_->ok('GET', 'new'), 2, 'what is read afterwards') for @t;
	$w->ok('MSET', 'old', 3, 'new', 3);
	is(told($_), 'new', '... is') for @t;
};

subtest 'BCAST: whatever changes many keys' => sub {
	my @t = trackers('BCAST', 'PREFIX', 'p:');
	my $w = wire($node, ['FLUSHALL']);
	told($_) for @t;
	my $sorted = sub { my ($wire, $n) = @_; return join ' ', sort map { told($wire) } 1 .. $n };
	my @cases = (
		[[['MSET', map { ("p:$_", 1) } 1 .. 3], ['SET', 'other', 1]], 'p:1 p:2 p:3'],
		[[['RENAMEPREFIX', 'p:', 'p:q:']], 'p:1 p:2 p:3 p:q:1 p:q:2 p:q:3'],
		[[['RENAMEPREFIX', 'p:q:', 'r:']], 'p:q:1 p:q:2 p:q:3'],
		[[['RENAMEPREFIX', 'r:', 'p:']], 'p:1 p:2 p:3'],
		[[['DELPREFIX', 'p:']], 'p:1 p:2 p:3'],
		[[['SET', 'p:short', 1, 'PX', 200]], 'p:short'],		# and when its time is over:
		[[], 'p:short'],
		[[['MULTI'], ['SET', 'p:a', 1], ['SET', 'x', 1], ['INCR', 'p:b'], ['PUBLISH', 'a', 'b'], ['SET', 'p:c', 1, 'EX', 1000], ['EXEC']], 'p:a p:b p:c'],
		[[['MULTI'], ['SET', 'p:a', 2], ['DISCARD']], ''],
		[[['WATCH', 'x'], ['SET', 'x', 2], ['MULTI'], ['SET', 'p:a', 2], ['EXEC']], ''],
		[[['SWAPDB', 0, 5]], 'all'], [[['SWAPDB', 0, 5]], 'all'], [[['FLUSHDB']], 'all'], [[['MULTI'], ['FLUSHALL'], ['EXEC']], 'all'],
	);
	for (@cases)
	{
		my ($commands, $want) = @$_;
		$w->command(@$_) for @$commands;
		my $n = () = $want =~ /\S+/g;
		is($sorted->($_, $n), $want, join(' ', map { "@$_;" } @$commands) || 'expiry') for @t;
	}
	is(told($_, $WAIT), 'nothing', 'and nothing twice') for @t;
};

subtest 'the gate' => sub {
	my @t = trackers();
	my $w = wire($node, ['CLIENT', 'DURABILITY', 'none']);
	for (@t) { $_->ok('CLIENT', 'DURABILITY', 'none'); $_->command('GET', 'gated') }
	my $pid = $node->stop_child('walwriter');
	$w->ok('SET', 'gated', 1);
	my @early = map { told($_, $WAIT) } @t;
	kill 'CONT', $pid;
	is("@early", 'nothing nothing nothing', 'nobody is told while nothing is durable');
	is(told($_), 'gated', '... and then all are') for @t;
};

subtest 'expiry' => sub {
	my @t = trackers();
	wire($node)->ok('SET', 'short', 1, 'PX', 2000);
	is($_->ok('GET', 'short'), 1, 'read before its time is over') for @t;
	is(told($_), 'short', '... told when it is') for @t;
	is($_->command('GET', 'short')->[1], undef, '... and gone') for @t;
};

subtest 'a table that is full' => sub {
	my ($t) = trackers();
	my $w = wire($node);
	my $n = 300_000;			# more than a worker remembers
	my $told = 0;
	for (my $i = 0; $i < $n; $i += 1000)
	{
		$t->queue(encode('MGET', map { "full:$_" } $i .. $i + 999));
		while (my $reply = $t->reply(30)) { last if $reply->[0] ne '>'; $told++ }
	}
	while ($t->reply($WAIT)) { $told++ }
	cmp_ok($told, '>=', $n - 262144, 'what is forgotten is invalidated');
	$w->queue(join '', map { my $i = $_ * 1000; encode('MSET', map { ("full:$_", 1) } $i .. $i + 999) } 0 .. $n / 1000 - 1);
	is(scalar($w->replies($n / 1000, 60)), $n / 1000, 'all keys change');
	my $rest = 0;
	while ($t->reply($rest < $n - $told ? 30 : $WAIT)) { $rest++ }
	is($told + $rest, $n, '... and all the rest when it changes, once');
};

subtest 'a cache is never stale' => sub {
	# clients that cache all they read; writers that note what was acknowledged.  Before a cached
	# value is used, what has been sent so far is taken in (a PING behind it): then it must not be
	# older than what had been acknowledged before
	my @t = trackers();
	my @w = map { wire($node) } 1 .. 3;
	my @keys = map { "stale:$_" } 1 .. 20;
	my %acked = map { $_ => 0 } @keys;
	my @cache = ({}, {}, {});
	my ($stale, $hits, $told) = (0, 0, 0);
	srand(test_seed());
	for my $round (1 .. 4000)
	{
		my $key = $keys[rand @keys];
		if (rand() < 0.3)
		{
			$w[rand 3]->ok('SET', $key, $round);
			$acked{$key} = $round;
			next;
		}
		my $i = int rand 3;
		my $know = $acked{$key};
		$t[$i]->queue(encode('PING'));
		while (my $reply = $t[$i]->reply)
		{
			last if $reply->[0] ne '>';
			delete $cache[$i]{$reply->[1][1][1][0][1]};
			$told++;
		}
		if (exists $cache[$i]{$key})
		{
			$hits++;
			$stale++ if $cache[$i]{$key} < $know;
			next;
		}
		$t[$i]->queue(encode('GET', $key));
		while (my $reply = $t[$i]->reply)
		{
			if ($reply->[0] eq '>') { delete $cache[$i]{$reply->[1][1][1][0][1]}; next }
			$cache[$i]{$key} = $reply->[1] // 0;
			last;
		}
	}
	is($stale, 0, "never, in $hits uses of a cache with $told invalidations");
	cmp_ok($hits, '>', 100, '... and it is of use');
};

subtest 'who goes' => sub {
	my $admin = wire($node);
	my @t = (trackers(), trackers('BCAST'));
	$_->command('GET', 'gone') for @t;
	like($admin->ok('CLIENT', 'LIST'), qr/flags=tBU .*redir=0 resp=3/, 'CLIENT LIST shows them');
	$_->close for @t;
	ok(poll_until(sub { $admin->ok('CLIENT', 'LIST') !~ /flags=t/ }), 'they go');
	is($admin->ok('SET', 'gone', 1), 'OK', 'and what they have read can be written');
	my ($t) = trackers();
	$t->command('GET', 'gone');
	$admin->ok('SET', 'gone', 2);
	is(told($t), 'gone', 'a new one is told');
};

quiet_log($node);
$node->stop;
done_testing;
