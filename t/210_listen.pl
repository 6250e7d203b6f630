# Goal: clients reach the server where the settings say, and nowhere else; who may not
# is told why; what a client meets while the server starts and stops.
#
# Method: UNIX sockets with modes, leftovers and things in the way; TCP with and without
# a password; peer credentials in the log; commands during redo; connections through a
# smart and a fast stop.
use Artery::Test;
use Artery::Cluster;
use Artery::Client;
use Artery::SoakWire;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Test::More;

sub encode { return Artery::SoakWire::encode(@_) }

# free_port -- one that nobody listens on just now
sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "no port: $!";
	return $socket->sockport;
}

subtest 'the UNIX socket' => sub {
	my $node = Artery::Cluster->new('unix');
	$node->init(workers => 2);
	$node->start;
	my $path = $node->socket_path;
	is($path, $node->data_dir . '/artery.sock', 'in the data directory');
	is(sprintf('%04o', (stat $path)[2] & 07777), '0700', 'mode 0700');
	is($node->cmd('CONFIG', 'GET', 'unixsocket')->[1], $path, 'CONFIG GET unixsocket');
	my $offset = $node->log_offset;
	$node->cmd('CONFIG', 'SET', 'log_connections', 'on');
	my $wire;
	ok(poll_until(sub { $wire = Artery::SoakWire->connect($path); $wire->command('PING'); $node->log_contains(qr/connection received: client/, $offset) }), 'log_connections');
	like($node->log_content($offset), qr/client \d+ on the UNIX socket, uid $>, gid \Q${\ ($) + 0)}\E, pid $$/, '... with the credentials of the peer');
	$node->stop('fast');
	ok(!-e $path, 'a stop takes the socket away');
	my $other = $node->base_dir . '/other.sock';
	$node->append_conf(unix_socket_path => $other, unix_socket_permissions => '0770');
	$node->start;
	is($node->socket_path, $other, 'unix_socket_path');
	is(sprintf('%04o', (stat $other)[2] & 07777), '0770', 'unix_socket_permissions');
	ok(!-e $path, '... none in the data directory');
	$node->kill9;
	ok(-S $other, 'a killed server leaves its socket');
	$node->start;
	is($node->cmd('PING'), 'PONG', '... which the next one replaces');
	$node->stop('fast');

	my $squatter = IO::Socket::UNIX->new(Local => $other, Listen => 5) or die "listen: $!";
	$node->start_fails(qr/somebody is serving on the UNIX socket/, 'a socket that somebody serves on is not taken away');
	$squatter->close;
	unlink $other;
	write_file($other, 'precious');
	$node->start_fails(qr/in the way of the UNIX socket and is not a socket/, 'nor is a file');
	is(slurp_file($other), 'precious', '... it is still there');
	unlink $other;
	$node->append_conf(unix_socket_permissions => '0999');
	$node->start_fails(qr/unix_socket_permissions = 0999 is not an octal mode/, 'a wrong mode');
	$node->append_conf(unix_socket_permissions => '0700', unix_socket_path => $node->base_dir . '/no/such/directory/sock');
	$node->start_fails(qr/could not bind the UNIX socket/, 'a directory that is not there');
	$node->append_conf(unix_socket_path => '');
	$node->start;
	is($node->cmd('PING'), 'PONG', 'and back');
	$node->stop('fast');
};

