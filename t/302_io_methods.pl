#!/usr/bin/perl
# Goal: the log is written and read by io_uring or by plain calls with the same result; whatever the system
# refuses (the ring, the registered buffer, O_DIRECT's memory) costs one log line and no more; errors of the
# device end in a crash restart without loss, a full disk in an answer with a reason, and service returns.
# Method: settings, resource limits for an ordinary user, and fault points of the test build.
use Artery::Test;
use Artery::Cluster;
use Test::More;

my %small = (wal_segment_size => '1MB', wal_buffers => '1MB', max_value_size => '100kB');
my $faults = slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;
my $seen   = 0;

sub count_lines { my ($node, $pattern, $offset) = @_; my @all = $node->log_content($offset) =~ /$pattern/g; return scalar @all }

# files that the walwriter has open
sub walwriter_files
{
	my ($node) = @_;
	my ($pid) = $node->child_pids('walwriter');
	return map { readlink("/proc/$pid/fd/$_") || '' } map { m{/fd/(\d+)$} } glob "/proc/$pid/fd/*";
}

# writes over several segments, crash, everything there
sub works
{
	my ($node, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$seen++;
	$node->connect->pipeline(map { [ 'SET', "$seen:$_", $_ . 'x' x 20_000 ] } 1 .. 120);
	$node->kill9;
	$node->start;
	is($node->cmd('EXISTS', map { "$seen:$_" } 1 .. 120), 120, "$name: all there after a crash");
	is($node->cmd('GET', "$seen:77"), '77' . 'x' x 20_000, "$name: and whole");
	return;
}

# ---- the two methods, and changing between them ----
my $node = Artery::Cluster->new('method');
$node->init(%small, io_method => 'io_uring');
$node->start;
$node->cmd('SET', 'a', 'b');
my $uring = grep { /io_uring/ } walwriter_files($node);
note($uring ? 'io_uring is available here' : 'io_uring is refused here');
ok($uring || $node->log_contains(qr/io_uring for the walwriter was refused/), 'io_uring: used, or a line says why not');
ok((grep { m{/wal/[0-9A-F]{16}$} } walwriter_files($node)), 'the walwriter has opened the segment in use');
works($node, 'io_uring');
$node->stop;
$node->append_conf(io_method => 'sync');
$node->start;
$node->cmd('SET', 'a', 'c');
is(scalar(grep { /io_uring/ } walwriter_files($node)), 0, 'sync: no ring in the walwriter');
works($node, 'sync');
$node->stop;
$node->append_conf(io_method => 'io_uring', wal_direct_io => 'off', wal_pad_flush => 'on', io_depth => 1);
$node->start;
works($node, 'page cache, padded flushes, a ring of one');
$node->stop;
$node->append_conf(wal_direct_io => 'on', wal_pad_flush => 'off', io_depth => 4096);
$node->start;
works($node, 'a deep ring');
$node->stop;

# ---- an ordinary user with little memory to lock, and with none ----
for my $bytes (8 << 20, 0)
{
	my $name = "an ordinary user who may lock $bytes bytes";
	SKIP:
	{
		skip 'prlimit or setpriv is not there', 4 unless command_exists('prlimit') && command_exists('setpriv');
		my @as = ('prlimit', "--memlock=$bytes:$bytes");
		push @as, 'setpriv', '--reuid=65534', '--regid=65534', '--clear-groups' if $> == 0;
		my $dir = tempdir_short();
		chmod 0777, $dir;
		my ($code, $out, $err) =
		  run_command([ @as, ctl_bin(), 'init', '-D', "$dir/d", '-c', 'workers=1', '-c', 'memory_limit=64MB' ]);
		skip "cannot run as another user here: $err", 4 if $code != 0;
		command_ok([ @as, ctl_bin(), 'start', '-w', '-D', "$dir/d", '-l', "$dir/log" ], "$name: starts");
		is(Artery::Client->new(path => "$dir/d/artery.sock")->cmd('SET', 'k', 'v'), 'OK', "$name: writes durably");
		# which of the two it is depends on what the kernel charges for a ring
		my @line = slurp_file("$dir/log") =~ /LOG:  .* for the walwriter was refused \(.*\): (?:plain system calls|it goes on unregistered)/g;
		is(scalar @line, $uring ? 1 : 0, "$name: one line says what was refused");
		command_ok([ @as, ctl_bin(), 'stop', '-D', "$dir/d" ], "$name: stops");
	}
}

if (!$faults)
{
	note('no fault points in this build');
	done_testing;
	exit 0;
}

# ---- the ring refused by kernel or container ----
for my $error (qw(eperm enosys enomem))
{
	my $n = Artery::Cluster->new("refused_$error");
	$n->init(%small, fault_points => "aio-setup:$error:1:0:*");
	$n->start;
	$n->cmd('SET', 'a', 'b');
	is(count_lines($n, qr/LOG:  io_uring for the walwriter was refused \(.+\): plain system calls are used instead/, 0),
		1, "ring refused with $error: one line");
	is(scalar(grep { /io_uring/ } walwriter_files($n)), 0, "ring refused with $error: none is used");
	works($n, "ring refused with $error");
	$n->stop;
}
my $n = Artery::Cluster->new('unregistered');
$n->init(%small, fault_points => 'aio-register:enomem:1:0:*');
$n->start;
is(count_lines($n, qr/registering \d+ kB with io_uring for the walwriter was refused/, 0), $uring ? 1 : 0, 'registration refused: one line');
works($n, 'registration refused');
$n->stop;

# ---- the device: short, put off, interrupted transfers are no errors ----
for my $method ('io_uring', 'sync')
{
	$n = Artery::Cluster->new("bumpy_$method");
	$n->init(%small, io_method => $method,
		fault_points => 'file-write-done:short:1:0:*,file-write:eagain:5:3:*,file-write-done:eintr:9:2:*,file-read-done:short:1:0:*');
	$n->start;
	works($n, "$method, every transfer short");
	$n->stop;
}

# ---- a failed write or sync of the log: all end, recover, serve; nothing acknowledged is gone ----
for my $fault ('file-write@/wal/0:eio', 'file-write-done@/wal/0:enospc', 'file-datasync@/wal/0:eio', 'wal-before-flushed:abort', 'wal-before-wake:kill')
{
	$n = Artery::Cluster->new("fails_$fault");
	$n->init(%small, fault_points => "$fault:25");
	$n->start;
	my $offset = $n->log_offset;
	my $acked  = 0;
	my $c      = $n->connect;
	eval
	{
		for my $i (1 .. 60)
		{
			$c->cmd('SET', "k$i", $i);
			$acked = $i;
		}
	};
	cmp_ok($acked, '<', 60, "$fault: the connection ends");
	like("$@", qr/^closed|^timeout|LOADING/, "$fault: without an answer");
	$n->wait_for_log(qr/ready for clients/, $offset);
	$n->wait_ready;
	$n->log_contains(qr/PANIC:  could not (write \d+ bytes of|sync) the log.*: (Input\/output error|No space left on device)/, $offset)
	  ? pass("$fault: PANIC with file and reason")
	  : like($n->log_content($offset), qr/walwriter.*(signal 6|signal 9)/, "$fault: its end is told");
	is(scalar(grep { defined $n->cmd('GET', "k$_") && $n->cmd('GET', "k$_") == $_ } 1 .. $acked), $acked,
		"$fault: all $acked acknowledged writes are there");
	is($n->cmd('SET', 'more', 'writes'), 'OK', "$fault: and it serves");
	$n->stop;
}

# ---- a full disk: writers are told when the log that is ready is used up, readers go on, service returns by itself ----
$n = Artery::Cluster->new('full');
$n->init(%small, wal_segments_ahead => 1, fault_points => 'file-allocate@prepare.tmp:enospc:3:4');
$n->start;
my $offset = $n->log_offset;
my $c      = $n->connect;
my ($written, $reason) = (0, '');
while ($written < 2000 && !$reason)
{
	my $reply = $c->reply_to('SET', "k$written", 'x' x 5000);
	ref $reply ? ($reason = "$reply") : $written++;
}
like($reason, qr/^MISCONF .*No space left on device/, 'a full disk: writers get -MISCONF with the reason');
is(length $n->cmd('GET', 'k0'), 5000, 'a full disk: reads go on');
ok(poll_until(sub { !ref $c->reply_to('SET', 'again', 'x') }), 'room again: writes go on without a restart');
is(count_lines($n, qr/WARNING:  could not prepare the next log segment/, $offset), 1, 'a full disk: one line when it begins');
ok($n->wait_for_log(qr/log segments can be prepared again/, $offset), 'a full disk: and one when it ends');
$n->kill9;
$n->start;
is($n->cmd('DBSIZE'), $written + 1, 'a full disk: nothing is lost');
$n->stop;
done_testing;
