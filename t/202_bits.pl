# Goal: commands on bits answer as Redis does, every option, error and edge, and long values as short ones.
#
# Method: tables of commands with the exact reply expected, checked against redis-server, too; then random values and
# ranges of both kinds, each reply compared with what perl counts; then values of some MB while others are served.
use Artery::Test;
use Artery::Cluster;
use Artery::Table;
use Artery::SoakWire;
use Test::More;

my $node = Artery::Cluster->new('bits');
$node->init(workers => 2, memory_limit => '256MB', wal_buffers => '256MB', wal_segment_size => '64MB', max_value_size => '60MB', durability => 'none');
$node->start;

my $SYNTAX = '-ERR syntax error';
my $NUMBER = '-ERR value is not an integer or out of range';
my $OFFSET = '-ERR bit offset is not an integer or out of range';
my $BIT    = '-ERR bit is not an integer or out of range';
sub arity { return "-ERR wrong number of arguments for '$_[0]' command" }

my @table = (
	[['FLUSHALL'], 'OK'],
	# SETBIT, GETBIT
	[['SETBIT', 'b', 7, 1], ':0'], [['GET', 'b'], '"\\x01"'], [['SETBIT', 'b', 7, 0], ':1'], [['GET', 'b'], '"\\x00"'], [['SETBIT', 'b', 0, 1], ':0'], [['SETBIT', 'b', 0, 1], ':1'],
	[['GET', 'b'], '"\\x80"'], [['SETBIT', 'b', 23, 1], ':0'], [['GET', 'b'], '"\\x80\\x00\\x01"'], [['SETBIT', 'b', 30, 0], ':0'], [['GET', 'b'], '"\\x80\\x00\\x01\\x00"'],
	[['GETBIT', 'b', 0], ':1'], [['GETBIT', 'b', 1], ':0'], [['GETBIT', 'b', 23], ':1'], [['GETBIT', 'b', 31], ':0'], [['GETBIT', 'b', 32], ':0'], [['GETBIT', 'b', 4294967295], ':0'],
	[['GETBIT', 'none', 100], ':0'], [['SETBIT', 'new', 9, 0], ':0'], [['GET', 'new'], '"\\x00\\x00"'], [['SETBIT', 'e', 0, 0], ':0'], [['STRLEN', 'e'], ':1'],
	(map { ([['SETBIT', 'b', $_, 1], $OFFSET], [['GETBIT', 'b', $_], $OFFSET]) } -1, 4294967296, '9223372036854775808', 'x', '', '1.0', ' 1', '01', '+1'),
	(map { [['SETBIT', 'b', 1, $_], $BIT] } 2, -1, 'x', '', '01', '1.0', '4294967297'), [['SETBIT', 'b', 'x', 'x'], $OFFSET],
	[['SETBIT', 'b', 1], arity('setbit')], [['SETBIT', 'b', 1, 1, 1], arity('setbit')], [['GETBIT', 'b'], arity('getbit')], [['GETBIT', 'b', 1, 1], arity('getbit')],
	# BITCOUNT
	[['SET', 'k', 'foobar'], 'OK'], [['BITCOUNT', 'k'], ':26'], [['BITCOUNT', 'k', 0, 0], ':4'], [['BITCOUNT', 'k', 1, 1], ':6'], [['BITCOUNT', 'k', 0, -1], ':26'], [['BITCOUNT', 'k', 0, -5], ':10'],
	[['BITCOUNT', 'k', 1, 1, 'BYTE'], ':6'], [['BITCOUNT', 'k', 5, 30, 'BIT'], ':17'], [['BITCOUNT', 'k', 5, 30, 'bit'], ':17'], [['BITCOUNT', 'k', 0, -1, 'BIT'], ':26'],
	[['BITCOUNT', 'k', 3, 2], ':0'], [['BITCOUNT', 'k', -1, -2], ':0'], [['BITCOUNT', 'k', -2, -1], ':7'], [['BITCOUNT', 'k', -100, -90], ':4'], [['BITCOUNT', 'k', 100, 200], ':0'],
	[['BITCOUNT', 'k', -100, 100], ':26'], [['BITCOUNT', 'k', 9, 9, 'BIT'], ':1'], [['BITCOUNT', 'k', 8, 8, 'BIT'], ':0'], [['BITCOUNT', 'k', 9, 10, 'BIT'], ':2'], [['BITCOUNT', 'k', -8, -1, 'BIT'], ':4'],
	[['BITCOUNT', 'k', 47, 100, 'BIT'], ':0'], [['BITCOUNT', 'k', 48, 100, 'BIT'], ':0'],
	[['BITCOUNT', 'k', 0], $SYNTAX], [['BITCOUNT', 'k', 0, 1, 'BOGUS'], $SYNTAX], [['BITCOUNT', 'k', 0, 1, 'BIT', 'x'], $SYNTAX], [['BITCOUNT', 'k', 'x', 1], $NUMBER], [['BITCOUNT', 'k', 0, 'x'], $NUMBER],
	[['BITCOUNT', 'k', 'x', 1, 'BOGUS'], $NUMBER], [['BITCOUNT', 'k', -1, -2, 'BOGUS'], ':0'], [['BITCOUNT', 'none'], ':0'], [['BITCOUNT', 'none', 0], ':0'], [['BITCOUNT', 'none', 'x', 'y'], ':0'],
	[['BITCOUNT', 'none', 0, 1, 'BOGUS'], ':0'], [['BITCOUNT'], arity('bitcount')], [['SET', 'empty', ''], 'OK'], [['BITCOUNT', 'empty'], ':0'], [['BITCOUNT', 'empty', 0, -1], ':0'],
	[['BITCOUNT', 'empty', 0, -1, 'BIT'], ':0'], [['BITCOUNT', 'empty', 'x', -1], $NUMBER], [['BITCOUNT', 'k', '-9223372036854775808', '9223372036854775807'], ':26'],
	# BITPOS
	[['SET', 'p', "\xff\xf0\x00"], 'OK'], [['BITPOS', 'p', 0], ':12'], [['BITPOS', 'p', 1], ':0'], [['BITPOS', 'p', 1, 2], ':-1'], [['BITPOS', 'p', 0, 2], ':16'], [['BITPOS', 'p', 1, 1], ':8'],
	[['BITPOS', 'p', 1, 0, -1], ':0'], [['BITPOS', 'p', 1, 7, 15, 'BIT'], ':7'], [['BITPOS', 'p', 1, 12, 15, 'BIT'], ':-1'], [['BITPOS', 'p', 0, 0, 11, 'BIT'], ':-1'], [['BITPOS', 'p', 0, 0, 12, 'BIT'], ':12'],
	[['BITPOS', 'p', 0, 13, 13, 'bit'], ':13'], [['BITPOS', 'p', 1, -3, -2, 'BYTE'], ':0'], [['BITPOS', 'p', 1, -24, -1, 'BIT'], ':0'], [['BITPOS', 'p', 1, -12, -1, 'BIT'], ':-1'], [['BITPOS', 'p', 1, 2, 1], ':-1'],
	[['BITPOS', 'p', 0, 2, 1], ':-1'], [['BITPOS', 'p', 0, 3], ':-1'], [['BITPOS', 'p', 0, 100], ':-1'], [['BITPOS', 'p', 0, -100], ':12'],
	[['SET', 'ones', "\xff\xff\xff"], 'OK'], [['BITPOS', 'ones', 0], ':24'], [['BITPOS', 'ones', 0, 0], ':24'], [['BITPOS', 'ones', 0, 0, -1], ':-1'], [['BITPOS', 'ones', 0, 0, -1, 'BIT'], ':-1'],
	[['BITPOS', 'ones', 0, 3], ':-1'], [['BITPOS', 'ones', 0, 2], ':24'], [['SET', 'zeros', "\0\0\0"], 'OK'], [['BITPOS', 'zeros', 1], ':-1'], [['BITPOS', 'zeros', 0, 1], ':8'],
	[['BITPOS', 'p', 1, -100, -200], ':0'], [['BITPOS', 'p', 0, -100, -200, 'BIT'], ':-1'], [['BITPOS', 'p', 1, -1, -2], ':-1'],
	[['BITPOS', 'none', 0], ':0'], [['BITPOS', 'none', 1], ':-1'], [['BITPOS', 'none', 0, 5, 6], ':0'], [['BITPOS', 'none', 1, 'x'], ':-1'], [['BITPOS', 'none', 0, 0, 0, 'BOGUS'], ':0'],
	[['BITPOS', 'empty', 0], ':-1'], [['BITPOS', 'empty', 1], ':-1'], [['BITPOS', 'empty', 0, 0], ':-1'], [['BITPOS', 'empty', 0, 0, -1], ':-1'],
	[['BITPOS', 'p', 2], '-ERR The bit argument must be 1 or 0.'], [['BITPOS', 'none', 2], '-ERR The bit argument must be 1 or 0.'], [['BITPOS', 'p', 'x'], $NUMBER], [['BITPOS', 'p'], arity('bitpos')],
	[['BITPOS', 'p', 1, 'x'], $NUMBER], [['BITPOS', 'p', 1, 0, 'x'], $NUMBER], [['BITPOS', 'p', 1, 0, -1, 'BOGUS'], $SYNTAX], [['BITPOS', 'p', 1, 0, -1, 'BIT', 1], $SYNTAX],
	[['BITPOS', 'p', 1, 'x', -1, 'BOGUS'], $NUMBER], [['BITPOS', 'p', 1, 0, 'x', 'BOGUS'], $SYNTAX], [['BITPOS', 'p', 1, '-9223372036854775808', '9223372036854775807'], ':0'],
	[['FLUSHALL'], 'OK'],
);

