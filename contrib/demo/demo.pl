#!/usr/bin/perl
#
# demo.pl -- artery's main job on real data, killed with -9 in the middle, with proof.
#
# Makes a private server in a temporary directory, loads every path that dpkg
# knows (path => package; a directory's value lists all its packages), asks a few
# questions, makes a checkpoint, kills every process of the server with SIGKILL while
# several clients write, starts it again and compares all that had been acknowledged.
# What a client was told is kept outside the store: each writer reports its
# acknowledgements through a pipe to this process, which outlives everything.  At
# last the server gets little memory and several times as much data.
#
# Each claim is checked and printed as "ok" or "FAILED"; the exit code is 0 only
# if all hold.  The server and the directory are gone afterwards, also on Ctrl-C.
#
# Needs perl's own modules only, any user, and Debian's package lists (or others
# of that form: --dpkg).

use strict;
use warnings;
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use Getopt::Long qw(GetOptions);
use IO::Select;
use POSIX ();
use Time::HiRes qw(sleep time);

# Keys and values are bytes: no layer may touch them, and sort must be bytewise.
no locale;

my %option = (
	bindir  => 'build/release',
	dpkg    => '/var/lib/dpkg/info',
	writers => 4,
	seconds => 2,
	large   => 64,
);
my $usage = <<"END";
usage: demo.pl [options]
  --bindir DIR   where artery and artery_ctl are (default $option{bindir})
  --dpkg DIR     where the package lists (*.list) are (default $option{dpkg})
  --writers N    clients that write while the server is killed (default $option{writers})
  --seconds S    how long they write before that (default $option{seconds})
  --large MB     data that is written into a memory of 16 MB (default $option{large})
  --keep         leave the directory of the server behind
  --false-ack    put two acknowledgements that never were into the ledger:
                 the demo must then say that two writes are lost, and fail
END

my $BATCH = 1000;		# commands per pipelined batch; two batches are on the way at most
my $PAGE = 1000;		# keys per page of a walk
my $WRITER_BATCH = 32;	# writes that a background writer has on the way
my $CTL_WAIT = 60;		# seconds that artery_ctl waits for start and stop

my $demo_pid = $$;
my $dir;				# temporary directory, all that is made lies in it
my $data;				# the server's data directory in it
my %writer;				# pid => number, of the writers that run
my $failed = 0;

# ---------------------------------------------------------------- words

sub say_line { print @_, "\n" }

sub headline
{
	my ($text) = @_;
	say_line("\n$text");
	say_line('-' x length $text);
}

# 1234567 => 1,234,567
sub commas
{
	my $text = sprintf '%.0f', shift;
	1 while $text =~ s/^(\d+)(\d{3})/$1,$2/;
	return $text;
}

# A key as it may be shown on a terminal.
sub shown { return $_[0] =~ s/[\x00-\x1f\x7f]/?/gr }

sub megabytes { return sprintf '%.1f MB', $_[0] / 1e6 }

# Per second, of a count and a time that may be too short to divide by.
sub rate { return commas($_[0] / ($_[1] > 1e-6 ? $_[1] : 1e-6)) }

sub claim
{
	my ($holds, $text) = @_;
	say_line($holds ? '  ok      ' : '  FAILED  ', $text);
	$failed++ unless $holds;
	return $holds;
}

# 0.0123 => 12.3 ms
sub duration
{
	my ($seconds) = @_;
	return sprintf '%.0f us', 1e6 * $seconds if $seconds < 1e-3;
	return sprintf '%.1f ms', 1e3 * $seconds if $seconds < 1;
	return sprintf '%.1f s', $seconds;
}

# progress -- a bar that grows in place on a terminal, a line per quarter elsewhere.
{
	my $quarter = 0;

	sub progress
	{
		my ($done, $total, $start, $unit) = @_;
		my $part = $total ? $done / $total : 1;
		my $text = sprintf '%3d %%  %s %s, %s/s', int(100 * $part), commas($done), $unit, rate($done, time - $start);
		if (-t STDOUT)
		{
			my $width = 40;
			my $full = int($width * $part);
			printf "\r  [%s%s] %s ", '#' x $full, '.' x ($width - $full), $text;
			print "\n" if $done == $total;
		}
		elsif ($done == $total || int(4 * $part) > $quarter)
		{
			say_line("  $text");
		}
		$quarter = $done == $total ? 0 : int(4 * $part);
	}
}

# ---------------------------------------------------------------- the paths

# Returns { path => "package[,package ...]" }; a list's name is PACKAGE[:ARCH].list.
sub read_paths
{
	my ($lists) = @_;
	my %owner;
	for my $list (@$lists)
	{
		my ($package) = $list =~ m{([^/]+?)(?::[^/:]+)?\.list\z};
		open my $in, '<:raw', $list or die "could not open \"$list\": $!\n";
		while (my $path = <$in>)
		{
			chomp $path;
			next if $path eq '' || length $path > 4096;
			$owner{$path} = exists $owner{$path} ? "$owner{$path},$package" : $package;
		}
	}
	# The same package for two architectures owns its shared files twice.
	for my $value (values %owner)
	{
		next unless $value =~ /,/;
		my %seen;
		$value = join ',', grep { !$seen{$_}++ } split /,/, $value;
	}
	return \%owner;
}

