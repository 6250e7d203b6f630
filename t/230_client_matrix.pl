# Goal: the programs and libraries that Redis users have work with artery as they
# are, and none of them, nor the server's log, has anything to complain of.
#
# Method: redis-cli in all its modes, redis-benchmark, and one small program per
# library (t/clients, its README says how they talk to this test): hiredis, Perl
# Redis, python3-redis, and from npm redis and ioredis, installed below build/clients.
# Whatever stands on a client's stderr, and every warning in the log, fails the
# test.  What is not installed, or cannot be fetched, is skipped with the reason.
use Artery::Test;
use Artery::Cluster;
use Cwd ();
use File::Copy ();
use File::Path ();
use IPC::Run ();
use Test::More;

my $node = Artery::Cluster->new('matrix');
$node->init(workers => 2, wal_buffers => '16MB');		# for values of 1 MiB
$node->start;
my $socket = $node->socket_path;
my $clients = test_root() . '/t/clients';
my $log_start = $node->log_offset;

# no_complaint -- a test: the log has no complaint since the last call
sub no_complaint
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @lines = grep { /\b(?:WARNING|ERROR|FATAL|PANIC)\b/ && !/root/ } split /\n/, $node->log_content($log_start);
	$log_start = $node->log_offset;
	return is(join("\n", @lines), '', "$name: no complaint in the server's log");
}

# cli -- a test: redis-cli with these arguments prints what matches, and nothing on stderr; returns stdout
sub cli
{
	my ($arguments, $expected, $name, %option) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $out, $err) = run_command(['redis-cli', '-s', $socket, @$arguments], timeout => 60, %option);
	ref $expected ? like($out, $expected, $name) : is($out, "$expected\n", $name);
	is("$code $err", '0 ', "$name: no complaint");
	return $out;
}