my $TYPE = '-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.';
my $TOO_LONG = '-ERR string exceeds maximum allowed size (proto-max-bulk-len)';
my @bitop = (
	[['MSET', 'a', "\xff\x0f\x33", 'b', "\x55\xaa", 'e', ''], 'OK'],
	[['BITOP', 'AND', 'd', 'a', 'b'], ':3'], [['GET', 'd'], '"U\\x0a\\x00"'], [['BITOP', 'OR', 'd', 'a', 'b'], ':3'], [['GET', 'd'], '"\\xff\\xaf3"'], [['BITOP', 'xor', 'd', 'a', 'b'], ':3'], [['GET', 'd'], '"\\xaa\\xa53"'],
	[['BITOP', 'NOT', 'd', 'a'], ':3'], [['GET', 'd'], '"\\x00\\xf0\\xcc"'], [['BITOP', 'AND', 'd', 'a'], ':3'], [['GET', 'd'], '"\\xff\\x0f3"'], [['BITOP', 'AND', 'd', 'a', 'none'], ':3'], [['GET', 'd'], '"\\x00\\x00\\x00"'],
	[['BITOP', 'OR', 'd', 'none', 'b', 'none'], ':2'], [['GET', 'd'], '"U\\xaa"'], [['BITOP', 'AND', 'd', 'none', 'a'], ':3'], [['GET', 'd'], '"\\x00\\x00\\x00"'], [['BITOP', 'XOR', 'a', 'a', 'a'], ':3'], [['GET', 'a'], '"\\x00\\x00\\x00"'],
	[['BITOP', 'NOT', 'b', 'b'], ':2'], [['GET', 'b'], '"\\xaaU"'], [['BITOP', 'OR', 'd', 'none', 'e'], ':0'], [['EXISTS', 'd'], ':0'], [['BITOP', 'NOT', 'd', 'none'], ':0'], [['BITOP', 'OR', 'd', 'a', 'b', 'e', 'b', 'a'], ':3'],
	[['BITOP', 'NOT', 'd', 'a', 'b'], '-ERR BITOP NOT must be called with a single source key.'], [['BITOP', 'BOGUS', 'd', 'a'], $SYNTAX], [['BITOP', 'AND', 'd'], arity('bitop')], [['FLUSHALL'], 'OK'],
);

