# Artery::History -- histories of transactions, and whether they can have happened one after the other.
#
# Every key holds a list: the ids of the transactions that appended to it, IDLEN bytes each.
# So whoever reads a key sees which transactions came before, in order, and the lists as
# they are at the end give the order of all writers of a key.
#
# A transaction is {id, outcome, start, end, append => {key => length after it or undef},
# read => {key => list as text}, version => of its own writes, seen => {key => version}}.
#   outcome 'ok': acknowledged; 'nil': EXEC answered nil; 'unknown': the connection ended before it was answered
#   read    without its own append; several reads of a key are one, or it is a finding
#   start, end: one clock for all processes
#
# findings($history, $final): what cannot be, as text; none: there is an order in which all of it can have
# happened, each transaction at one moment between its start and its end.  It looks for
#   lists       an acknowledged append that is not there, one that is there twice, one of a transaction that
#               answered nil, a part of a transaction, a read that is no beginning of the list
#   versions    one per transaction, rising along each list, and what GETV shows is that of the last in the list
#   cycles      of the edges: wrote before (ww), was read by (wr), read what the other then overwrote (rw), had
#               ended before the other began (rt)
package Artery::History;
use strict;
use warnings;
use Artery::Client;
use Exporter qw(import);
use Storable ();
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

our @EXPORT_OK = qw(findings history_run IDLEN);
use constant IDLEN => 7;

sub ids { return unpack '(A' . IDLEN . ')*', $_[0] }

