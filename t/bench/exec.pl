#!/usr/bin/perl
#
# exec.pl -- transactions per second, side by side with redis-server.
#
# MULTI, ten SETs of random keys, EXEC (and MSET of ten keys), from several connections over a UNIX
# socket, each with so many transactions on the way (bench_exec.c).  Neither server waits for the disk
# here: artery with durability none, redis-server without its append-only file.  Each round has
# every case once, both servers in turns; the ratio is of the two runs of one round.  Printed are medians.
#
# --only PATTERN: only the cases whose names fit.  Exit code 0; 1 with --strict when a target is missed; 2: it could not run.
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
my %option = (bindir => "$root/build/release", rounds => 5, seconds => 2, keys => 100_000, sets => 10, dir => '/var/tmp', workers => 2);
GetOptions(\%option, qw(bindir=s rounds=i seconds=f keys=i sets=i dir=s workers=i only=s strict)) or exit 2;
my $dir = bench_dir($option{dir});

my $load = tool('bench_exec');
my @server = (
	Bench::Server::Artery->new(label => 'artery', parent => $dir, bindir => $option{bindir}, settings => { durability => 'none', workers => $option{workers} }),
	Bench::Server::Redis->new(label => 'redis', parent => $dir));
$_->start for @server;

# name, connections, on the way, what, target
my @cases = (
	[ "EXEC of $option{sets} SETs, -c 50",              50, 1,  '',     1 ],
	[ "EXEC of $option{sets} SETs, -c 8, 4 on the way", 8,  4,  '',     1 ],
	[ "EXEC of $option{sets} SETs, -c 1",               1,  1,  '',     undef ],
	[ "MSET of $option{sets} keys, -c 8, 4 on the way", 8,  4,  'mset', undef ]);
@cases = grep { $_->[0] =~ /$option{only}/ } @cases if defined $option{only};

sub run_case
{
	my ($server, $case) = @_;
	my ($name, $connections, $depth, $what) = @$case;
	my $cpu = $server->cpu_seconds;
	my $text = qx("$load" "$server->{socket}" $connections $depth $option{sets} $option{keys} $option{seconds} $what);
	my ($count, $rate) = $text =~ /"transactions":(\d+),"per_second":(\d+)/ or die "bench_exec failed: $text\n";
	die "some transactions were refused: $text\n" if $?;
	return ($rate, ($server->cpu_seconds - $cpu) * 1e6 / ($count || 1));
}

my (%rate, %cpu, %ratio);
for my $round (1 .. $option{rounds})
{
	for my $case (@cases)
	{
		my $name = $case->[0];
		my %now;
		for my $server ($round % 2 ? @server : reverse @server)
		{
			my ($rate, $cpu) = run_case($server, $case);
			push @{ $rate{$name}{ $server->{label} } }, $rate;
			push @{ $cpu{$name}{ $server->{label} } },  $cpu;
			$now{ $server->{label} } = $rate;
		}
		push @{ $ratio{$name} }, $now{artery} / $now{redis};
	}
}
my $missed = 0;
printf "%d workers, %d keys, %g s each, medians of %d rounds\n", @option{qw(workers keys seconds rounds)};
printf "%-38s %10s %10s %6s %-18s %10s %10s\n", '', 'artery/s', 'redis/s', 'ratio', '', 'artery us', 'redis us';
for my $case (@cases)
{
	my ($name, undef, undef, undef, $target) = @$case;
	my $ratio = median(@{ $ratio{$name} });
	my $verdict = !defined $target ? '' : sprintf '>= %.2f  %s', $target, $ratio >= $target ? 'reached' : 'MISSED';
	$missed++ if $verdict =~ /MISSED/;
	printf "%-38s %10.0f %10.0f %6.2f %-18s %10.1f %10.1f\n", $name, map({ median(@{ $rate{$name}{$_} }) } qw(artery redis)), $ratio, $verdict,
	  map({ median(@{ $cpu{$name}{$_} }) } qw(artery redis));
}
$_->stop for @server;
exit($option{strict} && $missed ? 1 : 0);
