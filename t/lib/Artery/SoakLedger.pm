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
#   E <database> <version> <op> <key>=<state>   the change feed told this; N <database> <position>: it goes on there
#   V <keys>                            a snapshot was read twice, and was the same
#   F <text>                            the client itself saw something wrong
#
# Operations: set K V · setnx K V · setget K V · get K · mset K V K V ... · del K K ...
# · incr K n · flush · waitaof · nop · exec K W K W ... (MULTI to EXEC; W: a value, "-" to
# delete, "+n" to count) · delprefix P · renprefix P P · setat K V@T (with a deadline).
# "!op" is the same, promised like immediate (CLIENT DURABILITY immediate NEXT stood
# before it).
#
# Keys in records are ids: o3.17 own key 17 of client 3, c3.2 own counter, a3.4 and
# b3.4 keys of its two trees (a3 and b3 are their prefixes P), d3.1 own key that may have a
# deadline, h5 shared key, n2 shared counter; key_bytes() makes the real key of each.  V is a
# value's name ROUND.CLIENT.SEQ.INDEX/LENGTH; value_bytes() makes the value, all of
# it determined by the name, so that half a value, or a mix of two, is seen.
# A state is such a name, with @T if it has a deadline (milliseconds since 1970),
# n:NUMBER, "-" (absent) or "?..." (no value of ours).
#
# The check, for a database found after a restart:
#  - a client's commands run in order on one connection, and so are logged in
#    order: its own keys must be what some prefix of its commands leaves.  Command s
#    has two positions, 2s-1 (in its middle: only DELPREFIX can be half done, all else on
#    several keys is a transaction) and 2s (done).  Positions that agree with every own key
#    survive.
#  - a key with a deadline is there, with that very deadline, or absent once that
#    has passed, never again when it was said to be absent.
#  - the change feed, read to its end by one who went on after the crash where he
#    stood before: of each key all its changes up to a surviving position, none twice, none
#    that did not survive, a transaction's with one version; the last is what the
#    database has.
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
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC CLOCK_REALTIME);

use constant {
	TREE_KEYS => 12,
	# seconds: a server looks at the clock once per turn of its loop, which a busy machine may delay
	CLOCK_EARLY => 0.05,
	CLOCK_LATE => 2,
};

# ---- keys and values ----

# key_bytes -- the key of an id: paths, chains in which each key is a prefix of the next, binary and long ones
sub key_bytes
{
	my ($id) = @_;
	return prefix_bytes($1) . $2 if $id =~ /^([abd]\d+)\.(\d+)$/;
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

# prefix_bytes -- what the keys of a tree begin with
sub prefix_bytes
{
	my ($tree) = @_;
	my ($kind, $client) = $tree =~ /^([abd])(\d+)$/ or die "no tree: $tree";
	return $kind eq 'd' ? "timed/client$client/" : "tree/client$client/$kind/";
}

sub tree_keys { my ($tree) = @_; return map { "$tree.$_" } 0 .. TREE_KEYS - 1 }

# ---- deadlines ----

# wall_ms -- the wall clock of so many seconds from now
sub wall_ms { return int(1000 * (clock_gettime(CLOCK_REALTIME) + $_[0])) }

# deadline_of -- of a state, by the monotonic clock; undef: it has none
sub deadline_of
{
	my ($state) = @_;
	return undef if $state !~ /@(\d+)$/;
	return $1 / 1000 - clock_gettime(CLOCK_REALTIME) + clock_gettime(CLOCK_MONOTONIC);
}

# visible -- may a key of this state look like that (a state without deadline) at some moment between the two?
sub visible
{
	my ($state, $shown, $from, $to) = @_;
	my $deadline = deadline_of($state);
	return $state eq $shown if !defined $deadline;
	return $deadline <= $to + CLOCK_EARLY if $shown eq '-';
	return $state =~ /^\Q$shown\E@/ && $deadline >= $from - CLOCK_LATE;
}

# database_of -- the database in which an id's key lives: client 3's own is 3, client 9's own is 5
sub database_of
{
	my ($id) = @_;
	return $id =~ /^[ocabd]3\./ ? 3 : $id =~ /^[ocabd]9\./ ? 5 : 0;
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
	return bless { initial => {%$initial}, client => {}, faults => [], shown => [], tainted => {}, feed => {}, died => {} }, $class;
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
		elsif ($kind eq 'E')
		{
			my ($database, $version, $op, $what) = split / /, $rest;
			my ($key, $state) = split /=/, $what, 2;
			push @{$self->{feed}{$database}}, { version => $version, op => $op, key => $key, state => $state };
		}
		elsif ($kind eq 'N') { my ($database, $position) = split / /, $rest; $self->{feed_at}{$database} = $position }
		elsif ($kind eq 'V') { $self->{viewed}++ }
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
	return map { [$arguments[2 * $_], $arguments[2 * $_ + 1]] } grep { $arguments[2 * $_ + 1] !~ /^\+/ } 0 .. @arguments / 2 - 1 if $op eq 'exec';
	return map { [$_, '-'] } tree_keys($arguments[0]) if $op eq 'delprefix';
	return [@arguments] if $op eq 'setat';
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
		$command->{sent} = $previous if $command->{sent} < $previous;
		$previous = $command->{sent};
		next if defined $command->{reply} && $command->{reply} =~ /^-/;
		for ($self->_outcome($client, $command, \%state, \%changes))
		{
			my ($key, $new) = @$_;
			# deleting what is absent writes nothing
			next if !exists $state{$key} || $state{$key} eq $new;
			push @{$changes{$key}}, { seq => $command->{seq}, state => $new, old => $state{$key}, several => _several($command) };
			$state{$key} = $new;
		}
	}
	return \%changes;
}

