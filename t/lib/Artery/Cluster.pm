=head1 NAME

Artery::Cluster - one artery server of its own for a test

=head1 SYNOPSIS

  use Artery::Test;
  use Artery::Cluster;
  use Test::More;

  my $node = Artery::Cluster->new('main');
  $node->init(workers => 2, wal_buffers => '4MB');   # artery_ctl init; settings go to artery.conf
  $node->start;                                      # returns once the server is ready
  my $c = $node->connect;                            # an Artery::Client
  $c->cmd('SET', 'k', 'v');
  is($node->cmd('GET', 'k'), 'v');                   # on a connection of its own, kept by the node

  my $offset = $node->log_offset;
  $node->signal_child('worker', 'SEGV');             # one process of that kind
  $node->wait_for_log(qr/was terminated by signal 11/, $offset);
  $node->wait_ready;

  $node->kill9;                                      # every process of the cluster, at once
  $node->start;
  $node->stop('fast');
  done_testing;

=head1 METHODS

  new($name)               its own short directory; nothing runs yet
  init(%settings)          defaults for tests are in %test_settings; a value undef leaves a default out
  init_ok                  (alias of init)
  append_conf(%settings)   lines at the end of artery.conf: they win
  start(%opt)              dies if the server does not become ready; opt: args => ['-c', 'x=y'],
                           fail_ok => 1 (returns false instead), timeout => s, no_wait => 1 (artery_ctl -W),
                           env => {...}
  start_fails(qr/.../, $name, %opt)    a test: it must not start, and output or log must say this
  stop($mode, %opt)        smart, fast (default), immediate; opt: fail_ok, timeout
  restart($mode), reload
  kill9                    SIGKILL to every process of the cluster; returns when all are gone
  signal($sig)             to the postmaster
  signal_child($kind, $sig, $index)    kind: worker, walwriter, checkpointer, evictor, expirer, startup; returns the pid
  stop_child($kind)                    SIGSTOP; it stands still when this returns; the pid
  frozen($code, $kind)                 runs the code while that child (the walwriter) stands still
  child_pids($kind)        pids of that kind, or of all children; from the process titles
  all_pids                 postmaster and children
  wait_gone(@pids)         true once none of them runs
  pid, running             pid in artery.pid (0: none); does it run?
  state                    the state word in artery.pid: starting recovering ready stopping
  wait_ready, wait_state($word)
  connect(%opt)            Artery::Client; opt: tcp => 1, timeout, resp
  try_connect              connection or undef
  cmd(@args)               reply on the node's own connection (opened again when it was lost)
  data_dir, socket_path, log_file, conf_file, base_dir, name
  log_content($offset), log_offset, log_contains(qr/.../, $offset)
  wait_for_log(qr/.../, $offset)       dies after the timeout; returns the offset behind the match
  clean_up                 kill9, forget; also done at the end for all that is left

Everything waits at most $timeout_default seconds (ARTERY_TEST_TIMEOUT).  When a
test failed, the end of each server's log is shown.  The directory is removed
unless ARTERY_KEEP=1.

=cut

package Artery::Cluster;

use strict;
use warnings;

use Artery::Client;
use Artery::Test;
use POSIX ();
use Test::More ();

# small and quick, and safe to run many of: a test overrides what it is about
our %test_settings = (
	workers          => 2,
	memory_limit     => '64MB',
	buffer_pool_size => '1MB',
	wal_buffers      => '4MB',
	wal_segment_size => '4MB',
	log_min_messages => 'debug1',
);

my %live;    # name => object, for the end

sub new
{
	my ($class, $name) = @_;
	my $base = tempdir_short();
	my $self = bless {
		name     => $name,
		base_dir => $base,
		data_dir => "$base/data",
		log_file => "$base/log",
		owner    => $$,
	}, $class;
	die "two clusters named $name" if $live{$name};
	$live{$name} = $self;
	return $self;
}

sub name      { return $_[0]{name} }
sub base_dir  { return $_[0]{base_dir} }
sub data_dir  { return $_[0]{data_dir} }
sub log_file  { return $_[0]{log_file} }
sub conf_file { return "$_[0]{data_dir}/artery.conf" }

# socket_path: from the pid file while a server runs, else where the default puts it
sub socket_path
{
	my ($self) = @_;
	my @line = split /\n/, slurp_file("$self->{data_dir}/artery.pid");
	return defined $line[3] && length $line[3] ? $line[3] : "$self->{data_dir}/artery.sock";
}

sub init
{
	my ($self, %settings) = @_;
	my %all = (%test_settings, %settings);
	my @options = map { ('-c', "$_=$all{$_}") } grep { defined $all{$_} } sort keys %all;
	my ($code, $out, $err) = run_command([ ctl_bin(), 'init', '-D', $self->{data_dir}, @options ]);
	die "artery_ctl init failed ($code): $out$err" if $code != 0;
	return $self;
}

sub init_ok { my $self = shift; return $self->init(@_) }

