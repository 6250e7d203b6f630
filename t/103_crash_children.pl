# Goal: whoever dies, of whatever: the server says who of what, starts again by itself, and has lost nothing.
#
# Method: each kind of process by each signal, during service, recovery and stop; then what must not be
# tried for ever, and a process that stands still.
use Artery::Test;
use Artery::Cluster;
use Test::More;
use POSIX ();

my $node = Artery::Cluster->new('main');
$node->init(worker_stall_timeout => '2s');
$node->start;
my $dir    = $node->data_dir;
my $artery = artery_bin();
my $has_faults;
my $written = 0;

# write_some: acknowledged writes that must outlive everything that follows
sub write_some
{
	my $client = $node->connect;
	for (1 .. 50)
	{
		$written++;
		$client->send('SET', "key$written", "value$written");
	}
	$client->recv for 1 .. 50;
	$client->close;
	return;
}

sub check_all
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $client = $node->connect;
	my $lost = join ' ', grep { $client->send('GET', "key$_"); ($client->recv // '') ne "value$_" } 1 .. $written;
	$client->close;
	return is($lost, '', "$name: every acknowledged write is there");
}

my %says = (SEGV => 'Segmentation fault', ABRT => 'Aborted', BUS => 'Bus error', KILL => 'Killed', FPE => 'Floating point exception');

# ---- each child by each signal ----

for my $kind (qw(worker walwriter checkpointer evictor expirer))
{
	for my $signal (qw(SEGV ABRT BUS KILL))
	{
		my $name = "$kind by $signal";
		write_some();
		my $postmaster = $node->pid;
		my $client = $node->connect;
		$client->cmd('PING');
		my @children = $node->child_pids;
		my $offset = $node->log_offset;
		my $pid = $node->signal_child($kind, $signal);
		my $number = POSIX->can("SIG$signal")->();
		$offset = $node->wait_for_log(qr/ $kind(?: \d+)? \(PID $pid\) was terminated by signal $number \(SIG$signal: $says{$signal}\)[^\n]* while doing: \w/, $offset);
		$node->wait_for_log(qr/ending all other processes.*starting again.*ready for clients/s, $offset);
		is($client->recv_raw, '', "$name: clients are disconnected");
		ok($node->wait_gone(@children), "$name: all processes are new");
		is($node->pid, $postmaster, "$name: but the postmaster");
		$node->wait_ready;
		check_all($name);
	}
}

# QUIT, and an exit that is not a crash but that nobody asked for, count as well
{
	my $offset = $node->log_offset;
	my $pid = $node->signal_child('worker', 'QUIT', 1);
	$node->wait_for_log(qr/worker 2 \(PID $pid\) exited with exit code 2 while doing/, $offset);
	$node->wait_for_log(qr/ready for clients/, $offset);
	$node->wait_ready;
	check_all('worker by QUIT');
}

# ---- the same again and again, each time the server has hardly come up: it goes on, but slower ----

{
	my $offset = $node->log_offset;
	my $last   = '';
	my $from;
	for my $round (1 .. 5)
	{
		my $pid;
		poll_until(sub { ($pid) = $node->child_pids('checkpointer'); $pid && $pid ne $last });
		$last = $pid;
		$from = now();
		kill 'SEGV', $pid;
		$offset = $node->wait_for_log(qr/ending all other processes/, $offset);
		$offset = $node->wait_for_log(qr/ready for clients/, $offset) if $round < 5;
	}
	$offset = $node->wait_for_log(qr/the same crash again and again: waiting 5 s before the next start/, $offset);
	is($node->state, 'recovering', 'five equal crashes: the state says that it recovers');
	$node->wait_for_log(qr/ready for clients/, $offset);
	cmp_ok(now() - $from, '>=', 4, 'five equal crashes: the next start waits');
	$node->wait_ready;
	check_all('five equal crashes');
}

# ---- two at a time, and one that does not leave ----

{
	my $offset = $node->log_offset;
	my $standing = $node->signal_child('worker', 'STOP', 1);
	my ($walwriter) = $node->child_pids('walwriter');
	kill 'KILL', $walwriter, $node->child_pids('checkpointer');
	$node->wait_for_log(qr/killing processes that do not leave.*ready for clients/s, $offset);
	ok(!Artery::Cluster::alive($standing), 'a process that stands still is killed after five seconds');
	$node->wait_ready;
	check_all('two at a time');
}

# ---- while others stop ----

for my $kind (qw(walwriter evictor expirer checkpointer worker))
{
	write_some();
	my $offset = $node->log_offset;
	my @all = $node->all_pids;
	my $standing = $node->signal_child('worker', 'STOP');
	$node->signal('INT');
	$node->wait_for_log(qr/received fast shutdown request/, $offset);
	kill 'SEGV', ($kind eq 'worker' ? ($node->child_pids('worker'))[1] || $standing : $node->child_pids($kind));
	kill 'CONT', $standing;
	ok($node->wait_gone(@all), "$kind dies during a stop: the server ends");
	if ($node->log_content($offset) =~ /terminated by signal 11/)
	{
		like($node->log_content($offset), qr/the stop is not in order.*the next start recovers/s, "$kind dies during a stop: it says so");
		ok(-e "$dir/artery.pid", "$kind dies during a stop: the pid file tells");
	}
	$node->start;
	check_all("$kind dies during a stop");
}

# ---- restart_after_crash = off ----

{
	my $offset = $node->log_offset;
	$node->append_conf(restart_after_crash => 'off');
	$node->reload;
	$node->wait_for_log(qr/reading the settings again/, $offset);
	my @all = $node->all_pids;
	my $pid = $node->signal_child('worker', 'SEGV');
	ok($node->wait_gone(@all), 'restart_after_crash = off: the server ends');
	like($node->log_content($offset), qr/$pid\) was terminated.*because restart_after_crash is off/s, 'and says why');
	ok(!-e "$dir/artery.sock", 'without its socket');
	$node->append_conf(restart_after_crash => 'on');
	$node->start;
	check_all('after restart_after_crash = off');
	$node->stop;
}

