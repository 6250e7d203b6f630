# Artery::Differential -- one seeded random stream of commands to redis-server and to
# artery; every reply is compared, byte by byte.
#
#   my $d = Artery::Differential->new(seed => 1, artery => $path, redis => $path, verbose => sub { ... });
#   $d->run(50_000) or print $d->{report};
#
# The stream is made in batches, each over one of a few connections, whose two ends
# are at any time in the same state (database, protocol, MULTI, WATCH).  A batch goes
# out as one pipeline, the next one when it is answered on both sides: so commands of
# all connections have one order.  Only commands that both servers know are made
# (COMMAND tells), so that the stream grows with artery.
#
# What cannot be equal byte by byte is compared by rules:
#   unordered   KEYS, SCAN: the same elements
#   walked      SCAN to its end, page by page: the same keys, here each exactly once
#   carried     what DUMP tells on one side is restored on the other
#   near        TTL and its like: the two servers have run the command at two moments
#   known       the list of intended differences, each with its reason, in known() below
# Times to live are so long that nothing expires by itself, all different, and more
# than a minute apart, so that GT and LT have one answer.
package Artery::Differential;
use strict;
use warnings;
use Artery::SoakWire;
use Socket qw(AF_UNIX SOCK_STREAM pack_sockaddr_un);

our $CONNECTIONS = 3;
our $DATABASES   = 4;
our $FAR         = 4_102_444_800;	# 2100-01-01: deadlines that are absolute
my $WAIT         = 60;

# EXEC runs its commands before it knows whether a watched key has changed: what they do to the connection is
# taken back for SELECT and HELLO, but not for CLIENT SETNAME
our $NOT_QUEUED = qr/\A(client|reset)\z/;
# WATCH looks at versions: a key that was not there, was made and went with its whole database is as if it
# had never been, and EXEC goes on, where Redis refuses.  And a BITFIELD whose writes all fail makes a value of
# zeros, which is a change here, while Redis does not tell watchers.  So these are made only while nobody watches.
my $NOT_WATCHED = qr/\A(flushdb|swapdb|bitfield)\z/;

sub two_words { my ($command) = @_; return uc join ' ', grep { defined } @$command[0, 1] }

# ---- intended differences: [name, sub (\@command, $artery, $redis) -> true if it is this one, reason] ----
my @known = (
	[
		'encoding', sub { two_words($_[0]) eq 'OBJECT ENCODING' && $_[2] =~ /\A\$\d+\r\n(raw|embstr|int)\r\n\z/ && $_[1] =~ /\A\$\d+\r\n(raw|embstr|int)\r\n\z/ },
		'artery keeps no form: it tells the one that Redis would choose for the same value set whole; Redis keeps "raw" after APPEND, SETRANGE, SETBIT'
	],
	[
		'cursor', sub { lc $_[0][0] eq 'scan' && $_[0][1] ne '0' && $_[1] =~ /\A-ERR (?:invalid cursor|unknown or expired cursor)/ },
		'a cursor is the number that SCAN gave; Redis reads it with strtoul, which takes signs, zeros and a NUL, and takes any number'
	],
	[
		'lcs', sub { lc $_[0][0] eq 'lcs' && $_[1] =~ /\A-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n/ },
		'the bound of LCS is that of values, which is lower here'
	],
	[
		'refcount', sub { two_words($_[0]) eq 'OBJECT REFCOUNT' && $_[1] eq ":1\r\n" && $_[2] =~ /\A:\d+\r\n\z/ },
		'Redis shares small integers between keys, and values with the queue of MULTI; artery shares nothing'
	],
);

sub known
{
	my ($command, $artery, $redis) = @_;
	for (@known) { return $_ if $_->[1]->($command, $artery, $redis) }
	return undef;
}

# ---- connections ----
sub _connect
{
	my ($path) = @_;
	socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
	connect($socket, pack_sockaddr_un($path)) or die "connect to $path: $!";
	return $socket;
}

sub new
{
	my ($class, %o) = @_;
	my $self = bless {%o, count => 0, history => [], ttl => 0, known => {}, used => {}, sweeps => 0}, $class;
	srand($o{seed});
	for my $side (qw(artery redis))
	{
		my $wire = Artery::SoakWire->connect($self->{$side});
		$self->{commands}{$side} = {map { lc $_->[1] => 1 } @{$wire->command('COMMAND', 'LIST')->[1]}};
		$wire->close;
	}
	for my $n (0 .. $CONNECTIONS - 1)
	{
		push @{$self->{connection}}, {artery => _connect($self->{artery}), redis => _connect($self->{redis}), proto => 2, n => $n};
	}
	$self->{payload} = $self->_payloads;
	$self->_choices;
	return $self;
}

# _payloads -- what redis-server makes of some values, for RESTORE
sub _payloads
{
	my ($self) = @_;
	my $wire = Artery::SoakWire->connect($self->{redis});
	my @payloads;
	for my $value ('', 'short', '12345', '-7', 'x' x 300, join('', map { chr 33 + $_ * 7 % 90 } 1 .. 100), "\0\xff")
	{
		$wire->command('SET', 'payload', $value);
		push @payloads, $wire->command('DUMP', 'payload')->[1];
	}
	$wire->command('DEL', 'payload');
	push @payloads, 'garbage', '', substr($payloads[1], 0, -1), substr($payloads[1], 0, -1) . 'x';
	return \@payloads;
}

