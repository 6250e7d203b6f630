# Goal: requests that are on their way to the device when their process is killed do no harm. A read lands in memory
# that nobody else has; a write is over before anybody else writes the same file, because it holds the open file
# description, and with it the lock that the successor must have first.
#
# Method: data/ or wal/ lies on a FUSE file system that holds requests back until the test lets them go, and notes when
# each one begins and ends. A process is killed while its requests are held; the server comes up again behind them. A
# small writer (t/tools/lateio) does the same without a server, and, as the twin that must fail, without the lock.
use Artery::Test;
use POSIX ();
use Artery::Client;
use Artery::Cluster;
use Artery::DelayFS;
use Test::More;

my $skip = Artery::DelayFS->unavailable;
plan skip_all => $skip if defined $skip;

my $KEYS = 3000;

sub value_of { my ($i, $round) = @_; return "$round:$i:" . ('v' x ($i % 300)) }

# last_end, first_begin: places in the list of events
sub last_end
{
	my ($op, $of, @event) = @_;
	my ($last) = reverse grep { $_->{op} eq $op && $_->{phase} eq 'end' && $of->($_) } @event;
	return $last ? $last->{index} : undef;
}

sub first_begin
{
	my ($ops, $of, @event) = @_;
	my ($first) = grep { $_->{op} =~ /^(?:$ops)$/ && $_->{phase} eq 'begin' && $of->($_) } @event;
	return $first ? $first->{index} : undef;
}

# in_order: no request of the new handles on these files began before the last one of the old handle was over
sub in_order
{
	my ($fs, $op, $next_ops, $old, $name) = @_;
	my @event = $fs->events;
	my %path  = $fs->path_of;
	my $is_old = sub { $_[0]{handle} == $old };
	my $is_new = sub { $_[0]{handle} > $old && $path{ $_[0]{handle} } eq $path{$old} };
	my $last   = last_end($op, $is_old, @event);
	my $first  = first_begin($next_ops, $is_new, @event);
	ok(defined $last && defined $first, "$name: the dead process' requests ended, its successor's began");
	return cmp_ok($last, '<', $first, "$name: in this order");
}

# ---- the barrier by itself ----

# libartery.a of the build under test has the room storage/file as the server uses it
sub build_lateio
{
	my $to = tempdir_short() . '/lateio';
	my ($code, $out, $err) = run_command([ (split ' ', $ENV{CC} // 'gcc'), qw(-std=gnu11 -Wall -Wextra -Werror -O1 -o), $to,
			'-I' . test_root() . '/src/include', test_root() . '/t/tools/lateio.c', bin_dir() . '/libartery.a',
			qw(-luring -lbsd -lpthread) ]);
	die "lateio does not build: $out$err" if $code != 0;
	return $to;
}

sub lateio
{
	my ($program, $out, @args) = @_;
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		open STDOUT, '>', $out;
		open STDERR, '>&', \*STDOUT;
		exec $program, @args or POSIX::_exit(1);
	}
	return $pid;
}

sub has_line { my ($file, $line) = @_; return slurp_file($file) =~ /^\Q$line\E$/m }

sub barrier
{
	my ($program, $method, $lock, $count) = @_;
	my $name = "$method, $lock";
	my $dir  = tempdir_short() . '/m';
	mkdir $dir;
	write_file("$dir/f", "\0" x (64 * 16384));
	my $fs  = Artery::DelayFS->new($dir);
	my $out = "$dir.out";
	$fs->control(write => 'hold');
	my $old = lateio($program, "$out.old", "$dir/f", 'lock', $method, $count, 'A');
	my @held = $fs->wait_held('write', $method eq 'sync' ? 1 : $count);
	if ($method ne 'sync' && !has_line("$out.old", 'io_uring'))
	{
		kill 'KILL', $old;
		$fs->unmount;
		waitpid $old, 0;
		return note('no io_uring here');
	}
	kill 'KILL', $old;
	# with io_uring the process can be gone long before its requests; a plain call keeps it
	is(waitpid($old, $method eq 'sync' ? POSIX::WNOHANG() : 0), $method eq 'sync' ? 0 : $old,
		"$name: the killed process " . ($method eq 'sync' ? 'waits for its request' : 'is gone, its requests are not'));
	is(scalar $fs->held('write'), scalar @held, "$name: all are still on their way");
	my $new = lateio($program, "$out.new", "$dir/f", $lock, $method, $count, 'B');
	if ($lock eq 'lock')
	{
		ok(poll_until(sub { slurp_file("$out.new") =~ /waiting for the lock/ }), "$name: the successor waits for the lock");
		is(scalar $fs->held('write'), scalar @held, "$name: and writes nothing");
	}
	else
	{
		ok(poll_until(sub { $fs->held('write') > @held }), "$name: the twin writes while the other's requests are on their way");
	}
	$fs->control;
	ok(poll_until(sub { has_line("$out.new", 'done') }), "$name: the successor goes on");
	waitpid $_, 0 for $old, $new;
	if ($lock eq 'lock')
	{
		in_order($fs, 'write', 'write', $held[0]{handle}, $name);
		is(slurp_file("$dir/f", 0), ('B' x ($count * 16384)) . ("\0" x ((64 - $count) * 16384)), "$name: the file is the successor's");
	}
	else
	{
		my @event = $fs->events;
		cmp_ok(last_end('write', sub { $_[0]{handle} == $held[0]{handle} }, @event), '>',
			first_begin('write', sub { $_[0]{handle} > $held[0]{handle} }, @event), "$name: the order is broken, and that is seen");
	}
	$fs->unmount;
	return;
}

