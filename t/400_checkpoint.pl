# Goal: a checkpoint moves the database into the base, and nobody notices but the next start: CHECKPOINT, SAVE and
# BGSAVE make one and say what it did; after kill -9 and after either stop every key is there, read from the base or from
# the little log since; log that no control slot needs is recycled; a checkpoint that fails says why, changes nothing, and
# the next one does all of it.
#
# Method: one directory through all of it, with a ledger of keys; the log of the server tells how much was redone.
use Artery::Test;
use Artery::Cluster;
use Test::More;

srand(test_seed());
my $node = Artery::Cluster->new('checkpoint');
$node->init(
	wal_segment_size => '1MB', wal_buffers => '2MB', wal_segments_ahead => 1, workers => 2, checkpoint_timeout => '1h',
	prewarm => 'off');
$node->start;
my $c = $node->connect;
my %ledger;

sub put
{
	my ($client, $key, $value) = @_;
	$client->cmd('SET', $key, $value);
	$ledger{$key} = $value;
	return;
}

# put_many: "name1", "name2" ...
sub put_many
{
	my ($client, $name, $count, $value) = @_;
	my @commands = map { [ 'SET', "$name$_", $ledger{"$name$_"} = $value ] } 1 .. $count;
	$client->pipeline(splice @commands, 0, 500) while @commands;
	return;
}

sub drop_many
{
	my ($client, $name, $count) = @_;
	my @commands = map { [ 'DEL', "$name$_" ] } 1 .. $count;
	delete @ledger{ map { "$name$_" } 1 .. $count };
	$client->pipeline(splice @commands, 0, 500) while @commands;
	return;
}

sub drop
{
	my ($client, $key) = @_;
	$client->cmd('DEL', $key);
	delete $ledger{$key};
	return;
}

sub check_all
{
	my ($name) = @_;
	my $client = $node->connect;
	my @keys   = sort keys %ledger;
	my @wrong;
	is($client->cmd('DBSIZE'), scalar @keys, "$name: DBSIZE");
	my @rest = @keys;
	while (my @some = splice @rest, 0, 200)
	{
		my $values = $client->cmd('MGET', @some);
		push @wrong, grep { !defined $values->[$_] || $values->[$_] ne $ledger{ $some[$_] } } 0 .. $#some;
	}
	is("@wrong", '', "$name: every value");
	is_deeply([ sort @{ $client->cmd('KEYS', '*') } ], \@keys, "$name: and nothing else");
	$client->close;
	return;
}

# redone: records that the last start has redone
sub redone
{
	my ($offset) = @_;
	my @all = $node->log_content($offset) =~ /redo done: (\d+) records/g;
	return $all[-1];
}

sub segments { return scalar grep { m{/[0-9A-F]{16}$} } glob($node->data_dir . '/wal/*') }

my $begun = time;

# ---- the commands ----
{
	my %nothing = @{ $c->cmd('CHECKPOINT') };
	is($nothing{'pages-written'}, 0, 'an empty database: nothing to write');
	put($c, "k$_", "v$_" x ($_ % 50)) for 0 .. 1999;
	put($c, 'long', 'L' x 400_000);
	put($c, 'empty', '');
	my $offset = $node->log_offset;
	my %report = @{ $c->cmd('CHECKPOINT') };
	is($report{'keys-written'}, 2002, 'CHECKPOINT tells how many keys it has written');
	is($report{'pages-written'}, $report{'pages-to-write'}, '... and pages');
	cmp_ok($report{'bytes-written'}, '>=', 400_000, '... and bytes');
	$node->wait_for_log(qr/checkpoint $report{round} begins \(command\): [\d.]+ MB of log since/, $offset);
	$node->wait_for_log(
		qr/checkpoint $report{round} complete: cut \S+, 2,002 keys put, 0 removed; (\S+) of \1 pages written, 0 of 0 set aside, [\d.]+ MB in [\d.]+ s \(log [\d.]+ s, sync [\d.]+ s\)/,
		$offset);
	drop($c, "k$_") for 0 .. 99;
	is($c->cmd('SAVE'), 'OK', 'SAVE');
	cmp_ok($c->cmd('LASTSAVE'), '>=', $begun, 'LASTSAVE');
	put($c, 'late', 'value');
	$offset = $node->log_offset;
	like($c->cmd('BGSAVE'), qr/^Background saving/, 'BGSAVE');
	$node->wait_for_log(qr/checkpoint \d+ complete: cut \S+, 1 keys put/, $offset);
	check_all('after three checkpoints');
}

# ---- kill -9: the base, and the log since ----
{
	my $offset = $node->log_offset;
	put($c, "new$_", $_) for 1 .. 20;
	drop($c, "k$_") for 100 .. 109;
	$c->close;
	$node->kill9;
	$node->start;
	is(redone($offset), 30, 'only what came after the cut is redone');
	check_all('after kill -9');
}