# ---- the parts of commands ----
my @KEYS = ('a' .. 'h', 'key:1', 'key:2', '/p/a', '/p/b/c', '', "\0\xff\r\n", 'k' x 300);
my @BAD  = ('x', '', '-1', '0', '1.5', '9223372036854775807', '-9223372036854775808', '9223372036854775808', '99999999999999999999', ' 1', '1 ', '+1', '01', '-0', "1\0", 'nan', 'bogus');

sub pick { return $_[int rand @_] }
sub chance { return rand() < $_[0] }
sub key { return chance(0.75) ? $KEYS[int rand 6] : pick(@KEYS) }
sub keys_some { return map { key() } 1 .. 1 + int rand 4 }
sub small { return int(rand 41) - 20 }

sub number
{
	my $r = rand;
	return $r < 0.75 ? small() : $r < 0.9 ? pick('9223372036854775807', '-9223372036854775808', '9223372036854775800', 4294967296, 2147483648, 1e6, -1e6) : pick(@BAD);
}

sub float
{
	my $r = rand;
	return $r < 0.7 ? pick('1', '-1', '0.1', '3.0e3', '1.5', '-2.25', '1e-5', '123456789.123', '0', '5e2', '10.50', '.5', '1e17', '-1e20')
		: $r < 0.82 ? pick('', '-') . join('', map { int rand 10 } 1 .. 1 + int rand 25) . pick('', '.' . int rand 1e9) . pick('', 'e' . (int(rand 60) - 30))
		: $r < 0.92 ? pick('5.', '-0.0', '1e-17', '1e-18', '0x10', '0x1.8p1', '1' x 30, '0' x 300 . '1', '0.' . '1' x 252, '1e4000', '-1e4000', '1e4932', '1e-4940', '1e21', '1e36')
		: pick(@BAD, 'inf', '-inf', '+inf', 'infinity', '-nan', '1e5000', '1e', '1e+', '--1', '1,5', '1_0', '.', '1' x 5119);
}

sub bytes { return join '', map { chr int rand 256 } 1 .. $_[0] }

sub value
{
	my $r = rand;
	return $r < 0.3 ? small() : $r < 0.45 ? pick('hello', 'foobar', 'ohmytext', 'mynewtext', 'abc', 'FOOBAR') : $r < 0.55 ? '' : $r < 0.65 ? number() : $r < 0.72 ? float()
		: $r < 0.85 ? bytes(1 + int rand 20) : $r < 0.92 ? pick('x' x 44, 'x' x 45, "\0" x 7, "\xff" x 9) : $r < 0.98 ? pick('y', 'ab') x int rand 400 : bytes(1 + int rand 3000);
}

# ttl -- seconds from now, each another
sub ttl { return 1000 + 100 * ++$_[0]{ttl} }
sub far { return $FAR + 100 * ++$_[0]{ttl} }
# milliseconds of a time in seconds
sub ms { return $_[0] . '000' }
sub wrong_ttl { return pick('x', '', '0', '-1', '1.5', '9223372036854775807', '-9223372036854775808', '99999999999999999999') }

# when -- words for EX, PX, EXAT, PXAT
sub when
{
	my ($self) = @_;
	my $kind = pick('EX', 'PX', 'EXAT', 'PXAT');
	return ($kind, chance(0.12) ? wrong_ttl() : $kind eq 'EX' ? $self->ttl : $kind eq 'PX' ? ms($self->ttl) : $kind eq 'EXAT' ? $self->far : ms($self->far));
}

# shuffled -- groups of words in any order
sub shuffled
{
	my @groups = @_;
	for (my $i = @groups - 1; $i > 0; $i--)
	{
		my $j = int rand($i + 1);
		@groups[$i, $j] = @groups[$j, $i];
	}
	return map { @$_ } @groups;
}

sub set_options
{
	my ($self) = @_;
	return () if chance(0.45);
	my @o;
	push @o, [pick('NX', 'XX')] if chance(0.35);
	push @o, [pick('NX', 'XX')] if chance(0.04);
	push @o, ['GET'] if chance(0.3);
	push @o, ['KEEPTTL'] if chance(0.15);
	push @o, [$self->when] if chance(0.4);
	push @o, [$self->when] if chance(0.03);
	push @o, [pick('GET', 'KEEPTTL', 'PERSIST')] if chance(0.03);
	push @o, ['BOGUS'] if chance(0.01);
	return shuffled(@o);
}

sub expire_options { return chance(0.5) ? () : chance(0.9) ? pick('NX', 'XX', 'GT', 'LT') : shuffled(map { [pick('NX', 'XX', 'GT', 'LT', 'BOGUS')] } 1 .. 2) }

sub bit_range { return chance(0.3) ? () : (small(), small(), chance(0.5) ? () : pick('BYTE', 'BIT', 'byte', 'BOGUS')) }
sub bit_offset { return chance(0.85) ? int rand 200 : chance(0.5) ? int rand 40_000 : pick(-1, 'x', 4294967296, '99999999999999999999') }
sub bit_type { return chance(0.95) ? pick('u', 'i') . (1 + int rand 63) : pick('u64', 'i64', 'i65', 'u0', 'x8', 'u', '') }
sub field_offset { return chance(0.7) ? int rand 200 : chance(0.8) ? '#' . int rand 20 : pick('-1', '#-1', 'x', '#', '', '4294967296') }

# field_value -- not near the least number: there Redis computes the distance to a field's bound beyond 64 bits
sub field_value { my $n = number(); return $n =~ /\A-\d{19}/ ? -1 : $n }

