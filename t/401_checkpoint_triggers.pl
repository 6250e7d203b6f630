# Goal: a checkpoint begins when it should: after checkpoint_timeout if something was written, when the log has grown by
# max_wal_size, for many who ask at once only one; one that time or log volume has begun spreads its writes, and hurries
# when somebody waits; one that fails is tried again by itself, later each time.
#
# Method: settings that make each of them come soon; the server's log and INFO tell what began and why.
use Artery::Test;
use Artery::Cluster;
use Test::More;

srand(test_seed());
my $node = Artery::Cluster->new('triggers');
$node->init(
	wal_segment_size => '1MB', wal_buffers => '2MB', wal_segments_ahead => 1, workers => 2, checkpoint_timeout => '1h',
	checkpoint_batch_pages => 8, max_wal_size => '64MB');
$node->start;

sub info
{
	my ($name) = @_;
	my ($value) = $node->cmd('INFO') =~ /^$name:(.*?)\r?$/m;
	return $value;
}

sub set_some
{
	my ($count, $len) = @_;
	my $c = $node->connect;
	$c->pipeline(map { [ 'SET', 'k' . int(rand 20_000), 'v' x $len ] } 1 .. 100) for 1 .. $count / 100;
	$c->close;
	return;
}

# ---- time ----
{
	my $offset = $node->log_offset;
	set_some(1000, 100);
	$node->cmd('CONFIG', 'SET', 'checkpoint_timeout', '1s');
	$node->wait_for_log(qr/checkpoint \d+ begins \(time\): .*, spread\n/, $offset);
	$node->wait_for_log(qr/checkpoint \d+ complete: cut \S+, (?:9\d\d|1,000) keys put/, $offset);
	my $rounds = info('checkpoint_last_round');
	# nothing written: no checkpoint, however long
	select undef, undef, undef, 2.5;
	is(info('checkpoint_last_round'), $rounds, 'nothing was written: no checkpoint');
	set_some(100, 10);
	ok(poll_until(sub { info('checkpoint_last_round') > $rounds }), 'the next write begins the next one');
	$node->cmd('CONFIG', 'SET', 'checkpoint_timeout', '1h');
}

# ---- log volume ----
{
	my $offset = $node->log_offset;
	$node->cmd('CONFIG', 'SET', 'max_wal_size', '4MB');
	set_some(1000, 5000);
	$node->wait_for_log(qr/checkpoint \d+ begins \(log\): [45]\.\d MB of log/, $offset);
	ok(poll_until(sub { info('checkpoint_step') eq 'merging' }), 'log volume begins a checkpoint, which is spread over what may be written until the next one');
	set_some(800, 5000);
	$node->wait_for_log(qr/begins \(log\).*?checkpoint \d+ complete.*?begins \(log\)/s, $offset);
	pass('as much again completes it and begins the next one');
	$node->cmd('CONFIG', 'SET', 'max_wal_size', '1GB');
	$node->cmd('SAVE');
}

# ---- spreading, and what ends it ----
{
	# enough pages that the walk is not over before the first batch: some 20 MB
	set_some(20_000, 1000);
	$node->cmd('SAVE');
	set_some(20_000, 1000);
	my $offset = $node->log_offset;
	my $saves  = info('checkpoint_last_round');
	$node->cmd('CONFIG', 'SET', 'checkpoint_timeout', '25s');
	ok(poll_until(sub { info('checkpoint_step') eq 'merging' && info('checkpoint_progress') > 0.02 }), 'one has begun');
	select undef, undef, undef, 1.5;
	is(info('checkpoint_step'), 'merging', 'it takes its time');
	my $progress = info('checkpoint_progress');
	cmp_ok($progress, '<', 0.7, "... and has come to $progress");
	# writes go on, and are not part of it
	set_some(500, 10);
	my $before = now();
	$node->cmd('CHECKPOINT');
	cmp_ok(now() - $before, '<', 15, 'who asks makes it hurry');
	like($node->log_content($offset), qr/begins \(time\).*?complete.*?begins \(command\).*?complete/s, '... and gets one of its own');
	cmp_ok(info('checkpoint_last_round'), '>=', $saves + 2, 'two rounds');
	$node->cmd('CONFIG', 'SET', 'checkpoint_timeout', '1h');
	is(info('versions_linked'), 0, 'what was linked for it is released');
}

# ---- many who ask ----
{
	my @c = map { $node->connect } 1 .. 40;
	set_some(200, 100);
	my $rounds = info('checkpoint_rounds');
	$node->cmd('CONFIG', 'SET', 'checkpoint_coalesce_us', '200ms');
	$_->send('CHECKPOINT') for @c;
	my @reports = map { +{ @{ $_->recv } } } @c;
	my %round = map { $_->{round} => 1 } @reports;
	cmp_ok(scalar keys %round, '<=', 2, 'forty requests, one round or two');
	ok(!(grep { $_->{'pages-written'} != $reports[0]{'pages-written'} && $_->{round} == $reports[0]{round} } @reports), 'each gets its report');
	cmp_ok(info('checkpoint_rounds'), '<=', $rounds + 2, '... and no more were made');
	$node->cmd('CONFIG', 'SET', 'checkpoint_coalesce_us', '100us');
	# one that goes away while it waits leaves nothing behind
	set_some(100, 100);
	my $gone = $node->connect;
	$gone->send('CHECKPOINT');
	$gone->close;
	ok(poll_until(sub { info('checkpoint_changed_bytes') == 0 }), 'the checkpoint of a client that went away is made');
	$_->close for @c;
}

