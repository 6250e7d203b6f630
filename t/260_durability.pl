# Goal: each durability policy does what it promises, and no gated client is ever shown
# what a crash could take back.
#
# Method: the walwriter is stopped with SIGSTOP, so that nothing can become durable: what
# is then answered, and what waits, is the gate.  SIGCONT must release all of it, in
# order.  INFO counts flushes and the replies that waited for them.
use Artery::Test;
use Artery::Cluster;
use Artery::SoakServer;
use Artery::SoakWire;
use Test::More;
use Time::HiRes qw(sleep);

my $WAIT = 0.3;		# seconds after which a reply that has not come counts as gated

my $node = Artery::Cluster->new('durability');
$node->init(workers => 2, wal_flush_interval => '50ms');
$node->start;
my $watch = wire($node, ['CLIENT', 'DURABILITY', 'none']);

sub policy { my ($policy) = @_; return wire($node, ['CLIENT', 'DURABILITY', $policy]) }

subtest 'CLIENT DURABILITY' => sub {
	my $wire = wire($node);
	is($wire->ok('CLIENT', 'DURABILITY'), 'immediate', 'the default');
	for my $policy (qw(group periodic none immediate))
	{
		is($wire->ok('CLIENT', 'DURABILITY', uc $policy), 'OK', "set to $policy");
		is($wire->ok('CLIENT', 'DURABILITY'), $policy, '... and told');
		is($wire->ok('SET', 'policy', $policy), 'OK', '... and used');
	}
	for (['CLIENT', 'DURABILITY', 'always'], ['CLIENT', 'DURABILITY', ''], ['CLIENT', 'DURABILITY', 'none', 'LAST'],
		['CLIENT', 'DURABILITY', 'none', 'NEXT', 'NEXT'], ['CLIENT', 'DURABILITY', 'NEXT'])
	{
		is(plain($wire->command(@$_)), '-ERR syntax error', "refused: @$_");
	}
	is($wire->ok('CLIENT', 'DURABILITY'), 'immediate', '... and nothing changed');
	$wire->ok('CLIENT', 'DURABILITY', 'none');
	$wire->ok('RESET');
	is($wire->ok('CLIENT', 'DURABILITY'), 'immediate', 'RESET brings the default back');
	$wire->ok('CLIENT', 'DURABILITY', 'none');
	is(wire($node)->ok('CLIENT', 'DURABILITY'), 'immediate', 'others are not concerned');
	$watch->ok('CONFIG', 'SET', 'durability', 'group');
	is(wire($node)->ok('CLIENT', 'DURABILITY'), 'group', 'CONFIG SET changes the default');
	is($wire->ok('CLIENT', 'DURABILITY'), 'none', '... but not of those who chose');
	$wire->ok('CLIENT', 'DURABILITY', 'default');
	is($wire->ok('CLIENT', 'DURABILITY'), 'group', 'DEFAULT follows the server again');
	is(plain($watch->command('CONFIG', 'SET', 'durability', 'sometimes')) =~ /^-ERR/ ? 'refused' : 'taken', 'refused', 'CONFIG SET of no policy');
	$watch->ok('CONFIG', 'SET', 'durability', 'immediate');
	like($watch->ok('CLIENT', 'INFO'), qr/durability=none/, 'CLIENT INFO tells it');
};

subtest 'WAITAOF' => sub {
	for my $policy (qw(immediate group periodic none))
	{
		my $wire = policy($policy);
		$wire->ok('SET', 'waitaof', $policy);
		my $lsn = info_number($watch, 'wal_insert_lsn');
		is_deeply(plain($wire->command('WAITAOF', 1, 0, 0)), [1, 0], "$policy: waits until the write is durable");
		cmp_ok(info_number($watch, 'wal_flushed_lsn'), '>=', $lsn, "$policy: ... and it is");
	}
	my $wire = policy('none');
	is_deeply(plain($wire->command('WAITAOF', 1, 0, 0)), [1, 0], 'without a write');
	my $start = now();
	is_deeply(plain($wire->command('WAITAOF', 1, 1, 200)), [1, 0], 'a replica never comes');
	cmp_ok(now() - $start, '>=', 0.19, '... however long one waits');
	like(plain($wire->command('WAITAOF', 2, 0, 0)), qr/^-ERR value is out of range/, 'two local logs');
	like(plain($wire->command('WAITAOF', 1, 0, -1)), qr/^-ERR timeout is negative/, 'a negative timeout');
	like(plain($wire->command('WAITAOF', 'x', 0, 0)), qr/^-ERR value is (?:not an integer or )?out of range/, 'no number');
	is_deeply([map { plain($_) } $wire->queue(encode('SET', 'waitaof', 1) . encode('WAITAOF', 1, 0, 0) . encode('GET', 'waitaof'))->replies(3)],
		['OK', [1, 0], 1], 'in a pipeline');
};

