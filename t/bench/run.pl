#!/usr/bin/perl
#
# run.pl -- `make bench`: artery against redis-server on this machine, in turns, over UNIX sockets.
#
# Both servers run at their defaults but for what a row is about; each figure is
# the median of several runs that alternate between the two (A B A B ...), so that
# a machine that slows down slows both.  The load comes from redis-benchmark and
# bench_load on the same cores as the servers: what the generator uses is told.
# doc/performance.md says how to read the tables.
#
# Exit code 0 when every row ran; 1 with --strict when a target is missed;
# anything else: a row failed, with the reason.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench::Report;
use Bench::Server;
use Bench::Setup;
use Cwd qw(abs_path);
use Getopt::Long qw(GetOptions);
use JSON::PP ();
use POSIX ();

my $root = root_dir();

my %option = (
	bindir => "$root/build/release",
	runs => 3,
	seconds => 5,
	keys => 1_000_000,
	'memory-keys' => 5_000_000,
	'redo-keys' => 1_000_000,
	dir => '/var/tmp',
	seed => 1,
);

# The load rows: what redis-benchmark is told, against which pair of servers, and the least ratio wanted.
my @load_rows = (
	{ name => 'get_p16', command => 'get', clients => 50, pipeline => 16, target => 1.0 },
	{ name => 'set_p16', command => 'set', clients => 50, pipeline => 16, target => 1.0 },
	{ name => 'get_c50', command => 'get', clients => 50, pipeline => 1 },
	{ name => 'set_c50', command => 'set', clients => 50, pipeline => 1 },
	{ name => 'get_c1', command => 'get', clients => 1, pipeline => 1 },
	{ name => 'set_c1', command => 'set', clients => 1, pipeline => 1 },
	{ name => 'durable_p16', command => 'set', clients => 50, pipeline => 16, durable => 1, target => 1.5 },
	{ name => 'durable_c50', command => 'set', clients => 50, pipeline => 1, durable => 1 },
	{ name => 'durable_c1', command => 'set', clients => 1, pipeline => 1, durable => 1 },
);
my @row_names = ((map { $_->{name} } @load_rows), qw(memory redo start));
my $VALUE_SIZE = 64;
my $REDO_RATE_TARGET = 1e6;		# records per second
my $BYTES_PER_KEY_MAX = 400;	# memory set aside per key of the memory row

my $usage = <<"END";
usage: run.pl [options] [row ...]
  --bindir DIR       where artery and artery_ctl are (default build/release)
  --runs N           turns per row; the median is reported (default $option{runs})
  --seconds S        time that each turn of a load row shall take (default $option{seconds})
  --keys N           keys of the load rows (default $option{keys})
  --memory-keys N    keys of the row memory (default $option{'memory-keys'})
  --redo-keys N      keys of the row redo (default $option{'redo-keys'})
  --dir DIR          where the data goes, for a disk to be measured (default $option{dir})
  --seed N           other keys, another order (default $option{seed})
  --json FILE        all figures of all turns, too
  --strict           exit code 1 when a target is missed
  --quick            one short turn of each row with few keys: does it run?
rows: @row_names
      (or the beginning of a name; default: all)
END

my (%wanted, $dir, $load_tool, $disk_tool);
my %report = (rows => []);

# ---------------------------------------------------------------- tools

sub note { print STDERR @_, "\n" }

sub load_keys
{
	my ($server, %arg) = @_;
	return run_json($load_tool, '--socket', $server->{socket}, '--value', $VALUE_SIZE, '--seed', $option{seed},
		map { ("--$_", $arg{$_}) } sort keys %arg);
}

sub check_count
{
	my ($server, $keys) = @_;
	my $size = $server->client->call('DBSIZE');
	die "$server->{label} holds $size keys, not $keys\n" unless $size == $keys;
}

# ---------------------------------------------------------------- servers