# ---- a smart stop during a spread checkpoint, a fast one, too ----
for my $mode ('smart', 'fast')
{
	set_some(20_000, 1000);
	$node->cmd('CONFIG', 'SET', 'checkpoint_timeout', '25s');
	my $c = $node->connect;
	$c->cmd('CONFIG', 'SET', 'checkpoint_timeout', '1s');
	ok(poll_until(sub { info('checkpoint_step') eq 'merging' }), 'one has begun');
	$c->cmd('CONFIG', 'SET', 'checkpoint_timeout', '600s');
	my ($size, $changed) = ($c->cmd('DBSIZE'), info('checkpoint_changed_bytes'));
	$c->close;
	$node->{connection}->close;
	my $offset = $node->log_offset;
	my $before = now();
	$node->stop($mode);
	cmp_ok(now() - $before, '<', 20, "$mode stop: it does not wait for the schedule");
	if ($mode eq 'smart')
	{
		like($node->log_content($offset), qr/complete: .*(?:begins \(stop\).*complete: |nothing to write).*stopped/s, 'smart: it is finished, and a last one follows');
	}
	else
	{
		like($node->log_content($offset), qr/checkpoint \d+ ended after .*: given up: the server stops/, 'fast: it is given up');
	}
	$node->start;
	is($node->cmd('DBSIZE'), $size, "$mode: everything is there");
	$node->cmd('CONFIG', 'SET', 'checkpoint_timeout', '1h');
}

# ---- failures: again by itself, later each time ----
SKIP:
{
	skip 'not a build with fault points', 1 unless slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;
	$node->stop('fast');
	$node->start(env => { ARTERY_FAULT_POINTS => 'file-datasync@data/base:eio:1:3' });
	set_some(500, 100);
	my $offset = $node->log_offset;
	my $failed = $node->connect->reply_to('CHECKPOINT');
	like("$failed", qr/^ERR checkpoint failed: .*Input\/output error/, 'who asked is told');
	my $at = $node->wait_for_log(qr/checkpoint 3 failed/, $offset);
	$node->wait_for_log(qr/checkpoint 4 complete/, $at);
	my $log   = $node->log_content($offset);
	my @times = map { my ($h, $m, $s) = split /:/; $h * 3600 + $m * 60 + $s } $log =~ /^\S+ (\S+) UTC [^\n]*checkpoint \d begins/mg;
	is(scalar @times, 4, 'four attempts');
	cmp_ok($times[1] - $times[0], '>=', 0.9, 'a second later');
	cmp_ok($times[2] - $times[1], '>=', 1.9, 'two seconds later');
	cmp_ok($times[3] - $times[2], '>=', 3.9, 'four seconds later');
	is(info('checkpoint_last_error'), '', 'and then it is well');
}

# ---- many who ask for one that fails ----
SKIP:
{
	skip 'not a build with fault points', 1 unless slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;
	$node->stop('fast');
	$node->start(env => { ARTERY_FAULT_POINTS => 'file-write@data/base:eio:1:0:*' });
	subtest 'forty ask for a checkpoint that fails' => sub {
		set_some(500, 100);
		my $size = $node->cmd('DBSIZE');
		my @c = map { $node->connect } 1 .. 40;
		$_->send('CHECKPOINT') for @c;
		my @reply = map { $_->recv } @c;
		is(scalar(grep { ref $_ eq 'Artery::Client::Error' } @reply), 40, 'each is told that it failed');
		my @other = grep { !/^ERR checkpoint failed: could not write page \d+ of data\/base: Input\/output error$/ } @reply;
		is(scalar @other, 0, '... with the file and the reason') or diag("first: $other[0]");
		# the same connections, once more: what has failed before is no answer to them
		$_->send('CHECKPOINT') for @c;
		@reply = map { $_->recv } @c;
		is(scalar(grep { /Input\/output error$/ } @reply), 40, 'and again');
		like(info('checkpoint_last_error'), qr/data\/base: Input\/output error/, 'INFO says it, too');
		is($node->cmd('DBSIZE'), $size, 'service goes on');
		is($c[0]->cmd('PING'), 'PONG', '... for them, too');
		$_->close for @c;
	};
	$node->stop('immediate');
	$node->start;
	isnt(ref $node->connect->reply_to('CHECKPOINT'), 'Artery::Client::Error', 'without the fault it commits');
}
$node->stop('fast');
done_testing();