subtest 'redis-cli' => sub {
	command_exists('redis-cli') or plan skip_all => 'redis-cli is not installed';
	cli(['PING'], 'PONG', 'one command');
	cli(['SET', 'cli:a', 'one'], 'OK', 'SET');
	cli(['GET', 'cli:a'], 'one', 'GET');
	cli(['INCR', 'cli:a'], qr/^ERR value is not an integer or out of range$/m, 'an error');
	cli(['-x', 'SET', 'cli:stdin'], 'OK', 'value from stdin', stdin => "\0\1\2\xff");
	cli(['--no-raw', 'GET', 'cli:stdin'], '"\x00\x01\x02\xff"', 'value to stdout');
	cli(['-r', '5', '-i', '0.01', 'INCR', 'cli:counter'], "1\n2\n3\n4\n5", 'repeated');
	cli(['-n', '2', 'SET', 'cli:two', 'x'], 'OK', 'another database');
	cli(['EXISTS', 'cli:two'], '0', '... is another one');
	cli(['-n', '2', 'DBSIZE'], '1', '... with a key');
	cli(['-n', '2', 'FLUSHDB'], 'OK', '... without');
	cli(['-3', 'PING'], 'PONG', 'RESP3');
	cli(['-3', '--no-raw', 'CONFIG', 'GET', 'maxclients'], qr/^1# "maxclients" => "\d+"$/, 'a map in RESP3');
	cli(['--csv', 'MGET', 'cli:a', 'cli:none'], '"one",NULL', 'CSV');
	cli(['--json', 'GET', 'cli:a'], '"one"', 'JSON');
	cli([], "PONG\none\n5", 'commands from stdin', stdin => "PING\nGET cli:a\nGET cli:counter\n");
	cli(['INFO', 'server'], qr/^redis_version:\d+\.\d+/m, 'INFO');
	cli(['COMMAND', 'COUNT'], qr/^\d+$/, 'COMMAND COUNT');
	cli(['COMMAND', 'DOCS', 'range'], qr/summary/, 'COMMAND DOCS of a command of ours');

	my $bulk = join '', map { "*3\r\n\$3\r\nSET\r\n\$" . length("cli:pipe:$_") . "\r\ncli:pipe:$_\r\n\$5\r\nvalue\r\n" } 1 .. 10_000;
	cli(['--pipe'], qr/^errors: 0, replies: 10000$/m, '--pipe with 10,000 commands', stdin => $bulk);
	cli(['--pipe'], qr/^errors: 0, replies: 1000$/m, '--pipe of inline commands', stdin => join '', map { "SET cli:pipe:$_ inline\r\n" } 1 .. 1000);
	my $scanned = cli(['--scan', '--pattern', 'cli:pipe:99*'], qr/cli:pipe:9999/, '--scan --pattern');
	is(scalar(() = $scanned =~ /^cli:pipe:99\d*$/mg), 111, '... all of them, once');
	is(scalar(split /\n/, cli(['--scan'], qr/cli:a/, '--scan')), $node->cmd('DBSIZE'), '... and as many as DBSIZE says');
	cli(['SET', 'cli:big', 'x' x 5000], 'OK', 'a big key');
	cli(['--bigkeys'], qr/Biggest string found '"cli:big"' has 5000 bytes/, '--bigkeys');
	cli(['--memkeys'], qr/Biggest string found '"cli:big"' has 5\d\d\d bytes/, '--memkeys');
	cli(['-X', 'tag', 'SET', 'cli:tag', 'tag'], 'OK', 'a tagged argument from stdin', stdin => 'tagged');
	# what cannot be done here is said clearly
	for (['--hotkeys', qr/An LFU maxmemory policy is not selected/], ['--rdb', qr/this server has no replication: sync is not supported/], ['--functions-rdb', qr/Failed requesting functions only RDB from server/],
		['--replica', qr/this server has no replication: sync is not supported/])
	{
		my ($option, $expected) = @$_;
		my ($code, $out, $err) = run_command(['redis-cli', '-s', $socket, $option, $option =~ /rdb/ ? $node->base_dir . '/x.rdb' : ()], timeout => 60);
		like("$out$err", $expected, "$option: a clear error");
		isnt($code, 0, "$option: an exit code");
	}
	cli(['--latency', '-i', '1', '--raw'], qr/^\d+ \d+ \d+\.\d+ \d+$/, '--latency');
	my ($out, $err) = ('', '');
	my $stat = IPC::Run::start(['redis-cli', '-s', $socket, '--stat', '-i', '0.2'], \undef, \$out, \$err, IPC::Run::timeout(60));
	$stat->pump until $out =~ /(?:^\d+\s+\d+\S*\s+\d+\s+0\s+\d+ \(\+\d+\)\s+\d+\s*\n){3}/m || $err;
	$stat->signal('KILL');
	eval { $stat->finish };
	like($out, qr/^\d+\s+[\d.]+[KMG]\s+\d+\s+0\s+\d+ \(\+\d+\)\s+\d+/m, '--stat');
	is($err, '', '--stat: no complaint');
	interactive();
	no_complaint('redis-cli');
};

# interactive -- redis-cli on a terminal: prompt, hints and help from COMMAND DOCS, replies
sub interactive
{
	my ($in, $out) = ('', '');
	my $timer = IPC::Run::timeout(60);
	local $ENV{TERM} = 'xterm';
	local $ENV{HOME} = $node->base_dir;		# no history, no settings
	# the editor of redis-cli asks a terminal of no width for its width, and waits for an answer
	my @command = ('sh', '-c', 'stty cols 100 rows 24 && exec redis-cli -s "$0"', $socket);
	my $cli = eval { IPC::Run::start(\@command, '<pty<', \$in, '>pty>', \$out, $timer) };
	if (!$cli) { diag("no terminal: $@"); return fail('redis-cli on a terminal') }
	my $until = sub {
		my ($pattern, $name) = @_;
		$timer->start(30);
		my $found = eval { $cli->pump until $out =~ $pattern; 1 };
		ok($found, $name) or diag("$@$out");
		$out = '';
	};
	# each step waits for the next prompt: what is typed before it is lost
	my $prompt = qr/redis \S+> (?:\e\[[\d;]*\w)*$/;
	$until->($prompt, 'interactive: the prompt');
	$in .= "set cli:tty 1\r";
	$until->(qr/OK\r?\n.*$prompt/s, 'interactive: a command');
	$in .= 'get ';
	$until->(qr/get .*key/, 'interactive: a hint from COMMAND DOCS');
	$in .= "cli:tty\r";
	$until->(qr/"1"\r?\n.*$prompt/s, 'interactive: a reply');
	$in .= "help strlen\r";
	$until->(qr/STRLEN.*key.*summary:.*since:.*$prompt/s, 'interactive: help');
	$in .= "help range\r";
	$until->(qr/RANGE.*min.*max.*summary:.*$prompt/s, 'interactive: help for a command of ours');
	$in .= "hello 3\r";
	$until->(qr/=> "(?:artery|redis)".*$prompt/s, 'interactive: hello 3');
	$in .= "quit\r";
	eval { $cli->finish; 1 };
	return;
}

subtest 'redis-benchmark' => sub {
	command_exists('redis-benchmark') or plan skip_all => 'redis-benchmark is not installed';
	for (['one by one'], ['pipelined', '-P', '16'], ['RESP3', '-3', '-P', '4'], ['many keys', '-r', '1000', '-d', '300'], ['threads', '--threads', '2'])
	{
		my ($name, @options) = @$_;
		my ($code, $out, $err) = run_command(['redis-benchmark', '-s', $socket, '-t', 'ping,set,get,incr,mset', '-n', '2000', '-c', '20', '-q', @options],
			timeout => 120);
		my @rates = $out =~ /(\S+)(?: \([^)]*\))?: [\d.]+ requests per second/g;
		is("@rates", 'PING_INLINE PING_MBULK SET GET INCR MSET', "$name: all tests ran") or diag($out);
		is("$code $err", '0 ', "$name: no complaint");
		unlike($out, qr/WARN|[Ee]rror/, "$name: no warning");
	}
	no_complaint('redis-benchmark');
};

# library -- runs one of the programs of t/clients against the server, and restarts that when told to
sub library
{
	my ($name, $command, %option) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($in, $out, $err) = ('', '', '');
	my $timer = IPC::Run::timeout(60);
	local %ENV = (%ENV, %{$option{env} // {}});
	my $program = IPC::Run::start([@$command], \$in, \$out, \$err, $timer);
	my ($checks, $restarts, $ended) = (0, 0, 0);
	my $handle = sub {
		while ($out =~ s/^([^\n]*)\n//)
		{
			my $line = $1;
			$timer->start(60);
			if ($line =~ /^ok /) { $checks++ }
			elsif ($line eq 'restart')
			{
				$node->stop($restarts++ ? 'immediate' : 'fast');
				$node->start;
				$in .= "done\n";
			}
			elsif ($line eq 'end') { $ended = 1 }
			else { fail("$name: $line") }
		}
	};
	eval {
		while ($program->pumpable) { $program->pump; $handle->() }
		$program->finish;
		$handle->();
		1;
	} or fail("$name: $@");
	ok($ended && $checks > 10, "$name: $checks checks") or diag("out: $out\nerr: $err");
	is($err, '', "$name: no complaint");
	is($program->result(0), 0, "$name: exit code");
	no_complaint($name);
	return;
}

subtest 'hiredis' => sub {
	my ($code, $flags) = run_command([qw(pkg-config --cflags --libs hiredis)]);
	plan skip_all => 'hiredis is not installed' if $code;
	my $build = test_root() . '/build/clients';
	File::Path::make_path($build);
	($code, my ($out, $err)) = run_command([(split ' ', $ENV{CC} // 'gcc'), qw(-std=gnu11 -Wall -Wextra -Werror -O1 -o), "$build/hiredis_client",
			"$clients/hiredis_client.c", split ' ', $flags]);
	is($code, 0, 'hiredis_client builds') or return diag("$out$err");
	library('hiredis', ["$build/hiredis_client", $socket]);
};

subtest 'Perl Redis' => sub {
	my ($code) = run_command([$^X, '-MRedis', '-e', '1']);
	plan skip_all => 'the Perl module Redis is not installed' if $code;
	library('Perl Redis', [$^X, "$clients/perl_redis.pl", $socket]);
};

subtest 'python3-redis' => sub {
	my ($code) = -x '/usr/bin/python3' ? run_command(['/usr/bin/python3', '-c', 'import redis']) : 1;
	plan skip_all => 'python3-redis is not installed' if $code;
	library('python3-redis', ['/usr/bin/python3', '-B', "$clients/python_redis.py", $socket]);
};

# npm_modules -- where the libraries of package.json are, or undef and the reason
sub npm_modules
{
	my $build = test_root() . '/build/clients';
	return (undef, 'node or npm is not installed') if !command_exists('node') || !command_exists('npm');
	File::Path::make_path($build);
	my $wanted = slurp_file("$clients/package.json");
	return ("$build/node_modules") if -d "$build/node_modules/redis" && -d "$build/node_modules/ioredis" && slurp_file("$build/installed.json") eq $wanted;
	File::Copy::copy("$clients/package.json", "$build/package.json") or die "could not copy package.json: $!";
	my ($code, $out, $err) = eval {
		run_command(['npm', 'install', '--prefix', $build, '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error', '--fetch-timeout=20000',
				'--fetch-retries=1'], timeout => 180);
	};
	return (undef, 'npm cannot install: ' . ($@ || (split /\n/, "$err$out")[0] // '')) if $@ || $code;
	write_file("$build/installed.json", $wanted);
	return ("$build/node_modules");
}

subtest 'from npm' => sub {
	my ($modules, $reason) = npm_modules();
	plan skip_all => $reason if !$modules;
	my (%seen, @nodes);
	for my $program (grep { defined } map { command_exists($_) } qw(node nodejs node18 node20))
	{
		push @nodes, $program if !$seen{Cwd::realpath($program)}++;
	}
	for my $program (@nodes)
	{
		my ($code, $version) = run_command([$program, '--version']);
		chomp $version;
		my @environment = (env => { NODE_PATH => $modules });
		library("redis, RESP$_, node $version", [$program, "$clients/node_redis.js", $socket, $_], @environment) for 2, 3;
		library("ioredis, node $version", [$program, "$clients/node_ioredis.js", $socket], @environment);
	}
};

$node->stop;
done_testing;