# ---- in recovery ----

$has_faults = (run_command([ $artery, '-D', $dir, '-c', 'fault_points=redo-begin:kill' ]))[2] !~ /built with fault points/;
SKIP:
{
	skip 'not built with fault points', 1 unless $has_faults;

	# the startup process itself: nobody tries again what would fail again
	for my $action ('kill', 'abort')
	{
		my %number = (kill => 9, abort => 6);
		$node->start_fails(qr/startup \(PID \d+\) was terminated by signal $number{$action} .* while doing: recovery.*giving up the start/s,
			"startup process dies by $action", env => { ARTERY_FAULT_POINTS => "redo-end:$action" });
		ok(!-e "$dir/artery.pid", 'nothing is left');
	}

	# another one: recovery begins anew
	my $offset = $node->log_offset;
	$node->start(no_wait => 1, env => { ARTERY_FAULT_POINTS => 'redo-begin:delay_ms=60000' });
	poll_until(sub { my @walwriter = $node->child_pids('walwriter'); @walwriter });
	my $pid = $node->signal_child('walwriter', 'SEGV');
	$node->wait_for_log(qr/walwriter \(PID $pid\) was terminated by signal 11 .* while doing: waiting for the end of recovery.*starting again.*ready for clients/s, $offset);
	$node->wait_ready;
	check_all('walwriter dies during recovery');
	$node->stop;

	# again and again: not for ever
	$offset = $node->log_offset;
	$node->start(no_wait => 1, env => { ARTERY_FAULT_POINTS => 'redo-begin:delay_ms=60000:1:1:*' });
	my %seen;
	for my $round (1 .. 5)
	{
		my $child;
		ok(poll_until(sub { ($child) = grep { !$seen{$_} } $node->child_pids('checkpointer'); $child }), "round $round of recovery");
		$seen{$child} = 1;
		kill 'SEGV', $child;
	}
	ok(poll_until(sub { !$node->running }), 'five equal crashes during recovery end the server');
	like($node->log_content($offset), qr/giving up after 5 equal crashes during recovery/, 'it says so');
	$node->start;
	check_all('after giving up');

	# a process that stands still inside a write holds back the log: it is named
	$node->stop;
	$offset = $node->log_offset;
	$node->start(env => { ARTERY_FAULT_POINTS => 'wal-before-fill:stop' });
	my $client = $node->connect;
	$client->send('SET', 'stands', 'still');
	my ($still) = $node->wait_for_log(qr/WARNING:  worker \d+ \(PID (\d+)\) has stood still for \d+ s and holds back the log at \d+\/[0-9A-F]+ and the reuse of memory, while doing: set/i, $offset);
	my ($standing) = $node->log_content($offset) =~ /worker \d+ \(PID (\d+)\) has stood still/;
	like(slurp_file("/proc/$standing/stat"), qr/^\d+ \(.*\) T/, 'and it is the one');
	kill 'CONT', $standing;
	is($client->recv, 'OK', 'the write goes through when it moves again');
	$node->wait_for_log(qr/worker \d+ \(PID $standing\) moves again after \d+ s/, $offset);
	$node->stop;
	$node->start;
	is($node->cmd('GET', 'stands'), 'still', 'and is there');
	$node->stop;
}

done_testing;
