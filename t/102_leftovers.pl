# Goal: what a dead server left never stands in the way, and what still lives is never overlooked.
#
# Method: kill everybody, or the postmaster alone, with files removed by hand or not, with a child that
# cannot leave; start again and look at log and files.
use Artery::Test;
use Artery::Cluster;
use Test::More;

my $node = Artery::Cluster->new('main');
$node->init;
$node->start;
my $dir    = $node->data_dir;
my $artery = artery_bin();

sub segment_path { my @line = split /\n/, slurp_file("$dir/artery.pid"); return "/dev/shm$line[4]" }

# ---- everybody is killed: pid file, socket and segment are left ----

$node->cmd('SET', 'a', '1');
my $segment = segment_path();
ok(-e $segment, 'the segment has a name');
my $old_pid = $node->pid;
$node->kill9;
ok(-e "$dir/artery.pid" && -S "$dir/artery.sock" && -e $segment, 'a killed server leaves all three');
my $offset = $node->log_offset;
ok($node->start, 'the next one starts');
my $log = $node->log_content($offset);
like($log, qr/artery\.pid is left of a server \(PID $old_pid\) that is dead/, 'it says whose pid file it found');
like($log, qr/removed the shared memory "\/artery-\w+" of a server that is dead/, 'and that it removed the segment');
like($log, qr/removed the socket "\Q$dir\E\/artery\.sock" of a server that is dead/, 'and the socket');
is($node->cmd('GET', 'a'), '1', 'the data is there');
is(segment_path(), $segment, 'the new segment has the same name');

# ---- the same, and somebody has removed the pid file: nothing names the segment any more ----

$node->kill9;
unlink "$dir/artery.pid" or die;
$offset = $node->log_offset;
ok($node->start, 'without the pid file');
like($node->log_content($offset), qr/removed the shared memory/, 'the segment is found all the same');
like($node->log_content($offset), qr/removed the socket/,        'and the socket');
is($node->cmd('GET', 'a'), '1', 'the data is there');

# ---- ... or all of them ----

$node->kill9;
unlink "$dir/artery.pid", "$dir/artery.sock", $segment;
ok($node->start, 'without any of them');
is($node->cmd('GET', 'a'), '1', 'the data is there');

# ---- a pid file that is nonsense, or another process' ----

$node->kill9;
for my $text ('', "\n", "nonsense\n", "-1\n", "0\n$dir\n", "99999999999999999999\n", "$$\n$dir\n1\n/etc/passwd\n/../../etc/passwd\nready\n")
{
	write_file("$dir/artery.pid", $text);
	ok($node->start, 'pid file: ' . (substr($text, 0, 20) =~ s/\n/\\n/gr)) or next;
	$node->stop;
}
ok(-f '/etc/passwd', 'and what it names is not removed');

# a pid that lives, but is not a server: the lock decides, not the number
write_file("$dir/artery.pid", "$$\n$dir\n1\n$dir/artery.sock\n-\nready           \n");
ok($node->start, 'the pid of another process');
$node->stop;

# ---- the postmaster alone is killed: its children leave within a second, whatever they do ----

my $has_faults = (run_command([ $artery, '-D', $dir, '-c', 'fault_points=redo-begin:kill' ]))[2] !~ /built with fault points/;
for my $case ('idle', 'busy', 'in recovery')
{
  SKIP:
	{
		skip 'not built with fault points', 1 if $case eq 'in recovery' && !$has_faults;
		my $client;
		if ($case eq 'in recovery')
		{
			$node->start(no_wait => 1, env => { ARTERY_FAULT_POINTS => 'redo-begin:delay_ms=60000' });
			$node->wait_state('recovering');
			poll_until(sub { my @startup = $node->child_pids('startup'); @startup });
		}
		else
		{
			$node->start;
			$client = $node->connect;
			# more than it can do in a moment, and nobody reads the replies
			$client->send_raw(join '', map { "*3\r\n\$3\r\nSET\r\n\$6\r\n" . sprintf('%06d', $_) . "\r\n\$1\r\nx\r\n" } 1 .. 5000)
			  if $case eq 'busy';
		}
		my @children = $node->child_pids;
		cmp_ok(scalar @children, '>=', 4, "$case: there are children");
		my $pid = $node->signal('KILL');
		my $from = now();
		ok($node->wait_gone(@children), "$case: children notice that the postmaster is dead");
		cmp_ok(now() - $from, '<', 10, "$case: soon");
		$client->close if $client;
		ok($node->start, "$case: the next server starts");
		is($node->cmd('GET', 'a'), '1', "$case: the data is there");
		$node->stop;
	}
}

# ---- a child that cannot leave keeps the directory ----

$node->start;
for my $removed ('nothing', 'the pid file', 'everything')
{
	my $child = $node->signal_child($removed eq 'nothing' ? 'walwriter' : 'worker', 'STOP');
	my @others = grep { $_ != $child } $node->child_pids;
	my $dead = $node->signal('KILL');
	ok($node->wait_gone($dead, @others), "$removed removed: the others are gone");
	$segment = segment_path();
	my $saved = slurp_file("$dir/artery.pid");
	unlink "$dir/artery.pid" if $removed ne 'nothing';
	unlink "$dir/artery.sock", $segment if $removed eq 'everything';
	command_exits([ $artery, '-D', $dir ], 1, qr/data directory "[^"]+" is in use by PID $child \(artery: w[^)]+\).*End them/s, "$removed removed: refused");
	ok(!-e "$dir/artery.pid" || $removed eq 'nothing', "$removed removed: the refused one has written nothing");
	kill 'CONT', $child;
	ok($node->wait_gone($child), "$removed removed: it leaves as soon as it can");
	ok($node->start, "$removed removed: then the start goes through");
	is($node->cmd('GET', 'a'), '1', "$removed removed: the data is there");
}

# ---- foreign things in our way ----

$node->stop;
my $other = Artery::Cluster->new('other');
$other->init;
$other->append_conf(unix_socket_path => $node->base_dir . '/shared.sock');
$other->start;
$node->append_conf(unix_socket_path => $node->base_dir . '/shared.sock');
$node->start_fails(qr/shared\.sock/, 'the socket of another server that lives');
is($other->cmd('PING'), 'PONG', 'which has lost nothing');
my ($left) = slurp_file($other->data_dir . '/artery.pid') =~ m{^(/artery-\w+)$}m;
$other->kill9;
unlink "/dev/shm$left";    # it will not start again, so nobody else would
ok($node->start, 'the socket of another server that is dead is taken over');
is($node->cmd('GET', 'a'), '1', 'the data is there');
$node->stop;
ok(!-e $node->base_dir . '/shared.sock', 'and removed at the end');
write_file($node->base_dir . '/shared.sock', 'precious');
$node->start_fails(qr/shared\.sock/, 'a file where the socket should be');
is(slurp_file($node->base_dir . '/shared.sock'), 'precious', 'it is left alone');
$node->append_conf(unix_socket_path => '');

# ---- the directory goes away under a running server ----

$node->start;
my @all = $node->all_pids;
$offset = $node->log_offset;
rename $dir, "$dir.away" or die;
ok($node->wait_gone(@all), 'a server whose directory has gone ends');
like($node->log_content($offset), qr/is gone or was replaced/, 'and says why');
rename "$dir.away", $dir or die;
ok($node->start, 'when it is back, so is the server');
is($node->cmd('GET', 'a'), '1', 'with its data');
$node->stop;

done_testing;
