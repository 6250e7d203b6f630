#!/usr/bin/perl
#
# snapshot.pl -- what an open snapshot costs a SET: none, one and eight open, in turns.
#
# One server; redis-benchmark writes --keys keys again and again.  A round measures SET with no snapshot, one,
# and eight open, in an order that changes from round to round, so that what slows the machine slows all.
# Beside the rate stands the server's processor time per SET (all processes, user and system), which other
# programs on the machine disturb less; figures are medians, ratios medians of the rounds' ratios to the same
# round without a snapshot.  Each snapshot is opened afresh, so
# that at its begin no key has a version that it needs: "first" is a pass in which nearly every SET keeps the
# version that it replaces, "then" one in which nearly all have been replaced once and links are inherited.
#
# Exit code 0; 2: it could not run.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench::Client;
use Bench::Report;
use Bench::Server;
use Bench::Setup;
use Getopt::Long qw(GetOptions);

my $root = root_dir();
my %option = (bindir => "$root/build/release", dir => '/var/tmp', keys => 100_000, requests => 200_000, rounds => 7, value => 64);
GetOptions(\%option, qw(bindir=s dir=s keys=i requests=i rounds=i value=i)) or exit 2;
my $dir = bench_dir($option{dir});

my $server = Bench::Server::Artery->new(label => 'snapshot', parent => $dir, bindir => $option{bindir},
	settings => { durability => 'periodic', snapshot_timeout => 0, snapshot_max_bytes => 0 });
$server->start;

# set_rate -- SETs per second, and the server's microseconds per SET
sub set_rate
{
	my $cpu = $server->cpu_seconds;
	my @command = ('redis-benchmark', '-s', $server->{socket}, '-t', 'set', '-c', 50, '-P', 16, '-d', $option{value},
		'-r', $option{keys}, '-n', $option{requests}, '--csv');
	open my $out, '-|', @command or exit 2;
	my ($rate) = map { /^"SET[^"]*","([\d.]+)"/ ? $1 : () } <$out>;
	close $out;
	defined $rate or die "redis-benchmark said nothing\n";
	return [ $rate, ($server->cpu_seconds - $cpu) * 1e6 / $option{requests} ];
}

set_rate() for 1 .. 2;
my %rate;
my @cases = (0, 1, 8);
for my $round (1 .. $option{rounds})
{
	for my $open (@cases)
	{
		my @client = map { Bench::Client->connect($server->{socket}) } 1 .. $open;
		$_->call('SNAPSHOT', 'OPEN') for @client;
		push @{ $rate{"$open first"} }, set_rate();
		push @{ $rate{"$open then"} }, set_rate();
		$_->call('SNAPSHOT', 'CLOSE') for @client;
		select undef, undef, undef, 0.3;	# what was linked is given back
	}
	push @cases, shift @cases;
}
printf "%d keys, values of %d bytes, -c 50 -P 16, %d SETs a turn, %d rounds: medians\n", @option{qw(keys value requests rounds)};
for my $open (0, 1, 8)
{
	for my $pass (qw(first then))
	{
		my $r = $rate{"$open $pass"};
		my @ratio = map { my $i = $_; median(map { $r->[$_][$i] / $rate{"0 $pass"}[$_][$i] } 0 .. $#$r) } 0, 1;
		printf "%-14s %-6s %9.0f SET/s (%.2f)   %.3f us of processor per SET (%.2f)\n",
			$open == 0 ? 'no snapshot' : $open == 1 ? 'one snapshot' : "$open snapshots", $pass,
			median(map { $_->[0] } @$r), $ratio[0], median(map { $_->[1] } @$r), $ratio[1];
	}
}
exit 0;
