# Goal: artery_ctl does what pg_ctl would, with its messages and exit codes.
#
# Method: each sub-command in each state of a server: not initialised, stopped, running,
# recovering, dead with its files left behind; options before and after the sub-command.
use Artery::Test;
use Artery::Cluster;
use Test::More;

my $ctl  = ctl_bin();
my $base = tempdir_short();
my $dir  = "$base/data";
my $log  = "$base/log";
my @small = map { ('-c', $_) } 'workers=2', 'memory_limit=64MB', 'buffer_pool_size=1MB', 'wal_buffers=4MB', 'wal_segment_size=4MB';

# ---- the command line ----

like(command_ok([ $ctl, '--help' ], '--help'), qr/^Usage:.*artery_ctl restart/ms, '--help shows usage');
command_ok([ $ctl, '-?' ], '-?');
like(command_ok([ $ctl, '--version' ], '--version'), qr/^artery_ctl \d+\.\d+\n\z/, '--version');
like(command_ok([ artery_bin(), '--version' ], 'artery --version'), qr/^artery \d+\.\d+\n\z/, 'artery --version prints one');
command_exits([$ctl], 1, qr/^artery_ctl: no operation specified\nTry "artery_ctl --help"/, 'nothing');
command_exits([ $ctl, 'dance', '-D', $dir ], 1, qr/^artery_ctl: unrecognized operation mode "dance"/, 'unknown sub-command');
command_exits([ $ctl, 'start', 'stop', '-D', $dir ], 1, qr/too many command-line arguments \(first is "stop"\)/, 'two sub-commands');
command_exits([ $ctl, 'start', '--dance' ], 1, qr/unrecognized option '--dance'.*Try/s, 'unknown option');
command_exits([ $ctl, 'start', '-D' ], 1, qr/requires an argument.*Try/s, 'option without its argument');
command_exits([ $ctl, 'stop', '-m', 'slow', '-D', $dir ], 1, qr/unrecognized shutdown mode "slow"/, 'unknown mode');
command_exits([ $ctl, 'stop', '-t', '5x', '-D', $dir ], 1, qr/invalid timeout "5x"/, 'no number of seconds');
command_exits([ $ctl, 'start', '-c', 'workers', '-D', $dir ], 1, qr/"workers" is not of the form name=value/, '-c without a value');
command_exits([ $ctl, 'start', '-o', '-x 1', '-D', $dir ], 1, qr/option -o: "-x" is not -c name=value/, '-o with something else');
for my $sub (qw(init start stop restart reload status checkpoint))
{
	command_exits([ $ctl, $sub ], 1, qr/no data directory specified and environment variable ARTERY_DATA unset/, "$sub without -D");
}

# ---- no directory, none of ours ----

command_exits([ $ctl, 'status', '-D', $dir ], 4, qr/directory "\Q$dir\E" does not exist/, 'status of nothing');
command_exits([ $ctl, 'status', '-D', $base ], 4, qr/is not an artery data directory/, 'status of a foreign directory');
for my $sub (qw(start stop restart reload checkpoint))
{
	command_exits([ $ctl, $sub, '-D', $dir ], 1, qr/directory "\Q$dir\E" does not exist/, "$sub of nothing");
	command_exits([ $ctl, $sub, '-D', $base ], 1, qr/is not an artery data directory/, "$sub of a foreign directory");
}

# ---- init ----

command_exits([ $ctl, 'init', '-D', $dir, '-c', 'prot=1' ], 1, qr/unrecognized setting "prot" in option -c.*removing data directory.*initialization failed/s,
	'init with an unknown setting');
ok(!-e $dir, 'and nothing is left behind');
command_exits([ $ctl, 'init', '-D', $dir, '-c', 'workers=many' ], 1, qr/invalid value "many" for setting "workers".*initialization failed/s, 'init with a bad value');
ok(!-e $dir, 'nor then');
mkdir $dir;
command_exits([ $ctl, 'init', '-D', $dir, '-c', 'workers=many' ], 1, qr/removing contents of data directory/, 'init in an empty directory that was there');
ok(-d $dir, 'the directory stays');
is_deeply([ glob "$dir/*" ], [], 'and is empty');
like(command_ok([ $ctl, '-D', "$dir/", 'init', @small ], 'init'),
	qr/^creating data directory \Q$dir\E \.\.\. ok\n\nSuccess\. .*artery_ctl -D \Q$dir\E -l logfile start/s, 'init says how to go on');
