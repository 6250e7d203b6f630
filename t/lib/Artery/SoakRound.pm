# Artery::SoakRound -- one round of the crash soak: clients write, the server dies, comes
# back, and the database is held against what the clients were told.
#
#   my $round = Artery::SoakRound->new(node => $node, seed => $n, number => $i, initial => \%states);
#   $round->run($plan) gives (ledger, found); $ledger->check(...) is the caller's.
#
# A plan: kill => one of @KINDS, after => seconds of writing, policy => {client => policy},
# pause => seconds (see the kinds), value_max => bytes, junk => keys that the disturber
# writes beside (Artery::SoakClient), so that the others' leave memory.
#
#   group         SIGKILL to all processes of the server at once
#   frozen        the walwriter is stopped first, so that nothing can become durable for a while
#   postmaster    SIGKILL to the postmaster alone: the others must leave by themselves
#   worker walwriter checkpointer evictor expirer   SIGKILL to one of that kind: the server restarts by itself
#   checkpoint    group, a moment after a checkpoint was asked for
#   segv          SIGSEGV to a worker: the same
#   quit          SIGQUIT to the postmaster: immediate stop
#   fast          SIGINT to the postmaster: an orderly stop, at which nothing acknowledged is lost
#   recovery      group, then killed again once or more while it starts and recovers
#   twice         group, started, killed at once again
#   startup       group, then the startup process alone is killed in the middle of recovery
#   client        one writer is killed in mid-pipeline, then group
package Artery::SoakRound;
use strict;
use warnings;
use Artery::SoakClient;
use Artery::SoakLedger;
use Artery::SoakWire;
use Artery::Test;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep);

our @KINDS = qw(group checkpoint frozen postmaster worker walwriter checkpointer evictor expirer segv quit fast recovery twice startup client);
our @WRITERS = (1, 2, 3);
use constant { SEQUENCER => 9, READERS_FROM => 20, DISTURBER => 21, FOLLOWER => 22, VIEWER => 23, CONSUMER => 'soak' };
our @FOLLOWED = (0, 3, 5);		# databases

sub new
{
	my ($class, %self) = @_;
	return bless {%self}, $class;
}

sub _record { my ($self, $client) = @_; return "$self->{node}{base_dir}/record.$self->{number}.$client" }

sub _start_clients
{
	my ($self, $plan) = @_;
	my %common = (
		socket => $self->{node}->socket_path, round => $self->{number}, seed => $self->{seed} + $self->{number},
		value_max => $plan->{value_max}, seconds => $plan->{after} + 120
	);
	my %pids;
	for my $client (@WRITERS, SEQUENCER)
	{
		my %option = (%common, client => $client, policy => $plan->{policy}{$client}, record => $self->_record($client));
		my $pid = $client == SEQUENCER
		  ? Artery::SoakClient::start_sequencer(%option) : Artery::SoakClient::start_writer(%option);
		$pids{$pid} = $client;
	}
	my $reader = READERS_FROM;
	$pids{Artery::SoakClient::start_reader(%common, client => $reader, record => $self->_record($reader),
		keys => [Artery::SoakClient::all_keys(@WRITERS, SEQUENCER)])} = $reader;
	$pids{Artery::SoakClient::start_disturber(%common, client => DISTURBER, record => $self->_record(DISTURBER), junk => $plan->{junk})} = DISTURBER;
	$pids{Artery::SoakClient::start_follower(%common, record => $self->_record(FOLLOWER), ids => Artery::SoakClient::ids(@WRITERS, SEQUENCER),
		feed_at => $self->{feed_at}, consumer => CONSUMER)} = FOLLOWER;
	$pids{Artery::SoakClient::start_viewer(%common, record => $self->_record(VIEWER))} = VIEWER;
	$self->{pids} = \%pids;
	return;
}

# _end_clients -- they end when their connection does; none may hang
sub _end_clients
{
	my ($self, $wait) = @_;
	my $end = now() + $wait;
	my %pids = %{$self->{pids}};
	my @late;
	while (%pids)
	{
		for my $pid (keys %pids)
		{
			my $got = waitpid $pid, WNOHANG;
			next if !$got;
			push @{$self->{faults}}, "client $pids{$pid} ended with status $?"
			  if $got == $pid && $? && !$self->{killed_client}{$pid};
			delete $pids{$pid};
		}
		if (%pids && now() > $end)
		{
			@late = values %pids;
			kill 'KILL', keys %pids;
			$end = now() + 60;
		}
		sleep 0.005 if %pids;
	}
	push @{$self->{faults}}, "client(s) @late still had an open connection $wait s after the server's death" if @late;
	return;
}

