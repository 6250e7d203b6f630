# Artery::SoakLedger -- what the clients of a crash soak were told, and whether the
# database that came back agrees with it.
#
# Each client appends to a record of its own, outside the server: a line before
# it sends, a line after each batch of replies.  The record outlives the server
# (and the client).  Times are of the monotonic clock, one for all processes.
#
#   H <client> <strict|loose>           who writes, and what its acknowledgements promise
#   C <seq> <op> <arguments ...>        about to be sent
#   B <time>                            the C lines above leave now
#   A <time> <seq>=<reply> ...          these replies were in hand at <time>
#   G <t0> <t1> <key>=<state> ...       a gated reader asked at t0 and was shown this at t1
#   F <text>                            the client itself saw something wrong
#
# Operations: set K V · setnx K V · setget K V · get K · mset K V K V ... · del K K ...
# · incr K n · flush · waitaof · nop.  "!op" is the same, promised like immediate
# (CLIENT DURABILITY immediate NEXT stood before it).
#
# Keys in records are ids: o3.17 own key 17 of client 3, c3.2 own counter, h5
# shared key, n2 shared counter; key_bytes() makes the real key of each.  V is a
# value's name ROUND.CLIENT.SEQ.INDEX/LENGTH; value_bytes() makes the value, all of
# it determined by the name, so that half a value, or a mix of two, is seen.
# A state is such a name, n:NUMBER, "-" (absent) or "?..." (no value of ours).
#
# The check, for a database found after a restart:
#  - a client's commands run in order on one connection, and so are logged in
#    order: its own keys must be what some prefix of its commands leaves.  Command s
#    has two positions, 2s-1 (in its middle: only a command on several keys can
#    be half done) and 2s (done).  Positions that agree with every own key survive.
#  - what is promised raises the least position: acknowledgements of a strict
#    client, of a !op that wrote, of waitaof, and whatever a gated reader was shown.
#  - clients agree with each other: what was acknowledged before another command
#    was sent lies before it in the log, so it survives if that one does.
#  - shared keys: the value found was written by a surviving command, and no
#    surviving command began after that one was acknowledged.
#  - counters: the sum of what survives; no two replies count the same step.
package Artery::SoakLedger;
use strict;
use warnings;

# ---- keys and values ----

# key_bytes -- the key of an id: paths, chains in which each key is a prefix of the next, binary and long ones
sub key_bytes
{
	my ($id) = @_;
	my ($kind, $client, $index) = $id =~ /^([ochn])(?:(\d+)\.)?(\d+)$/ or die "no key id: $id";
	return '' if $id eq 'h0';
	$client = "s$kind" if !defined $client;
	my $shape = $kind eq 'c' || $kind eq 'n' ? 0 : $index % 5;
	return "/usr/share/doc/client$client/$kind/file$index" if $shape == 0;
	return "chain/$client$kind" . '/x' x int($index / 5) if $shape == 1;
	return chr($index % 256) . "\0\xff\r\n$kind$client.$index" . chr(255 - $index % 256) if $shape == 2;
	my $tail = "$kind$client.$index";
	my $length = $shape == 3 ? 40 + 37 * $index % 500 : $index % 20 == 4 ? 4096 : 16 + $index;
	return 'L' x ($length > length $tail ? $length - length $tail : 0) . $tail;
}

# database_of -- the database in which an id's key lives: client 3's own is 3, client 9's own is 5
sub database_of
{
	my ($id) = @_;
	return $id =~ /^[oc]3\./ ? 3 : $id =~ /^[oc]9\./ ? 5 : 0;
}

sub value_bytes
{
	my ($name) = @_;
	my ($tag, $length) = $name =~ m{^([\d.]+)/(\d+)$} or die "no value name: $name";
	my $head = "v$tag/$length:";
	return $head if $length <= length $head;
	my $unit = "$tag~" . chr($length & 255);
	return substr($head . $unit x (1 + int($length / length $unit)), 0, $length);
}

# state_of -- the state that a value (undef: absent) shows
sub state_of
{
	my ($bytes) = @_;
	return '-' if !defined $bytes;
	return "n:$bytes" if $bytes =~ /^-?\d{1,18}$/;
	if ($bytes =~ m{^v([\d.]+/\d+):})
	{
		my $name = $1;
		my $want = value_bytes($name);
		return $name if $want eq $bytes;
		return sprintf '?%s:%d-bytes,%d-right', $name, length $bytes, _common($want, $bytes);
	}
	return '?' . (unpack 'H*', substr($bytes, 0, 24)) . '/' . length $bytes;
}

