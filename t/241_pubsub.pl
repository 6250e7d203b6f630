# Goal: messages: SUBSCRIBE and its kin answer as Redis 7 does, and a message reaches everyone
# who listens, whichever worker serves him, once, whole and in order.
#
# Method: a script of several clients' commands, each with every frame that any of them is sent,
# in RESP2 and RESP3; where redis-server 7.0 is installed the script must be true of it, too.
# Then what a script cannot say: many subscribers over several workers, long messages, clients
# that do not read, that go in the middle, a worker that stands still.
use Artery::Test;
use Artery::Cluster;
use Artery::Redis qw(frame with_redis);
use Artery::SoakServer;
use Artery::SoakWire;
use Test::More;
use Time::HiRes qw(sleep);

my $node = Artery::Cluster->new('pubsub');
$node->init(workers => 3, durability => 'none', memory_limit => '64MB');
$node->start;

# sub_frame, msg -- what is sent most often
sub changed { my ($push, $word, $name, $count) = @_; return "$push\[\"$word\" " . (defined $name ? "\"$name\"" : 'nil') . " :$count]" }
sub msg { my ($push, @words) = @_; return "$push\[" . join(' ', map { "\"$_\"" } @words) . ']' }

# [client, [command] or undef, frames that this client is sent]; a client's name ends in its protocol
my $CONTEXT = sub { "-ERR Can't execute '$_[0]': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context" };
my @script = (
	['p2', ['PUBLISH', 'nobody', 'm'], ':0'], ['p2', ['PUBSUB', 'NUMPAT'], ':0'], ['p2', ['PUBSUB', 'CHANNELS'], '[]'],
	['p2', ['PUBSUB', 'NUMSUB'], '[]'], ['p2', ['PUBSUB', 'NUMSUB', 'a', 'b'], '["a" :0 "b" :0]'],
	['a2', ['SUBSCRIBE', 'one', 'two', 'one'], changed('', 'subscribe', 'one', 1), changed('', 'subscribe', 'two', 2), changed('', 'subscribe', 'one', 2)],
	['p2', ['PUBLISH', 'one', 'hello'], ':1'], ['a2', undef, msg('', 'message', 'one', 'hello')],
	['b3', ['SUBSCRIBE', 'one'], changed('>', 'subscribe', 'one', 1)],
	['p2', ['PUBLISH', 'one', ''], ':2'], ['a2', undef, msg('', 'message', 'one', '')], ['b3', undef, msg('>', 'message', 'one', '')],
	# patterns: once for each that fits, and for the name
	['a2', ['PSUBSCRIBE', 'o*', '*e', 'z?'], changed('', 'psubscribe', 'o*', 3), changed('', 'psubscribe', '*e', 4), changed('', 'psubscribe', 'z?', 5)],
	['p2', ['PUBSUB', 'NUMPAT'], ':3'], ['c3', ['PSUBSCRIBE', 'o*'], changed('>', 'psubscribe', 'o*', 1)], ['p2', ['PUBSUB', 'NUMPAT'], ':3'],
	['p2', ['PUBLISH', 'range', 'm'], ':1'], ['p2', ['PUBLISH', 'zo', 'm'], ':1'], ['a2', undef, msg('', 'pmessage', '*e', 'range', 'm'), msg('', 'pmessage', 'z?', 'zo', 'm')],
	['p2', ['PUBLISH', 'over', 'm'], ':2'], ['c3', undef, msg('>', 'pmessage', 'o*', 'over', 'm')], ['a2', undef, msg('', 'pmessage', 'o*', 'over', 'm')],
	['a2', ['PUNSUBSCRIBE', '*e', 'none', 'z?'], changed('', 'punsubscribe', '*e', 4), changed('', 'punsubscribe', 'none', 4), changed('', 'punsubscribe', 'z?', 3)],
	['p2', ['PUBLISH', 'z1', 'm'], ':0'], ['p2', ['PUBLISH', '', 'm'], ':0'],
	['p2', ['PUBLISH', 'one', 'both'], ':4'],
	['a2', undef, msg('', 'message', 'one', 'both'), msg('', 'pmessage', 'o*', 'one', 'both')],
	['b3', undef, msg('>', 'message', 'one', 'both')], ['c3', undef, msg('>', 'pmessage', 'o*', 'one', 'both')],
	# what is there
	['p2', ['PUBSUB', 'NUMSUB', 'one', 'two', 'three'], '["one" :2 "two" :1 "three" :0]'],
	['p2', ['PUBSUB', 'CHANNELS', 't*'], '["two"]'], ['p2', ['PUBSUB', 'CHANNELS', 'none'], '[]'], ['p2', ['PUBSUB', 'NUMPAT'], ':1'],
	# RESP2: few commands are open to a listener; RESP3: all
	(map { ['a2', $_, $CONTEXT->(lc $_->[0])] } ['GET', 'k'], ['SET', 'k', 'v'], ['PUBLISH', 'one', 'm'], ['INFO']),
	['a2', ['CLIENT', 'ID'], $CONTEXT->('client|id')], ['a2', ['HELLO', '3'], $CONTEXT->('hello')],
	['a2', ['PUBLISH', 'one'], "-ERR wrong number of arguments for 'publish' command"],
	['a2', ['NONSENSE'], "-ERR unknown command 'NONSENSE', with args beginning with: "],
	['a2', ['PING'], '["pong" ""]'], ['a2', ['PING', 'x'], '["pong" "x"]'], ['b3', ['PING'], 'PONG'], ['b3', ['PING', 'x'], '"x"'],
	['b3', ['SET', 'k', 'v'], 'OK'], ['b3', ['GET', 'k'], '"v"'], ['p2', ['PUBLISH', 'one', 'from c'], ':4'],
	['a2', undef, msg('', 'message', 'one', 'from c'), msg('', 'pmessage', 'o*', 'one', 'from c')], ['b3', undef, msg('>', 'message', 'one', 'from c')],
	['c3', undef, msg('>', 'pmessage', 'o*', 'one', 'from c')],
	# leaving
	['c3', ['UNSUBSCRIBE'], '>["unsubscribe" nil :1]'], ['c3', ['PUNSUBSCRIBE'], changed('>', 'punsubscribe', 'o*', 0)],
	['c3', ['PUNSUBSCRIBE'], '>["punsubscribe" nil :0]'], ['c3', ['UNSUBSCRIBE', 'x', 'y'], changed('>', 'unsubscribe', 'x', 0), changed('>', 'unsubscribe', 'y', 0)],
	['a2', ['UNSUBSCRIBE', 'one'], changed('', 'unsubscribe', 'one', 2)], ['a2', ['UNSUBSCRIBE'], changed('', 'unsubscribe', 'two', 1)],
	['a2', ['GET', 'k'], $CONTEXT->('get')], ['a2', ['PUNSUBSCRIBE', 'o*'], changed('', 'punsubscribe', 'o*', 0)], ['a2', ['GET', 'k'], '"v"'],
	['a2', ['PING'], 'PONG'], ['a2', ['UNSUBSCRIBE'], '["unsubscribe" nil :0]'],
	['p2', ['PUBLISH', 'one', 'm'], ':1'], ['b3', undef, msg('>', 'message', 'one', 'm')],
	['a2', ['SUBSCRIBE', 'x'], changed('', 'subscribe', 'x', 1)], ['a2', ['RESET'], 'RESET'], ['a2', ['GET', 'k'], '"v"'], ['p2', ['PUBLISH', 'x', 'm'], ':0'],
	# names of any bytes
	['a2', ['SUBSCRIBE', "\0\xff\r\n", ''], changed('', 'subscribe', "\0\xff\r\n", 1), changed('', 'subscribe', '', 2)],
	['p2', ['PUBLISH', "\0\xff\r\n", "\r\n\0"], ':1'], ['p2', ['PUBLISH', '', 'e'], ':1'],
	['a2', undef, msg('', 'message', "\0\xff\r\n", "\r\n\0"), msg('', 'message', '', 'e')], ['a2', ['RESET'], 'RESET'],
	# shard channels: names of their own
	['a2', ['SSUBSCRIBE', 's', 'one'], changed('', 'ssubscribe', 's', 1), changed('', 'ssubscribe', 'one', 2)],
	['a2', ['SUBSCRIBE', 'y'], changed('', 'subscribe', 'y', 1)], ['a2', ['GET', 'k'], $CONTEXT->('get')],
	['p2', ['PUBLISH', 's', 'm'], ':0'], ['p2', ['SPUBLISH', 'y', 'm'], ':0'], ['p2', ['SPUBLISH', 's', 'shard'], ':1'],
	['a2', undef, msg('', 'smessage', 's', 'shard')], ['p2', ['PUBSUB', 'SHARDNUMSUB', 's', 'y'], '["s" :1 "y" :0]'],
	['p2', ['PUBSUB', 'SHARDCHANNELS', 's'], '["s"]'], ['p2', ['PUBSUB', 'CHANNELS', 's'], '[]'], ['p2', ['PUBSUB', 'SHARDCHANNELS', 'y'], '[]'],
	['a2', ['SUNSUBSCRIBE', 's'], changed('', 'sunsubscribe', 's', 1)], ['a2', ['SUNSUBSCRIBE'], changed('', 'sunsubscribe', 'one', 0)],
	['a2', ['SUNSUBSCRIBE'], '["sunsubscribe" nil :0]'], ['a2', ['UNSUBSCRIBE', 'y'], changed('', 'unsubscribe', 'y', 0)],
	# CLIENT REPLY does not hold messages back
	['b3', ['CLIENT', 'REPLY', 'OFF']], ['b3', ['SUBSCRIBE', 'off'], changed('>', 'subscribe', 'off', 2)], ['b3', ['PING']],
	['p2', ['PUBLISH', 'off', 'm'], ':1'], ['b3', undef, msg('>', 'message', 'off', 'm')], ['b3', ['CLIENT', 'REPLY', 'ON'], 'OK'],
	# errors
	['p2', ['SUBSCRIBE'], "-ERR wrong number of arguments for 'subscribe' command"], ['p2', ['PUBLISH', 'x'], "-ERR wrong number of arguments for 'publish' command"],
	['p2', ['PUBSUB'], "-ERR wrong number of arguments for 'pubsub' command"], ['p2', ['PUBSUB', 'NOTHING'], "-ERR unknown subcommand 'NOTHING'. Try PUBSUB HELP."],
	['p2', ['PUBSUB', 'NUMPAT', 'x'], "-ERR wrong number of arguments for 'pubsub|numpat' command"],
	['p2', ['PUBSUB', 'CHANNELS', 'x', 'y'], "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP."],
	['a2', ['QUIT'], 'OK'],
);

