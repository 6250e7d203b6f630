# Goal: after a start the keys come into memory by themselves where there is room for them, clients notice
# nothing of it but that reads get faster, and what is said to be complete is complete.
#
# Method: the same keys with and without prewarm; INFO tells how far it is and how many pages were read.
# Then clients that write, delete and ask for what is not there while it runs and checkpoints are made;
# data that does not fit; FLUSHALL; and databases that are dropped meanwhile.
use lib 't/lib';
use Artery::Test;
use Artery::Cluster;
use Test::More;
use Time::HiRes qw(sleep);

my $seed = test_seed();
srand($seed);
my %common = (memory_limit => '64MB', wal_buffers => '16MB', wal_segment_size => '4MB', buffer_pool_size => '4MB', durability => 'none',
	checkpoint_timeout => '1h', max_wal_size => '10GB');

sub key { my ($n) = @_; return sprintf 'k/%02x/%d', $n * 7919 % 251, $n }
sub value { my ($n, $version) = @_; my $tag = "$n.$version,"; return substr $tag x 40, 0, 20 + ($n + $version) % 100 }

sub info
{
	my ($node, @names) = @_;
	my %all = $node->cmd('INFO', 'everything') =~ /^(\w+):([^\r\n]*)/mg;
	defined $all{$_} or die "INFO has no $_" for @names;
	return @names == 1 ? $all{ $names[0] } : @all{@names};
}