subtest 'the gate' => sub {
	policy('immediate')->ok('FLUSHALL');
	policy('immediate')->ok('MSET', 'old', 'o', 'gone', 'g', 'number', 41, 'unrelated/a', 1, 'unrelated/b', 2, 'zone/gone', 1);
	my %wire = map { $_ => policy('immediate') } qw(writer order next);
	$wire{$_} = policy($_) for qw(none periodic group);
	my (@waiting, @answers);
	# waits -- this command of a connection of its own must get no reply now, and this one later
	my $waits = sub {
		my ($want, @command) = @_;
		my $wire = policy('immediate');
		$wire->queue(encode(@command))->turn(0);
		push @waiting, [$wire, $want, join(' ', @command)];
	};
	my $at_once = sub {
		my ($want, @command) = @_;
		is_deeply(plain(policy('immediate')->command(@command)), $want, "answered at once: @command");
	};
	$node->frozen(sub {
		is($wire{none}->ok('DEL', 'gone', 'zone/gone'), 2, 'durability none: a write is answered at once');
		is($wire{periodic}->ok('SET', 'k', 'v1'), 'OK', 'durability periodic: too');
		is($wire{none}->ok('GET', 'k'), 'v1', '... and its value is seen by those who are not gated');
		is($wire{none}->ok('SETNX', 'k', 'x'), 0, '... and its negative answers');
		is($wire{none}->ok('SET', 'big', 'b' x 900_000), 'OK', '... and a large one');
		$waits->('OK', 'SET', 'k2', 'v');
		$waits->('v1', 'GET', 'k');
		$waits->(1, 'EXISTS', 'k');
		$waits->(2, 'STRLEN', 'k');
		$waits->('string', 'TYPE', 'k');
		$waits->(undef, 'GET', 'gone');
		$waits->(0, 'EXISTS', 'gone');
		$waits->('none', 'TYPE', 'gone');
		$waits->(0, 'DEL', 'gone');
		$waits->(0, 'SETNX', 'k', 'x');
		$waits->(undef, 'SET', 'k', 'x', 'NX');
		$waits->(undef, 'SET', 'gone', 'x', 'XX');
		$waits->(['o', 'v1'], 'MGET', 'old', 'k');
		$waits->(42, 'INCR', 'number');
		$waits->([undef, ['unrelated/a', 'unrelated/b']], 'RANGE', '(o~', '[zzz');		# it lacks zone/gone
		$waits->([], 'KEYS', 'zone/*');
		# errors tell of the value, too
		$waits->('-ERR value is not an integer or out of range', 'INCR', 'k');
		$waits->('-ERR string exceeds maximum allowed size (proto-max-bulk-len)', 'APPEND', 'big', 'b' x 200_000);
		$wire{dbsize} = policy('immediate');
		$wire{dbsize}->queue(encode('DBSIZE'))->turn(0);
		$at_once->('o', 'GET', 'old');
		$at_once->(1, 'EXISTS', 'old');
		$at_once->(0, 'SETNX', 'old', 'x');
		$at_once->(undef, 'GET', 'never-was');
		$at_once->([undef, ['unrelated/a', 'unrelated/b']], 'RANGE', '-', '+', 'PREFIX', 'unrelated/');
		$at_once->('PONG', 'PING');
		# one connection: replies keep their order
		$wire{order}->queue(join '', map { encode(@$_) } ['GET', 'old'], ['SET', 'k3', 'v3'], ['GET', 'old'], ['PING'], ['GET', 'k3']);
		is(plain($wire{order}->reply), 'o', 'in a pipeline, what stands before the write is answered');
		# NEXT: one command only
		is($wire{none}->ok('CLIENT', 'DURABILITY', 'immediate', 'NEXT'), 'OK', 'NEXT');
		$wire{none}->queue(encode('SET', 'k4', 'v4') . encode('SET', 'k5', 'v5'));
		is($wire{next}->ok('CLIENT', 'DURABILITY', 'none', 'NEXT'), 'OK', 'NEXT the other way round');
		is($wire{next}->ok('SET', 'k6', 'v6'), 'OK', '... is answered at once');
		$wire{next}->queue(encode('SET', 'k7', 'v7'));
		$wire{group}->queue(encode('SET', 'k8', 'v8'));
		is_deeply(plain($wire{periodic}->command('WAITAOF', 1, 0, 100)), [0, 0], 'WAITAOF gives up after its time');
		my $end = now() + $WAIT;
		my @early;
		while ((my $left = $end - now()) > 0)
		{
			$_->turn(0) for $wire{order}, @wire{qw(none next group dbsize)}, map { $_->[0] } @waiting;
			sleep 0.01;
		}
		push @early, $_->[2] for grep { $_->[0]->pending } @waiting;
		push @early, "pipeline of $_" for grep { $wire{$_}->pending } qw(order none next group dbsize);
		is("@early", '', 'nothing else is answered while nothing can be flushed');
		cmp_ok(info_number($watch, 'replies_gated_now'), '>=', scalar @waiting, 'INFO counts what waits');
		cmp_ok(info_number($watch, 'wal_flushed_lsn'), '<', info_number($watch, 'wal_insert_lsn'), '... and why');
	});
	for (@waiting)
	{
		my ($wire, $want, $command) = @$_;
		my $reply = $wire->reply;
		is_deeply($reply ? plain($reply) : 'no reply', $want, "answered at last: $command");
	}
	is_deeply([map { plain($_) } $wire{order}->replies(4)], ['OK', 'o', 'PONG', 'v3'], 'the pipeline, in order');
	is_deeply([map { plain($_) } $wire{none}->replies(2)], ['OK', 'OK'], 'NEXT, and the command behind it');
	is(plain($wire{$_}->reply), 'OK', "the reply of $_") for qw(next group);
	like(plain($wire{dbsize}->reply), qr/^\d+$/, 'DBSIZE');
	ok(poll_until(sub { info_number($watch, 'replies_gated_now') == 0 }), 'nothing waits any more');
};