is(join(' ', map { s{.*/}{}r } sort glob "$dir/*"), 'artery.conf control data wal', 'the files of a data directory');
ok(-f "$dir/data/base", 'data/base is there');
is((stat $dir)[2] & 0777, 0700, 'the directory is ours alone');
is((stat "$dir/artery.conf")[2] & 0777, 0600, 'artery.conf too');
like(slurp_file("$dir/artery.conf"), qr/^workers = 2$/m, 'a setting of the command line stands in artery.conf');
command_exits([ $ctl, 'init', '-D', $dir ], 1, qr/directory "\Q$dir\E" exists but is not empty\n.*either remove or empty/s, 'init again');
like(slurp_file("$dir/artery.conf"), qr/^workers = 2$/m, 'and changes nothing');
mkdir "$base/other";
write_file("$base/other/.hidden", 'x');
command_exits([ $ctl, 'init', '-D', "$base/other" ], 1, qr/exists but is not empty/, 'init over a hidden file');
is(command_ok([ $ctl, 'init', '-s', '-D', "$base/deep/er", @small ], 'init makes directories above'), '', '-s says nothing');
{
	local $ENV{ARTERY_DATA} = "$base/by-environment";
	command_ok([ $ctl, 'init', @small ], 'init by ARTERY_DATA');
	ok(-f "$base/by-environment/control", 'in that directory');
}

# ---- stopped ----

command_exits([ $ctl, 'status', '-D', $dir ], 3, qr/^artery_ctl: no server running$/m, 'status of a stopped server');
command_exits([ $ctl, 'stop', '-D', $dir ], 1, qr/PID file "\Q$dir\E\/artery\.pid" does not exist\nIs server running\?/, 'stop of a stopped server');
command_exits([ $ctl, 'reload', '-D', $dir ], 1, qr/PID file .* does not exist\nIs server running\?/, 'reload of a stopped server');
command_exits([ $ctl, 'start', '-D', $dir, '-l', "$base/no/log" ], 1, qr/could not open log file "\Q$base\E\/no\/log": No such file/, 'start with a log that cannot be');
command_exits([ $ctl, 'start', '-D', $dir, '-l', $log, '-c', 'prot=1' ], 1,
	qr/^waiting for server to start\.\.\.\.* stopped waiting\n.*could not start server\nExamine the log output in "\Q$log\E"\./ms, 'start of a server that cannot');
like(slurp_file($log), qr/FATAL:  unrecognized setting "prot" in option -c/, 'and the log says why');
command_exits([ $ctl, 'start', '-s', '-D', $dir, '-c', 'prot=1' ], 1,
	qr/FATAL:  unrecognized setting "prot".*could not start server\nExamine the log output\./s, 'without -l the server speaks here');

# the rest goes through a Cluster object's eyes, so that nothing is left running
my $node = Artery::Cluster->new('ctl');
@{$node}{qw(data_dir log_file)} = ($dir, $log);

# ---- start, status, start again, stop ----

like(command_ok([ $ctl, '-D', $dir, '-l', $log, 'start' ], 'start, options before the sub-command'),
	qr/^waiting for server to start\.\.\.\.* done\nserver started\n\z/, 'start says so');
is($node->cmd('PING'), 'PONG', 'and the server answers');
my $pid = $node->pid;
ok($node->running, 'the pid file names a process that runs');
is((stat $log)[2] & 0777, 0600, 'the log is ours alone');
{
	my @line = split /\n/, slurp_file("$dir/artery.pid");
	is($line[1], $dir, 'pid file: data directory');
	ok(abs($line[2] - time) < 600, 'pid file: start time');
	is($line[3], "$dir/artery.sock", 'pid file: socket');
	like($line[4], qr/^(-|\/\S+)$/, 'pid file: segment');
	is($line[5], sprintf('%-16s', 'ready'), 'pid file: state');
	is((stat "$dir/artery.sock")[2] & 0777, 0700, 'the socket is ours alone');
}
my $status = command_exits([ $ctl, 'status', '-D', $dir ], 0, qr/^artery_ctl: server is running \(PID: $pid\)$/m, 'status');
like($status, qr/^data directory: \Q$dir\E$/m, 'status: data directory');
like($status, qr/^state: ready$/m, 'status: state');
like($status, qr/^started: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, up \d+ s$/m, 'status: start');
like($status, qr{^socket: \Q$dir\E/artery\.sock$}m, 'status: socket');
like($status, qr/^artery_version: \d+\.\d+$/m, 'status: version, asked of the server');
like($status, qr/^connected_clients: \d+$/m, 'status: clients');
like($status, qr/^wal_insert: [0-9A-F]+\/[0-9A-F]+\nwal_flushed: [0-9A-F]+\/[0-9A-F]+$/m, 'status: how far the log is, and is flushed');
like($status, qr/^processes:\n(?:  \d+ artery: .*\n){4,}/m, 'status: processes');
like($status, qr/^  \d+ artery: worker 1\b/m, 'status: the second worker');