# run -- commands and what they must answer, in pipelines; the first few that did not
sub run
{
	my ($client, @items) = @_;
	my @wrong;
	while (my @batch = splice @items, 0, 500)
	{
		my @replies = $client->pipeline(map { $_->[0] } @batch);
		for my $i (0 .. $#batch)
		{
			my ($got, $want) = ($replies[$i] // 'nil', $batch[$i][1] // 'nil');
			push @wrong, "@{$batch[$i][0]}[0, 1]: " . substr("$got", 0, 60) . " instead of " . substr($want, 0, 60) if "$got" ne $want;
		}
	}
	splice @wrong, 5 if @wrong > 5;
	return join "\n", @wrong;
}

sub put { my ($client, $version, @n) = @_; return run($client, map { [ [ 'SET', key($_), value($_, ++$version->[$_]) ], 'OK' ] } @n) }
sub every { my ($client, $version) = @_; return run($client, map { [ [ 'GET', key($_) ], $version->[$_] ? value($_, $version->[$_]) : undef ] } 0 .. $#$version) }
sub absent { my ($client, $n) = @_; return run($client, map { [ [ 'GET', "k/$_/not there" ], undef ] } 1 .. $n) }

# checkpoint -- through the command; dies if it failed
sub checkpoint { my ($node) = @_; return $node->cmd('CHECKPOINT') }

sub wait_prewarm
{
	my ($node, $word) = @_;
	poll_until(sub { info($node, 'prewarm') eq $word }) or die "prewarm is " . info($node, 'prewarm') . ", not $word\n" . $node->log_tail;
	return;
}

my $count = 60_000;

subtest 'fits' => sub {
	my $node = Artery::Cluster->new('fits');
	$node->init(%common);
	$node->start;
	is(join(' ', info($node, 'complete', 'prewarm')), '1 done', 'an empty base is in memory as a whole');
	my $client = $node->connect;
	my @version = (0) x $count;
	is(put($client, \@version, 0 .. $count - 1), '', "$count keys");
	is($client->cmd('SET', 'long', 'l' x 300_000), 'OK', 'and a long value');
	checkpoint($node);
	is(info($node, 'complete'), 1, 'a checkpoint leaves memory complete');
	$node->kill9;

	# with
	$node->start;
	wait_prewarm($node, 'done');
	my ($complete, $progress, $keys, $reads) = info($node, qw(complete prewarm_progress prewarm_keys base_reads));
	is("$complete " . ($progress + 0) . " $keys", '1 1 ' . ($count + 1), 'after a start all keys come into memory by themselves');
	cmp_ok($reads, '>', 100, "... $reads pages were read for it");
	like($node->log_content, qr/evictor LOG:  prewarm: every key is in memory after @{[$count + 1]} keys/, '... the log tells');
	$client = $node->connect;
	is(every($client, \@version), '', '... every key is right');
	is(absent($client, 5000), '', '... and what is not there is not');
	is(length $client->cmd('GET', 'long'), 300_000, '... the long value, too');
	is($client->cmd('DBSIZE'), $count + 1, '... and their number');
	is(scalar @{ $client->cmd('KEYS', '*') }, $count + 1, '... KEYS');
	is(info($node, 'base_reads'), $reads, '... and no page was read for all that');
	is(put($client, \@version, grep { $_ % 3 == 0 } 0 .. $count - 1), '', 'a third is written again');
	is(run($client, map { $version[$_] = 0; [ [ 'DEL', key($_) ], 1 ] } grep { $_ % 7 == 0 } 0 .. $count - 1), '', '... a seventh deleted');
	checkpoint($node);
	is(every($client, \@version), '', '... every key is right');
	is(join(' ', info($node, 'complete', 'base_reads')), "1 $reads", '... still without reading a page');
	$node->stop;

	# without
	$node->append_conf(prewarm => 'off');
	$node->start;
	$client = $node->connect;
	is(join(' ', info($node, qw(prewarm complete prewarm_keys))), 'off 0 0', 'prewarm = off');
	is(every($client, \@version), '', '... every key is right');
	is(absent($client, 2000), '', '... and what is not there is not');
	cmp_ok(info($node, 'base_reads'), '>', 100, '... pages are read as they are needed');
	sleep 0.3;
	is(join(' ', info($node, qw(prewarm complete))), 'off 0', '... and nothing else');
	$node->stop;
	$node->clean_up;
};

subtest 'clients meanwhile' => sub {
	my $node = Artery::Cluster->new('meanwhile');
	$node->init(%common);
	$node->start;
	my $client = $node->connect;
	my @version = (0) x $count;
	is(put($client, \@version, 0 .. $count - 1), '', "$count keys");
	for my $db (1 .. 4) { $client->cmd('SELECT', $db); is(put($client, [], 0 .. 4999), '', "... and some in database $db") }
	$client->cmd('SELECT', 0);
	checkpoint($node);
	for my $round (1 .. 4)
	{
		$node->restart;
		$client = $node->connect;
		my $flusher = $node->connect;
		my ($turns, $running) = (0, 0);
		do
		{
			$running++ if info($node, 'prewarm') eq 'running';
			my %some = map { int(rand $count) => 1 } 1 .. 300;
			my @some = sort { $a <=> $b } keys %some;
			my @gone = splice @some, 0, 100;
			my @there = grep { $version[$_] } @gone;
			$_ = run($client,
				(map { [ [ 'SET', key($_), value($_, ++$version[$_]) ], 'OK' ] } @some),
				(map { [ [ 'DEL', key($_) ], $version[$_] ? 1 : 0 ] } @gone),
				(map { [ [ 'GET', key($_) ], value($_, $version[$_]) ] } @some),
				(map { [ [ 'GET', key($_) ], undef ] } @gone));
			$_ eq '' or is($_, '', "round $round, turn $turns");
			$version[$_] = 0 for @gone;
			if ($turns == 1) { $flusher->cmd('SELECT', $round); $flusher->cmd('FLUSHDB'); is($flusher->cmd('GET', key(1)), undef, "round $round: database $round is dropped") }
			$node->cmd('CHECKPOINT') if $turns++ % 4 == 2;
		} while (info($node, 'prewarm') eq 'running' || $turns < 6);
		note("round $round: $turns turns, $running of them while keys were read");
		is(join(' ', info($node, 'prewarm', 'complete')), 'done 1', "round $round: complete, whatever clients and checkpoints did");
		my $reads = info($node, 'base_reads');
		is(every($client, \@version), '', '... every key is right');
		is($client->cmd('DBSIZE'), scalar(grep { $_ } @version), '... and their number');
		is(scalar @{ $client->cmd('KEYS', '*') }, scalar(grep { $_ } @version), '... KEYS');
		is(info($node, 'base_reads'), $reads, '... without reading a page');
		for my $db (1 .. 4)
		{
			$flusher->cmd('SELECT', $db);
			is($flusher->cmd('DBSIZE'), $db <= $round ? 0 : 5000, "... database $db");
		}
		checkpoint($node);
	}
	$node->stop;
	$node->clean_up;
};

subtest 'does not fit' => sub {
	my $node = Artery::Cluster->new('tight');
	$node->init(%common, memory_limit => '16MB', buffer_pool_size => '2MB');
	$node->start;
	my $client = $node->connect;
	my $many = 180_000;
	my @version = (0) x $many;
	is(put($client, \@version, 0 .. $many - 1), '', "$many keys, more than memory holds");
	checkpoint($node);
	$node->restart;
	wait_prewarm($node, 'stopped');
	my ($complete, $progress, $keys, $used, $limit) = info($node, qw(complete prewarm_progress prewarm_keys memory_used memory_limit));
	is($complete, 0, 'prewarm stops where memory is full');
	cmp_ok($keys, '>', $many / 10, "... after $keys keys");
	cmp_ok($keys, '<', $many, '... not all');
	cmp_ok($progress, '<', 1, '... which the progress tells');
	cmp_ok($used, '<', 0.85 * $limit, '... and leaves room');
	$client = $node->connect;
	is(every($client, \@version), '', '... every key is right');
	is(absent($client, 2000), '', '... and what is not there is not');
	is($client->cmd('DBSIZE'), $many, '... and their number');

	# what was dropped leaves room for what is there
	is($client->cmd('FLUSHALL'), 'OK', 'FLUSHALL');
	@version = (0) x 2000;
	is(put($client, \@version, 0 .. 1999), '', 'a few keys');
	checkpoint($node);
	is(every($client, \@version), '', '... every key is right');
	is($client->cmd('DBSIZE'), 2000, '... and their number');
	ok(poll_until(sub { info($node, 'complete') }), '... and memory is complete again by itself');
	is(absent($client, 1000), '', '... what is not there is not');
	# and full again
	@version = (0) x $many;
	is($client->cmd('FLUSHALL'), 'OK', 'FLUSHALL');
	is(put($client, \@version, 0 .. $many - 1), '', "$many keys");
	is(info($node, 'complete'), 0, '... are more than memory can have');
	is(every($client, \@version), '', '... every key is right');
	is(absent($client, 2000), '', '... and what is not there is not');
	$node->stop;
	$node->clean_up;
};

done_testing;
