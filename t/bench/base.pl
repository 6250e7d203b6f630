#!/usr/bin/perl
#
# base.pl -- the second part of `make bench`: what checkpoints, the base and data larger than memory cost.
#
#   bandwidth  a checkpoint with --gib of data to write, against fio's O_DIRECT io_uring 16 KiB random writes
#   dirty      bytes written per dirty key with 1 %, 10 % and 100 % of --keys keys dirty
#   latency    p99 of GET and SET at -c 50, with and without checkpoints running
#   memory     peak memory of all processes during a checkpoint, against before
#   start      kill -9 with --keys keys after a checkpoint: first reply, against Redis with an RDB of the same keys
#   cold       random GETs on data 10 times memory, many clients, against LMDB and RocksDB, each in a memory cgroup
#              of the same size
#
# Turns alternate between the two sides; figures are medians.  Exit code 0, or 1 with --strict when a target is missed.
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
use Time::HiRes qw(sleep);

my $root = root_dir();
my %option = (bindir => "$root/build/release", runs => 3, keys => 5_000_000, gib => 1, seconds => 5, dir => '/var/tmp', cold => 128, seed => 1);
GetOptions(\%option, qw(bindir=s runs=i keys=i gib=f seconds=f dir=s cold=i seed=i strict quick)) or exit 2;
%option = (%option, runs => 1, keys => 200_000, gib => 0.05, seconds => 1, cold => 96) if $option{quick};
$option{bindir} = abs_path($option{bindir}) // $option{bindir};
my @rows = qw(bandwidth dirty latency memory start cold);
my %wanted = map { $_ => 1 } @ARGV ? @ARGV : @rows;
my $dir = bench_dir($option{dir});
at_end(sub {
	for my $group (glob("/sys/fs/cgroup/memory/artery-bench-$$-*"), glob "/sys/fs/cgroup/artery-bench-$$-*")
	{
		if (open my $in, '<', "$group/cgroup.procs") { kill 'KILL', map { /(\d+)/ } <$in> }
		sleep 0.2;
		rmdir $group;
	}
});
my $missed = 0;

sub note { print STDERR "  @_\n" }

