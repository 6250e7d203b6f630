#!/usr/bin/perl
# Goal: bugs that earlier storage engines shipped are not here: one named test each.
# Method: small clusters; faults, stops and kills at the place where each bug had been.
use Artery::Test;
use Artery::Cluster;
use Artery::Wal;
use Artery::SoakWire;
use Test::More;

plan skip_all => 'not a build with fault points' unless slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;

my %small = (wal_segment_size => '1MB', wal_buffers => '1MB', max_value_size => '150kB', workers => 2, memory_limit => '16MB',
	buffer_pool_size => '1MB', wal_segments_ahead => 1);
my $verify = ctl_bin() =~ s/artery_ctl$/artery_verify/r;
my $number = 0;

sub fresh
{
	my (%settings) = @_;
	my $node = Artery::Cluster->new('bug' . ++$number);
	$node->init(%small, %settings);
	return $node;
}

sub info { my ($node, $name) = @_; my ($v) = $node->cmd('INFO', 'everything') =~ /^\Q$name\E:(\S*)/m; return $v }
sub segments { my ($node) = @_; return sort map { m{([0-9A-F]{16})$} } glob $node->data_dir . '/wal/*' }
sub fill { my ($node, $from, $to, $size) = @_; my $c = $node->connect; $c->pipeline(map { ['SET', sprintf('k%06d', $_), "$_:" . 'v' x $size] } $from .. $to); $c->close; return }
sub right { my ($node, $from, $to, $size) = @_; return scalar grep { ($node->cmd('GET', sprintf 'k%06d', $_) // '') ne "$_:" . 'v' x $size } $from .. $to }
sub sound
{
	my ($node, $name) = @_;
	my ($code, $out, $err) = run_command([$verify, $node->data_dir]);
	return is($code, 0, "$name: artery_verify") || diag("$out$err");
}

subtest 'log recycled while the sync of the data was still on its way' => sub {
	my $node = fresh(max_wal_size => '1GB', checkpoint_timeout => '1h');
	$node->start(env => { ARTERY_FAULT_POINTS => 'file-datasync@data/base:delay_ms=1500:1:0' });
	fill($node, 1, 300, 10_000);
	# one before, so that the second may recycle what the first has made superfluous: init's slot kept the whole log
	isnt(ref $node->connect->reply_to('CHECKPOINT'), 'Artery::Client::Error', 'a first checkpoint');
	fill($node, 1, 600, 10_000);
	my @before = segments($node);
	cmp_ok(scalar @before, '>', 3, 'several segments are written');
	my $wire = Artery::SoakWire->connect($node->socket_path);
	$wire->send_raw(Artery::SoakWire::encode('CHECKPOINT'), 5);
	poll_until(sub { (info($node, 'checkpoint_step') // '') eq 'committing' }) or fail('no checkpoint comes to its sync');
	my %there = map { $_ => 1 } segments($node);
	is(scalar(grep { !$there{$_} } @before), 0, 'none is recycled while the data file is being synced');
	$node->kill9;
	$node->start;
	is(right($node, 1, 600, 10_000), 0, 'and after a kill in that moment everything is there');
	isnt(ref $node->connect->reply_to('CHECKPOINT'), 'Artery::Client::Error', 'the second checkpoint, now undisturbed');
	ok(poll_until(sub { my %now = map { $_ => 1 } segments($node); grep { !$now{$_} } @before }), 'recycles some of them');
	$node->stop('immediate');
	sound($node, 'after it');
};

subtest 'a dirty entry evicted' => sub {
	# no checkpoint can commit, so nothing that is written here may ever leave memory
	my $node = fresh(wal_buffers => '4MB', durability => 'none');
	$node->start(env => { ARTERY_FAULT_POINTS => 'file-write@data/base:eio:1:0:*' });
	my $client = $node->connect;
	my $written = 0;
	for my $i (1 .. 60_000)
	{
		my $reply = $client->reply_to('SET', sprintf('k%06d', $i), "$i:" . 'v' x 1000);
		last if ref $reply;
		$written = $i;
	}
	cmp_ok($written, '>', 3000, "memory took $written keys before -OOM");
	cmp_ok($written, '<', 60_000, 'and then no more');
	is(right($node, 1, $written, 1000), 0, 'every one of them is read back');
	is($node->cmd('DBSIZE'), $written, 'and counted');
	like($client->reply_to('CHECKPOINT') . '', qr/checkpoint failed.*Input\/output error/, 'a checkpoint says why it cannot');
	is($client->cmd('WAITAOF', 1, 0, 20_000)->[0], 1, 'the log is flushed');
	$client->close;
	$node->kill9;
	$node->append_conf(memory_limit => '64MB');
	$node->start;
	is(right($node, 1, $written, 1000), 0, 'and is there after a crash, out of the log');
	isnt(ref $node->connect->reply_to('CHECKPOINT'), 'Artery::Client::Error', 'now a checkpoint commits');
	$node->stop;
	sound($node, 'after it');
};

subtest 'a torn tail left in front of later records' => sub {
	my $node = fresh();
	my $wal = Artery::Wal->new($node);
	$node->start;
	$node->cmd('SET', "a$_", 'x' x 500) for 1 .. 20;
	$node->kill9;
	my @record = $wal->records;
	$wal->poke($record[-1]{lsn} + 30, 'torn!');
	$node->start;
	$node->cmd('SET', "b$_", 'y' x 500) for 1 .. 20;
	$node->kill9;
	$node->start;
	is($node->cmd('EXISTS', map { "b$_" } 1 .. 20), 20, 'crash, torn tail, write, crash: what was written is read');
	is($node->cmd('EXISTS', map { "a$_" } 1 .. 19), 19, 'and what stood before the tear');
	$node->stop;
};

subtest 'a version published after the walk had passed, at or below the cut' => sub {
	my $node = fresh(workers => 1);
	$node->start(env => { ARTERY_FAULT_POINTS => 'wal-before-fill:stop:40' });
	fill($node, 1, 20, 100);
	my $wire = Artery::SoakWire->connect($node->socket_path);
	# the worker stops in one of these, its record reserved and not filled in
	$wire->send_raw(join('', map { Artery::SoakWire::encode('SET', sprintf('k%06d', $_), "$_:new") } 1 .. 40), 5);
	my ($worker) = $node->child_pids('worker');
	poll_until(sub { slurp_file("/proc/$worker/stat") =~ /\) T / }) or fail('the worker has not stopped');
	# asked for by the checkpointer itself: its only worker stands still
	$node->append_conf(checkpoint_timeout => '1s');
	$node->reload;
	my $offset = $node->log_offset;
	sleep 3;
	unlike($node->log_content($offset), qr/checkpoint \d+ complete/, 'no checkpoint completes while a record below its cut is missing');
	kill 'CONT', $worker;
	$node->wait_for_log(qr/checkpoint \d+ complete/, $offset);
	$node->kill9;
	$node->start;
	my @lost = grep { my $v = $node->cmd('GET', sprintf 'k%06d', $_) // ''; $v ne "$_:new" && $v ne "$_:" . 'v' x 100 } 1 .. 20;
	is("@lost", '', 'nothing is lost or half');
	is($node->cmd('GET', 'k000010'), '10:new', 'what was acknowledged before the stop is there');
	$node->stop;
	sound($node, 'after it');
};

subtest 'a cold negative taken for final; a stale read after a structural change' => sub {
	my $node = fresh(prewarm => 'off', durability => 'none', wal_buffers => '4MB');
	$node->start;
	fill($node, 1, 30_000, 900);
	isnt(ref $node->connect->reply_to('CHECKPOINT'), 'Artery::Client::Error', 'checkpoint');
	cmp_ok(info($node, 'evicted_leaves'), '>', 0, 'keys have left memory');
	is($node->cmd('EXISTS', map { sprintf 'k%06d', $_ * 37 } 1 .. 800), 800, 'none of them is said to be absent');
	is($node->cmd('EXISTS', map { sprintf 'k%06dx', $_ * 37 } 1 .. 800), 0, 'and what never was is absent');
	is($node->cmd('SET', 'k000123', 'taken', 'NX'), undef, 'NX sees a key that is on disk alone');
	$node->cmd('DEL', 'k000200', 'k000201');
	$node->connect->reply_to('CHECKPOINT');
	is($node->cmd('EXISTS', 'k000200', 'k000201', 'k000202'), 1, 'deleted keys do not come back from disk');
	is($node->cmd('DBSIZE'), 29_998, 'the count is right');
	$node->stop;
	sound($node, 'after it');
};

subtest 'two servers on one directory' => sub {
	my $node = fresh();
	$node->start;
	my ($code, $out, $err) = run_command([artery_bin(), '-D', $node->data_dir]);
	isnt($code, 0, 'the second is refused');
	like("$out$err" . $node->log_content, qr/lock|already|another/i, 'and says why');
	is($node->cmd('SET', 'a', 'b'), 'OK', 'the first one serves on');
	$node->stop;
};

subtest 'space that never comes back' => sub {
	my $node = fresh(durability => 'none', memory_limit => '64MB', wal_buffers => '4MB', max_wal_size => '256MB');
	$node->start;
	my $checkpoint = sub { my $reply = $node->connect->reply_to('CHECKPOINT'); fail("CHECKPOINT: $reply") if ref $reply eq 'Artery::Client::Error' };
	fill($node, 1, 20_000, 900);
	$checkpoint->();
	my $full = -s $node->data_dir . '/data/base';
	my $c = $node->connect;
	$c->pipeline(map { ['DEL', sprintf 'k%06d', $_] } grep { $_ % 10 } 1 .. 20_000);
	$checkpoint->();
	my @size;
	for (1 .. 8)
	{
		# something to write, so that each is a checkpoint
		$c->cmd('SET', 'tick', $_);
		$checkpoint->();
		push @size, -s $node->data_dir . '/data/base';
	}
	note("full $full bytes, then @size");
	cmp_ok($size[2], '<=', $full * 1.25, 'three checkpoints after deleting 90 % the file has stopped growing');
	cmp_ok($size[-1], '<', $full / 2, 'and later it has shrunk');
	is(scalar(grep { $size[$_] > $size[$_ - 1] } 3 .. $#size), 0, 'and does not grow again');
	is($node->cmd('DBSIZE'), 2001, 'the rest is there');
	$c->close;
	$node->stop;
	sound($node, 'after it');
};

subtest 'a test of group commit that depended on the scheduler' => sub {
	my $node = fresh(durability => 'immediate');
	$node->start;
	my $before = info($node, 'wal_flushes');
	my @wire = map { Artery::SoakWire->connect($node->socket_path) } 1 .. 8;
	$_->send_raw(join('', map { Artery::SoakWire::encode('SET', "g$_", 'x') } 1 .. 100), 5) for @wire;
	my $got = 0;
	$got += $_->replies(100, 30) for @wire;
	is($got, 800, 'all are acknowledged');
	my $flushes = info($node, 'wal_flushes') - $before;
	cmp_ok($flushes, '<=', 800, "flushes ($flushes) are at most as many as commits, whatever the scheduler does");
	cmp_ok($flushes, '>', 0, 'and there are some');
	$node->stop;
};

subtest 'a refused write that is half applied, or has used up log' => sub {
	my $node = fresh();
	$node->start;
	$node->cmd('SET', 'a', 'old');
	my $insert = info($node, 'wal_insert_lsn');
	my $c = $node->connect;
	is(ref $c->reply_to('SET', 'a', 'x' x 300_000), 'Artery::Client::Error', 'a value above max_value_size is refused');
	is(ref $c->reply_to('MSET', 'a', 'new', 'b', 'x' x 300_000), 'Artery::Client::Error', 'and MSET with one');
	is(info($node, 'wal_insert_lsn'), $insert, 'no log was reserved for them');
	is($c->cmd('GET', 'a'), 'old', 'and nothing of them was applied');
	$c->close;
	$node->stop;
};

done_testing;