sub run_script
{
	my ($name, $path) = @_;
	my %client;
	my @wrong;
	for (@script)
	{
		my ($who, $command, @want) = @$_;
		my $wire = $client{$who} //= wire($path, $who =~ /3$/ ? ['HELLO', 3] : ());
		$wire->queue(encode(@$command)) if $command;
		my @got = $wire->replies(scalar @want);
		$wire->turn(0) if !@want;
		my ($got, $want) = (join(' ', map { frame($_) } @got), join ' ', @want);
		push @wrong, "$who @{$command // []}: got $got, expected $want" if $got ne $want;
	}
	for (sort keys %client)
	{
		next if $_ eq 'a2';
		push @wrong, "$_ is left with something else: " . frame($_) for $client{$_}->replies(1, 0.1);
	}
	is(join("\n", @wrong), '', "$name: " . @script . ' steps');
	return;
}

subtest 'the script' => sub {
	run_script('artery', $node->socket_path);
	with_redis(sub { run_script('the script is true of redis-server', $_[0]) });
};

# worker_of -- by CLIENT LIST, from another connection
sub listed
{
	my ($admin, $wire) = @_;
	my ($line) = grep { /^id=$wire->{id} / } split /\n/, $admin->ok('CLIENT', 'LIST');
	return { $line =~ /(\S+?)=(\S*)/g };
}

