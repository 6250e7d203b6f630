#!/usr/bin/perl
#
# pressure.pl -- the time line of a load that does not fit: writes per second, memory, delays.
#
# Writes --times times memory_limit through --clients pipelined connections, and
# looks at the server every --interval milliseconds: what was written, how full memory is, how long
# a write is held back, what the evictor and the checkpointer did; a probe of its own tells how long a
# single SET and a single GET took at worst in that time.  Nothing is to stand still: the summary
# counts the intervals in which hardly anything was written ("cliffs").  --check reads all of it back and
# compares; with one connection, for the keys of two might be the same.
#
# Exit code 0; 1 when a write was refused or lost; 2: it could not run.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench::Client;
use Bench::Report;
use Bench::Server;
use Bench::Setup;
use Cwd qw(abs_path);
use Getopt::Long qw(GetOptions);
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep);

my $root = root_dir();
my %option = (bindir => "$root/build/release", limit => 64, times => 10, value => 64, clients => 4, window => 64, interval => 250,
	dir => '/var/tmp', durability => 'immediate', shape => 'path', workers => 2);
GetOptions(\%option, qw(bindir=s limit=i times=f value=i clients=i window=i interval=i dir=s durability=s shape=s workers=i
	set=s@ in-order check)) or exit 2;
$option{bindir} = abs_path($option{bindir}) // $option{bindir};
$option{clients} = 1 if $option{check};
my $dir = bench_dir($option{dir});

my $load = tool('bench_load');

my $server = Bench::Server::Artery->new(
	label => 'pressure', parent => $dir, bindir => $option{bindir},
	settings => { memory_limit => "$option{limit}MB", durability => $option{durability}, workers => $option{workers},
		(map { split /=/, $_, 2 } @{ $option{set} // [] }) });
$server->start;

# a key takes its leaf (16 bytes, key, value) and its share of the nodes
my $key_bytes = $option{shape} eq 'bench' ? 16 : 40;
my $keys = int($option{times} * $option{limit} * (1 << 20) / ($option{value} + $key_bytes + 16) / $option{clients});
printf "memory_limit %d MB, %.1f times as much: %d connections with %d keys each, values of %d bytes, %s\n", $option{limit}, $option{times},
	$option{clients}, $keys, $option{value}, $option{durability};

# loaders -- one child per connection; returns pid => reading end of what it will say
sub loaders
{
	my ($op) = @_;
	my %child;
	for my $n (1 .. $option{clients})
	{
		my $pid = open my $out, '-|', $load, '--socket', $server->{socket}, '--op', $op, '--keys', $keys, '--value', $option{value},
			'--seed', $n * 1_000_003, '--window', $option{window}, '--shape', $option{shape}, $option{'in-order'} ? '--in-order' : ();
		die "could not run $load: $!\n" unless $pid;
		$child{$pid} = $out;
	}
	return %child;
}

# probe -- worst milliseconds of SET and GET until $end
sub probe
{
	my ($client, $end) = @_;
	my ($set, $get, $n) = (0, 0, 0);
	do
	{
		my $key = sprintf 'probe:%d', ++$n % 100;
		my $a = Bench::Server::now();
		$client->call('SET', $key, 'x');
		my $b = Bench::Server::now();
		$client->call('GET', $key);
		my $c = Bench::Server::now();
		$set = $b - $a if $b - $a > $set;
		$get = $c - $b if $c - $b > $get;
		sleep 0.002;
	} while (Bench::Server::now() < $end);
	return (1000 * $set, 1000 * $get);
}

# watch -- the time line while the children run
sub watch
{
	my (%child) = @_;
	my $client = Bench::Client->connect($server->{socket}) or die "could not connect\n";
	my $start = Bench::Server::now();
	my ($last, $before) = ($start, $client->info('all'));
	my @rate;
	printf "%7s %9s %6s %6s %9s %9s %7s %6s %-20s %8s %8s\n", qw(s writes/s used% cap% delay_us evicted/s waits/s ckpts step SET_ms GET_ms);
	while (%child)
	{
		my ($set, $get) = probe($client, $last + $option{interval} / 1000);
		my $now = Bench::Server::now();
		my $info = $client->info('all');
		my $time = $now - $last;
		my $per = sub { ($info->{ $_[0] } - $before->{ $_[0] }) / $time };
		my $rate = $per->('total_commands_processed');
		printf "%7.2f %9d %6.1f %6.1f %9d %9d %7d %6d %-20s %8.2f %8.2f\n", $now - $start, $rate,
			100 * $info->{memory_used} / $info->{memory_limit}, 100 * $info->{memory_capacity} / $info->{memory_limit},
			$info->{write_delay_us}, $per->('evicted_leaves'), $per->('memory_waits'),
			$info->{checkpoint_rounds_committed}, $info->{checkpoint_step}, $set, $get;
		push @rate, $rate;
		($last, $before) = ($now, $info);
		for my $pid (keys %child)
		{
			next unless waitpid($pid, POSIX::WNOHANG()) == $pid;
			my $out = delete $child{$pid};
			my $said = do { local $/; <$out> } // '';
			my $json = eval { JSON::PP::decode_json($said) } or die "bench_load ended with $? and said: $said\n";
			die "a connection got errors: $said\n" if $json->{errors} || $json->{misses} || $json->{differ};
		}
	}
	pop @rate;
	my $median = median(@rate);
	my $info = $client->info('all');
	printf "%.1f s; writes/s: median %d, least %d, most %d; %d of %d intervals below a tenth of the median\n", $last - $start, $median,
		(sort { $a <=> $b } @rate)[0] // 0, (sort { $b <=> $a } @rate)[0] // 0, scalar(grep { $_ < $median / 10 } @rate), scalar @rate;
	printf "%d checkpoints, %d leaves evicted in %d rounds, %d writes held back, %d waits for memory, %d refused\n",
		@$info{qw(checkpoint_rounds_committed evicted_leaves evict_clock_rounds writes_delayed memory_waits writes_refused)};
	return;
}

my $good = eval {
	watch(loaders('set'));
	if ($option{check})
	{
		print "reading all of it back:\n";
		watch(loaders('get'));
	}
	1;
};
warn $@ unless $good;
$server->stop if $good;
exit($good ? 0 : 1);
