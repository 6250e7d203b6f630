#!/usr/bin/perl
#
# feed.pl -- what consumers of the change feed cost those who write.
#
# redis-benchmark writes (SET, 64 bytes, --clients connections, pipelines of --pipeline), while so
# many consumers follow the feed, or so many connections wait for changes that do not come.
# Each round has every case once, in turns, beginning with another one each time; printed are medians:
# writes per second, and microseconds of processor time that all of the server's processes took
# per write, with its ratio to that of no consumer in the same round.  Where consumers and
# server share the cores, the rate also has the consumers' own work in it; the server's time has not.
#
# --only PATTERN: beside no consumer, only the cases whose names fit.  Exit code 0; 2: it could not run.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench::Client;
use Bench::Report;
use Bench::Server;
use Bench::Setup;
use Getopt::Long qw(GetOptions);
use IO::Socket::UNIX;
use Time::HiRes qw(sleep);

my $root = root_dir();
my %option = (bindir => "$root/build/release", rounds => 5, writes => 200_000, clients => 50, pipeline => 16, keys => 100_000, dir => '/var/tmp',
	durability => 'immediate', workers => 2);
GetOptions(\%option, qw(bindir=s rounds=i writes=i clients=i pipeline=i keys=i dir=s durability=s workers=i only=s)) or exit 2;
my $dir = bench_dir($option{dir});

my $feed = tool('bench_feed', libs => ['-lhiredis']);
my $server = Bench::Server::Artery->new(label => 'feed', parent => $dir, bindir => $option{bindir},
	settings => { durability => $option{durability}, workers => $option{workers} });
$server->start;

# Case: name, consumers that follow, prefix of theirs, connections that wait for another prefix
my @cases = (
	{ name => 'no consumer' },
	{ name => '1 consumer of all', consumers => 1 },
	{ name => '4 consumers of all', consumers => 4 },
	{ name => '1 consumer of a hundredth', consumers => 1, prefix => 'key:0000000012' },
	{ name => '1 waits for another prefix', wait => 1 },
	{ name => '1000 wait for other prefixes', wait => 1000 },
);

@cases = ($cases[0], grep { $_->{name} =~ /$option{only}/ } @cases[1 .. $#cases]) if defined $option{only};

# begin -- the consumers of a case; returns what ends them
sub begin
{
	my ($case) = @_;
	my ($pid, @waiting);
	if ($case->{consumers})
	{
		$pid = fork // die "could not fork: $!\n";
		if (!$pid)
		{
			setpgrp 0, 0;
			open STDOUT, '>', '/dev/null';
			exec $feed, $server->{socket}, $case->{consumers}, defined $case->{prefix} ? $case->{prefix} : () or POSIX::_exit(127);
		}
	}
	for my $i (1 .. $case->{wait} // 0)
	{
		my $socket = IO::Socket::UNIX->new(Peer => $server->{socket}) or die "could not connect: $!\n";
		my $prefix = "other:$i:";
		print $socket "*6\r\n\$7\r\nCHANGES\r\n\$1\r\n\$\r\n\$5\r\nBLOCK\r\n\$1\r\n0\r\n\$6\r\nPREFIX\r\n\$" . length($prefix) . "\r\n$prefix\r\n";
		$socket->flush;
		push @waiting, $socket;
	}
	sleep 0.3;
	return sub { if ($pid) { kill 'TERM', $pid; waitpid $pid, 0 } @waiting = (); sleep 0.1 };
}

sub run_case
{
	my ($case) = @_;
	my $end = begin($case);
	my $cpu = $server->cpu_seconds;
	my $text = qx(redis-benchmark -s $server->{socket} -t set -r $option{keys} -d 64 -c $option{clients} -P $option{pipeline} -n $option{writes} --csv 2>/dev/null);
	my ($rate) = $text =~ /^"SET","([\d.]+)"/m or die "redis-benchmark failed:\n$text\n";
	$cpu = ($server->cpu_seconds - $cpu) * 1e6 / $option{writes};
	$end->();
	return ($rate, $cpu);
}

my (%rate, %cpu, %ratio);
run_case($cases[0]);			# warm
for my $round (1 .. $option{rounds})
{
	my %now;
	for my $i (0 .. $#cases)
	{
		my $case = $cases[($i + $round) % @cases];
		my ($rate, $cpu) = run_case($case);
		push @{ $rate{ $case->{name} } }, $rate;
		push @{ $cpu{ $case->{name} } }, $cpu;
		$now{ $case->{name} } = $cpu;
	}
	push @{ $ratio{$_} }, $now{$_} / $now{'no consumer'} for keys %now;
}
printf "SET 64 bytes, %d clients, pipelines of %d, %d writes, %s, medians of %d rounds\n", @option{qw(clients pipeline writes durability rounds)};
printf "%-30s %12s %14s %8s\n", '', 'writes/s', 'server us/write', 'ratio';
printf "%-30s %12.0f %14.2f %8.2f\n", $_->{name}, median(@{ $rate{ $_->{name} } }), median(@{ $cpu{ $_->{name} } }), median(@{ $ratio{ $_->{name} } }) for @cases;

# catching up: nobody writes, so that all the server does is for the one who reads
my $until = $server->client->call('WAL', 'FLUSHED');
run_case($cases[0]);
my ($from, $end) = ($until, $server->client->call('WAL', 'FLUSHED'));
my ($start, $cpu) = (Bench::Server::now(), $server->cpu_seconds);
my ($changes) = qx($feed $server->{socket} $from $end) =~ /^(\d+)/ or die "bench_feed failed\n";
printf "catching up, %d changes: %.0f changes/s, %.2f us of the server's time each\n", $changes, $changes / (Bench::Server::now() - $start),
	($server->cpu_seconds - $cpu) * 1e6 / $changes;
$server->stop;
