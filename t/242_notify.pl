# Goal: keyspace notifications say what happened as Redis 7 says it, and nobody hears of a write
# before it is durable.
#
# Method: a list of commands, each followed by a message of the same connection, so that what a
# listener has heard up to there is what the command has caused; the same list goes to
# redis-server 7.0 where that is installed, and must cause the same.  The gate: with the
# walwriter stopped by SIGSTOP nothing is durable; what a listener then hears, and what it hears
# after SIGCONT, is the gate's doing.
use Artery::Test;
use Artery::Cluster;
use Artery::Redis qw(with_redis);
use Artery::SoakServer;
use Artery::SoakWire;
use Test::More;

my $WAIT = 0.3;		# seconds after which a message that has not come counts as gated

my $node = Artery::Cluster->new('notify');
$node->init(workers => 3, wal_flush_interval => '50ms');
$node->start;
my $admin = wire($node, ['CLIENT', 'DURABILITY', 'none']);

# listener -- on a worker of its own choice: several are made, over all workers
sub listener { my ($where, @commands) = @_; my $wire = wire($where); $wire->command(@$_) for @commands; return $wire }

# heard -- the messages up to the one that says 'end': "channel message"
sub heard
{
	my ($wire) = @_;
	my @heard;
	while (my $reply = $wire->reply)
	{
		my @words = map { $_->[1] } @{$reply->[1]};
		return join ', ', @heard if $words[-1] eq 'end';
		push @heard, "$words[-2] $words[-1]";
	}
	return join ', ', @heard, 'no end';
}

