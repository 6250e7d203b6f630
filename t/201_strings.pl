# Goal: commands on strings answer as Redis does, every option, error and edge; what Redis 7.0 does not have,
# as their page in doc/commands.md says.
#
# Method: tables of commands with the exact reply expected, in RESP2 and RESP3; what they say of commands that
# Redis 7.0 has is checked against redis-server where that is installed.
use Artery::Test;
use Artery::Cluster;
use Artery::Table;
use Artery::SoakWire;
use Test::More;

my $node = Artery::Cluster->new('strings');
$node->init(workers => 2, memory_limit => '256MB', wal_buffers => '64MB', wal_segment_size => '64MB', max_value_size => '15MB', durability => 'none');
$node->start;

my $SYNTAX = '-ERR syntax error';
my $NUMBER = '-ERR value is not an integer or out of range';
my $FLOAT  = '-ERR value is not a valid float';
my $MAX    = '9223372036854775807';
my $FUTURE = 4_102_444_800;		# the year 2100
sub arity { return "-ERR wrong number of arguments for '$_[0]' command" }
sub expire_time { return "-ERR invalid expire time in '$_[0]' command" }

my @set = (
	[['FLUSHALL'], 'OK'],
	# conditions and GET
	[['SET', 'k', 'v'], 'OK'], [['SET', 'k', 'w', 'NX'], 'nil'], [['SET', 'k', 'w', 'nx', 'NX'], 'nil'], [['SET', 'k', 'w', 'xx'], 'OK'],
	[['SET', 'none', 'w', 'XX'], 'nil'], [['EXISTS', 'none'], ':0'], [['SET', 'k', 'x', 'GET'], '"w"'], [['SET', 'k', 'y', 'NX', 'GET'], '"x"'],
	[['GET', 'k'], '"x"'], [['SET', 'none', 'y', 'XX', 'GET'], 'nil'], [['EXISTS', 'none'], ':0'], [['SET', 'new', '1', 'GET', 'NX'], 'nil'],
	[['GET', 'new'], '"1"'], [['SET', 'k', 'v', 'NX', 'XX'], $SYNTAX], [['SET', 'k', 'v', 'XX', 'NX'], $SYNTAX], [['SET', 'k', 'v', 'BOGUS'], $SYNTAX],
	[['SET', 'k', 'v', ''], $SYNTAX], [['SET', 'k', 'v', 'PERSIST'], $SYNTAX], [['GET', 'k'], '"x"'], [['SET', 'k', 'x', 'GET', 'get'], '"x"'],
	# deadlines
	(map { [['SET', 'k', 'v', $_], $SYNTAX] } qw(EX PX EXAT PXAT)),
	(map { ([['SET', 'k', 'v', $_->[0], 100, $_->[1], 100], $SYNTAX]) } ['EX', 'PX'], ['PX', 'EX'], ['EX', 'EXAT'], ['EXAT', 'PXAT'], ['PXAT', 'PX'], ['PX', 'EXAT']),
	[['SET', 'k', 'v', 'EX', 100, 'KEEPTTL'], $SYNTAX], [['SET', 'k', 'v', 'KEEPTTL', 'PX', 100], $SYNTAX], [['SET', 'k', 'v', 'KEEPTTL', 'keepttl'], 'OK'],
	(map { my $option = $_; map { [['SET', 'k', 'v', $option, $_], expire_time('set')] } 0, -1, '-9223372036854775808' } qw(EX PX EXAT PXAT)),
	(map { my $option = $_; map { [['SET', 'k', 'v', $option, $_], $NUMBER] } 'x', '1.5', ' 1', '01', '+1', '', '9223372036854775808' } qw(EX PX EXAT PXAT)),
	[['SET', 'k', 'v', 'EX', $MAX], expire_time('set')], [['SET', 'k', 'v', 'EX', '9223372036854775'], expire_time('set')],
	[['SET', 'k', 'v', 'PX', $MAX], expire_time('set')], [['SET', 'k', 'v', 'EXAT', '9223372036854776'], expire_time('set')],
	[['SET', 'k', 'v', 'EX', 'x', 'EX'], $SYNTAX], [['SET', 'k', 'v', 'EX', 0, 'EX', 100], 'OK'], [['SET', 'k', 'v', 'EX', 100, 'EX', 0], expire_time('set')],
	[['SET', 'k', 'v1', 'EX', 100], 'OK'], [['GET', 'k'], '"v1"'], [['SET', 'k', 'v2', 'PX', 100_000, 'XX', 'GET'], '"v1"'],
	[['SET', 'k', 'v3', 'get', 'xx', 'exat', $FUTURE], '"v2"'], [['SET', 'k', 'v4', 'PXAT', $FUTURE . '000'], 'OK'], [['GET', 'k'], '"v4"'],
	[['SET', 'k', 'v', 'NX', 'EX', 0], expire_time('set')], [['SET', 'k', 'v5', 'NX', 'EX', 10], 'nil'],
	# in the past
	[['SET', 'k', 'v', 'EXAT', 1], 'OK'], [['GET', 'k'], 'nil'], [['EXISTS', 'k'], ':0'], [['DBSIZE'], ':1'],
	[['SET', 'k', 'v', 'PXAT', 1], 'OK'], [['EXISTS', 'k'], ':0'], [['SET', 'k', 'v', 'NX', 'PXAT', 1], 'OK'], [['EXISTS', 'k'], ':0'],
	[['SET', 'k', 'v', 'XX', 'PXAT', 1], 'nil'], [['SET', 'k', 'v'], 'OK'], [['SET', 'k', 'w', 'NX', 'PXAT', 1], 'nil'], [['GET', 'k'], '"v"'],
	[['SET', 'k', 'w', 'GET', 'EXAT', 1], '"v"'], [['EXISTS', 'k'], ':0'], [['SET', 'k', 'w', 'GET', 'EXAT', 1], 'nil'],
	# its kin
	[['SETNX', 'k', 'z'], ':1'], [['SETNX', 'k', 'y'], ':0'], [['GET', 'k'], '"z"'], [['SETNX', 'k'], arity('setnx')],
	[['GETSET', 'k', 'y'], '"z"'], [['GETSET', 'k3', 'y'], 'nil'], [['GETSET', 'k'], arity('getset')], [['GETDEL', 'k3'], '"y"'], [['GETDEL', 'k3'], 'nil'],
	[['EXISTS', 'k3'], ':0'], [['GETDEL'], arity('getdel')], [['GETDEL', 'a', 'b'], arity('getdel')],
	[['SETEX', 'k', 100, 'sv'], 'OK'], [['GET', 'k'], '"sv"'], [['PSETEX', 'k', 100_000, 'pv'], 'OK'], [['GET', 'k'], '"pv"'], [['SETEX', 'k', 100], arity('setex')],
	[['PSETEX', 'k', 100], arity('psetex')], [['SETEX', 'k', 100, 'v', 'NX'], arity('setex')],
	(map { ([['SETEX', 'k', $_, 'v'], expire_time('setex')], [['PSETEX', 'k', $_, 'v'], expire_time('psetex')]) } 0, -5, $MAX),
	(map { ([['SETEX', 'k', $_, 'v'], $NUMBER], [['PSETEX', 'k', $_, 'v'], $NUMBER]) } 'x', '', '1.0'), [['GET', 'k'], '"pv"'],
	# GETEX
	[['GETEX', 'k'], '"pv"'], [['GETEX', 'none'], 'nil'], [['GETEX'], arity('getex')], [['GETEX', 'k', 'BOGUS'], $SYNTAX], [['GETEX', 'k', 'EX'], $SYNTAX],
	[['GETEX', 'k', 'KEEPTTL'], $SYNTAX], [['GETEX', 'k', 'NX'], $SYNTAX], [['GETEX', 'k', 'EX', 10, 'PERSIST'], $SYNTAX], [['GETEX', 'k', 'PERSIST', 'EX', 10], $SYNTAX],
	[['GETEX', 'k', 'EX', 10, 'PX', 10], $SYNTAX], [['GETEX', 'k', 'EX', 0], expire_time('getex')], [['GETEX', 'k', 'PXAT', -1], expire_time('getex')],
	[['GETEX', 'k', 'EX', 'x'], $NUMBER], [['GETEX', 'none', 'EX', 'x'], 'nil'], [['GETEX', 'none', 'EX', 0], 'nil'], [['GETEX', 'none', 'EX', 10], 'nil'],
	[['GETEX', 'none', 'EXAT', 1], 'nil'], [['EXISTS', 'none'], ':0'], [['GETEX', 'k', 'EX', 1000], '"pv"'], [['GETEX', 'k', 'PX', 1000_000], '"pv"'],
	[['GETEX', 'k', 'PERSIST'], '"pv"'], [['GETEX', 'k', 'persist'], '"pv"'], [['GETEX', 'none', 'PERSIST'], 'nil'], [['GETEX', 'k', 'EXAT', $FUTURE], '"pv"'],
	[['GETEX', 'k', 'PXAT', $FUTURE . '000'], '"pv"'], [['GETEX', 'k', 'EXAT', 1], '"pv"'], [['EXISTS', 'k'], ':0'], [['SET', 'k', ''], 'OK'],
	[['GETEX', 'k', 'PX', 100_000], '""'], [['GET', 'k'], '""'], [['GETEX', 'k', 'PXAT', 1], '""'], [['GET', 'k'], 'nil'],
	[['FLUSHALL'], 'OK'],
);

