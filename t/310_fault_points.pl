# Goal: wherever a process is killed between two steps of a write, of a flush, of making a segment, of recovery or
# of writing the control file, every acknowledged write is there afterwards.
#
# Method: each fault point of kind STEP in the list kills the process that comes by (the n-th time, n by seed). A
# writer keeps its ledger outside the server: a key's value may be the last acknowledged one, or the one that was on
# the way. Points of recovery end the start (it is given up), the next one must succeed.
use Artery::Test;
use Artery::Cluster;
use Test::More;

my $list = slurp_file(test_root() . '/src/include/storage/file/fault_points.h');
# those of a checkpoint: t/402_checkpoint_kill.pl; of the expirer: t/510_expiry.pl
my @steps = grep { !/^(?:checkpoint|base|expire)-/ } $list =~ /^FAULT_POINT_ENTRY\("([^"]+)", STEP,/mg;
plan skip_all => 'not a build with fault points' unless slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;
my $node = Artery::Cluster->new('faults');
# small segments, so that writing a few MB makes some
$node->init(wal_segment_size => '1MB', wal_buffers => '1MB', wal_segments_ahead => 1, workers => 2);
srand(test_seed());
cmp_ok(scalar @steps, '>', 20, 'fault points are listed');

my (%acked, %sent);
my @group = map { "group$_" } 1 .. 3;

# write_until_cut: acknowledged writes until the server goes away, or a few MB are written
sub write_until_cut
{
	my $client = $node->try_connect or return 'no connection';
	for my $turn (1 .. 350)
	{
		# now and then three keys in one transaction, with one value
		if ($turn % 8 == 0)
		{
			my $value = "$turn:" . ('t' x int rand 500);
			@sent{@group} = ($value) x @group;
			my @replies = eval { $client->pipeline(['MULTI'], (map { ['SET', $_, $value] } @group), ['EXEC']) } or return 'cut';
			next unless ref $replies[-1] eq 'ARRAY';	# -LOADING, or not committed
			@acked{@group} = ($value) x @group;
			delete @sent{@group};
			next;
		}
		my $key   = 'k' . int rand 40;
		my $value = "$turn:" . ('x' x int rand 20_000);
		$sent{$key} = $value;
		my $reply = eval { $client->reply_to('SET', $key, $value) };
		return 'cut' unless defined $reply;
		next if ref $reply;			# -LOADING: it has started again behind our back
		$acked{$key} = $value;
		delete $sent{$key};
	}
	$client->close;
	return 'all written';
}

# read_all: what is there, of all keys that ever were; and how many there are
sub read_all
{
	my $client = $node->connect;
	my %value = map { $_ => $client->cmd('GET', $_) } @group, keys %acked, keys %sent;
	my $size = $client->cmd('DBSIZE');
	$client->close;
	return (\%value, $size);
}

sub check_all
{
	my ($name) = @_;
	# the point may be met only now, by the checkpointer: all connections end, and the server goes on
	my ($there, $size);
	for my $try (1 .. 5)
	{
		last if eval { ($there, $size) = read_all(); 1 };
		die $@ if $try == 5;
		$node->wait_ready;
	}
	my @wrong;
	for my $key (sort keys %{{%acked, %sent}})
	{
		my $value = $there->{$key};
		my $is_acked = defined $acked{$key} ? defined $value && $value eq $acked{$key} : !defined $value;
		my $is_sent  = exists $sent{$key} && defined $value && $value eq $sent{$key};
		push @wrong, $key unless $is_acked || $is_sent;
		# what is there now is what must stay
		$acked{$key} = $value if defined $value;
	}
	%sent = ();
	my %values = map { (defined $_ ? $_ : '(none)') => 1 } @$there{@group};
	is(scalar keys %values, 1, "$name: a transaction is there as a whole or not at all");
	is("@wrong", '', "$name: every acknowledged write is there");
	is($size, scalar keys %acked, "$name: and nothing else");
	return;
}

for my $point (@steps)
{
	my $nth    = $point =~ /^(?:redo|control)-|-spare$/ ? 1 : 1 + int rand 3;	# recovery and stop come by once, spares are few
	my $name   = "$point, hit $nth";
	my $offset = $node->log_offset;
	# what the first start of a directory does not do is done by a later one: there is always a log before
	my $started = $node->start(env => { ARTERY_FAULT_POINTS => "$point:kill:$nth" }, fail_ok => 1);
	if ($started)
	{
		my $how = write_until_cut();
		$node->wait_ready;
		check_all($name);
		$node->stop('fast', fail_ok => 1);
		note("$name: $how");
	}
	my $died = $node->log_content($offset) =~ /was terminated by signal 9/;
	$node->kill9;
	note("$name: " . ($died ? 'somebody died there' : 'nobody came by that often'));
	$node->start;
	check_all("$name, after a start without it");
	$node->stop;
	push @main::died, $point if $died;
}

is_deeply(\@main::died, \@steps, 'every point was met');

done_testing();
