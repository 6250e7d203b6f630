# Goal: no bytes that a client can send hurt the server or another client, and
# wrong ones are answered as Redis 7.0 answers them, to the letter.
#
# Method: a table of requests, right and wrong, with the exact bytes of the reply; the
# same pipeline cut at every byte; garbage made by a seeded generator; giants; peers
# that half-close, or leave in the middle of a reply.  After each part another
# connection is answered, the same processes run, and memory has not grown.  Where
# redis-server 7.0 is installed, it gets the same bytes, and must agree with the table
# (the table is right) and with what artery makes of garbage.
use Artery::Test;
use Artery::Cluster;
use Artery::Redis ();
use Artery::SoakServer;
use Artery::SoakWire;
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(sleep);

my $seed = test_seed();
my $node = Artery::Cluster->new('torture');
$node->init(workers => 2, memory_limit => '256MB', wal_buffers => '64MB', wal_segment_size => '16MB', durability => 'none');
$node->start;
my $identity = server_identity($node);
my $log_start = $node->log_offset;
my $other = Artery::Redis->start('--appendonly', 'no') or note('no redis-server 7.0 to compare with');
my $redis = $other && $other->socket_path;

# ---- requests and the bytes of their replies ----

my $unbalanced = "-ERR Protocol error: unbalanced quotes in request\r\n";
my $bad_count = "-ERR Protocol error: invalid multibulk length\r\n";
my $bad_bulk = "-ERR Protocol error: invalid bulk length\r\n";