# What every artery server here is given besides the row's own settings: nothing,
# unless /dev/shm cannot hold the segment (containers): then a memory file without name.
sub artery_settings
{
	my (%setting) = @_;
	my ($mib) = ($setting{memory_limit} // '1024MB') =~ /(\d+)/;
	my ($free) = (qx(df -Pk /dev/shm 2>/dev/null) =~ /\n\S+\s+\d+\s+\d+\s+(\d+)/);
	$setting{shared_memory_type} = 'memfd' if ($free // 0) / 1024 < $mib + 512;
	return \%setting;
}

sub new_artery
{
	my ($label, %setting) = @_;
	return Bench::Server::Artery->new(label => $label, parent => $dir, bindir => $option{bindir},
		settings => artery_settings(%setting));
}

sub new_redis
{
	my ($label, %setting) = @_;
	return Bench::Server::Redis->new(label => $label, parent => $dir, settings => \%setting);
}

sub durable_redis { return (appendonly => 'yes', appendfsync => 'always', 'auto-aof-rewrite-percentage' => 0) }

# ---------------------------------------------------------------- load rows

# benchmark -- one run of redis-benchmark: operations per second, latencies, and what both sides' processors did.
sub benchmark
{
	my ($row, $server, $count) = @_;
	my @command = ('redis-benchmark', '-s', $server->{socket}, '-t', $row->{command}, '-r', $option{keys}, '-d', $VALUE_SIZE,
		'-n', $count, '-c', $row->{clients}, '-P', $row->{pipeline}, '--csv');
	my $info = $server->info;
	my $cpu = $server->cpu_seconds;
	my (undef, undef, @generator) = times;
	my $start = Bench::Server::now();
	open my $in, '-|', @command or die "could not run redis-benchmark: $!\n";
	my $text = do { local $/; <$in> } // '';
	close $in;
	my $wall = Bench::Server::now() - $start;
	$cpu = $server->cpu_seconds - $cpu;
	my (undef, undef, @generator_after) = times;
	my $name = uc $row->{command};
	my ($line) = $text =~ /^"$name",(.*)$/m or die "redis-benchmark against $server->{label} failed: @command\n$text\n";
	my ($rate, undef, undef, $p50, undef, $p99) = $line =~ /"([\d.]+)"/g;
	my $after = $server->info;
	my $flushes = defined $info->{wal_flushes} ? $after->{wal_flushes} - $info->{wal_flushes} : undef;
	return {
		rate => $rate + 0,
		p50_us => 1e3 * $p50,
		p99_us => 1e3 * $p99,
		count => $count,
		server_us => 1e6 * $cpu / $count,
		generator_cpu => ($generator_after[0] + $generator_after[1] - $generator[0] - $generator[1]) / $wall,
		$flushes ? (commits_per_flush => $count / $flushes) : (),
	};
}

# turns -- the row against both servers, alternating.
sub turns
{
	my ($row, $artery, $redis) = @_;
	my %count;
	my %result = (artery => [], redis => []);
	my %server = (artery => $artery, redis => $redis);
	for my $who (qw(artery redis))
	{
		# A short run says how many operations fill the time; it also warms up.
		my $least = 200 * $row->{clients} * $row->{pipeline};
		my $short = benchmark($row, $server{$who}, $row->{clients} == 1 ? 2000 : $least);
		my $longer = benchmark($row, $server{$who}, int($short->{rate} * $option{seconds} / 10) + $row->{clients} * $row->{pipeline});
		$count{$who} = int($longer->{rate} * $option{seconds}) + $row->{clients} * $row->{pipeline};
	}
	for my $turn (1 .. $option{runs})
	{
		for my $who (qw(artery redis))
		{
			push @{ $result{$who} }, benchmark($row, $server{$who}, $count{$who});
			$count{$who} = int($result{$who}[-1]{rate} * $option{seconds}) + $row->{clients} * $row->{pipeline};
			note(sprintf '  %-12s %-7s %d: %s/s', $row->{name}, $who, $turn, commas($result{$who}[-1]{rate}));
		}
	}
	return \%result;
}

sub run_load_group
{
	my ($durable, @rows) = @_;
	return unless @rows;
	my $artery = new_artery($durable ? 'artery-durable' : 'artery', durability => $durable ? 'immediate' : 'periodic');
	my $redis = $durable ? new_redis('redis-durable', durable_redis()) : new_redis('redis');
	for my $server ($artery, $redis)
	{
		$server->start;
		load_keys($server, keys => $option{keys});
		check_count($server, $option{keys});
	}
	for my $row (@rows)
	{
		my $result = turns($row, $artery, $redis);
		push @{ $report{rows} }, { %$row, kind => 'load', %$result, %{ Bench::Report::judge_load($row, $result) } };
	}
	$report{stop_seconds}{ $durable ? 'durable' : 'plain' } = { artery => $artery->stop, redis => $redis->stop };
	$_->remove for $artery, $redis;
}

# ---------------------------------------------------------------- memory, redo, start

# memory_of -- what 'keys' path-like keys cost a server that starts empty.
sub memory_of
{
	my ($server, $keys) = @_;
	$server->start;
	my $empty = $server->info;
	my %before = (used => $empty->{used_memory}, resident => $server->resident);
	my $load = load_keys($server, keys => $keys, shape => 'path');
	check_count($server, $keys);
	my $info = $server->info;
	my %result = (
		used => $info->{used_memory} - $before{used},
		resident => $server->resident - $before{resident},
		key_bytes => $load->{key_bytes},
		load_rate => $load->{rate},
		exists $info->{memory_reserved} ? (reserved => $info->{memory_reserved} - $empty->{memory_reserved}) : (),
	);
	$result{"${_}_per_key"} = $result{$_} / $keys for grep { exists $result{$_} } qw(used resident reserved);
	$result{key_size} = $load->{key_bytes} / $keys;
	$server->stop;
	$server->remove;
	return \%result;
}

sub run_memory
{
	my $keys = $option{'memory-keys'};
	my ($available) = Bench::Server::slurp('/proc/meminfo') =~ /^MemAvailable:\s+(\d+) kB/m;
	my $most = int(1024 * $available * 0.6 / $BYTES_PER_KEY_MAX);
	if ($keys > $most)
	{
		note("  memory: this machine has room for $most keys only");
		$keys = $most;
	}
	my $limit = int($keys * $BYTES_PER_KEY_MAX / 1048576) + 64;
	$limit = 1024 if $limit < 1024;
	my %result = (
		artery => memory_of(new_artery('artery-memory', durability => 'periodic', memory_limit => "${limit}MB"), $keys),
		redis => memory_of(new_redis('redis-memory'), $keys),
	);
	note(sprintf '  memory       artery %.1f, redis %.1f bytes per key', map { $result{$_}{used_per_key} } qw(artery redis));
	push @{ $report{rows} }, { name => 'memory', kind => 'memory', keys => $keys, %result, %{ Bench::Report::judge_memory(\%result) } };
}

# redo_of -- loads, kills -9, starts again; all values are compared afterwards, so the server
# must be one that has a write on disk when it answers.
sub redo_of
{
	my ($server, $keys) = @_;
	$server->start;
	load_keys($server, keys => $keys);
	$server->kill9;
	my $seconds = $server->start;
	my ($records, $redo) = $server->redo_done;
	die "$server->{label}: the log does not say how long the redo took:\n" . $server->log_end unless defined $redo;
	$records //= $keys;
	load_keys($server, keys => $keys, op => 'get');
	$server->stop;
	$server->remove;
	return { start_seconds => $seconds, redo_seconds => $redo, records => $records, rate => $records / ($redo || 1e-3) };
}

sub run_redo
{
	my $keys = $option{'redo-keys'};
	my %result = (artery => [], redis => []);
	for my $turn (1 .. $option{runs})
	{
		push @{ $result{artery} }, redo_of(new_artery('artery-redo', durability => 'immediate'), $keys);
		push @{ $result{redis} }, redo_of(new_redis('redis-redo', durable_redis()), $keys);
		note(sprintf '  redo         turn %d: artery %s, redis %s records/s', $turn, map { commas($result{$_}[-1]{rate}) } qw(artery redis));
	}
	push @{ $report{rows} }, { name => 'redo', kind => 'redo', keys => $keys, target => $REDO_RATE_TARGET, %result,
		%{ Bench::Report::judge_redo($REDO_RATE_TARGET, \%result) } };
}

# run_start -- of an empty server that was stopped in order before; and with half the machine's memory as limit.
sub run_start
{
	my ($total) = Bench::Server::slurp('/proc/meminfo') =~ /^MemTotal:\s+(\d+) kB/m;
	my $half = int($total / 2048);
	my @servers = (
		[ artery => new_artery('artery-start') ],
		[ redis => new_redis('redis-start') ],
		[ artery_half => new_artery('artery-start-half', memory_limit => "${half}MB") ],
	);
	my %result = (half_mb => $half);
	for my $pair (@servers)
	{
		$pair->[1]->start;
		$pair->[1]->stop;
	}
	for my $turn (1 .. $option{runs})
	{
		for my $pair (@servers)
		{
			my ($who, $server) = @$pair;
			push @{ $result{$who} }, { start_seconds => $server->start, stop_seconds => $server->stop };
		}
	}
	$_->[1]->remove for @servers;
	note(sprintf '  start        artery %.3f s, redis %.3f s', map { median(map { $_->{start_seconds} } @{ $result{$_} }) } qw(artery redis));
	push @{ $report{rows} }, { name => 'start', kind => 'start', %result };
}

# ---------------------------------------------------------------- the machine

sub machine_facts
{
	my $cpuinfo = Bench::Server::slurp('/proc/cpuinfo');
	my $place = abs_path($dir);
	my ($kind, $point) = ('unknown', '');
	for my $mount (split /\n/, Bench::Server::slurp('/proc/mounts'))
	{
		my (undef, $where, $type) = split ' ', $mount;
		my $inside = $where eq '/' || $place eq $where || index($place, "$where/") == 0;
		($kind, $point) = ($type, $where) if $inside && length $where >= length $point;
	}
	my ($version) = qx("$option{bindir}/artery" --version 2>&1) =~ /(\S[^\n]*)/;
	my ($redis) = qx(redis-server --version 2>&1) =~ /v=(\S+)/;
	my ($model) = $cpuinfo =~ /^model name\s*:\s*(.*)$/m;
	my ($memory) = Bench::Server::slurp('/proc/meminfo') =~ /^MemTotal:\s+(\d+) kB/m;
	return {
		cores => scalar(() = $cpuinfo =~ /^processor/mg),
		processor => $model // 'unknown',
		memory_mb => int($memory / 1024),
		kernel => (POSIX::uname())[2],
		file_system => $kind,
		load_average => (split ' ', Bench::Server::slurp('/proc/loadavg'))[0] + 0,
		artery => $version // 'unknown',
		redis => $redis // 'unknown',
		date => POSIX::strftime('%Y-%m-%d %H:%M UTC', gmtime),
	};
}

# ---------------------------------------------------------------- main

sub choose_rows
{
	my (@names) = @_;
	@names = @row_names unless @names;
	for my $name (@names)
	{
		my @found = grep { index($_, $name) == 0 } @row_names;
		die "there is no row \"$name\"; rows: @row_names\n" unless @found;
		$wanted{$_} = 1 for @found;
	}
}

sub main
{
	choose_rows(@ARGV);
	($load_tool, $disk_tool) = map { tool($_) } qw(bench_load bench_disk);
	$dir = bench_dir($option{dir});
	my $facts = $report{machine} = machine_facts();
	$report{settings} = { map { $_ => $option{$_} } qw(runs seconds keys memory-keys redo-keys seed) };
	note("warning: this machine is busy already (load average $facts->{load_average}); the figures will say so")
		if $facts->{load_average} > 0.5 * $facts->{cores};
	$report{disk} = run_json($disk_tool, $dir, $option{quick} ? 0.5 : 3);
	attempt('load', sub { run_load_group(0, grep { $wanted{ $_->{name} } && !$_->{durable} } @load_rows) });
	attempt('durable', sub { run_load_group(1, grep { $wanted{ $_->{name} } && $_->{durable} } @load_rows) });
	attempt('memory', \&run_memory) if $wanted{memory};
	attempt('redo', \&run_redo) if $wanted{redo};
	attempt('start', \&run_start) if $wanted{start};
	print Bench::Report::text(\%report);
	if (defined $option{json})
	{
		open my $out, '>', $option{json} or die "could not open \"$option{json}\": $!\n";
		print $out JSON::PP->new->canonical->pretty->encode(\%report);
		close $out or die "could not write \"$option{json}\": $!\n";
	}
	my $missed = grep { defined $_->{reached} && !$_->{reached} } @{ $report{rows} };
	return 3 if $report{failures};
	return $option{strict} && $missed ? 1 : 0;
}

# attempt -- a group of rows; if it fails, the other groups still run, and the report tells.
sub attempt
{
	my ($name, $run) = @_;
	return if eval { $run->(); 1 };
	die $@ if $@ eq "interrupted\n";
	note("$name failed: $@");
	push @{ $report{failures} }, "$name: $@";
	Bench::Server::end_all();
}

if (!GetOptions(\%option, qw(bindir=s runs=i seconds=f keys=i memory-keys=i redo-keys=i dir=s seed=i json=s strict quick help)))
{
	print STDERR $usage;
	exit 2;
}
if ($option{help})
{
	print $usage;
	exit 0;
}
%option = (%option, runs => 1, seconds => 0.5, keys => 100_000, 'memory-keys' => 200_000, 'redo-keys' => 100_000) if $option{quick};
$option{bindir} = abs_path($option{bindir}) // $option{bindir};
my $code = eval { main() };
if (!defined $code)
{
	print STDERR "bench: $@";
	$code = 3;
}
exit $code;