# _postmaster -- its pid, also while it has no pid file yet; 0: none runs
sub _postmaster
{
	my ($node) = @_;
	my $pid = $node->running;
	return $pid if $pid;
	my $process = Artery::Cluster::processes();
	for (keys %$process) { return $_ if $process->{$_}[1] =~ m{(?:^|/)artery .*\Q$node->{data_dir}\E} }
	return 0;
}

# _kill_all -- every process at once: by the process group, if the server has one of its own
sub _kill_all
{
	my ($self) = @_;
	my $node = $self->{node};
	my $postmaster;
	poll_until(sub { $postmaster = _postmaster($node) }) or die 'no server to kill';
	my @pids = $node->all_pids;
	my $is_leader = getpgrp($postmaster) == $postmaster;
	if ($is_leader) { kill 'KILL', -$postmaster }
	else { kill 'KILL', $postmaster, @pids }
	# children that it forked after we looked hold the directory's lock until they are gone, too
	my $gone = poll_until(sub {
		my $process = Artery::Cluster::processes();
		!grep { $process->{$_} } $postmaster, @pids, $is_leader ? grep { getpgrp($_) == $postmaster } keys %$process : ();
	});
	die "processes survive SIGKILL: $postmaster @pids" if !$gone;
	return;
}

sub _wait_children_gone
{
	my ($self, @pids) = @_;
	return if $self->{node}->wait_gone(@pids);
	push @{$self->{faults}}, 'processes that do not notice the death of the postmaster: ' . join ' ', grep { Artery::Cluster::alive($_) } @pids;
	kill 'KILL', @pids;
	return;
}

sub _kill
{
	my ($self, $plan) = @_;
	my ($node, $kind) = ($self->{node}, $plan->{kill});
	my @all = $node->all_pids;
	if ($kind =~ /^(?:group|recovery|twice|startup)$/) { $self->_kill_all }
	elsif ($kind eq 'client')
	{
		my ($pid) = grep { $self->{pids}{$_} == $WRITERS[$self->{number} % @WRITERS] } keys %{$self->{pids}};
		$self->{killed_client}{$pid} = 1;
		kill 'KILL', $pid;
		sleep $plan->{pause};
		$self->_kill_all;
	}
	elsif ($kind eq 'checkpoint')
	{
		my $wire = Artery::SoakWire->connect($node->socket_path);
		$wire->send_raw(Artery::SoakWire::encode('CHECKPOINT'), 1) if $wire;
		sleep 0.1 * $plan->{pause};
		$self->_kill_all;
	}
	elsif ($kind eq 'frozen')
	{
		$node->signal_child('walwriter', 'STOP');
		sleep $plan->{pause};
		$self->_kill_all;
	}
	elsif ($kind eq 'postmaster')
	{
		$node->signal('KILL');
		$self->_wait_children_gone(@all);
	}
	elsif ($kind eq 'quit' || $kind eq 'fast')
	{
		$node->signal($kind eq 'quit' ? 'QUIT' : 'INT');
		$self->_wait_children_gone(@all);
	}
	else
	{
		my @old = $node->child_pids;
		$node->signal_child($kind eq 'segv' ? 'worker' : $kind, $kind eq 'segv' ? 'SEGV' : 'KILL');
		$node->wait_gone(@old) or push @{$self->{faults}}, "processes outlive a crash of the $kind";
	}
	return;
}