sub _common
{
	my ($left, $right) = @_;
	my $difference = substr($left, 0, length $right) ^ substr($right, 0, length $left);
	return $difference =~ /[^\0]/ ? $-[0] : length $difference;
}

# ---- records ----

# new -- initial: hash of key id to state at the start of the round
sub new
{
	my ($class, $initial) = @_;
	return bless { initial => {%$initial}, client => {}, faults => [], shown => [], tainted => {} }, $class;
}

sub client
{
	my ($self, $client) = @_;
	return $self->{client}{$client} //= {
		name => $client, strict => 0, commands => [], acked => 0, required => 0, oom => 0, why => {}
	};
}

# read_record -- takes one client's record: text lines; a last line without its end was never written
sub read_record
{
	my ($self, $text) = @_;
	my ($client, @unsent);
	while ($text =~ /\G([^\n]*)\n/gc)
	{
		my ($kind, $rest) = split / /, $1, 2;
		if ($kind eq 'H')
		{
			my ($name, $promise) = split / /, $rest;
			$client = $self->client($name);
			$client->{strict} = $promise eq 'strict';
		}
		elsif ($kind eq 'C')
		{
			my ($seq, $op, @arguments) = split / /, $rest;
			my $now = $op =~ s/^!//;
			die "client $client->{name}: command $seq out of order" if $seq != @{$client->{commands}} + 1;
			push @{$client->{commands}}, {
				client => $client, seq => $seq, op => $op, args => \@arguments, now => $now
			};
			push @unsent, $client->{commands}[-1];
		}
		elsif ($kind eq 'B') { $_->{sent} = $rest for splice @unsent }
		elsif ($kind eq 'A')
		{
			my ($time, @replies) = split / /, $rest;
			for (@replies)
			{
				my ($seq, $reply) = split /=/, $_, 2;
				my $command = $client->{commands}[$seq - 1];
				$command->{replied} = $time;
				$command->{reply} = $reply;
				$client->{acked} = $seq;
				next if $reply !~ /^-(?:OOM|MISCONF)/;
				$client->{oom} = 1;
				# refused half-way: what it left on its keys is not for us to say
				$self->{tainted}{$_} = 1 for _several($command) ? _keys_of($command) : ();
			}
		}
		elsif ($kind eq 'G')
		{
			my ($from, $to, @shown) = split / /, $rest;
			for (@shown)
			{
				my ($key, $state) = split /=/, $_, 2;
				push @{$self->{shown}}, { key => $key, state => $state, from => $from, to => $to };
			}
		}
		elsif ($kind eq 'F') { push @{$self->{faults}}, 'client ' . ($client ? $client->{name} : '?') . ": $rest" }
		else { die "record line of unknown kind: $kind" }
	}
	# a command whose B line is missing may have left or not; it began no sooner than its predecessor
	$_->{sent} //= 0 for @unsent;
	return;
}

# ---- what commands do ----