subtest 'TCP' => sub {
	my $node = Artery::Cluster->new('tcp');
	my $port = free_port();
	$node->init(workers => 2, port => $port);
	$node->start;
	ok(!IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port), 'off by default');
	$node->stop('fast');
	$node->append_conf(listen_addresses => '127.0.0.1');
	$node->start_fails(qr/listen_addresses needs requirepass/, 'not without a password');
	$node->append_conf(requirepass => 'open sesame');
	my $offset = $node->log_offset;
	$node->start;
	ok($node->wait_for_log(qr/listening on TCP address "127\.0\.0\.1:$port"/, $offset), 'with one');
	my @clients = map { Artery::Client->new(host => '127.0.0.1', port => $port) } 1 .. 4;
	is($clients[0]->err('PING'), 'NOAUTH Authentication required.', 'who has not given it gets nothing');
	is($clients[0]->err('AUTH', 'wrong'), 'WRONGPASS invalid username-password pair or user is disabled.', '... by guessing, either');
	is($_->cmd('AUTH', 'open sesame'), 'OK', 'the password') for @clients;
	is($clients[$_]->cmd('SET', "tcp$_", $_), 'OK', 'SET') for 0 .. 3;
	my $list = $clients[0]->cmd('CLIENT', 'LIST');
	my $sock_port = $clients[1]->socket->sockport;
	like($list, qr/addr=127\.0\.0\.1:$sock_port laddr=127\.0\.0\.1:$port .*flags=N /, 'CLIENT LIST');
	is(scalar(keys %{{map { $_ => 1 } $list =~ /worker=(\d+)/g}}), 2, '... over both workers');
	is($clients[0]->cmd('CLIENT', 'KILL', "127.0.0.1:$sock_port"), 'OK', 'CLIENT KILL by address');
	ok(poll_until(sub { $clients[1]->is_closed }), '... closes that one');
	is($clients[2]->cmd('GET', 'tcp1'), '1', '... and no other');
	my $unix = $node->connect;
	is($unix->err('PING'), 'NOAUTH Authentication required.', 'the UNIX socket asks for it, too');
	$unix->cmd('AUTH', 'open sesame');
	like($unix->err('CONFIG', 'SET', 'requirepass', ''), qr/listen_addresses needs requirepass/, 'it cannot be taken away');
	is($unix->cmd('CONFIG', 'SET', 'requirepass', 'other'), 'OK', '... but changed');
	my $late;
	ok(poll_until(sub { $late = Artery::Client->new(host => '127.0.0.1', port => $port); my $reply = $late->reply_to('AUTH', 'other'); $reply eq 'OK' }), '... for all workers');
	# the file loses the password while TCP is on: nobody gets in that way
	write_file($node->conf_file, join '', grep { !/requirepass/ } split /^/, slurp_file($node->conf_file));
	$node->stop('fast');
	my $second = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1) or die "port: $!";
	$node->append_conf(requirepass => 'x');
	$node->start_fails(qr/could not listen on TCP address "127\.0\.0\.1:$port": Address already in use/, 'a port that is taken');
	$second->close;
	$node->append_conf(listen_addresses => 'no.such.host.invalid');
	$node->start_fails(qr/could not resolve "no\.such\.host\.invalid"/, 'a host that is not there');
	$node->append_conf(listen_addresses => '127.0.0.1, 127.0.0.2');
	$node->start;
	for my $host ('127.0.0.1', '127.0.0.2')
	{
		my $client = Artery::Client->new(host => $host, port => $port);
		is($client->cmd('AUTH', 'x'), 'OK', "several addresses: $host");
	}
	$node->stop('fast');
};

subtest 'event_method epoll' => sub {
	my $node = Artery::Cluster->new('epoll');
	$node->init(workers => 2, event_method => 'epoll');
	$node->start;
	my @wires = map { Artery::SoakWire->connect($node->socket_path) } 1 .. 8;
	$wires[$_]->ok('SET', "key$_", 'x' x (10 ** ($_ % 6))) for 0 .. 7;
	is(join(' ', map { length $wires[7 - $_]->ok('GET', "key$_") } 0 .. 7), join(' ', map { 10 ** ($_ % 6) } 0 .. 7), 'it serves');
	like($wires[0]->ok('INFO', 'artery'), qr/event_method=epoll.*event_method=epoll/s, 'INFO says so');
	$node->stop('fast');
};

# refuse_io_uring -- from here on this process and its children get $errno from io_uring_setup, as in many containers
sub refuse_io_uring
{
	my ($errno) = @_;
	my ($PRCTL, $IO_URING_SETUP) = (157, 425);
	my $filter = join '', map { pack 'SCCL', @$_ } [0x20, 0, 0, 0], [0x15, 0, 1, $IO_URING_SETUP], [0x06, 0, 0, 0x00050000 | $errno], [0x06, 0, 0, 0x7fff0000];
	my $program = pack 'S x6 P', 4, $filter;
	syscall($PRCTL, 38, 1, 0, 0, 0) == 0 or return 0;		# no new privileges
	return syscall($PRCTL, 22, 2, $program, 0, 0) == 0;		# filter
}

subtest 'io_uring refused' => sub {
	plan skip_all => 'numbers of system calls are those of x86_64' if (POSIX::uname())[4] ne 'x86_64';
	my $node = Artery::Cluster->new('refused');
	$node->init(workers => 2);
	my $pid = fork // die "fork: $!";
	if (!$pid)
	{
		POSIX::_exit(2) unless refuse_io_uring(POSIX::EPERM());
		POSIX::_exit(eval { $node->start; 1 } ? 0 : 1);
	}
	waitpid $pid, 0;
	SKIP: {
		skip 'no filter on system calls here', 7 if $? >> 8 == 2;
		is($?, 0, 'the server starts');
		$node->wait_ready;
		is(scalar(() = $node->log_content =~ /io_uring is refused \(io_uring_setup: Operation not permitted\): this worker uses epoll/g), 2, 'one line for each worker');
		my @wires = map { Artery::SoakWire->connect($node->socket_path) } 1 .. 4;
		is($_->ok('INCR', 'n') > 0, 1, 'it serves') for @wires;
		like($wires[0]->ok('INFO', 'artery'), qr/event_method=epoll.*event_method=epoll/s, 'INFO says how');
		$node->stop('fast');
	}
};

