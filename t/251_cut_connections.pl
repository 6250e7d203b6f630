# Goal: a connection that ends in the middle of anything leaves nothing behind: no blocked client, no
# snapshot, no channel, no announced range, no pause that holds others, no memory.
#
# Method: many connections at once in each state that a connection can be in (MULTI and WATCH, a
# wait, subscriptions, tracking, MONITOR, a snapshot, a held command, DELPREFIX and RENAMEPREFIX on
# their way), which are then closed by their clients or by CLIENT KILL; INFO and CLIENT LIST must
# come back to what they were, and others must be able to write what these had in their hands.
# For each event method.
use Artery::Test;
use Artery::Cluster;
use Artery::SoakServer;
use Artery::SoakWire;
use Test::More;
use Time::HiRes qw(sleep);

use constant { EACH => 12, TREE => 60_000 };

my $seed = test_seed();
srand $seed;

# figures -- what must be as it was before they came
my @FIGURES = qw(connected_clients blocked_clients tracking_clients pubsub_channels pubsub_patterns snapshots_open snapshot_pinned_bytes replies_gated_now);

sub figures { my ($admin) = @_; my $info = $admin->info('everything'); return join ' ', map { "$_=" . ($info->{$_} // 'missing') } @FIGURES }

# state -- [name, commands, pattern that CLIENT LIST has of who has come there]
my @STATES = (
	['MULTI', [['MULTI'], map { ['SET', "multi:$_", 'x' x 1000] } 1 .. 20], qr/ multi=20 /],
	['WATCH', [['WATCH', map { "multi:$_" } 1 .. 300], ['MULTI'], ['GET', 'multi:1']], qr/ multi=1 /],
	['CHANGES BLOCK', [['CHANGES', '$', 'BLOCK', 0]], qr/ flags=\S*b\S* .*cmd=changes /],
	['CHANGES BLOCK with a prefix that nothing has', [['CHANGES', 0, 'PREFIX', 'nothing:', 'BLOCK', 0]], qr/ flags=\S*b\S* .*cmd=changes /],
	['WAIT', [['SET', 'waits', 1], ['WAIT', 1, 0]], qr/ flags=\S*b\S* .*cmd=wait /],
	['WAITAOF', [['WAITAOF', 1, 1, 0]], qr/ flags=\S*b\S* .*cmd=waitaof /],
	['SUBSCRIBE', [['SUBSCRIBE', map { "channel:$_" } 1 .. 50], ['PSUBSCRIBE', 'c*', 'd*']], qr/ sub=50 psub=2 /],
	['CLIENT TRACKING', [['HELLO', 3], ['CLIENT', 'TRACKING', 'ON'], map { ['GET', "multi:$_"] } 1 .. 100], qr/ flags=\S*t.* cmd=get /],
	['CLIENT TRACKING BCAST', [['HELLO', 3], ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'multi:'], ['PING']], qr/ flags=\S*B.* cmd=ping /],
	['MONITOR', [['MONITOR']], qr/ flags=\S*O/],
	['SNAPSHOT', [['SNAPSHOT', 'OPEN'], ['GET', 'multi:1']], qr/ cmd=get /],
	['a snapshot and MULTI', [['SNAPSHOT', 'OPEN'], ['WATCH', 'multi:1'], ['MULTI'], ['GET', 'multi:1']], qr/ multi=1 /],
);

# come -- connections in a state; returns them when CLIENT LIST says that they are there
sub come
{
	my ($node, $admin, $name, $commands, $there) = @_;
	my @wires = map { wire($node) } 1 .. EACH;
	my %id = map { $_->ok('CLIENT', 'ID') => $_ } @wires;
	for my $wire (@wires)
	{
		$wire->queue(join '', map { encode($_->[0] eq 'CHANGES' && $_->[1] eq '$' ? ('CHANGES', $admin->ok('WAL', 'FLUSHED'), @$_[2 .. $#$_]) : @$_) } @$commands);
		$wire->send_raw('');
	}
	ok(poll_until(sub { EACH == grep { /^id=(\d+) / && $id{$1} && $_ =~ $there } split /\n/, $admin->ok('CLIENT', 'LIST') }), "$name: they are there")
	  or diag($admin->ok('CLIENT', 'LIST'));
	return ([keys %id], \@wires);
}

# nothing_left -- a test
sub nothing_left
{
	my ($admin, $before, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	poll_until(sub { figures($admin) eq $before });
	is(figures($admin), $before, "$name: nothing is left");
	is(scalar(split /\n/, $admin->ok('CLIENT', 'LIST')), 1, '... in CLIENT LIST, too');
	return;
}

sub load
{
	my ($admin, $prefix, $count) = @_;
	for (my $at = 0; $at < $count; $at += 1000)
	{
		$admin->queue(join '', map { encode('SET', "$prefix$_", $_) } $at .. $at + 999);
		$admin->replies(1000) == 1000 or die 'no replies to SET';
	}
	return;
}

for my $method ('io_uring', 'epoll')
{
	my $node = Artery::Cluster->new($method);
	$node->init(workers => 2, event_method => $method, memory_limit => '256MB', durability => 'none');
	$node->start;
	my $identity = server_identity($node);
	my $admin = wire($node);
	$admin->ok('SET', "multi:$_", 'v') for 1 .. 300;
	poll_until(sub { info_number($admin, 'connected_clients', 'clients') == 1 });
	my $before = figures($admin);
	my $memory;
	for my $round (1 .. 3)
	{
		for my $how ('closed', 'killed')
		{
			for (@STATES)
			{
				my ($name, $commands, $there) = @$_;
				my ($ids, $wires) = come($node, $admin, "$method: $name", $commands, $there);
				if ($how eq 'closed') { $_->close for @$wires }
				else { is(join(' ', map { $admin->ok('CLIENT', 'KILL', 'ID', $_) } @$ids), join(' ', (1) x EACH), '... CLIENT KILL') }
				$admin->ok('SET', "multi:$_", $round) for 1, 2, 100;		# somebody may have wanted to hear of it
				nothing_left($admin, $before, "$name, $how");
				$_->close for @$wires;
			}
		}
		$memory //= worker_memory($node);
	}
	my $grown = worker_memory($node) - $memory;
	cmp_ok($grown, '<', 4 << 20, "the workers' own memory has not grown") if !sanitized();

	# held by CLIENT PAUSE; and who has ordered it goes
	for my $how ('closed', 'killed')
	{
		my $pauser = wire($node, ['CLIENT', 'PAUSE', 600_000, 'WRITE']);
		my @held = map { wire($node) } 1 .. EACH;
		my %id = map { $_->ok('CLIENT', 'ID') => 1 } @held;
		$_->send_raw(encode('SET', 'held', 'by mistake') . encode('PING')) for @held;
		ok(poll_until(sub { EACH == grep { /^id=(\d+) .* cmd=set / && $id{$1} } split /\n/, $admin->ok('CLIENT', 'LIST') }), 'held by CLIENT PAUSE');
		if ($how eq 'closed') { $_->close for @held, $pauser }
		else { $admin->ok('CLIENT', 'KILL', 'ID', $_) for keys %id; $pauser->close }
		nothing_left($admin, $before, "a pause, $how");
		my $late = wire($node);
		$late->send_raw(encode('SET', 'late', 1));
		is($late->reply(0.1), undef, '... and the pause goes on without who has ordered it');
		$admin->ok('CLIENT', 'UNPAUSE');
		is($late->reply ? 'answered' : 'not', 'answered', '... until UNPAUSE');
		is($admin->ok('EXISTS', 'held'), 0, '... and nothing of the others was done');
		$late->close;
	}

	# DELPREFIX between two turns: it stops there, or comes to its end
	for my $how ('closed', 'killed')
	{
		load($admin, 'tree/', TREE);
		my $all = $admin->ok('DBSIZE');
		my $wire = wire($node);
		my $id = $wire->ok('CLIENT', 'ID');
		$wire->send_raw(encode('DELPREFIX', 'tree/'));
		poll_until(sub { $admin->ok('DBSIZE') < $all }) or die 'DELPREFIX does not begin';
		if ($how eq 'closed') { $wire->close }
		else { $admin->ok('CLIENT', 'KILL', 'ID', $id) }
		nothing_left($admin, $before, "$method: DELPREFIX, $how");
		my $left = $admin->ok('COUNTPREFIX', 'tree/');
		note("$left of " . TREE . ' are left');
		is($admin->ok('SET', 'tree/0', 'new'), 'OK', '... what it has deleted can be written');
		is($admin->ok('DELPREFIX', 'tree/'), $left + 1, '... and what is left be deleted by another');
		$wire->close;
	}

	# RENAMEPREFIX, whose ranges others must respect: all or nothing, and the ranges are open again
	load($admin, 'from/', 4000);
	my ($from, $to, $done) = ('from/', 'to/', 0);
	my @wrong;
	for my $try (1 .. 40)
	{
		my $wire = wire($node);
		my $id = $try % 2 ? $wire->ok('CLIENT', 'ID') : 0;
		$wire->send_raw(encode('RENAMEPREFIX', $from, $to));
		sleep rand 0.01;
		if ($id) { $admin->command('CLIENT', 'KILL', 'ID', $id) }
		else { $wire->close }
		poll_until(sub { figures($admin) eq $before }) or push @wrong, "try $try: " . figures($admin);
		$wire->close;
		$admin->ok('SET', $_ . 'new', 1) for $from, $to;
		$admin->ok('DEL', $_ . 'new') for $from, $to;
		my @count = map { $admin->ok('COUNTPREFIX', $_) } $from, $to;
		push @wrong, "try $try: $count[0] and $count[1] keys" if "@count" ne '4000 0' && "@count" ne '0 4000';
		if ($count[0] == 0) { ($from, $to) = ($to, $from); $done++ }
	}
	note("$done of 40 were done");
	is(join("\n", @wrong), '', "$method: RENAMEPREFIX cut at any moment: all or nothing, and others write there");
	is($admin->ok('RENAMEPREFIX', $from, $to), 4000, '... also by RENAMEPREFIX');
	$admin->close;
	is(server_identity($node), $identity, "$method: it is the server that it was");
	quiet_log($node);
	$node->stop;
}
done_testing;
