# Goal: a thousand clients at once are served, spread evenly over the workers; idle
# ones cost next to nothing; one above max_clients is told so; storms of connects and
# disconnects leave nothing behind.
#
# Method: all connections live in this process, and are waited for with poll(2).  Who
# serves how many is read from INFO, what they cost from /proc.
use Artery::Test;
use Artery::Cluster;
use Artery::SoakServer;
use Artery::SoakWire;
use IO::Poll qw(POLLIN POLLOUT POLLHUP POLLERR);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

use constant { CLIENTS => 1000, WORKERS => 3 };

# each connection is a descriptor here and one there: raise the limit if we may, by starting over
my $limit = POSIX::sysconf(POSIX::_SC_OPEN_MAX());
if ($limit < 2 * CLIENTS && !$ENV{ARTERY_MANY_CLIENTS_LIMIT})
{
	$ENV{ARTERY_MANY_CLIENTS_LIMIT} = $limit;
	exec 'sh', '-c', 'ulimit -n 4096 2>/dev/null || ulimit -n $(ulimit -H -n) 2>/dev/null; exec "$@"', 'sh', $^X, (map { "-I$_" } @INC), $0;
}
my $count = $limit < CLIENTS + 100 ? $limit - 100 : CLIENTS;
plan skip_all => "only $limit files may be open" if $count < 100;
note("$count clients, limit of open files $limit");

for my $method ('io_uring', 'epoll')
{
	my $node = Artery::Cluster->new("many_$method");
	$node->init(workers => WORKERS, event_method => $method, max_clients => $count + 10, memory_limit => '64MB', durability => 'group');
	$node->start;
	subtest "event_method $method" => sub { many($node) };
	$node->stop;
	quiet_log($node);
	$node->clean_up;
}
done_testing;