# deadlines stay, go and pass: [commands, is it gone in the end]
my @deadline = (
	[[['SET', 'k', 1, 'PX', 1000]], 1], [[['SETEX', 'k', 1, 1]], 1], [[['PSETEX', 'k', 1000, 1]], 1], [[['SET', 'k', 1], ['GETEX', 'k', 'PX', 1000]], 1],
	[[['PSETEX', 'k', 1000, 1], ['SET', 'k', 2]], 0], [[['PSETEX', 'k', 1000, 1], ['SET', 'k', 2, 'KEEPTTL']], 1], [[['PSETEX', 'k', 1000, 1], ['GETSET', 'k', 2]], 0],
	[[['PSETEX', 'k', 1000, 1], ['GETEX', 'k', 'PERSIST']], 0], [[['PSETEX', 'k', 1000, 1], ['GETEX', 'k']], 1], [[['PSETEX', 'k', 1000, 1], ['SET', 'k', 2, 'PX', 100_000]], 0],
	[[['PSETEX', 'k', 1000, 1], ['APPEND', 'k', 2]], 1], [[['PSETEX', 'k', 1000, 1], ['INCR', 'k']], 1], [[['PSETEX', 'k', 1000, 1], ['DECRBY', 'k', 2]], 1],
	[[['PSETEX', 'k', 1000, 1], ['MSET', 'k', 2]], 0], [[['PSETEX', 'k', 1000, 1], ['SETRANGE', 'k', 1, 2]], 1], [[['PSETEX', 'k', 1000, 1], ['INCRBYFLOAT', 'k', 2]], 1], [[['PSETEX', 'k', 1000, 1], ['SET', 'k', 2, 'XX', 'KEEPTTL', 'GET']], 1],
	[[['PSETEX', 'k', 1000, 1], ['SET', 'k', 2, 'XX']], 0], [[['PSETEX', 'k', 1000, 1], ['SETNX', 'k', 2]], 1],
);

my $DIGEST_HELLO = '9555e8555c62dcfd';		# XXH3 of "hello"