sub append_conf
{
	my ($self, %settings) = @_;
	my $text = '';
	for my $name (sort keys %settings)
	{
		(my $value = $settings{$name}) =~ s/'/''/g;
		$text .= "$name = '$value'\n";
	}
	append_file($self->conf_file, $text);
	return $self;
}

sub start
{
	my ($self, %opt) = @_;
	my $timeout = $opt{timeout} || $timeout_default;
	my @command = (
		ctl_bin(), 'start', '-D', $self->{data_dir}, '-l', $self->{log_file}, '-t', int($timeout),
		$opt{no_wait} ? '-W' : '-w', @{ $opt{args} || [] }
	);
	my ($code, $out, $err) = run_command(\@command, env => $opt{env}, timeout => $timeout + 30);
	$self->{start_output} = $out . $err;
	$self->{connection}   = undef;
	if ($code != 0)
	{
		return 0 if $opt{fail_ok};
		die "artery_ctl start failed ($code): $out$err\n" . $self->log_tail;
	}
	$self->{started} = 1;
	return 1;
}

sub start_fails
{
	my ($self, $pattern, $name, %opt) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $offset  = $self->log_offset;
	my $started = $self->start(%opt, fail_ok => 1);
	Test::More::ok(!$started, "$name: does not start");
	Test::More::like($self->{start_output} . $self->log_content($offset), $pattern, "$name: says why");
	$self->stop('immediate') if $started;
	return !$started;
}

sub stop
{
	my ($self, $mode, %opt) = @_;
	my $timeout = $opt{timeout} || $timeout_default;
	my ($code, $out, $err) = run_command(
		[ ctl_bin(), 'stop', '-D', $self->{data_dir}, '-m', $mode || 'fast', '-t', int($timeout) ],
		timeout => $timeout + 30);
	$self->{connection} = undef;
	if ($code != 0)
	{
		return 0 if $opt{fail_ok};
		die "artery_ctl stop failed ($code): $out$err\n" . $self->log_tail;
	}
	return 1;
}

sub restart
{
	my ($self, $mode) = @_;
	$self->stop($mode);
	return $self->start;
}

sub reload
{
	my ($self) = @_;
	my ($code, $out, $err) = run_command([ ctl_bin(), 'reload', '-D', $self->{data_dir} ]);
	die "artery_ctl reload failed ($code): $out$err" if $code != 0;
	return 1;
}

# ---- processes ----

# pid: the first line of artery.pid, 0 if there is none
sub pid
{
	my ($self) = @_;
	my ($pid) = slurp_file("$self->{data_dir}/artery.pid") =~ /^(\d+)$/m;
	return $pid || 0;
}

# alive($pid): does it run?  A zombie does not: whether it is reaped depends on the machine's first process
sub alive
{
	my ($pid) = @_;
	my $stat = slurp_file("/proc/$pid/stat");
	return $stat =~ /^\d+ \(.*\) (\S)/s && $1 ne 'Z' && $1 ne 'X';
}

sub running
{
	my ($self) = @_;
	my $pid = $self->pid;
	return $pid && alive($pid) ? $pid : 0;
}

# processes: pid => [parent, title] of all that run
sub processes
{
	my %process;
	opendir my $proc, '/proc' or die "could not open /proc: $!";
	for my $pid (grep { /^\d+$/ } readdir $proc)
	{
		my ($state, $parent) = slurp_file("/proc/$pid/stat") =~ /^\d+ \(.*\) (\S) (\d+)/s or next;
		next if $state eq 'Z' || $state eq 'X';
		(my $title = slurp_file("/proc/$pid/cmdline")) =~ tr/\0/ /;
		$process{$pid} = [ $parent, $title ];
	}
	return \%process;
}

# child_pids($kind): from "artery: worker 2: 14 clients"; the postmaster's children only
sub child_pids
{
	my ($self, $kind) = @_;
	my $process = processes();
	my $parent  = $self->pid;
	my @pids    = grep { $process->{$_}[0] == $parent } keys %$process;
	@pids = grep { $process->{$_}[1] =~ /^artery: \Q$kind\E\b/ } @pids if defined $kind;
	# in the order of their titles: worker 1 before worker 2
	return sort { $process->{$a}[1] cmp $process->{$b}[1] || $a <=> $b } @pids;
}

# all_pids: the postmaster, whatever descends from it, and whatever still has the log as its
# standard error (children that outlived their postmaster)
sub all_pids
{
	my ($self)  = @_;
	my $process = processes();
	my $root    = $self->pid;
	my %in      = map { $_ => 1 } grep { $process->{$_} } $root;
	for my $pid (keys %$process)
	{
		my $log = readlink "/proc/$pid/fd/2";
		$in{$pid} = 1 if defined $log && $log eq $self->{log_file};
	}
	my $size = -1;
	while ($size != keys %in)
	{
		$size = keys %in;
		for my $pid (keys %$process)
		{
			$in{$pid} = 1 if $in{ $process->{$pid}[0] };
		}
	}
	delete $in{$$};
	return sort { $a <=> $b } keys %in;
}

sub signal
{
	my ($self, $signal) = @_;
	my $pid = $self->running or die "no server of $self->{name} runs";
	kill($signal, $pid) or die "could not signal $pid: $!";
	return $pid;
}