subtest 'what the gate is for' => sub {
	policy('immediate')->ok('SET', 'shown', 'durable');
	my $reader = policy('immediate');
	$node->stop_child('walwriter');
	policy('none')->ok('SET', 'shown', 'not yet');
	$reader->queue(encode('GET', 'shown'));
	is($reader->reply($WAIT), undef, 'a gated reader is not shown it');
	$node->kill9;
	is($reader->reply, undef, '... not even at the end');
	$node->start;
	$watch = wire($node, ['CLIENT', 'DURABILITY', 'none']);
	is($watch->ok('GET', 'shown'), 'durable', 'for the crash took it back');
};

subtest 'a crash of one that waits, and an orderly stop' => sub {
	my $gone = policy('immediate');
	$node->frozen(sub {
		$gone->send_raw(encode('SET', 'left', 'behind'));
		poll_until(sub { $watch->ok('EXISTS', 'left') }) or die 'the write is not seen';
		$gone->close;
		is($watch->ok('PING'), 'PONG', 'a client leaves without its gated reply');
	});
	is(policy('immediate')->ok('GET', 'left'), 'behind', 'what it wrote is there');
	my @wires = map { policy('immediate') } 1 .. 5;
	my $postmaster = $node->pid;
	$node->frozen(sub {
		$wires[$_]->send_raw(join '', map { encode('SET', "stop/$_", $_) } ($_) x 20) for 0 .. $#wires;
		poll_until(sub { info_number($watch, 'replies_gated_now') >= 100 }) or die 'the writes do not wait';
		$node->signal('INT');
		is($wires[0]->reply($WAIT), undef, 'a fast stop does not break the gate');
	});
	my @replies = map { scalar grep { $_->[1] eq 'OK' } $_->replies(20) } @wires;
	is("@replies", '20 20 20 20 20', '... the replies that waited come once they may');
	ok($_->at_end, '... then the connection is closed') for $wires[0];
	ok($node->wait_gone($postmaster), '... and the server stops');
	$node->start;
	$watch = wire($node, ['CLIENT', 'DURABILITY', 'none']);
	is_deeply(plain($watch->command('MGET', map { "stop/$_" } 0 .. 4)), [0 .. 4], 'all of it is there');
};