# [request, reply, how it goes on]: 'on' the connection goes on; 'end' it is closed; 'waits' the request is not complete
my @CASES = (
	# inline
	["\r\n", '', 'on'], ["\n", '', 'on'], ["   \r\n", '', 'on'], ["\r\n\r\nPING\r\n", "+PONG\r\n", 'on'],
	["PING\n", "+PONG\r\n", 'on'], ["pInG\r\n", "+PONG\r\n", 'on'], ["  PING  \r\n", "+PONG\r\n", 'on'],
	["PING hello\r\n", "\$5\r\nhello\r\n", 'on'], ["PING\thello\r\n", "\$5\r\nhello\r\n", 'on'],
	["PING \"hello world\"\r\n", "\$11\r\nhello world\r\n", 'on'], ["\"PING\"\r\n", "+PONG\r\n", 'on'],
	["PING 'a\\'b'\r\n", "\$3\r\na'b\r\n", 'on'], ["PING 'a\\nb'\r\n", "\$4\r\na\\nb\r\n", 'on'],
	["PING \"\\x41\\n\\t\\\\\\\"\\q\"\r\n", "\$6\r\nA\n\t\\\"q\r\n", 'on'], ["PING \"\\xzz\"\r\n", "\$3\r\nxzz\r\n", 'on'],
	["PING \"\"\r\n", "\$0\r\n\r\n", 'on'], ["PING ''\r\n", "\$0\r\n\r\n", 'on'],
	["PING 'it''s'\r\n", $unbalanced, 'end'], ["PING \"open\r\n", $unbalanced, 'end'], ["PING 'open\r\n", $unbalanced, 'end'],
	["PING \"a\"b\r\n", $unbalanced, 'end'], ["PING 'a'b\r\n", $unbalanced, 'end'], ["PING \"open\r\nPING\r\n", $unbalanced, 'end'],
	["PING \"a\\\"\r\n", $unbalanced, 'end'],
	["PING\r\nPING \"x\r\nPING\r\n", "+PONG\r\n$unbalanced", 'end'],
	["PING a b\r\n", "-ERR wrong number of arguments for 'ping' command\r\n", 'on'],
	["NOSUCH a 'b c'\r\n", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b c' \r\n", 'on'],
	["PING " . 'y' x 60_000 . "\r\n", "\$60000\r\n" . 'y' x 60_000 . "\r\n", 'on'],
	['x' x 70_000, "-ERR Protocol error: too big inline request\r\n", 'end'],
	# counts
	["*0\r\n", '', 'on'], ["*-1\r\n", '', 'on'], ["*-10\r\nPING\r\n", "+PONG\r\n", 'on'], ["*-2147483649\r\nPING\r\n", "+PONG\r\n", 'on'],
	(map { ["*$_\r\n", $bad_count, 'end'] } 'x', '', ' 1', '1 ', '+1', '01', '1.5', '1x', '-', '--1', '0x1', '2147483648',
		'9223372036854775807', '9223372036854775808', '99999999999999999999', '-99999999999999999999'),
	["PING\r\n*x\r\nPING\r\n", "+PONG\r\n$bad_count", 'end'],
	["*1000000\r\n", '', 'waits'], ["*2147483647\r\n", '', 'waits'],
	['*' . '1' x 70_000, "-ERR Protocol error: too big mbulk count string\r\n", 'end'],
	# lengths
	(map { ["*1\r\n\$$_\r\n", $bad_bulk, 'end'] } '-1', '-4', 'x', '', '04', '+4', ' 4', '4 ', '4x', '536870913', '9223372036854775807',
		'99999999999999999999', '-99999999999999999999'),
	["*3\r\n\$3\r\nSET\r\n\$1\r\nk\r\n\$-1\r\n", $bad_bulk, 'end'],
	["*1\r\n\$" . '1' x 70_000, "-ERR Protocol error: too big bulk count string\r\n", 'end'],
	["*1\r\nPING\r\n", "-ERR Protocol error: expected '\$', got 'P'\r\n", 'end'],
	["*1\r\n:4\r\n", "-ERR Protocol error: expected '\$', got ':'\r\n", 'end'],
	["*1\r\n*1\r\n", "-ERR Protocol error: expected '\$', got '*'\r\n", 'end'],
	["*1\r\n\r\n", "-ERR Protocol error: expected '\$', got ' '\r\n", 'end'],
	["*2\r\n\$4\r\nPING\r\n+OK\r\n", "-ERR Protocol error: expected '\$', got '+'\r\n", 'end'],
	["*1\r\n\$0\r\n\r\n", "-ERR unknown command '', with args beginning with: \r\n", 'on'],
	["*1\r\n\$5\r\nPING\r\n\r\n", "-ERR unknown command 'PING ', with args beginning with: \r\n", 'on'],
	["*1\r\n\$4\r\nPINGxxPING\r\n", "+PONG\r\n+PONG\r\n", 'on'],		# the two bytes behind a bulk are not looked at
	["*1\n\$4\nPING\n", '', 'waits'], ["*1\r\n\$4\r\nPIN", '', 'waits'], ["*2\r\n\$4\r\nPING\r\n", '', 'waits'], ["PING", '', 'waits'],
	["*1\r\n\$536870912\r\n", '', 'waits', 'own limit'],
	# commands at fault go on
	["*2\r\n\$4\r\nECHO\r\n\$3\r\na\0b\r\n", "\$3\r\na\0b\r\n", 'on'],
	["GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n", 'on'],
	["GET a b\r\n", "-ERR wrong number of arguments for 'get' command\r\n", 'on'],
	["SET a\r\n", "-ERR wrong number of arguments for 'set' command\r\n", 'on'],
	["SET a b c\r\n", "-ERR syntax error\r\n", 'on'], ["SET a b NX XX\r\n", "-ERR syntax error\r\n", 'on'],
	["INCRBY a\r\n", "-ERR wrong number of arguments for 'incrby' command\r\n", 'on'],
	["INCRBY a x\r\n", "-ERR value is not an integer or out of range\r\n", 'on'],
	["MSET a 1 b\r\n", "-ERR wrong number of arguments for 'mset' command\r\n", 'on'],
	["SELECT 16\r\n", "-ERR DB index is out of range\r\n", 'on'], ["SELECT -1\r\n", "-ERR DB index is out of range\r\n", 'on'],
	["SELECT x\r\n", "-ERR value is not an integer or out of range\r\n", 'on'],
	["CLIENT\r\n", "-ERR wrong number of arguments for 'client' command\r\n", 'on'],
	["CLIENT NOSUCH\r\n", "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.\r\n", 'on'],
	["CONFIG NOSUCH\r\n", "-ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP.\r\n", 'on'],
	["HELLO 4\r\n", "-NOPROTO unsupported protocol version\r\n", 'on'],
	["HELLO x\r\n", "-ERR Protocol version is not an integer or out of range\r\n", 'on'],
	["HELLO 3 NOSUCH\r\n", "-ERR Syntax error in HELLO option 'NOSUCH'\r\n", 'on'],
	["AUTH x\r\n", "-ERR AUTH <password> called without any password configured for the default user. "
		  . "Are you sure your configuration is correct?\r\n", 'on'],
	["SCAN x\r\n", "-ERR invalid cursor\r\n", 'on'], ["SCAN 0 COUNT 0\r\n", "-ERR syntax error\r\n", 'on'],
	["SCAN 0 COUNT\r\n", "-ERR syntax error\r\n", 'on'], ["SCAN 0 COUNT x\r\n", "-ERR value is not an integer or out of range\r\n", 'on'],
	# HTTP, whose body may hold commands
	["POST / HTTP/1.1\r\nPING\r\n", '', 'end'], ["Host: here\r\nPING\r\n", '', 'end'], [encode('host:', 'x') . encode('PING'), '', 'end'], ["HOST: \r\n", '', 'end'],
	["POSTS a\r\n", "-ERR unknown command 'POSTS', with args beginning with: 'a' \r\n", 'on'], ["Host :\r\n", "-ERR unknown command 'Host', with args beginning with: ':' \r\n", 'on'],
	# long names and arguments are cut in the error text
	['x' x 200 . "\r\n", "-ERR unknown command '" . 'x' x 128 . "', with args beginning with: \r\n", 'on'],
	['x ' . join(' ', map { 'arg' . $_ x 30 } 1 .. 9) . "\r\n",
		"-ERR unknown command 'x', with args beginning with: " . join('', map { "'arg" . $_ x 30 . "' " } 1 .. 3) . "'arg" . '4' x 17 . "' \r\n", 'on'],
	# after QUIT nothing is executed
	["*1\r\n\$4\r\nQUIT\r\n*1\r\n\$4\r\nPING\r\n", "+OK\r\n", 'end'], ["QUIT\r\nPING\r\n", "+OK\r\n", 'end'],
);

# converse -- what a server makes of a request: (bytes, how it goes on)
sub converse
{
	my ($path, $request, $how) = @_;
	my $wire = wire($path);
	$wire->send_raw($request);
	if ($how eq 'waits')
	{
		my $bytes = $wire->raw(0.1);
		return ($bytes, $wire->closed ? 'end' : $bytes eq '' ? 'waits' : 'on');
	}
	my $mark = "\$9\r\nthe mark.\r\n";
	$wire->send_raw("*2\r\n\$4\r\nPING\r\n\$9\r\nthe mark.\r\n") if $how eq 'on';
	my $bytes = $wire->raw(20, sub { $how eq 'on' && substr($_[0], -length $mark) eq $mark });
	return ($bytes, 'end') if $wire->closed;
	return $bytes =~ s/\Q$mark\E\z// ? ($bytes, 'on') : ($bytes, 'hangs');
}

subtest 'requests, right and wrong' => sub {
	for (@CASES)
	{
		my ($request, $reply, $how, $own) = @$_;
		my @got = converse($node->socket_path, $request, $how);
		if ($own)	# a length that Redis takes and ours may refuse: by waiting, or by the same words
		{
			ok("@got" eq "$reply $how" || "@got" eq "$bad_bulk end", shown($request)) or diag(shown("@got"));
		}
		else { is(shown($got[0]) . " $got[1]", shown($reply) . " $how", shown($request)) }
		next if !$redis;
		my @other = converse($redis, $request, $how);
		is(shown($other[0]) . " $other[1]", shown($reply) . " $how", '  Redis says so') if $other[0] ne $reply || $other[1] ne $how;
	}
	unhurt($node, $identity, 'them');
};

# ---- the same pipeline, cut everywhere ----

my $value = join '', map { chr } 0 .. 255;
my @pipeline = (
	[encode('SET', 'cut', $value) => "+OK\r\n"], ["PING inline\r\n" => "\$6\r\ninline\r\n"], ["\r\n" => ''], ["*0\r\n" => ''],
	[encode('GET', 'cut') => "\$256\r\n$value\r\n"], [encode('INCR', 'cut') => "-ERR value is not an integer or out of range\r\n"],
	["*-1\r\n" => ''], ["ping \"a \\x0d b\"\r\n" => "\$5\r\na \r b\r\n"], [encode('ECHO', '') => "\$0\r\n\r\n"],
	[encode('MGET', 'cut', 'none') => "*2\r\n\$256\r\n$value\r\n\$-1\r\n"], [encode('STRLEN', 'cut') => ":256\r\n"],
	[encode('NOSUCH', 'x') => "-ERR unknown command 'NOSUCH', with args beginning with: 'x' \r\n"], [encode('DEL', 'cut') => ":1\r\n"],
	[encode('EXISTS', 'cut') => ":0\r\n"], ["PING\n" => "+PONG\r\n"],
);
my ($whole, $answer) = map { my $part = $_; join '', map { $_->[$part] } @pipeline } 0, 1;

# taken -- waits until the server has read all that was sent
sub taken
{
	my ($wire) = @_;
	return poll_until(sub {
		my $left = pack 'i', 0;
		ioctl($wire->{socket}, 0x5411, $left) or die "SIOCOUTQ: $!";
		return unpack('i', $left) == 0;
	});
}

# in_pieces -- sends the pieces, each after the one before was read; returns what comes back
sub in_pieces
{
	my ($wire, @pieces) = @_;
	for (@pieces)
	{
		$wire->send_raw($_);
		taken($wire) or die 'the server does not read';
	}
	return $wire->raw(20, sub { length $_[0] >= length $answer });
}

subtest 'a pipeline cut at every byte' => sub {
	for my $method ('as configured', 'epoll')
	{
		if ($method eq 'epoll')
		{
			$node->stop;
			$node->start(args => ['-c', 'event_method=epoll']);
		}
		my $wire = wire($node);
		is(shown(in_pieces($wire, $whole)), shown($answer), "in one piece ($method)");
		is(shown(in_pieces($wire, split //, $whole)), shown($answer), "byte by byte ($method)");
		my @wrong = grep { in_pieces($wire, substr($whole, 0, $_), substr($whole, $_)) ne $answer } 1 .. length($whole) - 1;
		is("@wrong", '', "cut in two at each of its bytes ($method)");
		@wrong = ();
		for (1 .. 200)
		{
			my @at = (0, sort { $a <=> $b } map { int rand length $whole } 1 .. 1 + int rand 12);
			my @pieces = grep { length } map { substr $whole, $at[$_], ($at[$_ + 1] // length $whole) - $at[$_] } 0 .. $#at;
			push @wrong, "@at" if in_pieces($wire, @pieces) ne $answer;
		}
		is("@wrong", '', "cut in many, at random ($method)");
		my $error = "-ERR Protocol error: expected '\$', got 'x'\r\n";
		@wrong = ();
		my $bad = encode('PING') . "*2\r\n\$4\r\nPING\r\nx1\r\n" . encode('PING');
		for (1 .. length($bad) - 1)
		{
			my $one = wire($node);
			$one->send_raw(substr $bad, 0, $_);
			taken($one) if !$one->closed;
			$one->send_raw(substr $bad, $_);
			push @wrong, $_ if $one->raw(20) ne "+PONG\r\n$error" || !$one->closed;
		}
		is("@wrong", '', "an error cut in two at each of its bytes ($method)");
	}
	$node->stop;
	$node->start;
	$identity = server_identity($node);
	unhurt($node, $identity, 'cutting');
};

# ---- garbage ----

# spoiled -- a pipeline with a few of its bytes changed, dropped, doubled, or put in
sub spoiled
{
	my @commands = (
		['PING'], ['PING', 'x' x int rand 20], ['ECHO', "a\r\nb"], ['SET', 'g' . int rand 5, 'v' x int rand 40], ['GET', 'g' . int rand 5],
		['MGET', 'g1', 'g2', 'g3'], ['DEL', 'g1'], ['EXISTS', 'g1', 'g1'], ['STRLEN', 'g2'], ['APPEND', 'g3', 'x']
	);
	my $text = join '', map { rand() < 0.2 ? "PING $_\r\n" : encode(@{$commands[rand @commands]}) } 1 .. 1 + int rand 5;
	for (1 .. 1 + int rand 3)
	{
		my $at = int rand length $text;
		my $dice = int rand 5;
		my @favourites = ("\r", "\n", "\r\n", '$', '*', '-', '0', '9', '"', ' ', '+', ':', "\xff", chr(1 + int rand 255));
		my $new = $favourites[rand @favourites];
		if ($dice == 0) { substr($text, $at, 1) = $new }
		elsif ($dice == 1) { substr($text, $at, 1) = '' }
		elsif ($dice == 2) { substr($text, $at, 0) = $new }
		elsif ($dice == 3) { substr($text, $at, 0) = substr($text, $at, 1 + int rand 10) }
		else { $text = substr $text, 0, $at + 1 }
	}
	return $text;
}

# to_the_end -- all that comes back to these bytes and a half-closed connection
sub to_the_end
{
	my ($path, $bytes) = @_;
	my $wire = wire($path);
	$wire->send_raw($bytes);
	$wire->half_close;
	my $reply = $wire->raw(20);
	return $wire->closed ? $reply : "$reply (not closed)";
}

subtest 'garbage' => sub {
	my $count = $ENV{ARTERY_TORTURE_COUNT} // 400;
	my (@open, $different);
	$_ && to_the_end($_, encode('FLUSHALL')) for $node->socket_path, $redis;
	for my $number (1 .. $count)
	{
		my $bytes = spoiled();
		my $reply = to_the_end($node->socket_path, $bytes);
		push @open, shown($bytes) if $reply =~ /\(not closed\)$/;
		next if !$redis;
		my $other = to_the_end($redis, $bytes);
		next if $other eq $reply || $different++ > 5;
		is(shown($reply), shown($other), "number $number, as Redis: " . shown($bytes));
	}
	is("@open", '', "$count half-closed connections are closed after their replies");
	is($different, undef, 'Redis says the same') if $redis;
	my @noise = map { join '', map { chr int rand 256 } 1 .. 1 + int rand 300 } 1 .. $count;
	@open = grep { to_the_end($node->socket_path, $_) =~ /\(not closed\)$/ } @noise;
	is(scalar @open, 0, 'noise');
	for my $bytes ("PING a\0b\r\n", "PI\0NG\r\n", "\0\r\n", "\0" x 1000, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	{
		unlike(to_the_end($node->socket_path, $bytes), qr/not closed/, 'closed after ' . shown($bytes));
	}
	unhurt($node, $identity, 'garbage');
};

# ---- keys ----

subtest 'keys of all lengths and bytes' => sub {
	my $wire = wire($node);
	$wire->ok('FLUSHALL');
	my @lengths = (0 .. 300, map({ 256 * $_ - 1, 256 * $_, 256 * $_ + 1 } 2 .. 15), 4095, 4096);
	my %key = map { ("k$_" => join '', map { chr(($_ * 7 + 13) % 256) } 1 .. $_) } @lengths;
	$wire->queue(encode('SET', $key{$_}, $_)) for sort keys %key;
	is(scalar(grep { $_->[1] eq 'OK' } $wire->replies(scalar keys %key)), scalar keys %key, 'SET');
	$wire->queue(encode('GET', $key{$_})) for sort keys %key;
	is_deeply([map { $_->[1] } $wire->replies(scalar keys %key)], [sort keys %key], 'GET');
	is($wire->ok('DBSIZE'), scalar keys %key, 'DBSIZE');
	for my $length (4097, 5000, 100_000)
	{
		my $long = 'k' x $length;
		my $text = "-ERR key is too long ($length bytes, maximum 4096)";
		for (['SET', $long, 'v'], ['GET', $long], ['DEL', $long], ['EXISTS', $long], ['INCR', $long], ['MSET', 'a', 1, $long, 2], ['MGET', 'a', $long])
		{
			is(plain($wire->command(@$_)), $text, "$_->[0] with a key of $length bytes");
		}
		is($wire->ok('EXISTS', 'a'), 0, 'MSET changed nothing');
	}
	$wire->ok('FLUSHALL');
	my @bytes = map { chr } 0 .. 255;
	my @keys = ('', @bytes, map({ "$_$_" } @bytes), map({ "p$_" } @bytes), map({ my $first = $_; map { "$first$_" } @bytes[0, 13, 255] } @bytes));
	my %value = map { $_ => 'v' . unpack 'H*', $_ } @keys;
	@keys = sort keys %value;
	$wire->ok('MSET', %value);
	is($wire->ok('DBSIZE'), scalar @keys, 'keys of one and two bytes, all byte values');
	is_deeply([map { $_->[1] } @{$wire->ok('MGET', @keys)}], [@value{@keys}], 'all there');
	my ($cursor, @scanned) = (0);
	do
	{
		my $reply = $wire->ok('SCAN', $cursor, 'COUNT', 100);
		$cursor = $reply->[0][1];
		push @scanned, map { $_->[1] } @{$reply->[1][1]};
	} while ($cursor ne '0');
	is_deeply([sort @scanned], \@keys, 'SCAN returns each once');
	my $range = $wire->ok('RANGE', '-', '+', 'COUNT', 100_000);
	is_deeply([map { $_->[1] } @{$range->[1][1]}], \@keys, 'RANGE returns them in byte order');
	is($wire->ok('DEL', @keys), scalar @keys, 'DEL');
	is($wire->ok('DBSIZE'), 0, 'all gone');
};

# ---- giants ----

subtest 'giants' => sub {
	my $wire = wire($node);
	my $max = $wire->ok('CONFIG', 'GET', 'max_value_size')->[1][1];
	$max = $1 * { kB => 1 << 10, MB => 1 << 20, GB => 1 << 30 }->{$2} if $max =~ /^(\d+)(kB|MB|GB)$/;
	cmp_ok($max, '>', 1 << 20, 'the largest value') or return;
	my $giant = 'G' x ($max - 4) . 'tail';
	is(plain($wire->command('SET', 'giant', $giant)), 'OK', "SET of $max bytes");
	ok($wire->ok('GET', 'giant') eq $giant, 'GET');
	is($wire->ok('STRLEN', 'giant'), $max, 'STRLEN');
	my $reply = $wire->command('SET', 'giant', "$giant+");
	like(plain($reply) // 'closed', qr/^-ERR (?:string exceeds maximum allowed size|Protocol error: invalid bulk length)/,
		'one byte more is refused');
	$wire = wire($node) if $wire->closed || $reply->[1] =~ /Protocol/;
	is($wire->ok('STRLEN', 'giant'), $max, 'and changed nothing');
	like(plain($wire->command('APPEND', 'giant', '+')), qr/^-ERR string exceeds maximum allowed size/, 'nor does APPEND');
	$wire->ok('DEL', 'giant');
	undef $giant;
	my $before = worker_memory($node);
	my @hangers;
	for my $header ("*3\r\n\$3\r\nSET\r\n\$1\r\nk\r\n\$536870912\r\n", "*1000000\r\n", "*2147483647\r\n", "*2\r\n\$3\r\nGET\r\n\$400000000\r\nxxxx")
	{
		for (1 .. 20)
		{
			push @hangers, wire($node);
			$hangers[-1]->send_raw($header);
		}
	}
	unhurt($node, $identity, @hangers . ' that promise giants');
	cmp_ok(worker_memory($node) - $before, '<', 64 << 20, 'a promise alone takes no memory');
	$_->close for splice @hangers;
	my $many = wire($node);
	$many->queue(encode('MGET', ('none') x 100_000));
	my $answer_to_many = $many->reply;
	is(scalar @{$answer_to_many->[1]}, 100_000, '100,000 arguments');
	unhurt($node, $identity, 'giants');
};

# ---- peers that do not read, half-close, or leave ----

subtest 'peers' => sub {
	my $wire = wire($node);
	ok($wire->send_raw(encode('PING') x 100_000), '100,000 PINGs sent without reading');
	unhurt($node, $identity, 'a peer that does not read');
	my @replies = $wire->replies(100_000);
	is(scalar(grep { $_->[1] eq 'PONG' } @replies), 100_000, 'and then answered');
	my $big = 'b' x 300_000;
	$wire->ok('SET', 'big', $big);
	ok($wire->send_raw(encode('GET', 'big') x 200), '60 MB of replies asked for without reading');
	unhurt($node, $identity, 'it');
	is(scalar(grep { defined && $_->[1] eq $big } map { $wire->reply } 1 .. 200), 200, 'and then answered');

	for my $policy (qw(none immediate))
	{
		my $text = encode('CLIENT', 'DURABILITY', $policy);
		is(to_the_end($node->socket_path, $text . encode('SET', 'half', $policy) . encode('GET', 'half')),
			"+OK\r\n+OK\r\n\$" . length($policy) . "\r\n$policy\r\n", "a half-closed peer gets all of its replies ($policy)");
	}
	my $large = to_the_end($node->socket_path, encode('GET', 'big') x 30);
	ok($large eq substr(("\$300000\r\n$big\r\n") x 30, 0, length $large), '... and large ones in order, while they fit') or diag(shown($large));
	is(to_the_end($node->socket_path, encode('PING') . "*2\r\n\$4\r\nEC"), "+PONG\r\n", '... and nothing for half a request');
	is(to_the_end($node->socket_path, ''), '', '... or for none');

	my $before = worker_memory($node);
	my $reply = "\$3000\r\n" . 'r' x 3000 . "\r\n";
	$wire->ok('SET', 'reply', 'r' x 3000);
	my @points = (0 .. 40, map({ 97 * $_ } 1 .. 30), length($reply) - 2 .. length $reply);
	for my $bytes (@points)
	{
		my $one = wire($node);
		$one->send_raw(encode('GET', 'reply') . encode('SET', 'left', $bytes));
		if ($bytes)
		{
			my $readable = fdset($one);
			select $readable, undef, undef, 20;
			sysread $one->{socket}, my ($part), $bytes;
		}
		$one->close;
	}
	unhurt($node, $identity, @points . ' that leave in the middle of a reply');
	for my $bytes (1 .. 3_000_000 / 100_000)
	{
		my $one = wire($node);
		$one->queue(encode('GET', 'big') x 10)->turn(5);
		$one->turn(5);
		$one->close;
	}
	unhurt($node, $identity, 'some that leave in the middle of 3 MB');
	my $request = encode('SET', 'request', 'x' x 50);
	for my $bytes (0 .. length $request)
	{
		my $one = wire($node);
		$one->send_raw(substr $request, 0, $bytes);
		$one->close;
	}
	unhurt($node, $identity, 'those that leave in the middle of a request');
	my $grown = 0;
	ok(sanitized() || poll_until(sub { ($grown = worker_memory($node) - $before) < 32 << 20 }), 'their memory comes back')
	  or diag("$grown bytes more than before");
};

sub fdset { my ($wire) = @_; my $set = ''; vec($set, $wire->fd, 1) = 1; return $set }

subtest 'memory over many rounds' => sub {
	my @memory;
	for my $round (1 .. 4)
	{
		for (1 .. 150)
		{
			my $wire = wire($node);
			$wire->send_raw(spoiled());
			$wire->send_raw("*3\r\n\$3\r\nSET\r\n\$5\r\nround\r\n\$100000\r\n" . 'x' x int rand 100_000) if !$wire->closed;
			$wire->close;
		}
		wire($node)->command('PING');
		push @memory, worker_memory($node);
	}
	cmp_ok($memory[-1] - $memory[0], '<', sanitized() ? 1 << 30 : 16 << 20, 'no more after four rounds than after one') or diag("@memory");
	unhurt($node, $identity, 'them');
};

quiet_log($node, $log_start);
$node->stop;
done_testing;