subtest 'while the log is being loaded' => sub {
	my $node = Artery::Cluster->new('loading');
	$node->init(workers => 2, durability => 'none', memory_limit => '512MB', wal_buffers => '32MB', wal_segment_size => '16MB');
	$node->start;
	my $wire = Artery::SoakWire->connect($node->socket_path);
	my $count = 0;
	for my $batch (1 .. 200)
	{
		$wire->queue(encode('MSET', map { (sprintf('loading/%07d', $count++), 'v' x 60) } 1 .. 2000));
		$wire->replies(1) if $batch % 4 == 0;
		$wire->replies(3) if $batch % 4 == 0;
	}
	is($wire->ok('DBSIZE'), 400_000, 'a log of 400,000 records');
	is_deeply(Artery::SoakWire::plain($wire->command('WAITAOF', 1, 0, 0)), [1, 0], '... on stable storage');
	$node->kill9;
	$node->start(no_wait => 1);
	my ($loading, %allowed);
	poll_until(sub {
		my $early = Artery::SoakWire->connect($node->socket_path) or return 0;
		my $reply = $early->command('GET', 'loading/0000001') or return 0;
		return 1 if $reply->[0] eq '$';
		$loading //= $reply->[1];
		$allowed{$_} //= ($early->command(split / /) || [''])->[0] for 'ECHO x', 'INFO', 'CLIENT ID', 'CONFIG GET save', 'SELECT 1', 'COMMAND COUNT', 'TIME', 'HELLO 3';
		my $info = $early->command('INFO', 'persistence');
		$allowed{loading} //= 1 if $info && $info->[1] =~ /^loading:1\r\nasync_loading:0\r\nloading_start_time:\d+\r\nloading_total_bytes:\d+\r\nloading_loaded_bytes:\d+\r\nloading_loaded_perc:[\d.]+\r\nloading_eta_seconds:\d+\r$/m;
		return 0;
	}) or die 'it does not get ready';
	SKIP: {
		skip 'redo was over before anybody could ask', 2 unless defined $loading;
		is($loading, 'LOADING artery is loading the log into memory', 'commands on data are answered -LOADING');
		is(join(' ', map { "$_: $allowed{$_}" } grep { ($allowed{$_} // '') !~ /^[+\$*:%1]$/ } keys %allowed), '', 'others work');
	}
	$node->wait_ready;
	is($node->cmd('DBSIZE'), 400_000, 'all is there');
	like($node->cmd('INFO', 'persistence'), qr/^loading:0\r$/m, 'INFO: not loading');
	$node->stop('fast');
};

subtest 'stopping' => sub {
	my $node = Artery::Cluster->new('stopping');
	$node->init(workers => 2);
	$node->start;
	my @pids = $node->all_pids;
	my @wires = map { my $wire = Artery::SoakWire->connect($node->socket_path); $wire->ok('PING'); $wire } 1 .. 4;
	my $path = $node->socket_path;
	$node->signal('TERM');
	ok(poll_until(sub { !Artery::SoakWire->connect($path) }), 'smart: nobody new gets in');
	is($wires[$_]->ok('SET', 'stop', $_), 'OK', '... who is in is served') for 0 .. 3;
	is(scalar(grep { kill 0, $_ } @pids), scalar @pids, '... by all processes');
	$_->close for @wires[0 .. 2];
	is($wires[3]->ok('GET', 'stop'), 3, '... to the last');
	$wires[3]->close;
	ok($node->wait_gone(@pids), '... then it ends');
	$node->start;
	@pids = $node->all_pids;
	@wires = map { my $wire = Artery::SoakWire->connect($node->socket_path); $wire->ok('PING'); $wire } 1 .. 4;
	$wires[0]->queue(encode('WAITAOF', 0, 1, 0))->turn(0);
	poll_until(sub { $wires[1]->ok('INFO', 'clients') =~ /blocked_clients:1/ }) or die 'nobody waits';
	$node->signal('TERM');
	poll_until(sub { !Artery::SoakWire->connect($path) }) or die 'smart stop did not begin';
	$node->signal('INT');
	ok($node->wait_gone(@pids), 'fast: ends though clients are there, and one waits for ever');
	is(scalar(grep { !$_->at_end } @wires), 0, '... all are closed');
	$node->start;
	is($node->cmd('GET', 'stop'), 3, 'nothing is lost');
	$node->stop('fast');
	unlike($node->log_content, qr/PANIC|FATAL|assertion/, 'nothing alarming in the log');
};

done_testing;
