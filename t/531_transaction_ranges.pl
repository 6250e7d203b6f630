# Goal: a transaction that has looked at a range of keys (ASSERT EMPTY, COUNTPREFIX, RANGE ...) commits only if
# nobody has written there since, and holds nobody up for long when it stands still.
#
# Method: a worker is stopped at each step of the commit of such a transaction; a writer of the range must
# get on, and the transaction, when it goes on, must begin anew.  Then many clients: some count a prefix
# and write, in one transaction, some add keys with that prefix, and delays at each step make them end each other's ranges all
# the time.  Every version is known: as many keys must lie below the version of each transaction as it has counted.
use Artery::Test;
use Artery::Cluster;
use Storable ();
use Test::More;

plan skip_all => 'not a build with fault points' unless slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;
srand(test_seed());

sub stopped { my ($node) = @_; return grep { slurp_file("/proc/$_/stat") =~ /^\d+ \(.*\) [tT]/ } $node->child_pids }
sub encoded { return join '', map { Artery::Client->encode(@$_) } @_ }

my $node = Artery::Cluster->new('ranges');
$node->init(workers => 2, durability => 'none', worker_stall_timeout => '1h', txn_stall_us => '20ms');

for my $point (qw(txn-hold txn-reserved txn-before-commit txn-committed))
{
	# the first commits of that worker pass by: three keys each
	$node->start(env => { ARTERY_FAULT_POINTS => "$point:stop:" . ($point eq 'txn-hold' ? 5 : 3) });
	my ($owner, $other) = ($node->connect, $node->connect);
	$owner->pipeline(['MULTI'], ['SET', "q$_", 1], ['EXEC']) for 1, 2;
	$owner->send_raw(encoded(['MULTI'], ['ASSERT', 'EMPTY', 'dir/'], ['SET', 'a', 1], ['SET', 'b', 1], ['SET', 'c', 1], ['SET', 'd', 1], ['EXEC']));
	ok(poll_until(sub { stopped($node) == 1 }), "$point: the worker stands still");
	my $start = now();
	is($other->cmd('SET', 'dir/x', 1), 'OK', '... a writer of the range gets on');
	note(sprintf 'after %.1f ms', 1000 * (now() - $start));
	kill 'CONT', stopped($node);
	my $exec = (map { $owner->recv } 1 .. 7)[-1];
	is_deeply($exec, $point eq 'txn-committed' ? [('OK') x 5] : undef, $point eq 'txn-committed' ? '... after the commit' : '... and the assertion fails');
	is($other->cmd('EXISTS', qw(a b c d)), $point eq 'txn-committed' ? 4 : 0, '... for all of it');
	$node->stop('immediate');
}

# ---- many ----

my $dir     = tempdir_short();
my $seconds = $ENV{ARTERY_HISTORY_SECONDS} || 1.5;

# adder -- keys with the prefix, each with its version
sub adder
{
	my ($n, $until) = @_;
	my $c = $node->connect;
	my @versions;
	for (my $i = 0 ; now() < $until ; $i++)
	{
		push @versions, $c->cmd('SET', "range/$n/$i", $i, 'VERSION');
		Time::HiRes::sleep(rand 0.003) if rand() < 0.5;
	}
	return { versions => \@versions };
}

# counter -- what it counted, and the version of the transaction that did it
sub counter
{
	my ($n, $until) = @_;
	my $c = $node->connect;
	my (@counted, @versions);
	for (my $i = 0 ; now() < $until ; $i++)
	{
		# one of three adds a key itself
		my $key = $i % 3 ? "counter/$n/$i" : "range/c$n/$i";
		my $reply = ($c->pipeline(['MULTI'], ['COUNTPREFIX', 'range/'], ['SET', $key, $i, 'VERSION'], ['SET', "beside/$n", $i], ['EXEC']))[-1];
		die "EXEC: $reply" if ref $reply ne 'ARRAY';
		push @counted, [@{$reply}[0, 1]];
		push @versions, $reply->[1] if $i % 3 == 0;
	}
	return { counted => \@counted, versions => \@versions };
}

# alternating -- a key of one prefix, then one of another, and so on
sub alternating
{
	my ($until) = @_;
	my $c = $node->connect;
	for (my $i = 0 ; now() < $until ; $i++)
	{
		$c->cmd('SET', "left/$i", $i);
		$c->cmd('SET', "right/$i", $i);
		Time::HiRes::sleep(rand 0.002);
	}
	return {};
}

# comparer -- counts both in one transaction that writes nothing
sub comparer
{
	my ($until) = @_;
	my $c = $node->connect;
	my ($times, @wrong) = (0);
	while (now() < $until)
	{
		my ($left, $right) = @{($c->pipeline(['MULTI'], ['COUNTPREFIX', 'left/'], ['COUNTPREFIX', 'right/'], ['EXEC']))[-1]};
		$times++;
		push @wrong, "$left and $right" if $left != $right && $left != $right + 1;
	}
	return { times => $times, wrong => \@wrong };
}

my $delay = 'delay_ms=1:8:0';
for my $points ('', map { "$_:$delay" } qw(txn-hold txn-reserved txn-before-commit txn-committed store-before-publish))
{
	my $name = $points || 'plain';
	$node->append_conf(txn_stall_us => '300us');
	$node->start(env => { ARTERY_FAULT_POINTS => $points });
	my $until = now() + $seconds;
	my @pid;
	for my $n (0 .. 5)
	{
		my $pid = fork() // die "fork: $!";
		if (!$pid)
		{
			eval { Storable::store($n < 2 ? adder($n, $until) : $n < 4 ? counter($n, $until) : $n == 4 ? alternating($until) : comparer($until), "$dir/$n"); 1 } or do { print STDERR $@; POSIX::_exit(1) };
			POSIX::_exit(0);
		}
		push @pid, $pid;
	}
	for (@pid)
	{
		waitpid $_, 0;
		is($?, 0, "$name: a client");
	}
	my @all = map { Storable::retrieve("$dir/$_") } 0 .. 5;
	my @versions = sort { $a <=> $b } map { @{ $_->{versions} || [] } } @all;
	my @counted = sort { $a->[1] <=> $b->[1] } map { @{ $_->{counted} || [] } } @all;
	my ($below, @wrong) = (0);
	for (@counted)
	{
		my ($count, $version) = @$_;
		$below++ while $below < @versions && $versions[$below] < $version;
		push @wrong, "version $version has counted $count of $below" if $count != $below;
	}
	is(join("\n", @wrong[0 .. ($#wrong > 9 ? 9 : $#wrong)]), '', "$name: each of " . @counted . ' transactions has counted what was there, ' . @versions . ' keys at last');
	is(join(', ', @{ $all[5]{wrong} }), '', "... and each of $all[5]{times} that only read has seen one moment");
	is($node->cmd('COUNTPREFIX', 'range/'), scalar @versions, '... and nothing is lost');
	my ($ended) = $node->cmd('INFO', 'artery') =~ /^transactions_aborted_by_others:(\d+)/m;
	note("$ended were held up for too long and aborted");
	$node->cmd('FLUSHALL');
	$node->stop('fast');
}
done_testing;
