# Artery::SoakClient -- the processes that write and read during a round of the crash soak.
#
# start_writer, start_sequencer, start_reader, start_follower (of the change feed), start_viewer
# (of snapshots) and start_disturber fork a process each; it goes on
# until the server closes its connection (or its time is up), and keeps a record
# as Artery::SoakLedger says.  The processes belong to the test, not to the
# server, so they outlive it; each line of a record is in the file before the next
# byte goes to the server.
package Artery::SoakClient;
use strict;
use warnings;
use Artery::SoakLedger;
use Artery::SoakWire;
use POSIX ();

use constant {
	OWN_KEYS => 60,
	OWN_COUNTERS => 4,
	OWN_TIMED => 8,
	SHARED_KEYS => 24,
	SHARED_COUNTERS => 3,
	BATCH_MAX => 32,
};

# _fork -- runs $code in a child that touches nothing of the test harness at its end; returns the pid
sub _fork
{
	my ($record, $code) = @_;
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	$SIG{PIPE} = 'IGNORE';
	$SIG{$_} = 'DEFAULT' for qw(INT TERM);
	open my $out, '>>:raw', $record or POSIX::_exit(2);
	eval { $code->($out); 1 } or syswrite $out, 'F died: ' . ($@ =~ s/\s+/ /gr) . "\n";
	POSIX::_exit(0);
}

# _note -- lines into the record, in one write
sub _note
{
	my ($out, @lines) = @_;
	my $text = join '', map { "$_\n" } @lines;
	my $done = syswrite $out, $text;
	POSIX::_exit(3) if !defined $done || $done != length $text;
	return;
}

sub all_keys
{
	my (@clients) = @_;
	my @keys = map { "h$_" } 0 .. SHARED_KEYS - 1;
	push @keys, map { "n$_" } 0 .. SHARED_COUNTERS - 1;
	for my $client (@clients)
	{
		push @keys, (map { "o$client.$_" } 0 .. OWN_KEYS - 1), (map { "c$client.$_" } 0 .. OWN_COUNTERS - 1),
		  (map { "d$client.$_" } 0 .. OWN_TIMED - 1), map { Artery::SoakLedger::tree_keys("$_$client") } 'a', 'b';
	}
	return @keys;
}

# ids -- database to (key's bytes to its id)
sub ids
{
	my (@clients) = @_;
	my %ids;
	$ids{Artery::SoakLedger::database_of($_)}{Artery::SoakLedger::key_bytes($_)} = $_ for all_keys(@clients);
	return \%ids;
}

# ---- what to send ----

