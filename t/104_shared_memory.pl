# Goal: the segment is where the settings say, nobody else can open it, and too little memory is an answer.
#
# Method: both types; a memory_limit far beyond any memory; a /dev/shm of a few megabytes, mounted in a
# private name space (root only); huge pages refused.
use Artery::Test;
use Artery::Cluster;
use Test::More;

my $node = Artery::Cluster->new('main');
$node->init;
my $dir = $node->data_dir;
my $artery = artery_bin();

sub segment_name { my @line = split /\n/, slurp_file("$dir/artery.pid"); return $line[4] }

# maps($pid): the mappings of the segment in a process
sub maps { my ($pid) = @_; return grep { m{/dev/shm/artery-|/memfd:artery} } split /\n/, slurp_file("/proc/$pid/maps") }

# ---- posix ----

$node->start;
my $path = '/dev/shm' . segment_name();
ok(-f $path, 'posix: an object in /dev/shm');
is((stat $path)[2] & 07777, 0600, 'posix: for its owner alone');
is((stat $path)[4], $>, 'posix: who is us');
like($_, qr/rw-s/, 'mapped shared, not executable') for maps($node->pid);
my ($at) = map { /^(\w+)-/ ? $1 : () } maps($node->pid);
for my $child ($node->child_pids)
{
	my ($there) = map { /^(\w+)-/ ? $1 : () } maps($child);
	is($there, $at, "mapped at the same place in $child");
}
$node->cmd('SET', 'a', '1');
$node->stop;
ok(!-e $path, 'posix: gone after a stop');

# ---- memfd ----

$node->append_conf(shared_memory_type => 'memfd');
$node->start;
is(segment_name(), '-', 'memfd: no name');
like(join("\n", maps($node->pid)), qr{/memfd:artery}, 'memfd: mapped');
is_deeply([ glob "$path*" ], [], 'memfd: nothing in /dev/shm');
is($node->cmd('GET', 'a'), '1', 'memfd: the data is there');
$node->signal_child('worker', 'SEGV');
$node->wait_for_log(qr/starting again/);
$node->wait_ready;
is($node->cmd('GET', 'a'), '1', 'memfd: and after a crash');
$node->kill9;
$node->start;
is($node->cmd('GET', 'a'), '1', 'memfd: and after a kill');
$node->stop;
$node->append_conf(shared_memory_type => 'posix');

# ---- start takes no time that grows with memory_limit ----

sub start_time
{
	my (%settings) = @_;
	my $offset = $node->log_offset;
	$node->append_conf(%settings);
	$node->start;
	my ($seconds) = $node->log_content($offset) =~ /ready for clients after ([\d.]+) s/;
	$node->stop;
	return $seconds;
}
my $small = start_time(memory_limit => '16MB');
my $large = start_time(memory_limit => '900GB');
note("start with 16 MB: $small s, with 900 GB: $large s");
cmp_ok($large, '<', $small + 1, 'start takes no time that grows with memory_limit');
like($node->log_content, qr/WARNING:  memory_limit is 921600 MB, but only \d+ MB are free in \/dev\/shm/, 'a limit beyond what there is gets a warning');
$node->append_conf(memory_limit => '64MB');

# ---- huge pages ----

my $offset = $node->log_offset;
$node->append_conf(huge_pages => 'try');
$node->start;
my @lines = $node->log_content($offset) =~ /huge pages: (.*)/g;
if (@lines)
{
	is(scalar @lines, 1, "huge_pages = try: one line says why not ($lines[0])");
	$node->stop;
	$node->append_conf(huge_pages => 'on');
	$node->start_fails(qr/FATAL:  .*huge pages are not available: \Q$lines[0]\E.*huge_pages = try/s, 'huge_pages = on');
}
else
{
	pass('huge_pages = try: there are some');
	$node->stop;
}
# more than any pool holds
$node->append_conf(huge_pages => 'on', shared_memory_type => 'memfd', memory_limit => '900GB');
$node->start_fails(qr/huge pages are not available: .*huge_pages = try/s, 'huge_pages = on, memfd');
$node->append_conf(huge_pages => 'off', shared_memory_type => 'posix', memory_limit => '64MB');

# ---- a small /dev/shm ----

SKIP:
{
	my @private = ('unshare', '-m', '--propagation', 'private', 'sh', '-c');
	skip 'mounting needs root', 1 if (run_command([ @private, 'mount -t tmpfs -o size=1m tmpfs /dev/shm' ]))[0] != 0;

	# too small for the start: refused, with figures and a way out
	my ($code, $out, $err) = run_command([ @private, "mount -t tmpfs -o size=1m tmpfs /dev/shm && exec $artery -D $dir" ]);
	is($code, 1, 'a /dev/shm of 1 MB: refused');
	like($err, qr/FATAL:  could not reserve [\d.]+ MB of shared memory for the start: No space left on device \(1\.0 MB are free in \/dev\/shm\)/, 'with what is wanted and what is free');
	like($err, qr/HINT:.*wal_buffers.*shared_memory_type = memfd/, 'and what to do');
	ok(!-e "$dir/artery.pid", 'and nothing is left');

	# enough for the start, not for memory_limit: keys leave memory sooner, never SIGBUS
	my $log = $node->log_file;
	my $ctl = ctl_bin();
	$offset = $node->log_offset;
	($code, $out, $err) = run_command([ @private, "mount -t tmpfs -o size=20m tmpfs /dev/shm && exec $ctl start -w -D $dir -l $log" ]);
	is($code, 0, 'a /dev/shm of 20 MB: starts') or diag($err);
	like($node->log_content($offset), qr/WARNING:  memory_limit is 64 MB, but only \d+ MB are free/, 'with a warning');
	my $client = $node->connect;
	my ($written, $refused) = (0, '');
	my $before = $client->cmd('DBSIZE');
	for my $i (1 .. 4000)
	{
		my $reply = $client->reply_to('SET', "big$i", 'x' x 16000);
		if (ref $reply) { $refused = "$reply"; last }
		$written++;
	}
	is($refused, '', 'writers go on: what is on disk leaves memory');
	is($written, 4000, 'four times as much as there is');
	is(length $client->cmd('GET', 'big1'), 16000, 'reads go on');
	is($client->cmd('DEL', map { "big$_" } 1 .. 20), 20, 'so does deleting');
	is($client->cmd('DBSIZE'), 4000 - 20 + $before, 'all of them are counted');
	unlike($node->log_content($offset), qr/terminated by signal/, 'nobody died of it');
	$client->close;
	$node->stop;

	# a memory file does not care
	$node->append_conf(shared_memory_type => 'memfd');
	$offset = $node->log_offset;
	($code, $out, $err) = run_command([ @private, "mount -t tmpfs -o size=64k tmpfs /dev/shm && exec $ctl start -w -D $dir -l $log" ]);
	is($code, 0, 'memfd does without /dev/shm') or diag($err);
	is($node->cmd('GET', 'a'), '1', 'with all its data');
	$node->stop;
}

done_testing;