my @bitfield = (
	[['BITFIELD', 'f', 'INCRBY', 'i5', 100, 1, 'GET', 'u4', 0], '[:1 :0]'], [['STRLEN', 'f'], ':14'], [['BITFIELD', 'f'], '[]'], [['BITFIELD', 'none', 'GET', 'u8', 0], '[:0]'], [['EXISTS', 'none'], ':0'],
	(map { [['BITFIELD', 'g', 'INCRBY', 'u2', 100, 1, 'OVERFLOW', 'SAT', 'INCRBY', 'u2', 102, 1], $_] } '[:1 :1]', '[:2 :2]', '[:3 :3]', '[:0 :3]'), [['BITFIELD', 'g', 'OVERFLOW', 'FAIL', 'INCRBY', 'u2', 102, 1], '[nil]'],
	[['SET', 'h', 'abcdefgh'], 'OK'], [['BITFIELD', 'h', 'GET', 'u8', 0, 'GET', 'i8', 8, 'GET', 'u8', '#1', 'GET', 'i64', 0, 'GET', 'u63', 1, 'GET', 'u3', 6, 'GET', 'i3', 60, 'GET', 'u8', 60, 'GET', 'u8', 64], '[:97 :98 :98 :7017280452245743464 :7017280452245743464 :2 :-4 :128 :0]'],
	[['BITFIELD', 'h', 'SET', 'u8', 0, 255, 'GET', 'i8', 0, 'SET', 'i8', 0, -128, 'GET', 'u8', 0], '[:97 :-1 :-1 :128]'], [['BITFIELD', 'h', 'set', 'i64', 0, '-9223372036854775808', 'incrby', 'i64', 0, -1], '[:-9195678206288042136 :9223372036854775807]'],
	[['BITFIELD', 'h', 'OVERFLOW', 'SAT', 'INCRBY', 'i64', 0, 1, 'OVERFLOW', 'FAIL', 'INCRBY', 'i64', 0, 1, 'OVERFLOW', 'WRAP', 'INCRBY', 'i64', 0, 1], '[:9223372036854775807 nil :-9223372036854775808]'],
	[['BITFIELD', 'h', 'OVERFLOW', 'SAT', 'SET', 'u8', 0, 300, 'SET', 'u8', 0, -1, 'SET', 'i8', 0, 200, 'SET', 'i8', 0, -200, 'GET', 'i8', 0], '[:128 :255 :-1 :127 :-128]'],
	[['BITFIELD', 'h', 'OVERFLOW', 'FAIL', 'SET', 'u8', 0, 300, 'SET', 'u8', 0, -1, 'SET', 'i8', 0, 200, 'SET', 'i8', 0, 7, 'GET', 'i8', 0], '[nil nil nil :-128 :7]'],
	[['BITFIELD', 'h', 'SET', 'u8', 0, 300, 'GET', 'u8', 0, 'SET', 'u8', 0, -1, 'GET', 'u8', 0, 'SET', 'i8', 0, 200, 'GET', 'i8', 0, 'INCRBY', 'i8', 0, -100], '[:7 :44 :44 :255 :-1 :-56 :100]'],
	[['BITFIELD', 'h', 'INCRBY', 'u63', 1, '9223372036854775807', 'OVERFLOW', 'SAT', 'INCRBY', 'u63', 1, '9223372036854775807', 'INCRBY', 'u63', 1, '-9223372036854775808'], qr/^\[:\d+ :9223372036854775807 :0\]$/],
	[['BITFIELD', 'new', 'OVERFLOW', 'FAIL', 'INCRBY', 'u1', 20, 5], '[nil]'], [['STRLEN', 'new'], ':3'], [['BITFIELD', 'new2', 'SET', 'i4', '#3', -1, 'GET', 'u16', 0], '[:0 :15]'],
	[['SET', 'abc', 'abc'], 'OK'], [['BITFIELD', 'abc', 'SET', 'u8', '#1', 120, 'SET', 'u8', '#4', 121, 'GET', 'u8', '#4', 'GET', 'u8', 0], '[:98 :0 :121 :97]'], [['GET', 'abc'], '"axc\\x00y"'],
	(map { [['BITFIELD', 'f', 'GET', $_, 0], $TYPE] } 'u64', 'i65', 'u0', 'i0', 'x8', 'i', '', 'u-1', 'i 1', 'I8', 'u8x'), (map { [['BITFIELD', 'f', 'GET', 'u8', $_], $OFFSET] } -1, 'x', '', '#', '#x', '#-1', 4294967296, '#536870912'),
	[['BITFIELD', 'f', 'GET', 'u8', '#536870911'], '[:0]'], [['BITFIELD', 'f', 'SET', 'u8', 0, 'x'], $NUMBER], [['BITFIELD', 'f', 'INCRBY', 'u8', 0, '9223372036854775808'], $NUMBER], [['BITFIELD', 'f', 'OVERFLOW', 'x'], '-ERR Invalid OVERFLOW type specified'],
	[['BITFIELD', 'f', 'GET', 'u8'], $SYNTAX], [['BITFIELD', 'f', 'SET', 'u8', 0], $SYNTAX], [['BITFIELD', 'f', 'BOGUS'], $SYNTAX], [['BITFIELD', 'f', 'OVERFLOW'], $SYNTAX], [['BITFIELD'], arity('bitfield')],
	[['BITFIELD_RO', 'f', 'GET', 'i5', 100], '[:1]'], [['BITFIELD_RO', 'f', 'SET', 'u8', 0, 1], '-ERR BITFIELD_RO only supports the GET subcommand'], [['BITFIELD_RO', 'f'], '[]'], [['BITFIELD_RO', 'f', 'GET', 'u8', 0, 'INCRBY', 'u8', 0, 1], '-ERR BITFIELD_RO only supports the GET subcommand'],
	[['BITFIELD_RO', 'none', 'GET', 'u8', 0], '[:0]'], [['BITFIELD_RO'], arity('bitfield_ro')], [['FLUSHALL'], 'OK'],
);

