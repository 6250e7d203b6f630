# Goal: what DUMP writes RESTORE reads, here and in redis-server, both ways; what is damaged, cut or made up is refused and
# changes nothing.
#
# Method: a table of replies, checked against redis-server, too; values of every encoding (numbers of all widths, short,
# long, packed by redis-server) sent from one server to the other and back; every byte of a payload changed, payloads cut
# at every byte; random packed data with the right checksum, which is the one thing that stands between a client and the
# unpacking.
use Artery::Test;
use Artery::Cluster;
use Artery::Table;
use Artery::SoakWire;
use Test::More;

my $node = Artery::Cluster->new('dump');
$node->init(workers => 2, memory_limit => '256MB', wal_buffers => '128MB', wal_segment_size => '64MB', max_value_size => '30MB', durability => 'none');
$node->start;

my $SYNTAX = '-ERR syntax error';
my $NUMBER = '-ERR value is not an integer or out of range';
my $WRONG  = '-ERR DUMP payload version or checksum are wrong';
my $FORMAT = '-ERR Bad data format';
my $BUSY   = '-BUSYKEY Target key name already exists.';
my $FUTURE = 4_102_444_800_000;
sub arity { return "-ERR wrong number of arguments for '$_[0]' command" }

sub wire { return Artery::SoakWire->connect($_[0] // $node->socket_path) // die "connect: $!" }

# crc64 -- bit by bit, of Jones' polynomial: an oracle of our own
{
	use integer;
	no warnings 'portable';
	my @table;
	for my $byte (0 .. 255)
	{
		my $crc = $byte;
		for (1 .. 8)
		{
			my $low = $crc & 1;
			$crc = ($crc >> 1) & 0x7fffffffffffffff;
			$crc ^= 0x95ac9329ac4bc9b5 if $low;
		}
		push @table, $crc;
	}

	sub sealed
	{
		my ($body, $version) = @_;
		$body .= pack 'v', $version // 10;
		my $crc = 0;
		$crc = $table[($crc ^ $_) & 0xff] ^ (($crc >> 8) & 0x00ffffffffffffff) for unpack 'C*', $body;
		return $body . pack 'q<', $crc;
	}
}

my $hello = sealed("\x00\x05hello");
my @table = (
	[['FLUSHALL'], 'OK'],
	[['DUMP', 'none'], 'nil'], [['DUMP'], arity('dump')], [['DUMP', 'a', 'b'], arity('dump')], [['SET', 'k', 'hello'], 'OK'], [['DUMP', 'k'], '"' . binary($hello) . '"'],
	(map { ([['SET', 'k', $_->[0]], 'OK'], [['DUMP', 'k'], '"' . binary(sealed("\0$_->[1]")) . '"']) } ['0', "\xc0\x00"], ['-1', "\xc0\xff"], ['127', "\xc0\x7f"], ['128', "\xc1\x80\x00"], ['-128', "\xc0\x80"],
		['-129', "\xc1\x7f\xff"], ['32767', "\xc1\xff\x7f"], ['32768', "\xc2\x00\x80\x00\x00"], ['2147483647', "\xc2\xff\xff\xff\x7f"], ['-2147483648', "\xc2\x00\x00\x00\x80"], ['2147483648', "\x0a2147483648"],
		['-2147483649', "\x0b-2147483649"], ['01', "\x0201"], ['-0', "\x02-0"], ['+1', "\x02+1"], ['', "\x00"], ['-', "\x01-"], [' 1', "\x02 1"], ['1.5', "\x031.5"], ['12345678901', "\x0b12345678901"]),
	[['RESTORE', 'r', 0, $hello], 'OK'], [['GET', 'r'], '"hello"'], [['RESTORE', 'r', 0, $hello], $BUSY], [['RESTORE', 'r', 0, $hello, 'REPLACE'], 'OK'], [['RESTORE', 'r', 'x', $hello], $BUSY], [['RESTORE', 'r', 0, 'junk'], $BUSY],
	[['RESTORE', 'n', 'x', $hello], $NUMBER], [['RESTORE', 'n', -1, $hello], '-ERR Invalid TTL value, must be >= 0'], [['RESTORE', 'n', -1, 'junk'], '-ERR Invalid TTL value, must be >= 0'],
	[['RESTORE', 'n', 0, ''], $WRONG], [['RESTORE', 'n', 0, 'junk'], $WRONG], [['RESTORE', 'n', 0, 'junk' x 10], $WRONG], [['RESTORE', 'n', 0, substr($hello, 0, -1)], $WRONG], [['RESTORE', 'n', 0, "$hello\0"], $WRONG],
	[['RESTORE', 'n', 0, sealed("\x00\x05hello", 6)], 'OK'], [['RESTORE', 'n', 0, sealed("\x00\x05hello", 1), 'replace'], 'OK'], [['RESTORE', 'n', 0, sealed("\x00\x05hello", 1000), 'replace'], $WRONG],
	[['RESTORE', 'm', 0, sealed("\xff\x05hello")], $FORMAT], [['RESTORE', 'm', 0, sealed("\x00\xc4abcd")], $FORMAT],
	[['RESTORE', 'm', 0, sealed("\x00\x80\x00\x00\x00\x05hello")], 'OK'], [['GET', 'm'], '"hello"'], [['RESTORE', 'm', 0, sealed("\x00\x81\0\0\0\0\0\0\0\x05hello"), 'REPLACE'], 'OK'], [['GET', 'm'], '"hello"'],
	[['RESTORE', 'm', 0, sealed("\x00\x40\x05hello"), 'REPLACE'], 'OK'], [['GET', 'm'], '"hello"'], [['RESTORE', 'm', 0, sealed("\x00\xc1\x39\x30"), 'REPLACE'], 'OK'], [['INCR', 'm'], ':12346'],
	# packed: "aaaaaaaaaaaaaaaaaaaa", a literal and a repetition that overlaps itself
	[['RESTORE', 'z', 0, sealed("\x00\xc3\x05\x14\x00a\xe0\x0a\x00")], 'OK'], [['GET', 'z'], '"aaaaaaaaaaaaaaaaaaaa"'],
	(map { [['RESTORE', 'y', 0, sealed("\x00\xc3$_")], $FORMAT] } "\x05\x13\x00a\xe0\x0a\x00", "\x05\x15\x00a\xe0\x0a\x00", "\x05\x14\x00a\xe0\x0a\x01", "\x04\x14\x00a\xe0\x0a", "\x02\x14\x00", "\x05\x14\x05a\xe0\x0a\x00", "\x03\x04\x40\x00a"),
	# deadlines and options
	[['RESTORE', 'd', 1, $hello, 'ABSTTL'], 'OK'], [['EXISTS', 'd'], ':0'], [['RESTORE', 'd', $FUTURE, $hello, 'ABSTTL'], 'OK'], [['GET', 'd'], '"hello"'], [['RESTORE', 'd', 1, $hello, 'ABSTTL'], $BUSY],
	[['RESTORE', 'd', 1, $hello, 'REPLACE', 'ABSTTL'], 'OK'], [['EXISTS', 'd'], ':0'], [['RESTORE', 'd', 100_000, $hello, 'replace', 'IDLETIME', 100], 'OK'], [['RESTORE', 'd', 0, $hello, 'FREQ', 255, 'REPLACE'], 'OK'],
	[['RESTORE', 'd', 0, $hello, 'FREQ', 256], '-ERR Invalid FREQ value, must be >= 0 and <= 255'], [['RESTORE', 'd', 0, $hello, 'FREQ', -1], '-ERR Invalid FREQ value, must be >= 0 and <= 255'],
	[['RESTORE', 'd', 0, $hello, 'IDLETIME', -1], '-ERR Invalid IDLETIME value, must be >= 0'], [['RESTORE', 'd', 0, $hello, 'IDLETIME', 'x'], $NUMBER], [['RESTORE', 'd', 0, $hello, 'IDLETIME'], $SYNTAX],
	[['RESTORE', 'd', 0, $hello, 'BOGUS'], $SYNTAX], [['RESTORE', 'd', 0, $hello, 'IDLETIME', 1, 'FREQ', 1], $SYNTAX], [['RESTORE', 'd', 0], arity('restore')],
	[['FLUSHALL'], 'OK'],
);

# redis-server takes the version behind it for the end of what is cut
my @cut = map { [['RESTORE', 'm', 0, sealed($_)], $FORMAT] } '', "\x00", "\x00\x05hell", "\x00\x05hello!", "\x00\xc0", "\x00\xc1\x01", "\x00\xc2abc", "\x00\x40", "\x00\x80\0\0\0", "\x00\x81\0\0\0\0\0\0\0",
	"\x00\xc3", "\x00\xc3\x05", "\x00\xc3\x05\x14\x00a\xe0\x0a", "\x00\x82\0\0\0\x01a";

subtest 'replies' => sub {
	run_table('what is cut', $node->socket_path, \@cut);
	run_table('RESP2', $node->socket_path, \@table);
	run_table('RESP3', $node->socket_path, \@table, proto => 3);
	with_redis(sub { run_table('the same of redis-server', $_[0], \@table) });
};

# values of every encoding
sub values_of
{
	my @values = ('', 'x', 0, -1, 12345, -70000, '12345678901234567890', 'y' x 63, 'y' x 64, "\0" x 300);
	push @values, join '', map { chr int rand 256 } 1 .. $_ for 21, 100, 16383, 16384, 70_000;
	push @values, join '', map { ('some words', 'that come again', 'a', "\n")[rand 4] } 1 .. $_ for 10, 1000, 20_000;
	push @values, 'long ' x 1_000_000;
	return @values;
}

subtest 'from one server to the other' => sub {
	test_seed();
	my $wire = wire();
	my @values = values_of();
	with_redis(sub {
		my $redis = wire($_[0]);
		my ($wrong, $packed) = (0, 0);
		for my $i (0 .. $#values)
		{
			$redis->command('SET', "from/$i", $values[$i]);
			my $dump = $redis->command('DUMP', "from/$i")->[1];
			$packed++ if length $dump < length $values[$i];
			$wrong++ if shown($wire->command('RESTORE', "to/$i", 100_000, $dump)) ne 'OK' || $wire->command('GET', "to/$i")->[1] ne $values[$i];
		}
		is($wrong, 0, "redis-server's: " . @values . " values, $packed of them packed");
		cmp_ok($packed, '>', 3, '... some are');
		$wrong = 0;
		for my $i (0 .. $#values)
		{
			my $dump = $wire->command('DUMP', "to/$i")->[1];
			$wrong++ if shown($redis->command('RESTORE', "back/$i", 0, $dump)) ne 'OK' || $redis->command('GET', "back/$i")->[1] ne $values[$i];
			$wrong++ if shown($wire->command('RESTORE', "own/$i", 0, $dump)) ne 'OK' || $wire->command('GET', "own/$i")->[1] ne $values[$i];
		}
		is($wrong, 0, 'ours, there and here');
	});
};

subtest 'damage' => sub {
	my $wire = wire();
	my $payload = sealed("\x00\x05hello");
	my @got;
	for my $at (0 .. length($payload) - 1)
	{
		for my $bit (0 .. 7)
		{
			my $damaged = $payload;
			substr($damaged, $at, 1) ^= chr(1 << $bit);
			push @got, shown($wire->command('RESTORE', 'damaged', 0, $damaged));
		}
		push @got, shown($wire->command('RESTORE', 'damaged', 0, substr $payload, 0, $at));
	}
	is(scalar(grep { $_ ne $WRONG } @got), 0, scalar(@got) . ' payloads with one bit changed, or cut');
	my $seed = test_seed();
	my %answers;
	for my $round (1 .. 3000)
	{
		my $packed = join '', map { chr int rand((256, 40, 256)[rand 3]) } 1 .. 1 + rand 60;
		my $len = int rand((10, 200, 16_000)[rand 3]);
		my $head = $len < 64 ? chr $len : pack 'n', 0x4000 | $len;
		my $reply = shown($wire->command('RESTORE', 'random', 0, sealed("\x00\xc3" . chr(length $packed) . $head . $packed), 'REPLACE'));
		$answers{$reply}++;
		$answers{length}++ if $reply eq 'OK' && $wire->command('STRLEN', 'random')->[1] != $len;
	}
	is(join(' ', grep { $_ ne 'OK' && $_ ne $FORMAT } keys %answers), '', 'random packed data: refused, or as long as it says');
	is(shown($wire->command('RESTORE', 'big', 0, sealed("\x00\xc3\x05\x80\x7f\xff\xff\xff\x00a\xe0\x0a\x00"))), $FORMAT, 'a length that so few bytes cannot make');
	is(shown($wire->command('RESTORE', 'big', 0, sealed("\x00\xc3\x81\xff\xff\xff\xff\xff\xff\xff\xff\x05hello"))), $FORMAT, '... of more than there is');
	my $zeros = "\x00a" . "\xe0\xff\x00" x 150_000;		# 39.6 MB
	is(shown($wire->command('RESTORE', 'big', 0, sealed("\x00\xc3" . pack('CN', 0x80, length $zeros) . pack('CN', 0x80, 1 + 264 * 150_000) . $zeros))),
		'-ERR string exceeds maximum allowed size (proto-max-bulk-len)', 'a value above max_value_size');
	is(shown($wire->command('EXISTS', 'big', 'damaged')), ':0', 'nothing of them is there');
};

done_testing;