sub load_keys
{
	my ($server, %arg) = @_;
	return run_json(tool('bench_load'), '--socket', $server->{socket}, '--seed', $option{seed}, map { ("--$_", $arg{$_} // ()) } sort keys %arg);
}

sub new_artery
{
	my ($label, %setting) = @_;
	my ($mib) = ($setting{memory_limit} // '1024MB') =~ /(\d+)/;
	my ($free) = (qx(df -Pk /dev/shm 2>/dev/null) =~ /\n\S+\s+\d+\s+\d+\s+(\d+)/);
	$setting{shared_memory_type} = 'memfd' if ($free // 0) / 1024 < $mib + 512;
	return Bench::Server::Artery->new(label => $label, parent => $dir, bindir => $option{bindir}, settings => \%setting);
}

# checkpoint -- CHECKPOINT's report as a hash
sub checkpoint
{
	my ($server) = @_;
	my $reply = $server->client->call('CHECKPOINT');
	my %report = ref $reply eq 'HASH' ? %$reply : @$reply;
	return \%report;
}

sub verdict
{
	my ($name, $text, $reached) = @_;
	$missed++ if defined $reached && !$reached;
	printf "%-44s %s%s\n", $name, $text, !defined $reached ? '' : $reached ? '   reached' : '   MISSED';
}

# ---- the disk's own limit ----
sub fio
{
	my $file = "$dir/fio";
	my $size = sprintf '%dM', 1024 * ($option{gib} > 1 ? 1 : $option{gib});
	my @command = (qw(fio --name=w --ioengine=io_uring --direct=1 --rw=randwrite --bs=16k --iodepth=128 --numjobs=1 --output-format=json
		--norandommap=0 --fallocate=none --end_fsync=1), "--filename=$file", "--size=$size");
	my $text = qx(@command 2>/dev/null);
	$text =~ s/^[^{]*//s;
	my $report = eval { JSON::PP::decode_json($text) } or die "fio failed: $text\n";
	unlink $file;
	my $job = $report->{jobs}[0];
	my $bytes = $job->{write}{io_bytes};
	# the time with its end_fsync, as a checkpoint has its own
	return $bytes / ($job->{job_runtime} / 1000);
}

# fio_reads -- random reads a second that the disk gives, blocks of so many bytes, 64 under way
sub fio_reads
{
	my ($file, $block) = @_;
	my $text = qx(fio --name=r --ioengine=io_uring --direct=1 --rw=randread --bs=$block --iodepth=64 --readonly --runtime=3 --time_based --output-format=json --filename=$file 2>/dev/null);
	$text =~ s/^[^{]*//s;
	my $report = eval { JSON::PP::decode_json($text) } or die "fio failed: $text\n";
	return $report->{jobs}[0]{read}{iops};
}

sub bandwidth
{
	my $value = 1000;
	my $keys = int($option{gib} * 2**30 / ($value + 60));
	my (@ours, @disk);
	for my $turn (1 .. $option{runs})
	{
		my $server = new_artery('bandwidth', memory_limit => int($option{gib} * 3000 + 256) . 'MB', max_wal_size => '64GB', checkpoint_timeout => '1h', durability => 'none');
		$server->start;
		load_keys($server, keys => $keys, value => $value);
		push @disk, fio();
		my $report = checkpoint($server);
		push @ours, $report->{'bytes-written'} / ($report->{'duration-us'} / 1e6);
		push @disk, fio();
		note(sprintf 'bandwidth %d: %.0f MB/s (%.0f MB in %.2f s), fio %.0f and %.0f MB/s', $turn, $ours[-1] / 1e6,
			$report->{'bytes-written'} / 1e6, $report->{'duration-us'} / 1e6, $disk[-2] / 1e6, $disk[-1] / 1e6);
		$server->remove;
	}
	my $ratio = median(@ours) / median(@disk);
	verdict('checkpoint bandwidth', sprintf('%.0f MB/s, fio %.0f MB/s, ratio %.2f (>= 0.70)', median(@ours) / 1e6, median(@disk) / 1e6, $ratio), $ratio >= 0.7);
}

sub dirty
{
	my $server = new_artery('dirty', memory_limit => int($option{keys} * 450 / 2**20 + 256) . 'MB', max_wal_size => '64GB', checkpoint_timeout => '1h', durability => 'none');
	$server->start;
	load_keys($server, keys => $option{keys}, value => 64);
	my $first = checkpoint($server);
	for my $part ([0.01, '1 %'], [0.1, '10 %'], [1, '100 %'])
	{
		my $keys = int($option{keys} * $part->[0]);
		# a permutation of all keys: its first ones are spread evenly
		load_keys($server, keys => $option{keys}, value => 64, count => $keys);
		my $report = checkpoint($server);
		my $n = $report->{'keys-written'} || 1;
		verdict("bytes written per dirty key, $part->[1] dirty",
			sprintf '%.0f (%s keys, %s pages, %.1f MB, %.2f s)', $report->{'bytes-written'} / $n, commas($n), commas($report->{'pages-written'}),
			$report->{'bytes-written'} / 1e6, $report->{'duration-us'} / 1e6);
	}
	verdict('first checkpoint of all keys', sprintf '%.0f bytes per key, %.2f s', $first->{'bytes-written'} / ($first->{'keys-written'} || 1), $first->{'duration-us'} / 1e6);
	$server->remove;
}

sub benchmark
{
	my ($server, $command, $keys, $count, @more) = @_;
	my $text = qx(redis-benchmark -s $server->{socket} -t $command -r $keys -d 64 -n $count -c 50 --csv @more 2>/dev/null);
	my $name = uc $command;
	my ($line) = $text =~ /^"$name",(.*)$/m or die "redis-benchmark failed: $text\n";
	my ($rate, undef, undef, $p50, undef, $p99) = $line =~ /"([\d.]+)"/g;
	return { rate => $rate, p50 => 1000 * $p50, p99 => 1000 * $p99 };
}

# checkpoints_during -- in another process: overwrites nothing, only asks for one checkpoint after the other, until told to stop
sub checkpoints_during
{
	my ($server) = @_;
	my $pid = fork // die "fork: $!\n";
	return $pid if $pid;
	my $client = Bench::Client->connect($server->{socket}) or POSIX::_exit(1);
	while (1) { eval { $client->call('CHECKPOINT'); 1 } or POSIX::_exit(1) }
}

# trickle -- in another process: a few thousand writes a second, so that there is something to write; until it is killed
sub trickle
{
	my ($server, $keys) = @_;
	my $pid = fork // die "fork: $!\n";
	return $pid if $pid;
	my $client = Bench::Client->connect($server->{socket}) or POSIX::_exit(1);
	while (1)
	{
		eval { $client->call('MSET', map { (sprintf('key:%012d', rand $keys), 'v' x 64) } 1 .. 100); 1 } or POSIX::_exit(1);
		sleep 0.03;
	}
}

# latency -- with checkpoints by time, spread as they are by default, one after the other; against none
sub latency
{
	my $keys = $option{keys} > 1_000_000 ? 1_000_000 : $option{keys};
	my $server = new_artery('latency', memory_limit => '2048MB', max_wal_size => '64GB', checkpoint_timeout => '1h', durability => 'periodic');
	$server->start;
	load_keys($server, keys => $keys, value => 64);
	checkpoint($server);
	my $timeout = sub { my $reply = $server->client->call('CONFIG', 'SET', 'checkpoint_timeout', $_[0]); die "CONFIG SET: $$reply\n" if ref $reply };
	for my $command (qw(get set))
	{
		my (@quiet, @busy);
		my $count = int(benchmark($server, $command, $keys, 50_000)->{rate} * $option{seconds});
		my $writer = trickle($server, $keys);
		for my $turn (1 .. $option{runs})
		{
			$timeout->('1h');
			checkpoint($server);
			push @quiet, benchmark($server, $command, $keys, $count);
			my $before = $server->info->{checkpoint_rounds_committed};
			$timeout->('2s');
			sleep 2.2;			# the first one has begun
			push @busy, benchmark($server, $command, $keys, $count);
			note(sprintf "latency %s %d: p99 %.0f us, with %d checkpoints %.0f us; %s and %s/s", $command, $turn, $quiet[-1]{p99},
				$server->info->{checkpoint_rounds_committed} - $before, $busy[-1]{p99}, commas($quiet[-1]{rate}), commas($busy[-1]{rate}));
		}
		kill 'KILL', $writer;
		waitpid $writer, 0;
		my $ratio = median(map { $_->{p99} } @busy) / median(map { $_->{p99} } @quiet);
		verdict("p99 of " . uc($command) . ' at -c 50', sprintf('%.0f us, during checkpoints %.0f us, ratio %.2f (<= 1.50)', median(map { $_->{p99} } @quiet),
			median(map { $_->{p99} } @busy), $ratio), $ratio <= 1.5);
	}
	$server->remove;
}

sub memory
{
	my $server = new_artery('memory', memory_limit => int($option{keys} * 450 / 2**20 + 256) . 'MB', max_wal_size => '64GB', checkpoint_timeout => '1h', durability => 'none');
	$server->start;
	load_keys($server, keys => $option{keys}, value => 64);
	my $before = $server->resident;
	my $pid = checkpoints_during($server);
	my $peak = 0;
	for (1 .. 600)
	{
		my $now = $server->resident;
		$peak = $now if $now > $peak;
		# to the end of the round, releases included
		last if $_ > 5 && $server->info->{checkpoint_rounds_committed} > 0 && $server->info->{checkpoint_step} eq 'idle';
		sleep 0.02;
	}
	kill 'KILL', $pid;
	waitpid $pid, 0;
	my $ratio = $peak / $before;
	verdict('peak memory during a checkpoint', sprintf('%.0f MB, before %.0f MB, ratio %.3f (<= 1.10)', $peak / 1e6, $before / 1e6, $ratio), $ratio <= 1.1);
	$server->remove;
}

sub start
{
	my $artery = new_artery('start', memory_limit => int($option{keys} * 450 / 2**20 + 256) . 'MB', max_wal_size => '64GB', checkpoint_timeout => '1h', durability => 'none');
	my $redis = Bench::Server::Redis->new(label => 'redis', parent => $dir, settings => {});
	my (@ours, @theirs);
	for my $server ($artery, $redis)
	{
		$server->start;
		load_keys($server, keys => $option{keys}, value => 64);
		$server == $artery ? checkpoint($server) : $server->client->call('SAVE');
	}
	for my $turn (1 .. $option{runs})
	{
		$_->kill9 for $artery, $redis;
		push @ours, $artery->start;
		my $size = $artery->client->call('DBSIZE');
		die "artery has $size keys\n" if $size != $option{keys};
		push @theirs, $redis->start;
		note(sprintf 'start %d: artery %.3f s, Redis %.3f s', $turn, $ours[-1], $theirs[-1]);
	}
	my $ratio = median(@theirs) / median(@ours);
	verdict('kill -9, start to first reply', sprintf('%.0f ms (<= 150)', 1000 * median(@ours)), median(@ours) <= 0.15);
	verdict('   against Redis with an RDB', sprintf('%.2f s, %.0f times sooner (>= 30)', median(@theirs), $ratio), $option{quick} ? undef : $ratio >= 30);
	load_keys($artery, keys => $option{keys}, value => 64, op => 'get');
	$_->remove for $artery, $redis;
}

# ---- data larger than memory ----

# cgroup -- a memory cgroup of so many bytes: its directory, or undef with the reason
sub cgroup
{
	my ($name, $bytes) = @_;
	for my $try (['/sys/fs/cgroup/memory', 'memory.limit_in_bytes'], ['/sys/fs/cgroup', 'memory.max'])
	{
		my ($base, $limit) = @$try;
		next if !-w $base || ($limit eq 'memory.max' && !-e "$base/cgroup.controllers");
		my $path = "$base/artery-bench-$$-$name";
		next if !mkdir $path;
		if (open my $out, '>', "$path/$limit") { print $out $bytes; close $out and return $path }
		rmdir $path;
	}
	return undef;
}

sub in_cgroup
{
	my ($group, $code) = @_;
	my $pid = fork // die "fork: $!\n";
	return $pid if $pid;
	open my $out, '>', "$group/cgroup.procs" or POSIX::_exit(3);
	print $out $$;
	close $out or POSIX::_exit(3);
	$code->();
	POSIX::_exit(1);
}

sub peer_rate
{
	my ($group, @command) = @_;
	pipe my $read, my $write or die;
	my $pid = in_cgroup($group, sub { close $read; open STDOUT, '>&', $write; exec @command });
	close $write;
	my $text = do { local $/; <$read> } // '';
	waitpid $pid, 0;
	die "@command failed: $?\n" if $? || $text !~ /^\{/;
	return JSON::PP::decode_json($text)->{rate};
}

sub cold
{
	my $memory = $option{cold} * 2**20;
	my $value = 400;
	my $keys = int(10 * $memory / ($value + 50));
	my $peer = tool('bench_peer', libs => [qw(-llmdb -lrocksdb -lpthread)]);
	my $group = cgroup('cold', $memory);
	if (!defined $group) { verdict('cold random GETs', 'skipped: no memory cgroup can be written here'); return }
	run_json($peer, $_, 'fill', "$dir/$_", $keys, $value) for qw(lmdb rocksdb);
	my $server = new_artery('cold', memory_limit => int($option{cold} * 0.25) . 'MB', buffer_pool_size => int($option{cold} * 0.3) . 'MB', wal_buffers => '4MB',
		prewarm => 'off', durability => 'none', max_clients => 500);
	$server->start;
	load_keys($server, keys => $keys, value => $value, 'in-order' => undef);
	checkpoint($server);
	$server->stop;
	my %rate;
	my $clients = 200;
	my $file = "$server->{dir}/data/base";
	verdict('the disk: random reads a second', sprintf('%s of 16 KiB (a page of artery), %s of 4 KiB (a page of LMDB)', commas(fio_reads($file, 16384)), commas(fio_reads($file, 4096))));
	for my $turn (1 .. $option{runs})
	{
		for my $who (qw(artery lmdb rocksdb))
		{
			system('sync');
			if (open my $drop, '>', '/proc/sys/vm/drop_caches') { print $drop "3\n"; close $drop }
			my $rate;
			if ($who eq 'artery')
			{
				my $pid = in_cgroup($group, sub { my @c = $server->command; open STDOUT, '>>', $server->{log}; open STDERR, '>&', \*STDOUT; POSIX::setpgid(0, 0); exec @c });
				my $client;
				for (1 .. 3000) { $client = Bench::Client->connect($server->{socket}); last if $client && (eval { $client->call('PING') } // '') eq 'PONG'; sleep 0.01 }
				@$server{qw(pid client)} = ($pid, $client);
				my $short = benchmark_clients($server, $keys, 20_000, $clients);
				$rate = benchmark_clients($server, $keys, int($short * $option{seconds}), $clients);
				kill 'INT', $pid;
				waitpid $pid, 0;
			}
			else { $rate = peer_rate($group, $peer, $who, 'get', "$dir/$who", $keys, $value, 64, $option{seconds}, $turn, $memory) }
			push @{$rate{$who}}, $rate;
			note(sprintf 'cold %d: %-8s %s GET/s', $turn, $who, commas($rate));
		}
	}
	for my $who (qw(lmdb rocksdb))
	{
		my $ratio = median(@{$rate{artery}}) / median(@{$rate{$who}});
		verdict("random GET, data 10 x memory, against $who", sprintf('%s/s and %s/s, ratio %.2f (>= 1)', commas(median(@{$rate{artery}})), commas(median(@{$rate{$who}})), $ratio), $ratio >= 1);
	}
	rmdir $group;
}

sub benchmark_clients
{
	my ($server, $keys, $count, $clients) = @_;
	my $text = qx(redis-benchmark -s $server->{socket} -r $keys -n $count -c $clients --csv GET key:__rand_int__ 2>&1);
	my ($rate) = $text =~ /^"GET[^"]*","([\d.]+)"/m or die "redis-benchmark failed: $text\n";
	return $rate;
}

my %row = (bandwidth => \&bandwidth, dirty => \&dirty, latency => \&latency, memory => \&memory, start => \&start, cold => \&cold);
my $failed = 0;
for my $name (grep { $wanted{$_} } @rows)
{
	next if eval { $row{$name}->(); 1 };
	die $@ if $@ eq "interrupted\n";
	print "$name failed: $@";
	$failed = 1;
	Bench::Server::end_all();
}
exit($failed ? 3 : $option{strict} && $missed ? 1 : 0);