sub signal_child
{
	my ($self, $kind, $signal, $index) = @_;
	my @pids = $self->child_pids($kind);
	my $pid  = $pids[ $index || 0 ] or die "no $kind of $self->{name} runs";
	kill($signal, $pid) or die "could not signal $pid: $!";
	return $pid;
}

sub stop_child
{
	my ($self, $kind) = @_;
	my $pid = $self->signal_child($kind, 'STOP');
	poll_until(sub { slurp_file("/proc/$pid/stat") =~ /^\d+ \(.*\) [tT]/ }) or die "the $kind does not stop";
	return $pid;
}

sub frozen
{
	my ($self, $code, $kind) = @_;
	my $pid   = $self->stop_child($kind || 'walwriter');
	my $good  = eval { $code->(); 1 };
	my $error = $@;
	kill 'CONT', $pid;
	die $error if !$good;
	return;
}

sub wait_gone
{
	my ($self, @pids) = @_;
	return poll_until(sub { !grep { alive($_) } @pids });
}

# kill9: the postmaster is stopped first, so that no child is forked between looking and killing
sub kill9
{
	my ($self) = @_;
	my $pid = $self->running;
	$self->{connection} = undef;
	if ($pid)
	{
		kill 'STOP', $pid;
		poll_until(sub { slurp_file("/proc/$pid/stat") !~ /^\d+ \(.*\) [^TtZX]/s });
	}
	my @pids = $self->all_pids or return 0;
	kill 'KILL', @pids;
	$self->wait_gone(@pids) or die "killed processes of $self->{name} do not go: @pids";
	return scalar @pids;
}

sub state
{
	my ($self) = @_;
	my @line = split /\n/, slurp_file("$self->{data_dir}/artery.pid");
	return '' unless defined $line[5];
	(my $word = $line[5]) =~ s/\s+$//;
	return $word;
}

sub wait_state
{
	my ($self, $word) = @_;
	return if poll_until(sub { $self->state eq $word });
	die "$self->{name} does not become \"$word\" but is \"" . $self->state . "\"\n" . $self->log_tail;
}

# wait_ready: answers PING, and not with -LOADING
sub wait_ready
{
	my ($self) = @_;
	my $ready = poll_until(
		sub {
			my $c = $self->try_connect or return 0;
			my $reply = eval { $c->reply_to('PING') };
			$c->close;
			return defined $reply && $reply eq 'PONG';
		});
	die "$self->{name} does not become ready\n" . $self->log_tail unless $ready;
	return 1;
}

# ---- clients ----

sub connect
{
	my ($self, %opt) = @_;
	my %where = (path => $self->socket_path);
	if ($opt{tcp})
	{
		my ($host) = split /,/, $self->cmd('CONFIG', 'GET', 'listen_addresses')->[1];
		%where = (host => $host, port => $self->cmd('CONFIG', 'GET', 'port')->[1]);
	}
	delete $opt{tcp};
	return Artery::Client->new(%where, %opt);
}

sub try_connect
{
	my ($self, %opt) = @_;
	return eval { $self->connect(%opt) };
}

sub cmd
{
	my ($self, @args) = @_;
	my $c = $self->{connection};
	$c = $self->{connection} = $self->connect if !$c || $c->is_closed;
	return $c->cmd(@args);
}

# ---- log ----

sub log_content { my ($self, $offset) = @_; return slurp_file($self->{log_file}, $offset) }
sub log_offset  { my ($self) = @_; return -s $self->{log_file} || 0 }

sub log_contains
{
	my ($self, $pattern, $offset) = @_;
	return $self->log_content($offset) =~ $pattern;
}

sub wait_for_log
{
	my ($self, $pattern, $offset) = @_;
	my $found;
	poll_until(sub { $self->log_content($offset) =~ $pattern ? ($found = ($offset || 0) + $+[0]) : 0 });
	die "log of $self->{name} never says $pattern\n" . $self->log_tail unless $found;
	return $found;
}

# log_tail: the last lines, for messages
sub log_tail
{
	my ($self) = @_;
	my @line = split /^/, $self->log_content;
	@line = @line[ -40 .. -1 ] if @line > 40;
	return "---- end of the log of $self->{name} ----\n" . join('', @line) . "----\n";
}

# ---- the end ----

sub clean_up
{
	my ($self) = @_;
	return if $self->{owner} != $$;
	eval { $self->kill9; 1 } or Test::More::diag($@);
	# nobody will start this directory again and clean up behind it
	my $name = (split /\n/, slurp_file("$self->{data_dir}/artery.pid"))[4];
	unlink "/dev/shm$name" if defined $name && $name =~ m{^/artery-[\w.]+$};
	delete $live{ $self->{name} };
	return;
}

END
{
	# not $?: what the test ends with must not change here
	local $?;
	my $failed = !Test::More->builder->is_passing;
	for my $node (sort { $a->{name} cmp $b->{name} } values %live)
	{
		next if $node->{owner} != $$;
		Test::More::diag($node->log_tail) if $failed;
		$node->clean_up;
	}
}

1;
