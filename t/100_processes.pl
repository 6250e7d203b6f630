# Goal: the server is the processes that it should be, each what it says, holding what it should and no more.
#
# Method: start one and look at it through /proc: titles, parents, descriptors, out-of-memory scores;
# refuse wrong directories, wrong settings and a second server; run as an ordinary user.
use Artery::Test;
use Artery::Cluster;
use Test::More;
use Cwd ();

my $artery = artery_bin();
my $root   = $> == 0;

# ---- what refuses to start, with which exit code ----

my $base = tempdir_short();
command_exits([ $artery, '-D', "$base/none" ], 4, qr/data directory "\Q$base\E\/none" does not exist.*artery_ctl init/s, 'a missing directory');
mkdir "$base/empty", 0700;
command_exits([ $artery, '-D', "$base/empty" ], 4, qr/is not initialised: it has no control file/, 'a directory that is none of ours');
write_file("$base/file", '');
command_exits([ $artery, '-D', "$base/file" ], 4, qr/is not a directory/, 'a file');
{
	local $ENV{ARTERY_DATA} = "$base/none";
	command_exits([$artery], 4, qr/data directory "\Q$base\E\/none" does not exist/, 'ARTERY_DATA names the directory');
	command_exits([ $artery, '-D', "$base/empty" ], 4, qr/"\Q$base\E\/empty" is not initialised/, '-D goes before it');
}
command_exits([$artery],                      2, qr/no data directory: neither -D nor ARTERY_DATA is given/, 'no directory');
command_exits([ $artery, '--dance' ],         2, qr/unrecognized option '--dance'/,                          'an unknown option');
command_exits([ $artery, '-D' ],              2, qr/requires an argument/,                                   'an option without its argument');
command_exits([ $artery, '-D', $base, 'x' ],  2, qr/unexpected argument "x"/,                                'an argument too many');
like(command_ok([ $artery, '--help' ], '--help'), qr/^Usage:.*--init.*-c NAME=VALUE/ms, 'the usage');
like(command_ok([ $artery, '--describe-config' ], '--describe-config'), qr/^#?workers = /m, 'prints a sample of artery.conf');
like(command_ok([ $artery, '--write-settings-doc' ], '--write-settings-doc'), qr/worker_stall_timeout/, 'prints the manual of the settings');
{
	my ($code) = run_command([ 'sh', '-c', "$artery --describe-config > /dev/full" ]);
	is($code, 1, 'output that cannot be written is an error');
}

my $node = Artery::Cluster->new('main');
$node->init(workers => 3);
my $dir = $node->data_dir;
command_exits([ $artery, '-D', $dir, '-c', 'bogus=1' ],   1, qr/unrecognized setting "bogus"/,  'an unknown setting');
command_exits([ $artery, '-D', $dir, '-c', 'workers=x' ], 1, qr/invalid value "x" for setting "workers"/, 'a bad value');
command_exits([ $artery, '-D', $dir, '-c', 'unix_socket_path=/tmp/' . 'x' x 110 ], 1, qr/at most 107.*unix_socket_path/s, 'a socket path that is too long');
for my $mode (0755, 0770, 0777)
{
	chmod $mode, $dir;
	command_exits([ $artery, '-D', $dir ], 1, qr/invalid permissions: @{[sprintf '%04o', $mode]}.*0700/s, sprintf('mode %04o', $mode));
}
SKIP:
{
	skip 'only root can give a directory away', 2 unless $root;
	chmod 0700, $dir;
	chown 1, -1, $dir;
	command_exits([ $artery, '-D', $dir ], 1, qr/wrong ownership: it belongs to user id 1/, q(somebody else's directory));
	chown 0, -1, $dir;
}
chmod 0750, $dir;
ok($node->start, 'a directory that the group may read');
$node->stop;
chmod 0700, $dir;

# ---- the processes ----

ok($node->start, 'start');
my $pid = $node->pid;
is_deeply(
	[ map { s/: \d+ clients$//r } map { slurp_file("/proc/$_/cmdline") =~ s/\0+\z//r } $node->child_pids ],
	[ 'artery: checkpointer', 'artery: evictor', 'artery: expirer', 'artery: walwriter', map { "artery: worker $_" } 1 .. 3 ],
	'one process of each kind, three workers, and no startup process any more');
my @line = split /\n/, slurp_file("$dir/artery.pid"), -1;
is($line[0], $pid, 'artery.pid: the pid');
is($line[1], Cwd::realpath($dir), 'artery.pid: the directory');
ok(abs($line[2] - time) < 300, 'artery.pid: the time of the start');
ok(-S $line[3], 'artery.pid: the socket');
ok(-f "/dev/shm$line[4]", 'artery.pid: the segment');
is($line[5], sprintf('%-16s', 'ready'), 'artery.pid: the state, padded');
is(scalar @line, 7, 'artery.pid: no more lines');
is((stat "$dir/artery.pid")[2] & 0777, 0600, 'artery.pid is ours alone');
is(slurp_file("/proc/$pid/cmdline") =~ tr/\0/ /r, "$artery -D $dir ", 'the postmaster keeps its command line');

# a worker's title says how many clients it has
my @clients = map { $node->connect } 1 .. 5;
$_->cmd('PING') for @clients;
ok(
	poll_until(
		sub {
			my $sum = 0;
			$sum += slurp_file("/proc/$_/cmdline") =~ /: (\d+) client/ ? $1 : 0 for $node->child_pids('worker');
			return $sum == 5;
		}),
	'the titles count the clients');
$_->close for @clients;

# ---- descriptors ----

# kind of a descriptor, by what it is and where it leads
sub kind_of
{
	my ($link) = @_;
	return 'null'    if $link eq '/dev/null';
	return 'log'     if $link eq $node->log_file;
	return 'dir'     if $link eq Cwd::realpath($dir);
	return 'segment' if $link =~ m{^/dev/shm/artery-|^/memfd:artery};
	return 'wal'     if $link =~ m{^\Q@{[Cwd::realpath($dir)]}\E/wal};
	return 'base'    if $link eq Cwd::realpath($dir) . '/data/base';
	return $1        if $link =~ /^(socket|pipe):/;
	return $1        if $link =~ /^anon_inode:\[?([a-z_]+)/;
	return $link;
}

sub descriptors
{
	my ($process) = @_;
	my (%count, @inherits);
	opendir my $handle, "/proc/$process/fd" or die "could not look at $process: $!";
	for my $fd (grep { /^\d+$/ } readdir $handle)
	{
		my $link = readlink "/proc/$process/fd/$fd";
		next unless defined $link;
		my $kind = kind_of($link);
		$count{$kind}++;
		my ($flags) = slurp_file("/proc/$process/fdinfo/$fd") =~ /^flags:\s*([0-7]+)/m;
		push @inherits, "$fd ($link)" if $fd > 2 && !(oct($flags) & 02000000);
	}
	return (\%count, \@inherits);
}

my $slots = 6 + 3;
my %may   = (
	postmaster   => { map { $_ => 1 } qw(null log dir segment pipe eventfd signalfd socket) },
	walwriter    => { map { $_ => 1 } qw(null log dir segment pipe eventfd wal io_uring) },
	checkpointer => { map { $_ => 1 } qw(null log dir segment pipe eventfd wal base io_uring) },
	evictor      => { map { $_ => 1 } qw(null log dir segment pipe eventfd base io_uring) },
	expirer      => { map { $_ => 1 } qw(null log dir segment pipe eventfd base io_uring) },
	worker       => { map { $_ => 1 } qw(null log dir segment pipe eventfd base io_uring eventpoll timerfd socket) },
);
for my $process ($pid, $node->child_pids)
{
	my $title = $process == $pid ? 'postmaster' : slurp_file("/proc/$process/cmdline") =~ /artery: (\w+(?: \d+)?)/ ? $1 : '?';
	my ($kind) = $title =~ /^(\w+)/;
	my ($count, $inherits) = descriptors($process);
	is_deeply([ grep { !$may{$kind}{$_} } sort keys %$count ], [], "$title holds no descriptor of a kind that is not its own")
	  or diag(explain($count));
	is_deeply($inherits, [], "$title: all are closed on exec");
	is($count->{dir},     1, "$title holds the directory, with its lock");
	is($count->{segment}, 1, "$title holds the segment");
	is($count->{pipe}, $kind eq 'postmaster' ? 2 : 1, "$title: the pipe of the postmaster's life");
	cmp_ok($count->{eventfd}, '>=', $slots, "$title can wake every process");
}

# ---- the out-of-memory killer ----

my $own = slurp_file('/proc/self/oom_score_adj') + 0;
my $adj = slurp_file("/proc/$pid/oom_score_adj") + 0;
if ($adj == -900)
{
	pass('the postmaster is out of the killer\'s sight');
	is(slurp_file("/proc/$_/oom_score_adj") + 0, $own > 0 ? $own : 0, "its child $_ is not") for $node->child_pids;
}
else
{
	is($adj, $own, 'the score could not be lowered');
	my @lines = $node->log_content =~ /oom_score_adj: Permission denied/g;
	is(scalar @lines, 2, 'one log line a start says so');
}

# ---- a second server ----

command_exits([ $artery, '-D', $dir ], 1, qr/another server \(PID $pid\) is running in data directory/, 'a second server');
is($node->pid, $pid, 'and the first one has kept its pid file');
rename "$dir/artery.pid", "$base/artery.pid" or die;
command_exits([ $artery, '-D', $dir ], 1, qr/is in use by PID $pid \(/, 'a second server, the pid file removed by hand');
is($node->cmd('PING'), 'PONG', 'the first one serves on');
$node->cmd('SET', 'key', 'value');

# the file comes back by itself
ok(poll_until(sub { -e "$dir/artery.pid" }), 'artery.pid is written again');
like($node->log_content, qr/WARNING:.*artery\.pid" was removed or replaced: writing it again/, 'with a warning');
is($node->pid,   $pid,    'it is the same');
is($node->state, 'ready', 'in every line');

# ---- root ----

if ($root)
{
	my @warnings = $node->log_content =~ /WARNING:  running as root/g;
	is(scalar @warnings, 2, 'one warning a start about root');
}
else
{
	unlike($node->log_content, qr/root/, 'no warning about root');
}
$node->stop;
ok(!-e "$dir/artery.pid" && !-e "$dir/artery.sock" && !-e "/dev/shm$line[4]", 'an orderly stop leaves nothing');

# ---- settings live on through HUP ----

$node->start;
is($node->cmd('GET', 'key'), 'value', 'the value is there after an orderly stop');
my $offset = $node->log_offset;
append_file($node->conf_file, "max_clients = 77\nlog_connections = on\nbogus = 1\n");
$node->reload;
$node->wait_for_log(qr/max_clients/, $offset);
like($node->log_content($offset), qr/unrecognized setting "bogus" in file "[^"]+" line \d+/, 'a wrong line is named');
ok(poll_until(sub { $node->cmd('CONFIG', 'GET', 'log_connections')->[1] eq 'on' }), 'a setting that may change has changed');
is($node->cmd('CONFIG', 'GET', 'max_clients')->[1], '10000', 'one that needs a restart has not');
$node->stop;

# ---- one worker per core, unless told otherwise ----

write_file($node->conf_file, slurp_file($node->conf_file) =~ s/^bogus.*\n//mr);
$node->append_conf(workers => 0);
$node->start;
my ($cores) = command_ok([ 'nproc' ], 'how many cores are ours') =~ /(\d+)/;
is(scalar(my @workers = $node->child_pids('worker')), $cores < 64 ? $cores : 64, 'one worker per core');
$node->stop;

# ---- an ordinary user ----

SKIP:
{
	skip 'not root: this user is ordinary', 6 unless $root;
	my $user  = (getpwnam 'nobody')[2];
	my $group = (getpwnam 'nobody')[3];
	skip 'no setpriv here', 6 unless command_exists('setpriv') && defined $user;
	my @as = ('setpriv', "--reuid=$user", "--regid=$group", '--clear-groups', '--no-new-privs', '--bounding-set=-all');
	skip "user nobody cannot execute $artery", 6 if (run_command([ @as, $artery, '--version' ]))[0] != 0;
	my $theirs = tempdir_short();
	chown $user, $group, $theirs;
	my @small = map { ('-c', $_) } 'workers=1', 'memory_limit=16MB', 'wal_buffers=1MB', 'wal_segment_size=1MB';
	command_ok([ @as, ctl_bin(), 'init', '-D', "$theirs/data", @small ], 'init as nobody');
	command_ok([ @as, ctl_bin(), 'start', '-D', "$theirs/data", '-l', "$theirs/log", '-w' ], 'start as nobody');
	my $client = Artery::Client->new(path => "$theirs/data/artery.sock");
	is($client->cmd('SET', 'a', 'b'), 'OK', 'it serves');
	$client->close;
	command_ok([ @as, ctl_bin(), 'stop', '-D', "$theirs/data" ], 'stop as nobody');
	my $log = slurp_file("$theirs/log");
	unlike($log, qr/running as root|FATAL|PANIC/, 'no warning, no failure');
	is(scalar(() = $log =~ /oom_score_adj/g), 1, 'one line about the score that it may not lower');
}

done_testing;