# of Valkey and of Redis after 7.0
my @conditional = (
	[['FLUSHALL'], 'OK'],
	[['SET', 'k', 'v', 'IFEQ', 'v'], 'nil'], [['EXISTS', 'k'], ':0'], [['SET', 'k', 'v', 'IFNE', 'x'], 'OK'], [['SET', 'k', 'w', 'IFEQ', 'x'], 'nil'], [['GET', 'k'], '"v"'],
	[['SET', 'k', 'w', 'ifeq', 'v'], 'OK'], [['GET', 'k'], '"w"'], [['SET', 'k', 'x', 'IFNE', 'w'], 'nil'], [['SET', 'k', 'x', 'IFNE', 'y'], 'OK'],
	[['SET', 'k', 'y', 'IFEQ', 'x', 'GET'], '"x"'], [['SET', 'k', 'z', 'IFEQ', 'x', 'GET'], '"y"'], [['GET', 'k'], '"y"'], [['SET', 'none', 'z', 'IFEQ', 'x', 'GET'], 'nil'],
	[['EXISTS', 'none'], ':0'], [['SET', 'none', 'z', 'GET', 'IFNE', 'x'], 'nil'], [['GETDEL', 'none'], '"z"'],
	(map { my $c = $_; (map { [['SET', 'k', 'v', $c, '0' x 16, $_], $SYNTAX], [['SET', 'k', 'v', $_, $c, '0' x 16], $SYNTAX] } 'NX', 'XX'), [['SET', 'k', 'v', $c], $SYNTAX] } qw(IFEQ IFNE IFDEQ IFDNE)),
	[['SET', 'k', 'v', 'IFEQ', 'y', 'IFEQ', 'y'], $SYNTAX], [['SET', 'k', 'v', 'IFEQ', 'y', 'IFVERSION', 1], $SYNTAX], [['SET', 'k', 'v', 'IFVERSION', 0, 'NX'], $SYNTAX],
	[['SET', 'k', 'hello', 'IFEQ', 'y', 'PX', 100_000], 'OK'], [['SET', 'k', 'hello', 'IFEQ', 'hello', 'KEEPTTL'], 'OK'], [['SET', 'k', 'x', 'IFEQ', 'hello', 'EX', 0], expire_time('set')],
	[['DIGEST', 'k'], "\"$DIGEST_HELLO\""], [['DIGEST', 'none'], 'nil'], [['DIGEST'], arity('digest')], [['DIGEST', 'k', 'k'], arity('digest')],
	[['SET', 'k', 'x', 'IFDNE', $DIGEST_HELLO], 'nil'], [['SET', 'k', 'hello', 'IFDEQ', $DIGEST_HELLO], 'OK'], [['SET', 'k', 'hello', 'IFDEQ', uc $DIGEST_HELLO], 'OK'],
	[['SET', 'k', 'x', 'IFDEQ', '0' x 16], 'nil'], [['SET', 'k', 'x', 'IFDNE', '0' x 16], 'OK'], [['SET', 'none', 'x', 'IFDEQ', '0' x 16], 'nil'],
	[['SET', 'new', 'x', 'IFDNE', '0' x 16], 'OK'],
	(map { my $digest = $_; map { [[@$_, $digest], '-ERR must be exactly 16 hexadecimal characters'] } ['SET', 'k', 'v', 'IFDEQ'], ['SET', 'k', 'v', 'IFDNE'], ['DELEX', 'k', 'IFDEQ'], ['DELEX', 'k', 'IFDNE'] }
		'', '0' x 15, '0' x 17, 'g' x 16, '0x' . '0' x 14, ' ' x 16, "\0" x 16, '@' x 16, '`' x 16),
	[['SET', 'e', ''], 'OK'], [['DIGEST', 'e'], '"2d06800538d394c2"'], [['SET', 'e', '1', 'IFEQ', ''], 'OK'], [['SET', 'e', '2', 'IFEQ', ''], 'nil'], [['DELIFEQ', 'e', '1'], ':1'],
	# DELIFEQ, DELEX
	[['SET', 'k', 'v'], 'OK'], [['DELIFEQ', 'k', 'x'], ':0'], [['DELIFEQ', 'k', 'v'], ':1'], [['DELIFEQ', 'k', 'v'], ':0'], [['DELIFEQ', 'k'], arity('delifeq')],
	[['DELEX', 'k'], ':0'], [['SET', 'k', 'v'], 'OK'], [['DELEX', 'k'], ':1'], [['SET', 'k', 'hello'], 'OK'], [['DELEX', 'k', 'IFEQ', 'x'], ':0'], [['DELEX', 'k', 'IFNE', 'hello'], ':0'],
	[['DELEX', 'k', 'IFDEQ', '0' x 16], ':0'], [['DELEX', 'k', 'IFDNE', $DIGEST_HELLO], ':0'], [['DELEX', 'k', 'IFEQ', 'hello'], ':1'], [['DELEX', 'k', 'IFNE', 'hello'], ':0'],
	[['DELEX', 'k', 'IFDNE', '0' x 16], ':0'], [['SET', 'k', 'hello'], 'OK'], [['DELEX', 'k', 'ifdeq', $DIGEST_HELLO], ':1'], [['SET', 'k', 'hello'], 'OK'],
	[['DELEX', 'k', 'ifdne', '0' x 16], ':1'], [['SET', 'k', 'hello'], 'OK'], [['DELEX', 'k', 'ifne', 'x'], ':1'],
	[['DELEX', 'k', 'IFEQ'], $SYNTAX], [['DELEX', 'k', 'BOGUS', 'x'], $SYNTAX], [['DELEX', 'k', 'IFEQ', 'x', 'IFNE', 'y'], $SYNTAX], [['DELEX'], arity('delex')],
	[['DELEX', 'k', 'NX'], $SYNTAX],
	# versions
	[['SET', 'v', 'a', 'IFVERSION', 0], 'OK'], [['SET', 'v', 'b', 'IFVERSION', 0], qr/^\["a" :[1-9]\d*\]$/], [['GET', 'v'], '"a"'], [['SET', 'v', 'b', 'IFVERSION', 1], qr/^\["a" :[1-9]\d*\]$/],
	[['SET', 'none', 'b', 'IFVERSION', 1], '[nil :0]'], [['DELEX', 'none', 'IFVERSION', 1], '[nil :0]'], [['DELEX', 'none', 'IFVERSION', 0], ':0'], [['DELEX', 'v', 'IFVERSION', 0], qr/^\["a" :\d+\]$/],
	(map { my $n = $_; map { [[@$_, 'IFVERSION', $n], $NUMBER] } ['SET', 'v', 'b'], ['DELEX', 'v'] } 'x', '', '-1', '1.5', '01'), [['SET', 'v', 'b', 'IFVERSION'], $SYNTAX],
	[['SET', 'v', 'b', 'IFVERSION', 1, 'GET'], $SYNTAX], [['SET', 'v', 'b', 'GET', 'IFVERSION', 1], $SYNTAX],
	[['SET', 'v', 'c', 'VERSION'], qr/^:[1-9]\d*$/], [['SET', 'v', 'd', 'GET', 'VERSION'], qr/^\["c" :[1-9]\d*\]$/], [['SET', 'v', 'e', 'NX', 'VERSION'], 'nil'],
	[['SET', 'v', 'e', 'NX', 'GET', 'VERSION'], '["d" nil]'], [['SET', 'v', 'e', 'EXAT', 1, 'VERSION'], ':0'], [['EXISTS', 'v'], ':0'], [['SET', 'v', 'e', 'NX', 'GET', 'VERSION'], qr/^\[nil :[1-9]\d*\]$/],
	[['FLUSHALL'], 'OK'],
);

my $TOO_LONG = '-ERR string exceeds maximum allowed size (proto-max-bulk-len)';
my @range = (
	[['FLUSHALL'], 'OK'], [['SET', 'k', 'This is a string'], 'OK'],
	(map { my $name = $_; map { [[$name, 'k', $_->[0], $_->[1]], "\"$_->[2]\""] } [0, 3, 'This'], [-3, -1, 'ing'], [0, -1, 'This is a string'], [10, 100, 'string'], [5, 5, 'i'], [5, 4, ''],
		[-1, -3, ''], [-100, 3, 'This'], [-100, -90, 'T'], [100, 200, ''], [16, 16, ''], [15, 16, 'g'], [0, -100, 'T'], ['-9223372036854775808', '9223372036854775807', 'This is a string'],
		[3, '-9223372036854775808', ''] } qw(GETRANGE SUBSTR)),
	[['GETRANGE', 'none', 0, -1], '""'], [['SUBSTR', 'none', 5, 2], '""'], [['GETRANGE', 'k', 'x', 1], $NUMBER], [['GETRANGE', 'none', 0, '1.5'], $NUMBER], [['GETRANGE', 'k', 0], arity('getrange')],
	[['SUBSTR', 'k', 0], arity('substr')], [['SET', 'e', ''], 'OK'], [['GETRANGE', 'e', 0, -1], '""'], [['GETRANGE', 'e', -1, -1], '""'],
	[['SETRANGE', 'k', 10, 'STR'], ':16'], [['GET', 'k'], '"This is a STRing"'], [['SETRANGE', 'k', 16, '!!'], ':18'], [['SETRANGE', 'k', 17, '??'], ':19'], [['GET', 'k'], '"This is a STRing!??"'],
	[['SETRANGE', 'k', 0, 'that'], ':19'], [['SETRANGE', 'k', 21, 'x'], ':22'], [['GET', 'k'], '"that is a STRing!??\\x00\\x00x"'], [['SETRANGE', 'new', 3, 'ab'], ':5'], [['GET', 'new'], '"\\x00\\x00\\x00ab"'],
	[['SETRANGE', 'none', 3, ''], ':0'], [['EXISTS', 'none'], ':0'], [['SETRANGE', 'k', 100, ''], ':22'], [['STRLEN', 'k'], ':22'], [['SETRANGE', 'e', 0, 'x'], ':1'], [['GET', 'e'], '"x"'],
	[['SETRANGE', 'k', -1, 'x'], '-ERR offset is out of range'], [['SETRANGE', 'k', 'x', 'x'], $NUMBER], [['SETRANGE', 'k', 1], arity('setrange')], [['SETRANGE', 'k', 536870912, 'x'], $TOO_LONG],
	[['SETRANGE', 'none', '9223372036854775807', 'x'], $TOO_LONG], [['EXISTS', 'none'], ':0'], [['APPEND', 'k', ''], ':22'], [['APPEND', 'a', 'x'], ':1'], [['APPEND', 'a', "\0y"], ':3'], [['GET', 'a'], '"x\\x00y"'],
	[['APPEND', 'a'], arity('append')], [['STRLEN', 'a'], ':3'], [['STRLEN', 'a', 'b'], arity('strlen')],
	[['FLUSHALL'], 'OK'],
);