sub bit_field_part
{
	my $r = rand;
	return $r < 0.3 ? ('GET', bit_type(), field_offset()) : $r < 0.6 ? ('SET', bit_type(), field_offset(), field_value()) : $r < 0.85 ? ('INCRBY', bit_type(), field_offset(), field_value())
		: ('OVERFLOW', chance(0.95) ? pick('WRAP', 'SAT', 'FAIL') : 'BOGUS');
}

# patterns -- half of them of random parts; without ranges that end beyond ASCII: Redis compares such bytes with their sign
sub patterns
{
	return pick('*', 'a', '[a-c]', 'k*', '?', '/p/*', '*:[12]', '', '\\a', '[^a]', "*\xff*") if chance(0.5);
	my $pattern;
	do
	{
		$pattern = join '', map { pick('a', 'b', 'k', ':', '1', '/', 'p', '*', '?', '[a-c]', '[^a]', '[c-a]', '[]]', '[^]a]', '[\\]]', '[a\\-c]', '[-a]', '[a-]', '[', ']', '\\', '\\*', '-', "\0", "\xff") } 1 .. int rand 6;
	} while ($pattern =~ /-[^\0-\x7f]|[^\0-\x7f]-/);
	return $pattern;
}

# one of these: complaints of commands about the connection or the server, and what they tell where nothing was changed
my @CLIENT = map { [split] } 'GETNAME', 'BOGUS', 'NO-EVICT on', 'NO-EVICT x', 'SETNAME x', 'UNBLOCK 999999', 'UNBLOCK 999999 BOGUS', 'UNBLOCK x', 'GETREDIR', 'TRACKINGINFO', 'CACHING yes', 'CACHING',
	'KILL', 'KILL x', 'KILL ID', 'KILL ID x', 'KILL ID 0', 'KILL ID 999999999', 'KILL TYPE bogus', 'KILL TYPE master', 'KILL ADDR 1.1.1.1:1', 'KILL LADDR 1.1.1.1:1 SKIPME no', 'KILL USER nosuch', 'KILL SKIPME maybe',
	'LIST TYPE', 'LIST TYPE bogus', 'LIST TYPE master', 'LIST TYPE replica', 'LIST ID', 'LIST ID x', 'LIST ID 999999999', 'LIST BOGUS', 'INFO x', 'ID x', 'REPLY x', 'PAUSE', 'PAUSE x', 'PAUSE -1', 'PAUSE 0 BOGUS', 'UNPAUSE',
	'TRACKING', 'TRACKING x', 'TRACKING on BOGUS', 'TRACKING on REDIRECT x', 'TRACKING on REDIRECT 999999999', 'TRACKING on PREFIX a', 'TRACKING on BCAST OPTIN', 'TRACKING on OPTIN OPTOUT', 'TRACKING off';
my @CONFIG = map { [split] } 'SET bogus 1', 'SET timeout x', 'SET timeout -9223372036854775809', 'GET databases', 'GET DataBases', 'GET maxmemory-policy', 'GET [d]atabases', 'GET nosuch', 'SET databases 3', 'SET timeout 0 timeout 1', 'SET timeout',
	'SET timeout 0 bogus', 'SET client-query-buffer-limit 1.5mb', 'SET maxmemory-policy bogus', 'SET notify-keyspace-events q', 'SET appendfsync bogus', 'SET loglevel bogus', 'SET slowlog-max-len x', 'GET', 'RESETSTAT x', 'REWRITE x', 'BOGUS';
my @LATENCY = map { [split] } 'HISTORY bogus', 'HISTORY', 'GRAPH bogus', 'GRAPH', 'RESET a b', 'LATEST', 'DOCTOR x', 'HISTOGRAM nosuch', 'BOGUS';

