# Goal: WAL tells positions of the log as they are, WAL WAIT says 1 only of what is durable, and
# CLIENT REPLYLSN tells where a write stands, so that a client may send without waiting and
# settle later.
#
# Method: the walwriter is stopped, so that nothing becomes durable: what WAL WAIT answers
# then, and what it answers after it goes on; after kill -9 what was never durable is LOST.
use Artery::Test;
use Artery::Cluster;
use Test::More;

my $node = Artery::Cluster->new('walpositions');
$node->init(workers => 2, wal_segment_size => '1MB', wal_buffers => '1MB', max_value_size => '64kB');
$node->start;
my $client = $node->connect;

sub wal { return $client->cmd('WAL', @_) }

# lost_error(lsn): what is said of a position that lies before the begin of this run
sub lost_error { my ($lsn, $next) = @_; return "LOST lsn $lsn was taken back when the server ended; next=$next" }

subtest 'positions' => sub {
	$client->cmd('SET', 'k', 1);
	is(wal('FLUSHED'), wal('INSERT'), 'after a durable write all is flushed');
	is(wal('COMPLETED'), wal('INSERT'), '... and completed');
	is(wal('REDO'), 1_048_576, 'redo would begin at the first record');
	$client->cmd('CHECKPOINT');
	cmp_ok(wal('REDO'), '>', 1_048_576, 'or at the cut of a checkpoint');
	cmp_ok(wal('REDO'), '<=', wal('INSERT'), '... which lies in the log');
	my $none = $node->connect;
	$none->cmd('CLIENT', 'DURABILITY', 'none');
	$node->frozen(sub {
		my $flushed = wal('FLUSHED');
		$none->cmd('SET', 'k', 2);
		is(wal('FLUSHED'), $flushed, 'without a walwriter flushed stands still');
		cmp_ok(wal('INSERT'), '>', $flushed, '... insert does not');
		is(wal('COMPLETED'), wal('INSERT'), '... nor completed');
	});
	like(join(' ', @{wal('HELP')}), qr/WAIT lsn/, 'HELP');
	like($client->err('WAL', 'WHAT'), qr/^ERR unknown subcommand 'WHAT'/, 'an unknown sub-command');
	is($client->err('WAL'), "ERR wrong number of arguments for 'wal' command", 'none');
	is($client->err('WAL', 'INSERT', 1), "ERR wrong number of arguments for 'wal|insert' command", 'too many words');
};

subtest 'WAL WAIT' => sub {
	my $none = $node->connect;
	$none->cmd('CLIENT', 'DURABILITY', 'none');
	$none->cmd('SET', 'k', 3);
	my $lsn = wal('INSERT');
	is(wal('WAIT', $lsn), 1, 'it asks for the flush that it waits for');
	cmp_ok(wal('FLUSHED'), '>=', $lsn, '... which there was');
	is(wal('WAIT', $_), 1, "what is durable is durable: $_") for 0, 8, 1_048_576, $lsn - 8, wal('FLUSHED');
	is(wal('WAIT', $lsn, 1000), 1, 'with a time');
	$node->frozen(sub {
		$none->cmd('SET', 'k', 4);
		$lsn = wal('INSERT');
		my $start = now();
		is(wal('WAIT', $lsn, 150), 0, 'the time is over');
		cmp_ok(now() - $start, '>=', 0.14, '... when it is');
		is($client->reply_to('MULTI'), 'OK', 'within MULTI');
		$client->cmd('WAL', 'WAIT', $lsn);
		is_deeply($client->cmd('EXEC'), [0], '... nobody waits');
		my $waiter = $node->connect;
		$waiter->send('WAL', 'WAIT', $lsn);
		ok(!(() = $waiter->try_recv(0.3)), 'without a time it waits');
		is($client->err('WAL', 'WAIT', $lsn + 8), "ERR lsn " . ($lsn + 8) . " is beyond the end of the log", 'nobody has that position yet');
		$none->cmd('PING');
		push @main::waiter, $waiter;
	});
	is($main::waiter[0]->recv, 1, 'and is answered when it is flushed');
	is($client->err('WAL', 'WAIT', $_), 'ERR lsn is not an integer or out of range', "no position: '$_'") for 'x', -1, '';
	is($client->err('WAL', 'WAIT', 0, -1), 'ERR timeout is negative', 'a negative time');
	is($client->err('WAL', 'WAIT', 0, 'x'), 'ERR timeout is not an integer or out of range', 'no time');
	is($client->err('WAL', 'WAIT'), "ERR wrong number of arguments for 'wal|wait' command", 'no position');
	is($client->err('WAL', 'WAIT', 1, 2, 3), "ERR wrong number of arguments for 'wal|wait' command", 'too many words');
};

