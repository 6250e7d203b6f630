# Bench::Server -- one server under test: its directory, its processes, what they cost.
#
# Bench::Server::Artery and Bench::Server::Redis start artery and redis-server in
# the same way: as a child in the foreground, a UNIX socket, words into a file,
# ready as soon as PING is answered with PONG.  All but what a row is about stays
# at each server's defaults.
package Bench::Server;

use strict;
use warnings;
use Bench::Client;
use File::Path qw(make_path remove_tree);
use POSIX ();
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

my $TICKS = POSIX::sysconf(POSIX::_SC_CLK_TCK());
my $READY_WAIT = 300;	# seconds until a start counts as failed; reading a log back may take long
my %running;			# pid => server, of this process' children

sub now { return clock_gettime(CLOCK_MONOTONIC) }

sub slurp
{
	my ($path, $from) = @_;
	open my $in, '<:raw', $path or return '';
	seek $in, $from // 0, 0;
	local $/;
	return <$in> // '';
}

# new -- a server with a directory of its own below $parent; nothing runs yet.
sub new
{
	my ($class, %option) = @_;
	my $self = bless { %option, log => "$option{parent}/$option{label}.log" }, $class;
	$self->{dir} = "$option{parent}/$option{label}";
	$self->{socket} = "$option{parent}/$option{label}.sock";
	remove_tree($self->{dir});
	$self->prepare;
	return $self;
}

# start -- returns the seconds from exec to the first PONG.
sub start
{
	my ($self) = @_;
	$self->{log_size} = -s $self->{log} // 0;
	my @command = $self->command;
	my $start = now();
	my $pid = fork // die "could not fork: $!\n";
	if (!$pid)
	{
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
		POSIX::setpgid(0, 0);	# Ctrl-C is for the benchmark, which then ends its servers
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $self->{log};
		open STDERR, '>&', \*STDOUT;
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	$running{$pid} = $self;
	while (now() - $start < $READY_WAIT)
	{
		if (waitpid($pid, POSIX::WNOHANG()) == $pid)
		{
			delete $running{$pid};
			die "$self->{label} did not start:\n" . $self->log_end;
		}
		my $client = Bench::Client->connect($self->{socket});
		if ($client)
		{
			my $pong = eval { $client->call('PING') } // '';
			if ($pong eq 'PONG')
			{
				$self->{client} = $client;
				return now() - $start;
			}
		}
		sleep 0.001;
	}
	die "$self->{label} was not ready after $READY_WAIT s:\n" . $self->log_end;
}

sub client { return $_[0]{client} }
sub info { my $self = shift; return $self->{client}->info(@_) }

# log_text -- what the server said since its last start.
sub log_text { return slurp($_[0]{log}, $_[0]{log_size}) }

sub log_end
{
	my ($self) = @_;
	my @lines = split /^/, $self->log_text;
	return join '', @lines > 15 ? @lines[ -15 .. -1 ] : @lines;
}

# pids -- the server's first process and all that descend from it.
sub pids
{
	my ($self) = @_;
	my %children;
	for my $stat (glob '/proc/[0-9]*/stat')
	{
		slurp($stat) =~ /\A(\d+) \(.*\) \S (\d+)/s and push @{ $children{$2} }, $1;
	}
	my @family = $self->{pid};
	for (my $i = 0; $i < @family; $i++) { push @family, @{ $children{ $family[$i] } // [] } }
	return @family;
}

# cpu_seconds -- user and system time of all its processes and threads so far.  (What the
# kernel does for it in threads of the kernel's own is nobody's and not counted.)
sub cpu_seconds
{
	my ($self) = @_;
	my $ticks = 0;
	for my $pid ($self->pids)
	{
		my $rest = (split /\) /, slurp("/proc/$pid/stat"), 2)[1] // next;
		my @field = split ' ', $rest;
		$ticks += $field[11] + $field[12];
	}
	return $ticks / $TICKS;
}

# resident -- bytes of memory of all its processes, shared pages counted once (PSS).
sub resident
{
	my ($self) = @_;
	my $kib = 0;
	for my $pid ($self->pids)
	{
		$kib += $1 if slurp("/proc/$pid/smaps_rollup") =~ /^Pss:\s+(\d+) kB/m;
	}
	return 1024 * $kib;
}

# kill9 -- SIGKILL for every process; returns when all are gone.
sub kill9
{
	my ($self) = @_;
	my @pids = $self->pids;
	kill 'KILL', @pids;
	$self->reap;
	for (1 .. 2000)
	{
		return unless grep { slurp("/proc/$_/stat") =~ /\A\d+ \(.*\) [^ZX]/s } @pids;
		sleep 0.005;
	}
	die "$self->{label}: a process outlives SIGKILL\n";
}

# stop -- an orderly end; returns the seconds it took.
sub stop
{
	my ($self) = @_;
	my $start = now();
	kill 'INT', $self->{pid};	# artery: fast; redis-server: shutdown
	$self->reap;
	return now() - $start;
}

sub reap
{
	my ($self) = @_;
	waitpid $self->{pid}, 0;
	delete $running{ $self->{pid} };
	$self->{client} = undef;
}

sub remove
{
	my ($self) = @_;
	$self->kill9 if $running{ $self->{pid} // 0 };
	# what a killed server leaves in shared memory
	my $name = (split /\n/, slurp("$self->{dir}/artery.pid") // '')[4];
	unlink "/dev/shm$name" if defined $name && $name =~ m{^/artery-[\w.]+$};
	remove_tree($self->{dir});
	unlink $self->{log}, $self->{socket};
}

# end_all -- whatever this process started and that still runs.
sub end_all { $_->kill9 for values %running }

# ----------------------------------------------------------------
package Bench::Server::Artery;

our @ISA = ('Bench::Server');

# Options: bindir, settings => { name => value }.
sub prepare
{
	my ($self) = @_;
	my $said = qx("$self->{bindir}/artery_ctl" init -D "$self->{dir}" 2>&1);
	die "artery_ctl init failed:\n$said" if $?;
	my %setting = (unix_socket_path => $self->{socket}, %{ $self->{settings} // {} });
	open my $conf, '>>', "$self->{dir}/artery.conf" or die "could not open artery.conf: $!\n";
	print $conf "\n", map { "$_ = '$setting{$_}'\n" } sort keys %setting;
	close $conf or die "could not write artery.conf: $!\n";
}

sub command
{
	my ($self) = @_;
	return ("$self->{bindir}/artery", '-D', $self->{dir});
}

# redo_done -- records and seconds of the redo of the last start, from the log.
sub redo_done { return $_[0]->log_text =~ /redo done: (\d+) records .* in ([\d.]+) s/ }

# ----------------------------------------------------------------
package Bench::Server::Redis;

our @ISA = ('Bench::Server');

# Options: settings => { name => value }.
sub prepare { File::Path::make_path($_[0]{dir}) }

sub command
{
	my ($self) = @_;
	my %setting = (port => 0, unixsocket => $self->{socket}, dir => $self->{dir}, save => '', daemonize => 'no',
		appendonly => 'no', %{ $self->{settings} // {} });
	return ('redis-server', map { ("--$_", $setting{$_}) } sort keys %setting);
}

# redo_done -- its log does not count the records; the caller knows how many there are.
sub redo_done { return (undef, $_[0]->log_text =~ /DB loaded from append only file: ([\d.]+) seconds/) }

1;