sub listener { my (@commands) = @_; my $wire = wire($node); $wire->{id} = $wire->ok('CLIENT', 'ID'); $wire->command(@$_) for @commands; return $wire }

subtest 'all workers' => sub {
	my $p = wire($node);
	my @l = map { listener(['SUBSCRIBE', 'all']) } 1 .. 12;
	push @l, listener(['PSUBSCRIBE', 'a*']) for 1 .. 6;
	my %worker = map { listed($p, $_)->{worker} => 1 } @l;
	is(scalar keys %worker, 3, 'the listeners are on all three workers');
	like(listed($p, $l[0])->{flags}, qr/P/, 'CLIENT LIST shows a listener');
	is(join(' ', @{listed($p, $l[0])}{qw(sub psub ssub)}), '1 0 0', '... and to how many channels');
	is(join(' ', @{listed($p, $l[-1])}{qw(sub psub ssub)}), '0 1 0', '... and patterns');
	is($p->ok('PUBLISH', 'all', 'm'), 18, 'PUBLISH counts them all');
	is_deeply($p->ok('PUBSUB', 'NUMSUB', 'all')->[1][1], 12, 'NUMSUB, too');
	is($p->ok('PUBSUB', 'NUMPAT'), 1, 'NUMPAT counts a pattern once');
	is(frame($p->command('PUBSUB', 'CHANNELS')), '["all"]', 'CHANNELS lists a channel once');
	is(join(' ', map { frame($_->reply) } @l[0 .. 11]), join(' ', (msg('', 'message', 'all', 'm')) x 12), 'everyone hears it by its name');
	is(join(' ', map { frame($_->reply) } @l[12 .. 17]), join(' ', (msg('', 'pmessage', 'a*', 'all', 'm')) x 6), '... or a pattern');
	# gone without a word
	$_->close for @l[0 .. 3];
	ok(poll_until(sub { $p->ok('PUBSUB', 'NUMSUB', 'all')->[1][1] == 8 }), 'who goes listens no more');
	is($p->ok('PUBLISH', 'all', 'm'), 14, '... and is not counted');
	$p->ok('CLIENT', 'KILL', 'ID', $l[4]{id});
	ok(poll_until(sub { $p->ok('PUBSUB', 'NUMSUB', 'all')->[1][1] == 7 }), '... nor who is killed');
};