sub wire { return Artery::SoakWire->connect($_[0] // $node->socket_path) // die "connect: $!" }

# bits as a string of 0 and 1, and what a range of them is
sub range
{
	my ($from, $to, $len) = @_;
	return () if $len == 0 || ($from < 0 && $to < 0 && $from > $to);
	$from += $len if $from < 0;
	$to += $len if $to < 0;
	$from = 0 if $from < 0;
	$to = 0 if $to < 0;
	$to = $len - 1 if $to >= $len;
	return $from <= $to ? ($from, $to) : ();
}

sub counted
{
	my ($bits, $from, $to, $unit) = @_;
	my $size = $unit eq 'BIT' ? 1 : 8;
	my ($first, $last) = range($from, $to, length($bits) / $size) or return 0;
	return substr($bits, $first * $size, ($last - $first + 1) * $size) =~ tr/1//;
}

sub position
{
	my ($bits, $bit, $from, $to, $unit) = @_;
	my $size = $unit eq 'BIT' ? 1 : 8;
	my $len = length($bits) / $size;
	# other than BITCOUNT: -1 -2 is not empty if both lie before the value
	$from = $from + $len < 0 ? 0 : $from + $len if $from < 0;
	my ($first, $last) = range($from, $to, $len) or return -1;
	my $at = index substr($bits, $first * $size, ($last - $first + 1) * $size), $bit;
	return $at < 0 ? -1 : $at + $first * $size;
}

subtest 'replies' => sub {
	run_table('RESP2', $node->socket_path, [@table, @bitop, @bitfield]);
	run_table('RESP3', $node->socket_path, [@table, @bitop, @bitfield], proto => 3);
	my @all = (@table, @bitop, @bitfield);
	with_redis(sub { run_table('the same of redis-server', $_[0], \@all) });
};

subtest 'random values and ranges' => sub {
	test_seed();
	my $wire = wire();
	my @wrong;
	for my $round (1 .. 60)
	{
		my $len = (1, 7, 8, 9, 40, 200, 5000, 40_000)[rand 8];
		my $density = (0.5, 0.001, 0.999)[rand 3];
		my $bits = join '', map { rand() < $density ? 1 : 0 } 1 .. $len * 8;
		$wire->command('SET', 'r', pack 'B*', $bits);
		my $all = $bits =~ tr/1//;
		my $got = $wire->command('BITCOUNT', 'r')->[1];
		push @wrong, "BITCOUNT of $len bytes: $got, not $all" if $got != $all;
		for (1 .. 30)
		{
			my $unit = rand() < 0.5 ? 'BIT' : 'BYTE';
			my $size = $unit eq 'BIT' ? $len * 8 : $len;
			my ($from, $to) = map { int(rand(2.4 * $size) - 1.2 * $size) } 1, 2;
			my $bit = int rand 2;
			$got = $wire->command('BITCOUNT', 'r', $from, $to, $unit)->[1];
			my $want = counted($bits, $from, $to, $unit);
			push @wrong, "BITCOUNT of $len bytes, $from $to $unit: $got, not $want" if $got != $want;
			$got = $wire->command('BITPOS', 'r', $bit, $from, $to, $unit)->[1];
			$want = position($bits, $bit, $from, $to, $unit);
			push @wrong, "BITPOS $bit of $len bytes, $from $to $unit: $got, not $want" if $got != $want;
		}
		my ($at, $bit) = (int rand $len * 8, int rand 2);
		$got = $wire->command('SETBIT', 'r', $at, $bit)->[1];
		push @wrong, "SETBIT $at: $got" if $got != substr $bits, $at, 1;
		substr($bits, $at, 1) = $bit;
		push @wrong, "SETBIT $at of $len bytes: another value" if $wire->command('GET', 'r')->[1] ne pack 'B*', $bits;
	}
	is(join("\n", @wrong[0 .. ($#wrong > 9 ? 9 : $#wrong)]), '', 'all as counted');
};

subtest 'BITFIELD at random, against redis-server' => sub {
	test_seed();
	my $wire = wire();
	with_redis(sub {
		my $redis = wire($_[0]);
		my @wrong;
		for my $round (1 .. 400)
		{
			my @words = ('BITFIELD', 'field');
			for (1 .. 1 + rand 5)
			{
				push @words, 'OVERFLOW', ('WRAP', 'SAT', 'FAIL')[rand 3] if rand() < 0.4;
				my $signed = rand() < 0.5;
				my $bits = 1 + int rand($signed ? 64 : 63);
				my @field = (($signed ? 'i' : 'u') . $bits, rand() < 0.3 ? '#' . int rand 5 : int rand 300);
				my $number = rand() < 0.3 ? ('9223372036854775807', '-9223372036854775808', -1)[rand 3] : int(rand(1 << rand 40)) * (rand() < 0.5 ? -1 : 1);
				my $verb = rand() < 0.5 ? 'SET' : 'INCRBY';
				# redis-server's own sums overflow when it looks whether a larger one fits
				$number = substr $number, 0, 18 if $verb eq 'SET';
				push @words, rand() < 0.3 ? ('GET', @field) : ($verb, @field, $number);
			}
			my @got = (shown($wire->command(@words)), shown($redis->command(@words)));
			push @got, map { binary($_->command('GET', 'field')->[1] // '') } $wire, $redis;
			push @wrong, "@words: $got[0] $got[2], redis-server $got[1] $got[3]" if $got[0] ne $got[1] || $got[2] ne $got[3];
		}
		is(join("\n", @wrong[0 .. ($#wrong > 4 ? 4 : $#wrong)]), '', 'replies and values');
	});
};

subtest 'long values' => sub {
	my $wire = wire();
	my $zeros = "\0" x 40_000_000;
	is(shown($wire->command('SET', 'long', $zeros . "\x10")), 'OK', '40 MB of zeros and a bit');
	is(shown($wire->command('BITCOUNT', 'long')), ':1', 'BITCOUNT');
	is(shown($wire->command('BITPOS', 'long', 1)), ':320000003', 'BITPOS');
	is(shown($wire->command('BITPOS', 'long', 1, 1, -2)), ':-1', 'BITPOS, without the last byte');
	is(shown($wire->command('SETBIT', 'long', 320_000_007, 1)), ':0', 'SETBIT at the end');
	is(shown($wire->command('SETBIT', 'long', 160_000_000, 1)), ':0', 'SETBIT in the middle');
	is(shown($wire->command('BITCOUNT', 'long')), ':3', 'BITCOUNT');
	is(shown($wire->command('BITCOUNT', 'long', 19_999_999, 20_000_001)), ':1', 'BITCOUNT of three bytes');
	is(shown($wire->command('GETBIT', 'long', 320_000_003)), ':1', 'GETBIT');
	is(shown($wire->command('SETBIT', 'long', 8 * 64 * 1024 * 1024, 1)), '-ERR string exceeds maximum allowed size (proto-max-bulk-len)', 'SETBIT behind max_value_size');
	is(shown($wire->command('SETBIT', 'nothing', 4294967295, 1)), '-ERR string exceeds maximum allowed size (proto-max-bulk-len)', '... of a key that is not there');
	is(shown($wire->command('EXISTS', 'nothing')), ':0', '... makes nothing');
	my ($x, $y) = map { my $c = $_; join '', map { chr(($_ * $c) % 256) x 4999 } 1 .. 1200 } 7, 11;		# 6 MB each
	$wire->command('SET', 'x', $x);
	$wire->command('SET', 'y', substr $y, 0, -100_000);
	is(shown($wire->command('BITOP', 'AND', 'z', 'x', 'y')), ':' . length $x, 'BITOP of two long ones');
	ok($wire->command('GET', 'z')->[1] eq (substr($x, 0, -100_000) & substr($y, 0, -100_000)) . "\0" x 100_000, '... AND');
	$wire->command('BITOP', 'NOT', 'z', 'x');
	ok($wire->command('GET', 'z')->[1] eq ~$x, '... NOT');
	is(shown($wire->command('BITFIELD', 'z', 'SET', 'u16', 24_000_000, 43981, 'GET', 'u16', 24_000_000)), sprintf('[:%d :43981]', unpack 'n', substr(~$x, 3_000_000, 2)), 'BITFIELD in the middle');
	is(shown($wire->command('BITFIELD', 'nothing', 'SET', 'u1', 4294967295, 1)), $TOO_LONG, 'BITFIELD behind max_value_size');
	# a value that changes while it is counted: each answer is of one version
	my $other = wire();
	my @version = map { ("\0" x 3_000_000, "\xff" x 3_000_000)[$_] } 0, 1;
	my $torn = 0;
	for my $round (1 .. 20)
	{
		$other->queue(Artery::SoakWire::encode('SET', 'moving', $version[$round % 2]));
		$wire->queue(Artery::SoakWire::encode('BITCOUNT', 'moving'));
		$other->turn(0);
		my $got = $wire->reply->[1];
		$torn++ if $got != 0 && $got != 24_000_000;
		$other->reply;
	}
	is($torn, 0, 'a long value that changes while it is counted is one version');
};

subtest 'deadlines stay' => sub {
	my $wire = wire();
	$wire->command('SET', 'd', 'abc', 'PX', 400);
	is(shown($wire->command('SETBIT', 'd', 100, 1)), ':0', 'SETBIT');
	ok(poll_until(sub { !$wire->command('EXISTS', 'd')->[1] }), '... the key expires all the same');
};

done_testing;
