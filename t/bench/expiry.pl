#!/usr/bin/perl
#
# expiry.pl -- many keys that expire in the same second, beside redis-server doing the same.
#
# Loads --keys keys whose deadlines lie in one second, some way ahead, and waits for it.  Meanwhile two
# clients send GET and SET of other keys, one command at a time, and measure each: p99 and the longest,
# before the deadlines and while keys go.  The rate is keys by the time from the first deadline until
# the server has none left (DBSIZE; both count what is not deleted yet).  Settings as for rows that are not
# durable: durability = periodic against Redis without persistence; --durable: immediate.
# --cold: artery alone; a checkpoint, a start with an empty memory, and the keys leave from the base.
#
# Exit code 0; 1 with --strict when a target is missed (the longest wait 10 ms; at least Redis' rate); 2: it could not run.
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
use List::Util qw(max);
use POSIX ();
use Time::HiRes qw(sleep time);

my $root = root_dir();
my %option = (bindir => "$root/build/release", keys => 1_000_000, ahead => 0, dir => '/var/tmp', workers => 2);
GetOptions(\%option, qw(bindir=s keys=i ahead=f dir=s workers=i durable cold no-redis strict set=s@)) or exit 2;
$option{bindir} = abs_path($option{bindir}) // $option{bindir};
$option{ahead} ||= 3 + $option{keys} / 60_000 + ($option{cold} ? 5 : 0);
my $dir = bench_dir($option{dir});
my @children;
at_end(sub { kill 'KILL', @children });

# load -- all keys, pipelined
sub load
{
	my ($server, $deadline_ms) = @_;
	my $client = Bench::Client->connect($server->{socket});
	my $sent = 0;
	while ($sent < $option{keys})
	{
		my $n = $option{keys} - $sent < 1000 ? $option{keys} - $sent : 1000;
		my $out = '';
		for my $i ($sent .. $sent + $n - 1)
		{
			my $key = sprintf 'session:%09d', $i;
			my $at = $deadline_ms + int $i * 1000 / $option{keys};
			$out .= "*5\r\n\$3\r\nSET\r\n\$17\r\n$key\r\n\$8\r\nvalue678\r\n\$4\r\nPXAT\r\n\$" . length($at) . "\r\n$at\r\n";
		}
		for (my $at = 0; $at < length $out;)
		{
			my $wrote = syswrite $client->{socket}, $out, length($out) - $at, $at;
			die "the connection was lost\n" if !$wrote;
			$at += $wrote;
		}
		for (1 .. $n)
		{
			my $reply = $client->reply;
			die "SET: $$reply\n" if ref $reply;
		}
		$sent += $n;
	}
}

# probe -- in a process of its own: one command at a time until told to stop; times and latencies come back by a file
sub probe
{
	my ($server, $name, @command) = @_;
	my $pid = fork // die "could not fork: $!\n";
	if ($pid)
	{
		push @children, $pid;
		return $pid;
	}
	my $go = 1;
	$SIG{TERM} = sub { $go = 0 };
	my @all;
	my $client = Bench::Client->connect($server->{socket});
	while ($go)
	{
		my $begin = time;
		eval { $client->call(@command); 1 } or last;
		push @all, pack 'dd', $begin, time - $begin;
	}
	open my $f, '>', "$dir/$name" or POSIX::_exit(1);
	print $f @all;
	close $f;
	POSIX::_exit(0);
}

# latencies -- [p99, longest] in ms of the commands that began in [from, to)
sub latencies
{
	my ($name, $from, $to) = @_;
	open my $f, '<:raw', "$dir/$name" or die "$name: $!\n";
	local $/;
	my @v = unpack 'd*', <$f>;
	my @in;
	for (my $i = 0; $i < @v; $i += 2) { push @in, $v[$i + 1] if $v[$i] >= $from && $v[$i] < $to }
	return [ 0, 0, 0 ] if !@in;
	@in = sort { $a <=> $b } @in;
	return [ $in[ int 0.99 * $#in ] * 1000, $in[-1] * 1000, scalar @in ];
}

sub run
{
	my ($server) = @_;
	$server->start;
	my $deadline = time + $option{ahead};
	my $begin = time;
	load($server, int $deadline * 1000);
	my $loaded = time - $begin;
	die sprintf "loading took %.1f s: --ahead must be more\n", $loaded if time > $deadline - 1;
	if ($option{cold})
	{
		$server->client->call('CHECKPOINT');
		$server->stop;
		$server->start;
		die "the checkpoint took too long: --ahead must be more\n" if time > $deadline - 0.5;
	}
	my $before = time;
	my @probe = (probe($server, 'get', 'GET', 'probe'), probe($server, 'set', 'SET', 'probe', 'v'));
	my $client = Bench::Client->connect($server->{socket});
	sleep $deadline - time if $deadline > time;
	my $left;
	my @line;
	while (($left = $client->call('DBSIZE')) > 1 && time < $deadline + 120)
	{
		push @line, sprintf '%.1fs %d', time - $deadline, $left if !@line || time - $deadline > @line * 0.5;
		sleep 0.005;
	}
	my $gone = time;
	sleep 0.2;
	kill 'TERM', @probe;
	waitpid $_, 0 for @probe;
	my %row = (rate => $left > 1 ? 0 : $option{keys} / ($gone - $deadline), seconds => $gone - $deadline, line => \@line,
		loaded => $option{keys} / $loaded);
	for my $name (qw(get set))
	{
		$row{"$name before"} = latencies($name, $before, $deadline);
		$row{$name} = latencies($name, $deadline, $gone);
	}
	$server->stop;
	return \%row;
}

my %row;
my %settings = (durability => $option{durable} ? 'immediate' : 'periodic', workers => $option{workers}, memory_limit => '1GB',
	max_wal_size => '4GB', map { split /=/, $_, 2 } @{ $option{set} // [] });
$settings{prewarm} = 'off' if $option{cold};
$row{artery} = run(Bench::Server::Artery->new(label => 'artery', parent => $dir, bindir => $option{bindir}, settings => \%settings));
$row{redis} = run(Bench::Server::Redis->new(label => 'redis', parent => $dir,
		settings => $option{durable} ? { appendonly => 'yes', appendfsync => 'always' } : {})) if !$option{cold} && !$option{'no-redis'};

printf "%s keys whose deadlines lie in one second%s%s\n\n", Bench::Report::commas($option{keys}),
  $option{durable} ? ', durable' : '', $option{cold} ? ', in the base alone' : '';
printf "%-8s %10s %8s   %-22s %-22s %-22s %-22s\n", '', 'keys/s', 'gone in', 'GET before p99/max ms', 'GET then p99/max ms',
  'SET before p99/max ms', 'SET then p99/max ms';
for my $name (sort keys %row)
{
	my $r = $row{$name};
	printf "%-8s %10s %6.2f s   %-22s %-22s %-22s %-22s\n", $name, Bench::Report::commas(int $r->{rate}), $r->{seconds},
	  map { sprintf '%.2f / %.2f (%d)', @$_ } map { $r->{$_} } 'get before', 'get', 'set before', 'set';
	printf "         left: %s\n", join ', ', @{ $r->{line} };
}
my $worst = max($row{artery}{get}[1], $row{artery}{set}[1]);
my $missed = $worst > 10 || ($row{redis} && $row{artery}{rate} < $row{redis}{rate});
printf "\nlongest wait %.1f ms (target 10), rate %s\n", $worst,
  $row{redis} ? sprintf('%.2f times that of Redis (target 1)', $row{artery}{rate} / ($row{redis}{rate} || 1)) : 'as above';
exit($option{strict} && $missed ? 1 : 0);
