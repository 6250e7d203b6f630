# Goal: the change feed says what has changed: all of it, in the order of the log, once, for the
# database and prefix asked for; and says so plainly when it cannot.
#
# Method: small segments and a small ring, so that most of the log is in files; a consumer
# that goes by 'next' is compared with what was written.  What BLOCK waits for comes from
# another connection.
use Artery::Test;
use Artery::Cluster;
use Test::More;

my $node = Artery::Cluster->new('changes');
$node->init(workers => 2, wal_segment_size => '1MB', wal_buffers => '1MB', max_value_size => '128kB');
$node->start;
my $client = $node->connect;

sub flushed { return $client->cmd('WAL', 'FLUSHED') }

# changes($client, lsn, options): the changes, and the position to go on from
sub changes
{
	my ($c, @args) = @_;
	my $reply = $c->cmd('CHANGES', @args);
	my $next  = pop @$reply;
	return ($reply, $next);
}

# follow($client, lsn, options): everything from lsn on, call by call; the last position
sub follow
{
	my ($c, $lsn, @options) = @_;
	my (@all, $calls);
	for (;;)
	{
		my ($changes, $next) = changes($c, $lsn, @options);
		push @all, @$changes;
		$calls++;
		die "next goes back from $lsn to $next" if $next < $lsn;
		last if $next == $lsn;
		$lsn = $next;
	}
	return (\@all, $lsn, $calls);
}

# facts(changes): without positions and versions
sub facts { my ($changes) = @_; return [map { [@{$_}[1, 2, 4]] } @$changes] }

subtest 'what a change looks like' => sub {
	my $from = flushed();
	$client->cmd('SET', 'a', 1);
	$client->cmd('SET', "b\0\r\n", '');
	$client->cmd('DEL', 'a');
	$client->cmd('APPEND', 'c', 'x');
	$client->cmd('INCR', 'n');
	my ($changes, $next) = changes($client, $from);
	is_deeply(facts($changes), [['set', 'a', 1], ['set', "b\0\r\n", ''], ['del', 'a', undef], ['set', 'c', 'x'], ['set', 'n', 1]],
		'operation, key, value');
	is($next, flushed(), 'next is the end of the log');
	is($changes->[0][0], $from, 'the first is where we asked for');
	ok(!(grep { $_->[0] % 8 || $_->[3] <= $_->[0] } @$changes), 'a version is where its record ends');
	is($changes->[$_][0], $changes->[$_ - 1][3], "$_ follows") for 1 .. 4;
	my ($again) = changes($client, $changes->[2][0]);
	is_deeply($again, [@{$changes}[2 .. 4]], 'a change\'s own lsn is a place to ask from');
	($again) = changes($client, $changes->[2][3]);
	is_deeply($again, [@{$changes}[3, 4]], 'so is a version: what comes after it');
	($again, my $end) = changes($client, $next);
	is_deeply([$again, $end], [[], $next], 'at the end there is nothing, and no error');
	my $resp3 = $node->connect;
	$resp3->hello(3);
	is_deeply([changes($resp3, $from)], [$changes, $next], 'the same in RESP3');
};

subtest 'COUNT and PREFIX' => sub {
	my $from = flushed();
	$client->cmd('SET', $_ % 2 ? "p/$_" : "q/$_", $_) for 1 .. 50;
	my ($changes, $next) = changes($client, $from, 'COUNT', 7);
	is(scalar @$changes, 7, 'as many as asked for');
	is($next, $changes->[-1][3], 'next is behind the last one');
	(my $all, undef, my $calls) = follow($client, $from, 'COUNT', 7);
	is_deeply(facts($all), [map { ['set', $_ % 2 ? "p/$_" : "q/$_", $_] } 1 .. 50], 'page by page, each once');
	is($calls, 9, '... in as many pages as that takes');
	($all) = follow($client, $from, 'PREFIX', 'p/', 'COUNT', 10);
	is_deeply(facts($all), [map { ['set', "p/$_", $_] } grep { $_ % 2 } 1 .. 50], 'within a prefix');
	($changes, $next) = changes($client, $from, 'prefix', 'nothing', 'count', 3);
	is_deeply([$changes, $next], [[], flushed()], 'nothing fits: next moves on all the same');
	($changes) = changes($client, $from, 'PREFIX', '', 'COUNT', 1);
	is(scalar @$changes, 1, 'the empty prefix');
	($changes) = changes($client, $from, 'PREFIX', 'p/1');
	is(scalar @$changes, 6, 'a prefix that is a key');
};

