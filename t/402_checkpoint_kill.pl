# Goal: wherever in a checkpoint the whole server dies, nothing is lost and nothing comes back: every key has the value
# that the ledger says, or is absent if it says so; keys come in order; DBSIZE is exact; every page of the data file is
# reachable once, and the free map is exact.
#
# Method: at each fault point of a checkpoint (announcing, walking, merging, syncing, committing, publishing, releasing,
# recycling) the checkpointer stops itself. Clients go on writing while it stands there, with the snapshot half open; all
# of that is acknowledged, and so in the ledger. Then everything is killed at once, started again, and looked at: values,
# absences, order, counts, artery_verify. The same directory goes on to the next point, so that what one left behind is
# what the next one finds.
use Artery::Test;
use Artery::Cluster;
use Test::More;

my $list = slurp_file(test_root() . '/src/include/storage/file/fault_points.h');
plan skip_all => 'not a build with fault points' unless slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;
my @points = grep { /^(?:checkpoint|base|control)-|^segment-(?:before|after)-spare$/ } $list =~ /^FAULT_POINT_ENTRY\("([^"]+)", STEP,/mg;
cmp_ok(scalar @points, '>=', 24, 'fault points are listed');
srand(test_seed());

my $node = Artery::Cluster->new('kill');
# small segments and batches: every step comes by often; little memory for values: some are read from disk
$node->init(
	wal_segment_size => '1MB', wal_buffers => '4MB', wal_segments_ahead => 1, workers => 2, checkpoint_batch_pages => 8,
	memory_limit => '16MB', buffer_pool_size => '1MB', max_value_size => '512kB', checkpoint_timeout => '1h');

my %ledger;    # database => { key => value }

sub key_of
{
	my ($n) = @_;
	return sprintf('%s/%02d/%06d%s', (qw(a b c))[ $n % 3 ], $n % 17, $n, $n % 101 ? '' : 'x' x 1500);
}

# change: one acknowledged command
sub change
{
	my ($c, $how) = @_;
	my $n   = int rand 3000;
	my $key = key_of($n);
	my $db  = $n % 5 == 0 ? 3 : 0;
	my $len = $n % 400 == 0 ? 60_000 : $n % 20 == 0 ? 4000 + int rand 200 : int rand 200;
	my $value = "$n:$how:" . ('v' x $len);
	$c->cmd('SELECT', $db);
	if ($how < 0.25)
	{
		my $deleted = $c->cmd('DEL', $key);
		is($deleted, exists $ledger{$db}{$key} ? 1 : 0, "DEL $key tells the truth") if $deleted != (exists $ledger{$db}{$key} ? 1 : 0);
		delete $ledger{$db}{$key};
	}
	elsif ($how < 0.3)
	{
		my $was = $ledger{$db}{$key};
		my $new = $c->cmd('APPEND', $key, '+');
		$ledger{$db}{$key} = (defined $was ? $was : '') . '+';
		is($new, length $ledger{$db}{$key}, "APPEND $key found what was there") if $new != length $ledger{$db}{$key};
	}
	else
	{
		$c->cmd('SET', $key, $value);
		$ledger{$db}{$key} = $value;
	}
	return;
}

sub write_some
{
	my ($c, $count) = @_;
	change($c, rand) for 1 .. $count;
	return;
}