# exchange -- sends request i to wire i, all at once; returns the wires' replies, $each of them
sub exchange
{
	my ($wires, $requests, $each) = @_;
	my $poll = IO::Poll->new;
	my %by_fd;
	for my $index (0 .. $#$wires)
	{
		$wires->[$index]->queue($requests->[$index]);
		$by_fd{$wires->[$index]->fd} = $index;
		$poll->mask($wires->[$index]{socket} => POLLIN | POLLOUT);
	}
	my @replies = map { [] } @$wires;
	my $end = now() + $timeout_default;
	while (%by_fd && now() < $end)
	{
		$poll->poll(1) > 0 or next;
		for my $socket ($poll->handles(POLLIN | POLLOUT | POLLHUP | POLLERR))
		{
			my $index = $by_fd{fileno $socket};
			my $wire = $wires->[$index];
			$wire->turn(0);
			push @{$replies[$index]}, $wire->parsed;
			my $done = @{$replies[$index]} >= $each || $wire->closed;
			delete $by_fd{fileno $socket} if $done;
			$poll->mask($socket => $done ? 0 : length $wire->{out} ? POLLIN | POLLOUT : POLLIN);
		}
	}
	return @replies;
}

sub spread
{
	my ($watch, $most, $name) = @_;
	my @clients = worker_clients($watch);
	my ($low, $high) = (sort { $a <=> $b } @clients)[0, -1];
	return ok(@clients == WORKERS && $high - $low <= $most, $name) || diag("clients of the workers: @clients");
}

sub many
{
	my ($node) = @_;
	my $identity = server_identity($node);
	my $watch = wire($node);
	is(info_number($watch, 'process_id', 'server'), $node->pid, 'INFO names the postmaster');
	my @workers = $node->child_pids('worker');
	my $memory = worker_memory($node);
	# a burst may fill the queue by which connections are handed over; those who come one by one even that out
	my @wires = map { wire($node) } 1 .. $count / 4;
	push @wires, map { wire($node, ['PING']) } @wires + 1 .. $count;
	is(scalar(grep { $_->[0] && $_->[0][1] eq 'PONG' } exchange(\@wires, [(encode('PING')) x $count], 1)), $count, "$count clients are answered");
	spread($watch, 3, 'they are spread evenly');
	is(scalar(split /\n/, $watch->ok('CLIENT', 'LIST')), $count + 1, 'CLIENT LIST has each');
	is(info_number($watch, 'connected_clients', 'clients'), $count + 1, 'INFO counts each');

	my $per_client = (worker_memory($node) - $memory) / $count;
	cmp_ok($per_client, '<', sanitized() ? 1 << 20 : 64 << 10, sprintf 'an idle client takes %.1f kB of private memory', $per_client / 1024);
	my $used = cpu_seconds(@workers);
	sleep 2;
	$used = cpu_seconds(@workers) - $used;
	cmp_ok($used, '<', 0.3, "all of them idle for 2 s use $used s of processor time");

	my $wrong = 0;
	for my $round (1 .. 4)
	{
		my @replies = exchange(\@wires, [map { encode('SET', "many/$_", "$round.$_") . encode('GET', "many/$_") . encode('INCR', 'many') } 1 .. $count], 3);
		for my $number (1 .. $count)
		{
			my @got = map { $_->[1] } @{$replies[$number - 1]};
			$wrong++ if @got != 3 || $got[0] ne 'OK' || $got[1] ne "$round.$number" || $got[2] !~ /^\d+$/;
		}
		my @read = exchange(\@wires, [map { encode('MGET', map { 'many/' . ($_ % $count + 1) } $_ .. $_ + 4) } 1 .. $count], 1);
		for my $number (1 .. $count)
		{
			my $want = join ' ', map { "$round." . ($_ % $count + 1) } $number .. $number + 4;
			$wrong++ if !$read[$number - 1][0] || "@{plain($read[$number - 1][0])}" ne $want;
		}
	}
	is($wrong, 0, 'four rounds of SET, GET, INCR and MGET by all at once');
	is($watch->ok('GET', 'many'), 4 * $count, 'no INCR is lost or counted twice');

	my @more = map { wire($node) } 1 .. 9;
	is(plain($_->command('PING')), 'PONG', 'room for one more') for $more[-1];
	my $refused = wire($node);
	is($refused->raw(20), "-ERR max number of clients reached\r\n", 'one above max_clients is told so');
	ok($refused->closed, '... and closed');
	is(info_number($watch, 'rejected_connections', 'stats'), 1, '... and counted');
	(pop @more)->close;
	ok(poll_until(sub { my $wire = wire($node); my $reply = $wire->command('PING'); $wire->close; $reply && $reply->[1] eq 'PONG' }),
		'one leaves, another may come');
	$_->close for @more;

	# all clients of one worker leave: newcomers go there
	my $info = join "\n", grep { /\bworker=1\b/ } split /\n/, $watch->ok('CLIENT', 'LIST');
	my %leaving = map { $_ => 1 } $info =~ /\bid=(\d+)/g;
	my @ids = exchange(\@wires, [(encode('CLIENT', 'ID')) x $count], 1);
	my @stay;
	for my $index (0 .. $#wires)
	{
		if ($leaving{$ids[$index][0][1]}) { $wires[$index]->close }
		else { push @stay, $wires[$index] }
	}
	cmp_ok(scalar @stay, '<', $count * 0.7, 'the clients of worker 1 leave');
	my $gone = $count - @stay;
	ok(poll_until(sub { info_number($watch, 'connected_clients', 'clients') == @stay + 1 }), '... and are gone');
	@wires = (@stay, map { wire($node, ['PING']) } 1 .. $gone);
	spread($watch, 3, 'newcomers, one by one, take their places');

	# one that does not read, and one that sends without end, hold nobody up
	my $greedy = wire($node, ['SET', 'large', 'x' x 500_000]);
	$greedy->send_raw(encode('GET', 'large') x 100);
	my @late = grep { !$_->[0] } exchange(\@wires, [(encode('GET', 'many/1')) x @wires], 1);
	is(scalar @late, 0, 'one that does not read 50 MB holds up nobody');
	$greedy->close;
	$_->close for @wires;
	ok(poll_until(sub { info_number($watch, 'connected_clients', 'clients') == 1 }), 'all are gone');
	storm($node, $watch, \@workers);
	unhurt($node, $identity, 'all of it');
	return;
}

# storm -- four processes connect and leave in all ways, as fast as they can
sub storm
{
	my ($node, $watch, $workers) = @_;
	my $path = $node->socket_path;
	my $descriptors = sub { my $sum = 0; $sum += () = glob "/proc/$_/fd/*" for @$workers; return $sum };
	my ($files, $memory) = ($descriptors->(), worker_memory($node));
	my @storm = map {
		my $number = $_;
		my $pid = fork // die "fork: $!";
		if (!$pid)
		{
			my $bad = 0;
			for my $turn (1 .. 700)
			{
				my $wire = Artery::SoakWire->connect($path) or ++$bad && next;
				my $way = ($turn + $number) % 5;
				$wire->send_raw(encode('PING')) if $way == 1;
				$wire->send_raw("*2\r\n\$4\r\nEC") if $way == 2;
				$bad++ if $way == 3 && (plain($wire->command('SET', "storm/$number", $turn)) // '') ne 'OK';
				$bad++ if $way == 4 && (plain($wire->command('QUIT')) // '') ne 'OK';
				$wire->close;
			}
			POSIX::_exit($bad ? 1 : 0);
		}
		$pid;
	} 1 .. 4;
	my $failed = 0;
	for (@storm) { waitpid $_, 0; $failed++ if $? }
	is($failed, 0, 'a storm of 2,800 connections, all served');
	ok(poll_until(sub { info_number($watch, 'connected_clients', 'clients') == 1 }), 'none is left over');
	ok(poll_until(sub { $descriptors->() <= $files }), 'no descriptor is left over') or diag($descriptors->() . " open, before $files");
	my $grown = worker_memory($node) - $memory;
	cmp_ok($grown, '<', sanitized() ? 1 << 30 : 8 << 20, 'no memory is left over');
	return;
}