subtest 'databases' => sub {
	my $from  = flushed();
	my $other = $node->connect;
	$other->cmd('SELECT', 5);
	$other->cmd('SET', 'k', 5);
	$client->cmd('SET', 'k', 0);
	$other->cmd('SET', 'k2', 5);
	is_deeply(facts((changes($client, $from))[0]), [['set', 'k', 0]], 'only of the database selected');
	is_deeply(facts((changes($other, $from))[0]), [['set', 'k', 5], ['set', 'k2', 5]], '... which is another one there');
	$other->cmd('FLUSHDB');
	$other->cmd('SET', 'k3', 5);
	$client->cmd('SET', 'z', 1);
	is_deeply(facts((changes($other, $from))[0]), [['set', 'k', 5], ['set', 'k2', 5], ['flush', undef, undef], ['set', 'k3', 5]],
		'FLUSHDB is a change, and what was before it still is');
	is_deeply(facts((changes($other, $from, 'PREFIX', 'k3'))[0]), [['flush', undef, undef], ['set', 'k3', 5]], '... for every prefix');
	is_deeply(facts((changes($client, $from))[0]), [['set', 'k', 0], ['set', 'z', 1]], 'others do not hear of it');
	$other->cmd('FLUSHALL');
	$other->cmd('SET', 'k4', 5);
	$other->cmd('FLUSHALL');
	is_deeply(facts((changes($other, $from))[0]),
		[['set', 'k', 5], ['set', 'k2', 5], ['flush', undef, undef], ['set', 'k3', 5], ['flush', undef, undef], ['set', 'k4', 5], ['flush', undef, undef]],
		'trees that no database has any more are known by what the log says of them');
	is_deeply(facts((changes($client, $from))[0]), [['set', 'k', 0], ['set', 'z', 1], ['flush', undef, undef]],
		'FLUSHALL is a change of each database that was not empty');
	# each call begins somewhere in the middle of that
	my ($all) = follow($other, $from, 'COUNT', 1);
	is_deeply(facts($all), facts((changes($other, $from))[0]), 'and one by one');
};

subtest 'SWAPDB' => sub {
	my ($eight, $nine) = map { my $c = $node->connect; $c->cmd('SELECT', $_); $c } 8, 9;
	my $from = flushed();
	$eight->cmd('SET', 'who', 'first eight');
	$nine->cmd('SET', 'who', 'first nine');
	$client->cmd('SWAPDB', 9, 8);
	$eight->cmd('SET', 'then', 'in eight');
	$nine->cmd('SET', 'then', 'in nine');
	my $middle = flushed();
	$client->cmd('SWAPDB', 8, 9);
	$eight->cmd('SET', 'last', 'in eight');
	is_deeply(facts((follow($eight, $from, 'COUNT', $_))[0]),
		[['set', 'who', 'first eight'], ['swap', undef, 9], ['set', 'then', 'in eight'], ['swap', undef, 9], ['set', 'last', 'in eight']],
		"each change under the database that it was made in ($_ at a time)") for 100, 1, 2;
	is_deeply(facts((follow($nine, $from))[0]),
		[['set', 'who', 'first nine'], ['swap', undef, 8], ['set', 'then', 'in nine'], ['swap', undef, 8]], 'the other one');
	is_deeply(facts((follow($eight, $middle))[0]), [['swap', undef, 9], ['set', 'last', 'in eight']], 'from the middle on');
	is_deeply(facts((follow($client, $from))[0]), [], 'others do not hear of it');
	my $wait = $node->connect;
	$wait->cmd('SELECT', 9);
	$wait->send('CHANGES', '$', 'BLOCK', 0, 'PREFIX', 'x');
	poll_until(sub { $client->cmd('INFO', 'clients') =~ /^blocked_clients:1\r$/m }) or die;
	$client->cmd('SWAPDB', 8, 9);
	is($wait->recv->[0][1], 'swap', 'it wakes who waits');
	# over a restart, when the map is that of the control file
	$client->cmd('CHECKPOINT');
	$eight->cmd('FLUSHDB');
	$node->restart;
	$client = $node->connect;
	$eight  = $node->connect;
	$eight->cmd('SELECT', 8);
	is_deeply([@{facts((follow($eight, $from))[0])}[0 .. 6]],
		[['set', 'who', 'first eight'], ['swap', undef, 9], ['set', 'then', 'in eight'], ['swap', undef, 9], ['set', 'last', 'in eight'], ['swap', undef, 9], ['flush', undef, undef]],
		'after a restart all is as it was');
};