# What LIST PREFIX p DELIMITER / must answer, worked out from the paths themselves.
sub expected_listing
{
	my ($sorted, $prefix) = @_;
	my (@items, @prefixes, %seen);
	for my $path (@$sorted)
	{
		next unless index($path, $prefix) == 0;
		my $end = index $path, '/', length $prefix;
		if ($end < 0) { push @items, $path }
		else
		{
			my $up_to = substr $path, 0, $end + 1;
			push @prefixes, $up_to unless $seen{$up_to}++;
		}
	}
	return (\@items, \@prefixes);
}

# ---------------------------------------------------------------- the server

# ctl -- runs artery_ctl; returns (exit code, seconds).  Its words go to a file
# (a pipe would be inherited by the server and never end).
sub ctl
{
	my (@arguments) = @_;
	my $start = time;
	my $pid = fork // die "could not fork: $!\n";
	if (!$pid)
	{
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$dir/ctl.out";
		open STDERR, '>&', \*STDOUT;
		exec("$option{bindir}/artery_ctl", @arguments) or POSIX::_exit(127);
	}
	waitpid $pid, 0;
	my $code = $? & 127 ? 128 + ($? & 127) : $? >> 8;
	return ($code, time - $start);
}

sub ctl_or_die
{
	my (@arguments) = @_;
	my ($code, $seconds) = ctl(@arguments);
	die "artery_ctl $arguments[0] failed with exit code $code:\n" . slurp("$dir/ctl.out") if $code;
	return $seconds;
}

sub slurp
{
	my ($path, $from) = @_;
	open my $in, '<:raw', $path or return '';
	seek $in, $from // 0, 0;
	local $/;
	return <$in> // '';
}

sub postmaster_pid
{
	return slurp("$data/artery.pid") =~ /\A(\d+)/ ? $1 : undef;
}