subtest 'group commit' => sub {
	my ($flushes, $gated) = map { info_number($watch, $_) } qw(wal_flushes wal_replies_gated);
	my @wires = map { policy('group') } 1 .. 50;
	for my $round (1 .. 10)
	{
		$_->queue(join '', map { encode('SET', "group/$_", $round) } 1 .. 16)->turn(0) for @wires;
		is(scalar(map { $_->replies(16) } @wires), 800, "round $round: all are answered") if $round == 10;
		$_->replies(16) for $round < 10 ? @wires : ();
	}
	my $used = info_number($watch, 'wal_flushes') - $flushes;
	my $released;
	ok(poll_until(sub { ($released = info_number($watch, 'wal_replies_gated') - $gated) >= 8000 }), '8,000 replies passed the gate') or diag($released);
	cmp_ok($used, '<', 8000 / 4, "... after $used flushes: they share them");
	cmp_ok($used, '>', 0, '... and there were some');

	$watch->ok('CONFIG', 'SET', 'commit_delay', '1s', 'commit_siblings', 5);
	my $lone = policy('group');
	my $start = now();
	$lone->ok('SET', 'lone', $_) for 1 .. 20;
	my $took = now() - $start;
	cmp_ok($took, '<', 15, 'a lone committer does not wait: twenty commits with a commit_delay of 1 s');
	$start = now();
	my $hurried = policy('immediate');
	$hurried->ok('SET', 'hurried', $_) for 1 .. 20;
	cmp_ok(now() - $start, '<', 15, 'nor does one whose durability is immediate');
	$watch->ok('CONFIG', 'SET', 'commit_delay', '500ms', 'commit_siblings', 3);
	$flushes = info_number($watch, 'wal_flushes');
	$start = now();
	$_->queue(encode('SET', 'gathered', 1))->turn(0) for @wires;
	is(scalar(map { $_->replies(1) } @wires), 50, 'fifty that may be gathered are answered');
	$used = info_number($watch, 'wal_flushes') - $flushes;
	cmp_ok($used, '<=', 25, "... after $used flushes");
	cmp_ok(now() - $start, '<', 20, '... within the delay and some');
	$watch->ok('CONFIG', 'SET', 'commit_delay', '1s', 'commit_siblings', 0);
	$start = now();
	$lone->ok('SET', 'lone', $_) for 1 .. 20;
	cmp_ok(now() - $start, '<', 15, 'commit_siblings 0: a lone committer does not wait either');
	$start = now();
	is(scalar($lone->queue(join '', map { encode('SET', "lone/$_", 1) } 1 .. 8)->replies(8)), 8, 'eight in a pipeline');
	cmp_ok(now() - $start, '>=', 0.9, '... wait for commit_delay');
	# the delay cannot be longer than 1 s, and a busy machine may need as long: one of several times
	my $best = 9;
	for my $try (2 .. 9)
	{
		$start = now();
		$lone->queue(join '', map { encode('SET', "lone/$_", $try) } 1 .. 8)->turn(0);
		poll_until(sub { $watch->ok('GET', 'lone/8') == $try }) or die 'the writes are not seen';
		$hurried->ok('SET', 'hurried', 'too');
		is(scalar($lone->replies(8)), 8, '... unless one comes that is immediate');
		$best = now() - $start if now() - $start < $best;
		last if $best < 0.9;
	}
	cmp_ok($best, '<', 0.9, '... and ends the wait for all');
	$watch->ok('CONFIG', 'SET', 'commit_delay', '0', 'commit_siblings', 5);
};

subtest 'periodic and none' => sub {
	my ($periodic, $none) = (policy('periodic'), policy('none'));
	my $flushed = sub { info_number($watch, 'wal_flushed_lsn') };
	$periodic->ok('SET', 'periodic', 1);
	my $lsn = info_number($watch, 'wal_insert_lsn');
	ok(poll_until(sub { $flushed->() >= $lsn }), 'periodic: flushed without anybody asking');
	$none->ok('SET', 'none', 1);
	$lsn = info_number($watch, 'wal_insert_lsn');
	sleep 0.4;
	cmp_ok($flushed->(), '<', $lsn, 'none: not flushed by the clock');
	is(policy('immediate')->ok('GET', 'none'), 1, 'none: a gated reader has it flushed');
	cmp_ok($flushed->(), '>=', $lsn, '... it is');
	$none->ok('SET', 'none', 2);
	is_deeply(plain($none->command('WAITAOF', 1, 0, 0)), [1, 0], 'none: WAITAOF has it flushed');
	$periodic->ok('SET', 'periodic', $_) for 1 .. 100;
	$lsn = info_number($watch, 'wal_insert_lsn');
	poll_until(sub { $flushed->() >= $lsn }) or die 'not flushed';
	$none->ok('SET', 'none', 3);
	$node->kill9;
	$node->start;
	$watch = wire($node, ['CLIENT', 'DURABILITY', 'none']);
	is($watch->ok('GET', 'periodic'), 100, 'after a crash: what was flushed is there');
	like($watch->ok('GET', 'none'), qr/^[23]$/, '... and of the rest a prefix');
	$none = policy('none');
	$none->ok('SET', 'none', $_) for 1 .. 1000;
	$node->stop('fast');
	$node->start;
	$watch = wire($node, ['CLIENT', 'DURABILITY', 'none']);
	is($watch->ok('GET', 'none'), 1000, 'an orderly stop loses nothing, whatever the policy');
};