my $OVERFLOW = '-ERR increment or decrement would overflow';
my @count = (
	[['FLUSHALL'], 'OK'],
	[['INCRBYFLOAT', 'f', '10.5'], '"10.5"'], [['INCRBYFLOAT', 'f', '0.1'], '"10.6"'], [['INCRBYFLOAT', 'f', '-5'], '"5.6"'], [['SET', 'f', '5.0e3'], 'OK'], [['INCRBYFLOAT', 'f', '2.0e2'], '"5200"'],
	[['GET', 'f'], '"5200"'], [['INCR', 'f'], ':5201'], [['INCRBYFLOAT', 'f', '0.000000000000000001'], '"5201"'], [['SET', 'f', '3.0'], 'OK'], [['INCRBYFLOAT', 'f', '1.000000000000000005'], '"4.00000000000000001"'],
	[['SET', 'f', 0], 'OK'], [['INCRBYFLOAT', 'f', '-0.0000000000000000001'], '"0"'], [['INCRBYFLOAT', 'f', '-1.5'], '"-1.5"'], [['INCRBYFLOAT', 'f', '+1.5'], '"0"'], [['INCRBYFLOAT', 'f', '0x10'], '"16"'],
	[['INCRBYFLOAT', 'f', '.5'], '"16.5"'], [['INCRBYFLOAT', 'f', '5.'], '"21.5"'], [['INCRBYFLOAT', 'f', '1e2'], '"121.5"'], [['INCRBYFLOAT', 'f', '17179869184'], '"17179869305.5"'],
	(map { [['INCRBYFLOAT', 'f', $_], $FLOAT] } 'x', '', ' 1', '1 ', '1x', 'nan', '-nan', '1e10000', '1e-10000', "1\0", '1' x 6000, '--1', '1,5'),
	(map { [['INCRBYFLOAT', 'f', $_], '-ERR increment would produce NaN or Infinity'] } 'inf', '-inf', '+Infinity'),
	[['GET', 'f'], '"17179869305.5"'], (map { ([['SET', 's', $_], 'OK'], [['INCRBYFLOAT', 's', 1], $FLOAT]) } 'abc', '', ' 1', "1\0", '1 ', '1' x 5120), [['SET', 's', 'inf'], 'OK'],
	[['INCRBYFLOAT', 's', 1], '-ERR increment would produce NaN or Infinity'], [['INCRBYFLOAT', 's', 'x'], $FLOAT], [['SET', 's', '1e4900'], 'OK'], [['INCRBYFLOAT', 's', 0], qr/^"9999999\d{4893}"$|^"1\d{4900}"$/],
	[['SET', 's', '1.18973149535723176502e+4932'], 'OK'], [['INCRBYFLOAT', 's', '1.18973149535723176502e+4932'], '-ERR increment would produce NaN or Infinity'],
	[['INCRBYFLOAT', 's'], arity('incrbyfloat')], [['INCRBYFLOAT', 'g', '123456789.123456789123456789'], qr/^"123456789\.1234567891/],
	(map { ([['SET', 'n', $_], 'OK'], [['INCRBY', 'n', 0], ":$_"]) } 0, 1, -1, $MAX, '-9223372036854775808', 10, 99, 100, 12345),
	[['SET', 'n', 5], 'OK'], [['DECRBY', 'n', $MAX], ':-9223372036854775802'], [['DECRBY', 'n', 7], $OVERFLOW], [['DECRBY', 'n', '-9223372036854775808'], '-ERR decrement would overflow'],
	[['INCR'], arity('incr')], [['DECR', 'a', 'b'], arity('decr')], [['DECRBY', 'n'], arity('decrby')],
	[['FLUSHALL'], 'OK'],
);

my @several = (
	[['FLUSHALL'], 'OK'],
	[['MSET', 'a', 1, 'b', 2, 'a', 3], 'OK'], [['MGET', 'a', 'b', 'none', 'a'], '["3" "2" nil "3"]'], [['MSET', 'a', 1, 'b'], arity('mset')], [['MSET', 'a', 'only'], 'OK'], [['GET', 'a'], '"only"'],
	[['MSETNX', 'a', 1, 'c', 2], ':0'], [['EXISTS', 'c'], ':0'], [['MSETNX', 'c', 2, 'a', 1], ':0'], [['EXISTS', 'c'], ':0'], [['MSETNX', 'c', 1, 'd', 2, 'c', 3], ':1'], [['MGET', 'a', 'c', 'd'], '["only" "3" "2"]'],
	[['MSETNX', 'c', 1, 'd'], arity('msetnx')], [['MSETNX', 'c'], arity('msetnx')], [['MSETNX', 'x', ''], ':1'], [['GET', 'x'], '""'],
	[['MGET'], arity('mget')], [['FLUSHALL'], 'OK'],
);

my @msetex = (
	[['FLUSHALL'], 'OK'],
	[['MSETEX', 2, 'a', 1, 'b', 2], ':1'], [['MGET', 'a', 'b'], '["1" "2"]'], [['MSETEX', 1, 'a', 1, 'NX'], ':0'], [['MSETEX', 2, 'c', 1, 'a', 2, 'nx'], ':0'], [['EXISTS', 'c'], ':0'],
	[['MSETEX', 2, 'c', 1, 'd', 2, 'NX', 'EX', 100], ':1'], [['MSETEX', 2, 'c', 3, 'none', 2, 'XX'], ':0'], [['GET', 'c'], '"1"'], [['MSETEX', 2, 'c', 3, 'd', 4, 'PX', 100_000, 'XX'], ':1'],
	[['MGET', 'c', 'd'], '["3" "4"]'], [['MSETEX', 1, 'NX', 'XX'], ':1'], [['GET', 'NX'], '"XX"'], [['MSETEX', 2, 'c', 5, 'd', 6, 'KEEPTTL'], ':1'], [['MSETEX', 2, 'c', 3, 'd', 4, 'EXAT', 1], ':1'],
	[['EXISTS', 'c', 'd'], ':0'], [['MSETEX', 1, 'c', 1, 'EXAT', 1, 'XX'], ':0'], [['MSETEX', 1, 'c', 1, 'PXAT', 1, 'NX'], ':1'], [['EXISTS', 'c'], ':0'],
	(map { [['MSETEX', $_, 'a', 1], '-ERR invalid numkeys value'] } 0, -1, 'x', '', '2147483648', '1.0'), [['MSETEX', 'key1', 'val1', 'ex', 10], '-ERR invalid numkeys value'],
	[['MSETEX', 2, 'a', 1, 'b'], '-ERR wrong number of key-value pairs'], [['MSETEX', 2147483647, 'a', 1], '-ERR wrong number of key-value pairs'], [['MSETEX', 1, 'a', 1, 'BOGUS'], $SYNTAX],
	[['MSETEX', 1, 'a', 1, 'NX', 'XX'], $SYNTAX], [['MSETEX', 1, 'a', 1, 'EX', 10, 'PX', 10], $SYNTAX], [['MSETEX', 1, 'a', 1, 'EX', 10, 'KEEPTTL'], $SYNTAX], [['MSETEX', 1, 'a', 1, 'EX'], $SYNTAX],
	[['MSETEX', 1, 'a', 1, 'EX', 0], expire_time('msetex')], [['MSETEX', 1, 'a', 1, 'PX', 'x'], $NUMBER], [['MSETEX', 1, 'a', 1, 'PERSIST'], $SYNTAX], [['MSETEX', 1, 'a'], arity('msetex')],
	[['GET', 'a'], '"1"'], [['COMMAND', 'GETKEYS', 'MSETEX', 2, 'a', 1, 'b', 2, 'EX', 10, 'NX'], '["a" "b"]'],
	[['COMMAND', 'GETKEYS', 'MSETEX', 3, 'a', 1, 'b', 2, 'EX'], '-ERR Invalid number of arguments specified for command'], [['FLUSHALL'], 'OK'],
);

my @lcs2 = (
	[['MSET', 'a', 'ohmytext', 'b', 'mynewtext', 'e', ''], 'OK'], [['LCS', 'a', 'b'], '"mytext"'], [['LCS', 'a', 'b', 'LEN'], ':6'], [['LCS', 'a', 'b', 'len', 'LEN'], ':6'],
	[['LCS', 'a', 'b', 'IDX'], '["matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6]'], [['LCS', 'a', 'b', 'idx', 'WITHMATCHLEN'], '["matches" [[[:4 :7] [:5 :8] :4] [[:2 :3] [:0 :1] :2]] "len" :6]'],
	[['LCS', 'a', 'b', 'IDX', 'MINMATCHLEN', 4], '["matches" [[[:4 :7] [:5 :8]]] "len" :6]'], [['LCS', 'a', 'b', 'MINMATCHLEN', 4, 'WITHMATCHLEN', 'IDX'], '["matches" [[[:4 :7] [:5 :8] :4]] "len" :6]'],
	[['LCS', 'a', 'b', 'IDX', 'MINMATCHLEN', 5], '["matches" [] "len" :6]'], [['LCS', 'a', 'none', 'IDX'], '["matches" [] "len" :0]'], [['LCS', 'a', 'b', 'IDX', 'MINMATCHLEN', -3], '["matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6]'],
);
my @lcs = (
	[['MSET', 'a', 'ohmytext', 'b', 'mynewtext', 'e', ''], 'OK'], [['LCS', 'a', 'none'], '""'], [['LCS', 'none', 'b', 'LEN'], ':0'], [['LCS', 'none', 'none2'], '""'], [['LCS', 'a', 'e'], '""'], [['LCS', 'e', 'a', 'LEN'], ':0'],
	[['LCS', 'a', 'a'], '"ohmytext"'], [['LCS', 'a', 'b', 'WITHMATCHLEN'], '"mytext"'], [['LCS', 'a', 'b', 'MINMATCHLEN', 100], '"mytext"'], [['LCS', 'a', 'b', 'LEN', 'IDX'], '-ERR If you want both the length and indexes, please just use IDX.'],
	[['LCS', 'a', 'b', 'BOGUS'], $SYNTAX], [['LCS', 'a', 'b', 'MINMATCHLEN'], $SYNTAX], [['LCS', 'a', 'b', 'MINMATCHLEN', 'x'], $NUMBER], [['LCS', 'a'], arity('lcs')], [['FLUSHALL'], 'OK'],
);

# what the bounds of this store say
my @bounds = (
	(map { [$_, '-ERR key is too long (4097 bytes, maximum 4096)'] } map { [map { $_ eq 'K' ? 'k' x 4097 : $_ } @$_] } ['SET', 'K', 1], ['SET', 'K', 1, 'EX', 10], ['SETEX', 'K', 10, 1], ['GETEX', 'K', 'PERSIST'],
		['GETRANGE', 'K', 0, 1], ['SETRANGE', 'K', 0, 1], ['INCRBYFLOAT', 'K', 1], ['MSET', 'fine', 1, 'K', 1], ['MSETNX', 'fine', 1, 'K', 1], ['MSETEX', 2, 'fine', 1, 'K', 1], ['DELIFEQ', 'K', 1],
		['DELEX', 'K'], ['DIGEST', 'K'], ['SETBIT', 'K', 1, 1], ['GETBIT', 'K', 1], ['BITCOUNT', 'K'], ['BITPOS', 'K', 1], ['LCS', 'a', 'K'], ['DUMP', 'K'], ['RESTORE', 'K', 0, 'x']),
	[['EXISTS', 'fine'], ':0'],
);

sub wire { return Artery::SoakWire->connect($_[0] // $node->socket_path) // die "connect: $!" }

sub deadlines
{
	my ($name, $path) = @_;
	my $wire = wire($path);
	my @wrong;
	my $n = 0;
	my $start = now();
	# one wait for all: each case has a key of its own
	for my $case (@deadline)
	{
		my $key = 'deadline' . $n++;
		for my $command (@{$case->[0]})
		{
			my @words = map { $_ eq 'k' ? $key : $_ } @$command;
			my $reply = shown($wire->command(@words));
			push @wrong, "@words: $reply" if $reply =~ /^-/;
		}
		my $there = $wire->command('EXISTS', $key)->[1];
		push @wrong, "$key is gone too early" unless $there || now() - $start > 0.9;
	}
	my @pass = map { "deadline$_" } grep { $deadline[$_][1] } 0 .. $#deadline;
	ok(poll_until(sub { !$wire->command('EXISTS', @pass)->[1] }), "$name: they pass");
	for my $i (0 .. $#deadline)
	{
		my $gone = !$wire->command('EXISTS', "deadline$i")->[1];
		push @wrong, join('; ', map { "@$_" } @{$deadline[$i][0]}) . ($gone ? ': gone' : ': still there') if !!$gone != !!$deadline[$i][1];
	}
	is(join("\n", @wrong), '', "$name: deadlines stay and go");
	return;
}

subtest 'SET and its kin' => sub {
	run_table('RESP2', $node->socket_path, \@set);
	run_table('RESP3', $node->socket_path, \@set, proto => 3);
	deadlines('artery', $node->socket_path);
	with_redis(sub {
		my ($path) = @_;
		run_table('the same of redis-server', $path, \@set);
		deadlines('redis-server', $path);
	});
};

subtest 'conditional by value and version' => sub {
	run_table('RESP2', $node->socket_path, \@conditional);
	run_table('RESP3', $node->socket_path, \@conditional, proto => 3);
	my $wire = wire();
	my $version = $wire->command('SET', 'v', 'one', 'VERSION')->[1];
	is(shown($wire->command('SET', 'v', 'two', 'IFVERSION', $version - 8)), "[\"one\" :$version]", 'another version: value and version');
	my $next = $wire->command('SET', 'v', 'two', 'IFVERSION', $version, 'VERSION')->[1];
	cmp_ok($next, '>', $version, 'the right one: a higher one');
	is(shown($wire->command('SET', 'v', 'three', 'IFVERSION', $version)), "[\"two\" :$next]", '... which the old one no longer matches');
	is(shown($wire->command('DELEX', 'v', 'IFVERSION', $version)), "[\"two\" :$next]", 'DELEX of another version');
	is(shown($wire->command('DELEX', 'v', 'IFVERSION', $next)), ':1', 'DELEX of the right one');
	is(shown($wire->command('SET', 'v', 'four', 'IFVERSION', $next)), '[nil :0]', 'a deleted key has version 0');
	is(shown($wire->command('SET', 'v', 'four', 'IFVERSION', 0)), 'OK', '... and can be made by it');
	# the counter that many raise by version: none is lost
	my @wires = map { wire() } 1 .. 4;
	$wire->command('SET', 'counter', 0);
	my ($raised, $refused) = (0, 0);
	my @seen = map { [0, 1] } @wires;		# value and version that each has last seen
	for my $round (1 .. 200)
	{
		$wires[$_]->queue(Artery::SoakWire::encode('SET', 'counter', $seen[$_][0] + 1, 'IFVERSION', $seen[$_][1], 'VERSION'))->turn(0) for 0 .. 3;
		for my $i (0 .. 3)
		{
			my $reply = $wires[$i]->reply;
			if ($reply->[0] eq ':') { $raised++; $seen[$i] = [$seen[$i][0] + 1, $reply->[1]] }
			else { $refused++; $seen[$i] = [map { $_->[1] } @{$reply->[1]}] }
		}
	}
	is($wire->command('GET', 'counter')->[1], $raised, "four writers by version: $raised raised, $refused refused");
	cmp_ok($refused, '>', 0, '... they did meet');
	# long values
	my $long = join '', map { chr(33 + $_ % 90) x 1000 } 1 .. 3000;
	$wire->command('SET', 'long', $long);
	is(shown($wire->command('SET', 'long', 'x', 'IFEQ', $long . 'x')), 'nil', 'IFEQ of 3 MB: longer');
	my $other = $long;
	substr($other, -1) = "\0";
	is(shown($wire->command('SET', 'long', 'x', 'IFEQ', $other)), 'nil', '... other');
	my $digest = $wire->command('DIGEST', 'long')->[1];
	like($digest, qr/^[0-9a-f]{16}$/, 'DIGEST');
	is(shown($wire->command('DELEX', 'long', 'IFDNE', $digest)), ':0', 'IFDNE');
	my $reply = $wire->command('SET', 'long', $other, 'IFVERSION', 8);
	ok($reply->[1][0][1] eq $long, 'IFVERSION shows all of it');
	is(shown($wire->command('SET', 'long', $other, 'IFEQ', $long)), 'OK', 'IFEQ equal');
	is(shown($wire->command('SET', 'long', $long, 'IFDEQ', $digest)), 'nil', 'IFDEQ of what was');
	is(shown($wire->command('DELIFEQ', 'long', $other)), ':1', 'DELIFEQ');
};

# combinations -- SET with each condition, GET, VERSION, what there is to say of the deadline, for a key that is absent, there, or there with a
# deadline; the words in any order.  What is expected is reckoned here.  $own: with what Redis 7.0 does not have.
sub combinations
{
	my ($path, $own) = @_;
	my $wire = Artery::SoakWire->connect($path);
	my $digest = sub { $wire->command('SET', 'tmp', $_[0]); return $wire->command('DIGEST', 'tmp')->[1] };
	my $digest_of_old = $own ? $digest->('old') : '';
	my @conditions = ([], ['NX'], ['XX']);
	push @conditions, map({ (['IFEQ', $_], ['IFNE', $_], ['IFDEQ', $digest->($_)], ['IFDNE', uc $digest->($_)]) } 'old', 'no', ''), map { ['IFVERSION', $_] } 'its', 0, 8 if $own;
	my @wrong;
	my $count = 0;
	for my $condition (@conditions)
	{
		for my $get ([], ['GET'])
		{
			for my $version ([], $own ? ['VERSION'] : ())
			{
				for my $time ([], ['KEEPTTL'], ['EX', 100], ['PX', 100_000], ['EXAT', $FUTURE], ['PXAT', $FUTURE . '000'], ['EXAT', 1], ['PXAT', 1])
				{
					for my $state ('absent', 'there', 'with a deadline')
					{
						my $there = $state ne 'absent';
						my $deadline = $state eq 'with a deadline';
						$wire->command('DEL', 'k');
						$wire->command('SET', 'k', 'old', $deadline ? ('EX', 5000) : ()) if $there;
						my $its = $own ? $wire->command('GETV', 'k')->[1][1][1] : 0;
						my @groups = map { my $group = $_; [map { $_ eq 'its' ? $its : $_ } @$group] } $condition, $get, $version, $time;
						@groups = map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [rand, $_] } @groups;
						my @words = ('SET', 'k', 'new', map { @$_ } @groups);
						my $reply = shown($wire->command(@words));
						my ($name, $of) = @$condition;
						my $same = $there && ($name // '') =~ /EQ|NE/ && ($of eq 'old' || $own && lc $of eq $digest_of_old);
						my $holds = !defined $name ? 1 : $name eq 'NX' ? !$there : $name eq 'XX' ? $there : $name =~ /\AIFD?EQ\z/ ? $same : $name =~ /\AIFD?NE\z/ ? !$same : ($of eq 'its' ? $its : $of) == $its;
						my $refused = ($name // '') eq 'IFVERSION' && @$get;	# there is one reply only
						$holds = 0 if $refused;
						my $now = $holds && $own ? $wire->command('GETV', 'k')->[1][1][1] : 0;
						my $old = $there ? '"old"' : 'nil';
						my $want = $refused ? $SYNTAX : ($name // '') eq 'IFVERSION' && !$holds ? "[$old :$its]" : @$version && @$get ? "[$old " . ($holds ? ":$now]" : 'nil]')
							: @$version ? $holds ? ":$now" : 'nil' : @$get ? $old : $holds ? 'OK' : 'nil';
						my $gone = $holds && ($time->[1] // 0) eq 1;
						my $value = $gone || !$holds && !$there ? 'nil' : $holds ? '"new"' : '"old"';
						my $ttl = $value eq 'nil' ? qr/\A:-2\z/ : $holds ? !@$time ? qr/\A:-1\z/ : $time->[0] eq 'KEEPTTL' ? $deadline ? qr/\A:(?:5000|49\d\d)\z/ : qr/\A:-1\z/ : $time->[0] =~ /AT/ ? qr/\A:\d{7,}\z/ : qr/\A:(?:100|[1-9]\d)\z/
							: $deadline ? qr/\A:(?:5000|49\d\d)\z/ : qr/\A:-1\z/;
						my @after = map { shown($wire->command($_, 'k')) } 'GET', 'TTL';
						$count++;
						push @wrong, "@words ($state): $reply @after, expected $want $value $ttl" if $reply ne $want || $after[0] ne $value || $after[1] !~ $ttl;
					}
				}
			}
		}
	}
	return is(join("\n", @wrong[0 .. ($#wrong < 9 ? $#wrong : 9)]), '', "$count combinations");
}

subtest 'every combination of the options of SET' => sub {
	srand(test_seed());
	combinations($node->socket_path, 1);
	with_redis(sub { combinations($_[0], 0) });
};

subtest 'parts, numbers, several' => sub {
	for (['GETRANGE, SETRANGE', \@range, 1], ['numbers', \@count, 1], ['MSET, MSETNX', \@several, 1], ['LCS', \@lcs, 1], ['MSETEX', \@msetex], ['bounds', \@bounds])
	{
		my ($name, $table, $redis) = @$_;
		run_table("$name, RESP2", $node->socket_path, $table);
		run_table("$name, RESP3", $node->socket_path, $table, proto => 3);
		with_redis(sub { run_table("$name, redis-server", $_[0], $table) }) if $redis;
	}
};

subtest 'LCS' => sub {
	run_table('RESP2', $node->socket_path, \@lcs2);
	run_table('RESP3', $node->socket_path, [map { my ($command, $want) = @$_; $want =~ s/^\[(.*)\]$/{$1}/; [$command, $want] } @lcs2], proto => 3);
	test_seed();
	my $wire = wire();
	is(shown($wire->command('MSET', 'a', 'x' x 4097, 'b', 'x' x 4097)), 'OK', 'two values whose table is too large');
	is(shown($wire->command('LCS', 'a', 'b', 'LEN')), '-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len', '... are refused');
	with_redis(sub {
		my ($path) = @_;
		my $redis = wire($path);
		run_table('redis-server, RESP2', $path, \@lcs2);
		# pairs of random values: the same answers, matches and all
		my @wrong;
		for my $round (1 .. 40)
		{
			my @value = map { my $len = int rand((10, 100, 1500)[rand 3]); join '', map { chr 97 + rand(2 + $round % 20) } 1 .. $len } 1, 2;
			$_->command('MSET', 'a', $value[0], 'b', $value[1]) for $wire, $redis;
			for (['LEN'], ['IDX', 'WITHMATCHLEN'], ['IDX', 'MINMATCHLEN', 2], [])
			{
				my @got = (shown($wire->command('LCS', 'a', 'b', @$_)), shown($redis->command('LCS', 'a', 'b', @$_)));
				push @wrong, "@$_ of @value: $got[0], redis-server $got[1]" if $got[0] ne $got[1];
			}
		}
		is(scalar @wrong, 0, 'random values as with redis-server') or diag(substr $wrong[0], 0, 2000);
	});
};

subtest 'long values' => sub {
	my $wire = wire();
	my $long = join '', map { chr(33 + $_ % 90) x 997 } 1 .. 9000;
	my $len = length $long;
	$wire->command('SET', 'long', $long);
	for ([0, -1], [1, 5_000_000], [3_000_000, 3_000_010], [-100_000, -2], [$len - 1, $len + 5], [32_767, 65_537], [100, 20_000])
	{
		my ($from, $to) = @$_;
		my $end = $to < 0 ? $len + $to : $to;
		my $start = $from < 0 ? $len + $from : $from;
		ok($wire->command('GETRANGE', 'long', $from, $to)->[1] eq substr($long, $start, $end - $start + 1), "GETRANGE $from $to");
	}
	is(shown($wire->command('GETRANGE', 'long', $_->[0], $_->[1])), '""', "GETRANGE @$_: nothing") for [$len, $len + 10], [$len * 2, -1], [5, 4], [-5, -6];
	for ([0, 10], [31_000, 5_000], [5_000_000, 3_000_000], [$len - 5, 10], [$len + 100_000, 70_000], [32_768, 32_768])
	{
		my ($at, $count) = @$_;
		my $new = chr(200 + $at % 50) x $count;
		$long .= "\0" x ($at - length $long) if $at > length $long;
		substr($long, $at, $count) = $new;
		is($wire->command('SETRANGE', 'long', $at, $new)->[1], length $long, "SETRANGE $at: length");
		ok($wire->command('GET', 'long')->[1] eq $long, '... value');
	}
	is($wire->command('APPEND', 'long', 'x' x 100_000)->[1], length($long) + 100_000, 'APPEND');
	ok($wire->command('GETEX', 'long', 'PX', 100_000)->[1] eq $long . 'x' x 100_000, 'GETEX');
	ok($wire->command('GETEX', 'long', 'PERSIST')->[1] eq $long . 'x' x 100_000, 'GETEX PERSIST');
	is(shown($wire->command('SETRANGE', 'long', 17_000_000, 'x')), $TOO_LONG, 'SETRANGE behind max_value_size');
	is(shown($wire->command('APPEND', 'long', 'x' x 8_000_000)), $TOO_LONG, 'APPEND');
	is($wire->command('STRLEN', 'long')->[1], length($long) + 100_000, '... and nothing has changed');
	is(shown($wire->command('MSET', 'new1', 1, 'new2', 'x' x 17_000_000)), $TOO_LONG, 'MSET of a value that is too long');
	is(shown($wire->command('EXISTS', 'new1')), ':0', '... sets nothing');
	# a value that changes while a part of it is read
	my $other = wire();
	my @version = map { chr(97 + $_) x 3_000_000 } 0 .. 3;
	$wire->command('SET', 'moving', $version[0]);
	my $torn = 0;
	for my $round (1 .. 12)
	{
		$other->queue(Artery::SoakWire::encode('SET', 'moving', $version[$round % 4])) for 1 .. 2;
		$wire->queue(Artery::SoakWire::encode('GETRANGE', 'moving', 100, -100));
		$other->turn(0);
		my $got = $wire->reply->[1];
		$torn++ unless $got eq substr($got, 0, 1) x 2_999_801;
		$other->replies(2);
	}
	is($torn, 0, 'what a long part shows is one version');
};

subtest 'binary' => sub {
	my $wire = wire();
	my $bytes = join '', map { chr } 0 .. 255;
	my $wrong = 0;
	for my $key ("\0", "\r\n", $bytes, "\xff" x 100, '')
	{
		$wrong++ if shown($wire->command('SET', $key, $bytes, 'EX', 100)) ne 'OK' || $wire->command('GET', $key)->[1] ne $bytes;
		$wrong++ if $wire->command('GETRANGE', $key, 10, 20)->[1] ne substr $bytes, 10, 11;
		$wrong++ if $wire->command('APPEND', $key, $key)->[1] != 256 + length $key;
		$wrong++ if $wire->command('SET', $key, "\0", 'IFEQ', $bytes . $key, 'GET')->[1] ne $bytes . $key;
		$wrong++ if $wire->command('GETDEL', $key)->[1] ne "\0";
	}
	is($wrong, 0, 'binary keys and values');
};

subtest 'in a transaction' => sub {
	my $wire = wire();
	my $long = join '', map { chr(33 + $_ % 90) x 997 } 1 .. 2000;		# 2 MB: in portions also there
	$wire->command('MSET', 'a', 'ohmytext', 'b', 'mynewtext', 'long', $long);
	my @commands = (['SET', 'v', 'one', 'VERSION'], ['SET', 'v', 'two', 'IFVERSION', 5], ['SET', 'v', 'two', 'GET', 'VERSION'], ['DELEX', 'v', 'IFVERSION', 5], ['SETRANGE', 'v', 5, 'x'], ['GETRANGE', 'v', 1, -2],
		['SETBIT', 'v', 100, 1], ['BITCOUNT', 'v'], ['BITPOS', 'v', 0], ['LCS', 'a', 'b'], ['APPEND', 'long', '!'], ['GETRANGE', 'long', 1_000_000, 1_900_000], ['BITCOUNT', 'long'], ['DIGEST', 'long'],
		['DUMP', 'a'], ['MSETNX', 'a', 1, 'new', 2], ['MSET', 'new', 1, 'new2', 2], ['MSETEX', 1, 'new', 5, 'XX', 'EX', 100], ['BITOP', 'NOT', 'new', 'a'], ['INCRBYFLOAT', 'new2', '0.5'],
		['GETEX', 'new2', 'PERSIST'], ['BITFIELD', 'new2', 'SET', 'u8', 0, 65], ['DELIFEQ', 'new2', 'A.5'], ['SET', 'gone', 1, 'EXAT', 1], ['SETEX', 'v', 0, 1]);
	$wire->command('MULTI');
	is(shown($wire->command(@$_)), 'QUEUED', "$_->[0] is queued") for @commands;
	my @got = @{$wire->command('EXEC')->[1]};
	is(scalar @got, scalar @commands, 'all answer');
	my ($version) = map { $_->[1] } $got[0];
	cmp_ok($version, '>', 0, 'the version is known in the end');
	$long .= '!';
	my $ones = unpack '%32b*', $long;
	my @want = (":$version", "[\"one\" :$version]", "[\"one\" :$version]", "[\"two\" :$version]", ':6', '"wo\\x00\\x00"', ':0', ':21', qr/^:0$/, '"mytext"', ':' . length $long, undef, ":$ones", qr/^"[0-9a-f]{16}"$/,
		qr/^"\\x00\\x08ohmytext/, ':0', 'OK', ':1', ':8', '"2.5"', '"2.5"', '[:50]', ':1', 'OK', expire_time('setex'));
	for my $i (0 .. $#want)
	{
		next if !defined $want[$i];
		my $name = "@{$commands[$i]}[0 .. ($#{$commands[$i]} > 2 ? 2 : $#{$commands[$i]})]";
		ref $want[$i] ? like(shown($got[$i]), $want[$i], $name) : is(shown($got[$i]), $want[$i], $name);
	}
	ok($got[11][1] eq substr($long, 1_000_000, 900_001), 'GETRANGE of a long value');
	is(shown($wire->command('GETV', 'v'))  =~ /:$version\]$/ ? 1 : 0, 1, 'GETV tells the same version');
	is(shown($wire->command('EXISTS', 'new2', 'gone')), ':0', 'what is to be gone is');
};

# all of several keys change at one moment, whatever their number
subtest 'MSET at one moment' => sub {
	my @keys = map { "moment/$_" } 1 .. 50;
	my ($wrong, $rounds) = (0, 0);
	my @writers = map { wire() } 1 .. 2;
	my $reader = wire();
	$writers[0]->command('MSET', map { ($_, 0) } @keys);
	for my $round (1 .. 60)
	{
		for my $w (0, 1)
		{
			my @command = $round % 3 == 0 ? ('MSETEX', scalar @keys, (map { ($_, "$round/$w") } @keys), 'EX', 1000) : ('MSET', map { ($_, "$round/$w") } @keys);
			$writers[$w]->queue(Artery::SoakWire::encode(@command))->turn(0);
		}
		for (1 .. 3)
		{
			my %seen = map { $_->[1] => 1 } @{$reader->command('MGET', @keys)->[1]};
			$wrong++ if keys %seen != 1;
			$rounds++;
		}
		$_->reply for @writers;
	}
	is($wrong, 0, "$rounds answers, each of one writer");
	# of several that try MSETNX of the same keys one gets them all
	$wrong = 0;
	for my $round (1 .. 40)
	{
		my @set = map { "nx/$round/$_" } 1 .. 10;
		$writers[$_]->queue(Artery::SoakWire::encode('MSETNX', map { ($_, $round) } $_ ? @set : reverse @set)) for 0, 1;
		$writers[$_]->turn(0) for 0, 1;
		my $winners = 0;
		$winners += $_->reply->[1] for @writers;
		$wrong++ if $winners != 1;
	}
	is($wrong, 0, 'MSETNX: one of two');
};

subtest 'hits and misses' => sub {
	my $wire = wire();
	my $count = sub {
		my $info = $wire->info('stats');
		return ($info->{keyspace_hits}, $info->{keyspace_misses});
	};
	$wire->command('SET', 'h', 1);
	for ([['GET', 'h'], 1, 0], [['GET', 'none'], 0, 1], [['SET', 'h', 1], 0, 0], [['SET', 'h', 1, 'GET'], 1, 0], [['SET', 'h', 1, 'NX'], 0, 0], [['GETEX', 'none', 'EX', 10], 0, 1], [['GETEX', 'h', 'EX', 10], 1, 0],
		[['STRLEN', 'h'], 1, 0], [['GETRANGE', 'h', 0, 1], 1, 0], [['GETRANGE', 'none', 0, 1], 0, 1], [['INCR', 'h'], 0, 0], [['GETBIT', 'h', 1], 1, 0], [['BITCOUNT', 'none'], 0, 1], [['BITPOS', 'h', 1], 1, 0],
		[['DIGEST', 'h'], 1, 0], [['GETDEL', 'h'], 1, 0], [['GETDEL', 'h'], 0, 1], [['GETSET', 'h', 1], 0, 1], [['MGET', 'h', 'none', 'h'], 2, 1])
	{
		my ($command, @want) = @$_;
		my @before = $count->();
		$wire->command(@$command);
		my @after = $count->();
		is_deeply([$after[0] - $before[0], $after[1] - $before[1]], \@want, "@$command");
	}
};

done_testing;