# weight, name, words
sub _choices
{
	my ($self) = @_;
	my @all = (
		[30, 'get', sub { key() }], [40, 'set', sub { (key(), value(), $_[0]->set_options) }], [6, 'setnx', sub { (key(), value()) }],
		[6, 'setex', sub { (key(), chance(0.15) ? wrong_ttl() : $_[0]->ttl, value()) }], [6, 'psetex', sub { (key(), chance(0.15) ? wrong_ttl() : ms($_[0]->ttl), value()) }],
		[6, 'getset', sub { (key(), value()) }], [6, 'getdel', sub { key() }], [10, 'getex', sub { (key(), chance(0.3) ? () : chance(0.2) ? 'PERSIST' : $_[0]->when, chance(0.03) ? 'PERSIST' : ()) }],
		[8, 'mget', sub { keys_some() }], [8, 'mset', sub { map { (key(), value()) } 1 .. 1 + int rand 4 }], [6, 'msetnx', sub { map { (key(), value()) } 1 .. 1 + int rand 3 }],
		[12, 'append', sub { (key(), value()) }], [8, 'strlen', sub { key() }], [10, 'getrange', sub { (key(), small(), small()) }], [4, 'substr', sub { (key(), small(), small()) }],
		[3, 'getrange', sub { (key(), number(), number()) }], [10, 'setrange', sub { (key(), chance(0.8) ? int rand 30 : pick(5000, -1, 536870912, 'x', '9223372036854775807'), value()) }],
		[10, 'incr', sub { key() }], [8, 'decr', sub { key() }], [10, 'incrby', sub { (key(), number()) }], [8, 'decrby', sub { (key(), number()) }], [12, 'incrbyfloat', sub { (key(), float()) }],
		[10, 'lcs', sub { (key(), key(), chance(0.4) ? () : shuffled(map { [@$_] } grep { chance(0.4) } ['LEN'], ['IDX'], ['WITHMATCHLEN'], ['MINMATCHLEN', chance(0.9) ? int rand 5 : pick(@BAD)])) }],
		[10, 'setbit', sub { (key(), bit_offset(), chance(0.9) ? int rand 2 : pick(2, -1, 'x')) }], [8, 'getbit', sub { (key(), bit_offset()) }],
		[8, 'bitcount', sub { (key(), bit_range()) }], [10, 'bitpos', sub { (key(), chance(0.9) ? int rand 2 : pick(2, 'x'), chance(0.3) ? () : (small(), chance(0.4) ? () : (small(), chance(0.4) ? () : pick('BYTE', 'BIT', 'BOGUS')))) }],
		[8, 'bitop', sub { (chance(0.97) ? pick('AND', 'OR', 'XOR', 'NOT') : 'BOGUS', key(), chance(0.3) ? key() : keys_some()) }],
		[10, 'bitfield', sub { (key(), map { bit_field_part() } 0 .. rand 4) }], [3, 'bitfield_ro', sub { (key(), map { chance(0.95) ? ('GET', bit_type(), field_offset()) : bit_field_part() } 0 .. rand 3) }],
		[12, 'del', sub { keys_some() }], [6, 'unlink', sub { keys_some() }], [8, 'exists', sub { keys_some() }], [4, 'touch', sub { keys_some() }], [4, 'type', sub { key() }],
		[8, 'rename', sub { (key(), key()) }], [6, 'renamenx', sub { (key(), key()) }], [10, 'copy', sub { (key(), key(), shuffled(map { [@$_] } grep { chance(0.4) } ['DB', chance(0.9) ? int rand $DATABASES : pick(16, -1, 'x')], ['REPLACE'])) }],
		[8, 'move', sub { (key(), chance(0.9) ? int rand $DATABASES : pick(16, -1, 'x')) }], [2, 'swapdb', sub { map { chance(0.95) ? int rand $DATABASES : pick(16, -1, 'x') } 1 .. 2 }],
		[10, 'expire', sub { (key(), chance(0.85) ? $_[0]->ttl : wrong_ttl(), expire_options()) }], [8, 'pexpire', sub { (key(), chance(0.85) ? ms($_[0]->ttl) : wrong_ttl(), expire_options()) }],
		[10, 'expireat', sub { (key(), chance(0.85) ? $_[0]->far : wrong_ttl(), expire_options()) }], [8, 'pexpireat', sub { (key(), chance(0.85) ? ms($_[0]->far) : wrong_ttl(), expire_options()) }],
		[8, 'ttl', sub { key() }], [8, 'pttl', sub { key() }], [6, 'expiretime', sub { key() }], [6, 'pexpiretime', sub { key() }], [8, 'persist', sub { key() }],
		[3, 'dbsize', sub { () }], [2, 'randomkey', sub { () }], [3, 'keys', sub { patterns() }], [3, 'scan', sub { (0, shuffled(['COUNT', 10000], (map { [@$_] } grep { chance(0.3) } ['MATCH', patterns()], ['TYPE', pick('string', 'list', 'bogus')]))) }],
		[1, 'flushdb', sub { chance(0.7) ? () : pick('ASYNC', 'SYNC', 'BOGUS') }], [5, 'select', sub { chance(0.95) ? int rand $DATABASES : pick(16, -1, 'x', '') }],
		[6, 'restore', sub { (key(), chance(0.6) ? 0 : chance(0.8) ? ms($_[0]->ttl) : pick(-1, 'x'), pick(@{$_[0]{payload}}), shuffled(map { [@$_] } grep { chance(0.35) } ['REPLACE'], ['IDLETIME', pick(0, 10, -1, 'x')], ['FREQ', pick(0, 255, 256)], ['BOGUS'])) }],
		[2, 'restore', sub { (key(), ms($_[0]->far), pick(@{$_[0]{payload}}), shuffled(['ABSTTL'], ['REPLACE'])) }],
		[3, 'object', sub { (pick('ENCODING', 'REFCOUNT', 'FREQ', 'BOGUS'), key()) }], [3, 'echo', sub { value() }], [3, 'ping', sub { chance(0.5) ? () : value() }], [2, 'wait', sub { (chance(0.8) ? 0 : pick(-1, 'x'), chance(0.8) ? 0 : pick(-1, 'x')) }],
		[3, 'publish', sub { (pick('news', 'a'), value()) }], [1, 'pubsub', sub { @{pick(['CHANNELS'], ['NUMSUB', 'a', 'b'], ['NUMPAT'], ['CHANNELS', '*'], ['BOGUS'])} }],
		[5, 'watch', sub { keys_some() }], [2, 'unwatch', sub { () }], [2, 'discard', sub { () }], [2, 'exec', sub { () }],
		[2, 'bogus', sub { map { value() } 1 .. rand 4 }], [3, 'client', sub { @{pick(@CLIENT, ['SETNAME', 'a b'], ['SETNAME', ''])} }],
		[1, 'acl', sub { @{pick(['WHOAMI'], ['USERS'], ['LIST'], ['GETUSER', 'default'], ['GETUSER', 'x'], ['CAT', 'bogus'], ['DRYRUN', 'default', 'get', 'a'])} }],
		[1, 'memory', sub { @{pick(['USAGE', 'nokey'], ['USAGE', 'nokey', 'SAMPLES', -1], ['BOGUS'])} }],
		[1, 'script', sub { @{pick(['EXISTS', 'a', 'b'], ['FLUSH'], ['FLUSH', 'x'])} }], [1, 'function', sub { @{pick(['FLUSH'], ['FLUSH', 'x'])} }],
		[2, 'config', sub { @{pick(@CONFIG)} }],
		[1, 'command', sub { @{pick(['GETKEYS', 'MSET', 'a', 1, 'b', 2], ['GETKEYS', 'GET'], ['GETKEYS', 'BOGUS', 1], ['GETKEYS', 'PING', 'x'], ['INFO', 'bogus'])} }],
		[1, 'cluster', sub { pick('INFO', 'NODES', 'MYID', 'SLOTS') }], [1, 'module', sub { 'LIST' }], [1, 'latency', sub { @{pick(@LATENCY)} }], [1, 'slowlog', sub { @{pick(['GET', -2], ['GET', 'x'], ['GET', 1, 2], ['LEN', 'x'], ['BOGUS'])} }],
		[1, 'reset', sub { () }], [1, 'auth', sub { @{pick(['x'], ['nosuch', 'x'], ['default', 'x'], ['a', 'b', 'c'])} }], [1, 'readonly', sub { () }], [1, 'readwrite', sub { () }], [1, 'asking', sub { () }], [1, 'failover', sub { 'ABORT' }],
	);
	my @usable = grep { $_->[1] eq 'bogus' || ($self->{commands}{artery}{$_->[1]} && $self->{commands}{redis}{$_->[1]}) } @all;
	$self->{left_out} = [grep { my $n = $_; !grep { $_->[1] eq $n } @usable } map { $_->[1] } @all];
	for my $choice (@usable) { push @{$self->{choice}}, ($choice) x $choice->[0] }
	$self->{transactions} = $self->{commands}{artery}{multi};
	return;
}