# The postmaster of our directory and all that descend from it, dead ones not counted.
sub server_pids
{
	my $postmaster = postmaster_pid() // return ();
	my %children;
	my %alive;
	for my $stat (glob '/proc/[0-9]*/stat')
	{
		# The name stands in brackets and may itself hold any byte.
		slurp($stat) =~ /\A(\d+) \(.*\) (\S) (\d+)/s or next;
		my ($pid, $state, $parent) = ($1, $2, $3);
		next if $state =~ /[ZX]/;
		$alive{$pid} = 1;
		push @{ $children{$parent} }, $pid;
	}
	return () unless $alive{$postmaster};
	my @family = $postmaster;
	for (my $i = 0; $i < @family; $i++) { push @family, @{ $children{ $family[$i] } // [] } }
	return @family;
}

sub is_alive
{
	my ($pid) = @_;
	return slurp("/proc/$pid/stat") =~ /\A\d+ \(.*\) ([^ZX])/s;
}

# Whoever has a file of ours open: the server's processes (each holds the lock on its
# directory), also those that no pid file names yet or any more, and artery_ctl.
sub holders
{
	my @holders;
	for my $process (glob '/proc/[0-9]*')
	{
		my ($pid) = $process =~ /(\d+)/;
		next if $pid == $$ || !-o $process;
		push @holders, $pid if grep { index(readlink($_) // '', "$dir/") == 0 } glob "$process/fd/*";
	}
	return @holders;
}

# kill_all -- SIGKILL for every process of the server; returns how many, undef if one survives.
sub kill_all
{
	my %killed;
	my $quiet = 0;
	for (1 .. 200)
	{
		my @pids = grep { is_alive($_) } server_pids(), holders();
		kill 'KILL', @pids;
		$killed{$_} = 1 for @pids;
		# A process that was being forked is seen the second time.
		$quiet = @pids ? 0 : $quiet + 1;
		return scalar keys %killed if $quiet == 2;
		sleep 0.01;
	}
	return;
}

# ---------------------------------------------------------------- the writers

# Number n's value: it can be made again from the two numbers, so the ledger needs no more.
sub writer_key { return sprintf 'demo/writer-%d/%09d', @_ }
sub writer_value { return sprintf 'write %d of writer %d, %s', $_[1], $_[0], '.' x (($_[0] * 7 + $_[1] * 13) % 50) }

# writer_main -- writes until the connection ends; reports "sent N" before, and
# "acked N" after, through the pipe.  Runs in a child process.
sub writer_main
{
	my ($number, $report) = @_;
	$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
	$SIG{PIPE} = 'IGNORE';
	my $sent = 0;
	my $acked = 0;
	my $tell = sub { syswrite($report, "$_[0] $_[1]\n") // POSIX::_exit(1) };
	my $error = '';
	my $ok = eval {
		my $client = Client->connect("$data/artery.sock");
		for (;;)
		{
			my @batch = map { [ 'SET', writer_key($number, $_), writer_value($number, $_) ] } $sent + 1 .. $sent + $WRITER_BATCH;
			$sent += $WRITER_BATCH;
			# One key is written over and over: its value may never go back.
			push @batch, [ 'SET', "demo/writer-$number/latest", $sent ];
			$tell->('sent', $sent);
			$client->send(@batch);
			for (1 .. $WRITER_BATCH)
			{
				$client->expect_ok(1);
				$acked++;
				$tell->('acked', $acked) if $acked % 8 == 0 || !$client->has_more;
			}
			$client->expect_ok(1);
			$tell->('latest', $sent);
		}
		1;
	};
	$error = $@ unless $ok;
	$tell->('acked', $acked);
	$error =~ s/\s+\z//;
	$tell->('end', $error);
	POSIX::_exit(0);
}

# start_writers -- returns { number => { pipe, sent, acked, latest, end } }, the ledger.
sub start_writers
{
	my %ledger;
	STDOUT->flush;
	for my $number (1 .. $option{writers})
	{
		pipe my $in, my $out or die "could not make a pipe: $!\n";
		my $pid = fork // die "could not fork: $!\n";
		if (!$pid)
		{
			close $in;
			writer_main($number, $out);
		}
		close $out;
		$writer{$pid} = $number;
		$ledger{$number} = { pipe => $in, rest => '', sent => 0, acked => 0, latest => 0, end => undef };
	}
	return \%ledger;
}

# read_ledger -- takes in what the writers report, for 'seconds' or until all have ended.
sub read_ledger
{
	my ($ledger, $seconds) = @_;
	my $until = time + $seconds;
	my %by_pipe = map { fileno($_->{pipe}) => $_ } grep { $_->{pipe} } values %$ledger;
	my $select = IO::Select->new(map { $_->{pipe} } values %by_pipe);
	while ($select->count && (my $left = $until - time) > 0)
	{
		for my $pipe ($select->can_read($left))
		{
			my $entry = $by_pipe{ fileno $pipe };
			my $got = sysread $pipe, $entry->{rest}, 65536, length $entry->{rest};
			next if !defined $got && $!{EINTR};
			if (!$got)
			{
				$select->remove($pipe);
				$entry->{pipe} = undef;
				next;
			}
			while ($entry->{rest} =~ s/\A(\w+) ([^\n]*)\n//) { $entry->{$1} = $2 }
		}
	}
}

sub ledger_sum
{
	my ($ledger, $what) = @_;
	my $sum = 0;
	$sum += $_->{$what} for values %$ledger;
	return $sum;
}

# ---------------------------------------------------------------- the walk

# walk -- calls visit(key, value) for every key under a prefix, page by page; returns their count.
sub walk
{
	my ($client, $prefix, $visit) = @_;
	my $count = 0;
	my $from = '-';
	my $last;
	while (defined $from)
	{
		my $reply = $client->call('RANGE', $from, '+', 'PREFIX', $prefix, 'COUNT', $PAGE, 'WITHVALUES');
		($from, my $items) = @$reply;
		for my $item (@$items)
		{
			my ($key, $value) = @$item;
			die "the walk is out of order: \"$key\" after \"$last\"\n" if defined $last && $key le $last;
			$visit->($key, $value);
			$last = $key;
			$count++;
		}
	}
	return $count;
}

# ---------------------------------------------------------------- the chapters

sub chapter_paths
{
	headline('1. The data: every path known to dpkg');
	my @lists = sort glob "$option{dpkg}/*.list";
	die "there are no package lists (*.list) in \"$option{dpkg}\"; --dpkg DIR names another place\n" unless @lists;
	my $start = time;
	my $owner = read_paths(\@lists);
	my $bytes = 0;
	my $shared = 0;
	while (my ($path, $packages) = each %$owner)
	{
		$bytes += length($path) + length $packages;
		$shared++ if $packages =~ /,/;
	}
	die "the package lists in \"$option{dpkg}\" are empty\n" unless %$owner;
	say_line(sprintf '  %s package lists, %s paths (%s of them in several packages), %s of keys and values, read in %.1f s',
		commas(scalar @lists), commas(scalar keys %$owner), commas($shared), megabytes($bytes), time - $start);
	return ($owner, $bytes);
}

sub chapter_server
{
	my ($keys, $bytes) = @_;
	headline('2. A server of its own');
	my $init = ctl_or_die('init', '-D', $data);
	open my $conf, '>>', "$data/artery.conf" or die "could not open \"$data/artery.conf\": $!\n";
	print $conf "\n# the demo: nameless shared memory, of which nothing is left when every process is killed\n";
	print $conf "shared_memory_type = memfd\n";
	my $need = $bytes + 200 * $keys;
	print $conf 'memory_limit = ', int(3 * $need / 1048576), "MB\n" if $need > 300e6;
	close $conf or die "could not write \"$data/artery.conf\": $!\n";
	my $start = ctl_or_die('start', '-w', '-t', $CTL_WAIT, '-D', $data, '-l', "$data/log");
	my @pids = server_pids();
	say_line(sprintf '  %s: init %.2f s, start %.2f s, %d processes', $data, $init, $start, scalar @pids);
	my $client = Client->connect("$data/artery.sock");
	my $durability = $client->call('CONFIG', 'GET', 'durability')->[1];
	claim($durability eq 'immediate', "durability is $durability: no write is answered before it is on disk");
	return $client;
}

sub chapter_load
{
	my ($client, $owner, $bytes) = @_;
	headline('3. Load, pipelined');
	my @paths = keys %$owner;	# perl's hash order: as good as random
	my $total = @paths;
	my $start = time;
	my $sent = 0;
	my $acked = 0;
	while ($acked < $total)
	{
		my $before = $sent;
		if ($sent < $total)
		{
			my $end = $sent + $BATCH < $total ? $sent + $BATCH : $total;
			$client->send(map { [ 'SET', $_, $owner->{$_} ] } @paths[ $sent .. $end - 1 ]);
			$sent = $end;
		}
		# The batch before the one just sent is answered; this one keeps the server busy meanwhile.
		my $wait = ($sent < $total ? $before : $sent) - $acked;
		$client->expect_ok($wait) if $wait;
		$acked += $wait;
		progress($acked, $total, $start, 'keys') if $wait;
	}
	my $seconds = time - $start;
	say_line(sprintf '  %s keys, %s in %.2f s: %s durable writes/s, %.1f MB/s, one connection',
		commas($total), megabytes($bytes), $seconds, rate($total, $seconds), $bytes / 1e6 / $seconds);
	my $size = $client->call('DBSIZE');
	claim($size == $total, "DBSIZE says that all are there: " . commas($size));
}

sub chapter_owners
{
	my ($client, $owner, $sorted) = @_;
	headline('4. Which package owns a file?');
	my @wanted = grep { exists $owner->{$_} } qw(/bin/ls /usr/bin/ls /usr/bin/perl /bin/bash /usr/bin/env /etc/debian_version
		/usr/share/doc/perl /usr/share/man /usr/bin);
	push @wanted, $sorted->[ $_ * @$sorted / 4 ] for 1 .. 3;
	my $right = 0;
	my $took = 0;
	for my $path (@wanted)
	{
		my $start = time;
		my $answer = $client->call('GET', $path);
		$took += time - $start;
		$right++ if defined $answer && $answer eq $owner->{$path};
		my @packages = split /,/, $answer // '(none)';
		my $text = @packages > 4 ? sprintf('%d packages: %s, ...', scalar @packages, join ', ', @packages[ 0 .. 2 ]) : join ', ', @packages;
		say_line(sprintf '  %-44s %s', shown($path), $text);
	}
	my $missing = $client->call('GET', '/no/such/file');
	say_line(sprintf '  %-44s %s', '/no/such/file', $missing // '(nobody)');
	claim($right == @wanted && !defined $missing,
		sprintf '%d questions, all answers right; %s each, there and back', scalar @wanted, duration($took / @wanted));
}

sub chapter_listing
{
	my ($client, $sorted) = @_;
	my $prefix = (grep { index($_, '/usr/') == 0 } @$sorted) ? '/usr/' : '/';
	headline("5. What is in $prefix?  (LIST PREFIX $prefix DELIMITER /)");
	my ($want_items, $want_prefixes) = expected_listing($sorted, $prefix);
	my (@items, @prefixes, $token);
	my $requests = 0;
	my $start = time;
	do
	{
		my %reply = @{ $client->call('LIST', 'PREFIX', $prefix, 'DELIMITER', '/', defined $token ? ('TOKEN', $token) : ()) };
		push @items, @{ $reply{items} };
		push @prefixes, @{ $reply{prefixes} };
		$token = $reply{next};
		$requests++;
	} while (defined $token);
	my $seconds = time - $start;
	my @shown = (@prefixes, @items);
	splice @shown, 12, @shown - 12, '...' if @shown > 14;
	say_line('  ', shown($_)) for @shown;
	my $below = grep { index($_, $prefix) == 0 } @$sorted;
	claim("@items\n@prefixes" eq "@$want_items\n@$want_prefixes",
		sprintf '%d directories rolled up and %d plain keys, over %s paths below, in %s and %d request%s',
		scalar @prefixes, scalar @items, commas($below), duration($seconds), $requests, $requests == 1 ? '' : 's');
}

sub chapter_range
{
	my ($client, $owner, $sorted) = @_;
	headline('6. A walk in order  (RANGE)');
	my ($from) = grep { $_ ge '/usr/bin/pe' } @$sorted;
	$from = $sorted->[ @$sorted / 2 ] unless defined $from && $from =~ m{\A/usr/bin/};
	my @want = grep { $_ ge $from } @$sorted;
	splice @want, 8 if @want > 8;
	my (undef, $items) = @{ $client->call('RANGE', "[$from", '+', 'COUNT', scalar @want, 'WITHVALUES') };
	for (@$items)
	{
		my @packages = split /,/, $_->[1];
		say_line(sprintf '  %-44s %s', shown($_->[0]), @packages > 4 ? @packages . ' packages' : join ', ', @packages);
	}
	my (undef, $back) = @{ $client->call('RANGE', '-', "[$want[-1]", 'REV', 'COUNT', scalar @want) };
	claim(join("\n", map { $_->[0] } @$items) eq join("\n", @want) && join("\n", reverse @$back) eq join("\n", @want),
		"the next " . @want . " paths from " . shown($from) . " on, forwards and backwards");
	my $start = time;
	my $right = 0;
	my $position = 0;
	my $count = walk($client, '/', sub {
		my ($key, $value) = @_;
		$right++ if ($sorted->[ $position++ ] // '') eq $key && $value eq $owner->{$key};
	});
	my $seconds = time - $start;
	my $want = grep { index($_, '/') == 0 } @$sorted;
	claim($count == $want && $right == $want,
		sprintf 'the whole tree, in order, each value compared: %s keys in %.2f s, %s keys/s', commas($count), $seconds, rate($count, $seconds));
}

# One number of INFO.
sub info
{
	my ($client, $name) = @_;
	my ($value) = $client->call('INFO', 'everything') =~ /^\Q$name\E:([^\r\n]*)/m;
	die "the server's INFO has no \"$name\"\n" unless defined $value;
	return $value;
}

# Returns the position in the log from which on a restart has to redo.
sub chapter_checkpoint
{
	my ($client, $owner) = @_;
	headline('7. A checkpoint');
	my $start = time;
	my %report = @{ $client->call('CHECKPOINT') };
	my $seconds = time - $start;
	say_line(sprintf '  %s keys in %s pages, %s, in %s', commas($report{'keys-written'}), commas($report{'pages-written'}),
		megabytes($report{'bytes-written'}), duration($seconds));
	my $size = $client->call('DBSIZE');
	claim($report{'keys-written'} >= $size && $report{'pages-written'} == $report{'pages-to-write'},
		'all keys lie in the base now, in order: a start needs the log from here on alone');
	return $report{cut};
}

sub chapter_kill
{
	headline("8. $option{writers} clients write; then kill -9 for every process of the server");
	my $ledger = start_writers();
	my $start = time;
	my $moment = $option{seconds} + rand 0.2;	# not always at the same point of a flush
	read_ledger($ledger, $moment);
	# A slow disk gets more time: a kill before the first write proves nothing.
	read_ledger($ledger, 0.1) while time - $start < 30 && grep { !$_->{acked} && $_->{pipe} } values %$ledger;
	my $early = join '; ', grep { defined } map { $_->{end} } values %$ledger;
	die "a writer stopped before the kill: $early\n" if $early ne '';
	my $seconds = time - $start;
	my @pids = server_pids();
	my $killed = kill_all();
	my $ended = defined $killed && $killed >= @pids && @pids > 1;
	read_ledger($ledger, 10);
	kill 'KILL', keys %writer;	# they have ended with their connections
	for my $pid (keys %writer)
	{
		waitpid $pid, 0;
		delete $writer{$pid};
	}
	my ($acked, $sent) = map { ledger_sum($ledger, $_) } qw(acked sent);
	say_line(sprintf '  %s writes acknowledged in %.1f s (%s durable writes/s), %s on the way',
		commas($acked), $seconds, rate($acked, $seconds), commas($sent - $acked));
	claim($ended, 'killed: ' . ($killed // 'not all of ' . @pids) . ' processes, none is left');
	my $all_wrote = !grep { !$_->{acked} } values %$ledger;
	claim($all_wrote, 'each writer had acknowledged writes when the server died');
	return $ledger;
}

sub chapter_restart
{
	my ($cut) = @_;
	headline('9. Start again');
	my $log_size = -s "$data/log" // 0;
	my $seconds = ctl_or_die('start', '-w', '-t', $CTL_WAIT, '-D', $data, '-l', "$data/log");
	my $client = Client->connect("$data/artery.sock");
	my $log = slurp("$data/log", $log_size);
	my ($records, $redo) = $log =~ /redo done: (\d+) records .* in ([\d.]+) s/;
	say_line(sprintf '  serving again after %s', duration($seconds));
	claim(info($client, 'redo_start_lsn') >= $cut, 'the log was redone from the checkpoint on, not from its beginning');
	if (claim(defined $records && $records > 0, 'the log was redone' . (defined $records ? ': ' . commas($records) . ' records' : '')))
	{
		say_line(sprintf '          in %.3f s: %s records/s, one process', $redo, rate($records, $redo));
	}
	return $client;
}

# check_writes -- what the store holds under demo/, against the ledger.
sub check_writes
{
	my ($client, $ledger) = @_;
	my %found;
	walk($client, 'demo/', sub { $found{ $_[0] } = $_[1] });
	my %count = (lost => 0, wrong => 0, extra => 0, back => 0);
	for my $number (keys %$ledger)
	{
		my $entry = $ledger->{$number};
		for my $n (1 .. $entry->{sent})
		{
			my $value = delete $found{ writer_key($number, $n) };
			my $promised = $n <= $entry->{acked} || $entry->{false}{$n};
			if (!defined $value) { $count{lost}++ if $promised }
			elsif ($value ne writer_value($number, $n)) { $count{wrong}++ }
			elsif (!$promised) { $count{extra}++ }
		}
		my $latest = delete $found{"demo/writer-$number/latest"} // 0;
		$count{back}++ unless $latest =~ /\A\d+\z/ && $latest >= $entry->{latest} && $latest <= $entry->{sent};
	}
	$count{invented} = keys %found;
	return \%count;
}

sub chapter_proof
{
	my ($client, $ledger, $owner) = @_;
	headline('10. The proof');
	if ($option{'false-ack'})
	{
		my $entry = $ledger->{1};
		$entry->{false}{ ++$entry->{sent} } = 1 for 1 .. 2;
		say_line('  (--false-ack: writer 1 now claims two writes that it never made)');
	}
	my $acked = ledger_sum($ledger, 'acked');
	my $start = time;
	my $count = check_writes($client, $ledger);
	claim($count->{lost} == 0, sprintf '%s acknowledged writes in the ledger, lost: %d', commas($acked), $count->{lost});
	claim($count->{wrong} == 0 && $count->{invented} == 0,
		"values that differ: $count->{wrong}, keys that nobody wrote: $count->{invented}");
	claim($count->{back} == 0, "overwritten keys that went back to an older value: $count->{back}");
	say_line('          ' . commas($count->{extra}) . ' writes had reached the disk, and the kill came before their answer');
	my %left = %$owner;
	my $differ = 0;
	walk($client, '', sub {
		my ($key, $value) = @_;
		return if index($key, 'demo/') == 0;
		$differ++ unless defined $left{$key} && $left{$key} eq $value;
		delete $left{$key};
	});
	claim(!%left && !$differ, sprintf 'all %s paths with their packages: missing %d, different %d',
		commas(scalar keys %$owner), scalar keys %left, $differ);
	my $key = writer_key(1, 1);
	my $again = $client->call('SET', $key, 'after the crash') eq 'OK' && $client->call('GET', $key) eq 'after the crash';
	claim($again, 'the server takes new writes');
	say_line(sprintf '          compared in %.2f s', time - $start);
}

sub large_key { return sprintf 'large/%08d', $_[0] }
sub large_value { return sprintf('%d of the large data set. ', $_[0] * 7919) x 40 }

# load_large -- keys 0 .. count-1; returns the bytes of keys and values.
sub load_large
{
	my ($client, $count) = @_;
	my $start = time;
	my $bytes = 0;
	my ($sent, $acked) = (0, 0);
	while ($acked < $count)
	{
		my $before = $sent;
		my $end = $sent + 250 < $count ? $sent + 250 : $count;
		my @batch = map { [ 'SET', large_key($_), large_value($_) ] } $sent .. $end - 1;
		$bytes += length($_->[1]) + length $_->[2] for @batch;
		$client->send(@batch) if @batch;
		$sent = $end;
		my $wait = ($before < $count ? $before : $sent) - $acked;
		$client->expect_ok($wait) if $wait;
		$acked += $wait;
		progress($acked, $count, $start, 'keys') if $wait;
	}
	return ($bytes, time - $start);
}

sub chapter_large
{
	my ($owner, $sorted) = @_;
	headline('11. More data than memory');
	# what was written since the last checkpoint must fit into memory at a start, and there will be less of it
	ctl_or_die('checkpoint', '-D', $data);
	ctl_or_die('stop', '-m', 'fast', '-w', '-t', $CTL_WAIT, '-D', $data);
	ctl_or_die('start', '-w', '-t', $CTL_WAIT, '-D', $data, '-l', "$data/log", '-c', 'memory_limit=16MB', '-c', 'buffer_pool_size=4MB');
	my $client = Client->connect("$data/artery.sock");
	my $limit = $client->call('CONFIG', 'GET', 'maxmemory')->[1];
	my $before = $client->call('DBSIZE');
	my $count = int($option{large} * 1e6 / (14 + length large_value(10000)));
	my ($bytes, $seconds) = load_large($client, $count);
	say_line(sprintf '  %s keys, %s into a memory of %s, in %.1f s: %s writes/s, %.1f MB/s', commas($count), megabytes($bytes),
		megabytes($limit), $seconds, rate($count, $seconds), $bytes / 1e6 / $seconds);
	my $used = info($client, 'memory_used');
	claim($used <= $limit, sprintf 'memory in use: %s of %s', megabytes($used), megabytes($limit));
	my $size = $client->call('DBSIZE');
	claim($size == $before + $count, 'DBSIZE counts what is on disk alone, too: ' . commas($size));
	my $start = time;
	my ($right, $asked) = (0, 0);
	my $reads = info($client, 'base_reads');
	for (1 .. 20)
	{
		my @numbers = map { int rand $count } 1 .. 100;
		my @paths = map { $sorted->[ rand @$sorted ] } 1 .. 20;
		$client->send((map { [ 'GET', large_key($_) ] } @numbers), map { [ 'GET', $_ ] } @paths);
		for my $want ((map { large_value($_) } @numbers), map { $owner->{$_} } @paths)
		{
			my $value = $client->reply;
			$right++ if defined $value && $value eq $want;
			$asked++;
		}
	}
	$seconds = time - $start;
	claim($right == $asked, sprintf '%s keys at random, all right: %s/s over one connection, %s pages read from disk', commas($asked),
		rate($asked, $seconds), commas(info($client, 'base_reads') - $reads));
	$start = time;
	my $number = 0;
	my $walked = walk($client, 'large/', sub { $number++ if $_[0] eq large_key($number) && $_[1] eq large_value($number) });
	claim($walked == $count && $number == $count,
		sprintf 'a walk over all of it, in order, each value compared: %s keys/s', rate($walked, time - $start));
}

sub chapter_stop
{
	headline('12. Stop');
	my @pids = server_pids();
	my ($code, $seconds) = ctl('stop', '-m', 'fast', '-w', '-t', $CTL_WAIT, '-D', $data);
	my @left = grep { is_alive($_) } @pids;
	claim($code == 0 && @pids && !@left, sprintf 'fast stop in %.2f s, no process left', $seconds);
}

# ---------------------------------------------------------------- order and tidiness

# tidy -- ends whatever still runs and removes the directory; may be called twice.
sub tidy
{
	return unless defined $dir && $$ == $demo_pid;
	local ($?, $@, $!);
	local @SIG{qw(INT TERM HUP)} = ('IGNORE') x 3;
	kill 'KILL', keys %writer if %writer;
	waitpid $_, 0 for keys %writer;
	%writer = ();
	kill_all();
	if ($option{keep}) { say_line("\nthe directory is kept: $dir") }
	else
	{
		# what a server that was killed leaves in shared memory; its next start would remove it
		if (open my $file, '<', "$data/artery.pid")
		{
			my $name = (<$file>)[4] // '';
			chomp $name;
			unlink "/dev/shm$name" if $name =~ m{^/artery-[\w.]+$};
		}
		remove_tree($dir);
	}
	undef $dir;
}

# A UNIX socket's path has 107 bytes at most, so a deep TMPDIR does not do.
sub make_directory
{
	my $tmp = $ENV{TMPDIR} // '/tmp';
	$tmp = '/tmp' unless -d $tmp && -w $tmp && length $tmp < 60;
	$dir = tempdir('artery-demo-XXXXXX', DIR => $tmp, CLEANUP => 0);
	$data = "$dir/data";
}

sub main
{
	my $start = time;
	say_line('artery: load real data, ask, kill -9, and prove that nothing acknowledged is lost');
	my ($owner, $bytes) = chapter_paths();
	my @sorted = sort keys %$owner;
	make_directory();
	my $client = chapter_server(scalar @sorted, $bytes);
	chapter_load($client, $owner, $bytes);
	chapter_owners($client, $owner, \@sorted);
	chapter_listing($client, \@sorted);
	chapter_range($client, $owner, \@sorted);
	my $cut = chapter_checkpoint($client, $owner);
	undef $client;
	my $ledger = chapter_kill();
	$client = chapter_restart($cut);
	chapter_proof($client, $ledger, $owner);
	undef $client;
	chapter_large($owner, \@sorted);
	chapter_stop();
	tidy();
	say_line(sprintf "\n%s, %.0f s in all", $failed ? "$failed claim(s) FAILED" : 'every claim holds', time - $start);
}

{
	# The client: a connection that sends batches of commands and reads RESP2 replies.
	package Client;

	use IO::Socket::UNIX;
	use Socket qw(SOCK_STREAM);

	sub connect
	{
		my ($class, $path) = @_;
		my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $path) or die "could not connect to \"$path\": $!\n";
		binmode $socket;
		return bless { socket => $socket, select => IO::Select->new($socket), buffer => '', position => 0 }, $class;
	}

	# Sends any number of commands, each an array of arguments, in one stream.
	sub send
	{
		my ($self, @commands) = @_;
		my $out = '';
		for my $command (@commands)
		{
			$out .= '*' . @$command . "\r\n";
			$out .= '$' . length($_) . "\r\n$_\r\n" for @$command;
		}
		# Replies are taken in while the commands go out: neither side may wait for the other for ever.
		my $done = 0;
		$self->{socket}->blocking(0);
		while ($done < length $out)
		{
			my $wrote = syswrite $self->{socket}, $out, 262144, $done;
			if (defined $wrote) { $done += $wrote }
			elsif ($!{EAGAIN})
			{
				my ($readable) = IO::Select->select($self->{select}, $self->{select});
				$self->fill if $readable && @$readable;
			}
			elsif (!$!{EINTR}) { die "the connection was lost while writing: $!\n" }
		}
		$self->{socket}->blocking(1);
	}

	sub fill
	{
		my ($self) = @_;
		if ($self->{position} > 65536)
		{
			substr $self->{buffer}, 0, $self->{position}, '';
			$self->{position} = 0;
		}
		my $got;
		do { $got = sysread $self->{socket}, $self->{buffer}, 262144, length $self->{buffer} } until defined $got || !$!{EINTR};
		die "the connection was lost\n" unless $got;
	}

	# True if bytes of a further reply are here already.
	sub has_more { return $_[0]{position} < length $_[0]{buffer} }

	# Reads 'count' replies that must all be +OK.
	sub expect_ok
	{
		my ($self, $count) = @_;
		while ($count > 0)
		{
			pos($self->{buffer}) = $self->{position};
			$count-- while $count > 0 && $self->{buffer} =~ /\G\+OK\r\n/gc;
			$self->{position} = pos $self->{buffer};
			last unless $count;
			if (length($self->{buffer}) - $self->{position} < 5) { $self->fill }
			else
			{
				my $reply = $self->reply;
				die 'the server answers "' . (ref $reply ? 'an array' : $reply // 'nil') . "\" where OK was due\n";
			}
		}
	}

	sub line
	{
		my ($self) = @_;
		my $end;
		$self->fill while ($end = index $self->{buffer}, "\r\n", $self->{position}) < 0;
		my $line = substr $self->{buffer}, $self->{position}, $end - $self->{position};
		$self->{position} = $end + 2;
		return $line;
	}

	# One reply: text, number, undef (nil), or a reference to an array of those; an error reply dies.
	sub reply
	{
		my ($self) = @_;
		my $line = $self->line;
		my $type = substr $line, 0, 1, '';
		return $line if $type eq '+' || $type eq ':';
		die "the server answers: $line\n" if $type eq '-';
		if ($type eq '$')
		{
			return if $line < 0;
			$self->fill while length($self->{buffer}) - $self->{position} < $line + 2;
			my $text = substr $self->{buffer}, $self->{position}, $line;
			$self->{position} += $line + 2;
			return $text;
		}
		die "the server answers with a byte that is no reply: $type$line\n" unless $type eq '*';
		return if $line < 0;
		return [ map { scalar $self->reply } 1 .. $line ];
	}

	sub call
	{
		my ($self, @command) = @_;
		$self->send(\@command);
		return scalar $self->reply;
	}
}

# A wrong way to call it: exit code 2.
sub refuse
{
	print STDERR @_;
	exit 2;
}

GetOptions(\%option, qw(bindir=s dpkg=s writers=i seconds=f large=i keep false-ack help)) && !@ARGV or refuse($usage);
if ($option{help})
{
	print $usage;
	exit 0;
}
refuse("--writers must be from 1 to 64\n") unless $option{writers} >= 1 && $option{writers} <= 64;
refuse("--large must be from 1 to 100000\n") unless $option{large} >= 1 && $option{large} <= 100_000;
for my $program (qw(artery artery_ctl))
{
	-x "$option{bindir}/$program" or refuse("there is no \"$option{bindir}/$program\": build it with \"make\", or give --bindir\n");
}
$| = 1;
$SIG{PIPE} = 'IGNORE';
$SIG{$_} = sub { die "interrupted\n" } for qw(INT TERM HUP);

if (!eval { main(); 1 })
{
	my $error = $@;
	print "\nthe demo failed: $error";
	my $log = defined $data ? slurp("$data/log") : '';
	if ($log ne '' && $error ne "interrupted\n")
	{
		my @lines = split /\n/, $log;
		splice @lines, 0, @lines - 15 if @lines > 15;
		print "\nthe end of the server's log:\n", map { "  $_\n" } @lines;
	}
	tidy();
	exit($error eq "interrupted\n" ? 130 : 1);
}
exit($failed ? 1 : 0);

END { tidy() }