SKIP:
{
	skip 'no libartery.a beside the server', 1 unless -e bin_dir() . '/libartery.a';
	my $lateio = build_lateio();
	barrier($lateio, 'io_uring', 'lock', 40);
	barrier($lateio, 'sync',     'lock', 4);
	barrier($lateio, 'io_uring', 'nolock', 4);
}

# ---- the server ----

my %acked;

sub load
{
	my ($node, $round, $from, $to) = @_;
	my $client = $node->connect;
	$client->pipeline(map { [ 'SET', "key:$_", value_of($_, $round) ] } $from .. $to);
	$acked{"key:$_"} = value_of($_, $round) for $from .. $to;
	$client->close;
	return;
}

sub check_all
{
	my ($node, $name) = @_;
	my $client = $node->connect;
	my @key    = sort keys %acked;
	my @wrong;
	while (my @some = splice @key, 0, 200)
	{
		my @reply = $client->pipeline(map { [ 'GET', $_ ] } @some);
		for my $i (0 .. $#some)
		{
			push @wrong, $some[$i] unless defined $reply[$i] && !ref $reply[$i] && $reply[$i] eq $acked{ $some[$i] };
		}
	}
	is("@wrong[0 .. (@wrong > 5 ? 4 : $#wrong)]", '', "$name: every key has its value");
	is($client->cmd('DBSIZE'), scalar keys %acked, "$name: and there are no others");
	$client->close;
	return;
}

my $node;

# others_at_rest -- checkpointer and evictor have opened and prepared what they want: a plain call of theirs that is held
# would keep them from being killed, and the server from restarting
sub others_at_rest
{
	my ($name) = @_;
	my $rest = sub { my @idle = $node->cmd('INFO', 'artery') =~ /^process_\d+:kind=(?:checkpointer|evictor),.*doing=waiting for work/mg; return @idle == 2 };
	# twice: between two steps of work they look as if they had none
	ok(poll_until(sub { $rest->() && select(undef, undef, undef, 0.15) == 0 && $rest->() }), "$name: the others are at rest");
	return;
}

$node = Artery::Cluster->new('late');
$node->init(workers => 2, prewarm => 'off', buffer_pool_size => '1MB', wal_buffers => '1MB', wal_segment_size => '1MB',
	checkpoint_timeout => '1h', io_method => 'io_uring');
$node->start;
load($node, 1, 1, $KEYS);
$node->cmd('CHECKPOINT');
$node->stop;

# a worker is killed while it reads the base; its reads come back long after the server serves again
{
	my $name = 'worker';
	my $fs   = Artery::DelayFS->new($node->data_dir . '/data');
	$node->start;
	others_at_rest($name);
	$fs->control(read => 'hold:' . $fs->last_handle);
	my @client = map { $node->connect } 1 .. 4;
	$client[$_]->send('GET', 'key:' . (1 + 700 * $_)) for 0 .. $#client;
	my %worker = map { $_ => 1 } $node->child_pids('worker');
	my @held = $fs->wait_held('read', 1, sub { $worker{ $_[0]{pid} } });
	my $offset = $node->log_offset;
	kill 'KILL', $held[0]{pid};
	$node->wait_for_log(qr/worker .*was terminated by signal 9/, $offset);
	$_->close for @client;
	$node->wait_ready;
	cmp_ok(scalar $fs->held('read'), '>=', 1, "$name: it still is when the server is ready again");
	check_all($node, "$name, with the reads of the dead one on their way");
	$fs->control;
	ok(poll_until(sub { !$fs->held('read') }), "$name: they come back");
	check_all($node, "$name, afterwards");
	unlike($node->log_content, qr/page \d+ of data.base/, "$name: no page was found bad");
	$node->stop;
	$fs->unmount;
}

# killed: a process that is killed while its requests are held. It may be gone at once; or the kernel keeps it until a
# thread that works for it has its answer (FUSE writes beyond the end of a file, and every plain call, wait inside):
# then nobody can follow it before that. True: it is gone.
sub killed
{
	my ($node, $kind, $pid, $offset, $name) = @_;
	my $gone = 0;
	ok(poll_until(sub {
			return $gone = 1 if $node->log_contains(qr/$kind .*was terminated by signal 9/, $offset);
			return slurp_file("/proc/$pid/stat") =~ /^\d+ \(.*\) [ZD]/s;
		}), "$name: is killed");
	# it needs a moment from one to the other
	poll_until(sub { $gone = $node->log_contains(qr/$kind .*was terminated by signal 9/, $offset) }, 2) unless $gone;
	note("$name: " . ($gone ? 'it is gone, its requests are not' : 'it stays until its requests are over'));
	return $gone;
}

# the checkpointer is killed while it writes the base: first beyond the end of the file, then where there is room in it
for my $turn (1 .. 2)
{
	my $name = "checkpointer, turn $turn";
	my $fs   = Artery::DelayFS->new($node->data_dir . '/data');
	$node->start;
	for my $round (1 .. ($turn == 2 ? 4 : 0))
	{
		load($node, "$turn-$round", 1, $KEYS);
		$node->cmd('CHECKPOINT');
	}
	load($node, 2 * $turn, 1, $KEYS / 4);
	$fs->control(write => 'hold:' . $fs->last_handle);
	my $client = $node->connect;
	$client->send('CHECKPOINT');
	my @held = $fs->wait_held('write');
	my $offset = $node->log_offset;
	my $pid = $node->signal_child('checkpointer', 'KILL');
	my %path = $fs->path_of;
	is($path{ $held[0]{handle} }, '/base', "$name: its writes are on their way");
	if (killed($node, 'checkpointer', $pid, $offset, $name))
	{
		$node->wait_for_log(qr/waiting for the lock on ".*base"/, $offset);
		cmp_ok(scalar $fs->held('write'), '>=', 1, "$name: they still are when its successor is there");
	}
	$client->close;
	is(first_begin('write', sub { $_[0]{handle} > $held[0]{handle} }, $fs->events), undef, "$name: which writes nothing");
	$fs->control;
	$node->wait_for_log(qr/checkpointer .*was terminated by signal 9/, $offset);
	$node->wait_for_log(qr/ready for clients/, $offset);
	check_all($node, "$name, after the restart");
	load($node, 2 * $turn + 1, $KEYS / 3, $KEYS / 2);
	$client = $node->connect;
	isnt(ref $client->reply_to('CHECKPOINT'), 'Artery::Client::Error', "$name: the next checkpoint succeeds");
	$client->close;
	in_order($fs, 'write', 'write', $held[0]{handle}, $name);
	$node->restart;
	check_all($node, "$name, after another start from the new base");
	unlike($node->log_content, qr/page \d+ of data.base/, "$name: no page was found bad");
	$node->stop;
	$fs->unmount;
}

# the walwriter is killed while it writes the log: recovery reads the end of the log only when it stands still
{
	my $name = 'walwriter';
	my $fs   = Artery::DelayFS->new($node->data_dir . '/wal');
	$node->start;
	load($node, 6, 1, 100);
	others_at_rest($name);
	$fs->control(write => 'hold:' . $fs->last_handle);
	my $client = $node->connect;
	$client->send('SET', 'key:1', 'on the way');
	my @held = $fs->wait_held('write');
	my $offset = $node->log_offset;
	my $pid = $node->signal_child('walwriter', 'KILL');
	if (killed($node, 'walwriter', $pid, $offset, $name))
	{
		$node->wait_for_log(qr/startup LOG: +waiting for the lock on ".*wal/, $offset);
		cmp_ok(scalar $fs->held('write'), '>=', 1, "$name: its write is on its way when recovery begins");
	}
	$client->close;
	$fs->control;
	$node->wait_for_log(qr/ready for clients/, $offset);
	in_order($fs, 'write', 'read|write', $held[0]{handle}, $name);
	# nobody was told that it was written, and it may be there
	my $value = $node->cmd('GET', 'key:1');
	ok($value eq 'on the way' || $value eq $acked{'key:1'}, "$name: a write without an answer is there or not");
	$acked{'key:1'} = $value;
	check_all($node, "$name, after the restart");
	$node->restart;
	check_all($node, "$name, after another start");
	$node->stop;
	$fs->unmount;
}

done_testing;