sub _value
{
	my ($option, $seq, $index) = @_;
	my $dice = rand;
	my $length =
		$dice < 0.70 ? 10 + int rand 90
	  : $dice < 0.95 ? 100 + int rand 900
	  : $dice < 0.99 ? 1000 + int rand 8000
	  : 8000 + int rand(($option->{value_max} // 100_000) - 8000);
	return "$option->{round}.$option->{client}.$seq.$index/$length";
}

sub _pick
{
	my ($count, $limit) = @_;
	my %seen;
	$seen{int rand $limit} = 1 while keys %seen < $count;
	return keys %seen;
}

# _choose -- one operation and its arguments, for writers (own and shared keys) and the sequencer (own only)
sub _choose
{
	my ($option, $seq) = @_;
	my $client = $option->{client};
	# shared keys live in database 0
	my $shared = !Artery::SoakLedger::database_of("o$client.0") && rand() < 0.25;
	my $key = $shared ? 'h' . int rand SHARED_KEYS : "o$client." . int rand OWN_KEYS;
	return _choose_many($option, $seq, $shared) if rand() < 0.25;
	my $dice = rand;
	return ('set', $key, _value($option, $seq, 0)) if $dice < 0.42;
	return ('incr', $shared ? 'n' . int rand SHARED_COUNTERS : "c$client." . int rand OWN_COUNTERS, 1 + int rand 3) if $dice < 0.60;
	return ('del', $shared ? $key : map { "o$client.$_" } _pick(1 + int rand 3, OWN_KEYS)) if $dice < 0.70;
	if ($dice < 0.78)
	{
		my ($count, $index) = (2 + int rand 5, 0);
		my @keys = $shared ? map { "h$_" } _pick($count, SHARED_KEYS) : map { "o$client.$_" } _pick($count, OWN_KEYS);
		return ('mset', map { ($_, _value($option, $seq, $index++)) } @keys);
	}
	return ('setnx', $key, _value($option, $seq, 0)) if $dice < 0.85;
	return ('setget', "o$client." . int rand OWN_KEYS, _value($option, $seq, 0)) if $dice < 0.90;
	return ('del', "c$client." . int rand OWN_COUNTERS) if $dice < 0.91;
	return ('flush') if $dice < 0.914 && $option->{flush};
	# WAITAOF speaks of its own connection only: not for the sequencer, which has several
	return ('waitaof') if $dice < 0.918 && $option->{loose} && !$option->{flush};
	return ('get', "o$client." . int rand OWN_KEYS);
}

# _choose_many -- a transaction, something with a whole tree, or with a key that has a deadline
sub _choose_many
{
	my ($option, $seq, $shared) = @_;
	my $client = $option->{client};
	my $index = 0;
	my $value = sub { "$option->{round}.$client.$seq." . $index++ . '/' . (10 + int rand 400) };
	my $tree = rand() < 0.5 ? 'a' : 'b';
	my $dice = rand;
	if ($dice < 0.35)
	{
		my @exec = map { ("o$client.$_", rand() < 0.8 ? $value->() : '-') } _pick(1 + int rand 4, OWN_KEYS);
		push @exec, map { ("$tree$client.$_", $value->()) } _pick(1 + int rand 2, Artery::SoakLedger::TREE_KEYS);
		push @exec, "c$client." . int rand OWN_COUNTERS, '+' . (1 + int rand 3) if rand() < 0.5;
		push @exec, map { ("h$_", $value->()) } _pick(1 + int rand 2, SHARED_KEYS) if $shared;
		return ('exec', @exec);
	}
	return ('set', "$tree$client." . int rand Artery::SoakLedger::TREE_KEYS, $value->()) if $dice < 0.60;
	return ('delprefix', "$tree$client") if $dice < 0.65;
	return ('renprefix', "$tree$client", ($tree eq 'a' ? 'b' : 'a') . $client) if $dice < 0.72;
	my $timed = "d$client." . int rand OWN_TIMED;
	if ($dice < 0.87)
	{
		my $life = rand() < 0.4 ? 0.01 + rand 0.4 : rand() < 0.5 ? rand 4 : 3600 + rand 3600;
		return ('setat', $timed, $value->() . '@' . Artery::SoakLedger::wall_ms($life));
	}
	return ('set', $timed, $value->()) if $dice < 0.89;
	return ('del', $timed) if $dice < 0.92;
	return ('get', $timed);
}

my %WORD = (set => 'SET', setnx => 'SETNX', incr => 'INCRBY', del => 'DEL', mset => 'MSET', get => 'GET', setget => 'SET');

sub _request
{
	my ($op, @arguments) = @_;
	return Artery::SoakWire::encode('FLUSHDB') if $op eq 'flush';
	return Artery::SoakWire::encode('WAITAOF', 1, 0, 20_000) if $op eq 'waitaof';
	return Artery::SoakWire::encode($op eq 'delprefix' ? 'DELPREFIX' : 'RENAMEPREFIX', map { Artery::SoakLedger::prefix_bytes($_) } @arguments) if $op =~ /prefix$/;
	return join '', map { Artery::SoakWire::encode(@$_) } ['MULTI'], _queue(@arguments), ['EXEC'] if $op eq 'exec';
	if ($op eq 'setat')
	{
		my ($value, $deadline) = split /@/, $arguments[1];
		return Artery::SoakWire::encode('SET', Artery::SoakLedger::key_bytes($arguments[0]), Artery::SoakLedger::value_bytes($value), 'PXAT', $deadline);
	}
	my @words = map { m{^[\d.]+/\d+$} ? Artery::SoakLedger::value_bytes($_) : /^[ochnabd]\d/ ? Artery::SoakLedger::key_bytes($_) : $_ } @arguments;
	return Artery::SoakWire::encode($WORD{$op}, @words, $op eq 'setget' ? 'GET' : ());
}

# _queue -- the commands between MULTI and EXEC
sub _queue
{
	my (@arguments) = @_;
	my @commands;
	while (my ($id, $what) = splice @arguments, 0, 2)
	{
		my $key = Artery::SoakLedger::key_bytes($id);
		push @commands, $what eq '-' ? ['DEL', $key] : $what =~ /^\+(.*)/ ? ['INCRBY', $key, $1] : ['SET', $key, Artery::SoakLedger::value_bytes($what)];
	}
	return @commands;
}

# _due -- the replies that a command brings: 'queued' before the one that counts
sub _due
{
	my ($seq, $op, @arguments) = @_;
	return ((map { [$seq, 'queued'] } $op eq 'exec' ? 0 .. @arguments / 2 : ()), [$seq, $op]);
}

# _answer -- a reply as the record has it; undef: no reply of this kind makes sense
sub _answer
{
	my ($op, $reply) = @_;
	my ($type, $value) = @$reply;
	return '-' . ($value =~ tr/ =/_~/r) if $type eq '-';
	return '+' if $type eq '+' && $value eq 'OK' && $op =~ /^(?:set|setat|mset|flush)$/;
	return ":$value" if $type eq ':' && $op =~ /^(?:incr|del|setnx|delprefix|renprefix)$/;
	return '[' . join(',', map { $_->[0] . ($_->[0] eq '+' ? '' : $_->[1] =~ tr/ =/_~/r) } @$value) . ']' if $type eq '*' && $op eq 'exec' && $value;
	return '=' . Artery::SoakLedger::state_of($value) if ($type eq '$' || $type eq '_') && $op =~ /^(?:get|setget)$/;
	return ':' . $value->[0][1] if $type eq '*' && $op eq 'waitaof';
	return undef;
}

# _odd -- text of what is wrong with an answer, or undef
sub _odd
{
	my ($op, $reply, $answer, $refused) = @_;
	return "reply to $op makes no sense: $reply->[0]" . ($reply->[1] // 'nil') if !defined $answer;
	return "half a value: $answer" if $answer =~ /^=\?/;
	# EXEC of what was refused when it was queued
	return undef if $op eq 'exec' && $answer =~ /^-EXECABORT/ && $$refused;
	return "error reply to $op: $answer" if $answer =~ /^-(?!OOM|MISCONF)/;
	return undef;
}

# ---- the processes ----

sub _connect
{
	my ($option) = @_;
	my $wire = Artery::SoakWire->connect_wait($option->{socket}, wait => 5);
	my $database = Artery::SoakLedger::database_of("o$option->{client}.0");
	$wire->ok('SELECT', $database) if $database && !$option->{reader};
	$wire->ok('CLIENT', 'DURABILITY', $option->{policy}) if $option->{policy};
	return $wire;
}

# start_writer -- pipelines of 1 to 32 commands on one connection.
# options: socket client round policy record seed; value_max, seconds (default 600)
sub start_writer
{
	my (%option) = @_;
	$option{loose} = $option{policy} =~ /^(?:periodic|none)$/;
	return _fork($option{record}, sub {
		my ($out) = @_;
		srand($option{seed} * 31 + $option{client});
		my $wire = eval { _connect(\%option) } or return;		# killed before it got in
		my $seq = 0;
		my $end = Artery::SoakWire::now() + ($option{seconds} // 600);
		_note($out, "H $option{client} " . ($option{loose} ? 'loose' : 'strict'));
		while (!$wire->closed && Artery::SoakWire::now() < $end)
		{
			my (@lines, @due);
			my $bytes = '';
			for (1 .. (rand() < 0.4 ? 1 : 1 + int rand BATCH_MAX))
			{
				my ($op, @arguments) = _choose(\%option, ++$seq);
				# of MULTI to EXEC the next command is MULTI
				my $now = $option{loose} && rand() < 0.01 && $op !~ /^(?:waitaof|exec)$/;
				if ($now)
				{
					$bytes .= Artery::SoakWire::encode('CLIENT', 'DURABILITY', 'immediate', 'NEXT');
					push @due, undef;
				}
				push @lines, join ' ', 'C', $seq, ($now ? '!' : '') . $op, @arguments;
				push @due, _due($seq, $op, @arguments);
				$bytes .= _request($op, @arguments);
			}
			_note($out, @lines, sprintf 'B %.6f', Artery::SoakWire::now());
			$wire->queue($bytes);
			_collect($wire, $out, \@due) or last;
		}
		$wire->close;
	});
}

# _collect -- notes replies as they come, until none is due; false: the server has closed
sub _collect
{
	my ($wire, $out, $due) = @_;
	my $refused = 0;
	while (1)
	{
		my @replies = $wire->parsed;
		my $time = sprintf '%.6f', Artery::SoakWire::now();
		my (@answers, @odd);
		for my $reply (@replies)
		{
			my $what = shift @$due;
			next if !defined $what;
			my ($seq, $op) = @$what;
			if ($op eq 'queued')
			{
				if ($reply->[0] eq '-' && $reply->[1] =~ /^(?:OOM|MISCONF)/) { $refused = 1 }
				elsif ($reply->[0] ne '+') { push @odd, "F command $seq: queued, and answered $reply->[0]$reply->[1]" }
				next;
			}
			my $answer = _answer($op, $reply);
			my $odd = _odd($op, $reply, $answer, \$refused);
			$refused = 0 if $op eq 'exec';
			push @odd, "F command $seq: $odd" if defined $odd;
			push @answers, "$seq=$answer" if defined $answer;
		}
		_note($out, (@answers ? "A $time @answers" : ()), @odd) if @answers || @odd;
		return 1 if !@$due;
		return 0 if $wire->closed;
		if (!$wire->turn(60)) { _note($out, 'F no reply for 60 s to ' . @$due . ' commands'); return 0 }
	}
}

# start_sequencer -- one command at a time, each on another connection than the one before, each sent
# after the former's reply: real time is log order over all workers.
# options: as start_writer; connections (default 5)
sub start_sequencer
{
	my (%option) = @_;
	$option{loose} = $option{policy} =~ /^(?:periodic|none)$/;
	$option{flush} = 1;
	return _fork($option{record}, sub {
		my ($out) = @_;
		srand($option{seed} * 37 + $option{client});
		my @wires = eval { map { _connect(\%option) } 1 .. $option{connections} // 5 } or return;
		my $seq = 0;
		my $end = Artery::SoakWire::now() + ($option{seconds} // 600);
		_note($out, "H $option{client} " . ($option{loose} ? 'loose' : 'strict'));
		while (Artery::SoakWire::now() < $end)
		{
			my ($op, @arguments) = _choose(\%option, ++$seq);
			_note($out, join(' ', 'C', $seq, $op, @arguments), sprintf 'B %.6f', Artery::SoakWire::now());
			my $wire = $wires[$seq % @wires];
			$wire->queue(_request($op, @arguments));
			_collect($wire, $out, [_due($seq, $op, @arguments)]) or last;
		}
		$_->close for @wires;
	});
}

# start_reader -- a gated (immediate) reader of everybody's keys.
# options: socket client round record seed keys (ids); seconds
sub start_reader
{
	my (%option) = @_;
	@option{qw(reader policy)} = (1, 'immediate');
	return _fork($option{record}, sub {
		my ($out) = @_;
		srand($option{seed} * 41 + $option{client});
		my %keys;
		push @{$keys{Artery::SoakLedger::database_of($_)}}, $_ for @{$option{keys}};
		my %wire = eval { map { my $wire = _connect(\%option); $wire->ok('SELECT', $_); ($_ => $wire) } keys %keys } or return;
		my @databases = sort keys %keys;
		my $end = Artery::SoakWire::now() + ($option{seconds} // 600);
		while (Artery::SoakWire::now() < $end)
		{
			my $database = $databases[rand @databases];
			my $wire = $wire{$database};
			my @asked = map { $keys{$database}[rand @{$keys{$database}}] } 1 .. 1 + int rand 8;
			my $from = sprintf '%.6f', Artery::SoakWire::now();
			$wire->queue(@asked == 1
				? Artery::SoakWire::encode('GET', Artery::SoakLedger::key_bytes($asked[0]))
				: Artery::SoakWire::encode('MGET', map { Artery::SoakLedger::key_bytes($_) } @asked));
			my $reply = $wire->reply or last;
			my $to = sprintf '%.6f', Artery::SoakWire::now();
			if ($reply->[0] eq '-') { _note($out, "F reader: $reply->[1]"); next }
			my @states = map { Artery::SoakLedger::state_of($_->[1]) } @asked == 1 ? $reply : @{$reply->[1]};
			_note($out, join ' ', 'G', $from, $to, map { "$asked[$_]=$states[$_]" } 0 .. $#asked);
		}
		$_->close for values %wire;
	});
}

# feed_lines -- a reply to CHANGES as the record has it
sub feed_lines
{
	my ($database, $ids, $reply) = @_;
	my @items = @{$reply->[1]};
	my $next = pop @items;
	my @lines;
	for (@items)
	{
		my ($lsn, $op, $key, $version, $value) = map { $_->[1] } @{$_->[1]};
		my $id = defined $key ? $ids->{$key} // 'unknown:' . unpack('H*', substr $key, 0, 40) : '*';
		push @lines, "E $database $version $op $id=" . ($op eq 'set' ? Artery::SoakLedger::state_of($value) : '-');
	}
	return (@lines, "N $database $next->[1]");
}

# start_follower -- reads the change feed of some databases, each from where it stood, and acknowledges as a consumer.
# options: socket record ids feed_at (database to position); consumer (a name), seconds
sub start_follower
{
	my (%option) = @_;
	return _fork($option{record}, sub {
		my ($out) = @_;
		my %at = %{$option{feed_at}};
		my %wire = eval { map { my $wire = _connect({ %option, client => 0, reader => 1 }); $wire->ok('SELECT', $_); ($_ => $wire) } sort keys %at } or return;
		my $end = Artery::SoakWire::now() + ($option{seconds} // 600);
		while (Artery::SoakWire::now() < $end)
		{
			for my $database (sort keys %at)
			{
				my $reply = $wire{$database}->command('CHANGES', $at{$database}, 'COUNT', 500, 'BLOCK', 20) or return;
				if ($reply->[0] eq '-') { _note($out, "F change feed: $reply->[1]"); return }
				_note($out, feed_lines($database, $option{ids}{$database}, $reply));
				$at{$database} = $reply->[1][-1][1];
			}
			my ($least) = sort { $a <=> $b } values %at;
			$wire{0}->command('CONSUMER', 'ACK', $option{consumer}, $least) or return;
		}
		$_->close for values %wire;
	});
}

# start_viewer -- has a snapshot open nearly always, and reads it twice: nothing may have changed.
# options: socket record seed; seconds
sub start_viewer
{
	my (%option) = @_;
	return _fork($option{record}, sub {
		my ($out) = @_;
		srand($option{seed} * 47);
		my $wire = eval { _connect({ %option, client => 0, reader => 1 }) } or return;
		my $end = Artery::SoakWire::now() + ($option{seconds} // 600);
		while (Artery::SoakWire::now() < $end)
		{
			my $database = (0, 3, 5)[rand 3];
			$wire->command('SELECT', $database) // return;
			my $open = $wire->command('SNAPSHOT', 'OPEN') // return;
			if ($open->[0] eq '-') { _note($out, "F SNAPSHOT OPEN: $open->[1]") }
			my @seen;
			for (1 .. 2)
			{
				my $reply = $wire->command('RANGE', '-', '+', 'COUNT', 2000, 'WITHVALUES') // return;
				# a limit ends a snapshot by name; there is nothing wrong with that
				last if $reply->[0] eq '-' && $reply->[1] =~ /^SNAPSHOT/;
				if ($reply->[0] eq '-') { _note($out, "F in a snapshot: $reply->[1]"); last }
				push @seen, $reply;
				select undef, undef, undef, rand 0.1;
			}
			_note($out, viewed($seen[0], $seen[1])) if @seen == 2;
			my $close = $wire->command('SNAPSHOT', 'CLOSE') // return;
			_note($out, "F SNAPSHOT CLOSE: $close->[1]") if $close->[0] eq '-';
		}
		$wire->close;
	});
}

# viewed -- a record's line about two looks into the same snapshot
sub viewed
{
	my ($first, $second) = map { join ' ', map { unpack('H*', $_->[1][0][1]) . '=' . Artery::SoakLedger::state_of($_->[1][1][1]) } @{$_->[1][1][1]} } @_;
	return $first eq $second ? 'V ' . @{$_[0][1][1][1]} : "F a snapshot has changed: $first, then $second";
}

# start_disturber -- keeps no record: it asks for checkpoints, and writes and deletes in a database of its own
# (15, which nobody looks into) so much that the keys of the others leave memory.
# options: socket seed; junk (keys, 0: none), seconds
sub start_disturber
{
	my (%option) = @_;
	return _fork($option{record}, sub {
		srand($option{seed} * 43);
		my $wire = eval { _connect({ %option, client => 0, reader => 1, policy => 'none' }) } or return;
		eval { $wire->ok('SELECT', 15); 1 } or return;
		my $end = Artery::SoakWire::now() + ($option{seconds} // 600);
		while (!$wire->closed && Artery::SoakWire::now() < $end)
		{
			my ($bytes, $due) = ('', 0);
			my $dice = rand;
			if ($dice < 0.15) { $bytes = Artery::SoakWire::encode('CHECKPOINT'); $due = 1 }
			elsif ($dice < 0.16) { $bytes = Artery::SoakWire::encode('FLUSHDB'); $due = 1 }
			elsif ($option{junk})
			{
				for (1 .. 200)
				{
					my $key = 'junk' . int rand $option{junk};
					$bytes .= rand() < 0.1 ? Artery::SoakWire::encode('DEL', $key)
					  : Artery::SoakWire::encode('SET', $key, $key x (20 + int rand 150));
				}
				$due = 200;
			}
			$wire->queue($bytes) if $due;
			while ($due > 0)
			{
				my @replies = $wire->parsed;
				$due -= @replies;
				last if $due <= 0 || $wire->closed || (!@replies && !$wire->turn(60));
			}
			last if $due > 0;
			select undef, undef, undef, rand 0.02;
		}
		$wire->close;
	});
}

1;