subtest 'order' => sub {
	my @p = map { wire($node) } 1 .. 3;
	my @l = map { listener(['SUBSCRIBE', 'order']) } 1 .. 6;
	my $n = 3000;
	for my $i (0 .. $#p) { $p[$i]->queue(join '', map { encode('PUBLISH', 'order', "$i:$_") } 1 .. $n) }
	for my $p (@p) { is(scalar(grep { $_->[1] == 6 } $p->replies($n, 30)), $n, 'each reached all') }
	my $bad = 0;
	for my $l (@l)
	{
		my @seen = (0) x @p;
		for ($l->replies($n * @p, 30))
		{
			my ($i, $number) = split /:/, $_->[1][2][1];
			$bad++ if $number != ++$seen[$i];
		}
		$bad += grep { $_ != $n } @seen;
	}
	is($bad, 0, 'every listener gets all messages of each publisher in their order');
};

subtest 'long messages' => sub {
	my $p = wire($node);
	my @l = map { listener(['SUBSCRIBE', 'long']) } 1 .. 3;
	for my $len (15_000, 250_000, 262_144, 1_000_003, 16_000_000)
	{
		my $text = substr('0123456789abcdef' x ($len / 16 + 1), 0, $len);
		is($p->ok('PUBLISH', 'long', $text), 3, "$len bytes");
		$p->ok('PUBLISH', 'long', 'after');
		for (@l)
		{
			my ($one, $two) = $_->replies(2, 30);
			ok($two && $one->[1][2][1] eq $text && $two->[1][2][1] eq 'after', '... whole, and what follows');
		}
	}
	my $name = 'n' x 16384;
	is(frame($l[0]->command('SUBSCRIBE', $name)), changed('', 'subscribe', $name, 2), 'a long name');
	is($p->ok('PUBLISH', $name, 'm'), 1, '... is heard');
	like(frame($l[0]->command('SUBSCRIBE', "${name}n")) =~ /^\[/ ? frame($l[0]->reply) : '', qr/^-ERR channel name is too long \(16385 bytes, maximum 16384\)/, 'one that is too long');
	is($p->ok('PUBLISH', "${name}n", 'm'), 0, '... is heard by nobody');
};

subtest 'many channels' => sub {
	my $p = wire($node);
	my @l = map { listener() } 1 .. 3;
	my @names = map { "channel:$_" } 1 .. 5000;
	for my $l (@l)
	{
		$l->queue(encode('SUBSCRIBE', @names));
		my @r = $l->replies(5000, 30);
		is(frame($r[-1]), changed('', 'subscribe', 'channel:5000', 5000), '5000 at once');
	}
	is(scalar @{$p->ok('PUBSUB', 'CHANNELS', 'channel:*')}, 5000, 'CHANNELS lists each once');
	is($p->ok('PUBLISH', 'channel:77', 'm'), 3, 'one is heard by all');
	is(frame($_->reply), msg('', 'message', 'channel:77', 'm'), '... indeed') for @l;
	$l[0]->queue(encode('UNSUBSCRIBE'));
	is(frame(($l[0]->replies(5000, 30))[-1]) =~ /:0\]$/ ? 1 : 0, 1, 'all left at once');
	$l[1]->close;
	ok(poll_until(sub { $p->ok('PUBLISH', 'channel:4711', 'm') == 1 }), 'one is left');
	$l[2]->close;
	ok(poll_until(sub { @{$p->ok('PUBSUB', 'CHANNELS', 'channel:*')} == 0 }), 'none');
};

subtest 'in the middle of a command' => sub {
	my $p = wire($node);
	my $l = listener(['HELLO', 3], ['SUBSCRIBE', 'middle']);
	$p->queue(join '', map { encode('SET', "key:$_", 'x' x 100) } 1 .. 20_000);
	$p->replies(20_000, 30);
	# KEYS goes on for many turns; what is published meanwhile follows its reply
	$l->queue(encode('KEYS', '*') . encode('PING'));
	my $sent = 0;
	for (1 .. 200) { $sent += $p->ok('PUBLISH', 'middle', $_) }
	my @got = $l->replies(202, 30);
	is($sent, 200, '200 messages');
	is(scalar(grep { $_->[0] eq '*' && @{$_->[1]} == 20_001 } @got), 1, 'the long reply is whole');
	is(join(' ', map { $_->[1][2][1] } grep { $_->[0] eq '>' } @got), join(' ', 1 .. 200), '... and the messages stand around it in order');
	# its own message comes behind the reply
	is(join(' ', map { frame($_) } do { $l->queue(encode('PUBLISH', 'middle', 'own')); $l->replies(2) }), ':1 ' . msg('>', 'message', 'middle', 'own'), 'its own message follows the reply');
	$p->ok('FLUSHALL');
};

subtest 'who does not read' => sub {
	my $p = wire($node);
	$p->ok('CONFIG', 'SET', 'client_output_buffer_limit', '2MB');
	my $offset = $node->log_offset;
	my @slow = map { listener(['SUBSCRIBE', 'flood']) } 1 .. 3;
	my @fast = map { listener(['SUBSCRIBE', 'flood']) } 1 .. 3;
	my $text = 'x' x 10_000;
	my $sent = 0;
	for my $round (1 .. 100)
	{
		$p->ok('PUBLISH', 'flood', "$round:$text") for 1 .. 10;
		$sent += 10;
		for (@fast) { die 'a reader missed something' if $_->replies(10, 30) != 10 }
	}
	ok(poll_until(sub { $p->ok('PUBSUB', 'NUMSUB', 'flood')->[1][1] == 3 }), "after $sent messages those who do not read have been closed");
	$node->wait_for_log(qr/client $slow[0]{id} closed: client_output_buffer_limit of 2097152 bytes reached/, $offset);
	is($p->ok('PUBLISH', 'flood', 'm'), 3, '... the others go on');
	is(frame($_->reply), msg('', 'message', 'flood', 'm'), '... and hear') for @fast;
	for (@slow) { $_->raw(30); ok($_->closed, 'a slow one sees the end') }
	$p->ok('CONFIG', 'SET', 'client_output_buffer_limit', '256MB');
};

subtest 'who goes while messages come' => sub {
	my $p = wire($node);
	my @stay = map { listener(['SUBSCRIBE', 'churn']) } 1 .. 3;
	my $sent = 0;
	for my $round (1 .. 60)
	{
		my @go = map { listener(['SUBSCRIBE', 'churn'], ['PSUBSCRIBE', 'ch*']) } 1 .. 3;
		$p->queue(join '', map { encode('PUBLISH', 'churn', $_) } 1 .. 20);
		$sent += 20;
		$round % 2 ? $p->queue(join '', map { encode('CLIENT', 'KILL', 'ID', $_->{id}) } @go) : $_->close for @go;
		$p->replies(20 + ($round % 2 ? 9 : 0), 30);
	}
	is(scalar($_->replies($sent, 30)), $sent, 'who stays hears all') for @stay;
	ok(poll_until(sub { $p->ok('PUBSUB', 'NUMPAT') == 0 }), 'nothing is left of those who went');
};

subtest 'a worker that stands still' => sub {
	my $p = wire($node);
	$p->{id} = $p->ok('CLIENT', 'ID');
	my @l = map { listener(['SUBSCRIBE', 'still']) } 1 .. 6;
	my $mine = listed($p, $p)->{worker};
	my ($other) = grep { listed($p, $_)->{worker} != $mine } @l;
	my $frozen = listed($p, $other)->{worker};
	my @there = grep { listed($p, $_)->{worker} == $frozen } @l;
	my @awake = grep { listed($p, $_)->{worker} != $frozen } @l;
	my @pids = sort { $a <=> $b } $node->child_pids('worker');
	my ($pid) = grep { slurp_file("/proc/$_/cmdline") =~ /worker @{[$frozen + 1]}:/ } @pids;
	ok($pid, 'its process') or return;
	kill 'STOP', $pid;
	my $text = 'y' x 100_000;
	my $n = 900;				# 90 MB: more than the queue takes
	my $start = now();
	my $heard = 0;
	for (1 .. $n)
	{
		$p->ok('PUBLISH', 'still', "$_:$text");
		$heard += grep { $_->reply(30) } @awake;
	}
	cmp_ok(now() - $start, '<', 60, 'the publisher is not held up for long');
	is($heard, $n * @awake, 'those of other workers hear all');
	kill 'CONT', $pid;
	for (@there)
	{
		my $got = () = $_->raw(30) =~ /message/g;
		ok($_->closed, "a listener that missed some is closed, after $got messages");
	}
	ok(poll_until(sub { $p->ok('PUBSUB', 'NUMSUB', 'still')->[1][1] == @awake }), 'it listens no more');
	my @again = map { listener(['SUBSCRIBE', 'still']) } 1 .. 3;
	is($p->ok('PUBLISH', 'still', 'm'), @awake + 3, 'new ones do');
	is(frame($_->reply), msg('', 'message', 'still', 'm'), '... and hear') for @again, @awake;
};

quiet_log($node);
$node->stop;
done_testing;