# _outcome -- what a command that ran to its end has made of which keys, after a look at its reply
sub _outcome
{
	my ($self, $client, $command, $state, $changes) = @_;
	my ($op, $key, $value) = ($command->{op}, @{$command->{args}});
	my $mine = defined $key && exists $state->{$key};
	return $self->_outcome_timed($client, $command, $state->{$key}, $changes->{$key}) if $mine && $key =~ /^d/;
	if ($op eq 'incr')
	{
		return () if !$mine;
		my $new = _counted($state->{$key}, $value);
		$self->_told($client, $command, ":$new");
		return [$key, "n:$new"];
	}
	if ($op eq 'get')
	{
		return () if !$mine;
		$self->_told($client, $command, "=$state->{$key}");
		_gated_get($client, $command, $state->{$key}, $changes->{$key});
		return ();
	}
	return $self->_outcome_exec($client, $command, $state) if $op eq 'exec';
	if ($op =~ /^(?:del|ren)prefix$/)
	{
		my @there = grep { ($state->{$_} // '-') ne '-' } tree_keys($key);
		$self->_told($client, $command, ':' . @there);
		return _events($command) if $op eq 'delprefix';
		return map { ([$value . s/^[ab]\d+//r, $state->{$_}], [$_, '-']) } @there;
	}
	if ($mine && $op eq 'setget') { $self->_told($client, $command, "=$state->{$key}") }
	elsif ($mine && $op eq 'setnx')
	{
		my $absent = $state->{$key} eq '-';
		$self->_told($client, $command, $absent ? ':1' : ':0');
		return () if !$absent;
	}
	elsif ($op eq 'del' && $mine)
	{
		$self->_told($client, $command, ':' . scalar grep { $state->{$_} ne '-' } @{$command->{args}});
	}
	elsif ($op eq 'set' || $op eq 'mset' || $op eq 'flush') { $self->_told($client, $command, '+') }
	return _events($command, [keys %$state]);
}

sub _counted { my ($state, $step) = @_; return ($state =~ /^n:(-?\d+)$/ ? $1 : 0) + $step }

# _gated_get -- a GET behind CLIENT DURABILITY immediate NEXT promises what it shows
sub _gated_get
{
	my ($client, $command, $state, $changes) = @_;
	my $index = $#$changes;
	# what was deleted may have expired before: then it is that version which is absent
	$index-- if $index > 0 && $changes->[$index]{state} eq '-' && $changes->[$index]{old} =~ /@/;
	my $change = $index >= 0 ? $changes->[$index] : undef;
	_require($client, 2 * $change->{seq} - $change->{several}, "$state at $command->{args}[0] shown by a gated GET")
	  if $change && $command->{now} && defined $command->{reply};
	return;
}

sub _outcome_exec
{
	my ($self, $client, $command, $state) = @_;
	my (@want, @new);
	my @arguments = @{$command->{args}};
	while (my ($key, $what) = splice @arguments, 0, 2)
	{
		if ($what =~ /^\+(\d+)$/)
		{
			my $new = _counted($state->{$key} // '-', $1);
			push @want, ":$new";
			push @new, [$key, "n:$new"];
			next;
		}
		push @want, $what ne '-' ? '+' : ($state->{$key} // '-') eq '-' ? ':0' : ':1';
		push @new, [$key, $what];
	}
	$self->_told($client, $command, '[' . join(',', @want) . ']');
	return @new;
}

# _outcome_timed -- of a command on a key that may have a deadline
sub _outcome_timed
{
	my ($self, $client, $command, $state, $changes) = @_;
	my ($op, $reply, $key, $value) = (@$command{qw(op reply)}, @{$command->{args}});
	return [$key, $value] if $op eq 'set' || $op eq 'setat';
	my ($from, $to) = ($command->{sent}, $command->{replied});
	my $wrong = "client $client->{name} command $command->{seq} ($op $key): reply " . ($reply // '') . ", but it was $state";
	if ($op eq 'del')
	{
		my $deadline = deadline_of($state);
		$self->_fault($wrong) if defined $reply
		  && !($reply eq ':1' ? $state ne '-' && (!defined $deadline || $deadline >= $from - CLOCK_LATE)
			: $reply eq ':0' && ($state eq '-' || defined $deadline && $deadline <= $to + CLOCK_EARLY));
		return [$key, '-'];
	}
	return () if !defined $reply;
	my $shown = substr $reply, 1;
	$self->_fault($wrong) if !visible($state, $shown, $from, $to);
	$self->{died}{$key}{$state} = 1 if $shown eq '-' && $state ne '-' && ($client->{strict} || $command->{now});
	_gated_get($client, $command, $state, $changes);
	return ();
}

sub _told
{
	my ($self, $client, $command, $want) = @_;
	return if !defined $command->{reply} || $command->{reply} eq $want || grep { $self->{tainted}{$_} } _keys_of($command);
	$self->_fault("client $client->{name} command $command->{seq} ($command->{op} @{$command->{args}}): "
		  . "reply $command->{reply}, expected $want");
	return;
}

# _several -- 1 when a crash may leave this command half done: it takes its keys one after the other
sub _several { return $_[0]{op} eq 'delprefix' ? 1 : 0 }

# _fits -- can a key that should have the one state be found with the other?
sub _fits
{
	my ($self, $key, $should, $found) = @_;
	return !$self->{died}{$key}{$should} if $should eq $found;
	my $deadline = deadline_of($should);
	return $found eq '-' && defined $deadline && $deadline <= $self->{found_at}[1] + CLOCK_EARLY;
}

# _spans -- the positions at which a key with these changes may be found with this state: list of [from, to]
sub _spans
{
	my ($self, $key, $changes, $state, $end) = @_;
	my @spans;
	my @all = ({ seq => 0, state => $self->{initial}{$key} // '-', several => 0 }, @$changes);
	for my $index (0 .. $#all)
	{
		my $here = $all[$index];
		next if !$self->_fits($key, $here->{state}, $state);
		my $from = $here->{seq} ? 2 * $here->{seq} - $here->{several} : 0;
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
	$self->{found_at} //= [(clock_gettime(CLOCK_MONOTONIC)) x 3];
	for my $key (keys %{$self->{initial}}, keys %$found, map { _keys_of($_) } map { @{$_->{commands}} } values %{$self->{client}})
	{
		$own{$1}{$key} = 1 if $key =~ /^[ocabd](\d+)\./;
	}
	for my $key (sort keys %$found)
	{
		$self->_fault("key $key: no value that a client wrote: $found->{$key}") if $found->{$key} =~ /^\?/;
		my $deadline = deadline_of($found->{$key});
		$self->_fault("key $key is $found->{$key} long after its deadline") if defined $deadline && $deadline < $self->{found_at}[0] - CLOCK_LATE;
	}
	my @clients = map { $self->{client}{$_} } sort { $a <=> $b } keys %{$self->{client}};
	for my $client (@clients)
	{
		# what a refused SET has left out another name may have: what nobody answered is not known to be refused
		if ($client->{oom} && grep { $_->{op} eq 'renprefix' && !defined $_->{reply} } @{$client->{commands}})
		{
			$self->{tainted}{$_} = 1 for map { tree_keys("$_$client->{name}") } 'a', 'b';
		}
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
	$self->_fed($found, \@clients) if $self->{fed};
	return @{$self->{faults}};
}

sub _keys_of
{
	my ($command) = @_;
	return () if $command->{op} =~ /^(?:flush|waitaof|nop)$/;
	return map { tree_keys($_) } @{$command->{args}} if $command->{op} =~ /prefix$/;
	return $command->{args}[0] if $command->{op} !~ /^(?:mset|del|exec)$/;
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
		if ($key =~ /^[ocabd](\d+)\./ && $self->{client}{$1}) { $self->_show_own($self->{client}{$1}, $shown) }
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
			_require($client, 2 * $seq - _several($command), "$state at $key shown to a gated reader");
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
		next if !visible($all[$index]{state}, $state, @$shown{qw(from to)});
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
		my @spans = $self->_spans($key, $client->{changes}{$key}, $state, $end);
		if (!@spans)
		{
			my $never = $self->{died}{$key}{$state} ? 'though it was said to have expired' : 'which it never had';
			$self->_fault("client $client->{name}: key $key has $state, $never") if $state !~ /^\?/;
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
		return $command if $op =~ /^(?:set|mset|setget|incr|exec|setat)$/ && $reply !~ /^-/ || $op =~ /^(?:setnx|del|delprefix|renprefix)$/ && $reply =~ /^:[1-9]/;
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
			next if $command->{op} =~ /^(?:get|flush)$|prefix$/;
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
			my $maybe = $client->{oom} || 2 * $command->{seq} <= $client->{high};
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

# ---- the change feed ----

sub _plain { return $_[0] =~ s/@\d+$//r }

# _fed -- what the feed told, from this round's start to the end of the log, against the commands and against the database
sub _fed
{
	my ($self, $found, $clients) = @_;
	my %told;		# key => list of {state, version}
	for my $database (sort keys %{$self->{feed}})
	{
		my $last = 0;
		my @emptied = grep { database_of($_) == $database } map { keys %{$_->{changes}} } @$clients;
		for my $event (@{$self->{feed}{$database}})
		{
			$self->_fault("feed of database $database: version $event->{version} after $last") if $event->{version} < $last;
			$last = $event->{version};
			for my $key ($event->{op} eq 'flush' ? @emptied : $event->{key})
			{
				my $old = $told{$key} ? $told{$key}[-1]{state} : _plain($self->{initial}{$key} // '-');
				push @{$told{$key}}, { state => $event->{state}, version => $last } if $event->{op} ne 'flush' || $old ne '-';
			}
		}
	}
	for my $key (keys %{{map { $_ => 1 } keys %told, keys %$found, keys %{$self->{initial}}}})
	{
		next if !$self->{feed}{database_of($key)};
		my $last = $told{$key} ? $told{$key}[-1]{state} : _plain($self->{initial}{$key} // '-');
		my $is = $found->{$key} // '-';
		next if $last eq _plain($is);
		# that a key has expired is told when it is taken away; and the feed was read after the database
		my $deadline = deadline_of($is);
		next if $key =~ /^d/ && ($is eq '-' || $last eq '-' && defined $deadline && $deadline <= $self->{found_at}[2] + CLOCK_EARLY);
		$self->_fault("feed: the last that it told of $key is $last, the database has $is");
	}
	$self->_fed_client($_, \%told) for grep { !$_->{oom} && $self->{feed}{database_of("o$_->{name}.0")} } @$clients;
	return;
}

# _born_dead -- may the deadline have passed before the command ran?  Then it has deleted the key.
sub _born_dead
{
	my ($client, $change) = @_;
	my $deadline = deadline_of($change->{state}) // return 0;
	my $replied = $client->{commands}[$change->{seq} - 1]{replied};
	return !defined $replied || $deadline <= $replied + CLOCK_EARLY;
}

# _fed_client -- of one client's keys: all that survives, in its order, each command whole
sub _fed_client
{
	my ($self, $client, $told) = @_;
	my (%parts, %versions);
	for my $key (@{$client->{own}})
	{
		my @changes = grep { !($key =~ /^d/ && $_->{state} eq '-') } @{$client->{changes}{$key}};
		my @told = grep { !($key =~ /^d/ && $_->{state} eq '-') } @{$told->{$key} // []};
		my %told_state = map { $_->{state} => 1 } @told;
		@changes = grep { $told_state{_plain($_->{state})} || !_born_dead($client, $_) } @changes;
		my $where = "feed: client $client->{name}, key $key";
		$parts{$_->{seq}}++ for @changes;
		for my $index (0 .. $#told)
		{
			my ($change, $state) = ($changes[$index], $told[$index]{state});
			if (!$change || _plain($change->{state}) ne $state)
			{
				$self->_fault("$where: told $state, expected " . ($change ? $change->{state} : 'nothing') . ' (twice, left out, or out of order)');
				last;
			}
			$self->_fault("$where: told $state of command $change->{seq}, which did not survive") if 2 * $change->{seq} - $change->{several} > $client->{high};
			push @{$versions{$change->{seq}}}, $told[$index]{version};
		}
		my $next = $changes[@told];
		$self->_fault("$where: command $next->{seq} survived and was not told") if $next && 2 * $next->{seq} <= $client->{low};
	}
	for my $seq (keys %versions)
	{
		my $command = $client->{commands}[$seq - 1];
		next if _several($command);
		my %different = map { $_ => 1 } @{$versions{$seq}};
		$self->_fault("feed: client $client->{name} command $seq ($command->{op}): " . @{$versions{$seq}} . " of $parts{$seq} changes, in "
			  . keys(%different) . ' versions') if keys %different > 1 || @{$versions{$seq}} < $parts{$seq};
	}
	return;
}

1;