# _events -- what a command may leave on keys: list of [key, state]; undef state: counter step
sub _events
{
	my ($command, $all_keys) = @_;
	my ($op, @arguments) = ($command->{op}, @{$command->{args}});
	return () if ($command->{reply} // '') =~ /^-/;
	return [$arguments[0], $arguments[1]] if $op =~ /^(?:set|setnx|setget)$/;
	return map { [$_, '-'] } @arguments if $op eq 'del';
	return map { [$arguments[2 * $_], $arguments[2 * $_ + 1]] } 0 .. @arguments / 2 - 1 if $op eq 'mset';
	return map { [$_, '-'] } @$all_keys if $op eq 'flush';
	return ();
}

sub _fault { my ($self, $text) = @_; push @{$self->{faults}}, $text; return }

# _follow -- runs an own-key client's commands; checks each reply against them; lists each key's changes
sub _follow
{
	my ($self, $client, $own) = @_;
	my %state = map { $_ => $self->{initial}{$_} // '-' } @$own;
	my %changes = map { $_ => [] } @$own;
	my $previous = 0;
	for my $command (@{$client->{commands}})
	{
		my ($op, $reply, $seq) = ($command->{op}, $command->{reply}, $command->{seq});
		$command->{sent} = $previous if $command->{sent} < $previous;
		$previous = $command->{sent};
		next if defined $reply && $reply =~ /^-/;
		my ($key, $value) = @{$command->{args}};
		my $mine = defined $key && exists $state{$key};
		if ($op eq 'incr')
		{
			next if !$mine;
			my ($old) = $state{$key} =~ /^n:(-?\d+)$/;
			my $new = ($old // 0) + $value;
			$self->_told($client, $command, ":$new");
			$self->_change(\%changes, \%state, $key, $seq, "n:$new");
			next;
		}
		if ($mine && $op eq 'get')
		{
			$self->_told($client, $command, "=$state{$key}");
			my $change = $changes{$key}[-1];
			_require($client, 2 * $change->{seq} - $change->{several}, "$state{$key} at $key shown by a gated GET")
			  if $command->{now} && defined $reply && $change;
			next;
		}
		if ($mine && $op eq 'setget') { $self->_told($client, $command, "=$state{$key}") }
		elsif ($mine && $op eq 'setnx')
		{
			my $absent = $state{$key} eq '-';
			$self->_told($client, $command, $absent ? ':1' : ':0');
			next if !$absent;
		}
		elsif ($op eq 'del' && $mine)
		{
			$self->_told($client, $command, ':' . scalar grep { $state{$_} ne '-' } @{$command->{args}});
		}
		elsif ($op eq 'set' || $op eq 'mset' || $op eq 'flush') { $self->_told($client, $command, '+') }
		for (_events($command, $own))
		{
			my ($changed, $new) = @$_;
			$self->_change(\%changes, \%state, $changed, $seq, $new, _several($command)) if exists $state{$changed};
		}
	}
	return \%changes;
}

sub _told
{
	my ($self, $client, $command, $want) = @_;
	return if !defined $command->{reply} || $command->{reply} eq $want || grep { $self->{tainted}{$_} } _keys_of($command);
	$self->_fault("client $client->{name} command $command->{seq} ($command->{op} @{$command->{args}}): "
		  . "reply $command->{reply}, expected $want");
	return;
}

sub _change
{
	my ($self, $changes, $state, $key, $seq, $new, $several) = @_;
	$state->{$key} = $new;
	push @{$changes->{$key}}, { seq => $seq, state => $new, several => $several ? 1 : 0 };
	return;
}

# _several -- true when a crash may leave this command half done: several keys (none twice), a record each
sub _several
{
	my ($command) = @_;
	return $command->{op} eq 'mset' && @{$command->{args}} > 2 || $command->{op} eq 'del' && @{$command->{args}} > 1;
}

# _spans -- the positions at which a key with these changes has this state: list of [from, to]
sub _spans
{
	my ($initial, $changes, $state, $end) = @_;
	my @spans;
	my @all = ({ seq => 0, state => $initial, several => 0 }, @$changes);
	for my $index (0 .. $#all)
	{
		my $here = $all[$index];
		next if $here->{state} ne $state;
		my $from = $here->{seq} ? 2 * $here->{seq} - ($here->{several} ? 1 : 0) : 0;
		# the old state lasts into the middle of the next change
		my $next = $all[$index + 1];
		my $to = $next ? 2 * $next->{seq} - 1 : $end;
		push @spans, [$from, $to] if $from <= $to;
	}
	return @spans;
}

# ---- the check ----

# check -- found: hash of key id to state (absent ones missing); returns the list of faults, empty when all is well.
# promised: 'all' -- whatever was acknowledged must be there, whatever the policy (an orderly stop).
sub check
{
	my ($self, $found, $promised) = @_;
	my %own;
	for my $key (keys %{$self->{initial}}, keys %$found, map { _keys_of($_) } map { @{$_->{commands}} } values %{$self->{client}})
	{
		$own{$1}{$key} = 1 if $key =~ /^[oc](\d+)\./;
	}
	for my $key (sort keys %$found)
	{
		$self->_fault("key $key: no value that a client wrote: $found->{$key}") if $found->{$key} =~ /^\?/;
	}
	my @clients = map { $self->{client}{$_} } sort { $a <=> $b } keys %{$self->{client}};
	for my $client (@clients)
	{
		$client->{own} = [sort grep { !$self->{tainted}{$_} } keys %{$own{$client->{name}} // {}}];
		$client->{changes} = $self->_follow($client, $client->{own});
		for my $command (@{$client->{commands}})
		{
			my $reply = $command->{reply} // next;
			next if $reply =~ /^-/;
			# what a strict client only read was written before; what NEXT only read is promised by itself, see _follow
			my $promise = $client->{strict} || ($promised // '') eq 'all' || $command->{op} eq 'waitaof' && $reply eq ':1'
			  || $command->{now} && $command->{op} ne 'get' && $reply ne ':0';
			_require($client, 2 * $command->{seq}, "acknowledged $command->{op}") if $promise;
		}
	}
	$self->_show($found);
	$self->_position($_, $found) for @clients;
	$self->_agree(\@clients);
	$self->_shared($found, \@clients);
	$self->_counters($found, \@clients);
	return @{$self->{faults}};
}

sub _keys_of
{
	my ($command) = @_;
	return () if $command->{op} =~ /^(?:flush|waitaof|nop)$/;
	return $command->{args}[0] if $command->{op} !~ /^(?:mset|del)$/;
	return @{$command->{args}} if $command->{op} eq 'del';
	return map { $command->{args}[2 * $_] } 0 .. @{$command->{args}} / 2 - 1;
}

sub _require
{
	my ($client, $position, $why) = @_;
	return if $position <= $client->{required};
	$client->{required} = $position;
	$client->{why} = $why;
	return;
}

# _show -- what gated readers were shown must survive; on own keys it must also never step back
sub _show
{
	my ($self, $found) = @_;
	for my $shown (@{$self->{shown}})
	{
		my ($key, $state) = @$shown{qw(key state)};
		if ($state =~ /^\?/) { $self->_fault("a reader was shown no client's value at $key: $state"); next }
		if ($key =~ /^[oc](\d+)\./ && $self->{client}{$1}) { $self->_show_own($self->{client}{$1}, $shown) }
		elsif ($state =~ m{^(\d+)\.(\d+)\.(\d+)\.\d+/} && $self->{client}{$2} && $state ne ($self->{initial}{$key} // '-'))
		{
			my ($client, $seq) = ($self->{client}{$2}, $3);
			my $command = $client->{commands}[$seq - 1];
			if (!$command || !grep { $_->[0] eq $key && $_->[1] eq $state } _events($command, []))
			{
				$self->_fault("a reader was shown $state at $key, which nobody wrote there");
				next;
			}
			# the middle of a command on several keys is enough to be seen
			_require($client, 2 * $seq - (_several($command) ? 1 : 0), "$state at $key shown to a gated reader");
		}
		elsif ($key =~ /^n/ && $state =~ /^n:(\d+)/)
		{
			my ($now) = ($found->{$key} // '-') =~ /^n:(\d+)/;
			$self->_fault("counter $key: a gated reader was shown $1, the database has " . ($found->{$key} // 'nothing'))
			  if !defined $now || $now < $1;
		}
	}
	return;
}

sub _show_own
{
	my ($self, $client, $shown) = @_;
	my ($key, $state) = @$shown{qw(key state)};
	my $commands = $client->{commands};
	my @all = ({ seq => 0, state => $self->{initial}{$key} // '-' }, @{$client->{changes}{$key} // []});
	my ($least, $matched);
	for my $index (0 .. $#all)
	{
		next if $all[$index]{state} ne $state;
		$matched = 1;
		# not this one, if it was sent only after the reader had its answer ...
		next if $all[$index]{seq} && $commands->[$all[$index]{seq} - 1]{sent} > $shown->{to};
		# ... or if a later one was acknowledged before the reader asked
		my $next = $all[$index + 1];
		next if $next && defined $commands->[$next->{seq} - 1]{replied} && $commands->[$next->{seq} - 1]{replied} < $shown->{from};
		$least = $all[$index];
		last;
	}
	if (!$least)
	{
		return if $client->{oom};
		$self->_fault("a reader was shown $state at $key "
			  . ($matched ? 'before it was written or after it was overwritten' : 'which nobody wrote there'));
		return;
	}
	_require($client, $least->{seq} ? 2 * $least->{seq} - $least->{several} : 0, "$state at $key shown to a gated reader");
	return;
}

# _position -- the positions of this client's commands that explain its own keys: {low}, {high}
sub _position
{
	my ($self, $client, $found) = @_;
	my $end = 2 * @{$client->{commands}};
	@$client{qw(low high seen)} = (0, $end, 0);
	my @delta = (0) x ($end + 2);
	my %spans;
	for my $key (@{$client->{own}})
	{
		my $state = $found->{$key} // '-';
		my @spans = _spans($self->{initial}{$key} // '-', $client->{changes}{$key}, $state, $end);
		if (!@spans)
		{
			$self->_fault("client $client->{name}: key $key has $state, which it never had") if $state !~ /^\?/;
			return;
		}
		$spans{$key} = \@spans;
		# spans of one key may touch (a state written twice in a row): count each position once
		my $reached = -1;
		for (sort { $a->[0] <=> $b->[0] } @spans)
		{
			my ($from, $to) = ($_->[0] > $reached ? $_->[0] : $reached + 1, $_->[1]);
			next if $from > $to;
			$delta[$from]++;
			$delta[$to + 1]--;
			$reached = $to;
		}
	}
	if ($client->{oom})
	{
		# a command refused for want of memory or room leaves a hole that nobody saw; each key by itself
		for my $key (@{$client->{own}})
		{
			my $last = $spans{$key}[-1][1];
			$self->_fault("client $client->{name}: key $key has " . ($found->{$key} // '-')
				  . ", older than what was promised ($client->{why})") if $last < $client->{required};
		}
		return;
	}
	my ($count, @fitting) = (0);
	for my $position (0 .. $end)
	{
		$count += $delta[$position];
		push @fitting, $position if $count == @{$client->{own}};
	}
	if (!@fitting)
	{
		my @text = map { "$_ = " . ($found->{$_} // '-') . ' at ' . join(',', map { "$_->[0]..$_->[1]" } @{$spans{$_}}) }
		  sort { $spans{$a}[0][0] <=> $spans{$b}[0][0] } keys %spans;
		$self->_fault("client $client->{name}: no prefix of its commands explains its keys (a hole); acknowledged "
			  . "$client->{acked} of " . @{$client->{commands}} . "; oldest and newest keys: "
			  . join('; ', @text > 6 ? (@text[0 .. 2], '...', @text[-3 .. -1]) : @text));
		return;
	}
	$client->{seen} = $fitting[0];
	if ($fitting[-1] < $client->{required})
	{
		$self->_fault("client $client->{name}: lost: the database is as of position $fitting[-1], but position "
			  . "$client->{required} was promised ($client->{why}); "
			  . $self->_lost_example($client, $found, $fitting[-1]));
		@$client{qw(low high)} = ($fitting[0], $fitting[-1]);
		return;
	}
	@fitting = grep { $_ >= $client->{required} } @fitting;
	@$client{qw(low high)} = ($fitting[0], $fitting[-1]);
	return;
}

sub _lost_example
{
	my ($self, $client, $found, $position) = @_;
	for my $command (@{$client->{commands}})
	{
		next if 2 * $command->{seq} <= $position;
		my @keys = grep { exists $client->{changes}{$_} } _keys_of($command);
		return "first lost: command $command->{seq} ($command->{op} @{$command->{args}})" if @keys && _events($command, []);
	}
	return '';
}

# _newest_write -- the last command of a client that is known to stand in the log; undef: none
sub _newest_write
{
	my ($client) = @_;
	my $seq = int(($client->{seen} + 1) / 2);		# its keys show it
	for (my $later = int($client->{low} / 2); $later > $seq; $later--)
	{
		my $command = $client->{commands}[$later - 1];
		my ($op, $reply) = ($command->{op}, $command->{reply} // next);
		# a FLUSHDB of what is empty writes nothing
		return $command if $op =~ /^(?:set|mset|setget|incr)$/ && $reply !~ /^-/ || $op =~ /^(?:setnx|del)$/ && $reply =~ /^:[1-9]/;
	}
	return $seq ? $client->{commands}[$seq - 1] : undef;
}

# _agree -- what was acknowledged before a surviving command was sent survives as well
sub _agree
{
	my ($self, $clients) = @_;
	for my $late (@$clients)
	{
		next if $late->{oom};
		my $newest = _newest_write($late) // next;
		my $sent = $newest->{sent};
		for my $early (@$clients)
		{
			next if $early == $late || $early->{oom};
			my ($low, $high) = (0, scalar @{$early->{commands}});
			while ($low < $high)		# how many were acknowledged before $sent
			{
				my $middle = int(($low + $high) / 2);
				my $replied = $early->{commands}[$middle]{replied};
				if (defined $replied && $replied < $sent) { $low = $middle + 1 }
				else { $high = $middle }
			}
			$self->_fault("client $early->{name}: command $low was acknowledged before client $late->{name} sent command "
				  . "$newest->{seq}, which survived, but only position $early->{high} is there (a hole in the log)")
			  if $early->{high} < 2 * $low;
			$early->{low} = 2 * $low if $early->{low} < 2 * $low && $early->{high} >= 2 * $low;
		}
	}
	return;
}

# _shared -- keys that several clients write
sub _shared
{
	my ($self, $found, $clients) = @_;
	my %events;
	for my $client (@$clients)
	{
		for my $command (@{$client->{commands}})
		{
			next if $command->{op} eq 'get' || $command->{op} eq 'flush';
			for (_events($command, []))
			{
				my ($key, $state) = @$_;
				next if $key !~ /^h/;
				next if $command->{op} eq 'setnx' && defined $command->{reply} && $command->{reply} eq ':0';
				push @{$events{$key}}, { command => $command, state => $state, client => $client };
			}
		}
	}
	for my $key (sort keys %{{map { $_ => 1 } keys %events, keys %{$self->{initial}}, keys %$found}})
	{
		my $state = $found->{$key} // '-';
		next if $key !~ /^h/ || $state =~ /^\?/ || $self->{tainted}{$key};
		my $events = $events{$key} // [];
		my (@writers, $newest_start);
		push @writers, [-1, undef] if $state eq ($self->{initial}{$key} // '-');
		$newest_start = -1;
		my $newest;
		for my $event (@$events)
		{
			my ($command, $client) = @$event{qw(command client)};
			my $maybe = $client->{oom} || 2 * $command->{seq} - 1 <= $client->{high};
			push @writers, [$command->{replied} // 9e99, $command] if $event->{state} eq $state && $maybe;
			my $surely = $client->{oom}
			  ? $client->{strict} && defined $command->{replied}
			  : 2 * $command->{seq} <= $client->{low};
			($newest_start, $newest) = ($command->{sent}, $command)
			  if $surely && $command->{sent} > $newest_start && !($command->{op} eq 'setnx' && !defined $command->{reply});
		}
		if (!@writers)
		{
			$self->_fault("shared key $key has $state, which nobody that survived wrote (invented, or a hole)");
			next;
		}
		my ($until) = sort { $b <=> $a } map { $_->[0] } @writers;
		$self->_fault("shared key $key has $state, done at $until; but command $newest->{seq} of client "
			  . "$newest->{client}{name} ($newest->{op} @{$newest->{args}}) began at $newest_start and is promised")
		  if $newest && $newest_start > $until;
	}
	return;
}

# _counters -- shared counters, which only grow
sub _counters
{
	my ($self, $found, $clients) = @_;
	my (%least, %most, %steps);
	for my $client (@$clients)
	{
		for my $command (grep { $_->{op} eq 'incr' && $_->{args}[0] =~ /^n/ } @{$client->{commands}})
		{
			my ($key, $step) = @{$command->{args}};
			next if ($command->{reply} // '') =~ /^-/;
			my $surely = $client->{oom} ? $client->{strict} && defined $command->{reply} : 2 * $command->{seq} <= $client->{low};
			$least{$key} += $surely ? $step : 0;
			$most{$key} += $client->{oom} || 2 * $command->{seq} <= $client->{high} ? $step : 0;
			push @{$steps{$key}}, { to => substr($command->{reply}, 1), step => $step, command => $command, surely => $surely }
			  if defined $command->{reply};
		}
	}
	for my $key (sort keys %{{map { $_ => 1 } keys %least, grep { /^n/ } keys %{$self->{initial}}, keys %$found}})
	{
		my $initial = ($self->{initial}{$key} // '-') =~ /^n:(\d+)/ ? $1 : 0;
		my $state = $found->{$key} // '-';
		if ($state !~ /^(?:n:(\d+)|-)$/) { $self->_fault("counter $key has $state"); next }
		my $final = $1 // 0;
		my ($least, $most) = ($initial + ($least{$key} // 0), $initial + ($most{$key} // 0));
		$self->_fault("counter $key has $final, less than the $least that what survived adds up to") if $final < $least;
		$self->_fault("counter $key has $final, more than the $most that was ever asked for") if $final > $most;
		my $at = $initial;
		for (sort { $a->{to} <=> $b->{to} } @{$steps{$key} // []})
		{
			my $who = "client $_->{command}{client}{name} command $_->{command}{seq}";
			$self->_fault("counter $key: $who was answered $_->{to}, a step counted twice") if $_->{to} - $_->{step} < $at;
			$self->_fault("counter $key has $final, but $who was answered $_->{to}") if $_->{surely} && $_->{to} > $final;
			$at = $_->{to};
		}
	}
	return;
}

1;