# one -- a command as it is meant, or spoilt; $queued: within MULTI
sub one
{
	my ($self, $queued) = @_;
	my ($choice, @words);
	do {
		$choice = pick(@{$self->{choice}});
		@words = ($choice->[1], $choice->[2]->($self));
		# a sub-command that artery does not have (yet) is not made
	} while (@words > 1 && $self->{commands}{redis}{lc "$words[0]|$words[1]"} && !$self->{commands}{artery}{lc "$words[0]|$words[1]"}
		|| $queued && $choice->[1] =~ $NOT_QUEUED || $choice->[1] =~ $NOT_WATCHED && grep { $_->{watches} } @{$self->{connection}});
	$self->{now}{watches} = 1 if $choice->[1] eq 'watch';
	$self->{now}{watches} = 0 if $choice->[1] eq 'unwatch' && !$queued || $choice->[1] eq 'reset';
	$self->{now}{proto} = 2 if $choice->[1] eq 'reset';
	$self->{used}{$choice->[1]}++;
	# not what may turn into something that waits, or tells of the server itself
	if (chance(0.04) && @words > 1 && $choice->[1] !~ /\A(slowlog|latency|client|config|debug|memory|acl|command|function|wait|auth|reset|failover)\z/)
	{
		my $r = rand;
		if ($choice->[1] eq 'bitfield' || $r < 0.35) { pop @words }
		elsif ($r < 0.6) { push @words, pick(@BAD) }
		elsif ($r < 0.9) { $words[1 + int rand(@words - 1)] = pick(@BAD) }
		else { @words = ($words[0]) }
	}
	# a time that no clock can tell when now is added: it has passed in Redis, and never comes here
	$words[2] = 0 if $words[0] eq 'restore' && ($words[2] // '') eq '9223372036854775807';
	my $r = rand;
	$words[0] = $r < 0.5 ? uc $words[0] : $r < 0.9 ? $words[0] : ucfirst $words[0];
	if (chance(0.1)) { $_ = lc for grep { /\A[A-Z]{2,}\z/ } @words[1 .. $#words] }
	return \@words;
}

# inline -- a command as a person types it, quoted in one way or another
sub inline
{
	return join(pick(' ', '  ', "\t"), map {
		my $word = $_;
		if (length $word && $word !~ /[^!#-&(-~]/ && chance(0.7)) { $word }
		elsif ($word !~ /[^ -~]/ && chance(0.5)) { $word =~ s/'/\\'/g; $word =~ /\\(?!')/ ? quoted($_) : "'$word'" }
		else { quoted($word) }
	} @_) . pick("\r\n", "\n");
}

sub quoted
{
	my ($word) = @_;
	my %letter = ("\n" => 'n', "\r" => 'r', "\t" => 't', "\b" => 'b', "\a" => 'a');
	$word =~ s/(["\\])/\\$1/g;
	$word =~ s/([^ -~])/my $c = $1; $letter{$c} && chance(0.5) ? "\\$letter{$c}" : sprintf(chance(0.5) ? '\\x%02x' : '\\x%02X', ord $c)/ge;
	return "\"$word\"";
}

# sent -- the bytes of a command; a short one now and then inline
sub sent { my $size = 0; $size += length for @_; return $size < 10_000 && chance(0.05) ? inline(@_) : Artery::SoakWire::encode(@_) }

sub batch
{
	my ($self, $connection, $size) = @_;
	my @batch;
	$self->{now} = $connection;
	while (@batch < $size)
	{
		if ($self->{transactions} && chance(0.03))
		{
			push @batch, [pick('MULTI', 'multi')], (map { $self->one(1) } 1 .. int rand 7), chance(0.02) ? ['MULTI'] : (), [chance(0.85) ? 'EXEC' : 'DISCARD'];
		}
		else { push @batch, $self->one }
	}
	return \@batch;
}

# ---- sending and comparing ----
sub _write
{
	my ($socket, $text) = @_;
	for (my $at = 0; $at < length $text;)
	{
		my $n = syswrite $socket, $text, length($text) - $at, $at;
		die "write: $!" unless defined $n;
		$at += $n;
	}
	return;
}

# _read -- all replies up to that of the marker
sub _read
{
	my ($socket, $marker) = @_;
	my $end = '$' . length($marker) . "\r\n$marker\r\n";
	my $text = '';
	while (length $text < length $end || substr($text, -length $end) ne $end)
	{
		my $ready = '';
		vec($ready, fileno $socket, 1) = 1;
		return ($text, 'no answer') unless select($ready, undef, undef, $WAIT);
		my $n = sysread $socket, $text, 1 << 18, length $text;
		return ($text, 'connection closed') unless $n;
	}
	return (substr($text, 0, length($text) - length $end), undef);
}

# frame_end -- where the reply that begins there ends; -1: it does not
sub frame_end
{
	my ($text, $at) = @_;
	for (my $left = 1; $left > 0; $left--)
	{
		my $end = index $$text, "\r\n", $at;
		return -1 if $end < 0;
		my $type = substr $$text, $at, 1;
		my $rest = substr $$text, $at + 1, $end - $at - 1;
		$at = $end + 2;
		if ($type eq '$' || $type eq '=') { $at += $rest + 2 if $rest >= 0 }
		elsif ($type eq '*' || $type eq '~' || $type eq '>') { $left += $rest if $rest > 0 }
		elsif ($type eq '%') { $left += 2 * $rest }
	}
	return $at;
}

sub frames
{
	my ($text) = @_;
	my @frames;
	for (my $at = 0; $at < length $text;)
	{
		my $end = frame_end(\$text, $at);
		last if $end < 0 || $end > length $text;
		push @frames, substr $text, $at, $end - $at;
		$at = $end;
	}
	return @frames;
}

# elements -- of an array reply: frames
sub elements { my ($text) = @_; return $text =~ s/\A[*~%>]\d+\r\n// ? frames($text) : $text }

# near -- two numbers, this far from each other at most
sub near
{
	my ($one, $other, $by) = @_;
	my ($n) = $one =~ /\A:(\d+)\r\n\z/ or return 0;
	my ($m) = $other =~ /\A:(\d+)\r\n\z/ or return 0;
	return abs($n - $m) <= $by;
}

# far_future -- after the year 294,000: artery cuts such deadlines to the last one that it can hold
sub far_future
{
	my ($name, $reply) = @_;
	my ($n) = $reply =~ /\A:(\d+)\r\n\z/ or return 0;
	return $n > ($name =~ /\Ap/ ? 9e15 : 9e12);
}

# same_keys -- what KEYS or SCAN found with this pattern, in any order.  A star matches any bytes, none too; in Redis
# no pattern with a star but "*" itself matches the key of no bytes.
sub same_keys
{
	my ($pattern, $artery, $redis) = @_;
	my $found = join '', sort @$artery;
	return $found eq join('', sort @$redis) || $pattern =~ /\*/ && $found eq join('', sort("\$0\r\n\r\n", @$redis));
}

# match -- the pattern that counts in the words of SCAN
sub match
{
	my @words = @_;
	my $pattern = '';
	for (my $i = 0; $i < $#words; $i++) { $pattern = $words[++$i] if uc $words[$i] eq 'MATCH' }
	return $pattern;
}

# same -- by the rules for this command
sub same
{
	my ($self, $command, $artery, $redis) = @_;
	return 1 if $artery eq $redis;
	my $name = lc $command->[0];
	return 1 if $name =~ /ttl\z|expiretime\z/ && far_future($name, $artery) && far_future($name, $redis);
	return near($artery, $redis, 3) if $name eq 'ttl' || $name eq 'expiretime';
	return near($artery, $redis, 3000) if $name eq 'pttl' || $name eq 'pexpiretime';
	return ($artery =~ /\A\$\d/) == ($redis =~ /\A\$\d/) if $name eq 'randomkey' && ($artery . $redis) !~ /\A-/;
	return same_keys($command->[1], [elements($artery)], [elements($redis)]) if $name eq 'keys' && @$command == 2;
	if ($name eq 'scan' && $artery !~ /\A-/)
	{
		my ($a, $r) = map { [elements($_)] } $artery, $redis;
		return @$a == 2 && @$r == 2 && $a->[0] eq $r->[0] && same_keys(match(@$command), [elements($a->[1])], [elements($r->[1])]);
	}
	my $known = known($command, $artery, $redis) or return 0;
	$self->{known}{$known->[0]}++;
	return 1;
}

# same_exec -- the replies of EXEC, one by one, by the rules of the commands in it
sub same_exec
{
	my ($self, $queued, $artery, $redis) = @_;
	my ($a, $r) = map { [elements($_)] } $artery, $redis;
	return 0 if @$a != @$r || @$a != @$queued || $artery !~ /\A\*\d/;
	for (0 .. $#$a) { return 0 unless $self->same($queued->[$_], $a->[$_], $r->[$_]) }
	return 1;
}

sub shown
{
	my ($text) = @_;
	$text =~ s/\r\n\z//;
	$text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
	return length $text > 300 ? substr($text, 0, 300) . '... (' . length($text) . ')' : $text;
}

sub shown_command { return join ' ', map { my $w = shown($_); length $w && $w !~ / / ? $w : "'$w'" } @{$_[0]} }

# watched -- what a connection has watched when it comes to EXEC
sub watched
{
	my ($self, $n) = @_;
	my @keys;
	for my $h (reverse @{$self->{history}}[0 .. $#{$self->{history}} - 1])
	{
		next if $h->[0] != $n;
		last if $h->[1][0] =~ /\A(exec|discard|unwatch)\z/i;
		push @keys, @{$h->[1]}[1 .. $#{$h->[1]}] if $h->[1][0] =~ /\Awatch\z/i;
	}
	return @keys;
}

# history -- what happened to the keys of a command since the last FLUSHALL
sub history
{
	my ($self, $command) = @_;
	my $with_exec = $command->[0] =~ /\Aexec\z/i;
	my %key = map { $_ => 1 } grep { my $w = $_; grep { $_ eq $w } @KEYS } @$command[1 .. $#$command];
	my @lines = grep { my $c = $_->[1]; $c->[0] =~ /\A(select|swapdb|flush)/i || $with_exec && $c->[0] =~ /\A(multi|exec|discard|watch|unwatch)\z/i || grep { $key{$_} } @$c[1 .. $#$c] } @{$self->{history}};
	@lines = @lines[-60 .. -1] if @lines > 60;
	return join "\n", map { "  [connection $_->[0]] " . shown_command($_->[1]) } @lines;
}

# differs -- false: they are the same after all
sub differs
{
	my ($self, $connection, $batch, $artery, $redis) = @_;
	my @a = frames($artery);
	my @r = frames($redis);
	my @queued;
	my $open = 0;
	for my $i (0 .. $#$batch)
	{
		my ($command, $a, $r) = ($batch->[$i], $a[$i] // 'nothing', $r[$i] // 'nothing');
		my $exec = lc $command->[0] eq 'exec' && $open;
		if ($exec ? $a ne $r && !$self->same_exec(\@queued, $a, $r) : !$self->same($command, $a, $r))
		{
			my $number = $self->{count} + $i;
			push @{$self->{history}}, map { [$connection->{n}, $_] } @$batch[0 .. $i];
			$self->{report} = "command $number of seed $self->{seed}, connection $connection->{n}, RESP$connection->{proto}:\n  " . shown_command($command)
				. "\n  artery: " . shown($a) . "\n  redis:  " . shown($r) . ($exec ? "\nqueued:\n" . join("\n", map { '  ' . shown_command($_) } @queued) : '')
				. "\nhistory of its keys:\n" . $self->history(!$exec ? $command : ($a =~ /\A[*_]-?1?\r/) != ($r =~ /\A[*_]-?1?\r/) ? ['exec', $self->watched($connection->{n})] : ['exec', map { @$_ } @queued]) . "\n";
			return 1;
		}
		if ($r =~ /\A\+QUEUED/) { push @queued, $command; $open = 1 }
		elsif (lc $command->[0] eq 'multi' && $r =~ /\A\+OK/) { @queued = (); $open = 1 }
		elsif (lc $command->[0] =~ /\A(exec|discard|reset)\z/) { $open = 0 }
	}
	return 0;
}

# exchange -- false: they differ, or one does not answer
sub exchange
{
	my ($self, $connection, $batch) = @_;
	my $marker = 'end of batch ' . ++$self->{batches};
	my $text = join '', (map { sent(@$_) } @$batch), Artery::SoakWire::encode('ECHO', $marker);
	my %reply;
	my %error;
	_write($connection->{$_}, $text) for qw(artery redis);
	($reply{$_}, $error{$_}) = _read($connection->{$_}, $marker) for qw(artery redis);
	if ($error{artery} || $error{redis})
	{
		$self->differs($connection, $batch, $reply{artery}, $reply{redis});
		$self->{report} = ($self->{report} // '') . join ', ', map { $error{$_} ? "$_: $error{$_}" : () } qw(artery redis);
		return 0;
	}
	return 0 if $reply{artery} ne $reply{redis} && $self->differs($connection, $batch, $reply{artery}, $reply{redis});
	push @{$self->{history}}, map { [$connection->{n}, $_] } @$batch;
	$self->{count} += @$batch;
	return 1;
}

# switch -- the protocol of a connection, outside of what is compared
sub switch
{
	my ($self, $connection) = @_;
	$connection->{proto} = 5 - $connection->{proto};
	for my $side (qw(artery redis))
	{
		_write($connection->{$side}, Artery::SoakWire::encode('HELLO', $connection->{proto}) . Artery::SoakWire::encode('ECHO', 'switched'));
		my (undef, $error) = _read($connection->{$side}, 'switched');
		die "$side: HELLO: $error" if $error;
	}
	return;
}

# ask -- one command to both sides, outside of what is compared: the two replies
sub ask
{
	my ($self, $connection, %command) = @_;
	my $marker = 'asked ' . ++$self->{asked};
	_write($connection->{$_}, Artery::SoakWire::encode(@{$command{$_}}) . Artery::SoakWire::encode('ECHO', $marker)) for qw(artery redis);
	return map {
		my ($reply, $error) = _read($connection->{$_}, $marker);
		die "$_: @{$command{$_}}: $error" if $error;
		$reply;
	} qw(artery redis);
}

# bulk -- what a reply holds, or undef
sub bulk { my ($reply) = @_; return $reply =~ /\A\$(\d+)\r\n/ ? substr($reply, $+[0], $1) : undef }

# unlike -- reports what was found between batches, and returns false
sub unlike
{
	my ($self, $what, $artery, $redis, @keys) = @_;
	$self->{report} = "$what, after command $self->{count} of seed $self->{seed}:\n  artery: " . shown($artery) . "\n  redis:  " . shown($redis) . "\nhistory of its keys:\n" . $self->history(['', @keys]) . "\n";
	return 0;
}

# walk -- SCAN to its end, page by page, over the connections in turn: the same keys; here exactly once
sub walk
{
	my ($self, $connection) = @_;
	my @options = shuffled(['COUNT', 1 + int rand 6], (map { [@$_] } grep { chance(0.5) } ['MATCH', patterns()], ['TYPE', 'string']));
	my %cursor = (artery => 0, redis => 0);
	my %keys = (artery => [], redis => []);
	my $pages = 0;
	do
	{
		my %reply;
		@reply{qw(artery redis)} = $self->ask($connection, map { $_ => ['SCAN', $cursor{$_} // 0, @options] } qw(artery redis));
		for my $side (grep { defined $cursor{$_} } qw(artery redis))
		{
			my ($next, $found) = elements($reply{$side});
			push @{$keys{$side}}, elements($found) if defined $found;
			$cursor{$side} = bulk($next // '') || undef;
		}
		if (++$pages > 1000) { $self->{report} = "SCAN @options does not end"; return 0 }
	} while (defined $cursor{artery} || defined $cursor{redis});
	my %once = map { $_ => 1 } @{$keys{redis}};
	$self->{walks}++;
	return 1 if same_keys(match(@options), $keys{artery}, [keys %once]);
	my %count = %once;
	$count{$_}-- for @{$keys{artery}};
	return $self->unlike('SCAN ' . shown_command([@options]) . ' to its end', join(' ', sort @{$keys{artery}}), join(' ', sort keys %once), map { bulk($_) } grep { $count{$_} } keys %count);
}

# carry -- what DUMP tells of a key on one side becomes the value of another key on the other side
sub carry
{
	my ($self, $connection) = @_;
	my ($from, $to) = (key(), key());
	my ($artery, $redis) = map { bulk($_) } $self->ask($connection, map { $_ => ['DUMP', $from] } qw(artery redis));
	return 1 if !defined $artery && !defined $redis;
	$self->{carried}++;
	my @replies = defined $artery && defined $redis ? $self->ask($connection, artery => ['RESTORE', $to, 0, $redis, 'REPLACE'], redis => ['RESTORE', $to, 0, $artery, 'REPLACE']) : ('', '');
	push @{$self->{history}}, [$connection->{n}, ['DUMP', $from]], [$connection->{n}, ['RESTORE', $to, 0, 'what the other side told', 'REPLACE']];
	return 1 if "@replies" eq "+OK\r\n +OK\r\n";
	return $self->unlike('DUMP ' . shown($from) . ', and RESTORE of what the other side told', map({ ($_->[0] // 'nil') . ' ' . $_->[1] } [$artery, $replies[0]], [$redis, $replies[1]]), $from, $to);
}

# sweep -- all databases: every key, value and deadline; then everything goes
sub sweep
{
	my ($self) = @_;
	my $connection = $self->{connection}[0];
	$self->{sweeps}++;
	my @batch = $self->{transactions} ? (['DISCARD']) : ();
	my @ttl = grep { $self->{commands}{artery}{$_} } qw(pttl pexpiretime);
	for my $db (0 .. $DATABASES - 1)
	{
		push @batch, ['SELECT', $db], ['DBSIZE'], ['KEYS', '*'], map { my $k = $_; (['GET', $k], map { [$_, $k] } @ttl) } @KEYS;
	}
	$self->exchange($connection, \@batch) or return 0;
	if ($self->{transactions})
	{
		for (@{$self->{connection}})
		{
			$self->exchange($_, [['UNWATCH']]) or return 0;
			$_->{watches} = 0;
		}
	}
	$self->exchange($connection, [['SELECT', 0], ['FLUSHALL']]) or return 0;
	$self->{history} = [];
	return 1;
}

# run -- so many commands, from empty databases the first time; false: report says what differed
sub run
{
	my ($self, $count) = @_;
	my $end = $self->{count} + $count;
	my $next_sweep = $self->{count} + 2000;
	my $next_word = $self->{count} + 100_000;
	if (!$self->{begun}++) { $self->exchange($self->{connection}[0], [['FLUSHALL']]) or return 0 }
	while ($self->{count} < $end)
	{
		my $connection = pick(@{$self->{connection}});
		$self->switch($connection) if chance(0.1);
		if (chance(0.15)) { $self->walk($connection) or return 0 }
		if (chance(0.2)) { $self->carry($connection) or return 0 }
		$self->exchange($connection, $self->batch($connection, chance(0.3) ? 1 + int rand 5 : 1 + int rand 200)) or return 0;
		if ($self->{count} >= $next_sweep)
		{
			$self->sweep or return 0;
			$next_sweep = $self->{count} + 500 + int rand 6000;
		}
		if ($self->{verbose} && $self->{count} >= $next_word)
		{
			$self->{verbose}->("$self->{count} commands");
			$next_word += 100_000;
		}
	}
	return $self->sweep;
}

1;