# ---- the log is recycled ----
{
	$c = $node->connect;
	for my $round (1 .. 5)
	{
		put($c, 'k' . int(rand 2000), 'x' x 30_000) for 1 .. 100;
		is($c->cmd('SAVE'), 'OK', "round $round");
	}
	# of five times 3 MB what the older slot needs is left, and what is ready ahead
	cmp_ok(segments(), '<=', 9, 'log below the older control slot is gone');
	my ($info) = $c->cmd('INFO') =~ /checkpoint_segments_recycled:(\d+)/;
	cmp_ok($info, '>=', 10, '... and counted');
	$c->close;
	$node->kill9;
	$node->start;
	check_all('after recycling');
}

# ---- stops ----
{
	my $offset = $node->log_offset;
	$c = $node->connect;
	put($c, "smart$_", $_) for 1 .. 50;
	$c->close;
	$node->stop('smart');
	like($node->log_content($offset), qr/checkpoint \d+ begins \(stop\)/, 'a smart stop ends with a checkpoint');
	$node->start;
	is(redone($offset), 0, '... so that there is nothing to redo');
	check_all('after a smart stop');
	$offset = $node->log_offset;
	$c = $node->connect;
	put($c, "fast$_", $_) for 1 .. 50;
	$c->close;
	$node->stop('fast');
	unlike($node->log_content($offset), qr/checkpoint \d+ begins/, 'a fast stop does not make one');
	$node->start;
	is(redone($offset), 50, '... and its log is redone');
	check_all('after a fast stop');
	# nothing was written since: nothing to do at a smart stop, whose checkpoint comes of what was redone
	$node->stop('smart');
	$node->start;
	$offset = $node->log_offset;
	$node->stop('smart');
	like($node->log_content($offset), qr/checkpoint \d+: nothing to write/, 'a smart stop of a server that wrote nothing');
	$node->start;
}

# ---- databases ----
{
	$c = $node->connect;
	$c->cmd('SELECT', 5);
	$c->cmd('SET', "five$_", $_) for 1 .. 300;
	is($c->cmd('SAVE'), 'OK', 'another database');
	$c->cmd('FLUSHDB');
	$c->cmd('SET', 'only', 'one');
	my %report = @{ $c->cmd('CHECKPOINT') };
	is($report{'keys-removed'}, 300, 'a flushed database leaves the base');
	is($report{'keys-written'}, 1, '... and its successor is written');
	$c->close;
	$node->kill9;
	$node->start;
	$c = $node->connect;
	$c->cmd('SELECT', 5);
	is_deeply($c->cmd('KEYS', '*'), ['only'], '... and stays empty but for what came later');
	is($c->cmd('DBSIZE'), 1, '... also by its count');
	$c->close;
	check_all('database 0');
}

# ---- space: most is deleted, and nothing more is written ----
{
	$c = $node->connect;
	$c->cmd('FLUSHALL');
	%ledger = ();
	put_many($c, 'stays', 1000, 'y' x 300);
	put_many($c, 'space', 12_000, 'x' x 400);
	is($c->cmd('SAVE'), 'OK', 'some MB more');
	my $size = -s $node->data_dir . '/data/base';
	drop_many($c, 'space', 12_000);
	my $rounds = 0;
	$rounds++, $c->cmd('CHECKPOINT') while $rounds < 30 && -s $node->data_dir . '/data/base' > $size / 2;
	cmp_ok($rounds, '<', 30, 'checkpoints make the file shorter');
	note("from $size bytes in $rounds checkpoints");
	$c->cmd('CHECKPOINT') for 1 .. 12;
	my %report = @{ $c->cmd('CHECKPOINT') };
	is($report{'pages-written'}, 0, '... and leave it alone when that is done');
	$c->close;
	my ($code, $out, $err) = ($node->kill9, run_command([ bin_dir() . '/artery_verify', '-D', $node->data_dir ]))[ 1 .. 3 ];
	is($code, 0, 'artery_verify finds nothing') or diag($out . $err);
	$node->start;
	check_all('after that');
}

# ---- failures ----
SKIP:
{
	skip 'not a build with fault points', 1 unless slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;
	for my $case (
		[ 'file-write@data/base:enospc:1:2', qr/No space left on device/ ],
		[ 'file-write-done@data/base:eio:2',  qr/Input\/output error/ ],
		[ 'file-datasync@data/base:eio',      qr/sync .*Input\/output error/ ])
	{
		my ($fault, $pattern) = @$case;
		$node->stop('fast');
		$node->start(env => { ARTERY_FAULT_POINTS => $fault });
		$c = $node->connect;
		put($c, "fault$_", $fault x 20) for 1 .. 500;
		my $offset = $node->log_offset;
		like($c->err('CHECKPOINT'), qr/^ERR checkpoint failed: .*$pattern/, "$fault: the client is told");
		like($node->log_content($offset), qr/checkpoint 1 failed after .*$pattern/, "$fault: so is the log");
		like($c->cmd('INFO'), qr/checkpoint_last_error:.*$pattern/, "$fault: and INFO");
		check_all("$fault: service goes on");
		# a second go may meet the fault again (twice armed); a third does not
		$c->reply_to('SAVE');
		is($c->cmd('SAVE'), 'OK', "$fault: the next one is made");
		$c->close;
		$node->kill9;
		$node->start;
		check_all("$fault: nothing is lost");
	}
}
$node->stop('smart');
done_testing();