sub _start_again
{
	my ($self, $plan) = @_;
	my ($node, $kind) = ($self->{node}, $plan->{kill});
	if ($kind =~ /^(?:worker|walwriter|checkpointer|evictor|expirer|segv)$/)
	{
		$node->wait_ready;
		return;
	}
	if ($kind eq 'recovery')
	{
		for (1 .. $plan->{again})
		{
			$node->start(no_wait => 1);
			sleep rand $plan->{pause};
			$self->_kill_all;
		}
	}
	elsif ($kind eq 'startup')
	{
		$node->start(no_wait => 1);
		my $postmaster;
		poll_until(sub { $postmaster = _postmaster($node) }) or die 'no server starts';
		my ($startup, $ready);
		# it lives for some milliseconds only, and may have done its work before we see it
		while (!$startup && !$ready && Artery::Cluster::alive($postmaster))
		{
			($startup) = $node->child_pids('startup');
			$ready = $node->state eq 'ready';
		}
		kill 'KILL', $startup if $startup;
		# the server recovers anew, or gives up: then it is for us to start it
		poll_until(sub { $node->state eq 'ready' || !Artery::Cluster::alive($postmaster) }) or die 'neither ready nor gone';
		return $node->wait_ready if Artery::Cluster::alive($postmaster);
	}
	elsif ($kind eq 'twice')
	{
		$node->start;
		$self->_kill_all;
	}
	$node->start;
	return;
}

# run -- the whole round; returns the ledger, ready for its check, and what the database holds: key id to state
sub run
{
	my ($self, $plan) = @_;
	@$self{qw(faults killed_client)} = ([], {});
	$self->_feed_begin if !$self->{feed_at};
	$self->_start_clients($plan);
	sleep $plan->{after};
	$self->_kill($plan);
	$self->_end_clients(30);
	$self->_start_again($plan);
	my $ledger = Artery::SoakLedger->new($self->{initial});
	$ledger->client($_) for @WRITERS, SEQUENCER;
	my @records = (@WRITERS, SEQUENCER, READERS_FROM, FOLLOWER, VIEWER);
	$ledger->read_record(slurp_file($self->_record($_))) for @records;
	my $found = $self->dump;
	$self->_feed_end($ledger);
	$ledger->{found_at} = [@{$self->{found_at}}, now()];
	push @{$ledger->{faults}}, @{$self->{faults}};
	unlink map { $self->_record($_) } @records if !$ENV{ARTERY_KEEP};
	return ($ledger, $found);
}

# _feed_begin -- where the change feed stands now, for a follower that goes on from there after each crash
sub _feed_begin
{
	my ($self) = @_;
	my $wire = Artery::SoakWire->connect_wait($self->{node}->socket_path);
	my $now = $wire->ok('WAL', 'INSERT');
	$wire->ok('CONSUMER', 'CREATE', CONSUMER, $now);
	$self->{feed_at} = { map { $_ => $now } @FOLLOWED };
	$wire->close;
	return;
}

# _feed_end -- reads what the follower has not: from its last position to the end
sub _feed_end
{
	my ($self, $ledger) = @_;
	my $wire = Artery::SoakWire->connect_wait($self->{node}->socket_path);
	my $ids = Artery::SoakClient::ids(@WRITERS, SEQUENCER);
	# all that was done is durable, or it would not be told
	$wire->ok('WAL', 'WAIT', $wire->ok('WAL', 'INSERT'));
	for my $database (@FOLLOWED)
	{
		my $at = $ledger->{feed_at}{$database} // $self->{feed_at}{$database};
		$wire->ok('SELECT', $database);
		while (1)
		{
			my $reply = $wire->command('CHANGES', $at) or die 'no reply to CHANGES';
			if ($reply->[0] eq '-') { $self->_fault("change feed of database $database from $at: $reply->[1]"); last }
			$ledger->read_record(join '', map { "$_\n" } Artery::SoakClient::feed_lines($database, $ids->{$database}, $reply));
			last if $reply->[1][-1][1] == $at;
			$at = $reply->[1][-1][1];
		}
		$self->{feed_at}{$database} = $at;
		$ledger->{feed}{$database} //= [];
	}
	$ledger->{fed} = 1;
	$wire->ok('CONSUMER', 'ACK', CONSUMER, (sort { $a <=> $b } values %{$self->{feed_at}})[0]);
	$wire->close;
	return;
}