# [command], events as they are heard with KEAmn: the key's name, the event (on both channels; database 0 unless it is named); or "=channel message"
sub event { my ($key, $event, $db) = split /:/, $_[0]; $db //= 0; return ("__keyspace\@${db}__:$key $event", "__keyevent\@${db}__:$event $key") }
sub events { return join ', ', map { /^=(.*)/ ? $1 : event($_) } @_ }
my @list = (
	[['SET', 'k', 'v'], 'k:new', 'k:set'], [['SET', 'k', 'w'], 'k:set'], [['SET', 'k', 'x', 'NX']], [['SET', 'k', 'x', 'XX'], 'k:set'],
	[['SET', 'k', 'v', 'EX', 1000], 'k:set', 'k:expire'], [['SET', 'k', 'v', 'KEEPTTL'], 'k:set'],
	[['GET', 'k']], [['GET', 'none'], 'none:keymiss'], [['SETNX', 'k', 'v']], [['SETNX', 'nx', 'v'], 'nx:new', 'nx:set'],
	[['GETSET', 'k', 'v'], 'k:set'], [['APPEND', 'k', 'x'], 'k:append'], [['APPEND', 'app', 'x'], 'app:new', 'app:append'],
	[['SETRANGE', 'k', 0, 'y'], 'k:setrange'], [['INCR', 'n'], 'n:new', 'n:incrby'], [['INCRBY', 'n', 5], 'n:incrby'], [['DECR', 'n'], 'n:incrby'],
	[['INCRBYFLOAT', 'n', '1.5'], 'n:incrbyfloat'], [['INCR', 'k']], [['MSET', 'm1', 1, 'm2', 2], 'm1:new', 'm1:set', 'm2:new', 'm2:set'],
	[['SETEX', 'e', 100, 'v'], 'e:new', 'e:set', 'e:expire'], [['PSETEX', 'e', 100000, 'v'], 'e:set', 'e:expire'],
	[['SETBIT', 'b', 7, 1], 'b:new', 'b:setbit'], [['GETDEL', 'm1'], 'm1:del'], [['GETEX', 'e', 'PERSIST'], 'e:persist'], [['GETEX', 'e', 'EX', 50], 'e:expire'],
	[['DEL', 'm2', 'none'], 'm2:del'], [['UNLINK', 'n'], 'n:del'], [['DEL', 'none']], [['STRLEN', 'none'], 'none:keymiss'], [['EXISTS', 'none', 'k'], 'none:keymiss'],
	[['MGET', 'none', 'k', 'none2'], 'none:keymiss', 'none2:keymiss'], [['TTL', 'none'], 'none:keymiss'], [['TYPE', 'none'], 'none:keymiss'],
	[['SET', 'none', 'v', 'XX', 'GET'], 'none:keymiss'], [['GETSET', 'gs', 'v'], 'gs:keymiss', 'gs:new', 'gs:set'], [['GETEX', 'none'], 'none:keymiss'],
	[['EXPIRE', 'k', 100], 'k:expire'], [['EXPIRE', 'none', 100]], [['PEXPIRE', 'k', 1e6, 'XX'], 'k:expire'], [['PEXPIRE', 'k', 1e6, 'NX']], [['PERSIST', 'k'], 'k:persist'], [['PERSIST', 'k']],
	[['EXPIRE', 'gs', -1], 'gs:del'], [['RENAME', 'k', 'r'], 'r:new', 'k:rename_from', 'r:rename_to'], [['RENAMENX', 'r', 'app']],
	[['COPY', 'r', 'c'], 'c:new', 'c:copy_to'], [['COPY', 'r', 'c']], [['COPY', 'r', 'c', 'REPLACE'], 'c:new', 'c:copy_to'], [['MOVE', 'c', 3], 'c:new:3', 'c:move_from', 'c:move_to:3'],
	# a transaction tells all when it is done, one that is not done nothing
	[[['MULTI'], ['SET', 'x', 1], ['DEL', 'x'], ['GET', 'x'], ['PUBLISH', '__key', 'within'], ['EXEC']], 'x:new', 'x:set', 'x:del', 'x:keymiss', '=__key within'],
	[[['MULTI'], ['SET', 'x', 1], ['PUBLISH', '__key', 'within'], ['DISCARD']]],
	[[['WATCH', 'x'], ['SET', 'x', 1], ['MULTI'], ['SET', 'x', 2], ['PUBLISH', '__key', 'within'], ['EXEC']], 'x:new', 'x:set'],
	[['FLUSHDB']],
);

sub run_list
{
	my ($name, $path) = @_;
	my $wire = wire($path, ['FLUSHALL'], ['CONFIG', 'SET', 'notify-keyspace-events', 'KEAmn']);
	my $listener = listener($path, ['PSUBSCRIBE', '__key*']);
	my @wrong;
	for (@list)
	{
		my ($command, @events) = @$_;
		$wire->command(@$_) for ref $command->[0] ? @$command : $command;
		$wire->ok('PUBLISH', '__key_end', 'end');
		my ($got, $want) = (heard($listener), events(@events));
		push @wrong, join(' ', map { ref $_ ? "@$_;" : $_ } @$command) . ": heard $got, expected $want" if $got ne $want;
	}
	is(join("\n", @wrong), '', "$name: " . @list . ' commands');
	return;
}

subtest 'events' => sub {
	run_list('artery', $node->socket_path);
	with_redis(sub { run_list('the list is true of redis-server', $_[0]) });
};

subtest 'the setting' => sub {
	my $listener = listener($node, ['PSUBSCRIBE', '__key*']);
	my $wire = wire($node);
	my $after = sub { my ($flags, @command) = @_; $wire->ok('CONFIG', 'SET', 'notify-keyspace-events', $flags);
		$wire->ok(@command); $wire->ok('PUBLISH', '__key_end', 'end'); return heard($listener) };
	is($after->('', 'SET', 's', 1), '', 'off');
	is($after->('K', 'SET', 's', 1), '', 'no class');
	is($after->('A', 'SET', 's', 1), '', 'no channel');
	is($after->('K$', 'SET', 's', 1), '__keyspace@0__:s set', 'keyspace only');
	is($after->('E$', 'SET', 's', 1), '__keyevent@0__:set s', 'keyevent only');
	is($after->('KEg', 'SET', 's', 1), '', 'another class');
	is($after->('Eg', 'DEL', 's'), '__keyevent@0__:del s', 'that class');
	is($after->('EA', 'SET', 's', 1), '__keyevent@0__:set s', 'A has no new keys');
	is($after->('En', 'SET', 't', 1), '__keyevent@0__:new t', 'they are asked for');
	my @told = (AKE => 'AKE', KEA => 'AKE', '' => '', Kxn => 'xnK', AKEnm => 'AKEm', 'g$K' => 'g$K', Em => 'Em', KEgxm => 'gxKEm');
	while (my ($set, $told) = splice @told, 0, 2)
	{
		$wire->ok('CONFIG', 'SET', 'notify-keyspace-events', $set);
		is($wire->ok('CONFIG', 'GET', 'notify-keyspace-events')->[1][1], $told, "'$set' is told as '$told'");
	}
	is(plain($wire->command('CONFIG', 'SET', 'notify-keyspace-events', 'KEq')),
		"-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character. Use 'Ag\$lshzxeKEtmdn'.", 'a letter that is none');
	like(plain($wire->command('CONFIG', 'SET', 'notify_keyspace_events', 'q')), qr/^-ERR .*has a letter that is none of/, '... by our name, too');
	$wire->ok('SELECT', 3);
	is($after->('KEA', 'SET', 's', 1), events('s:set:3'), 'the database is named');
};

sub nothing { my ($wire) = @_; my $reply = $wire->reply($WAIT); return $reply ? 'heard something' : 'nothing' }
sub message { my ($wire) = @_; my $reply = $wire->reply or return 'nothing'; return join ' ', map { $_->[1] } @{$reply->[1]} }

subtest 'the gate' => sub {
	$admin->ok('CONFIG', 'SET', 'notify-keyspace-events', 'E$g');
	for my $policy (qw(immediate group periodic none))
	{
		# one on each worker, with the weakest policy of its own
		my @l = map { listener($node, ['CLIENT', 'DURABILITY', 'none'], ['PSUBSCRIBE', '__keyevent*']) } 1 .. 3;
		my $writer = wire($node, ['CLIENT', 'DURABILITY', $policy]);
		$node->frozen(sub {
			$writer->queue(encode('SET', "gated:$policy", 1));
			$writer->turn(0);
			is(nothing($_), 'nothing', "a writer with $policy: nothing is heard while nothing is durable") for @l;
			is($writer->reply($policy =~ /^(?:periodic|none)$/ ? 5 : 0.05) ? 'answered' : 'waits', $policy =~ /^(?:periodic|none)$/ ? 'answered' : 'waits', '... the writer: as its policy says');
		});
		is(message($_), "pmessage __keyevent* __keyevent\@0__:set gated:$policy", '... and then it is') for @l;
	}
};

subtest 'what a connection publishes after its writes' => sub {
	my @l = map { listener($node, ['SUBSCRIBE', 'news']) } 1 .. 3;
	my $writer = wire($node);
	my $free = wire($node, ['CLIENT', 'DURABILITY', 'none']);
	my $none = wire($node);
	$free->ok('SET', 'before', 1);
	$node->frozen(sub {
		$writer->queue(encode('SET', 'published', 1) . encode('PUBLISH', 'news', 'gated'));
		$writer->turn(0);
		is(nothing($_), 'nothing', 'PUBLISH behind a SET waits for it') for @l;
		is($none->ok('PUBLISH', 'news', 'free'), 3, 'who has written nothing publishes at once');
	});
	for (@l) { is_deeply([ sort map { (split ' ')[-1] } message($_), message($_) ], [qw(free gated)], '... all is heard in the end') }
	$node->frozen(sub {
		$free->ok('SET', 'published', 2);
		$free->ok('PUBLISH', 'news', 'none');
		is(message($_), 'message news none', 'with policy none it is heard at once') for @l;
	});
};

subtest 'order at the gate' => sub {
	my $l = listener($node, ['HELLO', 3], ['CLIENT', 'DURABILITY', 'none'], ['PSUBSCRIBE', '__keyevent*'], ['SUBSCRIBE', 'plain']);
	my $writer = wire($node, ['CLIENT', 'DURABILITY', 'none']);
	my $none = wire($node);
	$node->frozen(sub {
		$writer->ok('SET', 'order', 1);
		is(nothing($l), 'nothing', 'a notification waits');
		$none->ok('PUBLISH', 'plain', 1);
		$l->queue(encode('PING'));
		is(nothing($l), 'nothing', '... and with it what comes behind it: a message, a reply');
	});
	is(join(', ', map { my $r = $l->reply; ref $r->[1] ? $r->[1][-1][1] : $r->[1] } 1 .. 3), 'order, 1, PONG', '... in their order');
};

subtest 'expired keys' => sub {
	$admin->ok('CONFIG', 'SET', 'notify-keyspace-events', 'KEx');
	my @l = map { listener($node, ['PSUBSCRIBE', '__key*']) } 1 .. 3;
	my $n = 5000;
	my $wire = wire($node, ['SELECT', 2], ['SET', 'stays', 1, 'EX', 1000]);
	$wire->queue(join '', map { encode('SET', "expires:$_", 1, 'PX', 300) } 1 .. $n);
	is(scalar($wire->replies($n, 30)), $n, "$n keys");
	for my $l (@l)
	{
		my %heard;
		for ($l->replies(2 * $n, 60)) { my ($channel, $text) = map { $_->[1] } @{$_->[1]}[2, 3]; $heard{"$channel $text"}++ }
		my @wrong = grep { ($heard{"__keyspace\@2__:expires:$_ expired"} // 0) != 1 || ($heard{"__keyevent\@2__:expired expires:$_"} // 0) != 1 } 1 .. $n;
		is("@wrong[0 .. ($#wrong > 9 ? 9 : $#wrong)]", '', 'every one is told of, once');
	}
	is($wire->ok('DBSIZE'), 1, 'and they are gone');
	$wire->ok('SET', 'gated', 1, 'PX', 100);
	$node->frozen(sub { is(nothing($_), 'nothing', 'not before it is durable that one has expired') for @l });
	like(message($_), qr/gated/, '... and then it is told') for @l;
};

subtest 'many keys' => sub {
	my $n = 20_000;
	my @l = map { listener($node, ['PSUBSCRIBE', '__keyevent*']) } 1 .. 3;
	$admin->ok('CONFIG', 'SET', 'notify-keyspace-events', 'E$g');
	my $wire = wire($node);
	$wire->ok('MSET', map { ("many:$_", $_) } 1 .. $n);
	$wire->ok('DEL', map { "many:$_" } 1 .. $n);
	for my $l (@l)
	{
		my @heard = map { $_->[1][2][1] =~ /:(\w+)$/; "$1 $_->[1][3][1]" } $l->replies(2 * $n, 60);
		is_deeply(\@heard, [ (map { "set many:$_" } 1 .. $n), (map { "del many:$_" } 1 .. $n) ], "MSET and DEL of $n keys: every one, in order");
	}
};

quiet_log($node);
$node->stop;
done_testing;