my $offset = $node->log_offset;
command_exits([ $ctl, 'start', '-D', $dir, '-l', $log ], 1,
	qr/another server might be running \(PID: $pid\); trying to start server anyway.*could not start server/s, 'start twice');
like($node->log_content($offset), qr/FATAL:  .*$pid/, 'the second server says whom it met');
is($node->pid, $pid, 'the first one is still the one');
is($node->cmd('PING'), 'PONG', 'and answers');
rename "$dir/artery.pid", "$base/artery.pid";
command_exits([ $ctl, 'start', '-D', $dir, '-l', $log ], 1, qr/could not start server/, 'start twice without the pid file: the lock decides');
rename "$base/artery.pid", "$dir/artery.pid";

like(command_ok([ $ctl, 'stop', '-D', $dir ], 'stop'),
	qr/^waiting for server to shut down\.\.\.\.* done\nserver stopped\n\z/, 'stop says so');
ok(!Artery::Cluster::alive($pid), 'the process is gone');
is_deeply([ grep { -e "$dir/$_" } 'artery.pid', 'artery.sock' ], [], 'and its files');
command_exits([ $ctl, 'stop', '-D', $dir ], 1, qr/Is server running\?/, 'stop twice');

# ---- a checkpoint ----

command_exits([ $ctl, 'checkpoint', '-D', $dir ], 1, qr/^artery_ctl: no server running$/m, 'checkpoint of a stopped server');
$node->start;
$node->cmd('SET', "key $_", 'x' x 5000) for 1 .. 20;
my $report = command_ok([ $ctl, 'checkpoint', '-D', $dir ], 'checkpoint');
like($report, qr/^checkpoint done\nround: \d+\ncut: [0-9A-F]+\/[0-9A-F]+\nkeys-written: (?:2[0-9])\nkeys-removed: 0\npages-to-write: (\d+)\npages-written: \1\n/,
	'with its report');
