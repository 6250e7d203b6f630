# Goal: TERM, INT, QUIT and HUP do to the server what they do to PostgreSQL, in every phase of its life.
#
# Method: each signal with and without clients, one after the other (each goes further), in each step of
# recovery (fault points that delay it), to the whole process group, and to children alone.
use Artery::Test;
use Artery::Cluster;
use Test::More;
use Time::HiRes ();

my $node = Artery::Cluster->new('main');
$node->init;
$node->start;
my $dir = $node->data_dir;

# ends(@signals): they are sent to the postmaster; it ends, in order unless told otherwise
sub ends
{
	my ($name, %expect) = @_;
	my $pid  = $node->running;
	my @all  = $node->all_pids;
	my $from = now();
	$node->signal($expect{signal}) if $expect{signal};
	ok($node->wait_gone(@all), "$name: all processes are gone");
	note(sprintf '%s took %.3f s', $name, now() - $from);
	my $log = $node->log_content($expect{offset});
	like($log, $expect{log}, "$name: the log says so") if $expect{log};
	ok(!-e "$dir/artery.pid",  "$name: no pid file");
	ok(!-e "$dir/artery.sock", "$name: no socket");
	is_deeply([ segments() ], [], "$name: no segment");
	return;
}

# the names of this node's segments, kept outside artery.pid, which goes
my %segment;

sub note_segment
{
	my @line = split /\n/, slurp_file("$dir/artery.pid");
	$segment{"/dev/shm$line[4]"} = 1;
	return;
}

sub segments { return grep { -e } sort keys %segment }

sub start { $node->start; note_segment(); return $node->log_offset }

note_segment();

# ---- smart ----

my $offset = $node->log_offset;
ends('smart, no client', signal => 'TERM', offset => $offset, log => qr/received smart shutdown request.*stopped$/ms);

$offset = start();
my $client = $node->connect;
$client->cmd('SET', 'smart', '1');
$node->signal('TERM');
$node->wait_for_log(qr/received smart shutdown request/, $offset);
is($node->state, 'stopping', 'smart: the state says stopping');
ok(poll_until(sub { !$node->try_connect }), 'smart: nobody new gets in');
is($client->cmd('SET', 'smart', '2'), 'OK', 'smart: a client that is there is served');
ok($node->running, 'smart: the server waits for it');
$client->close;
ends('smart, when the last client leaves', offset => $offset, log => qr/stopped$/m);

# ---- fast ----

$offset = start();
$client = $node->connect;
is($client->cmd('GET', 'smart'), '2', 'what was written during a smart stop is there');
$client->send('SET', "fast$_", 'x' x 100) for 1 .. 200;
$client->recv for 1 .. 200;
my $idle = $node->connect;
ends('fast, with clients', signal => 'INT', offset => $offset, log => qr/received fast shutdown request.*stopped$/ms);
is($idle->recv_raw, '', 'fast: an idle client is closed');
$offset = start();
like($node->log_content, qr/clean start/, 'after a fast stop the start is clean');
is($node->cmd('GET', 'fast200'), 'x' x 100, 'and all is there');

# a fast stop leaves the log to redo: it takes no time that grows with the data
my $value = 'x' x 10000;
$client = $node->connect;
$client->pipeline(map { [ 'SET', "much$_", $value ] } 1 .. 3000);
$client->close;
$node->stop;
unlike($node->log_content($offset), qr/checkpoint \d+ begins/, 'fast, with 30 MB of data: nothing is written out');
$offset = start();
is($node->cmd('GET', 'much3000'), $value, 'which are there');
$node->cmd('FLUSHALL');

# ---- immediate ----

$node->cmd('SET', 'immediate', '1');
$client = $node->connect;
ends('immediate, with clients', signal => 'QUIT', offset => $offset, log => qr/received immediate shutdown request.*the next start recovers$/ms);
is($client->recv_raw, '', 'immediate: clients are closed');
my $before = $node->log_offset;
$offset = start();
like($node->log_content($before), qr/crash recovery/, 'after an immediate stop the start recovers');
is($node->cmd('GET', 'immediate'), '1', 'and nothing acknowledged is gone');

# ---- one after the other ----

$client = $node->connect;
$client->cmd('PING');
$node->signal('TERM');
$node->wait_for_log(qr/received smart shutdown request/, $offset);
ok($node->running, 'smart waits');
ends('fast after smart', signal => 'INT', offset => $offset, log => qr/smart shutdown.*fast shutdown.*stopped$/ms);