# check_all: values, absences, order, counts
sub check_all
{
	my ($name) = @_;
	my $c = $node->connect;
	for my $db (0, 3)
	{
		my $keys = $ledger{$db} || {};
		$c->cmd('SELECT', $db);
		is($c->cmd('DBSIZE'), scalar keys %$keys, "$name: DBSIZE of database $db");
		my @wrong;
		my @numbers = grep { ($_ % 5 == 0) == ($db == 3) } 0 .. 2999;
		while (my @some = splice @numbers, 0, 500)
		{
			my @names   = map { key_of($_) } @some;
			my $replies = $c->cmd('MGET', @names);
			for my $i (0 .. $#names)
			{
				my ($is, $must) = ($replies->[$i], $keys->{ $names[$i] });
				push @wrong, $names[$i] unless defined $is ? defined $must && $is eq $must : !defined $must;
			}
		}
		is("@wrong", '', "$name: every key of database $db has its value, or none");
		my @seen;
		my $cursor = 0;
		do
		{
			($cursor, my $piece) = @{ $c->cmd('SCAN', $cursor, 'COUNT', 1000) };
			push @seen, @$piece;
		} while $cursor;
		is(join(' ', @seen), join(' ', sort keys %$keys), "$name: a listing of database $db has all, in order");
	}
	$c->close;
	return;
}

sub verify_ok
{
	my ($name) = @_;
	my ($code, $out, $err) = run_command([ bin_dir() . '/artery_verify', '-D', $node->data_dir ]);
	is($code, 0, "$name: artery_verify finds nothing") or diag($out . $err);
	return;
}

sub stands_still
{
	my ($pid) = $node->child_pids('checkpointer') or return 0;
	return slurp_file("/proc/$pid/stat") =~ /^\d+ \(.*\) T/s;
}

# ask: a checkpoint; true when it came to its end, false when the checkpointer stands at the point
sub ask
{
	my $c = $node->connect;
	$c->send('CHECKPOINT');
	my $done;
	poll_until(sub { ($done) = $c->try_recv(0.01); $done || stands_still() }) or die "neither done nor still\n" . $node->log_tail;
	$c->close;
	return $done;
}

# write_log: some segments full
sub write_log
{
	my ($c) = @_;
	$c->cmd('SELECT', 0);
	$c->cmd('SET', key_of(1), $ledger{0}{ key_of(1) } = 'w' x 400_000) for 1 .. 12;
	return;
}

# empty_most: so that the file can shrink
sub empty_most
{
	my ($c) = @_;
	for my $db (0, 3)
	{
		$c->cmd('SELECT', $db);
		for my $key (grep { !/7$/ } sort keys %{ $ledger{$db} || {} })
		{
			$c->cmd('DEL', $key);
			delete $ledger{$db}{$key};
		}
	}
	return;
}

$node->start;
write_some($node->connect, 3000);
$node->stop('fast');

for my $point (@points)
{
	# The startup process comes by as well, and must get past: twice with its control slot, with as many spares as the
	# run before had segments ahead. Hits are counted in each process.
	my $nth = $point =~ /^control-/ ? 3 : $point =~ /^segment-/ ? 12 : $point =~ /truncate/ ? 1 : 1 + int rand 2;
	my $name = "$point, hit $nth";
	$node->start(env => { ARTERY_FAULT_POINTS => "$point:stop:$nth" });
	my $c     = $node->connect;
	my $stood = 0;
	empty_most($c) if $point eq 'base-before-truncate';
	for my $round (1 .. 8)
	{
		write_some($c, 400) unless $point eq 'base-before-truncate' && $round > 1;
		write_log($c) if $point =~ /^segment-/;
		last if $stood = !ask();
	}
	ok($stood, "$name: the checkpointer stands there");
	# service goes on beside it
	write_some($c, 300);
	$c->close;
	$node->kill9;
	verify_ok("$name, killed") if $stood;
	$node->start;
	check_all($name);
	is($node->connect->reply_to('SAVE'), 'OK', "$name: the next checkpoint is made");
	write_some($node->connect, 50);
	$node->kill9;
	verify_ok("$name, one later");
	$node->start;
	check_all("$name, and after it");
	$node->stop('fast');
}

# The checkpointer alone is killed: its requests may still be on their way to the disk when the restart of all begins.
for my $point (grep { /^checkpoint-(?:cut|walk|merged|committed|published|recycled)$|^base-(?:before-batch|batch-written|before-sync)$/ } @points)
{
	my $name = "$point, the checkpointer alone";
	$node->start(env => { ARTERY_FAULT_POINTS => "$point:kill:1" });
	my $c      = $node->connect;
	my $offset = $node->log_offset;
	write_some($c, 200);
	$c->send('CHECKPOINT');
	like(eval { $c->recv } || $@, qr/^closed/, "$name: the connection goes");
	$node->wait_for_log(qr/checkpointer .*was terminated by signal 9.*ready for clients/s, $offset);
	check_all($name);
	is($node->connect->reply_to('SAVE'), 'OK', "$name: the next checkpoint is made");
	$node->stop('fast');
	verify_ok($name);
}

done_testing();