subtest 'transactions' => sub {
	my $from = flushed();
	$client->cmd('SET', 'before', 1);
	$client->cmd('MULTI');
	$client->cmd('SET', "t/$_", $_) for 1 .. 20;
	$client->cmd('DEL', 'before');
	$client->cmd('EXEC');
	$client->cmd('MSET', 'm/1', 1, 'm/2', 2, 'm/3', 3);
	$client->cmd('RENAME', 'm/1', 'm/4');
	my ($all) = changes($client, $from);
	is($all->[0][2], 'before', 'what was before');
	my %lsn = map { $_->[0] => 1 } @{$all}[1 .. 21];
	is(scalar(keys %lsn), 1, 'all of a transaction have one lsn');
	my %version = map { $_->[3] => 1 } @{$all}[1 .. 21];
	is(scalar(keys %version), 1, '... and one version');
	is_deeply([sort map { "@{$_}[1, 2]" } @{$all}[1 .. 21]], [sort 'del before', map { "set t/$_" } 1 .. 20], '... and are all there');
	is_deeply([sort map { "@{$_}[1, 2]" } @{$all}[22 .. $#$all]], [sort 'del m/1', 'set m/4', map { "set m/$_" } 1 .. 3], 'MSET and RENAME are transactions');
	my ($first, $next) = changes($client, $from, 'COUNT', 10);
	is(scalar @$first, 1, 'a transaction is not split: it waits for the next reply');
	my ($second, $then) = changes($client, $next, 'COUNT', 10);
	is(scalar @$second, 21, '... which it may make longer than COUNT');
	my ($third) = changes($client, $then, 'COUNT', 4);
	is(scalar @$third, 3, 'a shorter one');
	my ($some) = changes($client, $from, 'PREFIX', 't/1', 'COUNT', 5);
	is(scalar @$some, 11, 'what a prefix leaves of it comes together, too');
	my ($again) = follow($client, $from, 'COUNT', 1);
	is_deeply($again, $all, 'in steps of one the same');
	# what comes to nothing
	my $quiet = flushed();
	$client->cmd('MULTI');
	$client->cmd('SET', 'x', 1);
	$client->cmd('DISCARD');
	is_deeply([changes($client, $quiet)], [[], flushed()], 'DISCARD leaves no change');
	# within MULTI nobody waits
	$client->cmd('MULTI');
	$client->cmd('CHANGES', '$', 'BLOCK', 0);
	$client->cmd('CHANGES', $from, 'COUNT', 1);
	my $exec = $client->cmd('EXEC');
	is_deeply([$exec->[0], $exec->[1][0][2]], [[flushed()], 'before'], 'BLOCK within MULTI does not wait');
	# large ones
	my $big = flushed();
	$client->cmd('MULTI');
	$client->cmd('SET', "big/$_", 'b' x 2000) for 1 .. 100;
	$client->cmd('EXEC');
	my ($large) = follow($client, $big, 'COUNT', 1);
	is(scalar @$large, 100, 'a large one');
	is(scalar(keys %{{map { $_->[2] => 1 } @$large}}), 100, '... each key once');
};

subtest 'deadlines' => sub {
	my $from = flushed();
	$client->cmd('SET', 'e', 'value', 'PX', 100_000);
	$client->cmd('PEXPIRE', 'e', 200_000);
	$client->cmd('PERSIST', 'e');
	is_deeply(facts((changes($client, $from))[0]), [(['set', 'e', 'value']) x 3], 'a new deadline is a new version of the same value');
	$from = flushed();
	$client->cmd('SET', "x/$_", $_, 'PX', 20) for 1 .. 5;
	my $wait = $node->connect;
	my ($at, @seen) = ($from);
	my $until = now() + 20;
	while (@seen < 10 && now() < $until)
	{
		my $r = $wait->cmd('CHANGES', $at, 'PREFIX', 'x/', 'BLOCK', 1000);
		$at = pop @$r;
		push @seen, @{facts($r)};
	}
	is_deeply([sort map { "$_->[0] $_->[1]" } @seen], [sort map { ("set x/$_", "del x/$_") } 1 .. 5], 'what expires is deleted, and that is a change');
};

subtest 'long values' => sub {
	my $from   = flushed();
	my @values = map { chr(ord('a') + $_) x (100_000 + $_) } 0 .. 30;
	$client->cmd('SET', "long:$_", $values[$_]) for 0 .. 30;
	my ($all, undef, $calls) = follow($client, $from);
	is_deeply(facts($all), [map { ['set', "long:$_", $values[$_]] } 0 .. 30], 'whole, out of ring and files');
	cmp_ok($calls, '>', 2, '... in replies of bounded size');
};

subtest 'out of the files' => sub {
	my $from = flushed();
	$client->pipeline(map { ['SET', "many:$_", 'v' x ($_ % 700)] } 1 .. 12000);
	my $want = [map { ['set', "many:$_", 'v' x ($_ % 700)] } 1 .. 12000];
	cmp_ok(flushed() - $from, '>', 4_000_000, 'more log than the ring holds');
	is_deeply(facts((follow($client, $from))[0]), $want, 'all, in order');
	is_deeply(facts((follow($client, $from, 'PREFIX', 'many:77'))[0]), [grep { $_->[1] =~ /^many:77/ } @$want], 'with a prefix');
	my $first = (changes($client, 0, 'COUNT', 1))[0][0];
	is($first->[2], 'a', '0 is the oldest that is there');
	my $slow = $node->connect;
	$slow->send('CHANGES', $from, 'COUNT', 12000);
	$slow->send('PING');
	my ($all) = $slow->recv;
	is($slow->recv, 'PONG', 'what is sent behind it is answered behind it');
	ok(@$all > 1000, '... and it was answered');
};

subtest 'errors' => sub {
	my $from = flushed();
	$client->cmd('SET', 'key', 'A' x 1000);
	is($client->err('CHANGES', $_), "ERR lsn $_ is not where a change begins or ends", "inside a record: $_") for $from + 8, $from + 24, $from + 512, $from + 3;
	my $far = $from + 1e9;
	is($client->err('CHANGES', $far), "ERR lsn $far is beyond the end of the log", 'a position that was never given out');
	like($client->err('CHANGES', 8), qr/^COMPACTED oldest=\d+$/, 'before the first');
	is($client->err('CHANGES', $_), 'ERR lsn is not an integer or out of range', "no position: '$_'") for '-1', 'x', '', '9223372036854775808', '1.5';
	is($client->err('CHANGES'), "ERR wrong number of arguments for 'changes' command", 'no arguments');
	is($client->err('CHANGES', 0, @$_), 'ERR syntax error', "refused: @$_") for ['COUNT'], ['WHAT', 1], ['COUNT', 1, 'PREFIX'], ['CONSUMER', 'x'];
	is($client->err('CHANGES', '>'), 'ERR syntax error', '> needs a consumer');
	is($client->err('CHANGES', 0, 'COUNT', $_), 'ERR value is out of range, must be positive', "COUNT $_") for 0, -1;
	is($client->err('CHANGES', 0, 'COUNT', 'x'), 'ERR value is not an integer or out of range', 'COUNT x');
	is($client->err('CHANGES', 0, 'BLOCK', -1), 'ERR timeout is negative', 'BLOCK -1');
	is($client->err('CHANGES', 0, 'BLOCK', 'x'), 'ERR timeout is not an integer or out of range', 'BLOCK x');
	like($client->err('CHANGES', 0, 'PREFIX', 'x' x 4097), qr/^ERR key is too long/, 'a prefix that no key can have');
};

# blocked($n): until so many clients are
sub blocked
{
	my ($n) = @_;
	return poll_until(sub { $client->cmd('INFO', 'clients') =~ /^blocked_clients:$n\r$/m });
}

subtest 'BLOCK' => sub {
	my $start = now();
	my ($changes, $next) = changes($client, '$', 'BLOCK', 150);
	is_deeply([$changes, $next], [[], flushed()], 'nothing comes');
	cmp_ok(now() - $start, '>=', 0.14, '... after the time');
	my @wait = map { $node->connect } 0 .. 5;
	my @args = (['$', 'BLOCK', 0], ['$', 'BLOCK', 0, 'PREFIX', 'b/'], ['$', 'BLOCK', 0, 'PREFIX', 'b/c'], ['$', 'BLOCK', 0, 'PREFIX', 'x'], ['$', 'BLOCK', 0, 'COUNT', 1]);
	$wait[5]->cmd('SELECT', 3);
	$wait[$_]->send('CHANGES', @{$args[$_] // ['$', 'BLOCK', 0]}) for 0 .. 5;
	ok(blocked(6), 'six wait');
	my $first = flushed();
	$client->cmd('SET', 'b/1', 1);
	my $got = sub { my ($i) = @_; my $r = $wait[$i]->recv; pop @$r; return facts($r) };
	is_deeply($got->($_), [['set', 'b/1', 1]], "$_ is woken") for 0, 1, 4;
	ok(blocked(3), 'the others still wait');
	$client->cmd('SET', 'b/cd', 2);
	is_deeply($got->(2), [['set', 'b/cd', 2]], 'a longer prefix');
	$client->cmd('SET', 'c', 2);
	my $three = $node->connect;
	$three->cmd('SELECT', 3);
	$three->cmd('SET', 'b/cd', 3);
	is_deeply($got->(5), [['set', 'b/cd', 3]], 'another database');
	ok(blocked(1), 'one waits for what does not come');
	$client->cmd('FLUSHDB');
	is_deeply($got->(3), [['flush', undef, undef]], 'until the database is emptied');
	# behind what is there already nobody waits
	my ($at_once) = changes($client, $first, 'BLOCK', 60000, 'PREFIX', 'b/c');
	is_deeply(facts($at_once), [['set', 'b/cd', 2], ['flush', undef, undef]], 'what is there is told at once');
	# who goes away waits no more
	$wait[0]->send('CHANGES', '$', 'BLOCK', 0);
	ok(blocked(1), 'one waits');
	$wait[0]->close;
	ok(blocked(0), '... and has gone');
	# who goes away while the log is still read for it does not stay for ever
	for (1 .. 40)
	{
		my $gone = $node->connect;
		$gone->send('CHANGES', 0, 'PREFIX', 'nothing', 'BLOCK', 0);
		$gone->close;
	}
	ok(blocked(0), 'gone before the wait began');
	# writes of its own in the pipeline
	my $before = flushed();
	$wait[1]->send('SET', 'own', 1);
	$wait[1]->send('CHANGES', $before, 'BLOCK', 0, 'PREFIX', 'own');
	is($wait[1]->recv, 'OK', 'a write');
	is_deeply($got->(1), [['set', 'own', 1]], '... and the change behind it');
};

subtest 'many who wait' => sub {
	my @wait = map { $node->connect } 1 .. 60;
	$wait[$_]->send('CHANGES', '$', 'BLOCK', 0, 'PREFIX', 'w/' . 'x' x ($_ % 10) . '/' . ($_ % 3)) for 0 .. 59;
	ok(blocked(60), 'all wait');
	my %answered;
	for my $i (0 .. 29)
	{
		my $key = 'w/' . 'x' x ($i % 10) . '/' . ($i % 3) . "/$i";
		$client->cmd('SET', $key, $i);
		for my $k (grep { !$answered{$_} && $_ % 30 == $i } 0 .. 59)
		{
			my $r = $wait[$k]->recv;
			is_deeply(facts([@{$r}[0 .. $#$r - 1]]), [['set', $key, $i]], "$k hears of $key");
			$answered{$k} = 1;
		}
	}
	ok(blocked(0), 'nobody is left');
	# each with a time of its own, the latest first
	my $start = now();
	my $end = flushed();
	$wait[$_]->send('CHANGES', '$', 'BLOCK', 400 - 10 * $_, 'PREFIX', 'never') for 0 .. 29;
	$client->cmd('SET', "other$_", 1) for 1 .. 20;
	my $wrong = 0;
	for my $k (reverse 0 .. 29)
	{
		my $r = $wait[$k]->recv;
		$wrong++ if @$r != 1 || $r->[0] < $end || now() - $start < (400 - 10 * $k) / 1000 - 0.002;
	}
	is($wrong, 0, 'each is answered when its time is over, with a position that has moved on');
	ok(blocked(0), 'and waits no more');
	my (undef, $moved) = changes($wait[0], $end, 'PREFIX', 'never');
	is($moved, flushed(), 'next moves on by what does not fit');
};

subtest 'only what is durable' => sub {
	my $none = $node->connect;
	$none->cmd('CLIENT', 'DURABILITY', 'none');
	my $from = flushed();
	my $pid = $node->stop_child('walwriter');
	$none->cmd('SET', 'not/yet', 1);
	is($none->cmd('GET', 'not/yet'), 1, 'visible to those who are not gated');
	is_deeply([changes($client, $from)], [[], $from], '... but no change yet');
	my $end = $client->cmd('WAL', 'INSERT');
	is_deeply([changes($client, $end)], [[], $end], 'a position that is not durable yet may be asked for');
	my $wait = $node->connect;
	$wait->send('CHANGES', $from, 'BLOCK', 0);
	ok(!(() = $wait->try_recv(0.3)), 'who waits gets nothing');
	kill 'CONT', $pid;
	$none->cmd('WAITAOF', 1, 0, 0);
	my $r = $wait->recv;
	is($r->[0][2], 'not/yet', '... until it is');
	$wait->send('CHANGES', '$', 'BLOCK', 0);
	ok(blocked(1), 'one waits');
	$none->cmd('SET', 'by/itself', 1);
	$r = $wait->recv;
	is($r->[0][2], 'by/itself', 'what nobody waits for is flushed for the sake of who waits for changes');
};

subtest 'restart, gaps, LOST' => sub {
	my $from = flushed();
	$client->cmd('SET', 'r/1', 1);
	my $end = flushed();
	my $none = $node->connect;
	$none->cmd('CLIENT', 'DURABILITY', 'none');
	$node->stop_child('walwriter');
	$none->cmd('SET', 'r/lost', 1);
	my $lost = $none->cmd('WAL', 'INSERT');
	cmp_ok($lost, '>', $end, 'a write that nobody waited for');
	$node->kill9;
	$node->start;
	$client = $node->connect;
	is($client->cmd('GET', 'r/lost'), undef, '... is lost with the server');
	my $next = $client->cmd('WAL', 'INSERT');
	my ($begin) = $client->err('CHANGES', $lost) =~ /^LOST lsn $lost was taken back when the server ended; next=(\d+)$/;
	ok($begin, 'its position is LOST to the feed');
	cmp_ok($begin, '<=', $next, '... which goes on where the new run begins');
	is($client->err('WAL', 'WAIT', $lost), "LOST lsn $lost was taken back when the server ended; next=$begin", '... and to WAL WAIT');
	is($client->cmd('WAL', 'WAIT', $end), 1, 'the end of the run is durable');
	is($client->cmd('WAL', 'WAIT', $begin), 1, 'so is where the next one begins');
	$client->cmd('SET', 'r/2', 2);
	is_deeply(facts((changes($client, $from))[0]), [['set', 'r/1', 1], ['set', 'r/2', 2]], 'a position before the end goes on behind the gap');
	is_deeply(facts((changes($client, $end))[0]), [['set', 'r/2', 2]], 'so does the end itself: nothing was lost there');
	is_deeply(facts((changes($client, $begin))[0]), [['set', 'r/2', 2]], 'and where the next run begins');
	for (1 .. 3)
	{
		$node->restart;
		$client = $node->connect;
		$client->cmd('SET', "r/again/$_", $_) if $_ != 2;
	}
	is_deeply(facts((changes($client, $from))[0]), [['set', 'r/1', 1], ['set', 'r/2', 2], ['set', 'r/again/1', 1], ['set', 'r/again/3', 3]],
		'over several runs, one of which wrote nothing');
	my ($all) = follow($client, 0);
	is($all->[0][2], 'a', 'the oldest is still there');
};

subtest 'COMPACTED' => sub {
	my $from = flushed();
	for my $round (1 .. 3)
	{
		$client->pipeline(map { ['SET', "c/$_", 'v' x 1000] } 1 .. 2500);
		$client->cmd('CHECKPOINT');
	}
	my $error = $client->err('CHANGES', $from);
	like($error, qr/^COMPACTED oldest=\d+$/, 'the log does not reach back any more');
	my ($oldest) = $error =~ /(\d+)$/;
	cmp_ok($oldest, '>', $from, 'oldest lies behind');
	my ($changes, $next) = changes($client, 0, 'COUNT', 5);
	is(scalar @$changes, 5, '0 begins with the oldest there is');
	cmp_ok($changes->[0][0], '>=', $oldest, '... which is not before that');
	is_deeply([changes($client, $changes->[0][0], 'COUNT', 5)], [$changes, $next], 'and its own position is one');
	my ($all) = follow($client, 0);
	is($all->[-1][2], 'c/2500', 'from there on everything');
	my %seen = map { $_->[2] => 1 } @$all;
	is(scalar(grep { !$seen{"c/$_"} } 1 .. 2500), 0, '... nothing is missing');
	is($client->err('CHANGES', 8), $error, 'every older position says the same');
};

done_testing;
