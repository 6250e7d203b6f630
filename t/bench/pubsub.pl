#!/usr/bin/perl
#
# pubsub.pl -- messages delivered per second, side by side with redis-server.
#
# One publisher with so many PUBLISHes on the way, so many subscribers of the one channel, over a
# UNIX socket (bench_pubsub.c).  Each round has every case once, both servers in turns; the ratio
# is of the two runs of one round.  Printed are medians.  The load shares the cores with the servers.
#
# --only PATTERN: only the cases whose names fit.  Exit code 0; 2: it could not run.
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
my %option = (bindir => "$root/build/release", rounds => 5, seconds => 1, size => 64, dir => '/var/tmp', workers => 2);
GetOptions(\%option, qw(bindir=s rounds=i seconds=f size=i dir=s workers=i only=s)) or exit 2;
my $dir = bench_dir($option{dir});

my $load = tool('bench_pubsub');
my @server = (
	Bench::Server::Artery->new(label => 'artery', parent => $dir, bindir => $option{bindir}, settings => { durability => 'periodic', workers => $option{workers} }),
	Bench::Server::Redis->new(label => 'redis', parent => $dir));
$_->start for @server;

my @cases;
for my $subscribers (1, 10, 100)
{
	for my $depth (1, 16) { push @cases, { name => "$subscribers subscribers, $depth on the way", subscribers => $subscribers, depth => $depth } }
}
@cases = grep { $_->{name} =~ /$option{only}/ } @cases if defined $option{only};

# run_case -- messages delivered per second, and microseconds of the server's processor time for each
sub run_case
{
	my ($server, $case) = @_;
	my $cpu = $server->cpu_seconds;
	my $text = qx("$load" "$server->{socket}" $case->{subscribers} $case->{depth} $option{size} $option{seconds});
	my ($messages, $rate) = $text =~ /"messages": (\d+).*"delivered": ([\d.]+)/ or die "bench_pubsub failed: $text\n";
	die "PUBLISH told of another number of receivers\n" if $?;
	# the half second before the time begins has its part
	return ($rate, ($server->cpu_seconds - $cpu) * 1e6 / ($messages * $case->{subscribers} * ($option{seconds} + 0.5) / $option{seconds}));
}

my (%rate, %cpu, %ratio);
for my $round (1 .. $option{rounds})
{
	for my $case (@cases)
	{
		my %now;
		for my $server ($round % 2 ? @server : reverse @server)
		{
			my ($rate, $cpu) = run_case($server, $case);
			push @{ $rate{ $case->{name} }{ $server->{label} } }, $rate;
			push @{ $cpu{ $case->{name} }{ $server->{label} } }, $cpu;
			$now{ $server->{label} } = $rate;
		}
		push @{ $ratio{ $case->{name} } }, $now{artery} / $now{redis};
	}
}
printf "PUBLISH of %d bytes, %d workers, %g s each, medians of %d rounds\n", @option{qw(size workers seconds rounds)};
printf "%-32s %14s %14s %7s %16s %16s\n", '', 'artery msg/s', 'redis msg/s', 'ratio', 'artery us/msg', 'redis us/msg';
for my $case (@cases)
{
	my $name = $case->{name};
	printf "%-32s %14.0f %14.0f %7.2f %16.2f %16.2f\n", $name, map({ median(@{ $rate{$name}{$_} }) } qw(artery redis)), median(@{ $ratio{$name} }),
	  map({ median(@{ $cpu{$name}{$_} }) } qw(artery redis));
}
$_->stop for @server;
