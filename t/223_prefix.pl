# Goal: commands about prefixes mean what doc/commands.md says, on any keys, in memory
# and on disk: LPM, COUNTPREFIX, DELPREFIX, RENAMEPREFIX.
#
# Method: tables of cases and errors; seeded keys of all byte values against answers
# computed here, first in memory, then from disk alone, then with changes over what is on
# disk; LPM while another connection changes its candidates in an order in which some
# answers are never right; a hundred thousand keys deleted and renamed while others
# are served; transactions, snapshots, deadlines, events; kills in the middle; what is
# left after a start.
use Artery::Test;
use Artery::Cluster;
use Artery::SoakWire;
use Test::More;

my $seed = test_seed();
srand($seed);
my $node = Artery::Cluster->new('prefix');
$node->init(workers => 2, durability => 'none', memory_limit => '256MB', wal_buffers => '64MB', wal_segment_size => '64MB', prewarm => 'off');
$node->start;
my ($wire, $other);
sub encode { return Artery::SoakWire::encode(@_) }
sub both { ($wire, $other) = map { Artery::SoakWire->connect($node->socket_path) // die "connect: $!" } 1, 2; return }
both();

sub fill
{
	my (@keys) = @_;
	$wire->ok('FLUSHALL');
	set(@keys);
	return;
}

sub set
{
	my (@keys) = @_;
	while (my @some = splice @keys, 0, 5000)
	{
		$wire->queue(join '', map { encode('SET', $_, "v$_") } @some);
		$wire->replies(scalar @some);
	}
	return;
}

sub keys_are
{
	my ($name, @want) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_deeply([map { $_->[1] } @{$wire->command('KEYS', '*')->[1]}], [sort @want], $name);
	return;
}

sub range { return @{Artery::SoakWire::plain($wire->command('RANGE', @_))} }

# page -- of SCAN: (cursor, keys)
sub page
{
	my ($connection, $cursor) = @_;
	my $reply = $connection->command('SCAN', $cursor);
	die "SCAN: $reply->[1]" if $reply->[0] eq '-';
	return ($reply->[1][0][1], map { $_->[1] } @{$reply->[1][1][1]});
}

sub plain { return $wire->command(@_)->[1] }

# cool -- all of it on disk, nothing in memory
sub cool
{
	$wire->command('CHECKPOINT');
	$node->restart('fast');
	both();
	return;
}

# a key as a test's name may show it
sub shown { return join ' ', map { my $text = length > 20 ? substr($_, 0, 6) . '...' : $_; $text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge; "'$text'" } @_ }

subtest 'LPM' => sub {
	fill('/', '/usr', '/usr/lib', '/usr/lib/', '/usr/local/bin', 'tenant:7', 'tenant:7:user:4', 'tenant:7:user:42', "\xff", "\xff\xff\xff", 'a', 'b::c', 'b::c:');
	my @table = (
		[['/usr/lib/x.so'], '/usr/lib/'], [['/usr/lib/x.so', 'DELIMITER', '/'], '/usr/lib/'], [['/usr/library'], '/usr/lib'], [['/usr/library', 'DELIMITER', '/'], '/usr'],
		[['/usr/lib', 'DELIMITER', '/'], '/usr/lib'], [['/usr/li'], '/usr'], [['/us'], '/'], [['/us', 'DELIMITER', '/'], '/'], [['/'], '/'], [['usr'], undef], [[''], undef],
		[['/usr/local/bin/vi', 'delimiter', '/'], '/usr/local/bin'], [['/usr/local/binary', 'delimiter', '/'], '/usr'],
		[['tenant:7:user:421'], 'tenant:7:user:42'], [['tenant:7:user:421', 'DELIMITER', ':'], 'tenant:7'], [['tenant:7:user:42:x', 'DELIMITER', ':'], 'tenant:7:user:42'],
		[['tenant:77', 'DELIMITER', ':'], undef], [['tenant:77'], 'tenant:7'], [['tenant:77', 'DELIMITER', ''], 'tenant:7'],
		[["\xff\xff"], "\xff"], [["\xff" x 9], "\xff" x 3], [["\xff" x 9, 'DELIMITER', "\xff"], "\xff" x 3], [["\xff" x 9, 'DELIMITER', 'x'], undef],
		[['a' x 4096], 'a'], [["a\0"], 'a'], [['b::cd', 'DELIMITER', '::'], undef], [['b::c::d', 'DELIMITER', '::'], 'b::c'], [['b::c:::d', 'DELIMITER', '::'], 'b::c:'],
	);
	for my $round (0 .. 1)
	{
		is(plain('LPM', @{$_->[0]}), $_->[1], shown(@{$_->[0]}) . ($round ? ' from disk' : '')) for @table;
		cool() if !$round;
	}
	$wire->ok('DEL', '/usr/lib/');
	is(plain('LPM', '/usr/lib/x.so'), '/usr/lib', 'a deleted key is no answer');
	is(plain('LPM', '/usr/lib/x.so', 'DELIMITER', '/'), '/usr/lib', '... with a delimiter neither');
	$wire->ok('SET', '', 'root');
	is(plain('LPM', 'usr'), '', 'the empty key is the beginning of every other');
	is(plain('LPM', 'usr', 'DELIMITER', '/'), '', '... and a whole number of components');
	is(plain('LPM', ''), '', '... of itself, too');
	my $long = 'k' x 4095;
	$wire->ok('SET', $_, 1) for $long, "${long}k";
	is(plain('LPM', "${long}k"), "${long}k", 'a key of 4,096 bytes');
	is(plain('LPM', "${long}j"), $long, '... and its beginning');
	my %errors = (
		'syntax error' => [['a', 'DELIMITER'], ['a', 'BOGUS', '/'], ['a', 'DELIMITER', '/', 'x']],
		'key is too long (4097 bytes, maximum 4096)' => [['k' x 4097]], "wrong number of arguments for 'lpm' command" => [[]]);
	for my $error (sort keys %errors) { is($wire->command('LPM', @$_)->[1], "ERR $error", 'LPM ' . shown(@$_)) for @{$errors{$error}} }
	$other->command('HELLO', 3);
	$wire->ok('FLUSHALL');
	is_deeply($other->command('LPM', 'x'), ['_', undef], 'nothing, in RESP3');
	$other->command('HELLO', 2);
	$wire->ok('SELECT', 3);
	$wire->ok('SET', 'x', 1);
	$wire->ok('SELECT', 0);
	is(plain('LPM', 'xy'), undef, 'a database of its own');
};

# longest -- LPM computed here
sub longest
{
	my ($keys, $key, $delimiter) = @_;
	for my $len (reverse 0 .. length $key)
	{
		my $candidate = substr $key, 0, $len;
		next if !exists $keys->{$candidate};
		return $candidate if $delimiter eq '' || $len == 0 || $len == length $key || substr($key, $len, length $delimiter) eq $delimiter
			|| $len >= length $delimiter && substr($key, $len - length $delimiter, length $delimiter) eq $delimiter;
	}
	return undef;
}

subtest 'against answers computed here' => sub {
	for my $alphabet ('ab', "a/\xff", join '', map { chr } 0 .. 255)
	{
		my @letters = split //, $alphabet;
		my $word = sub { join '', map { $letters[rand @letters] } 1 .. rand $_[0] };
		my %keys;
		my $check = sub {
			my ($where) = @_;
			my ($wrong, @known) = (0, sort keys %keys);
			for (1 .. 300)
			{
				my $key = rand() < 0.5 ? $word->(12) : $known[rand @known] . $word->(4);
				my $delimiter = rand() < 0.5 ? '' : $word->(2) . $letters[rand @letters];
				my $want = longest(\%keys, $key, $delimiter);
				my $got = plain('LPM', $key, $delimiter eq '' ? () : ('DELIMITER', $delimiter));
				if (($got // 'nil') ne ($want // 'nil') || defined $got != defined $want)
				{
					$wrong++;
					diag("seed $seed: LPM " . shown($key, $delimiter) . ': ' . shown($got // 'nil') . ' instead of ' . shown($want // 'nil')) if $wrong < 4;
				}
				my $prefix = substr $key, 0, rand 4;
				my $count = grep { substr($_, 0, length $prefix) eq $prefix } @known;
				my $counted = plain('COUNTPREFIX', $prefix);
				if ($counted != $count)
				{
					$wrong++;
					diag("seed $seed: COUNTPREFIX " . shown($prefix) . ": $counted instead of $count") if $wrong < 4;
				}
			}
			is($wrong, 0, length($alphabet) . ' letters, ' . @known . " keys, $where");
		};
		my $change = sub {
			my ($new) = @_;
			my @some = map { $word->(9) } 1 .. $new;
			set(@some);
			@keys{@some} = ();
			my @gone = grep { rand() < 0.3 } sort keys %keys;
			$wire->ok('DEL', @gone) if @gone;
			delete @keys{@gone};
		};
		$wire->ok('FLUSHALL');
		$change->(500);
		$check->('in memory');
		cool();
		$check->('on disk');
		$change->(200);
		$check->('on disk and in memory');
		$wire->command('CHECKPOINT');
		$check->('after another checkpoint');
		# prefixes go, one by one, and take what they should
		my $wrong = 0;
		for (1 .. 30)
		{
			my $prefix = $word->(4);
			my @fit = grep { substr($_, 0, length $prefix) eq $prefix } sort keys %keys;
			my @limit = rand() < 0.5 ? () : ('LIMIT', int rand 20);
			splice @fit, $limit[1] if @limit && @fit > $limit[1];
			$wrong++ if plain('DELPREFIX', $prefix, @limit) != @fit;
			delete @keys{@fit};
			$prefix = $word->(3) . $letters[rand @letters];
			my $to = rand() < 0.3 ? $prefix . $word->(3) : rand() < 0.4 ? substr($prefix, 0, rand length $prefix) : $word->(4);
			my @old = grep { substr($_, 0, length $prefix) eq $prefix } sort keys %keys;
			my %moved = map { $to . substr($_, length $prefix) => $keys{$_} // "v$_" } @old;
			$wrong++ if plain('RENAMEPREFIX', $prefix, $to) != @old;
			delete @keys{@old};
			@keys{keys %moved} = values %moved;
			next if $_ % 10;
			my @sorted = sort keys %keys;
			my @got = @{Artery::SoakWire::plain($wire->command('RANGE', '-', '+', 'WITHVALUES', 'COUNT', 100_000))->[1]};
			$wrong++ if join("\n", map { @$_ } @got) ne join "\n", map { ($_, $keys{$_} // "v$_") } @sorted;
		}
		is($wrong, 0, length($alphabet) . ' letters: deleted and renamed by prefix, ' . keys(%keys) . ' keys left');
	}
};

subtest 'LPM is the answer of one moment' => sub {
	# the longer key is there whenever the shorter one is: so the shorter one is never the answer
	fill();
	my $rounds = 20_000;
	my %answer;
	my $run = sub {
		my (@changes) = @_;
		%answer = ();
		$other->queue(join '', map { encode(@$_) } (@changes) x $rounds);
		my ($left, $asked) = (@changes * $rounds, 0);
		while ($left > 0)
		{
			$wire->queue(encode('LPM', 'a/b/c/d/e') x 500);
			$left -= $other->parsed while $other->turn(0) && $left > 0 && !$wire->turn(0);
			$answer{$_->[1] // 'nil'}++ for $wire->replies(500);
			$asked += 500;
			$other->turn(0);
			$left -= $other->parsed;
		}
		return $asked;
	};
	my $asked = $run->(['SET', 'a/b/c', 1], ['SET', 'a', 1], ['DEL', 'a'], ['DEL', 'a/b/c']);
	is($answer{a} // 0, 0, "never the shorter one: $asked asked, " . join ', ', map { "$_ $answer{$_}" } sort keys %answer);
	$wire->ok('SET', 'a', 1);
	$asked = $run->(['SET', 'a/b/c', 1], ['DEL', 'a'], ['SET', 'a', 1], ['DEL', 'a/b/c']);
	is($answer{nil} // 0, 0, "never nothing: $asked asked, " . join ', ', map { "$_ $answer{$_}" } sort keys %answer);
	cmp_ok(scalar(keys %answer), '>=', 1, '... but one of both');
};

subtest 'COUNTPREFIX and DELPREFIX' => sub {
	fill('', 'a', 'ab', 'abc', 'b', "\xff", "\xff\xff", "\xff\xffx", "\xfe\xff", "a\0", "a\xff");
	is(plain('COUNTPREFIX', $_->[0]), $_->[1], 'COUNTPREFIX ' . shown($_->[0]))
		for ['', 11], ['a', 5], ['ab', 2], ["\xff", 3], ["\xff\xff", 2], ["\xfe", 1], ["\xff" x 4, 0], ['x', 0], ['a' x 4097, 0], ["a\0", 1];
	is(plain('DELPREFIX', 'a', 'LIMIT', 0), 0, 'LIMIT 0 deletes nothing');
	is(plain('DELPREFIX', 'a', 'limit', 2), 2, 'LIMIT 2');
	keys_are('... the first two in byte order', '', 'ab', 'abc', 'b', "\xff", "\xff\xff", "\xff\xffx", "\xfe\xff", "a\xff");
	is(plain('DELPREFIX', "\xff\xff"), 2, 'a prefix of 0xff');
	is(plain('DELPREFIX', 'x' x 5000), 0, 'a prefix longer than any key');
	is(plain('DELPREFIX', 'a', 'LIMIT', 1000), 3, 'a limit above what there is');
	keys_are('... the others stay', '', 'b', "\xff", "\xfe\xff");
	is(plain('DELPREFIX', ''), 4, 'the empty prefix: all');
	is(plain('DBSIZE'), 0, '... and nothing is left');
	my %errors = (
		'ERR syntax error' => [['DELPREFIX', 'a', 'LIMIT'], ['DELPREFIX', 'a', 'BOGUS', 1], ['DELPREFIX', 'a', 'LIMIT', 1, 'x']],
		'ERR value is not an integer or out of range' => [['DELPREFIX', 'a', 'LIMIT', 'x']],
		'ERR value is out of range, must be positive' => [['DELPREFIX', 'a', 'LIMIT', -1]],
		"ERR wrong number of arguments for 'delprefix' command" => [['DELPREFIX']], "ERR wrong number of arguments for 'countprefix' command" => [['COUNTPREFIX'], ['COUNTPREFIX', 'a', 'b']],
		"ERR wrong number of arguments for 'renameprefix' command" => [['RENAMEPREFIX', 'a'], ['RENAMEPREFIX', 'a', 'b', 'c']]);
	for my $error (sort keys %errors) { is($wire->command(@$_)->[1], $error, join ' ', @$_) for @{$errors{$error}} }
};

subtest 'a hundred thousand keys' => sub {
	my $many = 100_000;
	my @many = map { sprintf 'many/%02d/%06d', $_ % 64, $_ } 1 .. $many;
	fill(@many, 'before', 'zzz');
	is(plain('COUNTPREFIX', 'many/'), $many, 'COUNTPREFIX');
	is(plain('COUNTPREFIX', 'many/07/'), scalar(grep { m{^many/07/} } @many), '... of one directory');
	# both workers serve others meanwhile
	my @small = map { Artery::SoakWire->connect($node->socket_path) } 1 .. 4;
	for ([50_000, 'DELPREFIX', 'many/', 'LIMIT', 50_000], [50_000, 'RENAMEPREFIX', 'many/', 'other/'], [50_000, 'DELPREFIX', 'other/'])
	{
		my ($want, @command) = @$_;
		my ($answers, $longest) = (0, 0);
		my $start = now();
		$wire->queue(encode(@command))->turn(0, 1);
		my $reply;
		until (defined $reply)
		{
			my $begin = now();
			$small[$answers++ % @small]->command('GET', 'before');
			my $time = now() - $begin;
			$longest = $time if $time > $longest;
			$wire->turn(0);
			($reply) = $wire->parsed(1);
		}
		is($reply->[1], $want, "@command");
		# a worker that served nobody else would have answered none, or one of the two that it has, behind all of it
		my $whole = now() - $start;
		ok($answers >= 5 || $longest < 0.6 * $whole,
			sprintf('... others are served meanwhile: %d answers in %.1f ms, the slowest after %.1f ms', $answers, 1000 * $whole, 1000 * $longest));
	}
	keys_are('... and what had another prefix is there', 'before', 'zzz');
	# a writer goes on meanwhile: what was there is gone, what it put behind stays
	set(@many);
	$wire->queue(encode('DELPREFIX', 'many/'))->turn(0, 1);
	my ($round, $reply) = (0);
	until (defined $reply)
	{
		$other->command('SET', 'many/00/000000', $round++);
		$wire->turn(0);
		($reply) = $wire->parsed(1);
	}
	cmp_ok($reply->[1], '>=', $many, "DELPREFIX against a writer: $reply->[1] keys, $round writes");
	my $left = plain('COUNTPREFIX', 'many/');
	cmp_ok($left, '<=', 1, "... $left left: the one that is written again and again");
	set(@many[0 .. 999]);
	cool();
	is(plain('COUNTPREFIX', 'many/'), 1000 + $left, 'after a start');
	$wire->ok('CLIENT', 'DURABILITY', 'immediate', 'NEXT');
	is(plain('DELPREFIX', 'many/'), 1000 + $left, '... deleted from disk');
	$node->kill9;
	$node->start;
	both();
	is(plain('COUNTPREFIX', 'many/'), 0, '... and gone after a crash');
};

subtest 'RENAMEPREFIX' => sub {
	my @table = (
		['apart', [qw(a/1 a/2 b c)], 'a/', 'x/', 2, {'x/1' => 'a/1', 'x/2' => 'a/2', b => 'b', c => 'c'}],
		['nothing to do', [qw(b c)], 'a/', 'x/', 0, {b => 'b', c => 'c'}],
		['to itself', [qw(a/1 a/2 b)], 'a/', 'a/', 2, {'a/1' => 'a/1', 'a/2' => 'a/2', b => 'b'}],
		['to more of itself', ['a', 'aa', 'aaa', 'b'], 'a', 'aa', 3, {aa => 'a', aaa => 'aa', aaaa => 'aaa', b => 'b'}],
		['to less of itself', ['aa', 'aaa', 'aaaa', 'b'], 'aa', 'a', 3, {a => 'aa', aa => 'aaa', aaa => 'aaaa', b => 'b'}],
		['to less, over what is there', ['a', 'aa', 'aaa'], 'aa', 'a', 2, {a => 'aa', aa => 'aaa'}],
		['over what is there', [qw(a/1 a/2 b/1 b/3)], 'a/', 'b/', 2, {'b/1' => 'a/1', 'b/2' => 'a/2', 'b/3' => 'b/3'}],
		['the empty prefix', ['', 'a', "\xff"], '', 'x/', 3, {'x/' => '', 'x/a' => 'a', "x/\xff" => "\xff"}],
		['to the empty prefix', ['x/', 'x/a', "x/\xff", 'y'], 'x/', '', 3, {'' => 'x/', a => 'x/a', "\xff" => "x/\xff", y => 'y'}],
		['0xff', ["\xff", "\xff\xff", "\xff\xff\xff", "\xfe"], "\xff\xff", "\xff", 2, {"\xff" => "\xff\xff", "\xff\xff" => "\xff\xff\xff", "\xfe" => "\xfe"}],
		['a key', ['a', 'b'], 'a', 'c', 1, {c => 'a', b => 'b'}],
	);
	for my $round (0 .. 1)
	{
		for (@table)
		{
			my ($name, $keys, $from, $to, $count, $want) = @$_;
			fill(@$keys);
			cool() if $round;
			is(plain('RENAMEPREFIX', $from, $to), $count, $name . ($round ? ', from disk' : ''));
			my $got = Artery::SoakWire::plain($wire->command('RANGE', '-', '+', 'WITHVALUES'))->[1];
			is_deeply({map { @$_ } @$got}, {map { $_ => "v$want->{$_}" } keys %$want}, '... what there is now');
			is(plain('DBSIZE'), scalar keys %$want, '... and how many');
		}
	}
	fill('a/' . 'x' x 4000, 'a/1', 'b');
	is($wire->command('RENAMEPREFIX', 'a/', 'y' x 100)->[1], 'ERR key is too long (4100 bytes, maximum 4096)', 'a name that is too long');
	keys_are('... nothing has changed', 'a/' . 'x' x 4000, 'a/1', 'b');
	is($wire->command('RENAMEPREFIX', 'b', 'y' x 5000)->[1], 'ERR key is too long (5000 bytes, maximum 4096)', 'a prefix that is too long for any name');
	is(plain('RENAMEPREFIX', 'y' x 5000, 'b'), 0, '... as the old one: there are none');
	# values of all sizes go with their keys
	fill();
	my %value = map { sprintf('size/%08d', $_) => join('', map { chr 97 + rand 26 } 1 .. 26) x ($_ / 26) . 'x' x ($_ % 26) } 0, 1, 100, 4096, 20_000, 300_000, 3_000_000;
	$wire->ok('SET', $_, $value{$_}) for sort keys %value;
	is(plain('RENAMEPREFIX', 'size/', 'length/'), 7, 'long values');
	is(scalar(grep { plain('GET', $_ =~ s/size/length/r) ne $value{$_} } keys %value), 0, '... are the same');
	# more than a transaction may have
	my $many = 40_000;
	my $tail = 'x' x 250;
	my @many = map { sprintf 'log/%06d%s', $_, $tail } 1 .. $many;
	fill(@many);
	like($wire->command('RENAMEPREFIX', 'log/', 'gol/')->[1], qr/^ERR transaction too large \(\d+ bytes, maximum \d+\)$/, 'a transaction that is too large');
	is(plain('COUNTPREFIX', 'log/'), $many, '... nothing has changed');
	is(plain('COUNTPREFIX', 'gol/'), 0, '... at either place');
};

subtest 'in transactions' => sub {
	fill(map { "p/$_" } 1 .. 5);
	my $exec = sub {
		my (@commands) = @_;
		$wire->ok('MULTI');
		$wire->ok(@$_) for @commands;
		return $wire->command('EXEC');
	};
	my $reply = $exec->(['SET', 'p/6', 'x'], ['COUNTPREFIX', 'p/'], ['DELPREFIX', 'p/', 'LIMIT', 2], ['COUNTPREFIX', 'p/'], ['RENAMEPREFIX', 'p/', 'q/'],
		['COUNTPREFIX', 'p/'], ['LPM', 'q/6/x'], ['LPM', 'p/1'], ['RANGE', '-', '+', 'PREFIX', 'q/'], ['SET', 'q/', 'dir'], ['LIST', 'DELIMITER', '/'],
		['RANGE', '-', '+', 'WITHVALUES', 'WITHVERSIONS', 'COUNT', 3], ['LIST', 'PREFIX', 'q/', 'WITHVERSIONS'], ['SCAN', 0, 'COUNT', 2], ['KEYS', 'q/[45]'], ['LPM', 'q/6x', 'DELIMITER', '/']);
	my @got = @{Artery::SoakWire::plain($reply)};
	my ($version) = $wire->command('GETV', 'q/')->[1][1][1];
	is_deeply([@got[1 .. 7]], [6, 2, 4, 4, 0, 'q/6', undef], 'each sees what was done before it');
	is_deeply($got[8], [undef, [map { "q/$_" } 3 .. 6]], 'RANGE');
	is_deeply($got[10], ['items', [], 'prefixes', ['q/'], 'next', undef], 'LIST hops');
	is_deeply($got[11], ['(q/4', [['q/', 'dir', $version], ['q/3', 'vp/3', $version], ['q/4', 'vp/4', $version]]], 'versions are those of the commit');
	is_deeply($got[12], ['items', [map { ["q/$_", $version] } '', 3 .. 6], 'prefixes', [], 'next', undef], '... in LIST, too');
	is_deeply([$got[13][1], @got[14, 15]], [['q/', 'q/3'], ['q/4', 'q/5'], 'q/'], 'SCAN, KEYS, LPM');
	keys_are('... and so it is', map { "q/$_" } '', 3 .. 6);
	is((page($wire, $got[13][0]))[1], 'q/4', 'a cursor of a transaction is good behind it');
	# an error in the middle leaves nothing of that command, and all of the others
	$reply = $exec->(['SET', 'a', 1], ['RENAMEPREFIX', 'q/', 'y' x 4096], ['SET', 'b', 2]);
	is_deeply([map { $_->[1] } @{$reply->[1]}], ['OK', 'ERR key is too long (4097 bytes, maximum 4096)', 'OK'], 'a refused RENAMEPREFIX within EXEC');
	keys_are('... has done nothing', 'a', 'b', map { "q/$_" } '', 3 .. 6);
	is($exec->(['ASSERT', 'EMPTY', 'a'], ['RENAMEPREFIX', 'q/', 'a'])->[1], undef, 'ASSERT EMPTY refuses a place that is taken');
	keys_are('... nothing has changed', 'a', 'b', map { "q/$_" } '', 3 .. 6);
	is_deeply(Artery::SoakWire::plain($exec->(['ASSERT', 'EMPTY', 'r/'], ['RENAMEPREFIX', 'q/', 'r/'])), ['OK', 5], '... and lets one be that is not');
	# one moment: each key is at one of the two places
	$other->queue(join '', map { (encode('RENAMEPREFIX', 'r/', 's/'), encode('RENAMEPREFIX', 's/', 'r/')) } 1 .. 300);
	my ($done, %there) = (0);
	while ($done < 600)
	{
		$there{$wire->command('EXISTS', 'r/3', 's/3')->[1]}++;
		$there{(grep { $_ ne '0' } map { $_->[1] } @{$exec->(['COUNTPREFIX', 'r/'], ['COUNTPREFIX', 's/'])->[1]})[0]}++;
		$other->turn(0);
		$done += $other->parsed;
	}
	is_deeply([sort keys %there], [1, 5], 'RENAMEPREFIX against readers: ' . join ', ', map { "$_: $there{$_}" } sort keys %there);
	# a snapshot
	$other->ok('SET', 'r/9', 'before');
	$wire->ok('SNAPSHOT', 'OPEN');
	$other->command('RENAMEPREFIX', 'r/', 't/');
	is_deeply([plain('COUNTPREFIX', 'r/'), plain('COUNTPREFIX', 't/'), plain('LPM', 'r/9x'), plain('LPM', 't/9x')], [6, 0, 'r/9', undef], 'a snapshot sees the old names');
	is((range('-', '+', 'PREFIX', 'r/'))[1][4], 'r/6', '... in RANGE');
	$wire->ok('SNAPSHOT', 'CLOSE');
	is_deeply([plain('COUNTPREFIX', 'r/'), plain('COUNTPREFIX', 't/'), plain('LPM', 'r/9x'), plain('LPM', 't/9x')], [0, 6, undef, 't/9'], '... and then the new ones');
};

subtest 'deadlines and events' => sub {
	fill();
	$wire->ok('SET', 'd/stays', 1, 'EX', 1000);
	$wire->ok('SET', 'd/goes', 1, 'PX', 1);
	$wire->ok('SET', 'd', 1);
	poll_until(sub { !$wire->command('EXISTS', 'd/goes')->[1] }) or die 'it never expires';
	is(plain('LPM', 'd/goes/x'), 'd', 'LPM passes over what has expired');
	is(plain('COUNTPREFIX', 'd/'), 1, 'COUNTPREFIX, too');
	is(plain('RENAMEPREFIX', 'd/', 'e/'), 1, 'RENAMEPREFIX leaves it');
	my $left = plain('TTL', 'e/stays');
	ok($left > 900 && $left <= 1000, "... and a deadline goes with its key: $left s");
	$wire->ok('SET', 'd/soon', 1, 'PX', 1);
	poll_until(sub { !$wire->command('EXISTS', 'd/soon')->[1] }) or die 'it never expires';
	is(plain('DELPREFIX', 'd/'), 0, 'DELPREFIX does not count it');
	$wire->ok('CONFIG', 'SET', 'notify-keyspace-events', 'EAn');
	my $listener = Artery::SoakWire->connect($node->socket_path);
	$listener->command('PSUBSCRIBE', '__keyevent@0__:*');
	$wire->ok('MSET', 'm/1', 1, 'm/2', 2);
	is(plain('RENAMEPREFIX', 'm/', 'n/'), 2, 'RENAMEPREFIX');
	is(plain('DELPREFIX', 'n/'), 2, 'DELPREFIX');
	is($wire->command('RENAMEPREFIX', 'e/', 'y' x 4096)->[0], '-', 'one that is refused');
	$wire->ok('SET', 'last', 1);
	my @events;
	while (my $message = $listener->reply)
	{
		my (undef, undef, $channel, $key) = map { $_->[1] } @{$message->[1]};
		push @events, $channel =~ s/.*://r . " $key";
		last if $events[-1] eq 'set last';
	}
	is_deeply([grep { !/ (?:last|m\/\d)$/ || /rename/ } @events], [(map { ("new n/$_", "rename_from m/$_", "rename_to n/$_") } 1, 2), 'del n/1', 'del n/2'], 'their events')
		or diag(join ', ', @events);
	$wire->ok('CONFIG', 'SET', 'notify-keyspace-events', '');
};

subtest 'killed in the middle' => sub {
	my @keys = map { sprintf 'old/%05d', $_ } 1 .. 20_000;
	my %found;
	for my $round (1 .. 3)
	{
		fill(@keys);
		$wire->ok('CLIENT', 'DURABILITY', 'immediate');
		$wire->ok('SET', 'mark', $round);
		$wire->queue(encode('RENAMEPREFIX', 'old/', 'new/'))->turn(0, 1);
		# in the middle, or as soon as it is answered
		my $answered = $wire->reply((0.02, 0.15, 30)[$round - 1]);
		$node->kill9;
		$node->start;
		both();
		my ($old, $new) = (plain('COUNTPREFIX', 'old/'), plain('COUNTPREFIX', 'new/'));
		$found{$old ? 'old' : 'new'}++;
		is_deeply([sort { $a <=> $b } $old, $new], [0, 20_000], "round $round: all of them, $old at the old place and $new at the new one");
		is(plain('DBSIZE'), 20_001, '... and no other');
		is($old, 0, '... as it was answered') if $answered;
	}
};

$node->stop('fast');
unlike($node->log_content, qr/PANIC|FATAL|assertion/, 'nothing alarming in the log');
done_testing;