sub findings
{
	my ($history, $final) = @_;
	my @found;
	my %by_id = map { $_->{id} => $_ } @$history;
	my %list  = map { $_ => [ids($final->{$_} // '')] } keys %$final;
	my %place;		# id => {key => index}
	for my $key (sort keys %list)
	{
		for my $i (0 .. $#{$list{$key}})
		{
			my $id = $list{$key}[$i];
			push @found, "$key: $id is there twice" if exists $place{$id}{$key};
			push @found, "$key: nobody has appended $id" if !$by_id{$id} || !exists $by_id{$id}{append}{$key};
			$place{$id}{$key} = $i;
		}
	}
	my @happened;
	for my $t (@$history)
	{
		my @keys  = sort keys %{$t->{append}};
		my @there = grep { exists $place{$t->{id}}{$_} } @keys;
		push @found, "$t->{id}: acknowledged, and not there: @keys[grep { !exists $place{$t->{id}}{$keys[$_]} } 0 .. $#keys]" if $t->{outcome} eq 'ok' && @there < @keys;
		push @found, "$t->{id}: answered nil, and there: @there" if $t->{outcome} eq 'nil' && @there;
		push @found, "$t->{id}: a part of it: @there of @keys" if $t->{outcome} eq 'unknown' && @there && @there < @keys;
		push @happened, $t if $t->{outcome} eq 'ok' || $t->{outcome} eq 'unknown' && @there;
	}
	push @found, find_lists(\@happened, $final, \%place), find_versions(\@happened, \%list);
	return @found ? @found : find_cycle(\@happened, \%list);
}

# find_lists: reads and lengths against the lists
sub find_lists
{
	my ($happened, $final, $place) = @_;
	my @found;
	for my $t (@$happened)
	{
		for my $key (keys %{$t->{read}})
		{
			my $read = $t->{read}{$key};
			push @found, "$t->{id}: what it read of $key is no beginning of the list" if substr($final->{$key} // '', 0, length $read) ne $read;
		}
		for my $key (keys %{$t->{append}})
		{
			my $len = $t->{append}{$key};
			next if !defined $len || !exists $place->{$t->{id}}{$key};
			push @found, "$t->{id}: was told length $len of $key" if $len != ($place->{$t->{id}}{$key} + 1) * IDLEN;
		}
	}
	return @found;
}

sub find_versions
{
	my ($happened, $list) = @_;
	my (@found, %version);
	my $learn = sub {
		my ($id, $version, $how) = @_;
		push @found, "$id: version $version $how, and $version{$id}" if exists $version{$id} && $version{$id} != $version;
		$version{$id} = $version;
	};
	for my $t (@$happened)
	{
		$learn->($t->{id}, $t->{version}, 'told to itself') if defined $t->{version};
		for my $key (keys %{$t->{seen}})
		{
			my $count = length($t->{read}{$key}) / IDLEN;
			if ($count > 0) { $learn->($list->{$key}[$count - 1] // 'none', $t->{seen}{$key}, "of $key as $t->{id} saw it") }
			elsif ($t->{seen}{$key} != 0) { push @found, "$t->{id}: absent $key with version $t->{seen}{$key}" }
		}
	}
	for my $key (sort keys %$list)
	{
		my $last = 0;
		for my $id (grep { exists $version{$_} } @{$list->{$key}})
		{
			push @found, "$key: version $version{$id} of $id after $last" if $version{$id} <= $last;
			$last = $version{$id};
		}
	}
	return @found;
}

# edges: id => {id => kind}; ends of transactions are nodes of their own, "@n", in a chain
sub edges
{
	my ($happened, $list) = @_;
	my %edge;
	my $add = sub { $edge{$_[0]}{$_[1]} //= $_[2] if $_[0] ne $_[1] };
	for my $key (keys %$list)
	{
		my $l = $list->{$key};
		$add->($l->[$_], $l->[$_ + 1], "ww $key") for 0 .. $#$l - 1;
	}
	for my $t (@$happened)
	{
		for my $key (keys %{$t->{read}})
		{
			my $l     = $list->{$key} // [];
			my $count = length($t->{read}{$key}) / IDLEN;
			$add->($l->[$count - 1], $t->{id}, "wr $key") if $count > 0;
			$add->($t->{id}, $l->[$count], "rw $key") if $count < @$l;
		}
	}
	my @ends = sort { $a->{end} <=> $b->{end} } grep { defined $_->{end} } @$happened;
	my $at = 0;
	$add->("\@$_", '@' . ($_ + 1), 'rt') for 0 .. $#ends - 1;
	$add->($ends[$_]{id}, "\@$_", 'rt') for 0 .. $#ends;
	for my $t (sort { $a->{start} <=> $b->{start} } @$happened)
	{
		$at++ while $at < @ends && $ends[$at]{end} < $t->{start};
		$add->('@' . ($at - 1), $t->{id}, 'rt') if $at > 0;
	}
	return \%edge;
}

# find_cycle: one cycle, or nothing
sub find_cycle
{
	my ($happened, $list) = @_;
	my $edge = edges($happened, $list);
	my %state;		# 1: on the way; 2: done
	for my $root (sort keys %$edge)
	{
		next if $state{$root};
		my @way   = ($root);
		my @todo  = ([sort keys %{$edge->{$root} // {}}]);
		$state{$root} = 1;
		while (@way)
		{
			my $next = shift @{$todo[-1]};
			if (!defined $next)
			{
				$state{pop @way} = 2;
				pop @todo;
				next;
			}
			next if ($state{$next} // 0) == 2;
			if ($state{$next})
			{
				shift @way while $way[0] ne $next;
				my @text = map { "$way[$_] -" . $edge->{$way[$_]}{$way[$_ + 1] // $next} . '->' } 0 .. $#way;
				@text = (@text[0 .. 19], '...') if @text > 20;
				return "cycle: @text $next";
			}
			$state{$next} = 1;
			push @way, $next;
			push @todo, [sort keys %{$edge->{$next} // {}}];
		}
	}
	return;
}

# ---- making one ----

# history_run(path =>, number =>, connections =>, keys => [...], seconds =>, seed =>, file =>): runs in a process of its own
# until the time is over or the server has gone; leaves its transactions in the file
sub history_run
{
	my (%o) = @_;
	srand $o{seed};
	my $self = {%o, history => [], made => 0};
	my @conns = eval { map { {client => Artery::Client->new(path => $o{path}, timeout => 60)} } 1 .. $o{connections} };
	my $end = clock_gettime(CLOCK_MONOTONIC) + $o{seconds};
	while (@conns && clock_gettime(CLOCK_MONOTONIC) < $end)
	{
		begin($self, $_) for @conns;
		@conns = grep { finish($self, $_) } @conns;
	}
	Storable::nstore($self->{history}, $o{file});
	return;
}

sub some_keys
{
	my ($self, $count) = @_;
	my %key;
	$key{$self->{keys}[rand @{$self->{keys}}]} = 1 for 1 .. $count;
	return sort keys %key;
}

# begin: the next commands of a connection; {what}: for each reply, what it is about
sub begin
{
	my ($self, $c) = @_;
	my $t = delete $c->{carried};
	my (@commands, @what);
	if ($t)
	{
		my @more = grep { !exists $t->{read}{$_} } some_keys($self, 2);
		@commands = (['MULTI'], $c->{assert} ? ['ASSERT', 'VERSION', $c->{assert}, $t->{seen}{$c->{assert}}] : (), map { ['APPEND', $_, $t->{id}] } sort(keys %{$t->{read}}), @more);
		@what = map { $_->[0] eq 'APPEND' ? ['append', $_->[1]] : ['nothing'] } @commands[1 .. $#commands];
		push @commands, ['EXEC'];
		delete $c->{assert};
		$c->{exec} = 1;
	}
	else
	{
		$t = {id => sprintf('%02d%05d', $self->{number}, $self->{made}++), outcome => 'unknown', append => {}, read => {}, seen => {}, start => clock_gettime(CLOCK_MONOTONIC)};
		my $kind = rand;
		$c->{exec} = 0;
		if ($kind < 0.5)
		{
			for my $key (some_keys($self, 2 + rand 4))
			{
				my @does = rand() < 0.6 ? (['APPEND', $key, $t->{id}]) : ();
				unshift @does, ['GET', $key] if rand() < 0.3;
				push @does, [rand() < 0.5 ? 'GET' : 'GETV', $key] if !@does || rand() < 0.3;
				push @commands, @does;
				push @what, map { [lc $_->[0], $key] } @does;
			}
			@commands = (['MULTI'], @commands, ['EXEC']);
			$c->{exec} = 1;
		}
		elsif ($kind < 0.6)
		{
			my @keys = some_keys($self, 2);
			@commands = (['WATCH', @keys], map { ['GET', $_] } @keys);
			@what = (['nothing'], map { ['get', $_] } @keys);
			$c->{carry} = 1;
		}
		elsif ($kind < 0.68)
		{
			my ($key) = some_keys($self, 1);
			@commands = (['GETV', $key]);
			@what = (['getv', $key]);
			$c->{carry} = 1;
			$c->{assert} = $key;
		}
		elsif ($kind < 0.8)
		{
			my @keys = some_keys($self, 4);
			@commands = (['MGET', @keys]);
			@what = (['mget', @keys]);
		}
		elsif ($kind < 0.92)
		{
			my ($key) = some_keys($self, 1);
			@commands = (['APPEND', $key, $t->{id}]);
			@what = (['append', $key]);
		}
		else
		{
			my ($key) = some_keys($self, 1);
			@commands = (['GETV', $key]);
			@what = (['getv', $key]);
		}
	}
	$_->[0] eq 'append' and $t->{append}{$_->[1]} //= undef for @what;
	$c->{txn} = $t;
	$c->{what} = \@what;
	$c->{replies} = @commands;
	$c->{failed} = !defined eval { $c->{client}->send_raw(join '', map { Artery::Client->encode(@$_) } @commands) };
	return;
}

# finish: takes the replies; false: the connection has ended
sub finish
{
	my ($self, $c) = @_;
	my $t = $c->{txn};
	my @replies = $c->{failed} ? () : eval { map { scalar $c->{client}->recv } 1 .. $c->{replies} };
	my $error = $@;
	my ($wrong) = grep { ref $_ eq 'Artery::Client::Error' } @replies;
	if (!@replies || $wrong)
	{
		die "$t->{id}: $wrong" if $wrong && $wrong !~ /^LOADING/;
		die "$t->{id}: $error" if $error =~ /^(?:timeout|protocol)/;
		push @{$self->{history}}, $t;
		return 0;
	}
	my @values = $c->{exec} ? (defined $replies[-1] ? @{$replies[-1]} : ()) : @replies;
	if ($c->{exec} && !defined $replies[-1])
	{
		$t->{outcome} = 'nil';
		$t->{end} = clock_gettime(CLOCK_MONOTONIC);
		push @{$self->{history}}, $t;
		return 1;
	}
	note($t, $c->{what}[$_], $values[$_]) for 0 .. $#{$c->{what}};
	if (delete $c->{carry})
	{
		$c->{carried} = $t;
		return 1;
	}
	$t->{outcome} = 'ok';
	$t->{end} = clock_gettime(CLOCK_MONOTONIC);
	push @{$self->{history}}, $t;
	return 1;
}

# note: what one reply says
sub note
{
	my ($t, $what, $value) = @_;
	my ($kind, @keys) = @$what;
	return if $kind eq 'nothing';
	if ($kind eq 'append')
	{
		$t->{append}{$keys[0]} = $value;
		return;
	}
	my @texts = $kind eq 'mget' ? @$value : $kind eq 'getv' ? $value->[0] : $value;
	for my $i (0 .. $#keys)
	{
		my $text = $texts[$i] // '';
		my $own  = length $text && substr($text, -IDLEN) eq $t->{id};
		if ($kind eq 'getv' && $own) { $t->{version} //= $value->[1]; $t->{versions_differ} = 1 if $t->{version} != $value->[1] }
		elsif ($kind eq 'getv') { $t->{seen}{$keys[$i]} = $value->[1] }
		substr($text, -IDLEN) = '' if $own;
		# two different reads of a key in one transaction: no list begins with this
		$text = 'two reads' if exists $t->{read}{$keys[$i]} && $t->{read}{$keys[$i]} ne $text || $t->{versions_differ};
		$t->{read}{$keys[$i]} = $text;
	}
	return;
}

1;