subtest 'CLIENT REPLYLSN' => sub {
	my $c = $node->connect;
	like($c->err('CLIENT', 'REPLYLSN', 'on'), qr/^ERR CLIENT REPLYLSN needs RESP3/, 'not in RESP2');
	is($c->cmd('CLIENT', 'REPLYLSN', 'off'), 'OK', '... but off is');
	$c->hello(3);
	is($c->err('CLIENT', 'REPLYLSN', 'maybe'), 'ERR syntax error', 'on or off');
	$c->cmd('SET', 'a', 1);
	is($c->attribute, undef, 'off at first');
	is($c->cmd('CLIENT', 'REPLYLSN', 'ON'), 'OK', 'on');
	is($c->attribute, undef, '... which is no write');
	# says(command): the attribute is the version that the write made
	my $lsn_of = sub { my $r = $c->cmd(@_); my $a = $c->attribute; return ($r, $a && $a->{lsn}) };
	my $end = sub { return $client->cmd('WAL', 'INSERT') };
	for (['OK', 'SET', 'a', 2], [2, 'APPEND', 'b', 'xx'], [1, 'INCR', 'n'], ['2', 'GETSET', 'a', 3], [1, 'DEL', 'n'], ['3', 'GETDEL', 'a'],
		['OK', 'MSET', 'x', 1, 'y', 2], [2, 'DEL', 'x', 'y'], ['OK', 'SET', 'long', 'L' x 60000], ['L' x 60000, 'GETSET', 'long', ''], ['OK', 'FLUSHDB'])
	{
		my ($want, @command) = @$_;
		my ($got, $lsn) = $lsn_of->(@command);
		my $name = join(' ', map { length > 20 ? substr($_, 0, 5) . '...' : $_ } @command);
		is($got, $want, "$name: the reply");
		is($lsn, $end->(), '... and where it stands');
	}
	$c->cmd('SET', 'k', 1);
	$c->attribute;
	for (['GET', 'k'], ['DEL', 'none'], ['SETNX', 'k', 2], ['SET', 'k', 1, 'NX'], ['PING'], ['EXISTS', 'k'])
	{
		my (undef, $lsn) = $lsn_of->(@$_);
		is($lsn, undef, "nothing changed, no attribute: @$_");
	}
	like($c->err('INCRBY', 'k', 'x'), qr/^ERR/, 'an error');
	is($c->attribute, undef, '... has none');
	# EXEC has one, in front of the whole
	$c->cmd('MULTI');
	$c->cmd('SET', 't1', 1);
	is($c->attribute, undef, 'what is queued has none');
	$c->cmd('SET', 't2', 2);
	my ($got, $lsn) = $lsn_of->('EXEC');
	is_deeply($got, ['OK', 'OK'], 'EXEC');
	is($lsn, $end->(), '... says where all of it stands');
	$c->cmd('MULTI');
	$c->cmd('GET', 't1');
	($got, $lsn) = $lsn_of->('EXEC');
	is_deeply([$got, $lsn], [['1'], undef], 'an EXEC that only reads has none');
	$c->cmd('WATCH', 't1');
	$client->cmd('SET', 't1', 'other');
	$c->cmd('MULTI');
	$c->cmd('SET', 't1', 'mine');
	($got, $lsn) = $lsn_of->('EXEC');
	is_deeply([$got, $lsn], [undef, undef], 'nor one that did nothing');
	# pipelines
	$c->send('SET', "p$_", $_) for 1 .. 50;
	my $last = 0;
	for (1 .. 50)
	{
		die if $c->recv ne 'OK';
		my $at = $c->attribute->{lsn};
		die "$at after $last" if $at <= $last;
		$last = $at;
	}
	is($last, $end->(), 'in a pipeline each has its own');
	$c->cmd('CLIENT', 'REPLYLSN', 'off');
	$c->cmd('SET', 'k', 5);
	is($c->attribute, undef, 'off again');
	$c->cmd('CLIENT', 'REPLYLSN', 'on');
	$c->cmd('RESET');
	$c->hello(3);
	$c->cmd('SET', 'k', 6);
	is($c->attribute, undef, 'RESET switches it off');
	$c->cmd('CLIENT', 'REPLYLSN', 'on');
	$c->cmd('HELLO', 2);
	is($c->cmd('SET', 'k', 7), 'OK', 'in RESP2 there are no attributes');
};

subtest 'settling later' => sub {
	my $c = $node->connect;
	$c->hello(3);
	$c->cmd('CLIENT', 'REPLYLSN', 'on');
	$c->cmd('CLIENT', 'DURABILITY', 'none');
	my (@durable, @lost);
	$c->cmd('SET', 'settled', 1);
	push @durable, $c->attribute->{lsn};
	is($c->cmd('WAL', 'WAIT', $durable[0]), 1, 'a write that was settled');
	$node->stop_child('walwriter');
	for (1 .. 5)
	{
		$c->cmd('SET', "unsettled$_", 1);
		push @lost, $c->attribute->{lsn};
	}
	$node->kill9;
	$node->start;
	$client = $node->connect;
	my $start = wal('INSERT');
	is(wal('WAIT', $_), 1, 'after the crash: what was settled is durable') for @durable;
	is($client->err('WAL', 'WAIT', $_), lost_error($_, $start), '... what was not is LOST') for @lost;
	is($client->cmd('GET', 'settled'), 1, 'and so it is');
	is($client->cmd('EXISTS', map { "unsettled$_" } 1 .. 5), 0, '...');
	is(wal('WAIT', $start), 1, 'where the new run begins');
	is($client->err('WAL', 'WAIT', $start - 8), lost_error($start - 8, $start), 'just before that');
	$node->restart;
	$client = $node->connect;
	is($client->err('WAL', 'WAIT', $lost[0]), lost_error($lost[0], $start), 'that is known after further restarts');
};

subtest 'older than the list of gaps' => sub {
	my $old = wal('FLUSHED');
	for (1 .. 66)
	{
		$node->restart('immediate');
	}
	$client = $node->connect;
	like($client->err('WAL', 'WAIT', $old), qr/^LOST lsn $old is older than what is known about ends of the log; next=\d+$/, 'nobody knows any more');
	like($client->err('CHANGES', $old), qr/^LOST lsn $old is older/, '... nor does the feed');
	my ($next) = $client->err('WAL', 'WAIT', $old) =~ /next=(\d+)/;
	is(wal('WAIT', $next), 1, 'next is known');
	ok($client->cmd('CHANGES', 0), 'and the feed begins with what is known');
};

done_testing;