like($report, qr/^duration-us: \d+\n\z/m, 'to the end');
unlike($report, qr/\r/, 'no progress where there is no terminal');
is(command_ok([ $ctl, 'checkpoint', '-s', '-D', $dir ], 'checkpoint -s'), '', 'checkpoint -s says nothing');
my ($rounds) = $node->cmd('INFO', 'persistence') =~ /^rdb_saves:(\d+)/m;
$node->cmd('SET', 'key', 'another value');	# with nothing to write there is nothing to commit
like(command_ok([ $ctl, 'checkpoint', '-W', '-D', $dir ], 'checkpoint -W'), qr/^checkpoint requested\n\z/, 'checkpoint -W does not wait');
ok(poll_until(sub { $node->cmd('INFO', 'persistence') =~ /^rdb_saves:(\d+)/m && $1 == $rounds + 1 }), 'but one is made');
$status = command_exits([ $ctl, 'status', '-D', $dir ], 0, qr/^last_checkpoint: 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC$/m, 'status: last checkpoint');
like($status, qr/^base: [\d.]+[BKM] live, [\d.]+[BKM] free, [\d.]+[BKM] in all$/m, 'status: size of the base');
like($status, qr/^buffer_pool: 1\.00M, \d+ % used/m, 'status: buffer pool');
like($status, qr/^used_memory_human: /m, 'status: memory');
SKIP:
{
	skip 'not a build with fault points', 10 unless slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;
	my $slow = sub {
		$node->stop('fast');
		$node->start(args => [ '-c', "fault_points=$_[0]" ]);
		$node->cmd('SET', 'key', "a value before $_[0]");
	};
	$slow->('file-write@data/base:enospc:1:0');
	command_exits([ $ctl, 'checkpoint', '-D', $dir ], 1, qr/^artery_ctl: checkpoint failed: .*No space left on device/m, 'a checkpoint that fails');
	command_exits([ $ctl, 'status', '-D', $dir ], 0, qr/^last_checkpoint_error: .*No space left on device/m, 'status tells');
	is($node->cmd('SET', 'key', 'a value after it'), 'OK', 'service goes on');
	$slow->('checkpoint-merged:delay_ms=3000');
	command_exits([ $ctl, 'checkpoint', '-t', 1, '-D', $dir ], 1, qr/the checkpoint is not done after 1 seconds; the server goes on with it/, 'checkpoint -t');
	my ($saves) = $node->cmd('INFO', 'persistence') =~ /^rdb_saves:(\d+)/m;
	ok(poll_until(sub { $node->cmd('INFO', 'persistence') =~ /^rdb_saves:(\d+)/m && $1 == $saves + 1 }), 'and it does');
	eval { require IO::Pty; 1 } or skip 'no IO::Pty here', 3;
	$slow->('checkpoint-merged:delay_ms=1000');
	my $out = '';
	IPC::Run::run([ $ctl, 'checkpoint', '-D', $dir ], '<pty<', \undef, '>pty>', \$out, IPC::Run::timeout($timeout_default));
	is($? >> 8, 0, 'checkpoint on a terminal');
	like($out, qr/\r\e\[Kcheckpoint: [a-z ]+, \d+ %, \d+ pages written/, 'shows its progress');
	like($out, qr/checkpoint done\r?\nround: /, 'and ends with its report, too');
	$slow->('checkpoint-merged:delay_ms=2000');
	$node->{connection} = undef;
	command_ok([ $ctl, 'stop', '-m', 'smart', '-D', $dir ], 'a smart stop waits for its checkpoint');
	$node->start;
}
$node->cmd('SET', 'key', 'the last value');
$node->{connection} = undef;
$offset = $node->log_offset;
like(command_ok([ $ctl, 'stop', '-m', 'smart', '-D', $dir ], 'smart stop'), qr/server stopped\n\z/, 'a smart stop ends');
like($node->log_content($offset), qr/checkpoint \d+ complete/, 'with a checkpoint');

# ---- waiting, or not ----

like(command_ok([ $ctl, 'start', '-W', '-D', $dir, '-l', $log ], 'start -W'), qr/^server starting\n\z/, 'start -W does not wait');
$node->wait_state('ready');
like(command_ok([ $ctl, 'reload', '-D', $dir ], 'reload'), qr/^server signaled\n\z/, 'reload says so');
like(command_ok([ $ctl, 'stop', '-W', '-D', $dir ], 'stop -W'), qr/^server shutting down\n\z/, 'stop -W does not wait');
ok(poll_until(sub { !$node->pid }), 'but the server stops');
is(command_ok([ $ctl, 'start', '-s', '-D', $dir, '-l', $log, '-t', '60' ], 'start -s'), '', 'start -s says nothing');

# ---- modes ----

my $client = $node->connect;
$client->cmd('SET', 'k', 'v');
command_exits([ $ctl, 'stop', '-m', 'smart', '-t', '1', '-D', $dir ], 1,
	qr/^waiting for server to shut down\.* failed\n.*server does not shut down\nHINT: The "-m fast" option/ms, 'a smart stop waits for a client, but not for ever');
ok($node->running, 'and the server is still there');
$client->close;
ok(poll_until(sub { !$node->pid }), 'and ends when the client has left');

$node->start;
$client = $node->connect;
is($client->cmd('GET', 'k'), 'v', 'the data is there');
command_ok([ $ctl, 'stop', '-D', $dir, '-m', 'f' ], 'stop -m f');
ok($client->is_closed, 'a fast stop closes clients');

$node->start;
$client = $node->connect;
command_ok([ $ctl, 'stop', '-D', $dir, '-m', 'immediate' ], 'stop -m immediate');
command_exits([ $ctl, 'status', '-D', $dir ], 3, qr/no server running/, 'status after an immediate stop');

# ---- restart ----

$offset = $node->log_offset;
command_exits([ $ctl, 'restart', '-D', $dir, '-l', $log ], 0, qr/Is server running\?\ntrying to start server anyway/, 'restart of a stopped server');
like($node->log_content($offset), qr/redo/, 'it recovers');
$pid = $node->pid;
like(command_ok([ $ctl, 'restart', '-l', $log, '-c', 'log_min_messages=warning', '-m', 'fast', '-D', $dir ], 'restart'),
	qr/server stopped\nwaiting for server to start\.\.\.\.* done\nserver started\n\z/, 'restart says so');
isnt($node->pid, $pid, 'another process');
is($node->cmd('CONFIG', 'GET', 'log_min_messages')->[1], 'warning', 'settings go to the new server');
is($node->cmd('GET', 'k'), 'v', 'with the data');
$node->restart;
command_ok([ $ctl, 'restart', '-s', '-l', $log, '-o', '-c workers=1 -c commit_siblings=2', '-D', $dir ], 'restart -o as in pg_ctl');
is($node->cmd('CONFIG', 'GET', 'workers')->[1], '1', 'the first setting');
is($node->cmd('CONFIG', 'GET', 'commit_siblings')->[1], '2', 'the second setting');

# ---- leftovers ----

$pid = $node->pid;
$node->kill9;
ok(-e "$dir/artery.pid", 'a killed server leaves its pid file');
command_exits([ $ctl, 'status', '-D', $dir ], 3, qr/no server running/, 'status of a killed server');
command_exits([ $ctl, 'stop', '-D', $dir ], 1, qr/could not send stop signal \(PID: $pid\): No such process/, 'stop of a killed server');
command_exits([ $ctl, 'reload', '-D', $dir ], 1, qr/could not send reload signal \(PID: $pid\): No such process/, 'reload of a killed server');
command_exits([ $ctl, 'restart', '-D', $dir, '-l', $log ], 0, qr/old server process \(PID: $pid\) seems to be gone\nstarting server anyway/, 'restart of a killed server');
is($node->cmd('GET', 'k'), 'v', 'and the data is there');
$node->stop;

# a pid file that names a process of somebody else, and one that is garbage
write_file("$dir/artery.pid", "$$\n$dir\n");
command_exits([ $ctl, 'start', '-D', $dir, '-l', $log ], 0, qr/another server might be running \(PID: $$\)/, 'start over a pid file that names another process');
$node->stop;
write_file("$dir/artery.pid", "hello\n");
command_exits([ $ctl, 'stop', '-D', $dir ], 1, qr/invalid data in PID file/, 'stop by a pid file that is garbage');
command_exits([ $ctl, 'status', '-D', $dir ], 3, qr/no server running/, 'status by a pid file that is garbage');
command_ok([ $ctl, 'start', '-D', $dir, '-l', $log ], 'start over a pid file that is garbage');
$node->stop;

# ---- other socket, password, relative paths ----

write_file("$dir/artery.conf", slurp_file("$dir/artery.conf") . "unix_socket_path = '$base/it''s.sock'\nrequirepass = 'open sesame'\n");
{
	chdir $base or die "$base: $!";
	command_ok([ $ctl, 'start', '-D', 'data', '-l', 'log' ], 'start by relative paths');
	chdir '/' or die "/: $!";
}
$status = command_exits([ $ctl, 'status', '-D', $dir ], 0, qr{^socket: \Q$base/it's.sock\E$}m, 'status names the socket');
like($status, qr/^connected_clients: \d+$/m, 'status knows the password from artery.conf');
like(command_ok([ $ctl, 'checkpoint', '-D', $dir ], 'checkpoint with a password'), qr/^checkpoint done$/m, 'checkpoint knows the password, too');
like($node->connect->err('GET', 'k'), qr/^NOAUTH /, 'others do not');
$node->stop;
ok(!-e "$base/it's.sock", 'the socket is gone');

# ---- the program beside it ----

{
	mkdir "$base/bin";
	system('cp', $ctl, "$base/bin/artery_ctl") == 0 or die 'cp';
	my @alone = ("$base/bin/artery_ctl", 'start', '-D', $dir);
	command_exits(\@alone, 1, qr/program "artery" is needed by artery_ctl but was not found in the same directory/, 'artery_ctl alone');
	write_file("$base/bin/artery", "#!/bin/sh\necho artery 0.0\n");
	chmod 0755, "$base/bin/artery";
	command_exits(\@alone, 1, qr/is not the same version as artery_ctl/, 'artery_ctl beside a stranger');
}

done_testing;
