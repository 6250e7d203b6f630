# Goal: whichever call of file I/O fails, and how, nothing that was acknowledged is lost, the base stays sound, and
# the log says which file it was.
#
# Method: a fixed workload (start, write, checkpoint, overwrite and delete, checkpoint, write, stop) is run once and
# all its file calls are counted, process by process. Then it is run again with the n-th call of one kind failing, once
# or from then on: EIO, ENOSPC, a short transfer, EAGAIN, EINTR. What clients were told is kept outside; afterwards the
# server is started without faults, every key is compared, and artery_verify looks at every page. Both I/O methods.
# In `make check` a sample, by seed, for ARTERY_T3_SECONDS (45) seconds; ARTERY_T3=all takes every n of every kind.
use Artery::Test;
use Artery::Cluster;
use Test::More;

plan skip_all => 'not a build with fault points' unless slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;
my $seed = test_seed();
srand $seed;
my $all = ($ENV{ARTERY_T3} // '') eq 'all';
my $end = now() + ($ENV{ARTERY_T3_SECONDS} // 45);
my $verify = ctl_bin() =~ s/artery_ctl$/artery_verify/r;

my %SETTINGS = (
	wal_segment_size => '1MB', wal_buffers => '1MB', max_value_size => '150kB', workers => 1, memory_limit => '16MB',
	buffer_pool_size => '1MB', prewarm => 'off', wal_segments_ahead => 1
);
# what each kind of call is made to do
my @ACTIONS = (
	['file-open', 'eio'], ['file-read', 'eio'], ['file-read-done', 'short'], ['file-read', 'eintr'],
	['file-write', 'eio'], ['file-write', 'enospc'], ['file-write-done', 'short'], ['file-write-done', 'eio'], ['file-write', 'eagain'],
	['file-datasync', 'eio'], ['file-datasync-done', 'eio'], ['file-rename', 'eio'], ['file-unlink', 'eio'],
	['file-sync-directory', 'eio'], ['file-truncate', 'eio'], ['file-allocate', 'enospc'], ['file-lock', 'eio'],
);

my $template = Artery::Cluster->new('t3');
my $number = 0;

# fresh -- a new cluster with these settings
sub fresh
{
	my (%settings) = @_;
	my $node = Artery::Cluster->new('n' . ++$number);
	$node->init(%SETTINGS, %settings);
	return $node;
}

# workload -- until all is done; %acked: key to value or undef, %sent: to those whose reply never came
sub workload
{
	my ($node, $acked, $sent, $env) = @_;
	$node->start(env => $env, fail_ok => 1) or return 'did not start';
	my $client = $node->try_connect or return 'no connection';
	my $write = sub {
		my ($key, $value) = @_;
		push @{$sent->{$key}}, $value;
		my $reply = eval { defined $value ? $client->reply_to('SET', $key, $value) : $client->reply_to('DEL', $key) };
		if (!defined $reply)
		{
			$client = undef;
			for (1 .. 100)
			{
				last if $client = $node->try_connect;
				select undef, undef, undef, 0.05;
			}
			return 0;
		}
		if (ref $reply eq 'Artery::Client::Error')
		{
			pop @{$sent->{$key}};		# told that it was not applied
			return 1;
		}
		$acked->{$key} = $value;
		delete $sent->{$key};
		return 1;
	};
	my $checkpoint = sub { eval { $client->reply_to('CHECKPOINT') } if $client };
	for my $round (1 .. 3)
	{
		for my $i (1 .. 40)
		{
			my $key = sprintf 'dir%d/key%03d', $i % 4, $i;
			my $value = $i % 10 == $round ? undef : "$round:$i:" . 'v' x ($i % 7 == 0 ? 30_000 : $i * 9);
			$client or return 'gone';
			$write->($key, $value);
		}
		$checkpoint->();
	}
	$client->close if $client;
	$node->stop('fast', fail_ok => 1);
	return 'done';
}

sub compare
{
	my ($node, $acked, $sent, $name) = @_;
	my $client = $node->connect;
	my @wrong;
	for my $key (sort keys %{{%$acked, %$sent}})
	{
		my $value = $client->cmd('GET', $key);
		my $fits = sub { my ($want) = @_; return defined $want ? defined $value && $value eq $want : !defined $value };
		push @wrong, $key unless $fits->($acked->{$key}) || grep { $fits->($_) } @{$sent->{$key} // []};
		$acked->{$key} = $value;
	}
	my $keys = grep { defined $acked->{$_} } keys %$acked;
	my $size = $client->cmd('DBSIZE');
	my @listed = @{$client->cmd('KEYS', '*')};
	$client->close;
	return (@wrong ? "wrong: @wrong" : '', $size == $keys ? '' : "DBSIZE $size, $keys keys", @listed == $keys ? '' : 'KEYS lists ' . @listed);
}

# one_fault -- the workload with this fault; a test. Returns whether it went well, and how much was acknowledged
sub one_fault
{
	my ($method, $point, $action, $nth, $count, $where) = @_;
	my $name = "$method: $point $action at call $nth" . ($count ? '' : ' and all later') . ($where ? " of $where" : '');
	my $node = fresh(io_method => $method);
	my (%acked, %sent);
	my $spec = $point . ($where ? "\@$where" : '') . ":$action:$nth:$count" . ($count ? '' : ':*');
	my $how = workload($node, \%acked, \%sent, { ARTERY_FAULT_POINTS => $spec });
	$node->kill9;
	my $log = $node->log_content;
	my $acknowledged = keys %acked;
	my @trouble;
	push @trouble, 'an error without the name of its file: ' . $_
	  for grep { m{(?:Input/output error|No space left)} && !m{[/"]} && !/terminated|redo/ } $log =~ /^(.*(?:PANIC|FATAL|ERROR|WARNING):.*)$/mg;
	push @trouble, "a crash: $1" if $log =~ /(was terminated by signal (?:11|6|7)\b.*)/ && $log !~ /PANIC/;
	if (!eval { $node->start; 1 }) { push @trouble, 'does not start without the fault: ' . ($log =~ /((?:FATAL|PANIC).*)/ ? $1 : $@) }
	else
	{
		push @trouble, grep { $_ } compare($node, \%acked, \%sent);
		my $checkpoint = eval { $node->connect->reply_to('CHECKPOINT') };
		push @trouble, 'CHECKPOINT fails without the fault' if !defined $checkpoint || (ref $checkpoint eq 'Artery::Client::Error');
		$node->stop('fast');
		my ($code, $out, $err) = run_command([$verify, $node->data_dir]);
		push @trouble, "artery_verify: $out$err" if $code != 0;
	}
	ok(!@trouble, "$name ($how)") or diag("seed $seed", map { "\n  $_" } @trouble);
	$node->clean_up;
	return (!@trouble, $acknowledged);
}

# ---- count ----
my @cases;
for my $method (qw(io_uring sync))
{
	my $node = fresh(io_method => $method);
	my $record = $node->base_dir . '/io';
	my (%acked, %sent, %calls);
	is(workload($node, \%acked, \%sent, { ARTERY_IO_RECORD => $record }), 'done', "$method: the workload without faults");
	$node->start;
	is(join(' ', grep { $_ } compare($node, \%acked, \%sent)), '', "$method: and all of it is there");
	$node->stop;
	open my $in, '<', $record or die "$record: $!";
	while (<$in>)
	{
		my ($pid, $phase, $call) = split ' ';
		$calls{$call}{$pid}++ if $phase eq 'begin';
	}
	for my $action (@ACTIONS)
	{
		my ($point, $what) = @$action;
		my $call = $point =~ s/-done$//r;
		my $most = 0;
		$most < $_ and $most = $_ for values %{$calls{$call} // {}};
		note("$method: $call: at most $most in one process") if $what eq 'eio';
		push @cases, map { my $n = $_; map { [$method, $point, $what, $n, $_] } 1, $what =~ /^(?:eio|enospc)$/ ? 0 : () } 1 .. $most;
	}
	$node->clean_up;
}
cmp_ok(scalar @cases, '>', 200, 'cases: ' . @cases);

# ---- fail ----
if (!$all)
{
	# each kind once, then as many more as the time allows
	my %seen;
	my @shuffled = map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [rand, $_] } @cases;
	my @first = grep { !$seen{"$_->[1] $_->[2]"}++ } @shuffled;
	my %first = map { $_ => 1 } @first;
	@cases = (@first, grep { !$first{$_} } @shuffled);
}
my $FEWEST = 8;		# however slow the machine
my ($run, $bad, $answered) = (0, 0, 0);
for my $case (@cases)
{
	last if !$all && $run >= $FEWEST && now() > $end;
	$run++;
	my ($well, $acknowledged) = one_fault(@$case);
	$bad++ if !$well;
	$answered++ if $acknowledged > 0;
	last if $bad >= 5;
}
note("$run of " . @cases . ' cases');
cmp_ok($run, '>=', $FEWEST, 'enough cases were run');
# a fault that lets nobody in proves nothing about what was acknowledged
cmp_ok($answered * 2, '>=', $run, "something was acknowledged before the end in $answered of them");
done_testing;