# dump -- the whole database by SCAN, by MGET of all keys that ever were, and by RANGE; they must agree with
# each other and with DBSIZE.
sub dump
{
	my ($self) = @_;
	my $wire = Artery::SoakWire->connect_wait($self->{node}->socket_path);
	my $ids = Artery::SoakClient::ids(@WRITERS, SEQUENCER);
	my %found;
	$self->_nothing_left($wire);
	$self->{found_at} = [now(), 0];
	for my $database (sort keys %$ids)
	{
		$wire->ok('SELECT', $database);
		my %scanned = map { $_ => 1 } $self->_scan($wire, $database);
		$self->_fault("database $database: a key that nobody wrote: " . unpack 'H*', substr $_, 0, 40)
		  for grep { !$ids->{$database}{$_} } sort keys %scanned;
		my @keys = sort keys %{$ids->{$database}};
		my @values = map { $_->[1] } @{$wire->ok('MGET', @keys)};
		my @timed = grep { $ids->{$database}{$_} =~ /^d/ } @keys;
		my %deadline = map { $_ => $wire->ok('PEXPIRETIME', $_) } @timed;
		for my $index (0 .. $#keys)
		{
			my $key = $keys[$index];
			my $id = $ids->{$database}{$key};
			my $state = Artery::SoakLedger::state_of($values[$index]);
			my $deadline = $deadline{$key};
			if (defined $deadline)
			{
				# -2: it has expired since; -1: there is none
				$state = $deadline == -2 ? '-' : $deadline == -1 ? $state : "$state\@$deadline" if $state ne '-';
				next if $state eq '-';
			}
			$self->_fault("database $database: key $id is " . ($state eq '-' ? 'found by SCAN, not by MGET' : 'missed by SCAN'))
			  if ($state eq '-') == exists $scanned{$key};
			$found{$id} = $state if $state ne '-';
		}
		$self->_size($wire, $database, [keys %scanned], scalar @timed);
		$self->_range($wire, $database, \%scanned);
	}
	$self->{found_at}[1] = now();
	$wire->close;
	return \%found;
}

# _size -- DBSIZE is what SCAN finds; what has expired counts until somebody takes it away
sub _size
{
	my ($self, $wire, $database, $scanned, $timed) = @_;
	my $least = grep { !is_timed($_) } @$scanned;
	my $size = $wire->ok('DBSIZE');
	$self->_fault("database $database: DBSIZE $size, but SCAN finds $least and up to $timed with deadlines") if $size < $least || $size > $least + $timed;
	return;
}

sub is_timed { return $_[0] =~ /^timed/ }

# _nothing_left -- of clients that the crash has cut off
sub _nothing_left
{
	my ($self, $wire) = @_;
	my $info = $wire->info('everything');
	# a checkpoint keeps older versions for its own sake, as long as it runs; what it leaves behind goes soon
	for (1 .. 600)
	{
		last if ($info->{snapshot_pinned_bytes} // 0) == 0 || $info->{rdb_bgsave_in_progress};
		select undef, undef, undef, 0.05;
		$info = $wire->info('everything');
	}
	for (['snapshots_open', 0], $info->{rdb_bgsave_in_progress} ? () : ['snapshot_pinned_bytes', 0], ['blocked_clients', 0], ['connected_clients', 1], ['pubsub_channels', 0])
	{
		my ($name, $want) = @$_;
		my $is = $info->{$name} // 'missing';
		$self->_fault("INFO after the crash: $name is $is, not $want") if $is ne $want;
	}
	return;
}

sub _fault { my ($self, $text) = @_; push @{$self->{faults}}, $text; return }

sub _scan
{
	my ($self, $wire, $database) = @_;
	my ($cursor, %seen) = (0);
	do
	{
		my $reply = $wire->ok('SCAN', $cursor, 'COUNT', 50);
		$cursor = $reply->[0][1];
		for (map { $_->[1] } @{$reply->[1][1]})
		{
			# Redis promises at least once; here nobody writes, so exactly once
			$self->_fault("database $database: SCAN returns a key twice") if $seen{$_}++;
		}
	} while ($cursor ne '0');
	return keys %seen;
}

sub _range
{
	my ($self, $wire, $database, $scanned) = @_;
	my ($from, @keys) = ('-');
	while (defined $from)
	{
		my $reply = $wire->command('RANGE', $from, '+', 'COUNT', 64) or die 'no reply to RANGE';
		die "RANGE: $reply->[1]" if $reply->[0] eq '-';
		$from = $reply->[1][0][1];
		push @keys, map { $_->[1] } @{$reply->[1][1][1]};
	}
	# those with deadlines come and go
	my $text = join "\0\0", map { unpack 'H*', $_ } grep { !is_timed($_) } @keys;
	$self->_fault("database $database: RANGE does not list in order what SCAN finds")
	  if $text ne join "\0\0", map { unpack 'H*', $_ } sort grep { !is_timed($_) } keys %$scanned;
	return;
}

1;