subtest 'the ring is full' => sub {
	my $small = Artery::Cluster->new('ring');
	$small->init(workers => 2, wal_buffers => '1MB', wal_segment_size => '1MB', durability => 'none');
	$small->start;
	my $watch_small = wire($small);
	my $before = wire($small, ['SET', 'old', 'o'], ['CLIENT', 'DURABILITY', 'immediate'], ['SET', 'flushed', 'f']);
	my $value = 'v' x 10_000;
	my @writers = map { wire($small) } 1 .. 3;
	my $pid = $small->signal_child('walwriter', 'STOP');
	my @answered = (0) x @writers;
	my $collect = sub {
		my ($seconds) = @_;
		my $end = now() + $seconds;
		while (now() < $end)
		{
			for (0 .. $#writers) { $writers[$_]->turn(0.005); $answered[$_] += $writers[$_]->parsed }
		}
	};
	$writers[$_]->queue(join '', map { my $number = $_; encode('SET', "ring/$number", $value) } 1 .. 200) for 0 .. $#writers;
	ok(poll_until(sub { $collect->(0.02); info_number($watch_small, 'commands_parked') > 0 }), 'writers park');
	$collect->($WAIT);
	my $stuck = $answered[0] + $answered[1] + $answered[2];
	cmp_ok($stuck, '<', 150, "... when the ring of 1 MB is full: $stuck of 600 writes of 10 kB are answered");
	cmp_ok($stuck, '>', 20, '... and not before');
	is($watch_small->ok('GET', 'flushed'), 'f', 'reads go on');
	is(length $watch_small->ok('GET', 'ring/1'), 10_000, '... of what is new, too');
	# small writes still find room, until there is none at all
	$writers[3] = wire($small);
	my $small_writes = 0;
	my $parked = sub { $writers[3]->queue(encode('INCR', 'small')); my $reply = $writers[3]->reply($WAIT); $small_writes++ if $reply; !$reply };
	ok(poll_until($parked), 'in the end a small write waits, too');
	$writers[3]->queue(encode('GET', 'old'));
	is($writers[3]->reply($WAIT), undef, '... and so does what stands behind it');
	my $leaver = wire($small);
	$leaver->send_raw(encode('SET', 'leaver', 'x'));
	$leaver->close;
	kill 'CONT', $pid;
	is_deeply([map { plain($_) } $writers[3]->replies(2)], [$small_writes + 1, 'o'], 'then it is done');
	$answered[$_] += $writers[$_]->replies(200 - $answered[$_]) for 0 .. 2;
	is("@answered", '200 200 200', 'all complete once the log moves');
	my $long = 'v' x (257 << 10);
	like(plain($watch_small->command('SET', 'long', $long)), qr/^-ERR string exceeds maximum allowed size/, 'more than a quarter of the ring is refused');
	is($watch_small->ok('EXISTS', 'long'), 0, '... before anything changes');
	$small->kill9;
	$small->start;
	$watch_small = wire($small, ['FLUSHALL']);
	my ($one, $postmaster) = (wire($small), $small->pid);
	$pid = $small->signal_child('walwriter', 'STOP');
	$one->queue(join '', map { encode('SET', "stop/$_", $value) } 1 .. 200);
	my $done = 0;
	ok(poll_until(sub { $one->turn(0.01); $done += $one->parsed; info_number($watch_small, 'commands_parked') > 0 }), 'parked again, after a crash');
	$small->signal('INT');
	$done += $one->replies(200 - $done, $WAIT);
	kill 'CONT', $pid;
	ok($small->wait_gone($postmaster), 'a fast stop ends also with parked writers');
	$done += $one->replies(200 - $done);
	$small->start;
	my $there = grep { defined $_->[1] } @{wire($small)->ok('MGET', map { "stop/$_" } 1 .. 200)};
	cmp_ok($there, '>=', $done, "... what was answered is there ($done of $there)");
	cmp_ok($there, '<', 200, '... and not all was');
	$small->stop;
	quiet_log($small);
	$small->clean_up;
};

quiet_log($node);
$node->stop;
done_testing;