$offset = start();
my $stopped = $node->signal_child('worker', 'STOP');
$client = $node->connect;
$node->signal('TERM');
$node->wait_for_log(qr/received smart shutdown request/, $offset);
$node->signal('INT');
$node->wait_for_log(qr/received fast shutdown request/, $offset);
ok($node->running, 'fast waits for a worker that stands still');
$before = now();
ends('immediate after fast', signal => 'QUIT', offset => $offset, log => qr/immediate shutdown.*killing processes that do not leave/ms);
cmp_ok(now() - $before, '>=', 4, 'it was given five seconds to leave');
ok(!Artery::Cluster::alive($stopped), 'then it was killed');

# the weaker one after the stronger one changes nothing
$offset = start();
$stopped = $node->signal_child('worker', 'STOP');
$node->signal('INT');
$node->wait_for_log(qr/received fast shutdown request/, $offset);
$node->signal('TERM');
kill 'CONT', $stopped;
ends('smart after fast is fast', offset => $offset, log => qr/stopped$/m);
unlike($node->log_content($offset), qr/smart/, 'and is not even logged');

# ---- a stop in each step of recovery ----

my @steps = qw(redo-begin redo-chunk redo-end redo-tail-synced redo-first-segment control-before-write control-before-sync
  control-after-sync);
my %word = (TERM => 'smart', INT => 'fast', QUIT => 'immediate');
start();
$node->cmd('SET', "steps$_", $_) for 1 .. 100;
$node->stop('immediate');
my $has_faults = (run_command([ artery_bin(), '-D', $dir, '-c', 'fault_points=redo-begin:kill' ]))[2] !~ /built with fault points/;
SKIP:
{
	skip 'not built with fault points', 1 unless $has_faults;
	for my $step (@steps)
	{
		for my $signal (qw(TERM INT QUIT))
		{
			$before = $node->log_offset;
			$node->start(no_wait => 1, env => { ARTERY_FAULT_POINTS => "$step:delay_ms=60000" });
			$node->wait_state('recovering');
			note_segment();
			# until it is there: the startup process sleeps at the step (or ended long ago, which the log would tell)
			poll_until(sub {
				my ($startup) = $node->child_pids('startup');
				return $startup && asleep($startup);
			});
			ends("$word{$signal} stop at $step", signal => $signal, offset => $before, log => qr/received $word{$signal} shutdown request/);
			unlike($node->log_content($before), qr/ready for clients|PANIC|FATAL/, "$word{$signal} stop at $step: nothing else happened");
		}
	}
	start();
	is(join(',', map { $node->cmd('GET', "steps$_") } 1 .. 100), join(',', 1 .. 100), 'all is there after 24 stops in recovery');
	$node->stop;
}

# asleep: the same wait at two looks, 50 ms apart (a sleeping process is counted out of the scheduler's switches)
sub asleep
{
	my ($process) = @_;
	my $look = sub { slurp_file("/proc/$process/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m ? $1 : -1 };
	my $first = $look->();
	Time::HiRes::sleep(0.05);
	return $first >= 0 && $look->() == $first && slurp_file("/proc/$process/stat") =~ /^\d+ \(.*\) S/;
}

# ---- a client asks for the stop ----

$offset = start();
$client = $node->connect;
$client->send('SHUTDOWN');
ends('SHUTDOWN', offset => $offset, log => qr/received fast shutdown request.*stopped$/ms);

# ---- signals to children ----

$offset = start();
my @pids = $node->child_pids;
kill 'TERM', @pids;
kill 'INT',  @pids;
kill 'HUP',  @pids;
kill 'USR1', @pids;
kill 'PIPE', @pids;
is($node->cmd('SET', 'children', '1'), 'OK', 'children leave stops to the postmaster');
is_deeply([ $node->child_pids ], \@pids, 'all of them are still there');
kill $_, $node->pid for qw(USR1 USR2 PIPE ALRM);
is($node->cmd('GET', 'children'), '1', 'signals without a meaning have none');

# ^C and a service manager that signals everybody at once: still in order
kill 'INT', $node->pid, @pids;
ends('INT to all processes at once', offset => $offset, log => qr/received fast shutdown request.*stopped$/ms);
unlike($node->log_content($offset), qr/terminated|exited/, 'nobody ended out of turn');
$offset = start();
kill 'TERM', $node->pid, $node->child_pids;
ends('TERM to all processes at once', offset => $offset, log => qr/received smart shutdown request.*stopped$/ms);

done_testing;
